//! One backend, and where more of them are found.

use super::Default::{Required, Text, Value};
use super::agent::BACKEND_AGENT_CHECK;
use super::health::BACKEND_HEALTH_CHECK;
use super::kubernetes::API;
use super::proof::*;
use super::{Key, Kind, Section};

pub(super) static BACKEND: Section = Section {
    path: "pools.NAME.backends",
    doc: "Each `[[pools.NAME.backends]]` is one backend.",
    keys: &[
        Key::built(
            "url",
            "`http://host:port/base` or `unix:/path`",
            Required,
            change(BACKEND_1, "url = \"http://127.0.0.1:2\""),
            "Where it is. A base path stands before every request's path.",
        ),
        Key::built(
            "id",
            "text",
            Text("host and port of the `url`"),
            change(BACKEND_1, "url = \"http://127.0.0.1:1\"\nid = \"a\""),
            "Its name, unique within the pool. Counters and health belong to it.",
        ),
        Key::built(
            "weight",
            "whole number, 0–4294967295",
            Value("1"),
            change(BACKEND_1, "url = \"http://127.0.0.1:1\"\nweight = 2"),
            "Its share of the traffic, relative to the others'. 0: no new traffic.",
        ),
        Key::built(
            "max_connections",
            "whole number, 1–4294967295",
            Text("the pool's"),
            change(BACKEND_1, "url = \"http://127.0.0.1:1\"\nmax_connections = 7"),
            "The most requests in flight.",
        ),
        Key::built(
            "metadata",
            "table of texts",
            Value("{}"),
            change(BACKEND_1, "url = \"http://127.0.0.1:1\"\nmetadata = { zone = \"a\" }"),
            "Anything you want to say of it; `subset` and `locality` read it.",
        ),
        Key::section(
            "health_check",
            Kind::Table(&BACKEND_HEALTH_CHECK),
            Text("the pool's"),
            "What differs from the pool's health check.",
        ),
        Key::section(
            "agent_check",
            Kind::Table(&BACKEND_AGENT_CHECK),
            Text("the pool's"),
            "What differs from the pool's agent check.",
        ),
        Key::built(
            "disabled",
            "boolean",
            Value("false"),
            change(BACKEND_1, "url = \"http://127.0.0.1:1\"\ndisabled = true"),
            "Takes no requests at all.",
        ),
        Key::built(
            "backup",
            "boolean",
            Value("false"),
            change(BACKEND_1, "url = \"http://127.0.0.1:1\"\nbackup = true"),
            "Serves only when no other backend is usable.",
        ),
        Key::built(
            "priority",
            "whole number, 0–127",
            Value("0"),
            change(BACKEND_1, "url = \"http://127.0.0.1:1\"\npriority = 1"),
            "The spill-over level: 0 first.",
        ),
    ],
};
const BACKEND_1: &str = "url = \"http://127.0.0.1:1\"";

pub(super) static DISCOVERY: Section = Section {
    path: "pools.NAME.discovery",
    doc: "Backends from DNS, from a file that is watched or from a Kubernetes service. What was last found is kept when the source fails. When absent: only `backends`.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            change(DNS, "enabled = false\ntype = \"dns\"\nname = \"a.internal.\"\nport = 80"),
            ENABLED_DOC,
        ),
        Key::built(
            "type",
            "`dns`, `file` or `kubernetes`",
            Required,
            change(DNS, "type = \"file\"\npath = \"b.json\""),
            "Where to look.",
        ),
        Key::built(
            "name",
            "DNS name",
            Text("required with `dns`"),
            change(DNS, "type = \"dns\"\nname = \"b.internal.\"\nport = 80"),
            "`dns`: the name to resolve.",
        ),
        Key::built(
            "port",
            "1–65535; with `kubernetes` also a name",
            Text("required with `address`; with `kubernetes` the service's only one"),
            change(DNS, "type = \"dns\"\nname = \"a.internal.\"\nport = 81"),
            "`dns` with `record = \"address\"`: the port of every backend. `kubernetes`: the pods' port, by its number or its name in the service.",
        ),
        Key::built(
            "record",
            "`address` or `srv`",
            Value("\"address\""),
            change(DNS, "type = \"dns\"\nname = \"a.internal.\"\nrecord = \"srv\""),
            "`dns`: A and AAAA records, or SRV records with their ports, weights and priorities.",
        ),
        Key::built(
            "interval",
            "duration",
            Text("the answer's time to live"),
            change(DNS, "type = \"dns\"\nname = \"a.internal.\"\nport = 80\ninterval = \"5s\""),
            "`dns`: how often to ask.",
        ),
        Key::built(
            "path",
            "file name",
            Text("required with `file`"),
            change("type = \"file\"\npath = \"a.json\"", "type = \"file\"\npath = \"b.json\""),
            "`file`: a TOML, YAML or JSON file with a list `backends`. Relative to the configuration file's folder.",
        ),
        Key::built(
            "service",
            "text",
            Text("required with `kubernetes`"),
            change(PODS, "type = \"kubernetes\"\nservice = \"b\""),
            "`kubernetes`: the service whose pods are the backends.",
        ),
        Key::built(
            "namespace",
            "text",
            Value("\"default\""),
            change(PODS, "type = \"kubernetes\"\nservice = \"a\"\nnamespace = \"shop\""),
            "`kubernetes`: its namespace.",
        ),
        Key::built(
            "family",
            "`ipv4` or `ipv6`",
            Text("either; of a pod that has both, IPv4"),
            change(PODS, "type = \"kubernetes\"\nservice = \"a\"\nfamily = \"ipv6\""),
            "`kubernetes`: addresses of this family alone.",
        ),
        Key::built(
            "timeout",
            "duration, 10ms–1h",
            Value("\"10s\""),
            change(PODS, "type = \"kubernetes\"\nservice = \"a\"\ntimeout = \"1s\""),
            "`kubernetes`: how long one request of the API may take.",
        ),
        Key::section(
            "api",
            Kind::Table(&API),
            Text("automatic"),
            "`kubernetes`: how the cluster is reached.",
        ),
    ],
};
const PODS: &str = "type = \"kubernetes\"\nservice = \"a\"";
const DNS: &str = "type = \"dns\"\nname = \"a.internal.\"\nport = 80";

/// A file of discovered backends.
pub static BACKENDS_FILE: Section = Section {
    path: "",
    doc: "A file of discovered backends: the same keys as `[[pools.NAME.backends]]`.",
    keys: &[Key::section("backends", Kind::List(&BACKEND), Required, "The backends.")],
};
