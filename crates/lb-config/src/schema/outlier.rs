//! Passive detection.

use super::Default::{Text, Value};
use super::proof::*;
use super::{Key, Kind, Section};

pub(super) static OUTLIER_DETECTION: Section = Section {
    path: "pools.NAME.outlier_detection",
    doc: "Passive detection: backends that fail the requests they get are ejected for a while, never the last usable one. \
          `outlier_detection = {}` is enough. When absent: nothing is ejected.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "consecutive_failures",
            "whole number, 0–1000",
            Value("5"),
            set("consecutive_failures = 3"),
            "This many failures of any kind in a row (5xx, no connection, no answer) eject. 0: off.",
        ),
        Key::built(
            "consecutive_gateway_failures",
            "whole number, 0–1000",
            Value("0"),
            set("consecutive_gateway_failures = 3"),
            "This many in a row of 502, 503, 504, no connection and no answer eject. 0: off.",
        ),
        Key::built(
            "consecutive_connect_failures",
            "whole number, 0–1000",
            Value("0"),
            set("consecutive_connect_failures = 2"),
            "This many failures in a row to connect eject. 0: off.",
        ),
        Key::built(
            "interval",
            "duration, 10ms–24h",
            Value("\"10s\""),
            set("interval = \"5s\""),
            "How often the statistics are looked at, and a multiplier of good conduct falls by one.",
        ),
        Key::built(
            "base_ejection_time",
            "duration, 10ms–24h",
            Value("\"30s\""),
            set("base_ejection_time = \"5s\""),
            "How long the first ejection lasts; the second of a row lasts twice as long, and so on.",
        ),
        Key::built(
            "max_ejection_time",
            "duration, `base_ejection_time`–24h",
            Text("`\"300s\"`, or `base_ejection_time` if longer"),
            set("max_ejection_time = \"60s\""),
            "No ejection lasts longer, but for the jitter.",
        ),
        Key::built(
            "jitter_percent",
            "percent, 0–100",
            Value("10"),
            set("jitter_percent = 0"),
            "Each ejection is longer by up to this, so that balancers do not give a backend back together.",
        ),
        Key::built(
            "max_ejection_percent",
            "percent, 1–100",
            Value("10"),
            set("max_ejection_percent = 50"),
            "At most this share of the pool is ejected at once, rounded down, but always one.",
        ),
        Key::built(
            "end_on_passing_check",
            "boolean",
            ON,
            set("end_on_passing_check = false"),
            "A health check ends an ejection early: where it turns from failing to passing, or where connections failed and it can make one.",
        ),
        Key::section(
            "comparison",
            Kind::Table(&COMPARISON),
            Text("on, as below"),
            "Eject a backend that fails more than the others, and not by chance.",
        ),
        Key::section(
            "success_rate",
            Kind::Table(&SUCCESS_RATE),
            NONE,
            "Eject a backend whose success rate is far below the pool's mean.",
        ),
        Key::section(
            "failure_percentage",
            Kind::Table(&FAILURE_PERCENTAGE),
            NONE,
            "Eject a backend that fails a fixed share of its requests.",
        ),
    ],
};

pub(super) static COMPARISON: Section = Section {
    path: "pools.NAME.outlier_detection.comparison",
    doc: "Each backend against all others together, by an exact test, at each interval. Works for two backends and more. On \
          unless `enabled = false`.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "false_alarm_rate",
            "number, 0.000000001–0.1",
            Value("0.0001"),
            set("false_alarm_rate = 0.001"),
            "In a pool of equal backends, anything is ejected in at most this share of the intervals.",
        ),
        Key::built(
            "minimum_requests",
            "whole number, 1–1000000",
            Value("20"),
            set("minimum_requests = 50"),
            "So many requests the backend must have had, and the others together.",
        ),
        Key::built(
            "minimum_difference",
            "percent, 1–100",
            Value("10"),
            set("minimum_difference = 5"),
            "Its failure percentage must be so many points above the others'.",
        ),
        Key::built(
            "minimum_ratio",
            "number, 1–100",
            Value("2.0"),
            set("minimum_ratio = 1.5"),
            "Its failure percentage must be so many times the others'.",
        ),
        Key::built(
            "intervals",
            "whole number, 1–60",
            Value("6"),
            set("intervals = 12"),
            "Looked at are the last interval and the last so many together.",
        ),
    ],
};

pub(super) static SUCCESS_RATE: Section = Section {
    path: "pools.NAME.outlier_detection.success_rate",
    doc: "Envoy's success rate: ejected is whose rate in the last interval is below mean − `stdev_factor` × σ. Never ejects in \
          pools below five, and in even ones without need: prefer `comparison`. When absent: off.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            change("request_volume = 100", "request_volume = 100\nenabled = false"),
            ENABLED_DOC,
        ),
        Key::built(
            "stdev_factor",
            "number, 0.1–10",
            Value("1.9"),
            set("stdev_factor = 2.5"),
            "How many standard deviations below the mean.",
        ),
        Key::built(
            "minimum_hosts",
            "whole number, 2–10000",
            Value("5"),
            set("minimum_hosts = 10"),
            "With fewer backends that have enough requests it is silent.",
        ),
        Key::built(
            "request_volume",
            "whole number, 1–1000000",
            Value("100"),
            set("request_volume = 50"),
            "Enough requests in an interval.",
        ),
    ],
};

pub(super) static FAILURE_PERCENTAGE: Section = Section {
    path: "pools.NAME.outlier_detection.failure_percentage",
    doc: "Envoy's failure percentage: a fixed limit for the last interval. When absent: off.",
    keys: &[
        Key::built(
            "enabled",
            "boolean",
            ON,
            change("threshold = 85", "threshold = 85\nenabled = false"),
            ENABLED_DOC,
        ),
        Key::built(
            "threshold",
            "percent, 1–100",
            Value("85"),
            set("threshold = 50"),
            "This percentage of failures, or more, ejects.",
        ),
        Key::built(
            "minimum_hosts",
            "whole number, 1–10000",
            Value("5"),
            set("minimum_hosts = 2"),
            "With fewer backends that have enough requests it is silent.",
        ),
        Key::built(
            "request_volume",
            "whole number, 1–1000000",
            Value("50"),
            set("request_volume = 20"),
            "Enough requests in an interval.",
        ),
    ],
};
