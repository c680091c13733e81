//! An HTTP/1.1 request on a connection of its own, whose status is looked at, and then the body if one is expected.
//!
//! Where none is expected, the head of the answer decides, its body is not read, and the connection is closed. The request says
//! `Connection: close` and `Host` (the target's authority, unless the settings' headers have a `Host`), and goes to the backend's base
//! path followed by the check's path. Redirects are not followed: list 3xx among the expected statuses if they are fine.
//!
//! Over TLS where the plan says so (feature `tls`). Bounds: an answer's head has 16 KiB and 100 headers at most; of its body 64 KiB
//! are read. It lacks HTTP/2.

use super::body::{self, Matcher};
use super::wire::{Io, Protocol, Wire, driven};
use super::{Check, CheckError, CheckFuture, Maker, Report};
use crate::error::bad;
use crate::{HealthCheckError, HttpCheck, Plan};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use std::error::Error;
use std::ops::RangeInclusive;

/// The largest head of an answer, in bytes: nobody's health endpoint has more to say.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most headers of an answer.
const HEADERS_MAX: usize = 100;

/// Asks for a path and looks at the status.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    wire: Wire,
    request: Request<Empty<Bytes>>,
    expected: Vec<RangeInclusive<u16>>,
    expected_body: Option<Matcher>,
}

impl HttpProbe {
    /// A probe of `plan`'s target by `settings`.
    ///
    /// # Errors
    /// As [`HttpCheck::validate`], and as [`Maker::check`] where TLS is concerned.
    pub fn new(settings: &HttpCheck, plan: &Plan) -> Result<Self, HealthCheckError> {
        Self::made(settings, plan, &Maker::default())
    }

    pub(super) fn made(settings: &HttpCheck, plan: &Plan, maker: &Maker) -> Result<Self, HealthCheckError> {
        settings.validate()?;
        let target = &plan.target;
        let path = format!("{}{}", target.base_path(), settings.path);
        let uri: Uri =
            path.parse().map_err(|_| bad("path", format!("{path:?}"), "it is no path of a URL"))?;
        let method = Method::from_bytes(settings.method.as_bytes())
            .map_err(|_| bad("method", format!("{:?}", settings.method), "it is no HTTP method"))?;

        // RFC 9110 §8.6: such requests say that their content is empty; without it some servers answer 411.
        let has_content = [Method::POST, Method::PUT, Method::PATCH].contains(&method);
        let mut request = Request::new(Empty::new());
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        let headers = request.headers_mut();
        for (name, value) in &settings.headers {
            let refused = |_| bad("headers", format!("{name:?}"), "it is no header's name");
            let parsed = HeaderName::from_bytes(name.as_bytes()).map_err(refused)?;
            let value = HeaderValue::from_bytes(value.as_bytes())
                .map_err(|_| bad("headers", format!("{name:?}"), "its value may not stand in a header"))?;
            headers.append(parsed, value);
        }
        if !headers.contains_key(HOST) {
            let host = target.authority();
            let value = HeaderValue::from_str(&host)
                .map_err(|_| bad("host", format!("{host:?}"), "it may not stand in a header"))?;
            headers.insert(HOST, value);
        }
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
        if has_content {
            headers.insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
        }
        Ok(Self {
            wire: Wire::new(plan, Protocol::Http1, maker)?,
            request,
            expected: settings.expected_status.clone(),
            expected_body: match &settings.expected_body {
                Some(expected) => Some(maker.body.of(expected, || Matcher::new(expected))?),
                None => None,
            },
        })
    }

    async fn run(&self) -> Report {
        self.exchange().await.unwrap_or_else(Report::failed)
    }

    /// Sends the request and judges the answer.
    async fn exchange(&self) -> Result<Report, CheckError> {
        let io: Box<dyn Io> = self.wire.connect().await?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(io))
            .await
            .map_err(failed)?;
        driven(self.answer(sender), connection).await
    }

    async fn answer(&self, mut sender: http1::SendRequest<Empty<Bytes>>) -> Result<Report, CheckError> {
        let response = sender.send_request(self.request.clone()).await.map_err(failed)?;
        let status = response.status();
        let result = match (self.judge(status), &self.expected_body) {
            (Ok(()), Some(expected)) => {
                body::read(response.into_body()).await.and_then(|body| expected.judge(&body))
            }
            (result, _) => result,
        };
        Ok(Report { result, details: Some(status.to_string()), latency: None })
    }

    fn judge(&self, status: StatusCode) -> Result<(), CheckError> {
        let code = status.as_u16();
        if self.expected.iter().any(|range| range.contains(&code)) {
            return Ok(());
        }
        let expected = self.expected.iter().map(shown).collect::<Vec<_>>().join(", ");
        Err(CheckError::Status { status: code, expected })
    }
}

impl Check for HttpProbe {
    fn check(&self) -> CheckFuture<'_> {
        Box::pin(self.run())
    }
}

fn shown(range: &RangeInclusive<u16>) -> String {
    let (low, high) = (range.start(), range.end());
    if low == high { low.to_string() } else { format!("{low}-{high}") }
}

fn failed(error: impl Error) -> CheckError {
    CheckError::Http { error: with_causes(&error) }
}

/// hyper tells the kind of an error and keeps the cause as its source.
pub(super) fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}
