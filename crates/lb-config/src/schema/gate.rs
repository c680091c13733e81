//! What stands before a route, pages in place of errors, and requests' ids.

use super::Default::{Required, Text, Value};
use super::Proof::{self, Refused};
use super::proof::*;
use super::retry::RETRY;
use super::{Key, Section};

/// `secret`, hashed as cheaply as it can be.
const USERS: &str = "users = { ann = \"$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\" }";

const fn no_file(with: &'static str) -> Proof {
    Refused { with }
}

/// The keys with a user before them.
macro_rules! concat_users {
    ($keys:literal) => {
        concat!("users = { ann = \"$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\" }\n", $keys)
    };
}
pub(super) static BASIC_AUTH: Section = Section {
    path: "routes.basic_auth",
    doc: "Names and passwords (HTTP's Basic authentication). See [the gate](gate.md#names-and-passwords).",
    keys: &[
        Key::built(
            "users",
            "table of hashes, by name; each may be `\"env:NAME\"` or `\"file:PATH\"`",
            Text("`users` or `file` is required"),
            change(
                USERS,
                "users = { bob = \"$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW\" }",
            ),
            "Who may come in, and the hash of the password: bcrypt (`$2y$`), SHA-256-crypt (`$5$`) or SHA-512-crypt (`$6$`). No plain text.",
        ),
        Key::built(
            "file",
            "path",
            NONE,
            no_file("file = \"/nowhere/htpasswd\""),
            "Further users, in a file as `htpasswd -B` writes it: `NAME:HASH` a line, up to 1 MiB. Read at the start.",
        ),
        Key::built(
            "realm",
            "text",
            Value("\"edge-lb\""),
            change(USERS, concat_users!("realm = \"Office\"")),
            "What the browser shows who asks for the password.",
        ),
        Key::built(
            "forward_user",
            "a header's name",
            NONE,
            change(USERS, concat_users!("forward_user = \"X-Authenticated-User\"")),
            "The backend gets the user's name in it. The client's own header of this name is removed.",
        ),
        Key::built(
            "forward_credentials",
            "boolean",
            Value("false"),
            change(USERS, concat_users!("forward_credentials = true")),
            "Whether the backend gets the `Authorization` header with the password.",
        ),
    ],
};

const URL: &str = "url = \"http://127.0.0.1:1/verify\"";

pub(super) static FORWARD_AUTH: Section = Section {
    path: "routes.forward_auth",
    doc: "A server is asked whether each request may come in. 2xx lets it in, any other answer goes to the client; without an answer 503. \
          See [the gate](gate.md#another-servers-word).",
    keys: &[
        Key::built(
            "url",
            "URL of `http`, without a query",
            Required,
            change(URL, "url = \"http://127.0.0.1:2/verify\""),
            "Whom to ask, by a GET.",
        ),
        Key::built(
            "timeout",
            "duration",
            Value("\"5s\""),
            change(URL, "url = \"http://127.0.0.1:1/verify\"\ntimeout = \"1s\""),
            "How long the answer may take.",
        ),
        Key::built(
            "request_headers",
            "list of headers' names",
            Text("all but those of the body and of conditions"),
            change(
                URL,
                "url = \"http://127.0.0.1:1/verify\"\nrequest_headers = [\"Authorization\", \"Cookie\"]",
            ),
            "The request's headers that the server gets. `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto`, `-For` and `X-Real-IP` it gets anyway.",
        ),
        Key::built(
            "response_headers",
            "list of headers' names",
            Value("[]"),
            change(URL, "url = \"http://127.0.0.1:1/verify\"\nresponse_headers = [\"Remote-User\"]"),
            "Headers of a 2xx answer that the backend gets. The client's own of these names are removed.",
        ),
    ],
};

const ORIGINS: &str = "origins = [\"https://a.example\"]";

