//! HTTP checks: what is sent, what passes, and what each fault is called.

use crate::server::{Answer, Server, refusing};
use crate::{BRIEF, PATIENT, check, failure};
use lb_health::{CheckKind, ExpectedBody, HealthCheck, HealthChecker, HttpCheck, NoSink};
use lb_types::{Backend, HealthCheckOverride, HealthEvent};
use std::net::Ipv6Addr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) fn patient() -> HealthCheck {
    HealthCheck::default().timeout(PATIENT)
}

pub(crate) fn with(change: impl FnOnce(&mut HttpCheck)) -> HealthCheck {
    let (mut check, mut http) = (patient(), HttpCheck::default());
    change(&mut http);
    check.kind = CheckKind::Http(http);
    check
}

#[tokio::test]
async fn good_answer_passes_and_the_request_is_as_documented() {
    let server = Server::start(Answer::status("200 Fine")).await;
    let status = check(patient(), server.backend()).await;
    assert!(status.healthy && status.last_error.is_none(), "{status:?}");
    assert_eq!(status.details.as_deref(), Some("200 OK"));
    assert!(status.average_latency.unwrap() > 0.0);
    let wanted = format!(
        "GET /health HTTP/1.1\r\nuser-agent: loadbalancer-healthcheck/1.0\r\nhost: {}\r\nconnection: close\r\n\r\n",
        server.authority()
    );
    assert_eq!(server.requests(), [wanted]);
}

