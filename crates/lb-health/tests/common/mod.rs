//! What tests of gRPC and TLS share: checks by hand, and a gRPC server that says what it is told.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lb_health::{HealthCheck, HealthChecker, NoSink};
use lb_types::{Backend, HealthStatus};
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Long enough for any answer that comes at all, on a busy machine.
pub(crate) const PATIENT: Duration = Duration::from_secs(20);

/// One check by hand.
pub(crate) async fn check(settings: HealthCheck, backend: Backend) -> HealthStatus {
    let id = backend.id.clone();
    let checker = HealthChecker::new(settings, Arc::new(NoSink)).unwrap();
    checker.set_backends(vec![backend]).unwrap();
    checker.check_backend(&id).await.unwrap()
}

/// What a check says went wrong.
pub(crate) async fn failure(settings: HealthCheck, backend: Backend) -> String {
    let status = check(settings, backend).await;
    assert!(!status.healthy, "it passed: {status:?}");
    status.last_error.expect("a failed check says why")
}

/// What a gRPC server answers.
#[derive(Clone, Default)]
pub(crate) struct Answer {
    pub(crate) http_status: u16,
    pub(crate) head: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(&'static str, String)>,
}

impl Answer {
    /// A response with this status number.
    pub(crate) fn serving(status: u8) -> Self {
        Self {
            http_status: 200,
            head: vec![("content-type", "application/grpc".into())],
            body: if status == 0 { vec![0; 5] } else { vec![0, 0, 0, 0, 2, 8, status] },
            trailers: vec![("grpc-status", "0".into())],
        }
    }

    fn response(&self) -> Response<http_body_util::combinators::BoxBody<Bytes, Infallible>> {
        let headers = |pairs: &[(&'static str, String)]| -> HeaderMap {
            let pair = |(n, v): &(&'static str, String)| {
                (HeaderName::from_static(n), HeaderValue::from_str(v).unwrap())
            };
            pairs.iter().map(pair).collect()
        };
        let trailers = headers(&self.trailers);
        let body = Full::new(Bytes::from(self.body.clone()));
        let body = if trailers.is_empty() {
            body.boxed()
        } else {
            body.with_trailers(async move { Some(Ok(trailers)) }).boxed()
        };
        let mut response = Response::new(body);
        *response.status_mut() = self.http_status.try_into().unwrap();
        *response.headers_mut() = headers(&self.head);
        response
    }
}

/// What it was asked: method, URI and headers as text, and the body's bytes.
pub(crate) type Asked = Arc<Mutex<Vec<(String, Vec<u8>)>>>;

/// Serves one HTTP/2 connection.
pub(crate) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    answer: Answer,
    asked: Asked,
) {
    let service = hyper::service::service_fn(move |request: Request<Incoming>| {
        let (answer, asked) = (answer.clone(), asked.clone());
        async move {
            let head = format!("{} {} {:?}", request.method(), request.uri(), request.headers());
            let body = request.into_body().collect().await.unwrap().to_bytes().to_vec();
            asked.lock().unwrap().push((head, body));
            Ok::<_, Infallible>(answer.response())
        }
    });
    // The check closes when it has seen enough.
    let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service)
        .await;
}
