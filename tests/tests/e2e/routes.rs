//! Routes through the real binary: which pool a request goes to, what is answered without one, and what backends and clients are told.

use edge_lb_tests::{SOON, admin, metric, unhealthy};
use lb_testkit::{Backend, Client, EdgeLb, Gate, Reply, Response, Step, eventually};
use std::fmt::Write as _;

/// A gateway with these routes, and a pool for each backend, called as it is; `pools` are further keys of theirs.
fn gateway(routes: &str, backends: &[&Backend], pools: &[(&str, &str)]) -> EdgeLb {
    let head = "workers = 1\ntrusted_proxies = [\"127.0.0.1\"]\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n";
    let mut text = format!("{head}{routes}\n");
    for backend in backends {
        let id = backend.id();
        let keys = pools.iter().find(|(name, _)| *name == id).map_or("", |(_, keys)| keys);
        let _ = write!(
            text,
            "[pools.{id}]\n{keys}\n[[pools.{id}.backends]]\nid = \"{id}-1\"\nurl = \"{}\"\n",
            backend.url()
        );
    }
    EdgeLb::with_config(text)
}

fn ask(lb: &EdgeLb, method: &str, target: &str, headers: &[(&str, &str)]) -> Response {
    Client::connect(lb.address()).unwrap().request(method, target, headers, b"").unwrap()
}

fn get(lb: &EdgeLb, target: &str) -> Response {
    ask(lb, "GET", target, &[])
}

/// Who served it.
fn by(response: &Response) -> Option<&str> {
    response.served_by()
}

fn last_target(backend: &Backend) -> String {
    backend.requests().last().expect("it got a request").head.target.clone()
}

#[test]
fn the_gateway_of_the_contract() {
    let (users, orders) = (Backend::start("users"), Backend::start("orders"));
    let routes = r#"
[[routes]]
name = "users"
path = "/api/users"
pool = "users"
rate_limit = { limit = 2, window = "1h" }
service_headers = true
[[routes]]
path = "/api/orders"
methods = ["GET", "POST"]
pool = "orders"
headers = { request = { set = { X-From = "{client_ip} {route}" } }, response = { set = { X-Frame-Options = "DENY" }, remove = ["Server"] } }
"#;
    let lb = gateway(routes, &[&users, &orders], &[]);
    let response = get(&lb, "/api/users/7?full=1");
    assert_eq!((response.status(), by(&response)), (200, Some("users")));
    let told = ["x-backend-server", "x-load-balanced"].map(|name| response.header(name));
    assert_eq!(told, [Some("users-1"), Some("true")]);
    assert!(response.header("x-backend-response-time").unwrap().parse::<u64>().is_ok());
    let seen = users.requests().pop().unwrap().head;
    assert_eq!(seen.target, "/api/users/7?full=1");
    assert_eq!(["x-service", "x-backend"].map(|n| seen.headers.get(n)), [Some("users"), Some("users-1")]);

    let response = get(&lb, "/api/orders");
    assert_eq!((by(&response), response.header("x-frame-options")), (Some("orders"), Some("DENY")));
    assert_eq!(response.header("x-backend-server"), None);
    assert_eq!(orders.requests().pop().unwrap().head.headers.get("x-from"), Some("127.0.0.1 2"));

    assert_eq!(get(&lb, "/api/users").status(), 200);
    let limited = get(&lb, "/api/users");
    assert_eq!((limited.status(), limited.text().as_str()), (429, "Rate limit exceeded\n"));
    assert!(limited.header("retry-after").is_some());
    assert!(limited.header("ratelimit").unwrap().starts_with("\"route.users\";"));

    for (method, target) in [("GET", "/"), ("GET", "/api/usersX"), ("DELETE", "/api/orders")] {
        let none = ask(&lb, method, target, &[]);
        assert_eq!((none.status(), none.text().as_str()), (404, "Service not found\n"), "{target}");
    }
    let json = ask(&lb, "GET", "/", &[("Accept", "application/json")]);
    assert_eq!(json.text(), "{\"status\":404,\"error\":\"Service not found\"}\n");

    assert_eq!(metric(&lb, "edge_lb_route_requests_total", &["route=\"users\""]), 3.0);
    assert_eq!(metric(&lb, "edge_lb_route_requests_total", &["route=\"2\""]), 1.0);
    assert_eq!(metric(&lb, "edge_lb_http_no_route_total", &[]), 4.0);
    let pools = admin(&lb, "GET", "/api/v1/pools").text();
    let pools = pools.split_whitespace().collect::<String>();
    assert!(pools.starts_with("{\"entry\":null,\"entries\":[\"users\",\"orders\"],"), "{pools}");
}

