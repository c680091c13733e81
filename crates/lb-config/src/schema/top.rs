//! The top of the file, listeners, the admin address and the log.

use super::Default::{Required, Text, Value};
use super::gate::{ERROR_PAGE, REQUEST_ID};
use super::geo::GEO;
use super::pool::POOL;
use super::proof::*;
use super::route::ROUTE;
use super::split::SPLIT;
use super::store::STORE;
use super::{Key, Kind, Section};

/// The top of the file.
pub static ROOT: Section = Section {
    path: "",
    doc: "",
    keys: &[
        Key::section("listeners", Kind::List(&LISTENER), Required, "Where clients connect. One or more."),
        Key::section(
            "pools",
            Kind::Named(&POOL),
            Required,
            "The backends, in pools with a name each. Each must be reached: by a route, by a split, or as the region of one that is; without routes there is one.",
        ),
        Key::section(
            "routes",
            Kind::List(&ROUTE),
            Text("one pool takes everything"),
            "Which pool a request goes to.",
        ),
        Key::section(
            "splits",
            Kind::Named(&SPLIT),
            NONE,
            "Traffic that is divided between pools, for routes to name.",
        ),
        Key::section("stores", Kind::Named(&STORE), NONE, "Where state is shared, for `storage` to name."),
        Key::section("geo", Kind::Table(&GEO), Text("as below"), "How clients' places are found."),
        Key::built(
            "trusted_proxies",
            "list of networks and addresses, up to 10000",
            Value("[]"),
            set("trusted_proxies = [\"10.0.0.0/8\", \"::1\"]"),
            "Proxies whose word is taken for the client's address. Nobody else's header is believed.",
        ),
        Key::built(
            "client_ip_header",
            "`x-forwarded-for` or `forwarded`",
            Value("\"x-forwarded-for\""),
            change(
                "trusted_proxies = [\"10.0.0.0/8\"]",
                "trusted_proxies = [\"10.0.0.0/8\"]\nclient_ip_header = \"forwarded\"",
            ),
            "The header in which trusted proxies tell it. Goes with `trusted_proxies`.",
        ),
        Key::section(
            "request_id",
            Kind::Table(&REQUEST_ID),
            Text("with routes as below"),
            "Ids of requests.",
        ),
        Key::built(
            "forwarded",
            "boolean",
            Value("false"),
            set("forwarded = true"),
            "Tell backends in `Forwarded` (RFC 7239), too, what the `X-Forwarded-…` headers say.",
        ),
        Key::section(
            "error_pages",
            Kind::Named(&ERROR_PAGE),
            NONE,
            "Pages in place of the proxy's own errors, by status.",
        ),
        Key::built(
            "debug_headers",
            "boolean",
            Value("false"),
            change(
                "trusted_proxies = [\"10.0.0.0/8\"]",
                "trusted_proxies = [\"10.0.0.0/8\"]\ndebug_headers = true",
            ),
            "Tell clients whose own address is among `trusted_proxies` why they got an error, in `X-Edge-Lb-Reason`.",
        ),
        Key::section("admin", Kind::Table(&ADMIN), NONE, "The admin address: metrics, health and pools."),
        Key::built(
            "workers",
            "whole number, 1–1024",
            Text("the CPUs the process may use"),
            set("workers = 3"),
            "Worker threads. Each has its own listener sockets and backend connections.",
        ),
        Key::built(
            "shutdown_grace",
            "duration",
            Value("\"30s\""),
            set("shutdown_grace = \"5s\""),
            "How long open requests may finish after SIGTERM. `\"0s\"`: not at all.",
        ),
        Key::section(
            "log",
            Kind::Table(&LOG),
            Text("`info`, as text"),
            "The program's own log, on standard error.",
        ),
        Key::planned("access_log", VIEW),
        Key::planned("alerts", VIEW),
        Key::planned("include", CONTROL),
    ],
};

pub(super) static LOG: Section = Section {
    path: "log",
    doc: "The program's own log, on standard error. When absent: level `info` as text.",
    keys: &[
        Key::built(
            "level",
            "`off`, `error`, `warn`, `info`, `debug` or `trace`",
            Value("\"info\""),
            set("level = \"debug\""),
            "What is logged: this level and those more severe.",
        ),
        Key::built(
            "format",
            "`text` or `json`",
            Value("\"text\""),
            set("format = \"json\""),
            "Lines for people, or one JSON object a line.",
        ),
    ],
};

