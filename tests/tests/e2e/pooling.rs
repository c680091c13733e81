//! Connections to backends: how many, how long, how often, and who opens them.

use edge_lb_tests::{SOON, Setup, metric};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Gate, Load, Reply, Step, eventually};

fn get(lb: &EdgeLb) -> String {
    Client::get(lb.address(), "/").unwrap().text()
}

fn closed(lb: &EdgeLb, reason: &str) -> f64 {
    metric(lb, "edge_lb_upstream_connections_closed_total", &[&format!("reason=\"{reason}\"")])
}

fn open(lb: &EdgeLb) -> f64 {
    metric(lb, "edge_lb_upstream_connections_open", &["backend=\"a\""])
}

/// Each request comes on a connection of its own, so to whichever worker: without the bound each worker would keep three.
#[test]
fn sockets_are_bounded_over_all_workers() {
    let a = Backend::start("a");
    let pool = "connection_pooling = { max_connections = 3 }";
    let lb = Setup::new([&a]).top("workers = 2").pool(pool).admin().start();
    let load = Load::new(lb.address()).connections(3).fresh_connections().requests_each(100).start();
    while load.completed() < 200 {
        assert!(open(&lb) <= 3.0);
    }
    load.join().assert_all_ok(300);
    eventually(SOON, "no more than three are open", || a.open_connections() <= 3);
    assert!(a.in_flight_max() <= 3);
    assert!(closed(&lb, "limit") > 0.0, "idle ones of the other worker made room");
}

#[test]
fn requests_in_flight_are_bounded_with_the_sockets() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |_| Reply::ok("a").after(Step::Wait(held.clone())));
    let pool = "max_connections = 50\nconnection_pooling = { max_connections = 2 }";
    let lb = Setup::default().backend(&a, "max_connections = 20").pool(pool).top("workers = 2").start();
    let load = Load::new(lb.address()).connections(2).start();
    eventually(SOON, "the limit is reached", || a.in_flight() == 2);
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 503);
    gate.open();
    load.join().assert_all_ok(2);
    assert_eq!(get(&lb), "a");
}

#[test]
fn without_the_section_nothing_is_bounded() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |_| Reply::ok("a").after(Step::Wait(held.clone())));
    let lb = Setup::new([&a]).start();
    let load = Load::new(lb.address()).connections(150).start();
    eventually(SOON, "all are in flight", || a.in_flight() == 150);
    gate.open();
    load.join().assert_all_ok(150);
}

#[test]
fn idle_connections_are_closed_though_no_request_comes() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).pool("connection_pooling = { max_idle_time = \"300ms\" }").admin().start();
    assert_eq!(get(&lb), "a");
    assert_eq!(a.open_connections(), 1);
    eventually(SOON, "it is closed", || a.open_connections() == 0);
    assert_eq!((closed(&lb, "idle"), open(&lb)), (1.0, 0.0));
}

/// The backend itself would keep it: what it says is believed.
#[test]
fn what_a_backend_announces_is_honoured() {
    let a = Backend::with("a", |_| Reply::answer(Answer::ok("a").header("Keep-Alive", "timeout=2, max=100")));
    let lb = Setup::new([&a]).pool("connection_pooling = {}").admin().start();
    let response = Client::get(lb.address(), "/").unwrap();
    assert_eq!(response.header("keep-alive"), None, "it is between the two of them");
    get(&lb);
    assert_eq!(a.connection_count(), 1);
    eventually(SOON, "it is closed", || a.open_connections() == 0);
    assert_eq!(closed(&lb, "idle"), 1.0);
    assert_eq!((get(&lb), a.connection_count()), ("a".to_owned(), 2));
    assert_eq!(metric(&lb, "edge_lb_upstream_stale_total", &[]), 0.0);
}

#[test]
fn keep_alive_timeout_bounds_idle_time_too() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).pool("connection_pooling = { keep_alive_timeout = \"300ms\" }").start();
    assert_eq!(get(&lb), "a");
    eventually(SOON, "it is closed", || a.open_connections() == 0);
}

#[test]
fn a_connection_has_so_many_exchanges() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).pool("connection_pooling = { max_requests = 2 }").admin().start();
    for _ in 0..5 {
        assert_eq!(get(&lb), "a");
    }
    assert_eq!(a.requests().iter().map(|r| r.connection).collect::<Vec<_>>(), [0, 0, 1, 1, 2]);
    assert_eq!(closed(&lb, "requests"), 2.0);
    assert_eq!(metric(&lb, "edge_lb_upstream_connections_reused_total", &["backend=\"a\""]), 2.0);
    assert_eq!(metric(&lb, "edge_lb_upstream_connections_opened_total", &["backend=\"a\""]), 3.0);
}

#[test]
fn a_connection_has_its_age() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).pool("connection_pooling = { max_lifetime = \"500ms\" }").admin().start();
    assert_eq!(get(&lb), "a");
    eventually(SOON, "it is closed", || a.open_connections() == 0);
    assert_eq!(closed(&lb, "lifetime"), 1.0);
}

