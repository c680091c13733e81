//! What stands before a route, through the real binary: addresses, cross-origin requests, error pages, ids, time-outs and retries by route.

use edge_lb_tests::{SOON, Setup, metric};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Reply, Response, Step, eventually};
use std::fmt::Write as _;
use std::process::Command;

/// A gateway with this text at its top, and a pool for each backend, called as it is.
pub(crate) fn gateway(top: &str, backends: &[&Backend]) -> EdgeLb {
    EdgeLb::with_config(text(top, backends))
}

/// The text of its file.
pub(crate) fn text(top: &str, backends: &[&Backend]) -> String {
    let (keys, tables) = top.split_at(top.find('[').unwrap_or(top.len()));
    let keys_end = keys.rfind('\n').map_or(0, |at| at + 1);
    let (keys, line) = keys.split_at(keys_end);
    let head = "workers = 1\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let listen = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n";
    let mut text = format!("{head}{keys}{line}{tables}\n{listen}");
    for backend in backends {
        let id = backend.id();
        let _ = write!(text, "[[pools.{id}.backends]]\nid = \"{id}-1\"\nurl = \"{}\"\n", backend.url());
    }
    text
}

pub(crate) fn ask(lb: &EdgeLb, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    Client::connect(lb.address()).unwrap().request(method, target, headers, b"").unwrap()
}

pub(crate) fn get(lb: &EdgeLb, target: &str) -> Response {
    ask(lb, "GET", target, &[])
}

/// What curl prints: the head of the last response, and its body.
pub(crate) fn curl(args: &[&str]) -> String {
    let said = Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "20"])
        .args(args)
        .output();
    let said = said.expect("curl is installed: `cargo xtask test` sees to it");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    String::from_utf8_lossy(&said.stdout).into_owned()
}

/// The value of a header in what curl prints.
pub(crate) fn header<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let lines = text.lines().take_while(|line| !line.is_empty());
    let mut fields = lines.filter_map(|line| line.split_once(": "));
    fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

/// The contract's gateway, as the page has it: text and all.
#[test]
fn the_shortest_gateway_of_the_page() {
    let page = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/gateway.md")).unwrap();
    let mut blocks = page.split("```toml\n").filter_map(|rest| rest.split("```").next());
    let text = blocks.find(|block| block.starts_with("# two services")).expect("the page has it");
    let slow = Answer::ok("orders").header("X-Response-Time", "42ms");
    let (users, orders) =
        (Backend::start("users"), Backend::with("orders", move |_| Reply::answer(slow.clone())));
    let text = text
        .replace("127.0.0.1:8080", "127.0.0.1:0")
        .replace("http://127.0.0.1:9001", &users.url())
        .replace("http://127.0.0.1:9002", &orders.url())
        .replace("limit = 100", "limit = 2");
    let lb = EdgeLb::with_config(format!("workers = 1\n{text}"));
    for (target, backend, time) in [("/api/users/7", &users, None), ("/api/orders", &orders, Some("42ms"))] {
        let response = get(&lb, target);
        assert_eq!((response.status(), response.served_by()), (200, Some(backend.id())));
        let address = backend.address().to_string();
        let told = ["x-load-balanced", "x-backend-server"].map(|name| response.header(name).unwrap());
        assert_eq!(told, ["true", address.as_str()]);
        let measured = response.header("x-backend-response-time").unwrap();
        assert!(time.map_or_else(|| measured.parse::<u64>().is_ok(), |time| measured == time), "{measured}");
        let seen = backend.requests().pop().unwrap().head;
        assert_eq!(seen.target, target);
        for (name, value) in [
            ("x-service", backend.id()),
            ("x-backend", &address),
            ("x-forwarded-for", "127.0.0.1"),
            ("x-real-ip", "127.0.0.1"),
            ("x-forwarded-proto", "http"),
            ("via", "1.1 edge-lb"),
            ("x-request-id", response.header("x-request-id").unwrap()),
        ] {
            assert_eq!(seen.headers.all(name), [value], "{name}");
        }
    }
    let none = get(&lb, "/nowhere");
    assert_eq!((none.status(), none.text().as_str()), (404, "Service not found\n"));
    assert_eq!(get(&lb, "/api/users").status(), 200);
    let limited = get(&lb, "/api/users");
    assert_eq!((limited.status(), limited.text().as_str()), (429, "Rate limit exceeded\n"));
    assert!(
        limited
            .header("retry-after")
            .is_some_and(|after| after.parse::<u64>().is_ok_and(|s| (1..=60).contains(&s)))
    );
    assert_eq!(get(&lb, "/api/orders").status(), 200, "each route has its own limit");
}

