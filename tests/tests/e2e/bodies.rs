//! Bodies arrive whole, however they are framed, and a body that broke off is never passed for a whole one.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Answer, Backend, BodyKind, Client, Gate, ReadError, Received, Reply, Step, eventually};

fn echo() -> Backend {
    Backend::with("echo", |request| {
        Reply::steps([Step::EchoBody { chunked: request.head.target == "/chunked" }])
    })
}

fn seen(backend: &Backend) -> Received {
    backend.requests().pop().expect("the backend saw a request")
}

#[test]
fn lengths_and_chunks_pass_in_both_directions() {
    let a = echo();
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for target in ["/length", "/chunked"] {
        let response = client.request("POST", target, &[], b"hello").unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
        assert_eq!(seen(&a).head.headers.get("content-length"), Some("5"));

        let head = format!("POST {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n");
        client.send(head).unwrap();
        for part in ["2\r\nhe\r\n", "3;ext=1\r\nl", "lo\r\n", "00000", "0\r\n", "\r\n"] {
            client.send(part).unwrap();
        }
        assert_eq!(client.read("POST").unwrap().text(), "hello");
        let request = seen(&a);
        assert!(request.is_complete && request.body == b"hello", "{request:?}");
        assert!(
            !request.head.headers.has("content-length") || !request.head.headers.has("transfer-encoding")
        );
    }
    assert_eq!((a.connection_count(), a.malformed()), (1, vec![]), "one connection carried them all");
}

#[test]
fn large_bodies_come_back_byte_for_byte() {
    let a = echo();
    let lb = Setup::new([&a]).start();
    let mut body = vec![0; 8 << 20];
    fastrand::Rng::with_seed(7).fill(&mut body);
    for target in ["/length", "/chunked"] {
        let mut client = Client::connect(lb.address()).unwrap();
        let response = client.request("PUT", target, &[], &body).unwrap();
        assert!(response.status() == 200 && response.body == body, "{target}: {} bytes", response.body.len());

        client
            .send(format!("PUT {target} HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"))
            .unwrap();
        for part in body.chunks(100_000) {
            client.send(format!("{:X}\r\n", part.len())).unwrap();
            client.send(part).unwrap();
            client.send("\r\n").unwrap();
        }
        client.send("0\r\n\r\n").unwrap();
        let response = client.read("PUT").unwrap();
        assert!(response.status() == 200 && response.body == body, "{target}: {} bytes", response.body.len());
    }
}

#[test]
fn head_204_and_304_have_no_body_and_keep_the_connection() {
    let a = Backend::with("a", |request| match request.head.target.as_str() {
        "/204" => Reply::status(204),
        "/304" => Reply::answer(Answer::new(304).header("ETag", "\"x\"").header("Content-Length", "5")),
        "/chunked" => Reply::answer(Answer::ok("hello").kind(BodyKind::Chunked(2))),
        _ => Reply::ok("hello"),
    });
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for (method, target, status) in [
        ("HEAD", "/", 200),
        ("HEAD", "/chunked", 200),
        ("GET", "/204", 204),
        ("GET", "/304", 304),
        ("HEAD", "/304", 304),
        ("GET", "/", 200),
    ] {
        let response = client.request(method, target, &[], b"").unwrap();
        assert_eq!(response.status(), status, "{method} {target}");
        if status == 204 {
            assert!(
                !response.headers().has("content-length") && !response.headers().has("transfer-encoding")
            );
        }
        if (method, target) == ("HEAD", "/") {
            assert_eq!(response.header("content-length"), Some("5"));
        }
    }
    assert_eq!(a.connection_count(), 1);
}

#[test]
fn empty_bodies_are_empty() {
    let a = echo();
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for head in ["Content-Length: 0\r\n\r\n", "\r\n", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"] {
        for method in ["POST", "PUT", "DELETE", "GET"] {
            client.send(format!("{method} / HTTP/1.1\r\nHost: test\r\n{head}")).unwrap();
            let response = client.read(method).unwrap();
            assert_eq!((response.status(), response.body.len()), (200, 0), "{method} {head:?}");
            let request = seen(&a);
            assert!(request.is_complete && request.body.is_empty() && request.head.method == method);
        }
    }
}

#[test]
fn a_body_on_get_and_delete_is_no_request() {
    let a = echo();
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    let hidden = b"GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n";
    for method in ["GET", "DELETE", "OPTIONS"] {
        let response = client.request(method, "/", &[], hidden).unwrap();
        assert_eq!((response.status(), response.body.as_slice()), (200, &hidden[..]), "{method}");
    }
    assert_eq!(a.request_count(), 3);
    assert!(a.requests().iter().all(|r| r.head.target == "/" && r.is_complete));
}

#[test]
fn a_close_delimited_response_arrives_whole() {
    let body = "x".repeat(100_000);
    let sent = body.clone();
    let a = Backend::with("a", move |_| Reply::answer(Answer::ok(sent.clone()).kind(BodyKind::UntilClose)));
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for _ in 0..3 {
        assert_eq!(client.request("GET", "/", &[], b"").unwrap().text(), body);
    }
}

