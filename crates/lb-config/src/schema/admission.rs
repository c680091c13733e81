//! Who may come in, and when: queue, load shedding, adaptive concurrency, rate limit.

use super::Default::{Required, Text, Value};
use super::proof::*;
use super::response::response;
use super::{Key, Kind, Section};

pub(super) static QUEUING: Section = Section {
    path: "pools.NAME.queuing",
    doc: "When every backend that could serve a request is at its limit of connections, the request waits. `queuing = {}` is enough, where \
          something limits the backends: `max_connections`, `connection_pooling` or `adaptive_concurrency`. See [admission](admission.md). \
          When absent: such a request is answered 503 at once.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "max_queue_size",
            "whole number, 1–1000000",
            Value("1000"),
            set("max_queue_size = 7"),
            "The most requests that wait. In a full queue a request of higher priority takes the place of one of the lowest.",
        ),
        Key::built(
            "queue_timeout",
            "duration, 1ms–1h",
            Value("\"30s\""),
            set("queue_timeout = \"1s\""),
            "The longest that a request waits.",
        ),
        Key::built(
            "priority_queue",
            "boolean",
            ON,
            set("priority_queue = false"),
            "`false`: all wait in one line, whatever their priority.",
        ),
        Key::built(
            "priority_levels",
            "list of 1–8 names, the highest first",
            Value("[\"high\", \"normal\", \"low\"]"),
            set("priority_levels = [\"gold\", \"normal\"]"),
            "What the levels are called. A request of which nothing is known has `normal`, or the one in the middle.",
        ),
        Key::built(
            "priority_weights",
            "list of whole numbers, 1–1000",
            Text("4 times the one below: `[16, 4, 1]`"),
            set("priority_weights = [8, 2, 1]"),
            "How the levels share what becomes free while all of them wait; so none is ever starved.",
        ),
        Key::built(
            "priority_header",
            "a header's name",
            NONE,
            set("priority_header = \"X-Priority\""),
            "The request header that names the level. It counts from `trusted_proxies` alone; others' is removed.",
        ),
        Key::section(
            "overload",
            Kind::Table(&OVERLOAD),
            Text("as below"),
            "What happens when the queue does not get shorter.",
        ),
        Key::section(
            "response",
            Kind::Table(&QUEUE_RESPONSE),
            Text("as below"),
            "What a client is told whose request cannot wait, or has waited too long.",
        ),
    ],
};

pub(super) static OVERLOAD: Section = Section {
    path: "pools.NAME.queuing.overload",
    doc: "A level that has made its requests wait for long is served the newest first, and who has waited too long by then is refused \
          at once: better some in time than all too late.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "after",
            "duration, 1ms–1h",
            Value("\"1s\""),
            set("after = \"100ms\""),
            "It begins when the waits were longer than `target` for so long, and ends when nobody was refused for so long.",
        ),
        Key::built(
            "target",
            "duration, 1ms–1h",
            Value("\"10ms\""),
            set("target = \"50ms\""),
            "The wait that is all right; beyond it requests are refused while the overload lasts.",
        ),
    ],
};

pub(super) static QUEUE_RESPONSE: Section = Section {
    path: "pools.NAME.queuing.response",
    doc: "What a client is told whose request cannot wait, or has waited too long.",
    keys: &response(
        Value("\"Service busy, please try again later\""),
        Text("`Retry-After`: when the queue is likely to have room"),
    ),
};

pub(super) static LOAD_SHEDDING: Section = Section {
    path: "pools.NAME.load_shedding",
    doc: "While the machine or the pool is overloaded, requests are refused before they cost anything, those of the lowest priority \
          first (the levels are those of `queuing`). `load_shedding = {}` is enough. See [admission](admission.md). When absent: nothing is refused for that.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "cpu_threshold",
            "percent, 1–100, or `\"none\"`",
            Value("80"),
            set("cpu_threshold = 70"),
            "How much of the CPU time that the process may use is in use: by itself, or by anybody on the machine.",
        ),
        Key::built(
            "memory_threshold",
            "percent, 1–100, or `\"none\"`",
            Value("85"),
            set("memory_threshold = 70"),
            "How much of the memory is in use: of the cgroup's limit, or of the machine's where there is none.",
        ),
        Key::built(
            "queue_threshold",
            "whole number, 1–1000000, or `\"none\"`",
            Value("500"),
            set("queue_threshold = 50"),
            "How many requests wait in the pool's queue. Only with `queuing`.",
        ),
        Key::built(
            "loop_delay_threshold",
            "duration, 1ms–1m, or `\"none\"`",
            Value("\"100ms\""),
            set("loop_delay_threshold = \"50ms\""),
            "How late the workers come to what is due.",
        ),
        Key::built(
            "pressure_threshold",
            "percent, 1–100, or `\"none\"`",
            Text("none"),
            set("pressure_threshold = 50"),
            "The share of time in which somebody waited for a CPU (Linux' pressure stall information, 10 s average).",
        ),
        Key::section(
            "shed_response",
            Kind::Table(&SHED_RESPONSE),
            Text("as below"),
            "What a refused client is told.",
        ),
    ],
};

