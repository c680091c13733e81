//! Bodies stream: back-pressure, early responses, `Expect: 100-continue`, and clients that leave.

use edge_lb_tests::{SHORT, SOON, Setup};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Gate, Reply, Step, Stopwatch, eventually};

/// What kernel buffers of two loopback connections may hold at most.
const BUFFERS: u64 = 48 << 20;
/// What the proxy may hold of a body.
const MEMORY: u64 = 8 << 20;
const HUGE: u64 = 1 << 30;

/// Waits until a counter has stood still for a while.
fn stands_still(counter: impl Fn() -> u64) -> u64 {
    let mut last = (counter(), Stopwatch::start());
    eventually(SOON, "the stream stands still", || {
        let now = counter();
        if now != last.0 {
            last = (now, Stopwatch::start());
        }
        last.1.elapsed() > SHORT
    });
    last.0
}

/// The memory that it holds after a transfer in both directions: what an allocator takes once is no buffer.
fn warm_memory(lb: &EdgeLb) -> u64 {
    let body = vec![b'x'; 8 << 20];
    let echoed = Client::connect(lb.address()).unwrap().request("POST", "/echo", &[], &body).unwrap();
    assert_eq!(echoed.body.len(), body.len());
    lb.resident_bytes()
}

#[test]
fn a_client_that_does_not_read_stops_the_backend() {
    let a = Backend::with("a", |request| match request.head.target.as_str() {
        "/echo" => Reply::steps([Step::EchoBody { chunked: false }]),
        _ => {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {HUGE}\r\n\r\n");
            Reply::raw(head).then(Step::Fill { byte: b'x', count: HUGE })
        }
    });
    let lb = Setup::new([&a]).start();
    let before = warm_memory(&lb);
    let mut client = Client::connect(lb.address()).unwrap();
    let sent_before = a.bytes_sent();
    client.set_receive_buffer(64 << 10).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    let taken = stands_still(|| a.bytes_sent()) - sent_before;
    assert!(taken < BUFFERS, "{taken} bytes were taken from the backend");
    let grown = lb.resident_bytes().saturating_sub(before);
    assert!(grown < MEMORY, "{grown} bytes more memory");
    // It goes on when the client does.
    eventually(SOON, "the backend is read again", || {
        client.take(1 << 20).unwrap();
        a.bytes_sent() > sent_before + taken
    });
    // And the backend is let go when the client leaves.
    client.reset().unwrap();
    eventually(SOON, "the backend's connection is closed", || a.open_connections() == 0);
}

#[test]
fn a_backend_that_does_not_read_stops_the_client() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |request| match request.head.target.as_str() {
        "/echo" => Reply::steps([Step::EchoBody { chunked: false }]),
        _ => Reply::ok("a").after(Step::Wait(held.clone())).early(),
    });
    let lb = Setup::new([&a]).start();
    let before = warm_memory(&lb);
    let mut client = Client::connect(lb.address()).unwrap();
    client.send(format!("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: {HUGE}\r\n\r\n")).unwrap();
    let taken = client.send_until_stalled(&[b'x'; 64 << 10], HUGE, SHORT).unwrap();
    assert!(taken < BUFFERS, "{taken} bytes were taken from the client");
    let grown = lb.resident_bytes().saturating_sub(before);
    assert!(grown < MEMORY, "{grown} bytes more memory");
    drop(client);
    gate.open();
    eventually(SOON, "the backend's connection is closed", || a.open_connections() == 0);
}

#[test]
fn a_response_streams_before_it_is_complete() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |_| {
        let first = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nfirst\r\n";
        Reply::raw(first).then(Step::Wait(held.clone())).then(Step::Send(b"0\r\n\r\n".to_vec()))
    });
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    assert!(client.take(64).unwrap() > 0, "the first part came while the backend holds the rest");
    gate.open();
    eventually(SOON, "the exchange ends", || a.in_flight() == 0);
}

