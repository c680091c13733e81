//! What bounds retries: the budget, also for those that wait, the time of one try and of all, and the client's patience.

use edge_lb_tests::{SOON, Setup, metric};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Gate, Load, Reply, Step, Stopwatch, eventually};
use std::thread;
use std::time::Duration;

fn unavailable(id: &str) -> Backend {
    Backend::with(id, |_| Reply::answer(Answer::new(503).body("later")))
}

fn count(lb: &EdgeLb, name: &str) -> u64 {
    metric(lb, &format!("edge_lb_http_{name}_total"), &[]) as u64
}

/// The line of the contract: upstream requests ≤ 1.2 × + 10/s over the window, however the backends behave.
#[test]
fn a_storm_of_failures_is_not_multiplied() {
    const REQUESTS: usize = 1_000;
    let storms = [
        (Reply::status(503), ""),
        (Reply::status(500), ", retry_on = [\"5xx\"], max_retries = 100"),
        (Reply::steps([Step::Reset]), ""),
    ];
    for (reply, keys) in storms {
        let backends = ["a", "b"].map(|id| {
            let reply = reply.clone();
            Backend::with(id, move |_| reply.clone())
        });
        let pool = format!("retry_policy = {{ base_delay = \"1ms\"{keys} }}");
        let lb = Setup::new(&backends).pool(&pool).top("workers = 2").admin().start();
        let watch = Stopwatch::start();
        let report = Load::new(lb.address()).connections(8).requests_each(REQUESTS / 8).run_to_end();
        // The windows that the load can have touched.
        let windows = 2 + watch.elapsed().as_secs() as usize / 10;
        assert_eq!(report.statuses.range(500..).map(|(_, n)| n).sum::<usize>(), REQUESTS, "{report:?}");
        let sent: usize = backends.iter().map(Backend::request_count).sum();
        assert!(sent <= REQUESTS + REQUESTS / 5 + 100 * windows, "{sent} requests for {REQUESTS}");
        assert!(sent > REQUESTS + 100, "{sent} requests for {REQUESTS}");
        assert!(count(&lb, "retries_refused") > 0);
        assert_eq!(metric(&lb, "edge_lb_http_retry_reasons_total", &[]) as u64, count(&lb, "retries"));
    }
}

#[test]
fn all_workers_draw_on_one_budget() {
    let a = unavailable("a");
    // Of eight requests that is one, of fewer none.
    let pool = "retry_policy = { base_delay = \"0s\", budget_percent = 13, budget_min_per_second = 0, \
                budget_window = \"1h\" }";
    let lb = Setup::new([&a]).pool(pool).top("workers = 4").start();
    for _ in 0..8 {
        // A connection each, so that all workers get some.
        assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 503);
    }
    assert_eq!(a.request_count(), 9);
}

/// envoy#30205: retries were counted when they were sent, so that any number could wait.
#[test]
fn a_retry_counts_while_it_waits() {
    let a = unavailable("a");
    let pool = "retry_policy = { backoff = \"constant\", base_delay = \"500ms\", budget_percent = 25, \
                budget_min_per_second = 0, budget_window = \"1h\" }";
    let lb = Setup::new([&a]).pool(pool).start();
    let clients = [(); 8].map(|()| {
        let address = lb.address().clone();
        thread::spawn(move || Client::get(&address, "/").unwrap().status())
    });
    assert!(clients.into_iter().all(|c| c.join().unwrap() == 503));
    // A quarter of eight; how many of the two depends on who comes first.
    assert!((9..=10).contains(&a.request_count()), "{} requests for 8", a.request_count());
}

#[test]
fn a_retry_whose_client_leaves_is_given_back_and_holds_no_lease() {
    let a = unavailable("a");
    let pool = "retry_policy = { backoff = \"constant\", base_delay = \"1h\", budget_percent = 50, \
                budget_min_per_second = 0, budget_window = \"1h\" }";
    let lb = Setup::new([&a]).pool(pool).admin().start();
    let waits_for_a_retry = |nth: u64| {
        let mut client = Client::connect(lb.address()).unwrap();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        eventually(SOON, "a retry waits", || count(&lb, "retries") == nth);
        client
    };
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "later", "half of one is none");
    let leaves = waits_for_a_retry(1);
    assert_eq!(metric(&lb, "edge_lb_backend_in_flight", &[]) as u64, 0);
    assert_eq!(metric(&lb, "edge_lb_backend_requests_total", &["failure"]) as u64, 2);
    drop(leaves);
    eventually(SOON, "the client is gone", || metric(&lb, "edge_lb_client_connections", &[]) == 0.0);
    // Half of three is one: that of the client that left.
    let _stays = waits_for_a_retry(2);
    assert_eq!((a.request_count(), count(&lb, "retries_refused")), (3, 1));
}

