//! The table itself, from the top of the file down.

use super::Default::{Required, Text, Value};
use super::Proof::{Changes, Refused};
use super::{Default, Key, Kind, Proof, Section};

// The capabilities that bring what is planned.
const FAULTS: &str = "circuit breakers, outlier detection and retries";
const HEALTH: &str = "further health checks";
const SESSIONS: &str = "sessions and shared state";
const GEO: &str = "geography";
const ADMISSION: &str = "pooling, queues, load shedding and limits";
const ROUTING: &str = "routes and traffic shaping";
const SCALING: &str = "auto-scaling";
const TLS: &str = "TLS and further protocols";
const CONTROL: &str = "control at run time";
const VIEW: &str = "access log and alerts";

const fn set(after: &'static str) -> Proof {
    Changes { before: "", after }
}

const fn change(before: &'static str, after: &'static str) -> Proof {
    Changes { before, after }
}

const ON: Default = Value("true");
const NONE: Default = Text("none");
const ENABLED_DOC: &str = "`false` switches the section off without removing it.";

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
            "The backends, in pools with a name each. Exactly one pool, until routes are built.",
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
        Key::planned("routes", ROUTING),
        Key::planned("splits", ROUTING),
        Key::planned("debug_headers", ROUTING),
        Key::planned("trusted_proxies", GEO),
        Key::planned("geo", GEO),
        Key::planned("stores", SESSIONS),
        Key::planned("access_log", VIEW),
        Key::planned("alerts", VIEW),
        Key::planned("include", CONTROL),
    ],
};

static LOG: Section = Section {
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

static LISTENER: Section = Section {
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
        Key::section(
            "limits",
            Kind::Table(&LISTENER_LIMITS),
            Text("as below"),
            "How large a request's head may be.",
        ),
        Key::planned("proxy_protocol", TLS),
        Key::planned("tls", TLS),
    ],
};

static LISTENER_TIMEOUTS: Section = Section {
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

static LISTENER_LIMITS: Section = Section {
    path: "listeners.limits",
    doc: "How large a request's head may be; a larger one is answered 431.",
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
    ],
};

