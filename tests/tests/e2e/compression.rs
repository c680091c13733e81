//! Compression through the real binary: who gets what, and that it streams.

use edge_lb_tests::{SHORT, SOON, admin, metric};
use lb_testkit::{
    Address, Answer, Backend, BodyDecoder, BodyKind, Client, EdgeLb, Gate, ReadError, Reply, Response,
    ResponseHead, Step, Stopwatch, eventually,
};
use std::io::{Read, Write as _};
use std::net::TcpStream;
use std::process::Command;

const CODINGS: [&str; 3] = ["gzip", "br", "zstd"];

/// One pool behind a route that compresses.
fn compressing(backend: &Backend, keys: &str) -> EdgeLb {
    let url = backend.url();
    EdgeLb::with_config(format!(
        "workers = 1\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n\
         [[routes]]\npool = \"main\"\ncompression = {keys}\n[pools.main]\nretry_policy = {{ max_retries = 0 }}\nbackends = [{{ id = \"b\", url = \"{url}\" }}]\n"
    ))
}

fn ask(lb: &EdgeLb, method: &str, target: &str, accepts: &str) -> Response {
    let headers = [("TE", "trailers"), ("Accept-Encoding", accepts)];
    let headers = if accepts.is_empty() { &headers[..1] } else { &headers[..] };
    Client::connect(lb.address()).unwrap().request(method, target, headers, b"").unwrap()
}

/// What can be read of it, and whether it is whole.
fn decode(coding: &str, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = vec![];
    let read = match coding {
        "gzip" => flate2::read::GzDecoder::new(bytes).read_to_end(&mut out),
        "br" => brotli::Decompressor::new(bytes, 4096).read_to_end(&mut out),
        "zstd" => zstd::stream::read::Decoder::new(bytes).unwrap().read_to_end(&mut out),
        other => panic!("{other}"),
    };
    (out, read.is_ok())
}

fn whole(response: &Response) -> Vec<u8> {
    let (text, is_whole) = decode(response.header("content-encoding").unwrap(), &response.body);
    assert!(is_whole, "{:?}", response.head);
    text
}

fn text() -> String {
    (0..4_000).map(|i| format!("{{\"item\": {i}, \"name\": \"the name of item {i}\"}}\n")).collect()
}

#[test]
fn each_client_gets_what_it_accepts() {
    let answer = Answer::ok(text()).header("Content-Type", "application/json; charset=utf-8");
    let answer = answer.header("ETag", "\"v1\"").header("Accept-Ranges", "bytes").header("Vary", "Origin");
    let b = Backend::with("b", move |request| {
        Reply::answer(match request.head.target.as_str() {
            "/chunks" => answer
                .clone()
                .header("Trailer", "X-End")
                .kind(BodyKind::Chunked(1_000))
                .trailer("X-End", "yes"),
            "/close" => answer.clone().kind(BodyKind::UntilClose),
            _ => answer.clone(),
        })
    });
    let lb = compressing(&b, "{}");
    let (mut out, mut of) = (0, 0);
    for coding in CODINGS {
        for target in ["/", "/chunks", "/close"] {
            let response = ask(&lb, "GET", target, coding);
            assert_eq!(
                (response.status(), response.header("content-encoding")),
                (200, Some(coding)),
                "{target}"
            );
            assert_eq!(whole(&response), text().as_bytes(), "{coding} {target}");
            assert!(response.body.len() * 4 < text().len(), "{coding}: {} bytes", response.body.len());
            assert_eq!(["content-length", "accept-ranges"].map(|name| response.header(name)), [None, None]);
            assert_eq!(response.header("etag"), Some("W/\"v1\""));
            assert_eq!(response.headers().all("vary"), ["Origin", "Accept-Encoding"]);
            assert_eq!(response.trailers, if target == "/chunks" { &["x-end: yes"][..] } else { &[] });
            out += response.body.len();
            of += text().len();
        }
        assert_eq!(metric(&lb, "edge_lb_compressed_responses_total", &[&format!("\"{coding}\"")]), 3.0);
    }
    assert_eq!(metric(&lb, "edge_lb_compression_input_bytes_total", &[]), of as f64);
    assert_eq!(metric(&lb, "edge_lb_compression_output_bytes_total", &[]), out as f64);
    for (accepts, coding) in [
        ("gzip, deflate, br, zstd", Some("zstd")),
        ("gzip, br;q=0.9", Some("gzip")),
        ("zstd;q=0, *", Some("br")),
        ("identity, deflate", None),
        ("", None),
    ] {
        let response = ask(&lb, "GET", "/", accepts);
        assert_eq!(response.header("content-encoding"), coding, "{accepts}");
        assert_eq!(
            response.headers().all("vary"),
            ["Origin", "Accept-Encoding"],
            "caches must know it in any case"
        );
        if coding.is_none() {
            assert_eq!((response.header("etag"), response.text()), (Some("\"v1\""), text()));
            assert_eq!(response.header("content-length"), Some(&*text().len().to_string()));
        }
    }
    // What is asked of the backend is what the client asked for.
    assert_eq!(b.requests().last().unwrap().head.headers.get("accept-encoding"), None);
    assert_eq!(b.requests()[0].head.headers.get("accept-encoding"), Some("gzip"));
    assert_eq!(metric(&lb, "edge_lb_backend_requests_total", &["outcome=\"success\""]), 14.0);
    assert_eq!(metric(&lb, "edge_lb_backend_in_flight", &[]), 0.0);
}

