//! A small HTTP client, and the state that the documentation's examples show.

use lb_admin::{AdminServer, AdminState};
use lb_balancer::geography::{Location, Overrides};
use lb_balancer::session::SessionId;
use lb_balancer::{
    BreakerSettings, GeoDetector, LoadBalancer, OutlierDetection, SelectOptions, SessionAffinity, StaticList,
};
use lb_types::{Backend, BackendId, FailureKind, HealthSink, ManualClock, Nanos, Outcome, RequestInfo};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

pub(crate) struct Served {
    pub(crate) address: SocketAddr,
    pub(crate) ready: watch::Sender<bool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), lb_admin::AdminError>>,
}

impl Served {
    pub(crate) fn of(pools: Vec<(String, LoadBalancer)>) -> Self {
        Self::with(pools, |s| s)
    }

    pub(crate) fn with(
        pools: Vec<(String, LoadBalancer)>,
        more: impl FnOnce(AdminState) -> AdminState,
    ) -> Self {
        let (ready, is_ready) = watch::channel(true);
        let state =
            more(AdminState::new(pools, is_ready).started(UNIX_EPOCH + Duration::from_secs(1_700_000_000)));
        let server = AdminServer::bind("127.0.0.1:0".parse().unwrap(), state).unwrap();
        let address = server.address();
        let (stop, stopped) = oneshot::channel::<()>();
        let task = tokio::spawn(server.serve(async { _ = stopped.await }));
        Self { address, ready, stop, task }
    }

    /// With a body of JSON, if there is one.
    pub(crate) async fn send(&self, method: &str, path: &str, body: &str) -> Answer {
        let kind = if body.is_empty() { "" } else { "Content-Type: application/json\r\n" };
        let (address, length) = (self.address, body.len());
        let head = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n{kind}");
        self.ask(&format!("{head}Content-Length: {length}\r\n\r\n{body}")).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.address)).await
    }

    /// Sends `request`, which must ask for the connection to be closed.
    pub(crate) async fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut text = String::new();
        stream.read_to_string(&mut text).await.unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        Answer { status, head: head.to_ascii_lowercase(), body: body.to_owned() }
    }

    pub(crate) async fn stop(self) {
        drop(self.stop);
        self.task.await.unwrap().unwrap();
    }
}

pub(crate) fn backend(id: &str, port: u16) -> Backend {
    Backend::new(id, format!("http://127.0.0.1:{port}").parse().unwrap())
}

/// `n` requests, each answered after 10 ms.
pub(crate) fn answered(lb: &LoadBalancer, n: usize) {
    for _ in 0..n {
        let lease = lb.select_backend(&RequestInfo::default(), &SelectOptions::default()).unwrap();
        lease.complete(Outcome::Success { ttfb: Nanos::from_millis(10) });
    }
}

/// Five failures in a row on a backend that is not the last usable one.
pub(crate) fn fail(lb: &LoadBalancer, id: &str) {
    let mut failed = 0;
    while failed < 5 {
        let lease = lb.select_backend(&RequestInfo::default(), &SelectOptions::default()).unwrap();
        let fails = *lease.backend().id() == *id;
        failed += u32::from(fails);
        let (ttfb, after) = (Nanos::from_millis(1), Nanos::ZERO);
        let failure = Outcome::Failure { kind: FailureKind::Status(500), after };
        lease.complete(if fails { failure } else { Outcome::Success { ttfb } });
    }
    lb.maintain();
}

/// A database of one office: 10.1.0.0/16 is in Berlin.
pub(crate) fn detector() -> GeoDetector {
    let mut overrides = Overrides::new();
    let berlin = Location::parse(Some("DE"), Some("DE-BE"), Some("Berlin")).unwrap();
    overrides.add("10.1.0.0/16", berlin).unwrap();
    GeoDetector::builder().overrides(overrides).build().unwrap()
}

/// Binds the session of who sends this `X-User` to a backend, with no request made.
pub(crate) fn bind(lb: &LoadBalancer, user: &str, backend: &str) -> SessionId {
    let (manager, at) = (lb.session_manager().unwrap(), lb.moment());
    let headers = [("X-User", user)];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    let id = manager.resolve(&request, || SessionId::from_random(0), at).session.unwrap();
    manager.assign(id, &BackendId::from(backend), at);
    id
}

/// The pool of the documentation: six answers, one failure, one request in flight, one backend that fails its checks, two sessions.
pub(crate) fn example() -> (LoadBalancer, lb_balancer::Lease) {
    let lb = LoadBalancer::builder()
        .name("web")
        .backend(backend("web-1", 9001).weight(2).metadata("zone", "a"))
        .backend(backend("web-2", 9002).max_connections(100))
        .discover(StaticList::default())
        .circuit_breaker(BreakerSettings::default())
        .outlier_detection(OutlierDetection::default())
        .session_affinity(SessionAffinity::header("X-User"))
        .clock(Arc::new(ManualClock::default()))
        .seed(1)
        .build()
        .unwrap();
    answered(&lb, 6);
    lb.pool().set_healthy(&"web-2".into(), false);
    let pick = || lb.select_backend(&RequestInfo::default(), &SelectOptions::default()).unwrap();
    pick().complete(Outcome::Failure { kind: FailureKind::Reset, after: Nanos::from_millis(1) });
    let held = pick();
    bind(&lb, "ada", "web-1");
    bind(&lb, "grace", "web-2");
    (lb, held)
}