#[test]
fn trailers_pass_in_both_directions() {
    let a = Backend::with("a", |_| {
        let answer = Answer::ok("hello").header("Trailer", "X-Sum").kind(BodyKind::Chunked(5));
        Reply::answer(answer.trailer("X-Sum", "7"))
    });
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    let head = "POST / HTTP/1.1\r\nHost: test\r\nTE: trailers\r\nTrailer: X-Up\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.send(format!("{head}2\r\nhi\r\n0\r\nX-Up: 9\r\n\r\n")).unwrap();
    let response = client.read("POST").unwrap();
    let lower = |lines: &[String]| lines.iter().map(|l| l.to_lowercase()).collect::<Vec<_>>();
    assert_eq!(lower(&response.trailers), ["x-sum: 7"]);
    assert_eq!(lower(&seen(&a).trailers), ["x-up: 9"]);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |request| {
        let reply = Reply::ok(request.head.target.clone());
        if request.head.target == "/1" { reply.after(Step::Wait(held.clone())) } else { reply }
    });
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    let one = |n| format!("GET /{n} HTTP/1.1\r\nHost: test\r\n\r\n");
    let post = "POST /2 HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\nhello";
    client.send(format!("{}{post}{}{}", one(1), one(3), one(4))).unwrap();
    eventually(SOON, "the first has come", || a.in_flight() == 1);
    gate.open();
    let answers: Vec<_> = (0..4).map(|_| client.read("GET").unwrap().text()).collect();
    assert_eq!(answers, ["/1", "/2", "/3", "/4"]);
}

#[test]
fn a_response_that_breaks_off_is_not_passed_for_a_whole_one() {
    let a = Backend::with("a", |request| {
        let head = match request.head.target.as_str() {
            "/length" => "Content-Length: 100\r\n\r\nhalf",
            "/chunked" => "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
            _ => "Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\nnonsense\r\n",
        };
        let end = if request.head.headers.has("x-reset") { Step::Reset } else { Step::Close };
        Reply::raw(format!("HTTP/1.1 200 OK\r\n{head}")).then(end)
    });
    let lb = Setup::new([&a]).start();
    for target in ["/length", "/chunked", "/nonsense"] {
        for headers in [&[][..], &[("X-Reset", "1")]] {
            let result = Client::connect(lb.address()).unwrap().request("GET", target, headers, b"");
            match result {
                Err(ReadError::Closed | ReadError::Cut(_) | ReadError::Reset(_)) => {}
                // A reset may overtake what came before it; then nothing had been passed on yet.
                Ok(response) if response.status() == 502 => {}
                other => panic!("{target} {headers:?}: {other:?}"),
            }
        }
    }
}

#[test]
fn a_response_longer_than_it_said_ends_where_it_said() {
    let a = Backend::with("a", |_| {
        Reply::raw(
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        )
    });
    let lb = Setup::new([&a]).start();
    for _ in 0..5 {
        let mut client = Client::connect(lb.address()).unwrap();
        let response = client.request("GET", "/", &[], b"").unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, "ok"));
    }
    assert_eq!(a.connection_count(), 5, "a connection with leftovers is not used again");
}

#[test]
fn malformed_responses_are_502() {
    let bad: [&[u8]; 9] = [
        b"hello\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX-Bad\0: 1\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/9.9 200 OK\r\nContent-Length: 0\r\n\r\n",
        b"",
    ];
    let a = Backend::with("a", move |request| {
        let at: usize = request.head.target[1..].parse().unwrap();
        Reply::raw(bad[at]).then(Step::Close)
    });
    let lb = Setup::new([&a]).start();
    let mut wrong = Vec::new();
    for (at, bytes) in bad.iter().enumerate() {
        let response = Client::get(lb.address(), &format!("/{at}"));
        if !response.as_ref().is_ok_and(|r| r.status() == 502) {
            wrong.push(format!("{}: {response:?}", String::from_utf8_lossy(bytes)));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_response_with_two_lengths_is_502_or_cut() {
    let bodies = ["0\r\n\r\n", "2\r\nab\r\n0\r\n\r\n", "b\r\nhello world\r\n0\r\n\r\n", "ab", "hello world"];
    let orders = [
        "Content-Length: 2\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 2",
    ];
    let a = Backend::with("a", move |request| {
        let at: usize = request.head.target[1..].parse().unwrap();
        let (order, body) = (orders[at / bodies.len()], bodies[at % bodies.len()]);
        Reply::raw(format!("HTTP/1.1 200 OK\r\n{order}\r\n\r\n{body}")).then(Step::Close)
    });
    let lb = Setup::new([&a]).start();
    let mut wrong = Vec::new();
    for at in 0..orders.len() * bodies.len() {
        // A part of the body, or all of it, in a response that looks whole would be a guess.
        match Client::get(lb.address(), &format!("/{at}")) {
            Ok(response) if response.status() != 502 => {
                wrong.push(format!(
                    "{:?} {:?}: {response:?}",
                    orders[at / bodies.len()],
                    bodies[at % bodies.len()]
                ));
            }
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_response_with_an_endless_head_or_an_upgrade_nobody_asked_for_is_502() {
    let huge = format!("HTTP/1.1 200 OK\r\nX-Huge: {}\r\nContent-Length: 0\r\n\r\n", "x".repeat(1 << 20));
    let many: String = (0..2_000).map(|n| format!("X-{n}: 1\r\n")).collect();
    let many = format!("HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n");
    let a = Backend::with("a", move |request| match request.head.target.as_str() {
        "/huge" => Reply::raw(huge.clone()),
        "/many" => Reply::raw(many.clone()),
        _ => Reply::raw("HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"),
    });
    let lb = Setup::new([&a]).start();
    for target in ["/huge", "/many", "/upgrade"] {
        assert_eq!(Client::get(lb.address(), target).unwrap().status(), 502, "{target}");
    }
}
