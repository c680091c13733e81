//! TCP checks: a connection that can be made passes, whatever is behind it.

use crate::server::{Answer, Server, refusing};
use crate::{BRIEF, PATIENT, check, failure};
use lb_health::HealthCheck;
use lb_types::{Backend, BackendUrl};
use std::net::Ipv4Addr;
use tokio::net::{TcpSocket, TcpStream};

fn tcp() -> HealthCheck {
    HealthCheck::tcp().timeout(PATIENT)
}

#[tokio::test]
async fn listener_passes_and_gets_no_bytes() {
    let server = Server::start(Answer::say("not HTTP at all")).await;
    let status = check(tcp(), server.backend()).await;
    assert!(status.healthy && status.average_latency.is_some(), "{status:?}");
    assert!(server.requests().is_empty());
    let folder = tempfile::tempdir().unwrap();
    let server = Server::unix(&folder.path().join("s"), Answer::say(""));
    assert!(check(tcp(), server.backend()).await.healthy);
    // Reserved, so that no other test gets the port meanwhile.
    let (_taken, refusing) = refusing();
    let named = refusing.url.authority().replace("127.0.0.1", "https://localhost");
    assert!(failure(tcp(), Backend::new("b", named.parse().unwrap())).await.contains("refused"));
}

#[tokio::test]
async fn refused_and_unknown_names_fail() {
    let (_taken, backend) = refusing();
    assert!(failure(tcp(), backend).await.contains("refused"));
    let nowhere = "http://nowhere.invalid:80".parse().unwrap();
    let error = failure(tcp(), Backend::new("b", nowhere)).await;
    // A machine without any name server may wait for one in vain.
    let said = ["cannot resolve nowhere.invalid: ", "no result within "];
    assert!(said.iter().any(|s| error.starts_with(s)), "{error}");
}

/// A full accept queue leaves connections without an answer: Linux drops the handshake.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn connection_without_an_answer_times_out() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(1).unwrap();
    let at = listener.local_addr().unwrap();
    let mut queued = Vec::new();
    while let Ok(Ok(stream)) = tokio::time::timeout(BRIEF, TcpStream::connect(at)).await {
        queued.push(stream);
        assert!(queued.len() < 64, "a queue of 1 does not take 64");
    }
    let url = BackendUrl::http("127.0.0.1", at.port()).unwrap();
    let error = failure(HealthCheck::tcp().timeout(BRIEF), Backend::new("b", url)).await;
    assert_eq!(error, "no result within 100ms");
}