pub(super) static SHED_RESPONSE: Section = Section {
    path: "pools.NAME.load_shedding.shed_response",
    doc: "What a refused client is told.",
    keys: &response(
        Value("\"Service overloaded, please try again later\""),
        Value("{ Retry-After = \"30\" }"),
    ),
};

pub(super) static ADAPTIVE_CONCURRENCY: Section = Section {
    path: "pools.NAME.adaptive_concurrency",
    doc: "How many requests a backend bears is found out from its latency, and no more are sent to it at once: the others wait, so it \
          needs `queuing`. `adaptive_concurrency = {}` is enough. See [admission](admission.md). When absent: only what is set limits a backend.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "initial",
            "whole number, `min`–`max`",
            Value("4"),
            set("initial = 30"),
            "The limit that a backend begins with. It doubles while that does not make the backend slower.",
        ),
        Key::built(
            "min",
            "whole number, 1–100000",
            Value("4"),
            set("min = 2"),
            "The limit never falls below this.",
        ),
        Key::built(
            "max",
            "whole number, 1–100000",
            Value("1000"),
            set("max = 200"),
            "The limit never grows beyond this.",
        ),
        Key::built(
            "tolerance",
            "number, 1–10",
            Value("1.3"),
            set("tolerance = 2.0"),
            "How many times the usual latency is still all right.",
        ),
    ],
};

pub(super) static RATE_LIMIT: Section = Section {
    path: "pools.NAME.rate_limit",
    doc: "Of a pool, or of a route with the same keys. How many requests may come in: beyond it they are answered 429 with `Retry-After`. See [admission](admission.md). When absent: \
          there is no limit.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            change(LIMIT, "limit = 10\nwindow = \"1s\"\nenabled = false"),
            ENABLED_DOC,
        ),
        Key::built(
            "limit",
            "whole number, 1–1000000000",
            Required,
            change(LIMIT, "limit = 20\nwindow = \"1s\""),
            "How many requests may come within each `window`.",
        ),
        Key::built(
            "window",
            "duration, 1ms–1d",
            Required,
            change(LIMIT, "limit = 10\nwindow = \"2s\""),
            "The time in which they may come.",
        ),
        Key::built(
            "burst",
            "whole number, 0–1000000000",
            Text("`limit` − 1: a whole window's requests may come at once"),
            change(LIMIT, "limit = 10\nwindow = \"1s\"\nburst = 3"),
            "How many requests may come before their time. 0: they come evenly spaced or not at all.",
        ),
        Key::built(
            "key",
            "`client-ip`, `header:NAME`, `service` or `route`",
            Value("\"client-ip\""),
            change(LIMIT, "limit = 10\nwindow = \"1s\"\nkey = \"service\""),
            "Who has a limit of his own. `service`, and `route` in a route: one for all. Requests without the header share one.",
        ),
        Key::built(
            "ipv4_prefix",
            "bits, 0–32",
            Value("32"),
            change(LIMIT, "limit = 10\nwindow = \"1s\"\nipv4_prefix = 24"),
            "`client-ip`: how many leading bits of an IPv4 address count.",
        ),
        Key::built(
            "ipv6_prefix",
            "bits, 0–128",
            Value("64"),
            change(LIMIT, "limit = 10\nwindow = \"1s\"\nipv6_prefix = 56"),
            "`client-ip`: how many leading bits of an IPv6 address count.",
        ),
        Key::built(
            "max_keys",
            "whole number, 1–10000000",
            Value("100000"),
            change(LIMIT, "limit = 10\nwindow = \"1s\"\nmax_keys = 7"),
            "The most keys that this process remembers.",
        ),
        Key::built(
            "retry_after",
            "duration, 1s–1d",
            Text("when the next request will be let in"),
            change(LIMIT, "limit = 10\nwindow = \"1s\"\nretry_after = \"5s\""),
            "What `Retry-After` says, in whole seconds.",
        ),
        Key::built(
            "headers",
            "boolean",
            ON,
            change(LIMIT, "limit = 10\nwindow = \"1s\"\nheaders = false"),
            "Tell clients where they stand: `RateLimit` and `RateLimit-Policy` in every response.",
        ),
        Key::built(
            "dry_run",
            "boolean",
            Value("false"),
            change(LIMIT, "limit = 10\nwindow = \"1s\"\ndry_run = true"),
            "Count who would be refused, and refuse nobody.",
        ),
        Key::built(
            "storage",
            "`memory`, or a name under `stores`",
            Value("\"memory\""),
            change(LIMIT, "limit = 10\nwindow = \"1s\"\nstorage = \"shared\""),
            "Where it is counted: in this process, or for all nodes together.",
        ),
        Key::built(
            "on_store_failure",
            "`local`, `open` or `closed`",
            Value("\"local\""),
            change(
                "limit = 10\nwindow = \"1s\"\nstorage = \"shared\"",
                "limit = 10\nwindow = \"1s\"\nstorage = \"shared\"\non_store_failure = \"open\"",
            ),
            "While the store is away: count in this process, let all in, or refuse all.",
        ),
    ],
};

const LIMIT: &str = "limit = 10\nwindow = \"1s\"";
