//! Malformed requests are refused and the connection is closed; nothing of them reaches a backend.
//!
//! The vectors follow RFC 9112 and RFC 9110; each is followed by a well-formed request that must not be taken for one.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Backend, Client, ResponseHead, eventually};

/// What a smuggler would like a backend to see.
const HIDDEN: &[u8] = b"GET /hidden HTTP/1.1\r\nHost: test\r\n\r\n";

/// Refused with 400, 405, 414, 431, 501 or 505 before anything is sent to a backend.
const HEADS: &[(&str, &[u8])] = &[
    // Two ways to find the body's end.
    ("CL.TE", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nG"),
    ("TE.CL", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"),
    ("CL twice, different", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
    ("CL twice, same", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
    ("CL as a list", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3, 3\r\n\r\nabc"),
    ("CL with a sign", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +3\r\n\r\nabc"),
    ("CL negative", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -1\r\n\r\n"),
    ("CL hexadecimal", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x3\r\n\r\nabc"),
    ("CL with a space inside", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1 2\r\n\r\nabc"),
    ("CL empty", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \r\n\r\n"),
    ("CL no number", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: three\r\n\r\nabc"),
    ("CL with a fraction", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3.0\r\n\r\nabc"),
    ("CL in other digits", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: \xd9\xa3\r\n\r\nabc"),
    ("CL over 64 bits", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 18446744073709551619\r\n\r\nabc"),
    ("TE that is not chunked", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\n\r\nabc"),
    ("TE identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\nabc"),
    ("TE chunked not last", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n"),
    ("TE with another coding", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
    ("TE chunked twice", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"),
    ("TE in two lines", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("TE in two lines, one identity", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    ("TE misspelt", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
    ("TE with a vertical tab", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
    ("TE quoted", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \"chunked\"\r\n\r\n0\r\n\r\n"),
    ("TE with a parameter", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked;q=1\r\n\r\n0\r\n\r\n"),
    ("TE empty", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n\r\nabc"),
    ("TE in HTTP/1.0", b"POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
    // Lines and names.
    ("space before the colon", b"GET / HTTP/1.1\r\nHost: a\r\nX-A : 1\r\n\r\n"),
    ("CL with a space before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 3\r\n\r\nabc"),
    ("TE with a space before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
    ("TE with a tab before the colon", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n"),
    ("space before a name", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    ("obsolete folding", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n 2\r\n\r\n"),
    ("obsolete folding by a tab", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\t2\r\n\r\n"),
    ("TE folded", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
    ("no colon", b"GET / HTTP/1.1\r\nHost: a\r\nX-A\r\n\r\n"),
    ("no name", b"GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n"),
    ("space inside a name", b"GET / HTTP/1.1\r\nHost: a\r\nX A: 1\r\n\r\n"),
    ("a bracket inside a name", b"GET / HTTP/1.1\r\nHost: a\r\nX(A): 1\r\n\r\n"),
    ("a name that is not ASCII", b"GET / HTTP/1.1\r\nHost: a\r\nX-\xc3\xa4: 1\r\n\r\n"),
    ("bare LF in the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    ("bare LF after a header", b"GET / HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n"),
    ("bare LF at the end of the head", b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    ("bare LF throughout", b"GET / HTTP/1.1\nHost: a\n\n"),
    ("bare CR in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r2\r\n\r\n"),
    ("bare CR after a value", b"GET / HTTP/1.1\r\nHost: a\rX-A: 1\r\n\r\n"),
    ("CR CR LF", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n"),
    ("NUL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\x002\r\n\r\n"),
    ("NUL in a name", b"GET / HTTP/1.1\r\nHost: a\r\nX\x00A: 1\r\n\r\n"),
    ("a control character in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\x012\r\n\r\n"),
    ("DEL in a value", b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\x7f2\r\n\r\n"),
    // The request line.
    ("no version", b"GET /\r\nHost: a\r\n\r\n"),
    ("unknown version", b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"),
    ("version 2", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n"),
    ("version 3 digits", b"GET / HTTP/1.10\r\nHost: a\r\n\r\n"),
    ("lower-case version", b"GET / http/1.1\r\nHost: a\r\n\r\n"),
    ("another protocol", b"GET / HTTX/1.1\r\nHost: a\r\n\r\n"),
    ("two spaces", b"GET  / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a tab for a space", b"GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("space at the end", b"GET / HTTP/1.1 \r\nHost: a\r\n\r\n"),
    ("space in the target", b"GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("space before the method", b" GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no method", b"/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a method with a bracket", b"GE(T / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a target that is not ASCII", b"GET /\xc3\xa4 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("NUL in the target", b"GET /\x00 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a control character in the target", b"GET /\x01 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a target without a slash", b"GET x HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("an asterisk for GET", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("an authority for GET", b"GET a:80 HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute target against Host", b"GET http://b/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute target of another scheme", b"GET https://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("absolute target with a user", b"GET http://u@a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("the start of TLS", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
    // Host.
    ("no Host", b"GET / HTTP/1.1\r\n\r\n"),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ("two equal Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"),
    ("Host with a space", b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n"),
    ("Host with a user", b"GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"),
    ("Host with a path", b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"),
    ("Host as a list", b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n"),
    ("Host with a bad port", b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n"),
    ("Host that is not ASCII", b"GET / HTTP/1.1\r\nHost: \xc3\xa4\r\n\r\n"),
];

/// The head is fine and may reach a backend; the body is not: it never ends there, and nothing after it is a request.
const BODIES: &[(&str, &[u8])] = &[
    ("chunk size not hexadecimal", b"xyz\r\nabc\r\n0\r\n\r\n"),
    ("chunk size empty", b"\r\nabc\r\n0\r\n\r\n"),
    ("chunk size negative", b"-3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size with a sign", b"+3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size with 0x", b"0x3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size with an underscore", b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    ("chunk size over 64 bits", b"10000000000000003\r\nabc\r\n0\r\n\r\n"),
    ("chunk size with a space before", b" 3\r\nabc\r\n0\r\n\r\n"),
    ("chunk size with a space inside", b"1 0\r\n0123456789abcdef\r\n0\r\n\r\n"),
    ("chunk size ended by a bare LF", b"3\nabc\r\n0\r\n\r\n"),
    ("chunk size ended by a bare CR", b"3\rabc\r\n0\r\n\r\n"),
    ("chunk extension with a bare LF", b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
    ("chunk extension with a bare CR", b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
    ("chunk longer than it said", b"3\r\nabcd\r\n0\r\n\r\n"),
    ("chunk shorter than it said", b"5\r\nabc\r\n0\r\n\r\n"),
    ("chunk ended by a bare LF", b"3\r\nabc\n0\r\n\r\n"),
    ("chunk not ended", b"3\r\nabc0\r\n\r\n"),
    ("last chunk ended by a bare LF", b"3\r\nabc\r\n0\n\r\n"),
    ("trailer ended by a bare LF", b"3\r\nabc\r\n0\r\nX-A: 1\n\r\n"),
    ("trailer without a colon", b"3\r\nabc\r\n0\r\nX-A\r\n\r\n"),
    ("trailer with a NUL", b"3\r\nabc\r\n0\r\nX-A: \x00\r\n\r\n"),
    ("trailer folded", b"3\r\nabc\r\n0\r\nX-A: 1\r\n 2\r\n\r\n"),
];

/// Odd, and right: these must pass.
const VALID: &[(&str, &[u8])] = &[
    ("an empty line before the request", b"\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("no space after the colon", b"GET / HTTP/1.1\r\nHost:a\r\nX-A:1\r\n\r\n"),
    ("much space around a value", b"GET / HTTP/1.1\r\nHost: \t a \t \r\n\r\n"),
    ("names in any case", b"POST / HTTP/1.1\r\nhOsT: a\r\ncONTENT-lENGTH: 3\r\n\r\nabc"),
    ("chunked in any case", b"POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: ChunKed\r\n\r\n0\r\n\r\n"),
    ("zeros before the length", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0003\r\n\r\nabc"),
    ("zeros before the chunk size", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n003\r\nabc\r\n000\r\n\r\n"),
    ("chunk extensions", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b;c=\"d\"\r\nabc\r\n0;e\r\n\r\n"),
    ("trailers", b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-A: 1\r\n\r\n"),
    ("absolute target", b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("Host with a port", b"GET / HTTP/1.1\r\nHost: a:8080\r\n\r\n"),
    ("Host IPv6", b"GET / HTTP/1.1\r\nHost: [::1]:8080\r\n\r\n"),
    ("HTTP/1.0 without Host", b"GET / HTTP/1.0\r\n\r\n"),
    ("an unknown method", b"BREW / HTTP/1.1\r\nHost: a\r\n\r\n"),
    ("a name with every token character", b"GET / HTTP/1.1\r\nHost: a\r\n!#$%&'*+-.^_`|~: 1\r\n\r\n"),
];

/// Sends bytes and the hidden request; gives back all that came until the server closed.
fn exchange(address: &lb_testkit::Address, bytes: &[u8]) -> Vec<u8> {
    let mut client = Client::connect(address).unwrap();
    // The server may refuse and close before it has taken everything.
    let _ = client.send([bytes, HIDDEN].concat());
    let _ = client.finish_writing();
    client.set_limit(SOON);
    client.read_to_end().unwrap_or_default()
}

fn refusal(answer: &[u8]) -> Option<u16> {
    let (head, _) = ResponseHead::parse(answer).ok()??;
    let refused = matches!(head.status, 400 | 405 | 414 | 431 | 501 | 505);
    (refused && head.closes()).then_some(head.status)
}

#[test]
fn malformed_heads_are_refused_and_reach_no_backend() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let mut wrong = Vec::new();
    for (name, bytes) in HEADS {
        let before = a.request_count();
        let answer = exchange(lb.address(), bytes);
        if refusal(&answer).is_none() {
            wrong.push(format!("{name}: answered {:?}", String::from_utf8_lossy(&answer)));
        }
        // One worker, one thread: what it would still send was sent before it answers here.
        assert_eq!(Client::get(lb.address(), "/sentinel").unwrap().status(), 200);
        let reached = a.request_count() - before - 1;
        if reached > 0 {
            wrong.push(format!("{name}: {reached} requests reached the backend"));
        }
    }
    let seen = a.requests();
    let stray: Vec<_> = seen.iter().filter(|r| r.head.target != "/sentinel").collect();
    assert!(
        wrong.is_empty() && stray.is_empty() && a.malformed().is_empty(),
        "{}\n{stray:?}",
        wrong.join("\n")
    );
}

#[test]
fn the_preface_of_http_2_ends_the_connection() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let answer = exchange(lb.address(), b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    // A client that speaks HTTP/2 would not understand a response of HTTP/1.1: saying nothing is right, too.
    assert!(answer.is_empty() || refusal(&answer).is_some(), "{:?}", String::from_utf8_lossy(&answer));
    assert_eq!(a.connection_count(), 0);
}

#[test]
fn a_fragment_never_reaches_a_backend() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    for target in ["/a#b", "/#", "/a?b#c?d"] {
        let mut client = Client::connect(lb.address()).unwrap();
        // nginx drops it, HAProxy refuses it: both are clear. Passed on, proxy and backend could read the path in two ways.
        let status = client.request("GET", target, &[], b"").unwrap().status();
        assert!([200, 400].contains(&status), "{target}: {status}");
    }
    assert!(a.requests().iter().all(|r| !r.head.target.contains('#')));
}

#[test]
fn malformed_bodies_never_end_at_a_backend() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let mut wrong = Vec::new();
    for (name, body) in BODIES {
        let head = b"POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        let answer = exchange(lb.address(), &[head, *body].concat());
        if !answer.is_empty() && refusal(&answer).is_none() {
            wrong.push(format!("{name}: answered {:?}", String::from_utf8_lossy(&answer)));
        }
        eventually(SOON, "the backend is let go", || a.in_flight() == 0);
        if a.requests().last().is_some_and(|r| r.is_complete) {
            wrong.push(format!("{name}: ended at the backend"));
        }
    }
    let hidden = a.requests().iter().filter(|r| r.head.target == "/hidden").count();
    assert!(
        wrong.is_empty() && hidden == 0 && a.malformed().is_empty(),
        "{}\n{hidden} hidden",
        wrong.join("\n")
    );
}

#[test]
fn a_chunk_extension_has_a_bound() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let extension = format!("3;{}\r\nabc\r\n0\r\n\r\n", "x".repeat(1 << 20));
    let head = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let answer = exchange(lb.address(), format!("{head}{extension}").as_bytes());
    assert!(answer.is_empty() || refusal(&answer).is_some(), "{:?}", String::from_utf8_lossy(&answer));
    eventually(SOON, "the backend is let go", || a.in_flight() == 0);
    assert!(a.requests().iter().all(|r| !r.is_complete));
}

#[test]
fn odd_but_valid_requests_pass() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let mut wrong = Vec::new();
    for (name, bytes) in VALID {
        let mut client = Client::connect(lb.address()).unwrap();
        client.send(bytes).unwrap();
        match client.read("GET") {
            Ok(response) if response.status() == 200 => {}
            other => wrong.push(format!("{name}: {other:?}")),
        }
        if !a.requests().last().is_some_and(|r| r.is_complete) {
            wrong.push(format!("{name}: not whole at the backend"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(a.request_count(), VALID.len());
}

#[test]
fn requests_before_a_malformed_one_are_served() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost : a\r\n\r\n").unwrap();
    client.send(HIDDEN).unwrap();
    assert_eq!(client.read("GET").unwrap().status(), 200);
    let refused = client.read("GET").unwrap();
    assert!(refused.status() == 400 && refused.head.closes(), "{refused:?}");
    assert_eq!(client.read_to_end().unwrap(), b"");
    assert_eq!(a.requests().iter().map(|r| r.head.target.as_str()).collect::<Vec<_>>(), ["/1"]);
}

#[test]
fn heads_cut_anywhere_are_no_requests() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let whole = b"GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\n\r\n";
    for cut in 0..whole.len() {
        let mut client = Client::connect(lb.address()).unwrap();
        client.send(&whole[..cut]).unwrap();
        client.finish_writing().unwrap();
        let answer = client.read_to_end().unwrap();
        assert!(answer.is_empty() || refusal(&answer).is_some(), "{cut}: {answer:?}");
    }
    assert_eq!(a.connection_count(), 0);
}