#[test]
fn by_host_method_header_query_and_client() {
    let all = ["host", "wild", "method", "header", "query", "client", "rest"].map(Backend::start);
    let routes = r#"
routes = [
  { pool = "host", hosts = ["api.example.com"] },
  { pool = "wild", hosts = ["*.example.com"] },
  { pool = "method", methods = ["POST", "PUT"] },
  { pool = "header", match_headers = { X-Version = "2", X-Old = { absent = true } } },
  { pool = "query", match_query = { beta = { regex = "[0-9]+" } } },
  { pool = "client", clients = ["192.0.2.0/24"] },
  { pool = "rest" },
]"#;
    // An inline list stands before the tables.
    let head = "workers = 1\ntrusted_proxies = [\"127.0.0.1\"]\n";
    let mut text = format!("{head}{routes}\n[[listeners]]\naddress = \"127.0.0.1:0\"\n");
    for backend in &all {
        let _ = write!(text, "[pools.{}]\nbackends = [{{ url = \"{}\" }}]\n", backend.id(), backend.url());
    }
    let lb = EdgeLb::with_config(text);
    let served = |method: &str, target: &str, headers: &[(&str, &str)], host: &str| {
        let mut client = Client::connect(lb.address()).unwrap();
        client.set_host(host);
        by(&client.request(method, target, headers, b"").unwrap()).map(str::to_owned).unwrap()
    };
    assert_eq!(served("POST", "/", &[], "API.example.com:8080"), "host");
    assert_eq!(served("GET", "/", &[], "www.example.com"), "wild");
    assert_eq!(served("PUT", "/", &[], "example.com"), "method");
    assert_eq!(served("GET", "/", &[("x-version", "2")], "a"), "header");
    assert_eq!(served("GET", "/", &[("x-version", "2"), ("x-old", "")], "a"), "rest");
    assert_eq!(served("GET", "/?a&beta=17", &[], "a"), "query");
    assert_eq!(served("GET", "/?beta=x", &[], "a"), "rest");
    assert_eq!(served("GET", "/", &[("X-Forwarded-For", "192.0.2.9")], "a"), "client");
    assert_eq!(served("GET", "/", &[("X-Forwarded-For", "192.0.3.9")], "a"), "rest");
}

#[test]
fn no_spelling_of_a_path_gets_past_the_routes() {
    let (public, secret) = (Backend::start("public"), Backend::start("secret"));
    let routes = r#"
[[routes]]
path = "/admin"
clients = ["192.0.2.0/24"]
pool = "secret"
[[routes]]
path = "/admin"
respond = { status = 403, body = "no" }
[[routes]]
pool = "public"
"#;
    let lb = gateway(routes, &[&public, &secret], &[]);
    for target in [
        "/admin",
        "/admin/",
        "//admin",
        "/./admin/x",
        "/api/../admin",
        "/api/%2e%2e/admin",
        "/api/.%2E/%61dmin",
        "/api//..//admin",
        "/%61%64%6d%69%6e",
    ] {
        let response = get(&lb, target);
        assert_eq!((response.status(), response.text().as_str()), (403, "no"), "{target}");
    }
    for target in
        ["/api/..%2fadmin", "/api/..;/admin", "/../admin", "/api/%00", "/%zz", "/api/%2e%2e%5cadmin"]
    {
        assert_eq!(get(&lb, target).status(), 400, "{target}");
    }
    assert_eq!((public.request_count(), secret.request_count()), (0, 0));
    for (target, seen) in [
        ("/a//b/./c/../d?x=/../admin", "/a/b/d?x=/../admin"),
        ("/a%2fb/%7e", "/a%2Fb/~"),
        ("/%252e%252e/admin", "/%252e%252e/admin"),
        ("/plain?q", "/plain?q"),
    ] {
        assert_eq!(by(&get(&lb, target)), Some("public"), "{target}");
        assert_eq!(last_target(&public), seen, "{target}");
    }
    let allowed = ask(&lb, "GET", "/x/../admin/7", &[("X-Forwarded-For", "192.0.2.1")]);
    assert_eq!((by(&allowed), last_target(&secret).as_str()), (Some("secret"), "/admin/7"));
}

