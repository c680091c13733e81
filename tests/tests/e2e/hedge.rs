//! A slow try gets a second beside it, at another backend; the first answer counts.

use edge_lb_tests::{SOON, Setup, metric};
use lb_testkit::{Backend, Client, EdgeLb, Load, Reply, Step, Stopwatch, eventually};
use std::time::Duration;

/// What is slow here: far longer than anything else.
const SLOW: Duration = Duration::from_millis(500);

/// Quick, but for two targets.
fn sometimes_slow() -> Backend {
    Backend::with("slow", |request| match request.head.target.as_str() {
        "/slow" => Reply::ok("slow").after(Step::Pause(SLOW)),
        "/hang" => Reply::steps([Step::Hang]),
        _ => Reply::ok("slow"),
    })
}

fn count(lb: &EdgeLb, name: &str) -> u64 {
    metric(lb, &format!("edge_lb_http_{name}_total"), &[]) as u64
}

/// With `hedge` among the keys of the policy; the pool's usual response times are known.
fn start(slow: &Backend, quick: &Backend, keys: &str) -> EdgeLb {
    let pool = format!("algorithm = \"round-robin\"\nretry_policy = {{ hedge = {{}}{keys} }}");
    let lb = Setup::new([slow, quick]).pool(&pool).admin().start();
    Load::new(lb.address()).connections(2).requests_each(200).run_to_end().assert_all_ok(400);
    lb
}

/// Asks for what is slow until the proxy knows that it is, and hedges.
fn until_it_hedges(lb: &EdgeLb, sign: &str) {
    eventually(SOON, "a slow request is hedged", || {
        assert_eq!(Client::get(lb.address(), "/slow").unwrap().status(), 200);
        count(lb, sign) > 0
    });
}

#[test]
fn a_slow_try_is_overtaken_by_another_and_dropped() {
    let (slow, quick) = (sometimes_slow(), Backend::start("quick"));
    let lb = start(&slow, &quick, "");
    until_it_hedges(&lb, "hedges_won");
    let (before, won) = (slow.request_count(), count(&lb, "hedges_won"));
    let watch = Stopwatch::start();
    let mut client = Client::connect(lb.address()).unwrap();
    for method in ["GET", "HEAD", "GET", "DELETE"] {
        let response = client.request(method, "/hang", &[], b"").unwrap();
        assert_eq!((response.status(), response.served_by()), (200, Some("quick")), "{method}");
    }
    assert!(watch.elapsed() < SOON, "{:?}", watch.elapsed());
    assert!(slow.request_count() >= before + 2, "at least each second one was tried there first");
    assert!(count(&lb, "hedges_won") >= won + 2);
    eventually(SOON, "the slow tries are given up", || slow.in_flight() == 0);
    let cancelled = || metric(&lb, "edge_lb_backend_requests_total", &["cancelled", "slow"]) as usize;
    eventually(SOON, "their leases say so", || cancelled() >= slow.request_count() - before);
    assert_eq!(metric(&lb, "edge_lb_backend_in_flight", &[]) as u64, 0);
}

#[test]
fn only_what_may_be_repeated_and_has_no_body_is_hedged() {
    let (slow, quick) = (sometimes_slow(), Backend::start("quick"));
    let lb = start(&slow, &quick, "");
    until_it_hedges(&lb, "hedges");
    let before = (count(&lb, "hedges"), slow.request_count());
    let mut client = Client::connect(lb.address()).unwrap();
    for (method, body) in [("POST", &b""[..]), ("POST", b"pay"), ("PATCH", b""), ("PUT", b"hello")] {
        // Both backends have their turns.
        for _ in 0..2 {
            assert_eq!(client.request(method, "/slow", &[], body).unwrap().status(), 200, "{method}");
        }
    }
    assert_eq!((count(&lb, "hedges"), slow.request_count()), (before.0, before.1 + 4));
}

#[test]
fn a_hedge_draws_on_the_budget() {
    let (slow, quick) = (sometimes_slow(), Backend::start("quick"));
    let lb = start(&slow, &quick, ", budget_percent = 0, budget_min_per_second = 0");
    until_it_hedges(&lb, "retries_refused");
    assert_eq!(count(&lb, "hedges"), 0);
}

#[test]
fn where_one_backend_is_usable_nothing_is_hedged() {
    let slow = sometimes_slow();
    let lb = Setup::new([&slow]).pool("retry_policy = { hedge = {} }").admin().start();
    Load::new(lb.address()).requests_each(100).run_to_end().assert_all_ok(100);
    for _ in 0..3 {
        assert_eq!(Client::get(lb.address(), "/slow").unwrap().text(), "slow");
    }
    assert_eq!((slow.request_count(), count(&lb, "hedges")), (103, 0));
}

/// The two tries have a deadline each: that of the first does not become the second's.
#[test]
fn when_both_tries_time_out_the_client_is_told_after_the_later() {
    let hanging = ["x", "y"].map(|id| {
        Backend::with(id, |request| match request.head.target.as_str() {
            "/hang" => Reply::steps([Step::Hang]),
            "/slow" => Reply::ok("").after(Step::Pause(Duration::from_millis(200))),
            _ => Reply::ok(""),
        })
    });
    let [x, y] = &hanging;
    let pool = "retry_policy = { hedge = { min_delay = \"100ms\" }, max_retries = 0 }\n\
                timeouts = { first_byte = \"400ms\" }";
    let lb = Setup::new([x, y]).pool(pool).admin().start();
    Load::new(lb.address()).connections(2).requests_each(200).run_to_end().assert_all_ok(400);
    until_it_hedges(&lb, "hedges");
    let before = x.request_count() + y.request_count();
    let watch = Stopwatch::start();
    assert_eq!(Client::get(lb.address(), "/hang").unwrap().status(), 504);
    let took = watch.elapsed();
    assert!(took >= Duration::from_millis(450) && took < SOON, "{took:?}");
    assert_eq!(x.request_count() + y.request_count(), before + 2);
    assert_eq!(metric(&lb, "edge_lb_backend_in_flight", &[]) as u64, 0);
}

/// What overtakes is a response that is retried on: the request is still there to be sent again.
#[test]
fn an_overtaking_503_is_retried() {
    let (slow, good) = (sometimes_slow(), Backend::start("good"));
    let bad = Backend::with("bad", |request| match request.head.target.as_str() {
        "/hang" => Reply::status(503),
        _ => Reply::ok("bad"),
    });
    let pool = "algorithm = \"round-robin\"\ntimeouts = { first_byte = \"1s\" }\n\
                retry_policy = { hedge = {}, base_delay = \"1ms\" }";
    let lb = Setup::new([&slow, &bad, &good]).pool(pool).admin().start();
    Load::new(lb.address()).connections(2).requests_each(200).run_to_end().assert_all_ok(400);
    until_it_hedges(&lb, "hedges_won");
    let retried = || metric(&lb, "edge_lb_http_retry_reasons_total", &["status"]) as u64;
    let won = count(&lb, "hedges_won");
    for _ in 0..6 {
        let response = Client::get(lb.address(), "/hang").unwrap();
        assert_eq!((response.status(), response.served_by()), (200, Some("good")));
    }
    assert!(count(&lb, "hedges_won") > won && retried() > 0);
}
