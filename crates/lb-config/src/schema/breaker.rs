//! A pool's circuit breakers.

use super::Default::{Text, Value};
use super::proof::*;
use super::response::response;
use super::{Key, Kind, Section};

pub(super) static CIRCUIT_BREAKER: Section = Section {
    path: "pools.NAME.circuit_breaker",
    doc: "A circuit breaker before each backend: one that fails too much gets nothing for a while, then a few requests to show whether it has \
          recovered. `circuit_breaker = {}` is enough. See [circuit breaker](circuit-breaker.md). When absent: there are none.",
    keys: &[
        Key::built("enabled", "boolean", ON, set("enabled = false"), ENABLED_DOC),
        Key::built(
            "failure_threshold",
            "whole number, 0–1000",
            Value("5"),
            set("failure_threshold = 3"),
            "This many failures within `monitoring_period` open it. 0: only the rates do.",
        ),
        Key::built(
            "recovery_timeout",
            "duration, 1ms–24h",
            Value("\"60s\""),
            set("recovery_timeout = \"5s\""),
            "How long it stays open before it lets probes through.",
        ),
        Key::built(
            "monitoring_period",
            "duration, 100ms–24h",
            Value("\"10s\""),
            set("monitoring_period = \"30s\""),
            "Older failures are forgotten.",
        ),
        Key::built(
            "success_threshold",
            "whole number, 1–1000",
            Value("3"),
            set("success_threshold = 1"),
            "This many successful probes close it.",
        ),
        Key::built(
            "half_open_probes",
            "whole number, 1–1000",
            Text("`success_threshold`"),
            set("half_open_probes = 1"),
            "The most probes under way at once.",
        ),
        Key::built(
            "failure_rate",
            "percent, 1–100",
            NONE,
            set("failure_rate = 50"),
            "This share of failed requests opens it, once there were `minimum_calls`.",
        ),
        Key::built(
            "slow_call_duration",
            "duration, 1ms–24h",
            NONE,
            set("slow_call_duration = \"2s\"\nslow_call_rate = 50"),
            "A request whose response begins this late or later is slow. Goes with `slow_call_rate`.",
        ),
        Key::built(
            "slow_call_rate",
            "percent, 1–100",
            NONE,
            change(
                "slow_call_duration = \"2s\"\nslow_call_rate = 50",
                "slow_call_duration = \"2s\"\nslow_call_rate = 60",
            ),
            "This share of slow requests opens it, once there were `minimum_calls`. Goes with `slow_call_duration`.",
        ),
        Key::built(
            "minimum_calls",
            "whole number, 1–1000000",
            Value("10"),
            set("minimum_calls = 100"),
            "With fewer requests in the window no rate is defined.",
        ),
        Key::built(
            "rate_window",
            "whole number, 1–1000",
            Text("the requests within `monitoring_period`"),
            set("rate_window = 100"),
            "The rates are of the last so many requests.",
        ),
        Key::section(
            "fallback_response",
            Kind::Table(&FALLBACK_RESPONSE),
            Text("as below"),
            "What clients are told when no backend may be tried because breakers are open.",
        ),
    ],
};

pub(super) static FALLBACK_RESPONSE: Section = Section {
    path: "pools.NAME.circuit_breaker.fallback_response",
    doc: "What clients are told when no backend may be tried because breakers are open.",
    keys: &response(Value("\"Service temporarily unavailable\""), Value("{ Retry-After = \"60\" }")),
};