pub(super) static LISTENER: Section = Section {
    path: "listeners",
    doc: "Each `[[listeners]]` is an address that clients connect to, with its time-outs and limits.",
    keys: &[
        Key::built(
            "address",
            "`IP:port`, `[IPv6]:port` or `unix:/path`",
            Required,
            change("address = \"127.0.0.1:1\"", "address = \"127.0.0.1:2\""),
            "Where to listen. Port 0 takes any free port.",
        ),
        Key::section(
            "timeouts",
            Kind::Table(&LISTENER_TIMEOUTS),
            Text("as below"),
            "How long a client may take.",
        ),
        Key::built(
            "max_connections",
            "whole number, 1–10000000",
            Value("10000"),
            change("address = \"127.0.0.1:1\"", "address = \"127.0.0.1:1\"\nmax_connections = 7"),
            "The most client connections open at once, over all workers.",
        ),
        Key::built(
            "max_connections_per_ip",
            "whole number, 1–10000000",
            NONE,
            change("address = \"127.0.0.1:1\"", "address = \"127.0.0.1:1\"\nmax_connections_per_ip = 7"),
            "The most client connections open at once from one address (IPv6: one /64), over all workers; further ones are closed at once. \
             Trusted proxies' are not counted.",
        ),
        Key::section(
            "limits",
            Kind::Table(&LISTENER_LIMITS),
            Text("as below"),
            "How large a request may be, and how slow a client.",
        ),
        Key::planned("proxy_protocol", TLS),
        Key::planned("tls", TLS),
    ],
};

pub(super) static LISTENER_TIMEOUTS: Section = Section {
    path: "listeners.timeouts",
    doc: "How long a client may take.",
    keys: &[
        Key::built(
            "header",
            "duration",
            Value("\"10s\""),
            set("header = \"1s\""),
            "From the first byte of a request to the end of its head.",
        ),
        Key::built(
            "body",
            "duration",
            Value("\"60s\""),
            set("body = \"1s\""),
            "The longest gap between two parts of a request's body.",
        ),
        Key::built(
            "idle",
            "duration",
            Value("\"75s\""),
            set("idle = \"1s\""),
            "How long a connection may wait for its next request.",
        ),
    ],
};

pub(super) static LISTENER_LIMITS: Section = Section {
    path: "listeners.limits",
    doc: "How large a request may be, and how slow a client; beyond it the request is refused. See [connections](connections.md).",
    keys: &[
        Key::built(
            "header_count",
            "whole number, 1–4096",
            Value("100"),
            set("header_count = 7"),
            "The most header lines.",
        ),
        Key::built(
            "header_bytes",
            "size, 8KiB–1MiB",
            Value("\"64KiB\""),
            set("header_bytes = \"8KiB\""),
            "The most bytes of request line and headers together.",
        ),
        Key::built(
            "body_bytes",
            "size, 0B–1048576GiB",
            NONE,
            set("body_bytes = \"10MiB\""),
            "The most bytes of a request's body; beyond it 413.",
        ),
        Key::built(
            "min_body_rate",
            "size a second, 1B–1GiB",
            NONE,
            set("min_body_rate = \"500B\""),
            "The least that a client sends of a body, over the time for which it is waited for; below it 408.",
        ),
        Key::built(
            "min_send_rate",
            "size a second, 1B–1GiB",
            NONE,
            set("min_send_rate = \"500B\""),
            "The least that a client takes of a response, over the time for which it takes nothing; below it the connection is closed.",
        ),
        Key::built(
            "rate_grace",
            "duration",
            Value("\"5s\""),
            change("min_body_rate = \"500B\"", "min_body_rate = \"500B\"\nrate_grace = \"1s\""),
            "How long a client may be waited for beyond what the rates allow. Goes with them.",
        ),
    ],
};

pub(super) static ADMIN: Section = Section {
    path: "admin",
    doc: "The admin address answers `/healthz`, `/readyz`, `/metrics`, `/api/v1/pools` and `/api/v1/health`. When absent: there is none.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            change(ADMIN_1, "address = \"127.0.0.1:1\"\nenabled = false"),
            ENABLED_DOC,
        ),
        Key::built(
            "address",
            "`IP:port`, `[IPv6]:port`",
            Required,
            change(ADMIN_1, "address = \"127.0.0.1:2\""),
            "Where to listen; a loopback address, until `token` is built.",
        ),
        Key::planned("token", CONTROL),
    ],
};
const ADMIN_1: &str = "address = \"127.0.0.1:1\"";
