//! Each time-out ends what takes too long, with the right answer.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Answer, Backend, Client, Load, ReadError, Reply, SilentPort, Step, Stopwatch, eventually};
use std::time::Duration;

/// What each test configures.
const LIMIT: Duration = Duration::from_millis(300);

/// Asserts that something configured to take 300 ms took that long, and not absurdly longer.
#[track_caller]
fn assert_took_its_time(watch: Stopwatch) {
    let took = watch.elapsed();
    // Coarse timers may be early by a tick.
    assert!(took >= LIMIT * 8 / 10 && took < SOON, "took {took:?}");
}

#[test]
fn connecting_that_takes_too_long_is_504() {
    let silent = SilentPort::start();
    let pool = "connection_timeout = \"300ms\"\nretry_policy = { max_retries = 0 }";
    let lb = Setup::default().backend_at("silent", &silent.url(), "").pool(pool).start();
    let watch = Stopwatch::start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 504);
    assert_took_its_time(watch);
}

#[test]
fn connecting_that_takes_too_long_is_tried_elsewhere() {
    let silent = SilentPort::start();
    let a = Backend::start("a");
    let pool = "connection_timeout = \"300ms\"\nalgorithm = \"round-robin\"";
    let lb = Setup::default().backend_at("silent", &silent.url(), "").backend(&a, "").pool(pool).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for _ in 0..2 {
        // Nothing was sent, so that a POST may go elsewhere, too.
        assert_eq!(client.request("POST", "/", &[], b"hello").unwrap().text(), "a");
    }
    assert!(a.requests().iter().all(|r| r.body == b"hello"));
}

/// The client's own deadlines were still in force while a connection was made, and cut a request that had come in full.
#[test]
fn the_client_s_deadlines_do_not_run_while_a_backend_is_connected_to() {
    let silent = SilentPort::start();
    let pool = "connection_timeout = \"600ms\"\nretry_policy = { max_retries = 0 }";
    let timeouts = "timeouts = { header = \"100ms\", idle = \"100ms\" }";
    let lb = Setup::default().backend_at("silent", &silent.url(), "").pool(pool).listener(timeouts).start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 504);
}

/// Connecting did not count towards the whole.
#[test]
fn the_total_bounds_connecting_too() {
    let silent = SilentPort::start();
    let pool = "connection_timeout = \"60s\"\ntimeouts = { total = \"300ms\" }";
    let lb = Setup::default().backend_at("silent", &silent.url(), "").pool(pool).start();
    let watch = Stopwatch::start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 504);
    assert_took_its_time(watch);
}

#[test]
fn a_backend_that_does_not_answer_is_504() {
    let a = Backend::with("a", |_| Reply::steps([Step::Hang]));
    let pool = "timeouts = { first_byte = \"300ms\" }\nretry_policy = { max_retries = 0 }";
    let lb = Setup::new([&a]).pool(pool).start();
    let mut client = Client::connect(lb.address()).unwrap();
    let watch = Stopwatch::start();
    assert_eq!(client.request("GET", "/", &[], b"").unwrap().status(), 504);
    assert_took_its_time(watch);
    eventually(SOON, "the backend's connection is closed", || a.open_connections() == 0);
    let post = client.request("POST", "/", &[], b"hello").unwrap();
    assert_eq!((post.status(), a.request_count()), (504, 2));
}

#[test]
fn a_body_that_stops_is_cut() {
    let a = Backend::with("a", |_| {
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").then(Step::Hang)
    });
    let lb = Setup::new([&a]).pool("timeouts = { idle = \"300ms\" }").start();
    let watch = Stopwatch::start();
    let result = Client::get(lb.address(), "/");
    assert!(matches!(result, Err(ReadError::Cut(_) | ReadError::Reset(_))), "{result:?}");
    assert_took_its_time(watch);
    eventually(SOON, "the backend's connection is closed", || a.open_connections() == 0);
}

#[test]
fn a_body_that_drips_is_not_cut_by_the_idle_limit() {
    let a = Backend::with("a", |_| {
        let head = Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\n");
        (0..8).fold(head, |reply, _| {
            reply.then(Step::Pause(Duration::from_millis(200))).then(Step::Send(b"x".to_vec()))
        })
    });
    let lb = Setup::new([&a]).pool("timeouts = { idle = \"1s\" }").start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "xxxxxxxx");
}