#[test]
fn a_head_says_what_a_get_would() {
    let b = Backend::with("b", |_| Reply::answer(Answer::ok(text()).header("Content-Type", "text/html")));
    let lb = compressing(&b, "{}");
    let mut client = Client::connect(lb.address()).unwrap();
    for _ in 0..2 {
        let response = client.request("HEAD", "/", &[("Accept-Encoding", "br")], b"").unwrap();
        assert_eq!((response.status(), response.header("content-encoding")), (200, Some("br")));
        assert_eq!(
            (response.header("content-length"), response.header("vary")),
            (None, Some("Accept-Encoding"))
        );
    }
    let response = client.request("HEAD", "/", &[], b"").unwrap();
    assert_eq!(response.header("content-length"), Some(&*text().len().to_string()));
    assert_eq!(metric(&lb, "edge_lb_compressed_responses_total", &[]), 0.0);
}

#[test]
fn what_must_not_be_touched_is_not() {
    let b = Backend::with("b", |request| {
        let html = |status: u16| Answer::new(status).body(text()).header("Content-Type", "text/html");
        let of = |kind: &str| Answer::ok(text()).header("Content-Type", kind);
        Reply::answer(match request.head.target.as_str() {
            "/small" => of("text/html").body("x".repeat(1_023)),
            "/encoded" => html(200).header("Content-Encoding", "compress"),
            "/part" => html(206).header("Content-Range", "bytes 0-1/9"),
            "/ranged" => html(200).header("Content-Range", "bytes 0-1/9"),
            "/as-it-is" => html(200).header("Cache-Control", "public, no-transform"),
            "/digest" => html(200).header("Repr-Digest", "sha-256=:AAAA:"),
            "/events" => of("text/event-stream"),
            "/grpc" => of("application/grpc-web+proto"),
            "/png" => of("image/png"),
            "/untyped" => Answer::ok(text()),
            "/204" => Answer::new(204).header("Content-Type", "text/html"),
            "/304" => Answer::new(304).header("Content-Type", "text/html").header("ETag", "\"v1\""),
            _ => html(404),
        })
    });
    let lb = compressing(&b, "{}");
    for target in [
        "/small",
        "/encoded",
        "/part",
        "/ranged",
        "/as-it-is",
        "/digest",
        "/events",
        "/grpc",
        "/png",
        "/untyped",
        "/204",
        "/304",
    ] {
        let response = ask(&lb, "GET", target, "gzip, br, zstd");
        let coding = (target == "/encoded").then_some("compress");
        assert_eq!(response.header("content-encoding"), coding, "{target}");
        assert_eq!(response.header("vary"), None, "{target}");
        match target {
            "/204" | "/304" => assert!(response.body.is_empty()),
            "/small" => assert_eq!(response.body.len(), 1_023),
            _ => assert_eq!(response.text(), text(), "{target}"),
        }
        let tag = (target == "/304").then_some("\"v1\"");
        assert_eq!(response.header("etag"), tag);
    }
    let missing = ask(&lb, "GET", "/missing", "gzip");
    assert_eq!((missing.status(), whole(&missing)), (404, text().into_bytes()));
    // The proxy's own answers.
    b.kill();
    let own = ask(&lb, "GET", "/", "gzip");
    assert_eq!((own.status(), own.header("content-encoding"), own.header("vary")), (502, None, None));
}

