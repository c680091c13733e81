//! Active health checks: a pool's, and what one backend has otherwise.

use super::Default::{Text, Value};
use super::proof::*;
use super::{Key, Kind, Section};

pub(super) static HEALTH_CHECK: Section = Section {
    path: "pools.NAME.health_check",
    doc: "Active checks, each backend on its own schedule. `health_check = {}` is enough. When absent: no checks, every backend counts as healthy.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "type",
            "`http`, `https`, `grpc` or `tcp`",
            Value("\"http\""),
            set("type = \"tcp\""),
            "An HTTP request, over TLS with `https`; a question by the gRPC health protocol; or a connection that can be made.",
        ),
        Key::built(
            "path",
            "path",
            Value("\"/health\""),
            set("path = \"/up\""),
            "`http`: the path to ask for.",
        ),
        Key::built(
            "method",
            "HTTP method",
            Value("\"GET\""),
            set("method = \"HEAD\""),
            "`http`: the method.",
        ),
        Key::built(
            "expected_status",
            "list of statuses (`204`) and ranges (`\"200-299\"`)",
            Value("[200, 201]"),
            set("expected_status = [204, \"300-399\"]"),
            "`http`: the statuses that pass.",
        ),
        Key::section(
            "expected_body",
            Kind::TextOrTable(&EXPECTED_BODY),
            NONE,
            "`http`: what the body has to be, once the status has passed. A text must stand somewhere in it.",
        ),
        Key::built(
            "headers",
            "table of texts",
            Value("{ User-Agent = \"LoadBalancer-HealthCheck/1.0\" }"),
            set("headers = { Authorization = \"Basic eA==\" }"),
            "`http`: headers to send besides the default, which a `User-Agent` here replaces.",
        ),
        Key::built(
            "service",
            "text, up to 256 bytes",
            Value("\"\""),
            change("type = \"grpc\"", "type = \"grpc\"\nservice = \"shop.v1.Cart\""),
            "`grpc`: the service to ask for. Empty: the server as a whole.",
        ),
        Key::section(
            "tls",
            Kind::Table(&CHECK_TLS),
            Text("as the backend's `url` says"),
            "`http`, `https` and `grpc`: how TLS is spoken.",
        ),
        Key::built(
            "interval",
            "duration, 10ms–24h",
            Value("\"30s\""),
            set("interval = \"2s\""),
            "From the start of one check to the next.",
        ),
        Key::built(
            "timeout",
            "duration, 10ms–24h",
            Value("\"5s\""),
            set("timeout = \"1s\""),
            "How long one check may take.",
        ),
        Key::built(
            "unhealthy_threshold",
            "whole number, 1–1000",
            Value("3"),
            set("unhealthy_threshold = 5"),
            "Failures in a row until a healthy backend is unhealthy.",
        ),
        Key::built(
            "healthy_threshold",
            "whole number, 1–1000",
            Value("2"),
            set("healthy_threshold = 5"),
            "Successes in a row until an unhealthy backend is healthy.",
        ),
        Key::built(
            "jitter_percent",
            "percent, 0–50",
            Value("10"),
            set("jitter_percent = 20"),
            "Each interval is stretched or shortened by up to this, so that checks do not march in step.",
        ),
        Key::built(
            "max_concurrent",
            "whole number, 1–4096",
            Value("64"),
            set("max_concurrent = 7"),
            "The most checks under way at once.",
        ),
        Key::built(
            "host",
            "IP address or host name",
            Text("each backend's"),
            set("host = \"127.0.0.2\""),
            "Another host to check, the same for every backend; also the name in the `Host` header.",
        ),
        Key::built("port", "1–65535", Text("each backend's"), set("port = 81"), "Another port to check."),
    ],
};