#[tokio::test]
async fn every_check_has_a_connection_of_its_own() {
    // This server would keep the connection.
    let server =
        Server::start(Answer::SayAndHang(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n".to_vec())).await;
    let checker = HealthChecker::new(patient(), Arc::new(NoSink)).unwrap();
    checker.set_backends(vec![server.backend()]).unwrap();
    for _ in 0..3 {
        assert!(checker.check_backend("b").await.unwrap().healthy);
    }
    assert_eq!(server.requests().len(), 3);
}

#[tokio::test]
async fn method_headers_base_path_and_query_are_sent() {
    let server = Server::start(Answer::status("204 No Content")).await;
    let settings = with(|h| {
        h.method = "POST".into();
        h.path = "/ready?deep=1".into();
        h.expected_status = vec![204..=204];
        h.headers = vec![("Host".into(), "api.example".into()), ("X-Check".into(), "1".into())];
    });
    let url = format!("http://{}/base/", server.authority()).parse().unwrap();
    assert!(check(settings, Backend::new("b", url)).await.healthy);
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /base/ready?deep=1 HTTP/1.1\r\n"), "{request}");
    for line in ["host: api.example", "x-check: 1", "content-length: 0", "connection: close"] {
        assert_eq!(request.matches(&format!("\r\n{line}\r\n")).count(), 1, "{line} in {request}");
    }
    assert_eq!(request.matches("host:").count(), 1);
}

#[tokio::test]
async fn status_decides_by_the_ranges_alone() {
    for (line, passes) in [("200 OK", true), ("201 Created", true), ("399 X", true), ("503 Busy", false)] {
        let server = Server::start(Answer::status(line)).await;
        let settings = with(|h| h.expected_status = vec![200..=201, 300..=399]);
        let status = check(settings, server.backend()).await;
        assert_eq!(status.healthy, passes, "{line}: {status:?}");
    }
    let server = Server::start(Answer::status("503 Busy")).await;
    let status = check(with(|h| h.expected_status = vec![200..=201, 304..=304]), server.backend()).await;
    assert_eq!(status.last_error.as_deref(), Some("status 503, expected 200-201, 304"));
    assert_eq!(status.details.as_deref(), Some("503 Service Unavailable"));
    let server = Server::start(Answer::status("302 Found")).await;
    assert_eq!(failure(patient(), server.backend()).await, "status 302, expected 200-201");
}

#[tokio::test]
async fn odd_but_valid_answers_pass() {
    for answer in [
        Answer::say("HTTP/1.0 200 OK\r\n\r\n"),
        Answer::say("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
        Answer::say("HTTP/1.1 200\r\n\r\n"),
        // The head decides: this body never comes, and that one never ends.
        Answer::SayAndHang(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n".to_vec()),
        Answer::Repeat(b"HTTP/1.1 200 OK\r\n\r\n".to_vec()),
    ] {
        let server = Server::start(answer).await;
        let status = check(patient(), server.backend()).await;
        assert!(status.healthy, "{status:?}");
    }
    let server = Server::start(Answer::say("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")).await;
    assert!(check(with(|h| h.method = "HEAD".into()), server.backend()).await.healthy);
}

#[tokio::test]
async fn answers_that_are_no_http_fail_and_say_so() {
    let huge = format!("HTTP/1.1 200 OK\r\nX-A: {}\r\n\r\n", "a".repeat(64 * 1024));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X-A: a\r\n".repeat(101));
    for (answer, wanted) in [
        (Answer::say("SSH-2.0-OpenSSH_9.9\r\n"), "invalid HTTP version"),
        (Answer::Say(vec![0; 300]), "invalid HTTP"),
        (Answer::say("HTTP/1.1 abc OK\r\n\r\n"), "invalid HTTP status"),
        (Answer::say(&huge), "message head is too large"),
        (Answer::say(&many), "message head is too large"),
        (Answer::Repeat(b"HTTP/1.1 200 OK\r\nX-A".to_vec()), "invalid HTTP header"),
        (Answer::say("HTTP/1.1 200 OK\r\nX-A: a\r\n"), "connection closed before message completed"),
        (Answer::say(""), "connection closed before message completed"),
    ] {
        let server = Server::start(answer).await;
        let error = failure(patient(), server.backend()).await;
        assert!(
            error.starts_with("no valid HTTP answer: ") && error.contains(wanted),
            "{error}, not {wanted}"
        );
    }
}

#[tokio::test]
async fn endless_head_is_cut_at_its_bound_not_at_the_timeout() {
    let server = Server::start(Answer::Repeat(b"HTTP/1.1 200 OK\r\nX-A: ".to_vec())).await;
    let error = failure(patient(), server.backend()).await;
    assert!(error.starts_with("no valid HTTP answer: "), "{error}");
    let mut line = b"HTTP/1.1 200 OK\r\nX-A: ".to_vec();
    line.resize(1 << 20, b'a');
    let server = Server::start(Answer::SayAndHang(line)).await;
    let error = failure(patient(), server.backend()).await;
    assert!(error.contains("message head is too large"), "{error}");
}

#[tokio::test]
async fn silence_times_out_before_and_within_the_head() {
    for said in [&b""[..], b"HTTP/1.1 200 OK\r\nX-A"] {
        let server = Server::start(Answer::SayAndHang(said.to_vec())).await;
        let error = failure(HealthCheck::default().timeout(BRIEF), server.backend()).await;
        assert_eq!(error, "no result within 100ms");
    }
}

#[tokio::test]
async fn refused_connection_names_the_address() {
    let (_taken, backend) = refusing();
    let error = failure(patient(), backend.clone()).await;
    assert!(error.starts_with(&format!("cannot connect to {}: ", backend.url.authority())), "{error}");
    assert!(error.contains("refused"), "{error}");
}

#[tokio::test]
async fn ipv6_and_names_and_unix_sockets_are_reached() {
    let ok = || Answer::status("200 OK");
    match Server::on(Ipv6Addr::LOCALHOST.into(), ok()).await {
        Ok(server) => {
            assert!(check(patient(), server.backend()).await.healthy);
            assert!(server.requests()[0].contains(&format!("\r\nhost: [::1]:{}\r\n", server.port())));
        }
        Err(e) => eprintln!("this machine has no IPv6 loopback ({e})"),
    }

    let server = Server::start(ok()).await;
    let url = format!("http://localhost:{}", server.port()).parse().unwrap();
    assert!(check(patient(), Backend::new("b", url)).await.healthy);
    assert!(server.requests()[0].contains(&format!("\r\nhost: localhost:{}\r\n", server.port())));

    let folder = tempfile::tempdir().unwrap();
    let server = Server::unix(&folder.path().join("s"), ok());
    assert!(check(patient(), server.backend()).await.healthy);
    assert!(server.requests()[0].contains("\r\nhost: localhost\r\n"));
    let nobody = lb_types::BackendUrl::unix(folder.path().join("nobody"));
    let error = failure(patient(), Backend::new("b", nobody)).await;
    assert!(error.starts_with("cannot connect to ") && error.contains("nobody"), "{error}");
}

#[tokio::test]
async fn host_and_port_overrides_say_where_to_connect() {
    let other = Server::start(Answer::status("200 OK")).await;
    let (_taken, refused) = refusing();
    let port = HealthCheckOverride { port: Some(other.port()), ..Default::default() };
    assert!(check(patient(), refused.clone().health_check(port.clone())).await.healthy);
    let both = HealthCheckOverride { host: Some("localhost".into()), ..port };
    assert!(check(patient(), refused.health_check(both)).await.healthy);
    let hosts =
        [format!("\r\nhost: {}\r\n", other.authority()), format!("\r\nhost: localhost:{}\r\n", other.port())];
    let requests = other.requests();
    assert_eq!(requests.len(), 2);
    for (request, host) in requests.iter().zip(hosts) {
        assert!(request.contains(&host), "{request}");
    }
}

#[tokio::test]
async fn running_checker_sees_a_backend_come_and_die() {
    let server = Server::start(Answer::status("200 OK")).await;
    let settings = patient().interval(Duration::from_millis(20)).thresholds(2, 2);
    let checker = HealthChecker::new(settings, Arc::new(NoSink)).unwrap();
    let mut events = checker.events();
    checker.set_backends(vec![server.backend()]).unwrap();
    let running = checker.start().unwrap();
    let first = tokio::time::timeout(PATIENT, events.recv()).await.unwrap();
    assert_eq!(first, Ok(HealthEvent::BackendHealthy { id: "b".into() }));
    server.stop().await;
    let second = tokio::time::timeout(PATIENT, events.recv()).await.unwrap();
    let Ok(HealthEvent::BackendUnhealthy { id, error }) = second else { panic!("{second:?}") };
    assert_eq!(id, "b");
    assert!(error.starts_with("cannot connect") || error.starts_with("no valid HTTP answer"), "{error}");
    running.shutdown().await;
}

#[tokio::test]
async fn a_backend_may_be_asked_otherwise() {
    let server = Server::start(Answer::say("HTTP/1.1 299 X\r\nContent-Length: 4\r\n\r\nfine")).await;
    let own = HealthCheckOverride {
        method: Some("POST".into()),
        expected_status: Some(vec![299..=299]),
        expected_body: Some(ExpectedBody::Exact("fine".into())),
        headers: Some(vec![("X-Own".into(), "1".into()), ("User-Agent".into(), "me".into())]),
        ..Default::default()
    };
    assert!(check(patient(), server.backend().health_check(own)).await.healthy);
    let request = server.requests().remove(0);
    assert!(request.starts_with("POST /health HTTP/1.1\r\nx-own: 1\r\nuser-agent: me\r\n"), "{request}");
}

#[cfg(not(feature = "tls"))]
#[test]
fn https_is_refused_by_a_build_without_it() {
    let checker = HealthChecker::new(patient(), Arc::new(NoSink)).unwrap();
    let https = Backend::new("b", "https://127.0.0.1".parse().unwrap());
    let error = checker.set_backends(vec![https]).unwrap_err().to_string();
    let wanted =
        "health checks over TLS need the cargo feature \"tls\" of lb-health, which this build has not";
    assert_eq!(error, format!("backend \"b\": {wanted}"));
}
