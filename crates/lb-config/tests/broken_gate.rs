//! Wrong gates, pages and ids: what is said, and where; no hash is ever shown.

mod common;

use common::check;
use lb_config::Format::Toml;
use lb_config::{Config, load, parse};

const HASH: &str = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW";
const REST: &str = "
[[listeners]]
address = \"127.0.0.1:8080\"
[pools.web]
backends = [{ url = \"http://127.0.0.1:9001\" }]
";

fn broken(text: &str, said: &str) {
    check(Toml, &format!("{text}{REST}"), said);
}

fn good(text: &str) -> Config {
    parse(&format!("{text}{REST}"), Toml, "f").unwrap_or_else(|e| panic!("{e}"))
}

#[test]
fn addresses() {
    broken(
        "[[routes]]\npool = \"web\"\nallow = [\"10.0.0.0/33\"]\ndeny = []",
        "f:3:10: error: bad network \"10.0.0.0/33\" in `allow`
  help: a network is written 10.0.0.0/8 or 2001:db8::/32, an address 10.0.0.7
f:4:8: error: `deny` must not be an empty list
  help: leave the key out",
    );
    let many = vec!["\"10.0.0.7\""; 1_025].join(", ");
    broken(
        &format!("[[routes]]\npool = \"web\"\ndeny = [{many}]"),
        "f:3:8: error: `deny` must have at most 1024 networks",
    );
}

#[test]
fn users() {
    let text = r#"[[routes]]
pool = "web"
path = "/a"
basic_auth = { users = { ann = "hunter2", "b:c" = "x", carl = "$2y$31$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW" }, realm = "a\"b", forward_user = "Content-Length" }
[[routes]]
path = "/b"
respond = { status = 200 }
basic_auth = { users = {}, forward_credentials = true }
[[routes]]
pool = "web"
basic_auth = {}"#;
    broken(
        text,
        "f:4:32: error: the hash of \"ann\" must begin with $2y$, $2b$ (bcrypt), $5$ or $6$ (SHA-crypt): make it with `htpasswd -nB NAME` or `openssl passwd -6`
f:4:43: error: \"b:c\" is no user's name: it has a colon or a control, or is empty
f:4:63: error: the hash of \"carl\" must have a bcrypt cost of 16 at most
f:4:137: error: `realm` must be printable ASCII without quote and backslash
f:4:160: error: header \"Content-Length\" is set by the proxy itself
f:8:24: error: `users` must have one user at least
f:8:28: error: `forward_credentials` does nothing without `pool`: nothing is forwarded
f:11:1: error: `basic_auth` must have `users` or `file`
  help: add users = { NAME = \"HASH\" }",
    );
    let error = parse(&format!("{text}{REST}"), Toml, "f").unwrap_err().render(false);
    assert!(!error.contains("hunter2") && !error.contains("abcdefghijk"), "{error}");
}

#[test]
fn a_file_of_users_is_read_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    let with = |users: &str, keys: &str| {
        std::fs::write(folder.path().join("htpasswd"), users).unwrap();
        let text =
            format!("[[routes]]\npool = \"web\"\nbasic_auth = {{ file = \"htpasswd\"{keys} }}\n{REST}");
        std::fs::write(&path, text).unwrap();
        load(&path)
    };
    let config =
        with(&format!("# ours\nann:{HASH}\n\nbob:{HASH}:further\r\n"), "").unwrap_or_else(|e| panic!("{e}"));
    let users = &config.routes[0].gate.basic_auth.as_ref().unwrap().users;
    assert_eq!(users.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["ann", "bob"]);
    assert!(!format!("{config:?}").contains(HASH));
    for (text, keys, said) in [
        ("ann:hunter2\n", "", "`file`: line 1 of htpasswd must begin with $2y$"),
        ("\nann\n", "", "`file`: line 2 of htpasswd must be NAME:HASH"),
        ("# none\n", "", "`file`: htpasswd has no users"),
        (&*format!("ann:{HASH}\nann:{HASH}"), "", "user \"ann\" is there twice"),
        (&format!("ann:{HASH}"), &format!(", users = {{ ann = \"{HASH}\" }}"), "user \"ann\" is there twice"),
    ] {
        let error = with(text, keys).unwrap_err().render(false);
        assert!(error.contains(said), "{said}: {error}");
        assert!(!error.contains("hunter2"), "{error}");
    }
}

#[test]
fn another_server() {
    broken(
        &format!(
            "[[routes]]
pool = \"web\"
path = \"/a\"
forward_auth = {{ url = \"https://auth.example/\", timeout = \"0s\", response_headers = [\"Host\", \"a b\"] }}
[[routes]]
path = \"/b\"
redirect = {{ location = \"/\" }}
forward_auth = {{ url = \"http://a.example/?x\", response_headers = [\"Remote-User\"] }}
[[routes]]
pool = \"web\"
basic_auth = {{ users = {{ ann = \"{HASH}\" }}, forward_user = \"remote-user\" }}
forward_auth = {{ url = \"http://a.example\", response_headers = [\"Remote-User\"] }}"
        ),
        "f:4:24: error: `url` must be http: TLS to such a server is not built yet
f:4:59: error: `timeout` must be longer than 0
f:4:85: error: header \"Host\" is set by the proxy itself
f:4:93: error: \"a b\" is no header name
f:8:24: error: `url` must be a URL without a query, not \"http://a.example/?x\"
  help: such as http://127.0.0.1:9091/verify
f:8:47: error: `response_headers` does nothing without `pool`: nothing is forwarded
f:12:16: error: header `remote-user` is told by `basic_auth` and by `forward_auth`
  help: one of them is enough",
    );
}

#[test]
fn other_origins() {
    broken(
        r#"[[routes]]
pool = "web"
path = "/a"
cors = { origins = ["*", "https://A.example"], credentials = true, methods = ["a b"], max_age = "2d" }
[[routes]]
pool = "web"
cors = { origins = [] }"#,
        "f:4:21: error: `origins` must not have \"*\" with `credentials`
  help: name the origins: every page could act for its visitors
f:4:26: error: bad origin \"https://A.example\": it must be a scheme and a host in lower case, such as https://app.example.com or https://*.example.com
f:4:79: error: bad name \"a b\" in `methods`
f:4:97: error: `max_age` must be from 0s to 1d
f:7:20: error: `origins` must have one origin at least
  help: origins = [\"https://app.example.com\"]",
    );
    let config = good(
        "[[routes]]\npool = \"web\"\nmethods = [\"GET\", \"QUERY\"]\ncors = { origins = [\"*\"] }\n[[routes]]\npool = \"web\"\ncors = { origins = [\"*\"] }",
    );
    let methods = |at: usize| config.routes[at].gate.cors.as_ref().unwrap().methods.join(" ");
    assert_eq!((methods(0).as_str(), methods(1).as_str()), ("GET QUERY", "GET HEAD POST PUT PATCH DELETE"));
}

#[test]
fn pages_and_ids() {
    broken(
        r#"debug_headers = true
error_pages = { 399 = { body = "x" }, 404 = {}, 5xx = { file = "/nowhere/5xx.html" } }
request_id = { header = "a b", trust = "everybody" }
[[routes]]
pool = "web"
error_pages = { 404 = { body = "a", file = "b" }, 500 = { body = "a", content_type = "é" } }"#,
        "f:1:1: error: `debug_headers` does nothing without `trusted_proxies`: nobody is trusted
  help: add trusted_proxies = [\"127.0.0.1\"]
f:2:17: error: \"399\" is no status of an error
  help: a page is for a status from 400 to 599, for 4xx or 5xx
f:2:39: error: a page must have one of `file` and `body`
f:2:64: error: `file`: the file /nowhere/5xx.html cannot be read: No such file or directory (os error 2)
f:3:25: error: \"a b\" is no header name
f:3:40: error: `trust` must be one of trusted-proxies, always, never, not \"everybody\"
f:6:17: error: a page must have one of `file` and `body`
f:6:86: error: `content_type` must be printable ASCII",
    );
}

#[test]
fn pages_are_read_from_the_files_folder_and_ids_come_with_routes() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("404.json"), "{}").unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(&path, format!("error_pages = {{ 404 = {{ file = \"404.json\" }} }}{REST}")).unwrap();
    let config = load(&path).unwrap_or_else(|e| panic!("{e}"));
    let page = &config.error_pages[0];
    assert_eq!((page.body.as_slice(), page.content_type.as_str()), (&b"{}"[..], "application/json"));
    assert_eq!(config.request_id, None);
    assert!(good("[[routes]]\npool = \"web\"").request_id.is_some());
    assert!(good("request_id = { enabled = false }\n[[routes]]\npool = \"web\"").request_id.is_none());
    std::fs::write(folder.path().join("404.json"), vec![b'x'; (1 << 20) + 1]).unwrap();
    let error = load(&path).unwrap_err().to_string();
    assert!(error.contains("the file 404.json is larger than 1024 KiB"), "{error}");
}

#[test]
fn what_a_try_may_take() {
    broken(
        r#"[[routes]]
respond = { status = 200 }
retry_policy = { max_retries = 1 }
[[routes]]
pool = "web"
timeouts = { connect = "0s", first_byte = "x" }
retry_policy = { max_retries = 101 }"#,
        "f:3:1: error: `retry_policy` does nothing without `pool`: nothing is forwarded
f:6:24: error: `connect` must be longer than 0
f:6:43: error: bad duration \"x\" for `first_byte`: a number must stand before `x`
f:7:32: error: `max_retries` must be a whole number from 0 to 100, not 101",
    );
}
