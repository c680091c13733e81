//! Mirroring through the real binary: what the shadow gets, and that the client never knows.

use edge_lb_tests::{SOON, admin, metric};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Gate, Reply, Response, Step, Stopwatch, eventually};
use std::time::Duration;

/// A route to `main`, mirrored with these keys to `shadow`; further keys of route and shadow pool.
fn mirroring(main: &Backend, shadow: &Backend, mirror: &str, route: &str, pool: &str) -> EdgeLb {
    EdgeLb::with_config(format!(
        "workers = 2\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\nname = \"all\"\npool = \"main\"\nmirror = {{ pool = \"shadow\"{mirror} }}\n{route}\n\
         [pools.main]\nhealth_check = {{ interval = \"100ms\", unhealthy_threshold = 1, path = \"/health\" }}\nbackends = [{{ id = \"m\", url = \"{}\" }}]\n\
         [pools.shadow]\n{pool}\nbackends = [{{ id = \"s\", url = \"{}\" }}]\n",
        main.url(),
        shadow.url()
    ))
}

fn ask(lb: &EdgeLb, method: &str, target: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
    Client::connect(lb.address()).unwrap().request(method, target, headers, body).unwrap()
}

fn get(lb: &EdgeLb) -> Response {
    ask(lb, "GET", "/", &[], b"")
}

fn results(lb: &EdgeLb, result: &str) -> f64 {
    metric(lb, "edge_lb_mirror_requests_total", &["route=\"all\"", &format!("result=\"{result}\"")])
}

fn until(lb: &EdgeLb, result: &str, n: f64) {
    eventually(SOON, result, || results(lb, result) >= n);
    assert_eq!(results(lb, result), n, "{result}");
}

fn of_clients(backend: &Backend) -> usize {
    backend.requests().iter().filter(|r| r.head.target != "/health").count()
}

#[test]
fn the_shadow_gets_what_the_backend_gets_and_the_client_hears_nothing_of_it() {
    let main = Backend::start("main");
    let shadow =
        Backend::with("shadow", |_| Reply::answer(Answer::ok("from the shadow").header("Set-Cookie", "x=1")));
    let route = r#"path = "/api"
rewrite = { strip_prefix = true }
service_headers = true
headers = { request = { set = { X-Who = "{client_ip}" } } }"#;
    let lb = mirroring(&main, &shadow, "", route, "");
    for (method, n) in [("GET", 1), ("HEAD", 2), ("OPTIONS", 3)] {
        let response = ask(&lb, method, "/api/x//y?q=1", &[("Cookie", "a=b"), ("Accept", "text/x")], b"");
        assert_eq!((response.status(), response.served_by()), (200, Some("main")));
        assert_eq!((response.header("set-cookie"), response.header("x-shadow")), (None, None));
        until(&lb, "same_status", f64::from(n));
    }
    let copy = &shadow.requests()[0].head;
    let own = main.requests().into_iter().find(|r| r.head.target != "/health").unwrap().head;
    assert_eq!((&*copy.method, &*copy.target), ("GET", "/x/y?q=1"));
    assert_eq!(
        ["x-service", "x-backend", "x-shadow"].map(|n| copy.headers.get(n)),
        [Some("shadow"), Some("s"), Some("true")]
    );
    assert_eq!(
        ["x-service", "x-backend", "x-shadow"].map(|n| own.headers.get(n)),
        [Some("main"), Some("m"), None]
    );
    for name in
        ["host", "cookie", "accept", "x-who", "x-forwarded-for", "x-real-ip", "via", "x-forwarded-host"]
    {
        assert_eq!(copy.headers.get(name), own.headers.get(name), "{name}");
        assert!(own.headers.has(name), "{name}");
    }
    let methods: Vec<_> = shadow.requests().iter().map(|r| r.head.method.clone()).collect();
    assert_eq!(methods, ["GET", "HEAD", "OPTIONS"]);
    // What is not safe, or has a body, is not copied.
    for (method, body) in
        [("POST", &b""[..]), ("PUT", b"x"), ("DELETE", b""), ("GET", b"a body"), ("OPTIONS", b"x")]
    {
        assert_eq!(ask(&lb, method, "/api", &[], body).status(), 200, "{method}");
    }
    get_last(&lb);
    until(&lb, "same_status", 4.0);
    assert_eq!(shadow.request_count(), 4);
    for side in ["primary", "shadow"] {
        let labels = ["route=\"all\"", &format!("side=\"{side}\"")];
        assert_eq!(metric(&lb, "edge_lb_mirror_latency_seconds_count", &labels), 4.0);
        assert!(metric(&lb, "edge_lb_mirror_latency_seconds_sum", &labels) > 0.0);
    }
    // Clients' requests are counted once, and the shadow's backend keeps its own count.
    assert_eq!(metric(&lb, "edge_lb_http_requests_total", &[]), 9.0);
    assert_eq!(metric(&lb, "edge_lb_http_responses_total", &["class=\"2xx\""]), 9.0);
    assert_eq!(metric(&lb, "edge_lb_backend_requests_total", &["backend=\"s\"", "outcome=\"success\""]), 4.0);
}

