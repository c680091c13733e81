//! Routes: which pool a request goes to, and what becomes of it on the way.

use super::Default::{Required, Text, Value};
use super::admission::RATE_LIMIT;
use super::compression::COMPRESSION;
use super::gate::{BASIC_AUTH, CORS, FORWARD_AUTH, ROUTE_ERROR_PAGE, ROUTE_RETRY};
use super::mirror::MIRROR;
use super::proof::*;
use super::response::response;
use super::{Key, Kind, Section};

pub(super) static ROUTE: Section = Section {
    path: "routes",
    doc: "Each `[[routes]]` has conditions, all of which must hold, and says where requests go: to a `pool`, to one of a `split`'s, or nowhere (`redirect`, `respond`). \
          **The first that fits takes the request**; what fits none is answered 404. The path is brought into one spelling first, and that is \
          what backends get: see [routing](routing.md) and the [gateway](gateway.md). What follows `respond` up to `retry_policy` is for routes to pools. \
          When absent: there is one pool, which takes everything.",
    keys: &[
        Key::built(
            "name",
            "1–58 letters, digits, `-`, `_` and `.`",
            Text("its place in the list, from 1"),
            change(POOL, "pool = \"main\"\nname = \"users\""),
            "What it is called in metrics, rate limits and `{route}`.",
        ),
        Key::built(
            "hosts",
            "list of names, `*.NAME` or `*`",
            Text("any"),
            change(POOL, "pool = \"main\"\nhosts = [\"api.example.com\"]"),
            "One of these hosts is asked for. `*.example.com`: one label or more before it.",
        ),
        Key::built(
            "path",
            "path, with `{NAME}` for a segment and `{*NAME}` for what follows",
            Text("any"),
            change(POOL, "pool = \"main\"\npath = \"/api\""),
            "The path is this, or begins with these segments: `/api` takes `/api/x` and not `/apis`.",
        ),
        Key::built(
            "path_exact",
            "path, as `path`",
            Text("any"),
            change(POOL, "pool = \"main\"\npath_exact = \"/api\""),
            "The path is this one.",
        ),
        Key::built(
            "path_regex",
            "regular expression",
            Text("any"),
            change(POOL, "pool = \"main\"\npath_regex = \"/(?<id>[0-9]+)\""),
            "It matches the whole path; its named groups are parameters.",
        ),
        Key::built(
            "methods",
            "list of methods",
            Text("any"),
            change(POOL, "pool = \"main\"\nmethods = [\"GET\", \"HEAD\"]"),
            "The method is one of these.",
        ),
        Key::section(
            "match_headers",
            Kind::Named(&MATCH_HEADER),
            Text("any"),
            "Conditions on headers, by their names: a text that it has to be, or a table.",
        ),
        Key::section(
            "match_query",
            Kind::Named(&MATCH_QUERY),
            Text("any"),
            "Conditions on parameters of the query, by their names: a text that it has to be, or a table.",
        ),
        Key::built(
            "clients",
            "list of networks and addresses, up to 1024",
            Text("any"),
            change(POOL, "pool = \"main\"\nclients = [\"10.0.0.0/8\"]"),
            "The client's address is in one of these. Behind proxies it is the one that `trusted_proxies` tell.",
        ),
        Key::built(
            "pool",
            "a name under `pools`",
            Text("one of `pool`, `split`, `redirect` and `respond` is required"),
            change(POOL, "pool = \"other\""),
            "Requests go there.",
        ),
        Key::built(
            "split",
            "a name under `splits`",
            NONE,
            change(POOL, "split = \"main\""),
            "Requests go to one of its pools, by [percent](rollouts.md).",
        ),
        Key::section("redirect", Kind::Table(&REDIRECT), NONE, "The client is sent elsewhere."),
        Key::section("respond", Kind::Table(&RESPOND), NONE, "The client gets this answer."),
        Key::section(
            "rewrite",
            Kind::Table(&REWRITE),
            Text("the path that was judged"),
            "The path that the backend gets.",
        ),
        Key::section("headers", Kind::Table(&HEADERS), NONE, "What is changed in headers."),
        Key::section(
            "timeouts",
            Kind::Table(&TIMEOUTS),
            Text("as in the pool"),
            "How long a backend may take.",
        ),
        Key::section(
            "rate_limit",
            Kind::Table(&RATE_LIMIT),
            NONE,
            "How many requests may come in; asked before the pool's own limit. It is called `route.NAME`.",
        ),
        Key::built(
            "priority",
            "one of the `priority_levels` of the pool's `queuing`; of each pool's with `split`",
            Text("the pool's usual one"),
            change(POOL, "pool = \"main\"\npriority = \"high\""),
            "The level of its requests, where no trusted proxy names another.",
        ),
        Key::built(
            "max_body",
            "size, 0B–1048576GiB",
            Text("as in the listener"),
            change(POOL, "pool = \"main\"\nmax_body = \"1MiB\""),
            "The most bytes of a request's body, if the listener takes as many; beyond it 413.",
        ),
        Key::built(
            "service_headers",
            "boolean",
            Value("false"),
            change(POOL, "pool = \"main\"\nservice_headers = true"),
            "Tell the backend the pool and its id (`X-Service`, `X-Backend`), and the client who has answered and how fast (`X-Backend-Server`, \
             `X-Load-Balanced`, `X-Backend-Response-Time` in ms).",
        ),
        Key::section(
            "compression",
            Kind::Table(&COMPRESSION),
            NONE,
            "Responses are compressed for clients that accept it.",
        ),
        Key::section(
            "mirror",
            Kind::Table(&MIRROR),
            NONE,
            "A copy of requests that are safe goes to another pool, too.",
        ),
        Key::section(
            "retry_policy",
            Kind::Table(&ROUTE_RETRY),
            Text("as in the pool"),
            "Whether and when a request is sent again.",
        ),
        Key::built(
            "allow",
            "list of networks and addresses, up to 1024",
            Text("everybody"),
            change(POOL, "pool = \"main\"\nallow = [\"10.0.0.0/8\"]"),
            "Clients with other addresses get 403. See [the gate](gate.md).",
        ),
        Key::built(
            "deny",
            "list of networks and addresses, up to 1024",
            Text("nobody"),
            change(POOL, "pool = \"main\"\ndeny = [\"10.0.0.0/8\"]"),
            "Clients with these addresses get 403, even if `allow` has them.",
        ),
        Key::section("basic_auth", Kind::Table(&BASIC_AUTH), NONE, "Names and passwords."),
        Key::section(
            "forward_auth",
            Kind::Table(&FORWARD_AUTH),
            NONE,
            "Another server is asked who may come in.",
        ),
        Key::section(
            "cors",
            Kind::Table(&CORS),
            Text("as the backend says"),
            "What pages of other origins may do.",
        ),
        Key::section(
            "error_pages",
            Kind::Named(&ROUTE_ERROR_PAGE),
            Text("those of the whole file"),
            "Pages in place of the proxy's own errors, by status.",
        ),
    ],
};
const POOL: &str = "pool = \"main\"";