#[test]
fn an_address_is_let_in_or_not() {
    let web = Backend::start("web");
    let lb = gateway(
        r#"
[[routes]]
path = "/old"
deny = ["192.0.2.0/24"]
redirect = { location = "/new" }
[[routes]]
pool = "web"
allow = ["10.0.0.0/8", "127.0.0.1"]
deny = ["10.1.0.0/16"]
headers = { response = { set = { X-Mine = "yes" } } }
"#,
        &[&web],
    );
    let status = |target: &str, from: &str| ask(&lb, "GET", target, &[("X-Forwarded-For", from)]).status();
    assert_eq!(status("/", "10.2.0.1"), 200);
    assert_eq!(get(&lb, "/").status(), 200);
    assert_eq!(
        (status("/", "10.1.0.1"), status("/", "192.0.2.1"), status("/", "::ffff:10.1.0.1")),
        (403, 403, 403)
    );
    assert_eq!(
        (status("/old", "192.0.2.1"), status("/old", "10.1.0.1")),
        (403, 302),
        "a redirect has a gate, too"
    );
    let refused = ask(&lb, "GET", "/", &[("X-Forwarded-For", "192.0.2.1")]);
    assert_eq!((refused.text().as_str(), refused.header("x-mine")), ("Forbidden\n", Some("yes")));
    assert_eq!(web.request_count(), 2);
    assert_eq!(metric(&lb, "edge_lb_http_denied_total", &[]), 5.0);
}

#[test]
fn pages_of_other_origins_ask_by_curl() {
    let own = Answer::ok("data").header("Access-Control-Allow-Origin", "*").header("Vary", "Accept");
    let api = Backend::with("api", move |_| Reply::answer(own.clone()));
    let lb = gateway(
        r#"
[[routes]]
path = "/open"
cors = { origins = ["*"] }
redirect = { location = "/elsewhere" }
[[routes]]
path = "/plain"
pool = "api"
[[routes]]
path = "/api"
methods = ["GET", "PUT"]
pool = "api"
cors = { origins = ["https://app.example.com", "https://*.example.org"], credentials = true, max_age = "10m", expose_headers = ["X-Total"] }
basic_auth = { users = { ann = "$2y$04$abcdefghijklmnopqrstuu2r9OfJnfCsdneAXAGHnS4UpFFP8WIrW" } }
"#,
        &[&api],
    );
    let url = lb.address().url();
    let preflight = |target: &str, origin: &str, method: &str| {
        let (origin, method) =
            (format!("Origin: {origin}"), format!("Access-Control-Request-Method: {method}"));
        let target = format!("{url}{target}");
        curl(&[
            "-X",
            "OPTIONS",
            "-H",
            &origin,
            "-H",
            &method,
            "-H",
            "Access-Control-Request-Headers: x-a",
            &target,
        ])
    };
    let said = preflight("/api/x", "https://app.example.com", "PUT");
    assert!(said.starts_with("HTTP/1.1 204"), "no password is asked for, and no route of its own: {said}");
    let told = |name| header(&said, name);
    assert_eq!(told("access-control-allow-origin"), Some("https://app.example.com"));
    assert_eq!(told("access-control-allow-methods"), Some("GET, PUT"));
    assert_eq!(told("access-control-allow-headers"), Some("x-a"));
    assert_eq!(told("access-control-allow-credentials"), Some("true"));
    assert_eq!(told("access-control-max-age"), Some("600"));
    assert_eq!(told("vary"), Some("Origin"));

    let said = preflight("/api/x", "https://evil.example", "PUT");
    assert!(said.starts_with("HTTP/1.1 204"), "{said}");
    assert_eq!(header(&said, "access-control-allow-origin"), None);
    let said = preflight("/api/x", "https://app.example.com", "DELETE");
    assert!(said.starts_with("HTTP/1.1 404"), "no route takes the request itself: {said}");
    let said = preflight("/plain", "https://app.example.com", "GET");
    assert!(said.starts_with("HTTP/1.1 200"), "a backend that answers for itself: {said}");
    assert_eq!(header(&said, "access-control-allow-origin"), Some("*"));
    assert_eq!(
        ask(&lb, "OPTIONS", "/api", &[("Origin", "https://app.example.com")]).status(),
        404,
        "no preflight"
    );
    assert_eq!(api.request_count(), 1);

    let from = |origin: &str, user: &str| {
        curl(&["-u", user, "-H", &format!("Origin: {origin}"), &format!("{url}/api")])
    };
    let said = from("https://a.example.org", "ann:secret");
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("data"), "{said}");
    assert_eq!(header(&said, "access-control-allow-origin"), Some("https://a.example.org"));
    assert_eq!(header(&said, "access-control-expose-headers"), Some("X-Total"));
    let vary: Vec<_> = said.lines().filter(|l| l.to_ascii_lowercase().starts_with("vary:")).collect();
    assert_eq!(vary.len(), 2, "the backend's stays: {vary:?}");
    let said = from("https://evil.example", "ann:secret");
    assert_eq!(header(&said, "access-control-allow-origin"), None, "the backend's own word is replaced");
    let said = from("https://a.example.org", "ann:wrong");
    assert!(said.starts_with("HTTP/1.1 401"), "{said}");
    assert_eq!(
        header(&said, "access-control-allow-origin"),
        Some("https://a.example.org"),
        "so that the page can tell"
    );
    let redirect = ask(&lb, "GET", "/open", &[("Origin", "https://any.example")]);
    assert_eq!((redirect.status(), redirect.header("access-control-allow-origin")), (302, Some("*")));
}

