//! What a client may send and how slowly, and how many connections it may have.

use edge_lb_tests::{SOON, Setup, metric};
use lb_testkit::{Address, Answer, Backend, Client, Reply, Step, Stopwatch, eventually};
use socket2::{Domain, Socket, Type};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

const LIMITED: &str = "limits = { body_bytes = \"10KiB\" }";

fn post(client: &mut Client, length: usize) -> u16 {
    client.request("POST", "/", &[], &vec![b'x'; length]).unwrap().status()
}

#[test]
fn a_declared_body_that_is_too_large_is_413_at_once() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).listener(LIMITED).admin().start();
    let mut client = Client::connect(lb.address()).unwrap();
    assert_eq!(post(&mut client, 10 * 1024), 200, "just as large as it may be");
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10241\r\n\r\n").unwrap();
    let response = client.read("POST").unwrap();
    assert!(response.status() == 413 && response.head.closes(), "{response:?}");
    assert!(client.is_closed_within(SOON));
    assert_eq!(a.request_count(), 1, "no backend was asked");
    assert_eq!(metric(&lb, "edge_lb_http_bodies_too_large_total", &[]), 1.0);
}

/// It is told before it sends: that is what it asked for.
#[test]
fn a_client_that_expects_100_gets_413_instead() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).listener(LIMITED).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client
        .send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 99999\r\n\r\n")
        .unwrap();
    let response = client.read("POST").unwrap();
    assert_eq!((response.status(), response.interim.as_slice()), (413, &[][..]));
    assert_eq!(a.connection_count(), 0);
}

fn chunk(length: usize) -> Vec<u8> {
    let mut chunk = format!("{length:x}\r\n").into_bytes();
    chunk.resize(chunk.len() + length, b'x');
    chunk.extend_from_slice(b"\r\n");
    chunk
}

#[test]
fn a_chunked_body_is_cut_at_the_limit() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).listener(LIMITED).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    for _ in 0..40 {
        // It goes on sending: the answer must reach it all the same.
        client.send(chunk(1024)).unwrap();
    }
    let response = client.read("POST").unwrap();
    assert!(response.status() == 413 && response.head.closes(), "{response:?}");
    eventually(SOON, "the backend's connection is not kept", || a.open_connections() == 0);
    let got = a.requests();
    assert!(
        got.iter().all(|r| !r.is_complete && r.body.len() <= 10 * 1024),
        "no more than the limit was handed on"
    );
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    client.send([chunk(10 * 1024), b"0\r\n\r\n".to_vec()].concat()).unwrap();
    assert_eq!(client.read("POST").unwrap().status(), 200, "just as large as it may be");
}

#[test]
fn once_a_response_has_begun_the_connection_is_cut() {
    let a = Backend::with("a", |_| {
        Reply::raw("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf").then(Step::Hang).early()
    });
    let lb = Setup::new([&a]).listener(LIMITED).start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n").unwrap();
    assert_eq!(client.read_head().unwrap().status, 200);
    for _ in 0..40 {
        if client.send(chunk(1024)).is_err() {
            break; // cut already
        }
    }
    client.set_limit(SOON);
    assert!(client.read_to_end().unwrap().len() <= 4);
    eventually(SOON, "the backend's connection is not kept", || a.open_connections() == 0);
}

const RATED: &str = "limits = { min_body_rate = \"10KiB\", rate_grace = \"300ms\" }";

#[test]
fn a_client_that_sends_too_slowly_gets_408() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).listener(RATED).admin().start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n").unwrap();
    client.set_limit(Duration::from_millis(20));
    let watch = Stopwatch::start();
    // A byte now and then: no gap is long.
    let head = loop {
        let _ = client.send("x");
        match client.read_head() {
            Ok(head) => break head,
            Err(error) => assert!(watch.elapsed() < SOON, "{error}"),
        }
    };
    assert!(head.status == 408 && head.closes(), "{head:?}");
    assert!(watch.elapsed() >= Duration::from_millis(250), "not before its grace is over");
    eventually(SOON, "it is counted", || metric(&lb, "edge_lb_client_timeouts_total", &[]) == 1.0);
}

