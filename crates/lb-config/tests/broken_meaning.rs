//! Files that say something that cannot be: the exact messages, several from one file where there are several.

mod common;

use common::check;
use lb_config::Format::Toml;

#[test]
fn empty() {
    check(
        Toml,
        "",
        r#"f:1:1: error: missing key `listeners`: there is no address to listen on
  help: add [[listeners]] with address = "127.0.0.1:8080"
f:1:1: error: missing key `pools`: there is no backend to send requests to
  help: add [[pools.main.backends]] with url = "http://127.0.0.1:9001""#,
    );
}

#[test]
fn unknown_keys() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
max_connection = 5
[pools.web]
helth_check = {}
weight = 3
xyzzy = 1
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        "f:3:1: error: unknown key `max_connection`
  help: did you mean `max_connections`?
f:5:1: error: unknown key `helth_check`
  help: did you mean `health_check`?
f:6:1: error: unknown key `weight`
  help: `weight` belongs in `pools.NAME.backends`
f:7:1: error: unknown key `xyzzy`",
    );
}

#[test]
fn not_built() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
tls = { certificates = [] }
[admin]
address = "127.0.0.1:9900"
token = "env:T"
[pools.web]
tls = {}
backends = [{ url = "https://127.0.0.1:9001" }]
"#,
        "f:3:1: error: key `tls` is not built yet (planned: TLS and further protocols)
f:6:1: error: key `token` is not built yet (planned: control at run time)
f:8:1: error: key `tls` is not built yet (planned: TLS and further protocols)
f:9:21: error: https backends are not built yet (planned: TLS and further protocols)
  help: use http:// where the network between is trusted",
    );
}

#[test]
fn two_pools() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [{ url = "http://127.0.0.1:9001" }]
[pools.green]
backends = [{ url = "http://127.0.0.1:9002" }]
"#,
        "f:5:8: error: pool `green` is one too many: several pools need routes
  help: add [[routes]], or keep one pool; `web` comes first",
    );
}

#[test]
fn pool_names() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools."a b"]
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:3:8: error: bad pool name "a b"
  help: a pool's name has 1 to 64 letters, digits, `-`, `_` and `.`, and starts with a letter, digit or `_`"#,
    );
}

#[test]
fn addresses() {
    check(
        Toml,
        r#"[admin]
address = "0.0.0.0:9900"
[[listeners]]
address = ":8080"
[[listeners]]
address = "localhost:8080"
[[listeners]]
address = "[::1]:80"
[[listeners]]
address = "[::1]:80"
[[listeners]]
[pools.web]
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:2:11: error: the admin address 0.0.0.0:9900 is not a loopback address
  help: use 127.0.0.1:9900 until key `token`, which protects any other, is built
f:4:11: error: bad address ":8080": the IP address is missing
  help: did you mean "0.0.0.0:8080"?
f:6:11: error: bad address "localhost:8080": a name cannot be listened on
  help: did you mean "127.0.0.1:8080"?
f:10:11: error: address "[::1]:80" is listened on twice
f:11:1: error: missing key `address`
  help: it takes IP:port, [IPv6]:port or unix:/path"#,
    );
}

#[test]
fn durations_and_sizes() {
    check(
        Toml,
        r#"shutdown_grace = 30
[[listeners]]
address = "127.0.0.1:8080"
timeouts = { header = "10 seconds", body = "0s", idle = "1.5s" }
limits = { header_bytes = "4KiB", header_count = 0 }
[pools.web]
connection_timeout = true
health_check = { interval = "1ms", timeout = "30x" }
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:1:18: error: `shutdown_grace` must be a duration such as "30s", not 30
  help: did you mean "30s"?
f:4:23: error: bad duration "10 seconds" for `header`: the unit is missing after 10
  help: did you mean "10s"?
f:4:44: error: `body` must be longer than 0
f:4:57: error: bad duration "1.5s" for `idle`: fractions are not allowed; use a smaller unit, such as "1s500ms" for 1.5 s
f:5:27: error: `header_bytes` must be from 8KiB to 1MiB
f:5:50: error: `header_count` must be a whole number from 1 to 4096, not 0
f:7:22: error: `connection_timeout` must be a duration such as "30s", not true
f:8:29: error: `interval` must be from 10ms to 1d
f:8:46: error: bad duration "30x" for `timeout`: unknown unit `x` (known are d, h, m, s, ms, us)"#,
    );
}

#[test]
fn algorithm() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
algorithm = { name = "ring_hash", key = "header:" }
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:4:22: error: unknown algorithm "ring_hash"
  help: did you mean "ring-hash"?"#,
    );
}