#[test]
fn connections_that_are_not_kept() {
    for (off, says_close) in [("enabled", false), ("keep_alive", true)] {
        let a = Backend::start("a");
        let lb = Setup::new([&a]).pool(&format!("connection_pooling = {{ {off} = false }}")).start();
        let mut client = Client::connect(lb.address()).unwrap();
        for _ in 0..3 {
            assert_eq!(client.request("GET", "/", &[], b"").unwrap().text(), "a", "the client's own is kept");
        }
        assert_eq!(a.connection_count(), 3, "{off}");
        eventually(SOON, "none is kept", || a.open_connections() == 0);
        assert!(a.requests().iter().all(|r| r.head.closes() == says_close), "{off}");
    }
}

#[test]
fn connections_are_there_before_requests_are() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let pool = "connection_pooling = { preconnect = 3, max_idle_time = \"100ms\" }";
    let setup = Setup::new([&a]).backend(&b, "disabled = true").top("workers = 2").pool(pool).admin();
    let lb = setup.start();
    eventually(SOON, "three are open", || a.open_connections() == 3);
    assert_eq!(a.request_count(), 0);
    eventually(SOON, "each worker has its share", || {
        metric(&lb, "edge_lb_upstream_connections_idle", &["backend=\"a\""]) == 3.0
    });
    Load::new(lb.address()).connections(8).requests_each(20).run_to_end().assert_all_ok(160);
    eventually(SOON, "idle time closes those beyond", || a.open_connections() == 3);
    assert_eq!(b.connection_count(), 0, "nobody connects to a disabled backend");
    // Killed, it leaves none; alive again it gets them without a request.
    a.kill();
    a.revive();
    eventually(SOON, "they are there again", || a.open_connections() == 3 && open(&lb) == 3.0);
    assert_eq!(get(&lb), "a");
}

#[test]
fn connections_to_a_backend_that_left_are_closed() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backends.json");
    let list = |backends: &[&Backend]| {
        let items: Vec<_> = backends
            .iter()
            .map(|b| format!("{{ \"id\": \"{}\", \"url\": \"{}\" }}", b.id(), b.url()))
            .collect();
        // Read whole or not at all.
        let new = folder.path().join("new");
        std::fs::write(&new, format!("[{}]", items.join(", "))).unwrap();
        std::fs::rename(&new, &path).unwrap();
    };
    list(&[&a, &b]);
    let pool = format!(
        "algorithm = \"round-robin\"\nconnection_pooling = {{}}\ndiscovery = {{ type = \"file\", path = \"{}\" }}",
        path.display()
    );
    let lb = Setup::default().pool(&pool).admin().start();
    eventually(SOON, "both are there", || Client::get(lb.address(), "/").is_ok_and(|r| r.status() == 200));
    for _ in 0..4 {
        get(&lb);
    }
    assert_eq!((a.open_connections(), b.open_connections()), (1, 1));
    list(&[&b]);
    eventually(SOON, "the connection to the one that left is closed", || a.open_connections() == 0);
    assert_eq!((closed(&lb, "gone"), b.connection_count()), (1.0, 1));
    assert_eq!((get(&lb), b.connection_count()), ("b".to_owned(), 1), "the other's is still in use");
}

/// A backend is drained and taken back while connections are idle: the backend is the same, and so are they.
#[test]
fn connections_survive_changes_that_keep_their_backend() {
    let (a, b) = (Backend::start("a"), Backend::start("b"));
    let lb =
        Setup::new([&a, &b]).pool("algorithm = \"round-robin\"\nconnection_pooling = {}").admin().start();
    for _ in 0..4 {
        get(&lb);
    }
    let drain = |method: &str| {
        let response = edge_lb_tests::admin(&lb, method, "/api/v1/pools/main/backends/b/drain");
        assert!(response.status() < 300, "{response:?}");
    };
    drain("POST");
    for _ in 0..4 {
        assert_eq!(get(&lb), "a");
    }
    drain("DELETE");
    for _ in 0..4 {
        get(&lb);
    }
    assert_eq!((a.connection_count(), b.connection_count()), (1, 1));
    assert!(b.request_count() > 2);
}

#[test]
fn an_unhealthy_backend_is_not_connected_to_ahead() {
    let a = Backend::with("a", |_| Reply::status(500));
    let pool = "connection_pooling = { preconnect = 2 }\nhealth_check = { path = \"/\", interval = \"100ms\", unhealthy_threshold = 1 }\n\
                panic_threshold = 0";
    let b = Backend::start("b");
    let lb = Setup::new([&a, &b]).pool(pool).admin().start();
    eventually(SOON, "a is unhealthy", || edge_lb_tests::unhealthy(&lb) == 1);
    eventually(SOON, "b is connected to", || {
        metric(&lb, "edge_lb_upstream_connections_idle", &["backend=\"b\""]) == 2.0
    });
    a.kill();
    a.revive();
    let before = metric(&lb, "edge_lb_upstream_connections_opened_total", &["backend=\"a\""]);
    // Its checks come from elsewhere: ten of them, and no connection of the data plane.
    let checks = a.request_count();
    eventually(SOON, "it is checked", || a.request_count() >= checks + 10);
    assert_eq!(metric(&lb, "edge_lb_upstream_connections_opened_total", &["backend=\"a\""]), before);
}
