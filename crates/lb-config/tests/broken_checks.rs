//! Health checks that cannot be: the exact messages.

mod common;

use common::check;
use lb_config::Format::Toml;

#[test]
fn expected_body() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { expected_body = { regex = "a(" }, method = "HEAD" }
backends = [
  { url = "http://127.0.0.1:1", health_check = { expected_body = {} } },
  { url = "http://127.0.0.1:2", health_check = { expected_body = { exact = "", regex = "a" } } },
  { url = "http://127.0.0.1:3", health_check = { expected_body = 200 } },
  { url = "http://127.0.0.1:4", health_check = { expected_body = { contain = "a" } } },
  { url = "http://127.0.0.1:5", health_check = { expected_body = "OK" } },
]
"#,
        r#"f:4:44: error: bad regular expression "a(": unclosed group
f:6:66: error: `expected_body` must have one of `exact`, `contains` and `regex`
  help: write expected_body = "OK" for a text that must stand in the body
f:7:66: error: `expected_body` must have one of `exact`, `contains` and `regex`
  help: write expected_body = "OK" for a text that must stand in the body
f:8:66: error: `expected_body` must be a table, not 200
f:9:66: error: `expected_body` must have one of `exact`, `contains` and `regex`
  help: write expected_body = "OK" for a text that must stand in the body
f:9:68: error: unknown key `contain`
  help: did you mean `contains`?
f:10:50: error: an answer to HEAD has no body, and `expected_body` asks for one
  help: use method = "GET""#,
    );
}

#[test]
fn body_of_head() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { expected_body = "OK" }
backends = [{ url = "http://127.0.0.1:1", health_check = { method = "HEAD" } }]
"#,
        r#"f:5:60: error: an answer to HEAD has no body, and `expected_body` asks for one
  help: use method = "GET""#,
    );
}

#[test]
fn somewhere_else() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { port = 0, host = "http://a" }
backends = [{ url = "http://127.0.0.1:1" }]
"#,
        r#"f:4:25: error: `port` must be a whole number from 1 to 65535, not 0
f:4:35: error: bad `host` "http://a"
  help: it must be an IP address or a name; the port has a key of its own"#,
    );
}

#[test]
fn the_pools_port_and_a_unix_socket() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { port = 81 }
backends = [
  { url = "unix:/a.sock" },
  { url = "unix:/b.sock", health_check = { host = "127.0.0.1" } },
]
"#,
        "f:6:11: error: a backend on a unix socket has no `host` of its own to check
  help: give `host`, too",
    );
}

#[test]
fn agent_check() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
agent_check = { prot = 9999, interval = "1ms", host = "a:1" }
backends = [
  { url = "http://127.0.0.1:1", agent_check = { port = 99999 } },
  { url = "http://127.0.0.1:2", agent_check = {} },
  { url = "http://127.0.0.1:3", agent_check = { enabled = false } },
]
"#,
        r#"f:4:15: error: `agent_check` asks nobody: neither it nor a backend has a `port`
  help: add port = 9999
f:4:17: error: unknown key `prot`
  help: did you mean `port`?
f:4:41: error: `interval` must be from 10ms to 1d
f:4:55: error: bad `host` "a:1"
  help: it must be an IP address or a name; the port has a key of its own
f:6:56: error: `port` must be a whole number from 1 to 65535, not 99999
f:7:33: error: this backend has no agent: neither its `agent_check` nor its pool's has a `port`
  help: add port = 9999"#,
    );
}

#[test]
fn agents_nowhere() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
agent_check = {}
backends = [{ url = "http://127.0.0.1:1" }]
"#,
        "f:4:15: error: `agent_check` asks nobody: neither it nor a backend has a `port`
  help: add port = 9999",
    );
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
agent_check = { port = 9999 }
backends = [
  { url = "unix:/a.sock" },
  { url = "unix:/b.sock", agent_check = { host = "127.0.0.1" } },
]
"#,
        "f:6:11: error: a backend on a unix socket has no host where its agent could be
  help: give its `agent_check` a `host`, or enabled = false",
    );
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
backends = [{ url = "http://127.0.0.1:1", agent_check = { port = 1 } }]
"#,
        "f:4:43: error: this backend's `agent_check` changes nothing: its pool has no `agent_check`
  help: add agent_check = { port = 9999 } to the pool",
    );
}

#[test]
fn types_of_checks() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { type = "grpcs", path = "/up", service = "a" }
backends = [{ url = "http://127.0.0.1:1" }]
"#,
        r#"f:4:25: error: `type` must be one of http, https, grpc, tcp, not "grpcs"
  help: did you mean "grpc"?"#,
    );
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { type = "grpc", path = "/up", expected_body = "OK", service = "a\tb" }
backends = [{ url = "http://127.0.0.1:1", health_check = { path = "/up" } }]
"#,
        "f:4:33: error: `path` belongs to an http check, and this one is grpc
f:4:47: error: `expected_body` belongs to an http check, and this one is grpc
f:4:79: error: `service` must have at most 256 bytes and no control characters
f:5:60: error: `path` belongs to an http check, and the pool's is grpc",
    );
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { service = "a" }
backends = [{ url = "http://127.0.0.1:1" }]
"#,
        "f:4:18: error: `service` belongs to a grpc check, and this one is http",
    );
}

#[test]
fn tls_of_checks() {
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { type = "https", tls = { enabled = false, server_name = "a:1", sni = "a" } }
backends = [{ url = "http://127.0.0.1:1" }]
"#,
        r#"f:4:52: error: a check of type `https` cannot do without TLS
  help: use type = "http"
f:4:73: error: bad `server_name` "a:1"
  help: it must be an IP address or a name, without a port
f:4:80: error: unknown key `sni`"#,
    );
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { tls = { verify = false } }
backends = [{ url = "http://127.0.0.1:1" }]
"#,
        r#"f:4:24: error: `tls` does nothing: no backend is https
  help: use type = "https", or enabled = true in it"#,
    );
    check(
        Toml,
        r#"[[listeners]]
address = "127.0.0.1:8080"
[pools.web]
health_check = { type = "tcp", tls = {} }
backends = [{ url = "http://127.0.0.1:1" }]
"#,
        "f:4:32: error: `tls` belongs to an http or grpc check, and this one is tcp",
    );
}
