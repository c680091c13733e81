//! Which headers pass, which are removed, and which the proxy sets.

use edge_lb_tests::Setup;
use lb_testkit::{Answer, Backend, Client, EdgeLb, Headers, Received, Reply, Response};

fn seen(backend: &Backend) -> Received {
    backend.requests().pop().expect("the backend saw a request")
}

/// What a backend sees of a request with these headers.
fn forwarded(lb: &EdgeLb, backend: &Backend, headers: &[(&str, &str)]) -> Headers {
    let response = Client::connect(lb.address()).unwrap().request("GET", "/", headers, b"").unwrap();
    assert_eq!(response.status(), 200);
    seen(backend).head.headers
}

#[test]
fn hop_by_hop_headers_do_not_reach_the_backend() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let hops = [
        ("Connection", "keep-alive, X-Hop"),
        ("X-Hop", "1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authorization", "Basic c2VjcmV0"),
        ("TE", "gzip"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAARAAAAAAAIAAAAA"),
        ("X-End-To-End", "stays"),
    ];
    let got = forwarded(&lb, &a, &hops);
    for name in hops.map(|(name, _)| name).into_iter().take(hops.len() - 1) {
        assert!(!got.has(name), "{name} reached the backend: {got:?}");
    }
    assert_eq!(got.get("x-end-to-end"), Some("stays"));
}

#[test]
fn hop_by_hop_headers_do_not_reach_the_client() {
    let a = Backend::with("a", |_| {
        let answer = Answer::ok("a").header("Connection", "keep-alive, X-Hop").header("X-Hop", "1");
        let answer = answer.header("Keep-Alive", "timeout=5").header("Proxy-Authenticate", "Basic");
        Reply::answer(answer.header("Upgrade", "h2c").header("X-Stays", "1"))
    });
    let lb = Setup::new([&a]).start();
    let response = Client::get(lb.address(), "/").unwrap();
    for name in ["X-Hop", "Keep-Alive", "Proxy-Authenticate", "Upgrade"] {
        assert!(response.header(name).is_none(), "{name} reached the client: {response:?}");
    }
    assert!(!response.headers().lists("connection", "x-hop"));
    assert_eq!((response.header("x-stays"), response.text().as_str()), (Some("1"), "a"));
}

#[test]
fn connection_cannot_strip_what_the_proxy_sets() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let named = "close, X-Forwarded-For, X-Real-IP, X-Forwarded-Proto, X-Forwarded-Host, Via, Host, Cookie, Authorization";
    let got =
        forwarded(&lb, &a, &[("Connection", named), ("Cookie", "a=b"), ("Authorization", "Basic eDp5")]);
    for name in [
        "X-Forwarded-For",
        "X-Real-IP",
        "X-Forwarded-Proto",
        "X-Forwarded-Host",
        "Via",
        "Host",
        "Cookie",
        "Authorization",
    ] {
        assert!(got.has(name), "{name} was stripped: {got:?}");
    }
}

#[test]
fn forwarding_headers_are_set_and_spoofed_ones_replaced() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    for spoofed in [
        &[][..],
        &[
            ("X-Forwarded-For", "6.6.6.6"),
            ("X-Forwarded-For", "7.7.7.7"),
            ("X-Real-IP", "6.6.6.6"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil"),
            ("Forwarded", "for=6.6.6.6"),
        ],
    ] {
        let got = forwarded(&lb, &a, spoofed);
        assert_eq!(got.all("x-forwarded-for"), ["127.0.0.1"]);
        assert_eq!(got.all("x-real-ip"), ["127.0.0.1"]);
        assert_eq!(got.all("x-forwarded-proto"), ["http"]);
        assert_eq!(got.all("x-forwarded-host"), ["test"]);
        assert!(!got.has("forwarded"));
        assert!(got.get("via").is_some_and(|via| via.starts_with("1.1 ")), "{got:?}");
    }
    let chain = forwarded(&lb, &a, &[("Via", "1.0 cdn")]);
    assert_eq!(chain.all("via").join(", ").split(", ").next(), Some("1.0 cdn"));
    assert_eq!(chain.all("via").join(", ").split(", ").count(), 2);
}

