//! gRPC checks of a small HTTP/2 server on loopback.

#[path = "../common/mod.rs"]
mod common;

use common::{Answer, Asked, PATIENT, check, failure, serve};
use lb_health::HealthCheck;
use lb_types::{Backend, BackendUrl};
use std::net::Ipv4Addr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener};

async fn start(answer: Answer) -> (Backend, Asked) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = BackendUrl::http("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    let asked = Asked::default();
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, answer.clone(), log.clone()));
        }
    });
    (Backend::new("b", url), asked)
}

/// Says these bytes to everybody, and hangs.
async fn start_raw(bytes: &'static [u8]) -> Backend {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let url = BackendUrl::http("127.0.0.1", listener.local_addr().unwrap().port()).unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let _ = stream.write_all(bytes).await;
                let mut rest = Vec::new();
                let _ = stream.read_to_end(&mut rest).await; // until the check has gone
            });
        }
    });
    Backend::new("b", url)
}

fn grpc(service: &str) -> HealthCheck {
    HealthCheck::grpc(service).timeout(PATIENT)
}

#[tokio::test]
async fn serving_passes_and_the_request_is_as_documented() {
    let (backend, asked) = start(Answer::serving(1)).await;
    let status = check(grpc("shop.v1.Cart"), backend.clone()).await;
    assert!(status.healthy, "{status:?}");
    assert_eq!(status.details.as_deref(), Some("SERVING"));
    assert!(status.average_latency.unwrap() > 0.0);
    assert!(check(grpc(""), backend.clone()).await.healthy);
    let asked = asked.lock().unwrap();
    let (head, body) = &asked[0];
    let uri = format!("POST http://{}/grpc.health.v1.Health/Check ", backend.url.authority());
    assert!(head.starts_with(&uri), "{head}");
    for header in [
        "\"content-type\": \"application/grpc\"",
        "\"te\": \"trailers\"",
        "\"user-agent\": \"LoadBalancer-HealthCheck/1.0\"",
        "\"grpc-timeout\": \"20000m\"",
    ] {
        assert!(head.contains(header), "{header} in {head}");
    }
    assert_eq!(body[..7], [0, 0, 0, 0, 14, 0x0A, 12]);
    assert_eq!(&body[7..], b"shop.v1.Cart");
    assert_eq!(asked[1].1, [0; 5]);
}

#[tokio::test]
async fn every_other_status_fails_by_its_name() {
    for (status, name) in [(0, "UNKNOWN"), (2, "NOT_SERVING"), (3, "SERVICE_UNKNOWN"), (9, "in status 9")] {
        let (backend, _) = start(Answer::serving(status)).await;
        let status = check(grpc(""), backend).await;
        assert_eq!(status.last_error.unwrap(), format!("the service is {name}"));
        assert_eq!(status.details.as_deref(), Some(name));
    }
}

#[tokio::test]
async fn calls_that_fail_are_reported_by_name() {
    let at_once = Answer {
        head: vec![
            ("content-type", "application/grpc+proto".into()),
            ("grpc-status", "12".into()),
            ("grpc-message", "unknown service%3A grpc.health.v1.Health".into()),
        ],
        body: vec![],
        trailers: vec![],
        ..Answer::serving(1)
    };
    let (backend, _) = start(at_once).await;
    let error = failure(grpc(""), backend).await;
    assert_eq!(error, "gRPC status UNIMPLEMENTED: unknown service: grpc.health.v1.Health");
    let late = Answer { body: vec![], trailers: vec![("grpc-status", "5".into())], ..Answer::serving(1) };
    let (backend, _) = start(late).await;
    assert_eq!(failure(grpc("nobody"), backend).await, "gRPC status NOT_FOUND");
}

#[tokio::test]
async fn answers_that_are_no_grpc_fail_and_say_so() {
    let good = || Answer::serving(1);
    for (answer, wanted) in [
        (Answer { http_status: 404, ..good() }, "status 404, expected 200"),
        (
            Answer { head: vec![("content-type", "text/html".into())], ..good() },
            "no valid gRPC answer: its content type is \"text/html\", not application/grpc",
        ),
        (
            Answer { head: vec![], ..good() },
            "no valid gRPC answer: its content type is \"\", not application/grpc",
        ),
        (Answer { trailers: vec![], ..good() }, "no valid gRPC answer: it has no grpc-status"),
        (Answer { body: vec![], ..good() }, "no valid gRPC answer: the message is missing"),
        (
            Answer { body: vec![1, 0, 0, 0, 1, 0], ..good() },
            "no valid gRPC answer: the message is compressed, and nobody asked for that",
        ),
        (
            Answer { body: vec![0; 1 << 20], ..good() },
            "no valid gRPC answer: the message is larger than 1 KiB",
        ),
    ] {
        let (backend, _) = start(answer).await;
        assert_eq!(failure(grpc(""), backend).await, wanted);
    }
    let huge = Answer { head: vec![("content-type", "x".repeat(100_000))], ..good() };
    let (backend, _) = start(huge).await;
    let error = failure(grpc(""), backend).await;
    assert!(error.starts_with("no valid gRPC answer: "), "{error}");
}

#[tokio::test]
async fn other_protocols_silence_and_refusal_are_told_apart() {
    let backend = start_raw(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n").await;
    let error = failure(grpc(""), backend).await;
    assert!(error.starts_with("no valid gRPC answer: "), "{error}");
    let silent = start_raw(b"").await;
    let brief = grpc("").timeout(Duration::from_millis(100));
    assert_eq!(failure(brief, silent).await, "no result within 100ms");
    let taken = tokio::net::TcpSocket::new_v4().unwrap();
    taken.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let url = BackendUrl::http("127.0.0.1", taken.local_addr().unwrap().port()).unwrap();
    let error = failure(grpc(""), Backend::new("b", url)).await;
    assert!(error.starts_with("cannot connect to ") && error.contains("refused"), "{error}");
}

#[tokio::test]
async fn unix_sockets_are_reached() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("s");
    let listener = UnixListener::bind(&path).unwrap();
    let asked = Asked::default();
    let log = asked.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(serve(stream, Answer::serving(1), log.clone()));
        }
    });
    assert!(check(grpc(""), Backend::new("b", BackendUrl::unix(path))).await.healthy);
    assert!(asked.lock().unwrap()[0].0.contains("http://localhost/grpc.health"));
}