#[test]
fn some_are_answered_at_once() {
    let a = Backend::start("a");
    let routes = r#"
[[routes]]
path = "/old/{id}"
redirect = { status = 308, location = "https://new.example{path}/{param.id}?{query}" }
[[routes]]
path_exact = "/robots.txt"
respond = { status = 200, body = "User-agent: *", headers = { Cache-Control = "max-age=60" } }
[[routes]]
path = "/a"
pool = "a"
"#;
    let lb = gateway(routes, &[&a], &[]);
    let mut client = Client::connect(lb.address()).unwrap();
    let mut ask =
        |method: &str, target: &str, body: &[u8]| client.request(method, target, &[], body).unwrap();
    let moved = ask("GET", "/old//7?x=1", b"");
    assert_eq!((moved.status(), moved.header("location")), (308, Some("https://new.example/old/7/7?x=1")));
    assert_eq!(ask("GET", "/old/8", b"").header("location"), Some("https://new.example/old/8/8"));
    let robots = ask("GET", "/robots.txt", b"");
    assert_eq!((robots.status(), robots.text().as_str()), (200, "User-agent: *"));
    assert_eq!(robots.header("cache-control"), Some("max-age=60"));
    assert_eq!(ask("HEAD", "/robots.txt", b"").header("content-length"), Some("13"));
    assert_eq!(ask("POST", "/old/9", b"a body that nobody reads").status(), 308);
    assert_eq!(a.request_count(), 0);
}

#[test]
fn paths_are_rewritten_for_the_backend() {
    let a = Backend::start("a");
    let routes = r#"
[[routes]]
path = "/strip"
rewrite = { strip_prefix = true }
pool = "a"
[[routes]]
path = "/replace"
rewrite = { replace_prefix = "/v2" }
pool = "a"
[[routes]]
path = "/regex"
rewrite = { regex = "^/regex/([^/]+)/(.*)$", with = "/$2/$1" }
pool = "a"
[[routes]]
path = "/u/{id}/{*rest}"
rewrite = { path = "/users/{id}.{rest}" }
pool = "a"
[[routes]]
path_regex = "/(?<x>[.]?a)(?<y>.*)"
rewrite = { path = "/{y}" }
pool = "a"
"#;
    let lb = gateway(routes, &[&a], &[]);
    for (target, seen) in [
        ("/strip/x?q=1", "/x?q=1"),
        ("/strip", "/"),
        ("/replace/x//y", "/v2/x/y"),
        ("/regex/1/2/3", "/2/3/1"),
        ("/u/7/a/%2e/b", "/users/7.a/b"),
    ] {
        assert_eq!(get(&lb, target).status(), 200, "{target}");
        assert_eq!(last_target(&a), seen, "{target}");
    }
    assert_eq!(get(&lb, "/a..").status(), 400, "what comes out is judged, too");
    assert_eq!(a.request_count(), 5);
}

#[test]
fn a_route_has_its_own_bounds() {
    let slow = Backend::with("slow", |_| Reply::ok("late").after(Step::Pause(SOON)));
    let fast = Backend::start("fast");
    let routes = r#"
[[routes]]
path = "/slow"
timeouts = { total = "200ms" }
pool = "slow"
headers.response.set = { X-Always = "yes" }
[[routes]]
path = "/small"
max_body = "4B"
pool = "fast"
[[routes]]
pool = "fast"
"#;
    let lb = gateway(routes, &[&slow, &fast], &[("slow", "retry_policy = { max_retries = 0 }")]);
    let late = get(&lb, "/slow");
    assert_eq!((late.status(), late.header("x-always")), (504, Some("yes")));
    let post = |target: &str, body: &[u8]| {
        Client::connect(lb.address()).unwrap().request("POST", target, &[], body).unwrap().status()
    };
    assert_eq!(
        (post("/small", b"1234"), post("/small", b"12345"), post("/large", b"12345")),
        (200, 413, 200)
    );
    let mut chunked = Client::connect(lb.address()).unwrap();
    chunked
        .send("POST /small HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n0\r\n\r\n")
        .unwrap();
    assert_eq!(chunked.read("POST").unwrap().status(), 413);
}