/// One that is copied, after those that are not: when its copy is there, theirs would be as well.
fn get_last(lb: &EdgeLb) {
    assert_eq!(ask(lb, "GET", "/api/last", &[], b"").status(), 200);
}

#[test]
fn the_sample_is_exact_over_all_workers() {
    let (main, shadow) = (Backend::start("main"), Backend::start("shadow"));
    let lb = mirroring(&main, &shadow, ", percent = 12.5", "", "");
    for _ in 0..80 {
        assert_eq!(get(&lb).status(), 200);
    }
    until(&lb, "same_status", 10.0);
    assert_eq!((of_clients(&main), shadow.request_count()), (80, 10));
    let off = mirroring(&main, &shadow, ", enabled = false", "", "");
    assert_eq!(get(&off).status(), 200);
    assert_eq!(
        (results(&off, "same_status"), results(&off, "dropped"), shadow.request_count()),
        (0.0, 0.0, 10)
    );
}

#[test]
fn a_shadow_that_hangs_holds_up_nobody() {
    let gate = Gate::new();
    let held = gate.clone();
    let main = Backend::start("main");
    let shadow = Backend::with("shadow", move |_| Reply::ok("late").after(Step::Wait(held.clone())));
    let lb = mirroring(&main, &shadow, ", max_in_flight = 3, timeout = \"1h\"", "", "");
    let watch = Stopwatch::start();
    for _ in 0..20 {
        let response = get(&lb);
        assert_eq!((response.status(), response.served_by()), (200, Some("main")));
    }
    assert!(watch.elapsed() < SOON);
    assert_eq!(results(&lb, "dropped"), 17.0);
    eventually(SOON, "the copies are there", || shadow.in_flight() == 3);
    assert_eq!(metric(&lb, "edge_lb_mirror_in_flight", &[]), 3.0);
    assert_eq!((shadow.request_count(), results(&lb, "same_status")), (3, 0.0));
    gate.open();
    until(&lb, "same_status", 3.0);
    // There is room again.
    get(&lb);
    until(&lb, "same_status", 4.0);
    assert_eq!(shadow.in_flight_max(), 3);
}

#[test]
fn copies_are_cut_when_the_server_stops() {
    let (main, shadow) = (Backend::start("main"), Backend::with("shadow", |_| Reply::steps([Step::Hang])));
    let lb = mirroring(&main, &shadow, ", timeout = \"1h\"", "", "");
    assert_eq!(get(&lb).status(), 200);
    eventually(SOON, "the copy is there", || shadow.in_flight() == 1);
    // Far below the grace of 30 s that requests of clients have.
    let finished = lb.stop();
    assert!(finished.took < Duration::from_secs(15), "{:?}", finished.took);
    assert_eq!(finished.code, Some(0));
}