pub(super) static CORS: Section = Section {
    path: "routes.cors",
    doc: "What pages of other origins may do. Preflights are answered here, before any password is asked for; what the backend says of it is replaced. \
          See [the gate](gate.md#cross-origin-requests).",
    keys: &[
        Key::built(
            "origins",
            "list of origins, `SCHEME://*.NAME`, or `*`",
            Required,
            change(ORIGINS, "origins = [\"https://*.b.example\", \"http://localhost:3000\"]"),
            "Whose pages may ask.",
        ),
        Key::built(
            "methods",
            "list of methods",
            Text("the route's `methods`, else GET, HEAD, POST, PUT, PATCH and DELETE"),
            change(ORIGINS, "origins = [\"https://a.example\"]\nmethods = [\"GET\"]"),
            "With which methods.",
        ),
        Key::built(
            "headers",
            "list of headers' names, or `[\"*\"]` for any",
            Value("[\"*\"]"),
            change(ORIGINS, "origins = [\"https://a.example\"]\nheaders = [\"Content-Type\"]"),
            "Which request headers they may set.",
        ),
        Key::built(
            "expose_headers",
            "list of headers' names",
            Value("[]"),
            change(ORIGINS, "origins = [\"https://a.example\"]\nexpose_headers = [\"X-Total\"]"),
            "Which response headers they may read, beside those that everybody may.",
        ),
        Key::built(
            "credentials",
            "boolean",
            Value("false"),
            change(ORIGINS, "origins = [\"https://a.example\"]\ncredentials = true"),
            "Whether cookies and passwords may go along. Not with `*` in `origins`.",
        ),
        Key::built(
            "max_age",
            "duration, 0s–1d",
            Text("not said: browsers take 5 s"),
            change(ORIGINS, "origins = [\"https://a.example\"]\nmax_age = \"10m\""),
            "How long a browser may keep the answer to a preflight.",
        ),
    ],
};

/// The keys of a page.
const fn page() -> [Key; 4] {
    [
        Key::built(
            "file",
            "path",
            Text("`file` or `body` is required"),
            no_file("file = \"/nowhere/404.html\""),
            "The page, up to 1 MiB. Read at the start.",
        ),
        Key::built(
            "body",
            "text",
            Text("`file` or `body` is required"),
            change("body = \"a\"", "body = \"b\""),
            "The page itself.",
        ),
        Key::built(
            "content_type",
            "text",
            Text("`text/html; charset=utf-8`; of a file `.json` or `.txt` its own"),
            change("body = \"a\"", "body = \"a\"\ncontent_type = \"text/plain\""),
            "Its `Content-Type`.",
        ),
        Key::built(
            "intercept",
            "boolean",
            Value("false"),
            change("body = \"a\"", "body = \"a\"\nintercept = true"),
            "Whether it also takes the place of what backends answer with this status.",
        ),
    ]
}

pub(super) static ERROR_PAGE: Section = Section {
    path: "error_pages.STATUS",
    doc: "A page in place of the proxy's own errors of one status (`404`, up to 599) or class (`4xx`, `5xx`). `error_pages = { 404 = { file = \"404.html\" } }`. \
          See [the gate](gate.md#error-pages).",
    keys: &page(),
};

pub(super) static ROUTE_ERROR_PAGE: Section = Section {
    path: "routes.error_pages.STATUS",
    doc: "The same for one route, before those of the whole file.",
    keys: &page(),
};

pub(super) static REQUEST_ID: Section = Section {
    path: "request_id",
    doc: "Each request gets an id, which the backend and the client are told, and `{request_id}` stands for. When absent: with routes as below, without routes none.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "header",
            "a header's name",
            Value("\"X-Request-Id\""),
            set("header = \"X-Correlation-Id\""),
            "Where it stands.",
        ),
        Key::built(
            "trust",
            "`trusted-proxies`, `always` or `never`",
            Value("\"trusted-proxies\""),
            set("trust = \"always\""),
            "Whose ids are kept; all others are replaced.",
        ),
    ],
};

pub(super) static ROUTE_RETRY: Section = Section {
    path: "routes.retry_policy",
    doc: "How requests of this route are tried again, instead of as the pool says; its budget is its own. When absent: as the pool says.",
    keys: RETRY.keys,
};
