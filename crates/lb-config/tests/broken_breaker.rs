//! Mistakes in `circuit_breaker`, and what becomes of it.

mod common;

use common::check;
use lb_config::Format::Toml;
use lb_config::{Format, parse};

fn with(section: &str) -> String {
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:8080\"\n[pools.web]\nbackends = [{{ url = \"http://127.0.0.1:9001\" }}]\n{section}\n"
    )
}

#[test]
fn values() {
    check(
        Toml,
        &with(
            "circuit_breaker = { failure_treshold = 3, recovery_timeout = \"0s\", failure_rate = 101, rate_window = 0 }",
        ),
        "f:5:21: error: unknown key `failure_treshold`
  help: did you mean `failure_threshold`?
f:5:62: error: `recovery_timeout` must be from 1ms to 1d
f:5:83: error: `failure_rate` must be a whole number from 1 to 100, not 101
f:5:102: error: `rate_window` must be a whole number from 1 to 1000, not 0",
    );
}

#[test]
fn what_would_do_nothing() {
    check(
        Toml,
        &with("circuit_breaker = { slow_call_rate = 50 }"),
        "f:5:21: error: `slow_call_rate` does nothing without `slow_call_duration`",
    );
    check(
        Toml,
        &with("circuit_breaker = { failure_threshold = 0 }"),
        "f:5:41: error: `failure_threshold` is 0 and there is no rate: nothing would open the breaker
  help: enabled = false switches breakers off",
    );
}

#[test]
fn fallback_response() {
    check(
        Toml,
        &with(
            "[pools.web.circuit_breaker.fallback_response]\nstatus = 199\nbody = 7\nheaders = { \"a b\" = \"c\", Content-Length = \"1\", X = \"a\\nb\" }",
        ),
        "f:6:10: error: `status` must be a whole number from 200 to 599, not 199
f:7:8: error: `body` must be a text, not 7
  help: put it in quotes: \"7\"
f:8:13: error: \"a b\" is no header name
f:8:26: error: header `Content-Length` is set by the proxy itself
f:8:48: error: the value of header `X` has a control character",
    );
}

#[test]
fn what_is_typed_is_what_holds() {
    let pool = |section: &str| parse(&with(section), Format::Toml, "f").unwrap().pools["web"].clone();
    assert_eq!(pool("").circuit_breaker, None);
    assert_eq!(pool("circuit_breaker = { enabled = false }").circuit_breaker, None);
    let all = pool("circuit_breaker = {}").circuit_breaker.unwrap();
    assert_eq!(all, lb_config::CircuitBreaker::default());
    let own = pool("circuit_breaker = { fallback_response = { body = \"\", headers = {} } }");
    let fallback = own.circuit_breaker.unwrap().fallback;
    assert_eq!((fallback.status, fallback.body.as_str(), fallback.headers.len()), (503, "", 0));
}