/// The budget bounds what backends get, and one that cannot be reached gets nothing: else a dead backend that nobody has found out
/// yet would cost clients errors.
#[test]
fn going_on_after_a_failure_to_connect_needs_no_budget_and_no_wait() {
    let (dead, a) = (Backend::start("dead"), Backend::start("a"));
    dead.kill();
    let pool = "algorithm = \"round-robin\"\nretry_policy = { backoff = \"constant\", base_delay = \"1h\", \
                budget_percent = 0, budget_min_per_second = 0 }";
    let lb = Setup::new([&dead, &a]).pool(pool).admin().start();
    Load::new(lb.address()).connections(2).requests_each(50).run_to_end().assert_all_ok(100);
    assert!(metric(&lb, "edge_lb_http_retry_reasons_total", &["connect"]) as u64 >= 50);
}

#[test]
fn a_try_that_takes_too_long_is_made_elsewhere() {
    let hangs = Backend::with("hangs", |_| Reply::steps([Step::Hang]));
    let a = Backend::start("a");
    let pool =
        "algorithm = \"round-robin\"\nretry_policy = { per_try_timeout = \"300ms\", base_delay = \"1ms\" }";
    let lb = Setup::new([&hangs, &a]).pool(pool).start();
    let watch = Stopwatch::start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "a");
    let took = watch.elapsed();
    assert!(took >= Duration::from_millis(250) && took < SOON, "{took:?}");
    eventually(SOON, "the slow try's connection is closed", || hangs.open_connections() == 0);
    // A POST has one try, and that long.
    let mut client = Client::connect(lb.address()).unwrap();
    let statuses = [(); 2].map(|()| client.request("POST", "/", &[], b"pay").unwrap().status());
    assert!(statuses.contains(&504) && statuses.contains(&200), "{statuses:?}");
}

#[test]
fn no_wait_goes_beyond_the_total() {
    let a = unavailable("a");
    let wait =
        "retry_policy = { backoff = \"constant\", base_delay = \"1h\" }\ntimeouts = { total = \"5s\" }";
    let lb = Setup::new([&a]).pool(wait).start();
    // Not after five seconds: there is nothing to wait for.
    let watch = Stopwatch::start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "later");
    assert!(watch.elapsed() < Duration::from_secs(4), "{:?}", watch.elapsed());
    assert_eq!(a.request_count(), 1);

    let many = "retry_policy = { max_retries = 100, backoff = \"constant\", base_delay = \"100ms\" }\n\
                timeouts = { total = \"450ms\" }";
    let lb = Setup::new([&a]).pool(many).start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "later");
    // At 0, 100, 200, 300 and 400 ms at the latest.
    assert!((2..=6).contains(&a.request_count()), "{}", a.request_count());
}

#[test]
fn where_no_backend_is_usable_any_more_the_last_response_counts() {
    for (method, body) in [("GET", "later"), ("HEAD", "")] {
        let gate = Gate::new();
        let opened = gate.clone();
        let a = Backend::with("a", move |request| match request.head.target.as_str() {
            "/hold" => Reply::ok("held").after(Step::Wait(gate.clone())),
            _ => Reply::answer(Answer::new(503).body("later")),
        });
        let pool = "max_connections = 1\nretry_policy = { backoff = \"constant\", base_delay = \"1s\" }";
        let lb = Setup::new([&a]).pool(pool).admin().start();
        let (mut client, mut other) =
            (Client::connect(lb.address()).unwrap(), Client::connect(lb.address()).unwrap());
        client.send(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n")).unwrap();
        eventually(SOON, "a retry waits", || count(&lb, "retries") == 1);
        other.send("GET /hold HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        eventually(SOON, "the only place is taken", || a.in_flight() == 1);
        let response = client.read(method).unwrap();
        assert_eq!((response.status(), response.served_by()), (503, Some("a")), "{method}");
        assert_eq!((response.text().as_str(), response.header("content-length")), (body, Some("5")));
        assert_eq!(a.request_count(), 2);
        opened.open();
        assert_eq!(other.read("GET").unwrap().text(), "held");
        assert_eq!(
            client.request("GET", "/hold", &[], b"").unwrap().text(),
            "held",
            "the connection is in step"
        );
    }
}
