//! The kit against itself: what the end-to-end tests rely on.

use lb_testkit::{
    Answer, Backend, BodyKind, Client, Gate, Load, Place, ReadError, Reply, Step, eventually, holds_within,
};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(5);

#[test]
fn a_backend_answers_and_remembers() {
    let a = Backend::start("a");
    let mut client = Client::connect(a.address()).unwrap();
    let first = client.request("POST", "/x", &[("X-A", "1")], b"hello").unwrap();
    assert_eq!((first.status(), first.served_by(), first.text().as_str()), (200, Some("a"), "a"));
    let head = client.request("HEAD", "/", &[], b"").unwrap();
    assert_eq!((head.header("content-length"), head.body.len()), (Some("1"), 0));
    let seen = a.requests();
    assert_eq!((seen[0].body.as_slice(), seen[0].head.headers.get("x-a")), (&b"hello"[..], Some("1")));
    assert!(seen[0].is_complete && seen[1].head.method == "HEAD");
    assert_eq!((a.connection_count(), a.request_count()), (1, 2));
    assert!(a.received()[0].ends_with(b"HEAD / HTTP/1.1\r\nHost: test\r\n\r\n"));
}

#[test]
fn every_framing_and_trailers_come_back_whole() {
    let a = Backend::with("a", |request| match request.head.target.as_str() {
        "/chunked" => {
            let answer = Answer::ok("hello world").header("Trailer", "Sum").kind(BodyKind::Chunked(4));
            Reply::answer(answer.trailer("Sum", "7"))
        }
        "/close" => Reply::answer(Answer::ok("to the end").kind(BodyKind::UntilClose)),
        "/echo" => Reply::steps([Step::EchoBody { chunked: true }]),
        _ => Reply::status(304),
    });
    let mut client = Client::connect(a.address()).unwrap();
    let chunked = client.request("GET", "/chunked", &[], b"").unwrap();
    assert_eq!((chunked.text().as_str(), chunked.trailers), ("hello world", vec!["Sum: 7".to_owned()]));
    assert_eq!(client.request("GET", "/304", &[], b"").unwrap().status(), 304);
    let body = vec![b'x'; 1 << 20];
    assert_eq!(client.request("PUT", "/echo", &[], &body).unwrap().body, body);
    assert_eq!(client.request("GET", "/close", &[], b"").unwrap().text(), "to the end");
    assert!(client.is_closed_within(SOON));
}

#[test]
fn a_killed_backend_resets_refuses_and_comes_back_on_its_port() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |_| Reply::ok("late").after(Step::Wait(held.clone())));
    let load = Load::new(a.address()).connections(10).start();
    eventually(SOON, "ten requests are in flight", || a.in_flight() == 10);
    assert_eq!(a.kill(), 10);
    let report = load.join();
    assert_eq!(report.errors.len(), 10);
    assert!(report.errors.iter().all(|e| e.starts_with("reset")), "{:?}", report.errors);
    assert_eq!((a.in_flight(), a.open_connections()), (0, 0));
    assert_eq!(Client::connect(a.address()).unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
    gate.open();
    a.revive();
    assert_eq!(Client::get(a.address(), "/").unwrap().text(), "late");
}

#[test]
fn cuts_resets_and_silence_are_told_apart() {
    let a = Backend::with("a", |request| match request.head.target.as_str() {
        "/cut" => Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").then(Step::Close),
        "/reset" => Reply::raw("HTTP/1.1 20").then(Step::Pause(Duration::from_millis(20))).then(Step::Reset),
        "/garbage" => Reply::raw("hello\r\n\r\n"),
        _ => Reply::steps([Step::Hang]),
    });
    let get = |target| Client::get(a.address(), target).unwrap_err();
    assert!(matches!(get("/cut"), ReadError::Cut(_)));
    assert!(matches!(get("/reset"), ReadError::Reset(_)));
    assert!(matches!(get("/garbage"), ReadError::Malformed(_)));
    let mut client = Client::connect(a.address()).unwrap();
    client.set_limit(Duration::from_millis(50));
    assert!(matches!(client.request("GET", "/hang", &[], b""), Err(ReadError::TimedOut(_))));
    drop(client);
    eventually(SOON, "the backend notices", || a.open_connections() == 0);
}

#[test]
fn the_worst_moment_is_after_the_next_request_was_sent() {
    let a = Backend::with("a", |_| Reply::ok("a").then(Step::AwaitNextByte).then(Step::Close));
    let mut client = Client::connect(a.address()).unwrap();
    assert_eq!(client.request("GET", "/", &[], b"").unwrap().status(), 200);
    assert!(client.request("GET", "/", &[], b"").is_err());
    assert_eq!(a.request_count(), 1);
}

#[test]
fn greetings_come_before_any_request() {
    let a = Backend::builder("a")
        .on_connect(|number| (number == 0).then(|| vec![Step::Send(b"boo".to_vec()), Step::Close]))
        .start();
    assert_eq!(Client::connect(a.address()).unwrap().read_to_end().unwrap(), b"boo");
    assert_eq!(Client::get(a.address(), "/").unwrap().text(), "a");
}

#[test]
fn ipv6_and_unix_sockets_work_too() {
    let folder = tempfile::tempdir().unwrap();
    for place in [Place::V6, Place::Unix(folder.path().join("a.sock"))] {
        let a = Backend::builder("a").place(place).start();
        Load::new(a.address()).connections(2).requests_each(3).run_to_end().assert_all_ok(6);
        a.kill();
        assert!(Client::connect(a.address()).is_err());
        a.revive();
        assert_eq!(Client::get(a.address(), "/").unwrap().text(), "a");
    }
}

#[test]
fn waiting_has_a_bound() {
    let mut calls = 0;
    assert!(!holds_within(Duration::from_millis(20), || {
        calls += 1;
        false
    }));
    assert!(calls > 1 && holds_within(Duration::ZERO, || true));
}