static ADMIN: Section = Section {
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

static POOL: Section = Section {
    path: "pools.NAME",
    doc: "A pool: backends that serve the same, and how one is chosen. A name has up to 64 letters, digits, `-`, `_` and `.`.",
    keys: &[
        Key::section(
            "backends",
            Kind::List(&BACKEND),
            Required,
            "The backends. May be left out with `discovery`.",
        ),
        Key::section(
            "discovery",
            Kind::Table(&DISCOVERY),
            NONE,
            "Where to find more backends, instead of or beside `backends`.",
        ),
        Key::section(
            "algorithm",
            Kind::TextOrTable(&ALGORITHM),
            Value("\"weighted-round-robin\""),
            "How a backend is chosen: a name, or a table with `name` and its options.",
        ),
        Key::section(
            "health_check",
            Kind::Table(&HEALTH_CHECK),
            Text("no active checks"),
            "Active health checks.",
        ),
        Key::built(
            "max_connections",
            "whole number, 1–4294967295",
            NONE,
            set("max_connections = 7"),
            "The most requests in flight to one backend, where the backend says nothing else.",
        ),
        Key::built(
            "connection_timeout",
            "duration",
            Value("\"30s\""),
            set("connection_timeout = \"1s\""),
            "How long connecting to a backend may take.",
        ),
        Key::section(
            "timeouts",
            Kind::Table(&POOL_TIMEOUTS),
            Text("as below"),
            "How long a backend may take.",
        ),
        Key::section(
            "retry_policy",
            Kind::Table(&RETRY),
            Text("as below"),
            "Trying again, on another backend first.",
        ),
        Key::built(
            "preserve_host",
            "boolean",
            ON,
            set("preserve_host = false"),
            "Whether a backend sees the `Host` that the client sent; otherwise its own name and port.",
        ),
        Key::built(
            "panic_threshold",
            "percent, 0–100",
            Value("0"),
            set("panic_threshold = 50"),
            "When fewer than this share of the backends are healthy, health is ignored. 0: only when none is.",
        ),
        Key::section("slow_start", Kind::Table(&SLOW_START), NONE, "A ramp for new and recovered backends."),
        Key::built(
            "subset",
            "table of texts",
            Text("all backends"),
            set(
                "subset = { version = \"2\" }\nbackends = [{ url = \"http://127.0.0.1:1\", metadata = { version = \"2\" } }]",
            ),
            "Only backends whose `metadata` has all of these entries take part.",
        ),
        Key::section("locality", Kind::Table(&LOCALITY), NONE, "Prefer the backends of one zone."),
        Key::built(
            "overprovisioning_percent",
            "percent, 100–1000",
            Value("140"),
            set("overprovisioning_percent = 200"),
            "A priority level or zone carries all its traffic while its healthy share times this is 100 % or more.",
        ),
        Key::built(
            "latency_histograms",
            "boolean",
            ON,
            set("latency_histograms = false"),
            "Keep a histogram of each backend's time to first byte (1.5 KiB each).",
        ),
        Key::built(
            "connection_tracking",
            "boolean",
            ON,
            Refused { with: "connection_tracking = false" },
            "Counting requests in flight. Always on: `false` is refused.",
        ),
        Key::planned("outlier_detection", FAULTS),
        Key::planned("circuit_breaker", FAULTS),
        Key::planned("session_affinity", SESSIONS),
        Key::planned("connection_pooling", ADMISSION),
        Key::planned("queuing", ADMISSION),
        Key::planned("load_shedding", ADMISSION),
        Key::planned("selection_timeout", ADMISSION),
        Key::planned("caching", SESSIONS),
        Key::planned("geo", GEO),
        Key::planned("fallback_region", GEO),
        Key::planned("regional_balancers", GEO),
        Key::planned("autoscale", SCALING),
        Key::planned("auto_scaler", SCALING),
        Key::planned("instance_template", SCALING),
        Key::planned("tls", TLS),
    ],
};

static ALGORITHM: Section = Section {
    path: "pools.NAME.algorithm",
    doc: "The algorithm as a table. An option that the algorithm does not have is an error.",
    keys: &[
        Key::built(
            "name",
            "an algorithm's name",
            Required,
            change("name = \"random\"", "name = \"p2c\""),
            "`round-robin`, `weighted-round-robin`, `least-connections`, `random`, `p2c`, `ip-hash`, \
             `least-response-time`, `peak-ewma`, `maglev`, `ring-hash` or `rendezvous`.",
        ),
        Key::built(
            "key",
            "`client-ip`, `header:NAME`, `cookie:NAME`, `query:NAME` or `path`",
            Value("\"client-ip\""),
            change("name = \"maglev\"", "name = \"maglev\"\nkey = \"header:X-User-ID\""),
            "`maglev`, `ring-hash`, `rendezvous`: what is hashed.",
        ),
        Key::built(
            "hash_balance_factor",
            "percent, 101–10000",
            NONE,
            change("name = \"ring-hash\"", "name = \"ring-hash\"\nhash_balance_factor = 125"),
            "`maglev`, `ring-hash`, `rendezvous`: no backend takes more than this share of the mean load.",
        ),
        Key::built(
            "ipv4_prefix",
            "bits, 0–32",
            Value("32"),
            change("name = \"ip-hash\"", "name = \"ip-hash\"\nipv4_prefix = 24"),
            "`ip-hash`: how many leading bits of an IPv4 address count.",
        ),
        Key::built(
            "ipv6_prefix",
            "bits, 0–128",
            Value("128"),
            change("name = \"ip-hash\"", "name = \"ip-hash\"\nipv6_prefix = 64"),
            "`ip-hash`: how many leading bits of an IPv6 address count.",
        ),
        Key::built(
            "response_time_samples",
            "whole number, 1–64",
            Value("10"),
            change(
                "name = \"least-response-time\"",
                "name = \"least-response-time\"\nresponse_time_samples = 20",
            ),
            "`least-response-time`: how many of the last responses are averaged.",
        ),
        Key::built(
            "response_time_window",
            "duration",
            Value("\"60s\""),
            change(
                "name = \"least-response-time\"",
                "name = \"least-response-time\"\nresponse_time_window = \"5s\"",
            ),
            "`least-response-time`: how old a response may be to count.",
        ),
        Key::built(
            "decay",
            "duration",
            Value("\"10s\""),
            change("name = \"peak-ewma\"", "name = \"peak-ewma\"\ndecay = \"5s\""),
            "`peak-ewma`: in this time the average forgets all but 1/e of what it was.",
        ),
        Key::built(
            "default_rtt",
            "duration",
            Value("\"30ms\""),
            change("name = \"peak-ewma\"", "name = \"peak-ewma\"\ndefault_rtt = \"5ms\""),
            "`peak-ewma`: what a backend is taken to need before it has answered.",
        ),
    ],
};

static POOL_TIMEOUTS: Section = Section {
    path: "pools.NAME.timeouts",
    doc: "How long a backend may take once it is connected.",
    keys: &[
        Key::built(
            "first_byte",
            "duration",
            Value("\"60s\""),
            set("first_byte = \"1s\""),
            "From the end of the request to the head of the response.",
        ),
        Key::built(
            "idle",
            "duration",
            Value("\"60s\""),
            set("idle = \"1s\""),
            "The longest gap between two parts of the response's body.",
        ),
        Key::built("total", "duration", NONE, set("total = \"1s\""), "The whole exchange, retries included."),
    ],
};

static RETRY: Section = Section {
    path: "pools.NAME.retry_policy",
    doc: "Only idempotent requests, or those of which nothing was sent, are tried again, on another backend first.",
    keys: &[
        Key::built(
            "max_retries",
            "whole number, 0–100",
            Value("3"),
            set("max_retries = 1"),
            "How often, beyond the first try. 0: never.",
        ),
        Key::planned("backoff", FAULTS),
        Key::planned("base_delay", FAULTS),
        Key::planned("max_delay", FAULTS),
        Key::planned("jitter", FAULTS),
        Key::planned("budget", FAULTS),
        Key::planned("budget_percent", FAULTS),
    ],
};

static SLOW_START: Section = Section {
    path: "pools.NAME.slow_start",
    doc: "A backend that is new or has recovered gets its share step by step. Not with `ip-hash`, `maglev`, `ring-hash` \
          and `rendezvous`. When absent: the full share at once.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            change("window = \"5s\"", "window = \"5s\"\nenabled = false"),
            ENABLED_DOC,
        ),
        Key::built(
            "window",
            "duration",
            Value("\"30s\""),
            set("window = \"5s\""),
            "How long the ramp takes.",
        ),
        Key::built(
            "aggression",
            "number, above 0 to 100",
            Value("1.0"),
            set("aggression = 2.5"),
            "1.0 is a straight line; larger grows faster at first.",
        ),
        Key::built(
            "min_weight_percent",
            "percent, 1–100",
            Value("10"),
            set("min_weight_percent = 20"),
            "The share at the start of the ramp.",
        ),
    ],
};

