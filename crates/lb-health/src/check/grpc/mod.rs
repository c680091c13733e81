//! The gRPC health protocol: `grpc.health.v1.Health/Check`, one call on a connection of its own.
//!
//! HTTP/2 with prior knowledge (h2c), or inside TLS with ALPN `h2` where the plan says so. `SERVING` passes; every other answer fails
//! and is called by its name. The backend's base path does not count: gRPC knows none. Source: gRPC's `health-checking.md` and
//! `PROTOCOL-HTTP2.md`.
//!
//! The client is h2's own, not hyper's: hyper's spawns a task for the connection, which would outlive a check that is dropped at its time
//! limit. Bounds: a head of 16 KiB, a message of 1 KiB. It lacks compression (and asks for none) and `Watch`.

mod message;
mod status;

use super::wire::{Protocol, Wire, driven};
use super::{Check, CheckError, CheckFuture, Maker, Report};
use crate::error::bad;
use crate::{GrpcCheck, HealthCheckError, Plan};
use bytes::Bytes;
use h2::RecvStream;
use h2::client::SendRequest;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, TE, USER_AGENT};
use http::{Method, Request, Uri};
use std::fmt::Display;

/// The largest head of an answer, in bytes, as HTTP/2 counts them.
const HEAD_BYTES_MAX: u32 = 16 * 1024;

const PATH: &str = "/grpc.health.v1.Health/Check";

/// Asks a gRPC server for its health.
#[derive(Clone, Debug)]
pub struct GrpcProbe {
    wire: Wire,
    request: Request<()>,
    message: Bytes,
}

impl GrpcProbe {
    /// A probe of `plan`'s target by `settings`.
    ///
    /// # Errors
    /// As [`GrpcCheck::validate`], and as [`Maker::check`] where TLS is concerned.
    pub fn new(settings: &GrpcCheck, plan: &Plan) -> Result<Self, HealthCheckError> {
        Self::made(settings, plan, &Maker::default())
    }

    pub(super) fn made(settings: &GrpcCheck, plan: &Plan, maker: &Maker) -> Result<Self, HealthCheckError> {
        settings.validate()?;
        let (target, scheme) = (&plan.target, if plan.target.tls() { "https" } else { "http" });
        let authority = target.authority();
        let uri = Uri::builder().scheme(scheme).authority(&*authority).path_and_query(PATH).build();
        let uri = uri.map_err(|_| bad("host", format!("{authority:?}"), "it may not stand in a request"))?;
        let mut request = Request::new(());
        *request.method_mut() = Method::POST;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
        headers.insert(TE, HeaderValue::from_static("trailers"));
        headers.insert(USER_AGENT, HeaderValue::from_static("LoadBalancer-HealthCheck/1.0"));
        // At most 24 h: 8 digits, as many as the protocol allows.
        let deadline = HeaderValue::from_str(&format!("{}m", plan.settings.timeout.as_millis()));
        headers.insert("grpc-timeout", deadline.expect("digits and a letter"));
        let message = message::request(&settings.service).into();
        Ok(Self { wire: Wire::new(plan, Protocol::Http2, maker)?, request, message })
    }

    async fn run(&self) -> Result<Report, CheckError> {
        let io = self.wire.connect().await?;
        let (sender, connection) = h2::client::Builder::new()
            .enable_push(false)
            .max_header_list_size(HEAD_BYTES_MAX)
            .handshake::<_, Bytes>(io)
            .await
            .map_err(failed)?;
        driven(self.answer(sender), connection).await
    }

    async fn answer(&self, sender: SendRequest<Bytes>) -> Result<Report, CheckError> {
        let mut sender = sender.ready().await.map_err(failed)?;
        let (response, mut body) = sender.send_request(self.request.clone(), false).map_err(failed)?;
        body.send_data(self.message.clone(), true).map_err(failed)?;
        let (head, body) = response.await.map_err(failed)?.into_parts();
        if head.status.as_u16() != 200 {
            return Err(CheckError::Status { status: head.status.as_u16(), expected: "200".to_owned() });
        }
        let kind = head.headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
        if !kind.starts_with(b"application/grpc") {
            let kind = String::from_utf8_lossy(&kind[..kind.len().min(64)]);
            return Err(failed(format!("its content type is {kind:?}, not application/grpc")));
        }
        // A call that fails at once has its status in the head, and no body.
        if let Some(error) = error_in(&head.headers) {
            return Err(error);
        }
        let (bytes, trailers) = read(body).await?;
        if let Some(error) = error_in(&trailers) {
            return Err(error);
        }
        if !trailers.contains_key("grpc-status") && !head.headers.contains_key("grpc-status") {
            return Err(failed("it has no grpc-status"));
        }
        let serving = message::response(&bytes).map_err(failed)?;
        let name = status::serving(serving).into_owned();
        let details = Some(name.clone());
        let result = if serving == 1 { Ok(()) } else { Err(CheckError::NotServing { status: name }) };
        Ok(Report { result, details, latency: None })
    }
}

/// A body within its bound, and its trailers.
async fn read(mut body: RecvStream) -> Result<(Vec<u8>, HeaderMap), CheckError> {
    let mut bytes = Vec::new();
    while let Some(data) = body.data().await {
        let data = data.map_err(failed)?;
        if bytes.len() + data.len() > message::BODY_BYTES_MAX {
            return Err(failed("the message is larger than 1 KiB"));
        }
        bytes.extend_from_slice(&data);
        // Nothing is lost if it fails: then the stream is over.
        let _ = body.flow_control().release_capacity(data.len());
    }
    let trailers = body.trailers().await.map_err(failed)?.unwrap_or_default();
    Ok((bytes, trailers))
}

/// The error that a `grpc-status` other than 0 stands for.
fn error_in(headers: &HeaderMap) -> Option<CheckError> {
    let status = headers.get("grpc-status")?.as_bytes();
    if status == b"0" {
        return None;
    }
    let message = headers.get("grpc-message").map_or(String::new(), |m| status::message(m.as_bytes()));
    let status = status::code(&String::from_utf8_lossy(status)).into_owned();
    Some(CheckError::GrpcStatus { status, message })
}

fn failed(why: impl Display) -> CheckError {
    CheckError::Grpc { error: why.to_string() }
}

impl Check for GrpcProbe {
    fn check(&self) -> CheckFuture<'_> {
        Box::pin(async { self.run().await.unwrap_or_else(Report::failed) })
    }
}
