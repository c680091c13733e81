//! `LoadBalanceLayer` over services of every kind: whom it chooses, how long the lease is held, and what clients are told.

use axum::Router;
use axum::extract::{ConnectInfo, Extension};
use axum::routing::get;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::{Body, Frame};
use http_body_util::{BodyExt as _, Full};
use lb_admission::queue::QueueSettings;
use lb_balancer::{LoadBalancer, SessionAffinity};
use lb_core::{Algorithm, BackendStats, IpHash};
use lb_proxy::{BalancedBody, ChosenBackend, ClientAddr, LoadBalanceLayer};
use lb_types::{Backend, FailureKind, FixedResponse, HealthSink as _};
use std::collections::BTreeSet;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::timeout;
use tower::{Layer as _, Service, ServiceExt as _, service_fn};

const LIMIT: Duration = Duration::from_secs(10);

/// A body whose frames come as they are sent; its end is known only when it has come.
struct Fed(mpsc::UnboundedReceiver<Result<Frame<Bytes>, &'static str>>);
type Feed = mpsc::UnboundedSender<Result<Frame<Bytes>, &'static str>>;

fn fed() -> (Feed, Fed) {
    let (feed, receiver) = mpsc::unbounded_channel();
    (feed, Fed(receiver))
}

impl Body for Fed {
    type Data = Bytes;
    type Error = &'static str;
    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, &'static str>>> {
        self.0.poll_recv(cx)
    }
}

fn pool(ids: &[&str]) -> lb_balancer::LoadBalancerBuilder {
    let backends = ids.iter().map(|id| Backend::new(*id, "http://127.0.0.1:9".parse().unwrap()));
    // Only what waits on purpose shall wait.
    LoadBalancer::builder().backends(backends).selection_timeout(Duration::ZERO)
}

fn stats(lb: &LoadBalancer, id: &str) -> BackendStats {
    lb.pool().snapshot().get(&id.into()).unwrap().state().stats()
}

fn counts(lb: &LoadBalancer) -> [u64; 4] {
    let s = stats(lb, "a");
    [s.in_flight.into(), s.succeeded, s.failed, s.cancelled]
}

/// Answers with the chosen backend's id, or `none`, and what is left of the cookies.
fn who()
-> impl Service<Request<()>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone {
    service_fn(|request: Request<()>| async move {
        let chosen = request.extensions().get::<ChosenBackend>();
        let id = chosen.map_or("none", |c| c.id().as_str());
        let cookies = request.headers().get("cookie").map_or("", |c| c.to_str().unwrap());
        Ok(Response::new(Full::from(format!("{id} {cookies}"))))
    })
}

fn request(path: &str) -> Request<()> {
    Request::get(path).body(()).unwrap()
}

