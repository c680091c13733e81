//! A pool's retry policy.

use super::Default::{Text, Value};
use super::proof::*;
use super::{Key, Kind, Section};

pub(super) static RETRY: Section = Section {
    path: "pools.NAME.retry_policy",
    doc: "Only idempotent requests, or those of which nothing was sent, are tried again, on another backend first. See [retries](retries.md). When absent: as below.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), "`false`: nothing is tried again."),
        Key::built(
            "max_retries",
            "whole number, 0–100",
            Value("3"),
            set("max_retries = 1"),
            "How often, beyond the first try. 0: never.",
        ),
        Key::built(
            "retry_on",
            "list of `connect-failure`, `reset`, `timeout`, statuses from 400 on (`503`), ranges (`\"502-504\"`) and classes (`\"5xx\"`)",
            Value("[\"connect-failure\", \"reset\", \"timeout\", \"502-504\"]"),
            set("retry_on = [\"connect-failure\", \"5xx\", 429]"),
            "What is worth another try: no connection, a connection that broke before the response's first byte, no response in time, a response with this status.",
        ),
        Key::built(
            "backoff",
            "`exponential` or `constant`",
            Value("\"exponential\""),
            set("backoff = \"constant\""),
            "How the wait before a retry grows: doubling, or not.",
        ),
        Key::built(
            "base_delay",
            "duration, 0s–1d",
            Value("\"25ms\""),
            set("base_delay = \"1ms\""),
            "The most to wait before the first retry.",
        ),
        Key::built(
            "max_delay",
            "duration, `base_delay`–1d",
            Text("`\"1s\"`, or `base_delay` if that is longer"),
            set("max_delay = \"5s\""),
            "`exponential`: the most to wait before any retry.",
        ),
        Key::built(
            "jitter",
            "boolean",
            Text("`true`; with `constant`, `false`"),
            set("jitter = false"),
            "Whether the wait is drawn from all up to the most, rather than the most itself.",
        ),
        Key::built(
            "budget_percent",
            "percent, 0–1000",
            Value("20"),
            set("budget_percent = 10"),
            "How many retries there may be for each hundred requests, over all workers.",
        ),
        Key::built(
            "budget_min_per_second",
            "whole number, 0–1000000",
            Value("10"),
            set("budget_min_per_second = 0"),
            "How many retries a second there may be beyond that.",
        ),
        Key::built(
            "budget_window",
            "duration, 100ms–1h",
            Value("\"10s\""),
            set("budget_window = \"1s\""),
            "Over which time requests and retries are counted.",
        ),
        Key::built(
            "per_try_timeout",
            "duration",
            NONE,
            set("per_try_timeout = \"2s\""),
            "How long one try may take to connect and to give the head of a response. With a body in the request: from its last byte.",
        ),
        Key::built(
            "retry_after_max",
            "duration",
            Value("\"1s\""),
            set("retry_after_max = \"5s\""),
            "The longest `Retry-After` that a retry on the same backend waits for. What asks for more is handed to the client.",
        ),
        Key::built(
            "replay_buffer",
            "size, 0–1MiB",
            Value("\"64KiB\""),
            set("replay_buffer = \"8KiB\""),
            "How much of a request's body is kept to be sent again. A longer body is sent once.",
        ),
        Key::section(
            "hedge",
            Kind::Table(&HEDGE),
            NONE,
            "A second try beside a slow first one. `hedge = {}` is enough.",
        ),
    ],
};

static HEDGE: Section = Section {
    path: "pools.NAME.retry_policy.hedge",
    doc: "An idempotent request without a body whose response takes longer than most gets a second try at another backend, and the first head of a response wins. Draws on the retry budget. When absent: no second try.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "percentile",
            "percent, 50–99",
            Value("95"),
            set("percentile = 99"),
            "After the time that so many of the pool's responses of the last 10 to 20 s took at most.",
        ),
        Key::built(
            "min_delay",
            "duration",
            Value("\"10ms\""),
            set("min_delay = \"50ms\""),
            "But not before this.",
        ),
    ],
};