#[test]
fn a_request_streams_before_it_is_complete() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nfirst").unwrap();
    eventually(SOON, "the first part has come", || a.requests().iter().any(|r| r.body == b"first"));
    client.send("again").unwrap();
    assert_eq!(client.read("POST").unwrap().status(), 200);
    assert_eq!(a.requests()[0].body, b"firstagain");
}

#[test]
fn an_early_response_reaches_a_client_that_still_sends() {
    let a = Backend::with("a", |request| {
        let reply = Reply::answer(Answer::new(413).body("too large").header("Connection", "close")).early();
        if request.head.target == "/close" { reply.then(Step::Close) } else { reply.then(Step::Hang) }
    });
    let lb = Setup::new([&a]).start();
    for target in ["/close", "/hang"] {
        let mut client = Client::connect(lb.address()).unwrap();
        client
            .send(format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: {HUGE}\r\n\r\nstart"))
            .unwrap();
        let response = client.read("POST").unwrap();
        assert_eq!((response.status(), response.text().as_str()), (413, "too large"), "{target}");
    }
}

#[test]
fn a_backend_says_continue() {
    let a = Backend::with("a", |_| {
        Reply::raw("HTTP/1.1 100 Continue\r\n\r\n").then(Step::EchoBody { chunked: false }).early()
    });
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for _ in 0..2 {
        let expect = "Expect: 100-continue\r\nContent-Length: 5\r\n\r\n";
        client.send(format!("POST / HTTP/1.1\r\nHost: test\r\n{expect}")).unwrap();
        assert_eq!(client.read_head().unwrap().status, 100);
        client.send("hello").unwrap();
        let response = client.read("POST").unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
    }
    assert_eq!(a.requests()[1].body, b"hello");
}

#[test]
fn a_backend_that_knows_no_continue_gets_the_body_all_the_same() {
    let a = Backend::with("a", |_| Reply::steps([Step::EchoBody { chunked: false }]));
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client
        .send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        .unwrap();
    // Some clients wait for a while only (RFC 9110 §10.1.1), and then send.
    client.set_limit(SHORT);
    let continued = client.read_head().map(|head| head.status);
    client.set_limit(SOON);
    assert!(matches!(continued, Ok(100) | Err(lb_testkit::ReadError::TimedOut(_))), "{continued:?}");
    client.send("hello").unwrap();
    assert_eq!(client.read("POST").unwrap().text(), "hello");
}

#[test]
fn a_refused_expectation_is_told() {
    for status in [417, 401] {
        let a = Backend::with("a", move |_| Reply::status(status).early().then(Step::Close));
        let lb = Setup::new([&a]).start();
        let mut client = Client::connect(lb.address()).unwrap();
        client
            .send("POST / HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n")
            .unwrap();
        let response = client.read("POST").unwrap();
        assert_eq!(response.status(), status);
        assert_eq!(a.requests()[0].body, b"");
    }
}

#[test]
fn interim_responses_do_not_end_the_exchange() {
    let a = Backend::with("a", |_| {
        let hints = "HTTP/1.1 103 Early Hints\r\nLink: </x.css>; rel=preload\r\n\r\n";
        Reply::raw(hints)
            .then(Step::Send(b"HTTP/1.1 102 Processing\r\n\r\n".to_vec()))
            .then(Step::Answer(Answer::ok("a")))
    });
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for _ in 0..2 {
        assert_eq!(client.request("GET", "/", &[], b"").unwrap().text(), "a");
    }
}

#[test]
fn a_client_that_leaves_frees_the_backend() {
    let a = Backend::with("a", |_| Reply::steps([Step::Hang]));
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    eventually(SOON, "the request is at the backend", || a.in_flight() == 1);
    drop(client);
    eventually(SOON, "the backend's connection is closed", || a.open_connections() == 0);
    // Half of a body is cut off, too, and never completed by the proxy.
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 10\r\n\r\nhalf").unwrap();
    eventually(SOON, "the half is at the backend", || a.requests().last().is_some_and(|r| r.body == b"half"));
    drop(client);
    eventually(SOON, "the backend's connection is closed", || a.open_connections() == 0);
    assert!(!a.requests()[1].is_complete);
}