/// The keys of a condition on a value.
const fn value_match() -> [Key; 4] {
    const ONE: super::Default = Text("one of the four is required");
    [
        Key::built("exact", "text", ONE, change("present = true", "exact = \"2\""), "It is this."),
        Key::built(
            "regex",
            "regular expression",
            ONE,
            change("present = true", "regex = \"[0-9]+\""),
            "It matches the whole value.",
        ),
        Key::built("present", "`true`", ONE, change("exact = \"1\"", "present = true"), "It is there."),
        Key::built("absent", "`true`", ONE, change("exact = \"1\"", "absent = true"), "It is not there."),
    ]
}

pub(super) static MATCH_HEADER: Section = Section {
    path: "routes.match_headers.NAME",
    doc: "A condition on a header. `match_headers = { X-Version = \"2\" }` is short for `{ exact = \"2\" }`. If there are several lines, one \
          that fits is enough.",
    keys: &value_match(),
};

pub(super) static MATCH_QUERY: Section = Section {
    path: "routes.match_query.NAME",
    doc: "The same for a parameter of the query.",
    keys: &value_match(),
};

pub(super) static REDIRECT: Section = Section {
    path: "routes.redirect",
    doc: "The client is sent elsewhere.",
    keys: &[
        Key::built(
            "status",
            "301, 302, 303, 307 or 308",
            Value("302"),
            change(LOCATION, "location = \"/a\"\nstatus = 308"),
            "Its status. 301 and 308 are permanent; with 307 and 308 the method stays.",
        ),
        Key::built(
            "location",
            "text with variables",
            Required,
            change(LOCATION, "location = \"https://{host}{path}?{query}\""),
            "Where to. A `?` at its end is left out. See [variables](gateway.md#variables).",
        ),
    ],
};
const LOCATION: &str = "location = \"/a\"";

