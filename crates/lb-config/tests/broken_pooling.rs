//! Mistakes in `connection_pooling` and in the limits of a listener, and what becomes of them.

mod common;

use common::check;
use lb_config::Format::Toml;
use lb_config::{ConnectionPooling, parse};
use std::time::Duration;

fn with(listener: &str, pool: &str) -> String {
    format!(
        "[[listeners]]\naddress = \"127.0.0.1:8080\"\n{listener}\n[pools.web]\nbackends = [{{ url = \"http://127.0.0.1:9001\" }}]\n{pool}\n"
    )
}

#[test]
fn values_of_pooling() {
    check(
        Toml,
        &with(
            "",
            "connection_pooling = { max_connections = 0, max_idle = \"1s\", keep_alive_timeout = \"0s\", max_requests = 0 }",
        ),
        "f:6:42: error: `max_connections` must be a whole number from 1 to 1000000, not 0
f:6:45: error: unknown key `max_idle`
  help: did you mean `max_idle_time`?
f:6:83: error: `keep_alive_timeout` must be longer than 0
f:6:104: error: `max_requests` must be a whole number from 1 to 4294967295, not 0",
    );
    check(
        Toml,
        &with("", "connection_pooling = { max_connections = 4, preconnect = 5 }"),
        "f:6:58: error: `preconnect` must be a whole number from 0 to 4, not 5",
    );
}

#[test]
fn what_would_do_nothing() {
    check(
        Toml,
        &with("", "connection_pooling = { enabled = false, preconnect = 1, max_requests = 9 }"),
        "f:6:41: error: `preconnect` does nothing while `enabled` is false: connections are not kept
f:6:57: error: `max_requests` does nothing while `enabled` is false: connections are not kept",
    );
    check(
        Toml,
        &with("", "connection_pooling = { keep_alive = false, max_lifetime = \"1h\" }"),
        "f:6:44: error: `max_lifetime` does nothing while `keep_alive` is false: connections are not kept",
    );
    check(
        Toml,
        &with("limits = { rate_grace = \"1s\" }", ""),
        "f:3:12: error: `rate_grace` does nothing without `min_body_rate` or `min_send_rate`",
    );
}

#[test]
fn limits_of_a_listener() {
    check(
        Toml,
        &with("max_connections_per_ip = 0\nlimits = { body_bytes = 10, min_body_rate = \"0B\" }", ""),
        "f:3:26: error: `max_connections_per_ip` must be a whole number from 1 to 10000000, not 0
f:4:25: error: `body_bytes` must be a size such as \"64KiB\", not 10
  help: did you mean \"10B\"?
f:4:45: error: `min_body_rate` must be from 1B to 1GiB",
    );
    let text = with("limits = { body_bytes = \"0B\", min_send_rate = \"1KiB\", rate_grace = \"0s\" }", "");
    let listener = parse(&text, Toml, "f").unwrap().listeners[0].clone();
    assert_eq!((listener.max_body_bytes, listener.min_body_rate), (Some(0), None));
    assert_eq!((listener.min_send_rate, listener.rate_grace), (Some(1024), Duration::ZERO));
}

#[test]
fn what_is_typed_is_what_holds() {
    let pool = |section: &str| parse(&with("", section), Toml, "f").unwrap().pools["web"].clone();
    assert_eq!(pool("").connection_pooling, None);
    assert_eq!(pool("connection_pooling = {}").connection_pooling, Some(ConnectionPooling::default()));
    let off =
        pool("connection_pooling = { enabled = false, max_connections = 3 }").connection_pooling.unwrap();
    assert!(!off.enabled && off.max_connections == 3);
}