async fn text<B: Body<Error: std::fmt::Debug>>(response: Response<B>) -> String {
    let bytes = timeout(LIMIT, response.into_body().collect()).await.unwrap().unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// A response whose body is fed, through the layer.
async fn streamed(lb: &LoadBalancer) -> (Feed, Response<BalancedBody<Fed>>) {
    let (feed, body) = fed();
    let once = Arc::new(Mutex::new(Some(Response::new(body))));
    let inner = service_fn(move |_: Request<()>| {
        let response = once.lock().unwrap().take().expect("asked once");
        async { Ok::<_, Infallible>(response) }
    });
    let service = LoadBalanceLayer::new(lb.clone()).layer(inner);
    (feed, service.oneshot(request("/")).await.unwrap())
}

#[tokio::test]
async fn the_lease_is_held_until_the_last_byte() {
    let lb = pool(&["a"]).build().unwrap();
    let (feed, response) = streamed(&lb).await;
    assert_eq!(
        (&response.headers()["x-backend-server"], &response.headers()["x-load-balanced"]),
        (&"a".parse().unwrap(), &"true".parse().unwrap())
    );
    let mut body = response.into_body();
    assert_eq!(counts(&lb), [1, 0, 0, 0], "the head is there, and the body is not");
    feed.send(Ok(Frame::data("slow ".into()))).unwrap();
    body.frame().await.unwrap().unwrap();
    assert_eq!(counts(&lb), [1, 0, 0, 0]);
    drop(feed);
    assert!(body.frame().await.is_none());
    assert_eq!(counts(&lb), [0, 1, 0, 0], "it has ended, though the body is still there");
}

#[tokio::test]
async fn trailers_are_the_end() {
    let lb = pool(&["a"]).build().unwrap();
    let (feed, response) = streamed(&lb).await;
    let mut body = response.into_body();
    feed.send(Ok(Frame::trailers(HeaderMap::new()))).unwrap();
    body.frame().await.unwrap().unwrap();
    assert_eq!(counts(&lb), [0, 1, 0, 0], "nobody asks for anything after trailers");
}

#[tokio::test]
async fn who_leaves_is_cancelled_and_a_broken_body_is_a_failure() {
    let lb = pool(&["a"]).build().unwrap();
    let (feed, response) = streamed(&lb).await;
    feed.send(Ok(Frame::data("part".into()))).unwrap();
    let mut body = response.into_body();
    body.frame().await.unwrap().unwrap();
    drop(body);
    assert_eq!(counts(&lb), [0, 0, 0, 1]);
    let (feed, response) = streamed(&lb).await;
    feed.send(Err("broken")).unwrap();
    assert_eq!(response.into_body().frame().await.unwrap().unwrap_err(), "broken");
    assert_eq!(counts(&lb), [0, 0, 1, 1]);
    // A call that is dropped before there is a response.
    let hangs = service_fn(|_: Request<()>| std::future::pending::<Result<Response<Fed>, Infallible>>());
    let call = LoadBalanceLayer::new(lb.clone()).layer(hangs).oneshot(request("/"));
    assert!(timeout(Duration::from_millis(1), call).await.is_err());
    assert_eq!(counts(&lb), [0, 0, 1, 2]);
}

#[tokio::test]
async fn statuses_errors_and_the_inner_services_word_are_failures() {
    let lb = pool(&["a"]).build().unwrap();
    let layer = LoadBalanceLayer::new(lb.clone());
    let answers = |status: u16, kind: Option<FailureKind>| {
        service_fn(move |_: Request<()>| async move {
            let mut response = Response::builder().status(status).body(Full::<Bytes>::from("x")).unwrap();
            kind.map(|kind| response.extensions_mut().insert(kind));
            Ok::<_, Infallible>(response)
        })
    };
    for (status, kind, expected) in [
        (200, None, [0, 1, 0, 0]),
        (404, None, [0, 2, 0, 0]),
        (500, None, [0, 2, 1, 0]),
        (200, Some(FailureKind::Connect), [0, 2, 2, 0]),
    ] {
        let response = layer.layer(answers(status, kind)).oneshot(request("/")).await.unwrap();
        text(response).await;
        assert_eq!(counts(&lb), expected, "{status} {kind:?}");
    }
    let fails = service_fn(|_: Request<()>| async { Err::<Response<Full<Bytes>>, _>("refused") });
    assert_eq!(layer.layer(fails).oneshot(request("/")).await.err(), Some("refused"));
    assert_eq!(counts(&lb), [0, 2, 3, 0]);
}

#[tokio::test]
async fn a_body_that_nobody_reads_because_it_is_not_sent_is_no_cancellation() {
    let lb = pool(&["a"]).build().unwrap();
    let service = LoadBalanceLayer::new(lb.clone()).layer(who());
    let head = Request::head("/").body(()).unwrap();
    drop(service.clone().oneshot(head).await.unwrap());
    assert_eq!(counts(&lb), [0, 1, 0, 0]);
    drop(service.oneshot(request("/")).await.unwrap());
    assert_eq!(counts(&lb), [0, 1, 0, 1], "to GET it would have been sent");
}

#[tokio::test]
async fn what_is_skipped_passes_through_untouched() {
    let lb = pool(&["a"]).session_affinity(SessionAffinity::cookie()).build().unwrap();
    let service = LoadBalanceLayer::new(lb.clone())
        .skip_paths(["/static/", "/assets/"])
        .skip(|parts| parts.method == http::Method::OPTIONS)
        .layer(who());
    let options = Request::options("/x").body(()).unwrap();
    for request in [request("/static/a.css"), request("/assets/"), options] {
        let response = service.clone().oneshot(request).await.unwrap();
        assert!(response.headers().is_empty());
        assert_eq!(text(response).await, "none ");
    }
    assert_eq!(lb.metrics().requests, 0);
    for path in ["/static", "/", "/x/static/"] {
        let response = service.clone().oneshot(request(path)).await.unwrap();
        assert_eq!(text(response).await, "a ", "{path}");
    }
}

#[tokio::test]
async fn a_sessions_cookie_is_set_kept_and_not_handed_on() {
    let lb = pool(&["a", "b", "c"]).session_affinity(SessionAffinity::cookie()).build().unwrap();
    let service = LoadBalanceLayer::new(lb).layer(who());
    let first = service.clone().oneshot(request("/")).await.unwrap();
    let set = first.headers()["set-cookie"].to_str().unwrap().to_owned();
    assert!(set.starts_with("LB_SESSION=") && !set.contains("Secure"), "{set}");
    let served = text(first).await;
    let pair = set.split(';').next().unwrap();
    for _ in 0..6 {
        let again = Request::get("/").header("cookie", format!("theme=dark; {pair}")).body(()).unwrap();
        let response = service.clone().oneshot(again).await.unwrap();
        assert!(!response.headers().contains_key("set-cookie"));
        assert_eq!(
            text(response).await,
            format!("{}theme=dark", &served),
            "the same backend, their cookie alone"
        );
    }
}

#[tokio::test]
async fn a_request_without_a_backend_is_answered_503() {
    let lb = pool(&["a"]).build().unwrap();
    let layer = LoadBalanceLayer::new(lb.clone());
    lb.pool().set_healthy(&"a".into(), false);
    lb.pool().set_draining(&"a".into(), true).unwrap();
    let response = layer.layer(who()).oneshot(request("/")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(text(response).await, "no backend is available\n");
    let own = layer
        .clone()
        .on_refused(|error| Response::builder().status(418).body(Bytes::from(error.to_string())).unwrap());
    let response = own.layer(who()).oneshot(request("/")).await.unwrap();
    assert_eq!(response.status(), 418);
    assert_eq!(text(response).await, "no backend is usable: 1 draining");

    let lb = pool(&["a"]).circuit_breaker(lb_breaker::BreakerSettings::default()).build().unwrap();
    lb.circuit_breaker_for(&"a".into()).unwrap().open();
    let layer = LoadBalanceLayer::new(lb);
    let response = layer.layer(who()).oneshot(request("/")).await.unwrap();
    assert_eq!(
        (response.status(), &response.headers()["retry-after"]),
        (StatusCode::SERVICE_UNAVAILABLE, &"60".parse().unwrap())
    );
    assert_eq!(text(response).await, "Service temporarily unavailable");
    let stale = FixedResponse::new(200, "yesterday's");
    assert_eq!(
        text(layer.fallback(&stale).layer(who()).oneshot(request("/")).await.unwrap()).await,
        "yesterday's"
    );
}

#[tokio::test]
async fn a_request_waits_in_the_queue_for_the_last_byte_of_another() {
    let queue = QueueSettings::new().max_size(1).timeout(LIMIT);
    let one = Backend::new("a", "http://127.0.0.1:9".parse().unwrap()).max_connections(1);
    let lb = pool(&[]).backend(one).queuing(queue).build().unwrap();
    let (feed, first) = streamed(&lb).await;
    let service = LoadBalanceLayer::new(lb.clone()).layer(who());
    let second = tokio::spawn(service.clone().oneshot(request("/")));
    while lb.queue().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    let third = timeout(LIMIT, service.oneshot(request("/"))).await.unwrap().unwrap();
    assert_eq!(third.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(third.headers().contains_key("retry-after"));
    assert_eq!(text(third).await, "Service busy, please try again later");
    assert!(!second.is_finished());
    drop(feed);
    assert_eq!(text(first).await, "");
    let second = timeout(LIMIT, second).await.unwrap().unwrap().unwrap();
    assert_eq!(text(second).await, "a ");
}

#[tokio::test]
async fn the_clients_address_comes_from_extensions_or_a_closure() {
    let algorithm = Algorithm::IpHash(IpHash::default());
    let lb = pool(&["a", "b", "c", "d"]).algorithm(algorithm).build().unwrap();
    let by_extension = LoadBalanceLayer::new(lb.clone()).layer(who());
    let by_header = LoadBalanceLayer::new(lb)
        .client_ip(|parts| parts.headers.get("x-ip")?.to_str().ok()?.parse().ok())
        .layer(who());
    let mut seen = BTreeSet::new();
    for n in 1..=40u8 {
        let ip = [10, 0, 0, n];
        let mut request = Request::get("/").header("x-ip", format!("10.0.0.{n}")).body(()).unwrap();
        request.extensions_mut().insert(ClientAddr(SocketAddr::from((ip, 1))));
        let mut got = BTreeSet::new();
        for _ in 0..3 {
            got.insert(text(by_extension.clone().oneshot(request.clone()).await.unwrap()).await);
            got.insert(text(by_header.clone().oneshot(request.clone()).await.unwrap()).await);
        }
        assert_eq!(got.len(), 1, "{ip:?} has one backend");
        seen.extend(got);
    }
    assert!(seen.len() > 1, "and they are spread");
}

#[tokio::test]
async fn headers_are_as_they_are_told() {
    let lb = pool(&["a"]).build().unwrap();
    let names = |response: &Response<BalancedBody<Full<Bytes>>>| {
        response.headers().keys().map(|name| name.as_str().to_owned()).collect::<BTreeSet<_>>()
    };
    let bare = LoadBalanceLayer::new(lb).without_headers();
    let response = bare.layer(who()).oneshot(request("/")).await.unwrap();
    assert!(names(&response).is_empty());
    let layer = bare
        .server_header(http::HeaderName::from_static("x-served-by"))
        .response_header(http::header::VIA, http::HeaderValue::from_static("1.1 lb"))
        .on_response(|chosen, headers| {
            headers.insert("x-port", chosen.url().to_string().rsplit(':').next().unwrap().parse().unwrap());
        });
    let response = layer.layer(who()).oneshot(request("/")).await.unwrap();
    assert_eq!(names(&response), ["via", "x-port", "x-served-by"].map(str::to_owned).into());
    assert_eq!(&response.headers()["x-port"], "9");
}

/// In axum, over a socket: hyper ends bodies in its own ways.
#[tokio::test]
async fn it_works_in_axum() {
    let lb = pool(&["a"]).build().unwrap();
    let (feed, body) = fed();
    let body = Arc::new(Mutex::new(Some(body)));
    let slow = move || async move {
        let body = body.lock().unwrap().take().unwrap();
        // Its length is known from the header alone: hyper does not ask for the end after the last byte.
        Response::builder()
            .header("content-length", "4")
            .body(axum::body::Body::new(body.map_err(std::io::Error::other)))
            .unwrap()
    };
    let app = Router::new()
        .route(
            "/api",
            get(|Extension(chosen): Extension<ChosenBackend>| async move { chosen.id().to_string() }),
        )
        .route("/slow", get(slow))
        .route(
            "/static/x",
            get(|chosen: Option<Extension<ChosenBackend>>| async move { format!("{}", chosen.is_none()) }),
        )
        .layer(
            LoadBalanceLayer::new(lb.clone())
                .skip_paths(["/static/"])
                .client_ip(|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip())),
        );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = app.into_make_service_with_connect_info::<SocketAddr>();
    let server = tokio::spawn(async { axum::serve(listener, service).await });

    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let mut ask = async |path: &str, end: &str| {
        stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
        let mut got = String::new();
        while !got.ends_with(end) {
            let mut bytes = [0; 1024];
            let n = timeout(LIMIT, stream.read(&mut bytes)).await.unwrap().unwrap();
            assert!(n > 0, "closed after {got:?}");
            got.push_str(std::str::from_utf8(&bytes[..n]).unwrap());
        }
        got
    };
    let got = ask("/api", "\r\n\r\na").await;
    assert!(got.contains("x-backend-server: a\r\n") && got.contains("x-load-balanced: true\r\n"), "{got}");
    let got = ask("/static/x", "\r\n\r\ntrue").await;
    assert!(!got.contains("x-backend-server"), "{got}");
    assert_eq!(counts(&lb), [0, 1, 0, 0]);
    feed.send(Ok(Frame::data("four".into()))).unwrap();
    ask("/slow", "\r\n\r\nfour").await;
    // The server counts it out just after it has written the last byte; the connection stays open.
    let over = async {
        while counts(&lb)[0] > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LIMIT, over).await.unwrap();
    assert_eq!(counts(&lb), [0, 2, 0, 0], "the feed is still open: {}", !feed.is_closed());
    server.abort();
}
