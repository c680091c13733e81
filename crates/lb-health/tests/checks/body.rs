//! A look at the body: what passes, what each fault is called, and how much is read.

use crate::http::with;
use crate::server::{Answer, Server};
use crate::{BRIEF, check, failure};
use lb_health::check::BODY_BYTES_MAX;
use lb_health::{ExpectedBody, HealthCheck};
use std::fmt::Write as _;

fn expecting(expected: ExpectedBody) -> HealthCheck {
    with(|h| h.expected_body = Some(expected))
}

fn contains(text: &str) -> HealthCheck {
    expecting(ExpectedBody::Contains(text.into()))
}

fn exact(text: &str) -> HealthCheck {
    expecting(ExpectedBody::Exact(text.into()))
}

fn body(body: &str) -> Answer {
    Answer::say(&format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{body}", body.len()))
}

#[tokio::test]
async fn the_body_decides_once_the_status_has_passed() {
    let server = Server::start(body(r#"{"status": "UP", "db": "fine"}"#)).await;
    assert!(check(contains(r#""status": "UP""#), server.backend()).await.healthy);
    let regex = expecting(ExpectedBody::Regex(r#"^\{"status":\s+"(?i:up)""#.into()));
    let status = check(regex, server.backend()).await;
    assert!(status.healthy && status.details.as_deref() == Some("200 OK"), "{status:?}");
    let status = check(contains("DOWN"), server.backend()).await;
    assert_eq!(
        status.last_error.as_deref(),
        Some(r#"body "{\"status\": \"UP\", \"db\": \"fine\"}", expected one with "DOWN""#)
    );
    assert_eq!(status.details.as_deref(), Some("200 OK"));
    assert!(failure(exact("UP"), server.backend()).await.ends_with(r#"expected exactly "UP""#));

    let server = Server::start(Answer::say("HTTP/1.1 503 X\r\nContent-Length: 2\r\n\r\nOK")).await;
    assert_eq!(failure(contains("OK"), server.backend()).await, "status 503, expected 200-201");
}

#[tokio::test]
async fn every_framing_is_read_to_its_end() {
    for answer in [
        body("OK\n"),
        Answer::say("HTTP/1.0 200 OK\r\n\r\nOK\n"),
        Answer::say(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nO\r\n2\r\nK\n\r\n0\r\nX-A: b\r\n\r\n",
        ),
    ] {
        let server = Server::start(answer).await;
        assert!(check(exact("OK\n"), server.backend()).await.healthy);
        assert!(check(contains("K"), server.backend()).await.healthy);
        assert_eq!(failure(exact("OK"), server.backend()).await, r#"body "OK\n", expected exactly "OK""#);
    }
    let empty = Server::start(body("")).await;
    assert!(check(exact(""), empty.backend()).await.healthy);
    assert_eq!(failure(contains("OK"), empty.backend()).await, r#"body "", expected one with "OK""#);
}

#[tokio::test]
async fn no_more_than_the_bound_is_read() {
    let (full, mut over) = ("x".repeat(BODY_BYTES_MAX - 2) + "OK", "x".repeat(BODY_BYTES_MAX - 2));
    write!(over, "OKx").unwrap();
    let server = Server::start(body(&full)).await;
    assert!(check(contains("xOK"), server.backend()).await.healthy);
    // Over the bound: its start counts where a part is enough, and that it goes on where all of it would be needed.
    let server = Server::start(body(&over)).await;
    assert!(check(contains("xOK"), server.backend()).await.healthy);
    assert!(!check(expecting(ExpectedBody::Regex("OKx".into())), server.backend()).await.healthy);
    let error = failure(exact("x"), server.backend()).await;
    assert!(error.ends_with(r#""… of more than 64 KiB, expected exactly "x""#), "{error}");
    assert!(error.len() < 200, "{error}");
    // This one never ends, and is read no further than the bound.
    let server = Server::start(Answer::Repeat(b"HTTP/1.0 200 OK\r\n\r\n".to_vec())).await;
    assert!(check(contains("HTTP/1.0 200 OK"), server.backend()).await.healthy);
}

#[tokio::test]
async fn bodies_that_break_off_or_never_come_fail() {
    let server = Server::start(Answer::say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nOK")).await;
    let error = failure(contains("OK"), server.backend()).await;
    assert!(error.starts_with("no valid HTTP answer: "), "{error}");
    let server =
        Server::start(Answer::say("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")).await;
    let error = failure(contains("OK"), server.backend()).await;
    assert!(error.starts_with("no valid HTTP answer: "), "{error}");
    let hangs = Answer::SayAndHang(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nOK".to_vec());
    let server = Server::start(hangs).await;
    assert_eq!(failure(contains("OK").timeout(BRIEF), server.backend()).await, "no result within 100ms");
}
