//! Requests with bodies that are sent again: byte for byte, as long as they are short enough to be kept, and never a POST.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Gate, ReadError, Reply, Step, eventually};
use std::time::Duration;

/// The first request goes to the first backend, and waits are short.
const POOL: &str = "algorithm = \"round-robin\"\nretry_policy = { base_delay = \"1ms\" }";
const KIB: usize = 1 << 10;

/// Resets every request after it has read it.
fn resetting() -> Backend {
    Backend::with("bad", |_| Reply::steps([Step::Reset]))
}

fn random(length: usize) -> Vec<u8> {
    let mut body = vec![0; length];
    fastrand::Rng::with_seed(length as u64).fill(&mut body);
    body
}

fn start(bad: &Backend, a: &Backend) -> EdgeLb {
    Setup::new([bad, a]).pool(POOL).start()
}

/// Sends chunks of this size, and a trailer.
fn send_chunked(client: &mut Client, method: &str, body: &[u8], size: usize) {
    let head =
        format!("{method} / HTTP/1.1\r\nHost: a\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n");
    let mut bytes = head.into_bytes();
    for part in body.chunks(size) {
        bytes.extend(format!("{:x}\r\n", part.len()).into_bytes());
        bytes.extend(part);
        bytes.extend(b"\r\n");
    }
    bytes.extend(b"0\r\nX-Sum: 7\r\n\r\n");
    client.send(bytes).unwrap();
}

#[test]
fn a_body_within_the_bound_is_sent_again_byte_for_byte() {
    let (bad, a) = (resetting(), Backend::start("a"));
    let lb = start(&bad, &a);
    for method in ["PUT", "DELETE"] {
        for length in [1, 100, 5 * KIB, 64 * KIB] {
            let (body, before) = (random(length), a.request_count());
            let mut client = Client::connect(lb.address()).unwrap();
            assert_eq!(client.request(method, "/", &[], &body).unwrap().text(), "a", "{method} {length}");
            send_chunked(&mut client, method, &body, 1 + length / 10);
            assert_eq!(client.read(method).unwrap().text(), "a", "{method} {length} in chunks");
            let got = &a.requests()[before..];
            assert!(
                got.len() == 2 && got.iter().all(|r| r.is_complete && r.body == body),
                "{method} {length}"
            );
            assert_eq!(got[1].trailers, ["x-sum: 7"]);
        }
    }
    assert!(bad.request_count() >= 8, "at least each second one was tried there first");
    assert_eq!(a.malformed(), Vec::<String>::new());
}

#[test]
fn a_body_beyond_the_bound_is_sent_once() {
    let (bad, a) = (resetting(), Backend::start("a"));
    let zero = format!("{POOL}\n").replace("1ms\"", "1ms\", replay_buffer = \"0B\"");
    for (pool, length) in [(POOL.to_owned(), 64 * KIB + 1), (zero, 1)] {
        let body = random(length);
        for chunked in [false, true] {
            let lb = Setup::new([&bad, &a]).pool(&pool).start();
            let before = (bad.request_count(), a.request_count());
            let mut client = Client::connect(lb.address()).unwrap();
            if chunked {
                send_chunked(&mut client, "PUT", &body, 10 * KIB);
                assert_eq!(client.read("PUT").unwrap().status(), 502, "{length}");
            } else {
                assert_eq!(client.request("PUT", "/", &[], &body).unwrap().status(), 502, "{length}");
            }
            assert_eq!((bad.request_count(), a.request_count()), (before.0 + 1, before.1));
        }
    }
}

#[test]
fn a_503_to_a_put_is_tried_elsewhere_and_its_connection_is_kept() {
    let bad = Backend::with("bad", |_| Reply::answer(Answer::new(503).body("later")));
    let a = Backend::start("a");
    let lb = start(&bad, &a);
    let (mut client, body) = (Client::connect(lb.address()).unwrap(), random(10 * KIB));
    for _ in 0..4 {
        assert_eq!(client.request("PUT", "/", &[], &body).unwrap().text(), "a");
    }
    assert!(a.requests().iter().chain(&bad.requests()).all(|r| r.is_complete && r.body == body));
    assert_eq!((bad.connection_count(), a.connection_count()), (1, 1));
}

#[test]
fn the_second_try_goes_on_reading_from_the_client() {
    let early = [
        Reply::steps([Step::Reset]).early(),
        Reply::steps([Step::Close]).early(),
        Reply::answer(Answer::new(503).body("later")).early(),
    ];
    for reply in early {
        let bad = Backend::with("bad", move |_| reply.clone());
        let a = Backend::start("a");
        let lb = start(&bad, &a);
        let mut client = Client::connect(lb.address()).unwrap();
        client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
        eventually(SOON, "the second try is under way", || a.request_count() == 1);
        client.send("again").unwrap();
        assert_eq!(client.read("PUT").unwrap().text(), "a");
        assert_eq!(a.requests()[0].body, b"firstagain");
        eventually(SOON, "the first try's connection is closed", || bad.open_connections() == 0);
        // The client's connection is in step.
        assert_eq!(client.request("GET", "/", &[], b"").unwrap().text(), "a");
    }
}

#[test]
fn a_client_that_stops_in_the_second_try_is_told_so() {
    let bad = Backend::with("bad", |_| Reply::steps([Step::Reset]).early());
    let a = Backend::start("a");
    let lb = Setup::new([&bad, &a]).pool(POOL).listener("timeouts = { body = \"300ms\" }").start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
    let response = client.read("PUT").unwrap();
    assert!(response.status() == 408 && response.head.closes(), "{response:?}");
    eventually(SOON, "the second try's connection is closed", || a.open_connections() == 0);
    assert!(!a.requests()[0].is_complete);
}

#[test]
fn each_backend_is_asked_whether_it_wants_a_body() {
    // The first says nothing and goes; the second wants it.
    let bad = Backend::with("bad", |_| Reply::steps([Step::Reset]).early());
    let gate = Gate::new();
    let opened = gate.clone();
    let a = Backend::with("a", move |_| {
        let steps = [
            Step::Wait(gate.clone()),
            Step::Send(b"HTTP/1.1 100 Continue\r\n\r\n".to_vec()),
            Step::ReadBody,
            Step::Answer(Answer::ok("a")),
        ];
        Reply::steps(steps).early()
    });
    let lb = start(&bad, &a);
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n").unwrap();
    eventually(SOON, "the second try is under way", || a.request_count() == 1);
    client.set_limit(Duration::from_millis(50));
    assert!(matches!(client.read_head(), Err(ReadError::TimedOut(_))), "nobody has said 100");
    opened.open();
    client.set_limit(SOON);
    assert_eq!(client.read_head().unwrap().status, 100);
    client.send("hello").unwrap();
    assert_eq!(client.read("PUT").unwrap().text(), "a");
    assert_eq!(a.requests()[0].body, b"hello");
}

#[test]
fn a_stale_connection_is_no_failure_of_a_put_either() {
    let worst = Backend::with("worst", |_| Reply::ok("").then(Step::AwaitNextByte).then(Step::Close));
    let lb = Setup::new([&worst]).pool("retry_policy = { max_retries = 0 }").start();
    let (mut client, body) = (Client::connect(lb.address()).unwrap(), random(10 * KIB));
    for n in 0..50 {
        assert_eq!(client.request("PUT", "/", &[], &body).unwrap().status(), 200, "request {n}");
    }
    assert!(worst.requests().iter().filter(|r| r.is_complete).all(|r| r.body == body));
}
