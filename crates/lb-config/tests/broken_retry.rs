//! Retry policies that cannot be: the exact messages.

mod common;

use common::check;
use lb_config::{Format::Toml, Hedge, RetryOn, RetryPolicy, parse};

fn file(retry_policy: &str) -> String {
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:8080\"\n[pools.web]\nbackends = [{{ url = \"http://127.0.0.1:9001\" }}]\n[pools.web.retry_policy]\n{retry_policy}"
    )
}

fn policy(retry_policy: &str) -> RetryPolicy {
    let config = parse(&file(retry_policy), Toml, "f").unwrap_or_else(|e| panic!("{e}"));
    config.pools["web"].retry.clone()
}

#[test]
fn conditions() {
    check(
        Toml,
        &file(r#"retry_on = ["conect-failure", "Reset", 302, "504-502", "6xx", "never", true, "503"]"#),
        r#"f:6:13: error: bad condition "conect-failure" in `retry_on`
  help: did you mean "connect-failure"?
f:6:31: error: bad condition "Reset" in `retry_on`
  help: did you mean "reset"?
f:6:40: error: bad condition 302 in `retry_on`
  help: it must be connect-failure, reset, timeout, a status from 400 to 599, a range such as "502-504" or "5xx"
f:6:45: error: bad condition "504-502" in `retry_on`
  help: it must be connect-failure, reset, timeout, a status from 400 to 599, a range such as "502-504" or "5xx"
f:6:56: error: bad condition "6xx" in `retry_on`
  help: it must be connect-failure, reset, timeout, a status from 400 to 599, a range such as "502-504" or "5xx"
f:6:63: error: bad condition "never" in `retry_on`
  help: it must be connect-failure, reset, timeout, a status from 400 to 599, a range such as "502-504" or "5xx"
f:6:72: error: bad condition true in `retry_on`
  help: it must be connect-failure, reset, timeout, a status from 400 to 599, a range such as "502-504" or "5xx""#,
    );
    check(
        Toml,
        &file("retry_on = []"),
        "f:6:12: error: `retry_on` must have at least one condition
  help: enabled = false switches retries off",
    );
}

#[test]
fn values() {
    check(
        Toml,
        &file(
            "max_retries = 101\nbackoff = \"linear\"\nbase_delay = 25\nmax_delay = \"2d\"\nbudget_percent = 1001
budget_window = \"10ms\"\nper_try_timeout = \"0s\"\nreplay_buffer = \"2MiB\"\n",
        ),
        r#"f:6:15: error: `max_retries` must be a whole number from 0 to 100, not 101
f:7:11: error: `backoff` must be one of exponential, constant, not "linear"
f:8:14: error: `base_delay` must be a duration such as "30s", not 25
  help: did you mean "25s"?
f:9:13: error: `max_delay` must be from 25ms to 1d
f:10:18: error: `budget_percent` must be a whole number from 0 to 1000, not 1001
f:11:17: error: `budget_window` must be from 100ms to 1h
f:12:19: error: `per_try_timeout` must be longer than 0
f:13:17: error: `replay_buffer` must be from 0B to 1MiB"#,
    );
}

#[test]
fn delays_agree() {
    check(
        Toml,
        &file("base_delay = \"2s\"\nmax_delay = \"1s\"\n"),
        "f:7:13: error: `max_delay` must be from 2s to 1d",
    );
    check(
        Toml,
        &file("backoff = \"constant\"\nmax_delay = \"1s\"\n"),
        "f:7:1: error: `max_delay` belongs to `backoff = \"exponential\"`, and this one is constant",
    );
}

#[test]
fn hedges() {
    check(
        Toml,
        &file("hedge = { percentile = 100, min_delay = 5 }\n"),
        r#"f:6:24: error: `percentile` must be a whole number from 50 to 99, not 100
f:6:41: error: `min_delay` must be a duration such as "30s", not 5
  help: did you mean "5s"?"#,
    );
    let blind = file("hedge = {}\n").replace("[pools.web]\n", "[pools.web]\nlatency_histograms = false\n");
    check(
        Toml,
        &blind,
        "f:7:1: error: `hedge` needs `latency_histograms`: it goes by what they hold
  help: remove latency_histograms = false",
    );
}

#[test]
fn what_is_typed_is_what_holds() {
    let p =
        policy("retry_on = [\"5xx\", 429, \"reset\", \"502-504\", \"reset\", \"428\"]\nbase_delay = \"3s\"");
    assert_eq!(p.retry_on, [RetryOn::Reset, RetryOn::Status(428..=429), RetryOn::Status(500..=599)]);
    assert_eq!((p.backoff.max_delay.as_secs(), p.backoff.jitter), (3, true));
    let constant = policy("backoff = \"constant\"\nbase_delay = \"0s\"").backoff;
    assert!(constant.base_delay.is_zero() && constant.max_delay.is_zero() && !constant.jitter);
    assert!(policy("backoff = \"constant\"\njitter = true").backoff.jitter);
    assert_eq!(policy("hedge = {}").hedge, Some(Hedge::default()));
    assert_eq!(policy("enabled = false\nhedge = {}").hedge, None);
    assert_eq!(policy("enabled = false\nmax_retries = 5").max_retries, 0);
    assert_eq!(policy(""), RetryPolicy::default());
}