#[test]
fn pages_take_the_place_of_errors() {
    let gone = || Answer::new(404).body("no such thing").header("ETag", "\"1\"").header("X-Own", "yes");
    let api = Backend::with("api", move |r| match r.head.target.as_str() {
        "/large" => Reply::answer(gone().body(vec![b'x'; 200_000])),
        "/busy" => Reply::status(503),
        _ => Reply::answer(gone()),
    });
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("404.html"), "<h1>not here</h1>").unwrap();
    let top = r#"error_pages = { 404 = { file = "404.html" }, 5xx = { body = "{}", content_type = "application/json" } }
[[routes]]
path = "/api"
pool = "api"
[[routes]]
path = "/own"
pool = "api"
rewrite = { strip_prefix = true }
error_pages = { 404 = { body = "own", intercept = true } }
retry_policy = { enabled = false }
[[routes]]
path = "/said"
respond = { status = 404, body = "on purpose" }
[[routes]]
path = "/limited"
pool = "api"
rate_limit = { limit = 1, window = "1h" }
error_pages = { 429 = { body = "slow down" } }
"#;
    let lb = EdgeLb::options().config(text(top, &[&api])).folder(folder.path()).start();
    let none = get(&lb, "/none");
    assert_eq!((none.status(), none.text().as_str()), (404, "<h1>not here</h1>"));
    assert_eq!(none.header("content-type"), Some("text/html; charset=utf-8"));
    let head = ask(&lb, "HEAD", "/none", &[]);
    assert_eq!((head.status(), head.header("content-length"), head.text().as_str()), (404, Some("17"), ""));
    assert_eq!(get(&lb, "/said").text(), "on purpose");
    assert_eq!(get(&lb, "/api").text(), "no such thing", "a backend's answer is its own");
    let own = get(&lb, "/own");
    assert_eq!((own.status(), own.text().as_str(), own.header("x-own")), (404, "own", Some("yes")));
    assert!(own.header("etag").is_none() && own.header("content-length") == Some("3"));
    for _ in 0..3 {
        assert_eq!(get(&lb, "/own").text(), "own");
    }
    assert_eq!(api.connection_count(), 1, "its connections are kept");
    assert_eq!(get(&lb, "/own/large").text(), "own");
    assert_eq!(get(&lb, "/own/busy").status(), 503, "and no page of its own");
    assert_eq!(get(&lb, "/own").text(), "own");
    assert_eq!(get(&lb, "/limited").status(), 404);
    let limited = get(&lb, "/limited");
    assert_eq!((limited.status(), limited.text().as_str()), (429, "slow down"));
    assert!(limited.header("retry-after").is_some());
    let backends = edge_lb_tests::admin(&lb, "GET", "/api/v1/pools").text();
    let backends: String = backends.split_whitespace().collect();
    assert!(backends.contains("\"in_flight\":0"), "{backends}");
    api.kill();
    let dead = get(&lb, "/own");
    assert_eq!(
        (dead.status(), dead.text().as_str(), dead.header("content-type")),
        (502, "{}", Some("application/json"))
    );
}

#[test]
fn pages_and_reasons_need_no_routes() {
    let dead = Backend::start("dead");
    dead.kill();
    let top = "trusted_proxies = [\"127.0.0.1\"]\ndebug_headers = true\nerror_pages = { 502 = { body = \"sorry\" } }\nforwarded = true";
    let lb = Setup::new([&dead]).top(top).pool("retry_policy = { enabled = false }").start();
    let told = get(&lb, "/");
    assert_eq!((told.status(), told.text().as_str()), (502, "sorry"));
    assert_eq!(told.header("x-edge-lb-reason"), Some("bad gateway: no connection to the backend"));
    assert!(told.header("x-request-id").is_none(), "ids come with routes, or when they are asked for");
    let stranger = ask(&lb, "GET", "/", &[("X-Forwarded-For", "192.0.2.7")]);
    assert_eq!(
        stranger.header("x-edge-lb-reason"),
        None,
        "on whose behalf the trusted proxy asks is not trusted"
    );
    dead.revive();
    ask(&lb, "GET", "/", &[("X-Forwarded-For", "192.0.2.7"), ("Forwarded", "for=10.0.0.1")]);
    let seen = dead.requests().pop().unwrap().head.headers;
    let host = seen.get("host").unwrap();
    let host = if host.contains(':') { format!("\"{host}\"") } else { host.to_owned() };
    let wanted = format!("for=192.0.2.7;host={host};proto=http, for=127.0.0.1");
    assert_eq!(seen.all("forwarded"), [wanted.as_str()]);
}

