//! Who is answered, and within which bounds.

use crate::support::Served;
use lb_admin::{AdminError, AdminServer, AdminState, CONNECTIONS_MAX};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::watch;

fn state() -> AdminState {
    AdminState::new([], watch::channel(true).1)
}

#[test]
fn only_free_loopback_addresses_are_listened_on() {
    for address in ["0.0.0.0:0", "[::]:0", "192.0.2.1:9900"] {
        let error = AdminServer::bind(address.parse().unwrap(), state()).unwrap_err();
        assert!(
            matches!(error, AdminError::NotLoopback { .. }) && error.to_string().contains(address),
            "{error}"
        );
    }
    let first = AdminServer::bind("127.0.0.1:0".parse().unwrap(), state()).unwrap();
    let error = AdminServer::bind(first.address(), state()).unwrap_err();
    assert!(matches!(error, AdminError::Bind { .. }), "{error}");
    assert!(error.to_string().contains(&first.address().to_string()), "{error}");
}

#[tokio::test]
async fn other_hosts_are_refused_everywhere() {
    let s = Served::of(vec![]);
    for path in ["/healthz", "/metrics", "/api/v1/pools", "/nowhere"] {
        let rebound = format!("GET {path} HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n");
        let answer = s.ask(&rebound).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.head.contains("content-type: application/problem+json"));
    }
    let named = s.ask("GET /healthz HTTP/1.1\r\nHost: localhost:1\r\nConnection: close\r\n\r\n").await;
    assert_eq!((named.status, named.body.as_str()), (200, "ok\n"));
    assert!(
        named.head.contains("cache-control: no-store")
            && named.head.contains("x-content-type-options: nosniff")
    );
    let nameless = s.ask("GET /healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(nameless.status, 403);
    s.stop().await;
}

#[tokio::test]
async fn malformed_and_oversized_heads_are_refused() {
    let s = Served::of(vec![]);
    assert_eq!(s.ask("NONSENSE\r\n\r\n").await.status, 400);
    let long = format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Long: {}\r\n\r\n", "a".repeat(20_000));
    assert_eq!(s.ask(&long).await.status, 431);
    s.stop().await;
}

#[tokio::test]
async fn connections_are_bounded_and_shutdown_ends_idle_ones() {
    let s = Served::of(vec![]);
    let request = format!("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", s.address);
    let mut all = vec![];
    for _ in 0..CONNECTIONS_MAX {
        let mut c = TcpStream::connect(s.address).await.unwrap();
        c.write_all(request.as_bytes()).await.unwrap();
        assert!(c.read(&mut [0; 1024]).await.unwrap() > 0);
        all.push(c);
    }
    // One too many: it waits until another is closed.
    let mut waiting = TcpStream::connect(s.address).await.unwrap();
    waiting.write_all(request.as_bytes()).await.unwrap();
    let mut buffer = [0; 1024];
    let early = tokio::time::timeout(Duration::from_millis(100), waiting.read(&mut buffer)).await;
    assert!(early.is_err(), "no place yet");
    drop(all.pop());
    assert!(waiting.read(&mut buffer).await.unwrap() > 0);

    tokio::time::timeout(Duration::from_secs(4), s.stop())
        .await
        .expect("idle connections are closed at once");
    for mut c in all {
        assert_eq!(c.read(&mut buffer).await.unwrap_or(0), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn a_head_that_does_not_come_and_a_connection_that_does_not_end_are_cut() {
    let s = Served::of(vec![]);
    let cut_after = async |first: &str| {
        let start = tokio::time::Instant::now();
        let mut c = TcpStream::connect(s.address).await.unwrap();
        c.write_all(first.as_bytes()).await.unwrap();
        // The time that passes is virtual: nothing is left to do but to wait for the server to hang up.
        c.read_to_end(&mut vec![]).await.unwrap();
        start.elapsed().as_secs()
    };
    let never_a_head = cut_after("GET /healthz HTTP/1.1\r\nHost: loc").await;
    assert!((9..=11).contains(&never_a_head), "{never_a_head} s");
    let idle_after_an_answer = cut_after("GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    assert!((9..=11).contains(&idle_after_an_answer), "{idle_after_an_answer} s");
    let body_that_does_not_come =
        cut_after("GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n").await;
    assert!(body_that_does_not_come <= 66, "{body_that_does_not_come} s");
    s.stop().await;
}
