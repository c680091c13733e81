//! Wrong routes: what is said, and where. And what is right, but hardly meant.

mod common;

use common::check;
use lb_config::Format::Toml;
use lb_config::{Config, parse};

const POOLS: &str = "[pools.web]
queuing = {}
backends = [{ url = \"http://127.0.0.1:9001\" }]
[pools.api]
backends = [{ url = \"http://127.0.0.1:9001\" }]
";
const LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:8080\"\n";

fn file(routes: &str) -> String {
    format!("{routes}\n{LISTENER}{POOLS}")
}

fn broken(routes: &str, said: &str) {
    check(Toml, &file(routes), said);
}

fn good(routes: &str) -> Config {
    parse(&file(routes), Toml, "f").unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn conditions() {
    broken(
        r#"[[routes]]
pool = "web"
hosts = ["a..b"]
path = "/a"
path_exact = "/b"
clients = ["10.0.0.0/33", 7]
[[routes]]
pool = "api"
methods = ["get"]
match_headers = { X-A = { exact = "1", present = true }, X-B = 3, X-C = { absent = false } }
match_query = "a""#,
        "f:3:9: error: `hosts` = \"a..b\": must be a name, `*.` and a name, or `*`
f:5:1: error: a route has one of `path`, `path_exact` and `path_regex`
f:6:12: error: bad network \"10.0.0.0/33\" in `clients`
  help: a network is written 10.0.0.0/8 or 2001:db8::/32, an address 10.0.0.7
f:6:27: error: each item of `clients` must be a text, not 7
f:9:11: error: `methods` = \"get\": must be a method's name, in capitals
f:10:25: error: each item of `match_headers` must have one of exact, regex, present and absent
f:10:64: error: each item of `match_headers` must be a table, not 3
f:10:84: error: `absent` must be true, or left out
f:11:15: error: `match_query` must be a table, not \"a\"",
    );
    broken(
        "routes = [{ pool = \"web\", path_regex = \"(\" }, { pool = \"api\", match_query = { \"\" = \"1\" } }, { pool = \"api\", hosts = [] }]",
        "f:1:40: error: `path_regex` = \"(\": must be a regular expression: unclosed group
f:1:77: error: `match_query` = \"\": must have 1 to 1024 bytes
f:1:117: error: `hosts` must not be an empty list
  help: leave the key out: any is right",
    );
}

#[test]
fn where_they_go() {
    broken(
        "routes = []",
        "f:1:10: error: `routes` must have at least one route
  help: leave the key out: one pool takes everything",
    );
    broken(
        r#"[[routes]]
pool = "wbe"
[[routes]]
name = "a"
path = "/"
[[routes]]
name = "a"
redirect = { status = 304, location = "/{x}" }
[[routes]]
respond = { status = 99 }
max_body = "1KiB"
service_headers = true"#,
        "f:2:8: error: `pool`: there is no pool \"wbe\"
  help: did you mean \"web\"?
f:3:1: error: a route must have one of `pool`, `split`, `redirect` and `respond`
  help: add pool = \"NAME\", a pool under `pools`
f:8:23: error: `status` must be 301, 302, 303, 307 or 308
f:8:39: error: `location` = \"/{x}\": there is no {x}; there are client_ip, method, scheme, host, path, query, route, request_id
f:10:22: error: `status` must be a whole number from 200 to 599, not 99
f:11:1: error: `max_body` does nothing without `pool`: nothing is forwarded
f:12:1: error: `service_headers` does nothing without `pool`: nothing is forwarded",
    );
    broken(
        "[[routes]]\nname = \"2\"\npool = \"web\"\n[[routes]]\npool = \"web\"",
        "f:4:1: error: route \"2\" is there twice
  help: a route without a name is called by its place
f:11:8: error: no request comes to pool `api`: no route leads to it
  help: remove it, or add a route with it",
    );
}

#[test]
fn what_they_change() {
    broken(
        r#"[[routes]]
pool = "web"
path = "/u/{id}"
rewrite = { strip_prefix = true, path = "/x" }
priority = "hihg"
headers.request = { set = { X-A = "{param.no}", Content-Length = "1" }, add = { Host = "x" }, remove = ["Connection", "a b"] }
[[routes]]
pool = "api"
rewrite = { replace_prefix = "v2" }
priority = "high"
rate_limit = { limit = 5, window = "1s", key = "route", on_store_failure = "open" }
[[routes]]
pool = "api"
rewrite = { regex = "(", with = "$1" }
[[routes]]
pool = "api"
rewrite = { path = "/{no}", with = "x" }
[[routes]]
pool = "api"
rewrite = { regex = "a", with = "$1" }"#,
        "f:4:1: error: `rewrite` must have one of `strip_prefix`, `replace_prefix`, `regex` and `path`
f:5:12: error: `priority` must be one of high, normal, low, not \"hihg\"
  help: did you mean \"high\"?
f:6:27: error: `set` = \"{param.no}\": there is no {param.no}; there are client_ip, method, scheme, host, path, query, route, request_id, param.id
f:6:49: error: header `Content-Length` is set by the proxy itself
f:6:79: error: a request has one `Host`: `set` changes it
f:6:105: error: header \"Connection\" is set by the proxy itself
f:6:119: error: \"a b\" is no header name
f:9:30: error: `replace_prefix` = \"v2\": is no path: the path does not begin with a slash
f:10:12: error: `priority` does nothing: pool `api` has no `queuing`
  help: add queuing = {} to the pool
f:11:57: error: `on_store_failure` does nothing without `storage`
  help: add storage = \"NAME\", a store under `stores`
f:14:21: error: `regex` = \"(\": must be a regular expression: unclosed group
f:17:20: error: `path` = \"/{no}\": there is no {no}; there are none
f:17:29: error: `with` goes with `regex`
f:20:33: error: `with` = \"$1\": has `$1`, which is no group (a dollar itself is `$$`)",
    );
}

#[test]
fn a_route_that_gets_nothing_is_warned_of() {
    let config = good(
        "[[routes]]\npath = \"/api\"\npool = \"api\"\n[[routes]]\npool = \"web\"\n[[routes]]\nname = \"late\"\npath = \"/api/x\"\npool = \"api\"",
    );
    assert_eq!(
        config.warnings,
        ["f:6:1: warning: route \"late\" gets no requests: route \"1\" before it takes them all"]
    );
    assert_eq!((config.entry.as_str(), config.routes.len()), ("", 3));
    assert!(
        good("[[routes]]\npath = \"/api\"\npool = \"api\"\n[[routes]]\npool = \"web\"").warnings.is_empty()
    );
}

#[test]
fn a_regional_pool_needs_no_route_and_may_have_one() {
    let text = |route: &str| {
        format!(
            "{LISTENER}[[routes]]\npool = \"top\"\n{route}[pools.top]\nalgorithm = \"geo-aware\"\nregional_balancers = {{ a = {{ pool = \"web\" }} }}\n\
             [pools.web]\nbackends = [{{ url = \"http://127.0.0.1:9001\" }}]\n"
        )
    };
    for route in ["", "[[routes]]\npool = \"web\"\n"] {
        let config = parse(&text(route), Toml, "f").unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(config.pools.len(), 2);
    }
}

#[test]
fn compression_and_mirroring() {
    broken(
        r#"[[routes]]
pool = "web"
compression = { algorithms = ["brotli", "gzip", "gzip"], min_size = "2GiB", types = ["text", "text/event-stream", "application/grpc+proto"] }
mirror = { pool = "web", percent = 101, max_in_flight = 0, timeout = "2h" }
[[routes]]
pool = "api"
compression = { algorithms = [], types = [] }
mirror = { pool = "webb", percent = 0.001 }
[[routes]]
path = "/x"
respond = {}
compression = {}
mirror = { pool = "api" }
[[routes]]
pool = "api"
mirror = {}"#,
        "f:3:31: error: each item of `algorithms` must be one of zstd, br and gzip, not \"brotli\"
  help: they are called as in Accept-Encoding: zstd, br, gzip
f:3:49: error: \"gzip\" is twice in `algorithms`
f:3:69: error: `min_size` must be from 0B to 1GiB
f:3:86: error: `types`: \"text\" is no media type
  help: it is written text/html, or text/* for all of them; parameters such as charset do not count
f:3:94: error: `types`: text/event-stream is never compressed: its parts have to arrive as they are sent
f:3:115: error: `types`: application/grpc+proto is never compressed: its parts have to arrive as they are sent
f:4:19: error: `pool` \"web\" is the route's own: its backends would get each request twice
  help: mirror to another pool
f:4:36: error: `percent` must be a number from 0 to 100, not 101
f:4:57: error: `max_in_flight` must be a whole number from 1 to 100000, not 0
f:4:70: error: `timeout` must be from 1ms to 1h
f:7:30: error: `algorithms` must have one at least
  help: leave the key out to get its default, or set enabled = false
f:7:42: error: `types` must have 1 to 100 media types, not 0
  help: leave the key out to get its default
f:8:19: error: `pool`: there is no pool \"webb\"
  help: did you mean \"web\"?
f:8:37: error: `percent` must be 0, or at least 0.01
  help: it counts in steps of 0.01
f:12:1: error: `compression` does nothing without `pool`: nothing is forwarded
f:13:1: error: `mirror` does nothing without `pool`: nothing is forwarded
f:16:1: error: missing key `pool`
  help: it takes a name under pools, not the route's own",
    );
}

#[test]
fn a_pool_that_only_gets_copies_is_reached() {
    for mirror in ["{ pool = \"api\" }", "{ pool = \"api\", enabled = false }"] {
        let config = good(&format!("[[routes]]\npool = \"web\"\nmirror = {mirror}"));
        let mirror = config.routes[0].mirror.as_ref().unwrap();
        assert_eq!((&*mirror.pool, mirror.percent), ("api", if mirror.percent > 0.0 { 100.0 } else { 0.0 }));
    }
}
