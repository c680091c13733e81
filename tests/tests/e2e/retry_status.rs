//! Responses that are retried on: where the retry goes, what `Retry-After` does, and which response the client gets.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Answer, Backend, Client, Reply, Stopwatch, eventually};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// Short waits; a busy machine's retries are not refused.
const QUICK: &str = "algorithm = \"round-robin\"\nretry_policy = { base_delay = \"1ms\" }";

fn unavailable(id: &str) -> Backend {
    Backend::with(id, |_| Reply::answer(Answer::new(503).body("later")))
}

/// Answers its first request with 503 and these headers, and all others with 200.
fn unavailable_once(headers: &'static [(&'static str, &'static str)]) -> Backend {
    let count = AtomicUsize::new(0);
    Backend::with("a", move |_| match count.fetch_add(1, SeqCst) {
        0 => Reply::answer(headers.iter().fold(Answer::new(503), |a, (n, v)| a.header(n, v))),
        _ => Reply::ok("a"),
    })
}

#[test]
fn a_503_is_tried_elsewhere_and_its_connection_is_kept() {
    let (bad, a) = (unavailable("bad"), Backend::start("a"));
    let lb = Setup::new([&bad, &a]).pool(QUICK).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for method in ["GET", "HEAD", "OPTIONS", "DELETE", "TRACE", "GET", "HEAD", "GET"] {
        let response = client.request(method, "/", &[], b"").unwrap();
        assert_eq!((response.status(), response.served_by()), (200, Some("a")), "{method}");
    }
    assert_eq!(a.request_count(), 8);
    assert!(bad.request_count() >= 4, "each second one was tried there first");
    assert_eq!((bad.connection_count(), a.connection_count()), (1, 1));
}

#[test]
fn a_long_response_that_is_not_handed_on_is_not_read_to_its_end() {
    let bad = Backend::with("bad", |_| Reply::answer(Answer::new(503).body(vec![b'x'; 17 << 10])));
    let a = Backend::start("a");
    let lb = Setup::new([&bad, &a]).pool(QUICK).start();
    for _ in 0..2 {
        assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "a");
    }
    assert!(bad.request_count() >= 1);
    assert_eq!(bad.connection_count(), bad.request_count());
    eventually(SOON, "its connection is closed", || bad.open_connections() == 0);
}

#[test]
fn only_the_statuses_that_are_listed_are_retried() {
    let a = Backend::with("a", |r| Reply::status(r.head.target[1..].parse().unwrap()));
    let b = Backend::start("b");
    let statuses = |lb: &lb_testkit::EdgeLb| {
        let mut client = Client::connect(lb.address()).unwrap();
        let mut kept = Vec::new();
        for status in [400, 429, 500, 501, 502, 503, 504, 507] {
            let before = a.request_count();
            // Each second request goes to `b` at once: ask until `a` was.
            while a.request_count() == before {
                let got = client.request("GET", &format!("/{status}"), &[], b"").unwrap().status();
                if a.request_count() > before && got != 200 {
                    assert_eq!(got, status);
                    kept.push(status);
                }
            }
        }
        kept
    };
    let lb = Setup::new([&a, &b]).pool(QUICK).start();
    assert_eq!(statuses(&lb), [400, 429, 500, 501, 507]);
    let some =
        "retry_policy = { base_delay = \"1ms\", retry_on = [\"5xx\", 429] }\nalgorithm = \"round-robin\"";
    let lb = Setup::new([&a, &b]).pool(some).start();
    assert_eq!(statuses(&lb), [400]);
    let off = "retry_policy = { enabled = false }\nalgorithm = \"round-robin\"";
    let lb = Setup::new([&a, &b]).pool(off).start();
    assert_eq!(statuses(&lb), [400, 429, 500, 501, 502, 503, 504, 507]);
}

#[test]
fn a_503_to_a_post_is_the_answer() {
    let (bad, a) = (unavailable("bad"), Backend::start("a"));
    let lb = Setup::new([&bad, &a]).pool(QUICK).start();
    let mut client = Client::connect(lb.address()).unwrap();
    let mut ask = |body: &[u8]| client.request("POST", "/", &[], body).unwrap().text();
    assert_eq!([ask(b"pay"), ask(b"pay"), ask(b""), ask(b"")], ["later", "a", "later", "a"]);
    assert_eq!((bad.request_count(), a.request_count()), (2, 2));
}

#[test]
fn the_last_response_is_handed_on_as_it_is() {
    let count = AtomicUsize::new(0);
    let a = Backend::with("a", move |_| {
        let n = count.fetch_add(1, SeqCst);
        Reply::answer(Answer::new(503).header("X-Try", &n.to_string()).body(format!("try {n}")))
    });
    let lb = Setup::new([&a]).pool("retry_policy = { max_retries = 2, base_delay = \"1ms\" }").start();
    let response = Client::get(lb.address(), "/").unwrap();
    assert_eq!((response.status(), response.text().as_str()), (503, "try 2"));
    assert_eq!(response.header("x-try"), Some("2"));
    assert_eq!((a.request_count(), a.connection_count()), (3, 1));
}

#[test]
fn retry_after_in_seconds_is_waited_for() {
    let a = unavailable_once(&[("Retry-After", "1")]);
    let lb = Setup::new([&a]).pool(QUICK).start();
    let watch = Stopwatch::start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "a");
    let took = watch.elapsed();
    assert!(took >= Duration::from_millis(990) && took < SOON, "{took:?}");
}

#[test]
fn retry_after_as_a_date_is_waited_for_by_the_backend_s_own_clock() {
    let a = unavailable_once(&[
        ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Retry-After", "Sun, 06 Nov 1994 08:49:38 GMT"),
    ]);
    let lb = Setup::new([&a]).pool(QUICK).start();
    let watch = Stopwatch::start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "a");
    let took = watch.elapsed();
    assert!(took >= Duration::from_millis(990) && took < SOON, "{took:?}");
}

#[test]
fn a_longer_retry_after_is_handed_to_the_client() {
    let a = unavailable_once(&[("Retry-After", "2")]);
    let lb = Setup::new([&a]).pool(QUICK).start();
    let response = Client::get(lb.address(), "/").unwrap();
    assert_eq!((response.status(), response.header("retry-after")), (503, Some("2")));
    assert_eq!(a.request_count(), 1);
}

#[test]
fn retry_after_of_one_backend_does_not_hold_up_another() {
    let a = unavailable_once(&[("Retry-After", "3600")]);
    let b = Backend::start("b");
    let lb = Setup::new([&a, &b]).pool(QUICK).start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "b");
    assert_eq!((a.request_count(), b.request_count()), (1, 1));
}

/// The base path of the first backend stayed before the target, and the second's came before that.
#[test]
fn each_backend_gets_its_own_base_path() {
    let (bad, a) = (unavailable("bad"), Backend::start("a"));
    let lb = Setup::default()
        .backend_at("bad", &format!("{}/one", bad.url()), "")
        .backend_at("a", &format!("{}/two", a.url()), "")
        .pool(QUICK)
        .start();
    assert_eq!(Client::get(lb.address(), "/x?y").unwrap().text(), "a");
    let target = |b: &Backend| b.requests()[0].head.target.clone();
    assert_eq!((target(&bad), target(&a)), ("/one/x?y".to_owned(), "/two/x?y".to_owned()));
}