#[test]
fn a_request_has_one_id_wherever_it_is_told() {
    let web = Backend::start("web");
    let routes = r#"
[[routes]]
path = "/none"
respond = { status = 204 }
[[routes]]
pool = "web"
headers = { request = { set = { X-Seen = "{request_id}" } } }
"#;
    let with = |id: &str| {
        let text = text(&format!("{id}{routes}"), &[&web]);
        // The peer is a stranger unless it says `trusted`.
        EdgeLb::with_config(
            text.replace("trusted_proxies = [\"127.0.0.1\"]", "trusted_proxies = [\"192.0.2.1\"]"),
        )
    };
    let lb = with("");
    let ids = |lb: &EdgeLb, headers: &[(&str, &str)]| {
        let response = ask(lb, "GET", "/", headers);
        let seen = web.requests().pop().unwrap().head.headers;
        let told = response.header("x-request-id").unwrap().to_owned();
        assert_eq!(
            (seen.all("x-request-id"), seen.get("x-seen")),
            (vec![told.as_str()], Some(told.as_str()))
        );
        told
    };
    let (first, second) = (ids(&lb, &[]), ids(&lb, &[]));
    assert!(first != second && first.len() == 32 && first.bytes().all(|b| b.is_ascii_hexdigit()), "{first}");
    for spoofed in [
        &[("X-Request-Id", "mine")][..],
        &[("X-Request-Id", "mine"), ("X-Request-Id", "mine")],
        &[("X-Request-Id", "mine"), ("Connection", "X-Request-Id")],
    ] {
        assert_ne!(ids(&lb, spoofed), "mine");
    }
    assert!(get(&lb, "/none").header("x-request-id").is_some(), "whoever answers");
    let lb = with("request_id = { trust = \"always\" }\n");
    assert_eq!(ids(&lb, &[("X-Request-Id", "mine-7")]), "mine-7");
    assert_ne!(ids(&lb, &[("X-Request-Id", "not sane")]), "not sane");
    let lb = gateway(routes, &[&web]);
    assert_eq!(ids(&lb, &[("X-Request-Id", "theirs")]), "theirs", "a trusted proxy's");
    let lb = with("request_id = { enabled = false }\n");
    let response = ask(&lb, "GET", "/", &[("X-Request-Id", "mine")]);
    assert_eq!(response.header("x-request-id"), None);
    assert_eq!(
        web.requests().pop().unwrap().head.headers.get("x-request-id"),
        Some("mine"),
        "it is nobody's business"
    );
}

#[test]
fn tries_and_time_outs_are_the_routes_own() {
    let flaky = Backend::with("flaky", |r| match r.head.target.as_str() {
        "/hang" => Reply::steps([Step::Hang]),
        _ => Reply::status(503),
    });
    let lb = gateway(
        r#"
[[routes]]
path = "/twice"
pool = "flaky"
retry_policy = { max_retries = 2, base_delay = "1ms", retry_on = [503], budget_percent = 0, budget_min_per_second = 10 }
[[routes]]
path = "/once"
pool = "flaky"
retry_policy = { enabled = false }
[[routes]]
path = "/never"
pool = "flaky"
retry_policy = { max_retries = 2, base_delay = "1ms", retry_on = [503], budget_percent = 0, budget_min_per_second = 0 }
[[routes]]
path = "/hang"
pool = "flaky"
timeouts = { first_byte = "200ms" }
retry_policy = { enabled = false }
"#,
        &[&flaky],
    );
    let tries = |target: &str| {
        let before = flaky.request_count();
        assert_eq!(get(&lb, target).status(), 503, "{target}");
        flaky.request_count() - before
    };
    assert_eq!((tries("/twice"), tries("/once"), tries("/never")), (3, 1, 1), "each has a budget of its own");
    let late = get(&lb, "/hang");
    assert_eq!((late.status(), late.text().as_str()), (504, "gateway time-out\n"));
    eventually(SOON, "the connection is closed", || flaky.open_connections() <= 1);
}
