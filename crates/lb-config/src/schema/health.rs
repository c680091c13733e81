//! Active health checks: a pool's, and what one backend has otherwise.

use super::Default::{Text, Value};
use super::proof::*;
use super::{Key, Section};

pub(super) static HEALTH_CHECK: Section = Section {
    path: "pools.NAME.health_check",
    doc: "Active checks, each backend on its own schedule. `health_check = {}` is enough. When absent: no checks, every backend counts as healthy.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "type",
            "`http` or `tcp`",
            Value("\"http\""),
            set("type = \"tcp\""),
            "An HTTP request, or a connection that can be made.",
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
        Key::built(
            "headers",
            "table of texts",
            Value("{ User-Agent = \"LoadBalancer-HealthCheck/1.0\" }"),
            set("headers = { Authorization = \"Basic eA==\" }"),
            "`http`: headers to send besides the default, which a `User-Agent` here replaces.",
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
        Key::planned("expected_body", HEALTH),
        Key::planned("host", HEALTH),
        Key::planned("port", HEALTH),
    ],
};

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
            Text("the `url`'s"),
            set("host = \"127.0.0.2\""),
            "Another host to check.",
        ),
        Key::built("port", "1–65535", Text("the `url`'s"), set("port = 81"), "Another port to check."),
    ],
};