#[test]
fn the_total_limit_ends_an_exchange_at_any_point() {
    let drip = |reply: Reply| {
        (0..100).fold(reply, |reply, _| {
            reply.then(Step::Pause(Duration::from_millis(20))).then(Step::Send(b"x".to_vec()))
        })
    };
    let a = Backend::with("a", move |request| match request.head.target.as_str() {
        "/head" => Reply::steps([Step::Hang]),
        _ => drip(Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n")),
    });
    let lb = Setup::new([&a]).pool("timeouts = { total = \"300ms\" }").start();
    let watch = Stopwatch::start();
    assert_eq!(Client::get(lb.address(), "/head").unwrap().status(), 504);
    assert_took_its_time(watch);
    let watch = Stopwatch::start();
    let result = Client::get(lb.address(), "/body");
    assert!(matches!(result, Err(ReadError::Cut(_) | ReadError::Reset(_))), "{result:?}");
    assert_took_its_time(watch);
}

#[test]
fn a_head_that_takes_too_long_is_408_and_others_are_served() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).listener("timeouts = { header = \"500ms\" }").start();
    let mut slow: Vec<_> = (0..50).map(|_| Client::connect(lb.address()).unwrap()).collect();
    for client in &mut slow {
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX-").unwrap();
    }
    Load::new(lb.address()).connections(2).requests_each(20).run_to_end().assert_all_ok(40);
    for client in &mut slow {
        client.set_limit(SOON);
        match client.read("GET") {
            Ok(response) => assert!(response.status() == 408 && response.head.closes(), "{response:?}"),
            Err(error) => assert!(matches!(error, ReadError::Closed | ReadError::Reset(_)), "{error}"),
        }
        assert!(client.is_closed_within(SOON));
    }
    assert!(a.requests().iter().all(|r| r.is_complete));
}

#[test]
fn a_head_that_drips_does_not_extend_its_time() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).listener("timeouts = { header = \"300ms\" }").start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.set_limit(Duration::from_millis(20));
    let watch = Stopwatch::start();
    let _ = client.send("GET / HTTP/1.1\r\nHost: a\r\nX-A: ");
    loop {
        // Each wait for an answer is as long as the pause between two bytes.
        match client.read_head() {
            Ok(head) => {
                assert_eq!(head.status, 408);
                break;
            }
            Err(ReadError::TimedOut(_)) => {
                assert!(watch.elapsed() < SOON, "still open");
                let _ = client.send("x");
            }
            Err(_) => break,
        }
    }
    assert_took_its_time(watch);
    assert_eq!(a.connection_count(), 0);
}

#[test]
fn a_request_body_that_stops_is_408() {
    let a = Backend::with("a", |_| Reply::ok("a"));
    let lb = Setup::new([&a]).listener("timeouts = { body = \"300ms\" }").start();
    let mut client = Client::connect(lb.address()).unwrap();
    let watch = Stopwatch::start();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    let response = client.read("POST").unwrap();
    assert_took_its_time(watch);
    assert!(response.status() == 408 && response.head.closes(), "{response:?}");
    eventually(SOON, "the backend's connection is closed", || a.open_connections() == 0);
    assert!(!a.requests()[0].is_complete);
}

#[test]
fn an_idle_connection_is_closed() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).listener("timeouts = { idle = \"300ms\", header = \"5s\" }").start();
    let mut used = Client::connect(lb.address()).unwrap();
    let watch = Stopwatch::start();
    assert_eq!(used.request("GET", "/", &[], b"").unwrap().status(), 200);
    assert!(used.is_closed_within(SOON));
    assert_took_its_time(watch);
    let mut fresh = Client::connect(lb.address()).unwrap();
    assert!(fresh.is_closed_within(SOON), "one that never sent anything, too");
}

#[test]
fn a_slow_answer_within_its_limits_passes() {
    let answer = || Reply::answer(Answer::ok("slow")).after(Step::Pause(Duration::from_millis(700)));
    let a = Backend::with("a", move |_| answer());
    // The client's limits are of the client, not of the backend.
    let listener = "timeouts = { header = \"300ms\", body = \"300ms\", idle = \"300ms\" }";
    let lb = Setup::new([&a]).listener(listener).start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().text(), "slow");
}