static CHECK_TLS: Section = Section {
    path: "pools.NAME.health_check.tls",
    doc: "TLS of checks. A check never resumes a session, and shows no certificate of its own.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            Text("`true` with type `https`, otherwise as the backend's `url` says"),
            set("enabled = true"),
            "Whether TLS is spoken.",
        ),
        Key::built(
            "verify",
            "boolean",
            ON,
            change("enabled = true", "enabled = true\nverify = false"),
            "Whether the certificate must be good. `false`: any passes.",
        ),
        Key::built(
            "server_name",
            "host name or IP address",
            Text("the host that is checked"),
            change("enabled = true", "enabled = true\nserver_name = \"api.example\""),
            "The name in the certificate, and in SNI.",
        ),
        Key::built(
            "ca",
            "file name",
            Text("Mozilla's authorities, compiled in"),
            change("enabled = true", "enabled = true\nca = \"ca.pem\""),
            "A PEM file with the authorities that are known instead. Relative to the configuration file's folder.",
        ),
    ],
};

static EXPECTED_BODY: Section =
    Section { path: "pools.NAME.health_check.expected_body", doc: BODY_DOC, keys: &BODY_KEYS };

static BACKEND_EXPECTED_BODY: Section =
    Section { path: "pools.NAME.backends.health_check.expected_body", doc: BODY_DOC, keys: &BODY_KEYS };

const BODY_DOC: &str = "One of three ways to look at the body, of which 64 KiB are read at most: a longer one is never `exact`, and the \
                        others look at its start.";

static BODY_KEYS: [Key; 3] = [
    Key::built(
        "exact",
        "text",
        NONE,
        change("contains = \"OK\"", "exact = \"OK\""),
        "The body is this and no more, down to the last line's end.",
    ),
    Key::built(
        "contains",
        "text",
        NONE,
        change("exact = \"OK\"", "contains = \"OK\""),
        "This stands somewhere in the body; `expected_body = \"OK\"` says the same.",
    ),
    Key::built(
        "regex",
        "regular expression",
        NONE,
        change("contains = \"OK\"", "regex = \"OK\""),
        "This matches somewhere in the body. The syntax is that of Rust's `regex`: RE2's, more or less.",
    ),
];

pub(super) static BACKEND_HEALTH_CHECK: Section = Section {
    path: "pools.NAME.backends.health_check",
    doc: "What differs from the pool's `health_check`, which must be there.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            Text("the pool's"),
            set("enabled = false"),
            "`false`: this backend is not checked and counts as healthy.",
        ),
        Key::built("path", "path", Text("the pool's"), set("path = \"/up\""), "`http`: the path to ask for."),
        Key::built(
            "method",
            "HTTP method",
            Text("the pool's"),
            set("method = \"HEAD\""),
            "`http`: the method.",
        ),
        Key::built(
            "expected_status",
            "list of statuses (`204`) and ranges (`\"200-299\"`)",
            Text("the pool's"),
            set("expected_status = [204]"),
            "`http`: the statuses that pass.",
        ),
        Key::section(
            "expected_body",
            Kind::TextOrTable(&BACKEND_EXPECTED_BODY),
            Text("the pool's"),
            "`http`: what the body has to be.",
        ),
        Key::built(
            "headers",
            "table of texts",
            Text("the pool's"),
            set("headers = { Host = \"api.example\" }"),
            "`http`: headers to send besides the pool's; one of the same name replaces it.",
        ),
        Key::built(
            "interval",
            "duration",
            Text("the pool's"),
            set("interval = \"2s\""),
            "From the start of one check to the next.",
        ),
        Key::built(
            "timeout",
            "duration",
            Text("the pool's"),
            set("timeout = \"1s\""),
            "How long one check may take.",
        ),
        Key::built(
            "unhealthy_threshold",
            "whole number, 1–1000",
            Text("the pool's"),
            set("unhealthy_threshold = 5"),
            "Failures in a row until it is unhealthy.",
        ),
        Key::built(
            "healthy_threshold",
            "whole number, 1–1000",
            Text("the pool's"),
            set("healthy_threshold = 5"),
            "Successes in a row until it is healthy.",
        ),
        Key::built(
            "host",
            "IP address or host name",
            Text("the pool's, else the `url`'s"),
            set("host = \"127.0.0.2\""),
            "Another host to check.",
        ),
        Key::built(
            "port",
            "1–65535",
            Text("the pool's, else the `url`'s"),
            set("port = 81"),
            "Another port to check.",
        ),
    ],
};