pub(super) static RESPOND: Section = Section {
    path: "routes.respond",
    doc: "The client gets this answer.",
    keys: &response(Value("\"\""), Text("none")),
};

pub(super) static REWRITE: Section = Section {
    path: "routes.rewrite",
    doc: "The path that the backend gets, in one of four ways; the query stays. See [rewrites](routing.md#rewrites-and-templates).",
    keys: &[
        Key::built(
            "strip_prefix",
            "`true`",
            Text("not"),
            change(PATH, "strip_prefix = true"),
            "Without what `path` names.",
        ),
        Key::built(
            "replace_prefix",
            "path",
            Text("not"),
            change(PATH, "replace_prefix = \"/v2\""),
            "With this in its place.",
        ),
        Key::built(
            "regex",
            "regular expression",
            Text("not"),
            change(PATH, "regex = \"^/a\"\nwith = \"/b\""),
            "With `with` in the place of each match.",
        ),
        Key::built(
            "with",
            "text with `$1` and `${NAME}`",
            Text("required with `regex`"),
            change("regex = \"^/a\"\nwith = \"/b\"", "regex = \"^/a\"\nwith = \"/c\""),
            "What stands in a match's place.",
        ),
        Key::built(
            "path",
            "path with `{NAME}`",
            Text("not"),
            change("strip_prefix = true", PATH),
            "Another, made of the route's parameters.",
        ),
    ],
};
const PATH: &str = "path = \"/x\"";

pub(super) static HEADERS: Section = Section {
    path: "routes.headers",
    doc: "What is changed in headers, after everything else: first some are removed, then set, then added. Those that frame a message or are of one \
          connection cannot be named.",
    keys: &[
        Key::section("request", Kind::Table(&REQUEST_HEADERS), NONE, "To the backend."),
        Key::section(
            "response",
            Kind::Table(&RESPONSE_HEADERS),
            NONE,
            "To the client, the proxy's own answers included.",
        ),
    ],
};

/// The keys of changes in one direction.
const fn changes() -> [Key; 3] {
    [
        Key::built(
            "set",
            "table of texts with variables",
            NONE,
            set("set = { X-A = \"{client_ip}\" }"),
            "These have this value alone. See [variables](gateway.md#variables).",
        ),
        Key::built(
            "add",
            "table of texts with variables",
            NONE,
            set("add = { X-A = \"1\" }"),
            "These have this value, too.",
        ),
        Key::built("remove", "list of headers' names", NONE, set("remove = [\"Server\"]"), "These go."),
    ]
}

pub(super) static REQUEST_HEADERS: Section =
    Section { path: "routes.headers.request", doc: "Headers to the backend.", keys: &changes() };

pub(super) static RESPONSE_HEADERS: Section = Section {
    path: "routes.headers.response",
    doc: "Headers to the client, the proxy's own answers included.",
    keys: &changes(),
};

pub(super) static TIMEOUTS: Section = Section {
    path: "routes.timeouts",
    doc: "How long a backend may take, instead of what the pool says.",
    keys: &[
        Key::built(
            "total",
            "duration",
            Text("as in the pool"),
            set("total = \"5s\""),
            "The whole exchange, retries included.",
        ),
        Key::built(
            "connect",
            "duration",
            Text("as in the pool"),
            set("connect = \"2s\""),
            "Making a connection, in each try.",
        ),
        Key::built(
            "first_byte",
            "duration",
            Text("as in the pool"),
            set("first_byte = \"2s\""),
            "From the last byte of the request to the head of the response, in each try.",
        ),
    ],
};