/// What fits into the buffers on the way is sent in no time, at a rate that would allow the client a second and a half. The backend makes it wait for
/// three.
#[test]
fn a_slow_backend_makes_no_client_slow() {
    let a = Backend::with("a", |_| {
        let pause = Step::Pause(Duration::from_secs(3));
        Reply::steps([pause, Step::ReadBody, Step::Answer(Answer::ok("a"))]).early()
    });
    let limits = "limits = { min_body_rate = \"20MiB\", rate_grace = \"1s\" }";
    let lb = Setup::new([&a]).listener(limits).start();
    let mut client = Client::connect(lb.address()).unwrap();
    // More than the buffers hold: most of it waits for the backend.
    assert_eq!(post(&mut client, 32 << 20), 200);
}

#[test]
fn a_client_that_takes_too_slowly_is_cut() {
    let a = Backend::with("a", |_| Reply::ok(vec![b'x'; 32 << 20]));
    let limits = "limits = { min_send_rate = \"1MiB\", rate_grace = \"300ms\" }";
    let lb = Setup::new([&a]).listener(limits).admin().start();
    let mut client = Client::connect(lb.address()).unwrap();
    client.set_receive_buffer(4096).unwrap();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    let watch = Stopwatch::start();
    // A little now and then: it is never silent for long.
    while metric(&lb, "edge_lb_client_timeouts_total", &[]) == 0.0 {
        assert!(watch.elapsed() < SOON * 2, "it is still served");
        let _ = client.take(100);
    }
    eventually(SOON, "the backend is let go", || a.open_connections() == 0);
    assert_eq!(metric(&lb, "edge_lb_backend_requests_total", &["outcome=\"cancelled\""]), 1.0);
    let whole = Client::get(lb.address(), "/").unwrap();
    assert_eq!(whole.body.len(), 32 << 20, "who takes what it asked for is served");
}

/// A connection from one of this machine's addresses; whether it is served.
fn from(ip: Ipv4Addr, lb: &Address) -> (Socket, bool) {
    let Address::Tcp(to) = lb else { panic!("it listens on TCP") };
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket.bind(&SocketAddr::from((ip, 0)).into()).unwrap();
    socket.connect(&(*to).into()).unwrap();
    socket.set_read_timeout(Some(SOON)).unwrap();
    let mut stream = std::net::TcpStream::from(socket.try_clone().unwrap());
    let _ = std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let served = matches!(std::io::Read::read(&mut stream, &mut [0; 512]), Ok(n) if n > 0);
    (socket, served)
}

#[test]
fn one_address_has_so_many_connections() {
    let a = Backend::start("a");
    let (one, two, proxy) =
        (Ipv4Addr::new(127, 0, 0, 2), Ipv4Addr::new(127, 0, 0, 3), Ipv4Addr::new(127, 0, 0, 9));
    let setup = Setup::new([&a]).top("workers = 2\ntrusted_proxies = [\"127.0.0.9\"]");
    let lb = setup.listener("max_connections_per_ip = 2").admin().start();
    let held: Vec<_> = (0..2).map(|_| from(one, lb.address())).collect();
    assert!(held.iter().all(|(_, served)| *served));
    for _ in 0..3 {
        assert!(!from(one, lb.address()).1, "closed at once, whichever worker it comes to");
    }
    assert_eq!(metric(&lb, "edge_lb_client_connections_refused_total", &[]), 3.0);
    assert!(from(two, lb.address()).1, "another address has its own");
    let many: Vec<_> = (0..5).map(|_| from(proxy, lb.address())).collect();
    assert!(many.iter().all(|(_, served)| *served), "a trusted proxy speaks for many");
    drop(held);
    eventually(SOON, "there is room again", || from(one, lb.address()).1);
}