#[test]
fn the_settings_count() {
    let b = Backend::with("b", |request| {
        let kind = if request.head.target == "/html" { "text/html" } else { "Application/X-Own" };
        Reply::answer(Answer::ok("abc").header("Content-Type", kind))
    });
    let lb =
        compressing(&b, r#"{ algorithms = ["gzip", "zstd"], min_size = "3B", types = ["application/*"] }"#);
    let coding = |target: &str, accepts: &str| {
        ask(&lb, "GET", target, accepts).header("content-encoding").map(str::to_owned)
    };
    assert_eq!(coding("/own", "zstd, br, gzip").as_deref(), Some("gzip"));
    assert_eq!((coding("/own", "br"), coding("/html", "gzip")), (None, None));
    let off = compressing(&b, "{ enabled = false, min_size = \"0B\", types = [\"application/*\"] }");
    assert_eq!(ask(&off, "GET", "/own", "gzip").header("vary"), None);
}

/// Reads what comes, decoded, until all of it has come.
struct Reader {
    stream: TcpStream,
    decoder: Option<BodyDecoder>,
    bytes: Vec<u8>,
}

impl Reader {
    fn get(address: &Address, version: &str, accepts: &str) -> Self {
        let Address::Tcp(at) = address else { panic!("{address}") };
        let mut stream = TcpStream::connect(at).unwrap();
        stream.set_read_timeout(Some(SOON)).unwrap();
        write!(stream, "GET / {version}\r\nHost: a\r\nAccept-Encoding: {accepts}\r\n\r\n").unwrap();
        Self { stream, decoder: None, bytes: vec![] }
    }

    /// False: the server has closed.
    fn more(&mut self) -> bool {
        let mut part = [0; 4096];
        let n = self.stream.read(&mut part).expect("it comes in time");
        self.bytes.extend_from_slice(&part[..n]);
        if self.decoder.is_none()
            && let Some((head, length)) = ResponseHead::parse(&self.bytes).unwrap()
        {
            self.bytes.drain(..length);
            self.decoder = Some(BodyDecoder::new(head.framing("GET")));
        }
        if let Some(decoder) = &mut self.decoder {
            let taken = decoder.push(&self.bytes).unwrap();
            self.bytes.drain(..taken);
        }
        n > 0
    }

    fn until(&mut self, coding: &str, text: &str) {
        let come = |this: &Self| this.decoder.as_ref().map(|d| decode(coding, &d.body).0).unwrap_or_default();
        while come(self) != text.as_bytes() {
            assert!(self.more(), "{coding}: closed after {:?}", String::from_utf8_lossy(&come(self)));
        }
    }
}

#[test]
fn a_slow_stream_arrives_as_it_is_sent() {
    for coding in CODINGS {
        let gates = [Gate::new(), Gate::new()];
        let held = gates.clone();
        let b = Backend::with("b", move |_| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = |text: &str| Step::Send(format!("{:x}\r\n{text}\r\n", text.len()).into_bytes());
            Reply::raw(head)
                .then(chunk("first line\n"))
                .then(Step::Wait(held[0].clone()))
                .then(chunk("second line\n"))
                .then(Step::Wait(held[1].clone()))
                .then(Step::Send(b"0\r\n\r\n".to_vec()))
        });
        let lb = compressing(&b, "{}");
        let mut reader = Reader::get(lb.address(), "HTTP/1.1", coding);
        reader.until(coding, "first line\n");
        gates[0].open();
        reader.until(coding, "first line\nsecond line\n");
        assert!(!reader.decoder.as_ref().unwrap().is_done());
        gates[1].open();
        while !reader.decoder.as_ref().unwrap().is_done() {
            assert!(reader.more());
        }
        assert_eq!(
            decode(coding, &reader.decoder.unwrap().body),
            (b"first line\nsecond line\n".to_vec(), true)
        );
    }
}

