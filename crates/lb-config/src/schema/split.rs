//! Splits: traffic that is divided between pools, and rollouts.

use super::Default::{Required, Text, Value};
use super::Proof::Refused;
use super::proof::*;
use super::{Key, Kind, Section};

pub(super) static SPLIT: Section = Section {
    path: "splits.NAME",
    doc: "Traffic that is divided between pools by percent, exactly: blue and green, canaries, gradual shifts, guarded rollouts. Routes name it \
          (`split = \"NAME\"`), and its percentages are changed while it runs: see [splits and rollouts](rollouts.md). When absent: routes lead to \
          one pool each.",
    keys: &[
        Key::section(
            "targets",
            Kind::List(&TARGET),
            Required,
            "One to four pools, the established one first, the new one last. Together they have 100 %.",
        ),
        Key::section(
            "sticky",
            Kind::Table(&STICKY),
            Text("each request is divided by itself"),
            "By what a client stays on its side.",
        ),
        Key::section(
            "rollout",
            Kind::Table(&ROLLOUT),
            Text("as below"),
            "What a guarded rollout takes that is started and told nothing else.",
        ),
    ],
};

pub(super) static TARGET: Section = Section {
    path: "splits.NAME.targets",
    doc: "A pool, and what it gets when the program starts.",
    keys: &[
        Key::built(
            "pool",
            "a name under `pools`",
            Required,
            change("pool = \"main\"\npercent = 90", "pool = \"third\"\npercent = 90"),
            "The pool.",
        ),
        Key::built(
            "percent",
            "number, 0–100, with two decimals at most",
            Required,
            Refused { with: "pool = \"main\"\npercent = 80" },
            "Its share. All together have 100.",
        ),
    ],
};

const COOKIE: &str = "type = \"cookie\"";

pub(super) static STICKY: Section = Section {
    path: "splits.NAME.sticky",
    doc: "By what a client stays on its side while percentages change: only as many move as must. A key that the `type` does not use is an error. \
          When absent: each request is divided by itself.",
    keys: &[
        Key::built(
            "type",
            "`cookie`, `header` or `ip-hash`",
            Required,
            change("type = \"ip-hash\"", COOKIE),
            "What a client is known by. Who has no such header or address is divided by each request.",
        ),
        Key::built(
            "cookie_name",
            "a cookie's name",
            Value("\"lb_cohort\""),
            change(COOKIE, "type = \"cookie\"\ncookie_name = \"side\""),
            "`cookie`: its name. Backends do not see it.",
        ),
        Key::built(
            "max_age",
            "duration, 1s–400d",
            Value("\"30d\""),
            change(COOKIE, "type = \"cookie\"\nmax_age = \"1d\""),
            "`cookie`: how long browsers keep it. It is set once, and not renewed.",
        ),
        Key::built(
            "header_name",
            "a header's name",
            Text("required with `header`"),
            change(
                "type = \"header\"\nheader_name = \"X-User\"",
                "type = \"header\"\nheader_name = \"X-Tenant\"",
            ),
            "`header`: its name.",
        ),
    ],
};

pub(super) static ROLLOUT: Section = Section {
    path: "splits.NAME.rollout",
    doc: "How a guarded rollout goes that is started by the admin API or `edge-lb rollout start`, unless it is told otherwise there. \
          Nothing is rolled out by this table alone. When absent: as below.",
    keys: &[
        Key::section(
            "steps",
            Kind::List(&STEP),
            Text("5, 25 and 50 % for 10 min each"),
            "Up to 16 steps, growing.",
        ),
        Key::built(
            "error_difference_max",
            "number, 0–0.5, or `\"none\"`",
            Value("0.005"),
            set("error_difference_max = 0.01"),
            "How much above the old side's error rate the new side's may be. `\"none\"`: errors are not judged.",
        ),
        Key::section("latency", Kind::Table(&LATENCY), Text("not judged"), "How slow the new side may be."),
        Key::built(
            "requests_min",
            "whole number, 1–1000000000",
            Value("100"),
            set("requests_min = 7"),
            "Each side needs so many requests before a step ends.",
        ),
        Key::built(
            "patience",
            "duration, up to 30d",
            Value("\"30m\""),
            set("patience = \"1h\""),
            "How much longer than its duration a step may wait for requests or evidence before it is inconclusive.",
        ),
        Key::built(
            "false_rollback_max",
            "number, 1e-9–0.5",
            Value("0.01"),
            set("false_rollback_max = 0.05"),
            "The probability that a good side is rolled back is at most this.",
        ),
        Key::built(
            "false_promotion_max",
            "number, 1e-9–0.5",
            Value("0.05"),
            set("false_promotion_max = 0.01"),
            "The probability that a bad side is promoted is at most this.",
        ),
    ],
};

pub(super) static STEP: Section = Section {
    path: "splits.NAME.rollout.steps",
    doc: "What the new side gets, and for how long at least.",
    keys: &[
        Key::built(
            "percent",
            "number above 0 and below 100",
            Required,
            change("percent = 5\nduration = \"1m\"", "percent = 6\nduration = \"1m\""),
            "What the last target gets.",
        ),
        Key::built(
            "duration",
            "duration, up to 30d",
            Required,
            change("percent = 5\nduration = \"1m\"", "percent = 5\nduration = \"2m\""),
            "For how long at least; it may be nothing.",
        ),
    ],
};

pub(super) static LATENCY: Section = Section {
    path: "splits.NAME.rollout.latency",
    doc: "The new side's quantile of latency may be `ratio_max` times the old side's. When absent: latency is not judged.",
    keys: &[
        Key::built(
            "quantile",
            "number, 0.5–0.999",
            Value("0.95"),
            change("ratio_max = 1.5", "ratio_max = 1.5\nquantile = 0.9"),
            "Which.",
        ),
        Key::built(
            "ratio_max",
            "number, 1–100",
            Required,
            change("ratio_max = 1.5", "ratio_max = 2"),
            "How many times the old side's. Near 1, equal sides cannot be told to be within it.",
        ),
    ],
};