#[test]
fn a_shadow_that_is_slow_down_or_wrong_is_counted_and_no_more() {
    let hangs = Gate::new();
    let held = hangs.clone();
    let main = Backend::start("main");
    let shadow = Backend::with("shadow", move |request| match request.head.target.as_str() {
        "/slow" => Reply::ok("late").after(Step::Wait(held.clone())),
        "/wrong" => Reply::status(500),
        "/cut" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").then(Step::Close),
        "/stalled" => {
            Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nabc").then(Step::Wait(held.clone()))
        }
        "/endless" => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", 1u64 << 30);
            Reply::raw(head).then(Step::Fill { byte: b'x', count: 1 << 30 })
        }
        _ => Reply::ok("well"),
    });
    let breaker = "circuit_breaker = { failure_threshold = 100, recovery_timeout = \"1h\" }";
    let lb = mirroring(&main, &shadow, ", timeout = \"600ms\"", "", breaker);
    let ask = |target: &str| assert_eq!(ask(&lb, "GET", target, &[], b"").served_by(), Some("main"));
    for (target, result, n) in [
        ("/slow", "timeout", 1.0),
        ("/wrong", "other_status", 1.0),
        ("/cut", "failed", 1.0),
        ("/stalled", "timeout", 2.0),
        ("/", "same_status", 1.0),
    ] {
        ask(target);
        until(&lb, result, n);
    }
    assert_eq!(metric(&lb, "edge_lb_mirror_in_flight", &[]), 0.0);
    assert_eq!(metric(&lb, "edge_lb_mirror_latency_seconds_count", &["side=\"shadow\""]), 2.0);
    // They are the backend's own failures: of its 5 requests 4.
    assert_eq!(metric(&lb, "edge_lb_backend_requests_total", &["backend=\"s\"", "outcome=\"failure\""]), 4.0);
    // One that is too long to be read is cancelled.
    ask("/endless");
    until(&lb, "same_status", 2.0);
    eventually(SOON, "it is let go of", || shadow.in_flight() <= 2);
    assert!(shadow.bytes_sent() < 48 << 20, "{}", shadow.bytes_sent());
    shadow.kill();
    ask("/");
    until(&lb, "failed", 2.0);
    assert_eq!(metric(&lb, "edge_lb_http_retries_total", &[]), 0.0);
}

#[test]
fn the_shadows_breaker_opens_and_only_copies_are_refused() {
    let (main, shadow) = (Backend::start("main"), Backend::with("shadow", |_| Reply::status(500)));
    let breaker = "circuit_breaker = { failure_threshold = 2, recovery_timeout = \"1h\" }";
    let lb = mirroring(&main, &shadow, "", "", breaker);
    for n in 1..=2 {
        assert_eq!(get(&lb).status(), 200);
        until(&lb, "other_status", f64::from(n));
    }
    for n in 1..=3 {
        assert_eq!(get(&lb).status(), 200);
        until(&lb, "failed", f64::from(n));
    }
    assert_eq!(shadow.request_count(), 2);
}

#[test]
fn a_client_that_leaves_makes_no_pair() {
    let gate = Gate::new();
    let held = gate.clone();
    let main = Backend::with("main", move |request| match request.head.target.as_str() {
        "/health" => Reply::ok("well"),
        _ => Reply::ok("late").after(Step::Wait(held.clone())),
    });
    let shadow = Backend::start("shadow");
    let lb = mirroring(&main, &shadow, "", "", "");
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually(SOON, "the copy is answered", || {
        metric(&lb, "edge_lb_backend_requests_total", &["backend=\"s\"", "outcome=\"success\""]) == 1.0
    });
    eventually(SOON, "it gives its place back, though it waits for the other side", || {
        metric(&lb, "edge_lb_mirror_in_flight", &[]) == 0.0
    });
    assert_eq!(results(&lb, "same_status"), 0.0);
    client.reset().unwrap();
    until(&lb, "unpaired", 1.0);
    gate.open();
}

#[test]
fn a_shadow_makes_no_node_ready() {
    let (main, shadow) = (Backend::start("main"), Backend::start("shadow"));
    let lb = mirroring(&main, &shadow, "", "", "");
    assert_eq!(admin(&lb, "GET", "/readyz").status(), 200);
    let pools = admin(&lb, "GET", "/api/v1/pools").text().split_whitespace().collect::<String>();
    assert!(pools.starts_with("{\"entry\":\"main\",\"entries\":[\"main\"],"), "{pools}");
    main.kill();
    eventually(SOON, "the pool is seen to be down", || get(&lb).status() == 502 || get(&lb).status() == 503);
    eventually(SOON, "it is not ready", || admin(&lb, "GET", "/readyz").status() == 503);
}

#[test]
fn what_is_refused_at_the_door_is_not_copied() {
    let (main, shadow) = (Backend::start("main"), Backend::start("shadow"));
    let route = "rate_limit = { limit = 2, window = \"1h\" }";
    let lb = mirroring(&main, &shadow, "", route, "");
    let statuses: Vec<_> = (0..4).map(|_| get(&lb).status()).collect();
    assert_eq!(statuses, [200, 200, 429, 429]);
    until(&lb, "same_status", 2.0);
    assert_eq!((shadow.request_count(), metric(&lb, "edge_lb_mirror_in_flight", &[])), (2, 0.0));
}