static LOCALITY: Section = Section {
    path: "pools.NAME.locality",
    doc: "Backends whose `metadata` says `zone = …` as here come first, while they can carry the load. When absent: zones do not matter.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            change("zone = \"a\"", "zone = \"a\"\nenabled = false"),
            ENABLED_DOC,
        ),
        Key::built(
            "zone",
            "text",
            Required,
            change("zone = \"a\"", "zone = \"b\""),
            "This process's own zone.",
        ),
    ],
};

static HEALTH_CHECK: Section = Section {
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

static DISCOVERY: Section = Section {
    path: "pools.NAME.discovery",
    doc: "Backends from DNS or from a file that is watched. What was last found is kept when DNS or the file fails. When absent: only `backends`.",
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
            "`dns` or `file`",
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
            "1–65535",
            Text("required with `address`"),
            change(DNS, "type = \"dns\"\nname = \"a.internal.\"\nport = 81"),
            "`dns` with `record = \"address\"`: the port of every backend.",
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
    ],
};
const DNS: &str = "type = \"dns\"\nname = \"a.internal.\"\nport = 80";

static BACKEND: Section = Section {
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

static BACKEND_HEALTH_CHECK: Section = Section {
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

/// A file of discovered backends.
pub static BACKENDS_FILE: Section = Section {
    path: "",
    doc: "A file of discovered backends: the same keys as `[[pools.NAME.backends]]`.",
    keys: &[Key::section("backends", Kind::List(&BACKEND), Required, "The backends.")],
};
