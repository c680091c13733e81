//! Backends, their checks and their discovery that cannot be: the exact messages.

mod common;

use common::check;
use lb_config::Format::Toml;

#[test]
fn no_backends() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
algorithm = "random"
"#,
        r#"f:3:8: error: pool `web` has no backends
  help: add a backend with url = "http://127.0.0.1:9001", or `discovery`"#,
    );
}

#[test]
fn empty_backends() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = []
"#,
        r#"f:4:1: error: pool `web` has no backends
  help: add a backend with url = "http://127.0.0.1:9001", or `discovery`"#,
    );
}

#[test]
fn duplicate_ids() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [
  { id = "a", url = "http://127.0.0.1:9001" },
  { id = "a", url = "http://127.0.0.1:9002" },
  { url = "http://127.0.0.1:9003" },
  { url = "http://127.0.0.1:9003/b" },
]
"#,
        "f:6:10: error: backend id `a` is used twice in pool `web` (first by backend 1)
  help: ids must be unique within a pool
f:8:11: error: backend id `127.0.0.1:9003` is used twice in pool `web` (first by backend 3)
  help: the id comes from the url; give one of them an `id`",
    );
}

#[test]
fn zero_weights() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [{ url = "http://127.0.0.1:9001", weight = 0 }]
"#,
        "f:4:1: error: every backend of pool `web` has weight 0, so it would take no new requests
  help: give at least one a weight of 1 or more",
    );
}

#[test]
fn bad_weights() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [
  { url = "http://127.0.0.1:1", weight = -1 },
  { url = "http://127.0.0.1:2", weight = 1.5 },
  { url = "http://127.0.0.1:3", weight = "2" },
  { url = "http://127.0.0.1:4", weight = 4294967296 },
]
"#,
        r#"f:5:42: error: `weight` must be a whole number from 0 to 4294967295, not -1
f:6:42: error: `weight` must be a whole number from 0 to 4294967295, not 1.5
f:7:42: error: `weight` must be a whole number from 0 to 4294967295, not "2"
  help: write 2, without quotes
f:8:42: error: `weight` must be a whole number from 0 to 4294967295, not 4294967296"#,
    );
}

#[test]
fn bad_urls() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [
  { url = "127.0.0.1:9001" },
  { url = "ftp://127.0.0.1" },
  { url = "http://127.0.0.1:99999" },
  { url = "http://user:pw@127.0.0.1" },
  { url = "" },
  { weight = 2 },
]
"#,
        r#"f:5:11: error: bad backend URL "127.0.0.1:9001": it must start with http://, https:// or unix:
  help: did you mean "http://127.0.0.1:9001"?
f:6:11: error: bad backend URL "ftp://127.0.0.1": it must start with http://, https:// or unix:
f:7:11: error: bad backend URL "http://127.0.0.1:99999": the port must be a number from 1 to 65535
f:8:11: error: bad backend URL "http://user:pw@127.0.0.1": a user or password in a backend URL is not supported
f:9:11: error: `url` must not be empty
f:10:3: error: missing key `url`
  help: it takes http://host:port/base or unix:/path"#,
    );
}

#[test]
fn health_check() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { path = "health", method = "get", expected_status = [200, "299-200", 99], headers = { "a b" = "c", Connection = "close" } }
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        r#"f:4:25: error: `path` must start with /, not "health"
  help: did you mean "/health"?
f:4:44: error: bad HTTP method "get"
  help: did you mean "GET"?
f:4:75: error: bad status "299-200" in `expected_status`
  help: a status is a number from 200 to 599, a range is text such as "200-299"
f:4:86: error: bad status 99 in `expected_status`
  help: a status is a number from 200 to 599, a range is text such as "200-299"
f:4:103: error: "a b" is no header name
f:4:116: error: header `Connection` is set by the check itself"#,
    );
}

#[test]
fn tcp_check() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { type = "tcp", path = "/health" }
backends = [{ url = "unix:/a.sock", health_check = { path = "/up", port = 80 } }]
"#,
        "f:4:32: error: `path` belongs to an http check, and this one is tcp
f:5:54: error: `path` belongs to an http check, and the pool's is tcp
f:5:75: error: a backend on a unix socket has no `host` of its own to check
  help: give `host`, too",
    );
}

#[test]
fn override_of_nothing() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [{ url = "http://127.0.0.1:9001", health_check = { host = "a:80" } }]
"#,
        r#"f:4:46: error: this backend's `health_check` changes nothing: its pool has no `health_check`
  help: add health_check = {} to the pool
f:4:70: error: bad `host` "a:80"
  help: it must be an IP address or a name; the port has a key of its own"#,
    );
}

#[test]
fn metadata() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
subset = { version = 2 }
backends = [{ url = "http://127.0.0.1:9001", metadata = { version = 2.1, canary = true } }]
"#,
        r#"f:4:22: error: `subset.version` must be a text, not 2
  help: put it in quotes: "2"
f:5:69: error: `metadata.version` must be a text, not 2.1
  help: put it in quotes: "2.1"
f:5:83: error: `metadata.canary` must be a text, not true
  help: put it in quotes: "true""#,
    );
}

#[test]
fn subset() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
subset = { version = "2" }
backends = [{ url = "http://127.0.0.1:9001" }]
"#,
        "f:4:10: error: no backend of pool `web` has the metadata that `subset` asks for",
    );
}

#[test]
fn discovery() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
discovery = { type = "dns", name = "10.0.0.1", path = "a" }
"#,
        r#"f:4:1: error: missing key `port`
  help: it takes 1–65535; with kubernetes also a name
f:4:36: error: "10.0.0.1" is an IP address, not a DNS name
  help: list it in `backends`
f:4:48: error: `path` belongs to discovery by file"#,
    );
}

#[test]
fn discovery_srv() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
discovery = { type = "dns", name = "a b", port = 80, record = "SRV" }
"#,
        r#"f:4:36: error: bad DNS name "a b"
f:4:63: error: `record` must be one of address, srv, not "SRV"
  help: did you mean "srv"?"#,
    );
}

#[test]
fn discovery_kind() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
discovery = { type = "consul" }
"#,
        r#"f:4:22: error: `type` must be one of dns, file, kubernetes, not "consul""#,
    );
}