#[test]
fn algorithm_options() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
algorithm = { name = "p2c", key = "path", decay = "5s" }
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        "f:4:29: error: `key` is no option of `p2c`; it belongs to `maglev`, `ring-hash`, `rendezvous`
f:4:43: error: `decay` is no option of `p2c`; it belongs to `peak-ewma`, `adaptive`",
    );
}

#[test]
fn algorithm_values() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
algorithm = { name = "maglev", key = "header:", hash_balance_factor = 100 }
slow_start = {}
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:4:38: error: bad `key` "header:"
  help: it must be client-ip, header:NAME, cookie:NAME, query:NAME or path
f:4:71: error: `hash_balance_factor` must be a whole number from 101 to 10000, not 100
f:5:1: error: `slow_start` does nothing with `maglev`, which sends each key where it belongs
  help: remove it, or choose another algorithm"#,
    );
}

#[test]
fn adaptive_options_and_the_agents_header() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
algorithm = { name = "adaptive", weight_expiration_period = "0s", error_utilization_penalty = -1, samples = 3 }
agent_header = "Content-Length"
connection_tracking = false
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:4:61: error: `weight_expiration_period` must be longer than 0
f:4:95: error: `error_utilization_penalty` must be a number from 0 to 1000, not -1
f:4:99: error: unknown key `samples`
f:5:16: error: `agent_header` cannot be content-length: the header is taken out of every response
  help: use a header of your own, such as X-Agent
f:6:23: error: `connection_tracking` cannot be off: `adaptive` needs it
  help: remove the key: tracking is always on"#,
    );
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
agent_header = "X Agent"
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:4:16: error: "X Agent" is no header name"#,
    );
}

#[test]
fn tracking() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
algorithm = "least-connections"
connection_tracking = false
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        "f:5:23: error: `connection_tracking` cannot be off: `least-connections` needs it
  help: remove the key: tracking is always on",
    );
}

#[test]
fn log() {
    check(
        Toml,
        r#"log = { level = "warning", format = "xml" }
[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:1:17: error: `level` must be one of off, error, warn, info, debug, trace, not "warning"
  help: did you mean "warn"?
f:1:37: error: `format` must be one of text, json, not "xml""#,
    );
}

#[test]
fn no_pool() {
    check(
        Toml,
        r#"pools = {}
[[listeners]]
address = "127.0.0.1:8080"
"#,
        "f:1:9: error: `pools` must have one pool
  help: add a table `pools.main` with a list `backends`",
    );
}

#[test]
fn key_at_the_wrong_place() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
pools = {}
"#,
        r#"f:1:1: error: missing key `pools`: there is no backend to send requests to
  help: add [[pools.main.backends]] with url = "http://127.0.0.1:9001"
f:3:1: error: unknown key `pools`
  help: `pools` belongs in the top of the file"#,
    );
}

#[test]
fn outlier_detection() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [{ url = "http://127.0.0.1:9001" }]
[pools.web.outlier_detection]
consecutive_5xx = 5
consecutive_failures = 1001
interval = "1ms"
base_ejection_time = "60s"
max_ejection_time = "30s"
max_ejection_percent = 0
jitter_percent = "10"
success_rate = { stdev_factor = 0 }
failure_percentage = { threshold = 101, enabled = "no" }
comparison = { false_alarm_rate = 1, minimum_ratio = 0.5, minimum_hosts = 5 }
"#,
        r#"f:6:1: error: unknown key `consecutive_5xx`
f:7:24: error: `consecutive_failures` must be a whole number from 0 to 1000, not 1001
f:8:12: error: `interval` must be from 10ms to 1d
f:10:21: error: `max_ejection_time` must be at least `base_ejection_time`, 1m
f:11:24: error: `max_ejection_percent` must be a whole number from 1 to 100, not 0
f:12:18: error: `jitter_percent` must be a whole number from 0 to 100, not "10"
  help: write 10, without quotes
f:13:33: error: `stdev_factor` must be a number from 0.1 to 10, not 0
f:14:36: error: `threshold` must be a whole number from 1 to 100, not 101
f:14:51: error: `enabled` must be true or false, not "no"
  help: write false
f:15:35: error: `false_alarm_rate` must be a number from 0.000000001 to 0.1, not 1
f:15:54: error: `minimum_ratio` must be a number from 1 to 100, not 0.5
f:15:59: error: unknown key `minimum_hosts`
  help: did you mean `minimum_requests`?"#,
    );
}

#[test]
fn outlier_detection_that_does_nothing() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
outlier_detection = { consecutive_failures = 0, comparison = { enabled = false } }
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        "f:4:1: error: `outlier_detection` would never eject: all its counts are 0 and its statistics off
  help: set enabled = false, or remove the section",
    );
}