#[test]
fn a_client_of_http_1_0_reads_until_the_close() {
    let b = Backend::with("b", |_| Reply::answer(Answer::ok(text()).header("Content-Type", "text/html")));
    let lb = compressing(&b, "{}");
    let mut reader = Reader::get(lb.address(), "HTTP/1.0", "gzip");
    while reader.more() {}
    let decoder = reader.decoder.unwrap();
    assert!(decoder.may_end_here());
    assert_eq!(decode("gzip", &decoder.body), (text().into_bytes(), true));
}

#[test]
fn what_breaks_off_does_not_look_whole() {
    for coding in CODINGS {
        let b = Backend::with("b", |_| {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 100000\r\n\r\n";
            Reply::raw(head).then(Step::Send(text().into_bytes()[..50_000].to_vec())).then(Step::Close)
        });
        let lb = compressing(&b, "{}");
        let headers = [("Accept-Encoding", coding)];
        let got = Client::connect(lb.address()).unwrap().request("GET", "/", &headers, b"");
        // It may be that nothing of it was sent yet.
        assert!(
            matches!(got, Err(ReadError::Closed | ReadError::Cut(_) | ReadError::Reset(_))),
            "{coding}: {got:?}"
        );
        assert_eq!(metric(&lb, "edge_lb_backend_requests_total", &["outcome=\"failure\""]), 1.0, "{coding}");
    }
}

#[test]
fn a_client_that_does_not_read_stops_the_backend_and_one_that_leaves_frees_it() {
    const HUGE: u64 = 1 << 30;
    let part: Vec<u8> = {
        let mut random = fastrand::Rng::with_seed(7);
        std::iter::repeat_with(|| random.u8(..)).take(1 << 20).collect()
    };
    let b = Backend::with("b", move |_| {
        let head = format!("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {HUGE}\r\n\r\n");
        Reply::steps((0..HUGE >> 20).map(|_| Step::Send(part.clone()))).after(Step::Send(head.into_bytes()))
    });
    let lb = compressing(&b, "{}");
    let mut client = Client::connect(lb.address()).unwrap();
    client.set_receive_buffer(64 << 10).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n").unwrap();
    assert_eq!(client.read_head().unwrap().headers.get("content-encoding"), Some("gzip"));
    let mut last = (0, Stopwatch::start());
    eventually(SOON, "the stream stands still", || {
        if b.bytes_sent() != last.0 {
            last = (b.bytes_sent(), Stopwatch::start());
        }
        last.1.elapsed() > SHORT
    });
    assert!(b.bytes_sent() < 48 << 20, "{} bytes were taken from the backend", b.bytes_sent());
    // The worker serves others meanwhile.
    assert_eq!(admin(&lb, "GET", "/readyz").status(), 200);
    client.reset().unwrap();
    eventually(SOON, "the backend's connection is closed", || b.open_connections() == 0);
    eventually(SOON, "the lease is over", || metric(&lb, "edge_lb_backend_in_flight", &[]) == 0.0);
    assert_eq!(metric(&lb, "edge_lb_backend_requests_total", &["outcome=\"cancelled\""]), 1.0);
}

#[test]
fn curl_reads_it() {
    let b = Backend::with("b", |_| Reply::answer(Answer::ok(text()).header("Content-Type", "text/html")));
    let lb = compressing(&b, "{ algorithms = [\"gzip\"] }");
    let url = lb.address().url();
    let curl = |more: &[&str]| {
        let said = Command::new("curl")
            .args(["--silent", "--show-error", "--fail", "--max-time", "8"])
            .args(more)
            .arg(&url)
            .output();
        let said = said.expect("curl is installed: `cargo xtask test` sees to it");
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        said.stdout
    };
    assert_eq!(curl(&["--compressed"]), text().as_bytes());
    assert_eq!(curl(&["--compressed", "--http1.0"]), text().as_bytes());
    assert_eq!(curl(&[]), text().as_bytes());
    let raw = curl(&["--header", "Accept-Encoding: br;q=0.1, gzip"]);
    assert_eq!(decode("gzip", &raw), (text().into_bytes(), true));
    assert_eq!(metric(&lb, "edge_lb_compressed_responses_total", &["encoding=\"gzip\""]), 3.0);
}
