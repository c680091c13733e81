//! A pool: its algorithm and the rules around it.

use super::Default::{Required, Text, Value};
use super::Proof::Refused;
use super::admission::{ADAPTIVE_CONCURRENCY, LOAD_SHEDDING, QUEUING, RATE_LIMIT};
use super::agent::AGENT_CHECK;
use super::autoscale::{AUTOSCALE, TEMPLATE};
use super::backend::{BACKEND, DISCOVERY};
use super::breaker::CIRCUIT_BREAKER;
use super::geo::{BALANCER, POOL_GEO};
use super::health::HEALTH_CHECK;
use super::outlier::OUTLIER_DETECTION;
use super::pooling::CONNECTION_POOLING;
use super::proof::*;
use super::retry::RETRY;
use super::session::{CACHING, SESSION_AFFINITY};
use super::{Key, Kind, Section};

pub(super) static POOL: Section = Section {
    path: "pools.NAME",
    doc: "A pool: backends that serve the same, and how one is chosen. A name has up to 64 letters, digits, `-`, `_` and `.`.",
    keys: &[
        Key::section(
            "backends",
            Kind::List(&BACKEND),
            Required,
            "The backends. May be left out with `discovery` or `autoscale`, and not given with `geo-aware`.",
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
        Key::section(
            "circuit_breaker",
            Kind::Table(&CIRCUIT_BREAKER),
            Text("no breakers"),
            "A circuit breaker before each backend.",
        ),
        Key::section(
            "outlier_detection",
            Kind::Table(&OUTLIER_DETECTION),
            NONE,
            "Passive detection: eject backends that fail the requests they get.",
        ),
        Key::section(
            "agent_check",
            Kind::Table(&AGENT_CHECK),
            NONE,
            "Backends' own word on the traffic they want.",
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
            "connection_pooling",
            Kind::Table(&CONNECTION_POOLING),
            Text("kept for 30 s, not bounded"),
            "How connections to backends are kept, and how many.",
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
            "agent_header",
            "a header's name",
            NONE,
            set("agent_header = \"X-Agent\""),
            "A response header in which backends may announce weight, drain or maintenance (`75%`, `drain`, `maint`, `ready`: HAProxy's \
             agent text). Clients never see it.",
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
        Key::section(
            "session_affinity",
            Kind::Table(&SESSION_AFFINITY),
            NONE,
            "The same client comes to the same backend.",
        ),
        Key::section("caching", Kind::Table(&CACHING), NONE, "A cache of selections."),
        Key::section(
            "geo",
            Kind::Table(&POOL_GEO),
            Text("required with `geo-based`"),
            "`geo-based`: the backends in regions.",
        ),
        Key::section(
            "regional_balancers",
            Kind::Named(&BALANCER),
            Text("required with `geo-aware`"),
            "`geo-aware`: the regions, each with a pool of its own. Such a pool has `timeouts.total` and `retry_policy`, which its \
             regional pools then have not, and nothing else.",
        ),
        Key::built(
            "fallback_region",
            "a region's name",
            NONE,
            change("algorithm = \"geo-aware\"", "algorithm = \"geo-aware\"\nfallback_region = \"main\""),
            "`geo-aware`: whose clients are those that no rule maps.",
        ),
        Key::section(
            "queuing",
            Kind::Table(&QUEUING),
            NONE,
            "Requests wait when every backend is at its limit.",
        ),
        Key::section(
            "load_shedding",
            Kind::Table(&LOAD_SHEDDING),
            NONE,
            "Requests are refused early while the machine is overloaded.",
        ),
        Key::section(
            "adaptive_concurrency",
            Kind::Table(&ADAPTIVE_CONCURRENCY),
            NONE,
            "How many requests each backend bears is found out.",
        ),
        Key::section("rate_limit", Kind::Table(&RATE_LIMIT), NONE, "How many requests may come in."),
        Key::built(
            "selection_timeout",
            "duration, 0–1h",
            Value("\"0s\""),
            set("selection_timeout = \"100ms\""),
            "How long a request for which no backend is usable, for another reason than its limit, waits for one.",
        ),
        Key::section("autoscale", Kind::Table(&AUTOSCALE), NONE, "As many backends as the load needs."),
        Key::section(
            "instance_template",
            Kind::Table(&TEMPLATE),
            Text("as below"),
            "What an instance that `autoscale` makes becomes.",
        ),
        Key::planned("tls", TLS),
    ],
};

pub(super) static ALGORITHM: Section = Section {
    path: "pools.NAME.algorithm",
    doc: "The algorithm as a table. An option that the algorithm does not have is an error.",
    keys: &[
        Key::built(
            "name",
            "an algorithm's name",
            Required,
            change("name = \"random\"", "name = \"p2c\""),
            "`round-robin`, `weighted-round-robin`, `least-connections`, `random`, `p2c`, `ip-hash`, \
             `least-response-time`, `peak-ewma`, `maglev`, `ring-hash`, `rendezvous`, `adaptive`, `geo-based` or `geo-aware`.",
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
            "`peak-ewma`, `adaptive`: in this time the average forgets all but 1/e of what it was.",
        ),
        Key::built(
            "default_rtt",
            "duration",
            Value("\"30ms\""),
            change("name = \"peak-ewma\"", "name = \"peak-ewma\"\ndefault_rtt = \"5ms\""),
            "`peak-ewma`, `adaptive`: what a backend is taken to need before it has answered.",
        ),
        Key::built(
            "blackout_period",
            "duration",
            Value("\"10s\""),
            change("name = \"adaptive\"", "name = \"adaptive\"\nblackout_period = \"1s\""),
            "`adaptive`: how long a backend must have reported its load before that counts.",
        ),
        Key::built(
            "weight_expiration_period",
            "duration",
            Value("\"180s\""),
            change("name = \"adaptive\"", "name = \"adaptive\"\nweight_expiration_period = \"60s\""),
            "`adaptive`: how long a report of its load counts.",
        ),
        Key::built(
            "error_utilization_penalty",
            "number, 0–1000",
            Value("1.0"),
            change("name = \"adaptive\"", "name = \"adaptive\"\nerror_utilization_penalty = 2.5"),
            "`adaptive`: what one reported error a request adds to a backend's utilization.",
        ),
    ],
};

pub(super) static POOL_TIMEOUTS: Section = Section {
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

pub(super) static SLOW_START: Section = Section {
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

pub(super) static LOCALITY: Section = Section {
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