#[test]
fn the_clients_host_is_kept_or_replaced_by_setting() {
    let a = Backend::start("a");
    let kept = Setup::new([&a]).start();
    assert_eq!(forwarded(&kept, &a, &[]).all("host"), ["test"]);
    let replaced = Setup::new([&a]).pool("preserve_host = false").start();
    let got = forwarded(&replaced, &a, &[]);
    assert_eq!(
        (got.all("host"), got.get("x-forwarded-host")),
        (vec![a.address().to_string().as_str()], Some("test"))
    );
}

#[test]
fn a_base_path_comes_before_the_target() {
    let a = Backend::start("a");
    let lb = Setup::default().backend_at("a", &format!("{}/api/v2/", a.url()), "").start();
    let mut client = Client::connect(lb.address()).unwrap();
    for (asked, sent) in
        [("/", "/api/v2/"), ("/x?y=%20z", "/api/v2/x?y=%20z"), ("http://test/abs", "/api/v2/abs")]
    {
        assert_eq!(client.request("GET", asked, &[], b"").unwrap().status(), 200);
        assert_eq!(seen(&a).head.target, sent);
    }
}

#[test]
fn targets_pass_as_they_are() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    let mut client = Client::connect(lb.address()).unwrap();
    for target in
        ["/a//b/../c/./d", "/%2e%2e%2f", "/?a=b&c", "/a;b=c", "/~x!$&'()*+,;=:@", "/?", "/a?b?c/d", "/%00"]
    {
        assert_eq!(client.request("GET", target, &[], b"").unwrap().status(), 200, "{target}");
        assert_eq!(seen(&a).head.target, target);
    }
    assert_eq!(client.request("OPTIONS", "*", &[], b"").unwrap().status(), 200);
    assert_eq!(seen(&a).head.target, "*");
}

#[test]
fn every_method_passes_but_connect() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "M-SEARCH"] {
        let response = Client::connect(lb.address()).unwrap().request(method, "/", &[], b"").unwrap();
        assert_eq!((response.status(), seen(&a).head.method.as_str()), (200, method));
    }
    let known = a.request_count();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("CONNECT other:443 HTTP/1.1\r\nHost: other:443\r\n\r\n").unwrap();
    assert!((400..=501).contains(&client.read("GET").unwrap().status()));
    assert_eq!(a.request_count(), known);
}

#[test]
fn odd_names_and_values_pass_unchanged() {
    let a = Backend::with("a", |_| {
        Reply::answer(
            Answer::ok("").header("Set-Cookie", "a=1").header("Set-Cookie", "b=2").header("X-Empty", ""),
        )
    });
    let lb = Setup::new([&a]).start();
    let odd = [
        ("!#$%&'*+-.^_`|~09aZ", "x"),
        ("X-Empty", ""),
        ("X-Latin", "caf\u{e9}"),
        ("X-Tab", "a\tb"),
        ("X-Twice", "1"),
        ("X-Twice", "2"),
    ];
    let response: Response = Client::connect(lb.address()).unwrap().request("GET", "/", &odd, b"").unwrap();
    let got = seen(&a).head.headers;
    for (name, value) in odd {
        assert!(got.all(name).contains(&value), "{name}: {got:?}");
    }
    assert_eq!(got.all("x-twice"), ["1", "2"]);
    assert_eq!(response.headers().all("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(response.header("x-empty"), Some(""));
}

#[test]
fn too_many_or_too_large_headers_are_431() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).listener("limits = { header_count = 10, header_bytes = \"8KiB\" }").start();
    let fits: String = (0..9).map(|n| format!("X-{n}: {n}\r\n")).collect();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{fits}\r\n")).unwrap();
    assert_eq!(client.read("GET").unwrap().status(), 200);
    let large = "x".repeat(7 << 10);
    assert_eq!(client.request("GET", "/", &[("X-Large", &large)], b"").unwrap().status(), 200);

    let known = a.request_count();
    let many = format!("{fits}X-9: 9\r\n");
    let huge = format!("X-Huge: {}\r\n", "x".repeat(9 << 10));
    let in_parts: String = (0..4).map(|n| format!("X-{n}: {}\r\n", "x".repeat(3 << 10))).collect();
    for headers in [&many, &huge, &in_parts] {
        let mut client = Client::connect(lb.address()).unwrap();
        // The server may have closed before all of it was sent.
        let _ = client.send(format!("GET / HTTP/1.1\r\nHost: a\r\n{headers}\r\n"));
        assert_eq!(client.read("GET").unwrap().status(), 431, "{} bytes", headers.len());
        assert!(client.read_to_end().unwrap().is_empty(), "the connection is closed");
    }
    let mut client = Client::connect(lb.address()).unwrap();
    let _ = client.send(format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(9 << 10)));
    assert!([414, 431].contains(&client.read("GET").unwrap().status()));
    assert_eq!(a.request_count(), known, "nothing reached the backend");
}