#[test]
fn sessions_and_regions_work_below_a_route() {
    let (near, far) = (Backend::start("near"), Backend::start("far"));
    let (one, two) = (Backend::start("one"), Backend::start("two"));
    let text = format!(
        r#"workers = 2
trusted_proxies = ["127.0.0.0/8"]
[[listeners]]
address = "127.0.0.1:0"
[admin]
address = "127.0.0.1:0"
[[routes]]
path = "/world"
pool = "global"
[[routes]]
path = "/eu"
pool = "eu"
[[routes]]
pool = "app"
[pools.global]
algorithm = "geo-aware"
fallback_region = "us"
regional_balancers = {{ us = {{ pool = "us", countries = ["US"] }}, eu = {{ pool = "eu", continents = ["EU"] }} }}
[pools.us]
backends = [{{ url = "{}" }}]
[pools.eu]
connection_pooling = {{}}
backends = [{{ id = "eu-1", url = "{}" }}]
[pools.app]
session_affinity = {{ type = "cookie", cookie_name = "lb" }}
backends = [{{ url = "{}" }}, {{ url = "{}" }}]
"#,
        near.url(),
        far.url(),
        one.url(),
        two.url()
    );
    let lb = EdgeLb::with_config(text);
    let from = |ip: &str, target: &str| {
        by(&ask(&lb, "GET", target, &[("X-Forwarded-For", ip)])).map(str::to_owned).unwrap()
    };
    assert_eq!((from("8.8.8.8", "/world"), from("193.0.6.139", "/world")), ("near".into(), "far".into()));
    assert_eq!(from("8.8.8.8", "/eu"), "far");
    // One pool by two ways: its connections are counted once.
    let open = metric(&lb, "edge_lb_upstream_connections_open", &["backend=\"eu-1\""]);
    assert!((1.0..=2.0).contains(&open), "{open}");
    let text = admin(&lb, "GET", "/metrics").text();
    let ways = text.lines().filter(|l| l.starts_with("edge_lb_upstream_connections_open{"));
    assert_eq!(ways.filter(|l| l.contains("eu-1")).count(), 1, "{text}");

    let first = get(&lb, "/app");
    let cookie = first.header("set-cookie").and_then(|c| c.split(';').next()).unwrap().to_owned();
    for _ in 0..6 {
        assert_eq!(by(&ask(&lb, "GET", "/other", &[("Cookie", &cookie)])), by(&first));
    }
}

#[test]
fn a_pool_that_is_down_takes_only_its_own_requests_along() {
    let (up, down) = (Backend::start("up"), Backend::start("down"));
    let routes = "[[routes]]\npath = \"/down\"\npool = \"down\"\n[[routes]]\npool = \"up\"\n";
    let check = "health_check = { interval = \"100ms\", unhealthy_threshold = 1, path = \"/\" }";
    let lb = gateway(routes, &[&up, &down], &[("down", check)]);
    down.kill();
    eventually(SOON, "it is seen", || unhealthy(&lb) == 1);
    assert!(get(&lb, "/down").status() >= 502);
    assert_eq!((get(&lb, "/").status(), admin(&lb, "GET", "/readyz").status()), (200, 200));
}

#[test]
fn a_routes_priority_is_its_level_in_the_pools_queue() {
    let (gate, held) = {
        let gate = Gate::new();
        (gate.clone(), gate)
    };
    let busy = Backend::with("busy", move |_| Reply::ok("done").after(Step::Wait(held.clone())));
    let routes =
        "[[routes]]\npath = \"/low\"\npriority = \"low\"\npool = \"busy\"\n[[routes]]\npool = \"busy\"\n";
    let keys = "max_connections = 1\nqueuing = { queue_timeout = \"100ms\" }";
    let lb = gateway(routes, &[&busy], &[("busy", keys)]);
    let address = lb.address().clone();
    let first = std::thread::spawn(move || Client::get(&address, "/").unwrap().status());
    eventually(SOON, "it is busy", || busy.in_flight() == 1);
    assert_eq!((get(&lb, "/low").status(), get(&lb, "/high").status()), (503, 503));
    for (level, n) in [("low", 1.0), ("normal", 1.0), ("high", 0.0)] {
        assert_eq!(metric(&lb, "edge_lb_queue_joined_total", &[&format!("level=\"{level}\"")]), n, "{level}");
    }
    gate.open();
    assert_eq!(first.join().unwrap(), 200);
}

#[test]
fn check_warns_of_a_route_that_gets_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("edge-lb.toml");
    let text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[[routes]]\npool = \"a\"\n[[routes]]\npath = \"/b\"\npool = \"a\"\n[pools.a]\nbackends = [{ url = \"http://127.0.0.1:1\" }]\n";
    std::fs::write(&file, text).unwrap();
    let said = EdgeLb::command(&["check".as_ref(), file.as_os_str()], SOON);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    assert!(said.stdout.contains("ok (1 listener, 2 routes, 1 pool, 1 backend)"), "{}", said.stdout);
    let warning = ":5:1: warning: route \"2\" gets no requests: route \"1\" before it takes them all";
    assert!(said.stderr.contains(warning), "{}", said.stderr);
}
