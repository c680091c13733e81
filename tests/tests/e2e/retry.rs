//! What is tried again, where, and how often; and that nothing is done twice that must not be.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Backend, Client, Load, Reply, Step, eventually};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Resets every request after it has read it.
fn resetting(id: &str) -> Backend {
    Backend::with(id, |_| Reply::steps([Step::Reset]))
}

#[test]
fn stale_connections_are_invisible() {
    // After each answer the backend waits for the first byte of the next request, and closes then: the worst moment. The
    // others close a while after their answer, which may be just when the next request is sent.
    let worst = Backend::with("worst", |_| Reply::ok("").then(Step::AwaitNextByte).then(Step::Close));
    let at_once = Backend::with("at-once", |_| Reply::ok("").then(Step::Close));
    let count = AtomicUsize::new(0);
    let soon = Backend::with("soon", move |_| {
        let pause = std::time::Duration::from_micros(50 * (count.fetch_add(1, SeqCst) % 20) as u64);
        Reply::ok("").then(Step::Pause(pause)).then(Step::Close)
    });
    for backend in [&worst, &at_once, &soon] {
        let lb = Setup::new([backend]).start();
        let load = Load::new(lb.address()).connections(4).requests_each(250);
        load.run_to_end().assert_all_ok(1_000);
    }
    let lb = Setup::new([&worst, &at_once, &soon]).top("workers = 2").start();
    Load::new(lb.address()).connections(8).requests_each(250).run_to_end().assert_all_ok(2_000);
}

#[test]
fn a_connection_that_has_been_closed_is_not_used_for_a_post() {
    let a = Backend::with("a", |_| Reply::ok("a").then(Step::Close));
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for n in 1..=100 {
        assert_eq!(client.request("POST", "/", &[], b"hello").unwrap().status(), 200, "request {n}");
        // From here on the end of the connection lies in the proxy's kernel: sending on it would be a 502 for nothing.
        eventually(SOON, "the backend has closed", || a.open_connections() == 0);
    }
    assert!(a.requests().iter().all(|r| r.body == b"hello"));
}

#[test]
fn a_refused_connection_goes_elsewhere_whatever_the_method() {
    let (dead, a) = (Backend::start("dead"), Backend::start("a"));
    dead.kill();
    let lb = Setup::new([&dead, &a]).pool("algorithm = \"round-robin\"").start();
    let mut client = Client::connect(lb.address()).unwrap();
    for method in ["GET", "POST", "PUT", "PATCH", "DELETE"] {
        for _ in 0..2 {
            assert_eq!(client.request(method, "/", &[], b"hello").unwrap().text(), "a", "{method}");
        }
    }
    assert!(a.requests().iter().all(|r| r.body == b"hello"));
}

#[test]
fn a_reset_idempotent_request_goes_elsewhere() {
    let (bad, a) = (resetting("bad"), Backend::start("a"));
    let lb = Setup::new([&bad, &a]).pool("algorithm = \"round-robin\"").start();
    let mut client = Client::connect(lb.address()).unwrap();
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE"] {
        for _ in 0..2 {
            let response = client.request(method, "/", &[], b"").unwrap();
            assert_eq!((response.status(), response.served_by()), (200, Some("a")), "{method}");
        }
    }
    assert_eq!(a.request_count(), 10);
    assert!((5..=10).contains(&bad.request_count()), "at least each second one was tried there first");
}

#[test]
fn a_reset_post_is_not_sent_twice() {
    let (bad, a) = (resetting("bad"), Backend::start("a"));
    let lb = Setup::new([&bad, &a]).pool("algorithm = \"round-robin\"").start();
    for method in ["POST", "PATCH"] {
        let mut statuses = Vec::new();
        for _ in 0..4 {
            let mut client = Client::connect(lb.address()).unwrap();
            statuses.push(client.request(method, "/", &[], b"pay").unwrap().status());
        }
        assert_eq!(statuses, [502, 200, 502, 200], "{method}");
    }
    assert_eq!((bad.request_count(), a.request_count()), (4, 4));
}

#[test]
fn no_backend_is_tried_twice_while_another_is_usable() {
    let backends: Vec<_> = ["w", "x", "y", "z"].map(resetting).into();
    for algorithm in ["round-robin", "least-connections", "random", "ip-hash"] {
        let pool = format!("algorithm = \"{algorithm}\"\nretry_policy = {{ max_retries = 3 }}");
        let lb = Setup::new(&backends).pool(&pool).start();
        for _ in 0..5 {
            let before: Vec<_> = backends.iter().map(Backend::request_count).collect();
            assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 502);
            let after: Vec<_> = backends.iter().map(Backend::request_count).collect();
            let tries: Vec<_> = after.iter().zip(&before).map(|(a, b)| a - b).collect();
            assert_eq!(tries, [1, 1, 1, 1], "{algorithm}");
        }
    }
}

#[test]
fn retries_are_bounded() {
    let bad = resetting("bad");
    for max in [0, 1, 5] {
        let pool = format!("retry_policy = {{ max_retries = {max} }}");
        let lb = Setup::new([&bad]).pool(&pool).start();
        let before = bad.request_count();
        assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 502);
        let tries = bad.request_count() - before;
        assert!((1..=max + 1).contains(&tries), "{tries} tries with max_retries = {max}");
    }
}

#[test]
fn nothing_is_tried_again_after_the_response_began() {
    let cut = Backend::with("cut", |_| {
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").then(Step::Close)
    });
    let other = Backend::with("other", |_| Reply::ok("0123456789"));
    let lb = Setup::new([&cut, &other]).pool("algorithm = \"round-robin\"").start();
    assert!(Client::get(lb.address(), "/").is_err());
    assert_eq!((cut.request_count(), other.request_count()), (1, 0));
}

#[test]
fn errors_of_the_backend_are_answers() {
    let a = Backend::with("a", |_| Reply::status(500));
    let b = Backend::start("b");
    let lb = Setup::new([&a, &b]).pool("algorithm = \"round-robin\"").start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 500);
    assert_eq!((a.request_count(), b.request_count()), (1, 0));
}

#[test]
fn all_dead_is_502_or_503_by_accept_as_text_or_json() {
    let backends = ["a", "b"].map(Backend::start);
    for backend in &backends {
        backend.kill();
    }
    let lb = Setup::new(&backends).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for accept in ["*/*", "application/json"] {
        let response = client.request("GET", "/", &[("Accept", accept)], b"").unwrap();
        assert!([502, 503].contains(&response.status()), "{response:?}");
        let kind = response.header("content-type").unwrap_or_default();
        assert_eq!(kind.starts_with("application/json"), accept.contains("json"), "{response:?}");
        if accept.contains("json") {
            let json: serde_json::Value = serde_json::from_slice(&response.body).unwrap();
            assert_eq!(json["status"], response.status());
        }
    }
    // The connection outlives the failure, and so does the proxy.
    backends[0].revive();
    assert_eq!(client.request("GET", "/", &[], b"").unwrap().text(), "a");
}

#[test]
fn no_usable_backend_is_503() {
    let a = Backend::start("a");
    let lb = Setup::default().backend(&a, "disabled = true").start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 503);
    assert_eq!(a.connection_count(), 0);
}