#[test]
fn http_1_0_is_answered_as_1_0_would_understand() {
    let a = Backend::with("a", |request| match request.head.target.as_str() {
        "/chunked" => Reply::answer(Answer::ok("hello").kind(lb_testkit::BodyKind::Chunked(2))),
        _ => Reply::ok("hello"),
    });
    let lb = Setup::new([&a]).start();
    for target in ["/", "/chunked"] {
        let mut client = Client::connect(lb.address()).unwrap();
        client.send(format!("GET {target} HTTP/1.0\r\n\r\n")).unwrap();
        let response = client.read("GET").unwrap();
        assert_eq!((response.status(), response.text().as_str()), (200, "hello"));
        assert!(!response.headers().has("transfer-encoding"), "{response:?}");
        assert!(client.is_closed_within(edge_lb_tests::SOON));
    }
    let mut client = Client::connect(lb.address()).unwrap();
    for _ in 0..2 {
        client.send("GET / HTTP/1.0\r\nHost: a\r\nConnection: keep-alive\r\n\r\n").unwrap();
        let response = client.read("GET").unwrap();
        assert!(response.headers().lists("connection", "keep-alive"), "{response:?}");
    }
}

#[test]
fn connection_close_is_heeded_on_both_sides() {
    let a = Backend::with("a", |_| {
        Reply::answer(Answer::ok("a").header("Connection", "close")).then(lb_testkit::Step::Close)
    });
    let b = Backend::start("b");
    let lb = Setup::new([&a, &b]).pool("algorithm = \"round-robin\"").start();
    // A backend that closes does not close the client's connection.
    let mut client = Client::connect(lb.address()).unwrap();
    for _ in 0..6 {
        let response = client.request("GET", "/", &[], b"").unwrap();
        assert!(!response.head.closes(), "{response:?}");
    }
    assert_eq!((a.connection_count(), b.connection_count()), (3, 1));
    // A client that closes does not close the backend's.
    for _ in 0..4 {
        let mut client = Client::connect(lb.address()).unwrap();
        let response = client.request("GET", "/", &[("Connection", "close")], b"").unwrap();
        assert!(response.head.closes() && client.is_closed_within(edge_lb_tests::SOON));
    }
    assert_eq!(b.connection_count(), 1);
}

#[test]
fn a_backend_is_spoken_to_in_http_1_1_whatever_the_client_speaks() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).start();
    for head in ["GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.0\r\nHost: old\r\n\r\n"] {
        let mut client = Client::connect(lb.address()).unwrap();
        client.send(head).unwrap();
        assert_eq!(client.read("GET").unwrap().status(), 200);
        let request = seen(&a).head;
        // RFC 9112 §2.3: a proxy sends its own version. By the client's the backend would close the connection each time.
        assert_eq!((request.minor_version, request.headers.all("host").len()), (1, 1), "{request:?}");
    }
    assert_eq!(a.connection_count(), 1);
}
