//! An HTTP/1.1 request on a connection of its own, whose status is looked at.
//!
//! The head of the answer decides; its body is not read, and the connection is closed. The request says `Connection: close`
//! and `Host` (the target's authority, unless the settings' headers have a `Host`), and goes to the backend's base path
//! followed by the check's path. Redirects are not followed: list 3xx among the expected statuses if they are fine.
//!
//! Bounds: an answer's head has 16 KiB and 100 headers at most. It lacks TLS, HTTP/2 and a look at the body.

use super::connect::{Connection, connect};
use super::{Check, CheckError, CheckFuture, Report};
use crate::error::bad;
use crate::{HealthCheckError, HttpCheck, Target};
use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, HeaderName, HeaderValue};
use http::{Method, Request, StatusCode, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lb_types::Address;
use std::error::Error;
use std::ops::RangeInclusive;
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest head of an answer, in bytes: nobody's health endpoint has more to say.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// The most headers of an answer.
const HEADERS_MAX: usize = 100;

/// Asks for a path and looks at the status.
#[derive(Clone, Debug)]
pub struct HttpProbe {
    address: Address,
    request: Request<Empty<Bytes>>,
    expected: Vec<RangeInclusive<u16>>,
}

impl HttpProbe {
    /// A probe of `target` by `settings`.
    ///
    /// # Errors
    /// [`HealthCheckError::BadSetting`], as [`HttpCheck::validate`].
    pub fn new(settings: &HttpCheck, target: &Target) -> Result<Self, HealthCheckError> {
        settings.validate()?;
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
        Ok(Self { address: target.address().clone(), request, expected: settings.expected_status.clone() })
    }

    async fn run(&self) -> Report {
        let status = match connect(&self.address).await {
            Ok(Connection::Tcp(stream)) => self.exchange(stream).await,
            #[cfg(unix)]
            Ok(Connection::Unix(stream)) => self.exchange(stream).await,
            Err(error) => Err(error),
        };
        match status {
            Ok(status) => self.judge(status),
            Err(error) => Report::failed(error),
        }
    }

    /// Sends the request and waits for the head of the answer.
    async fn exchange<S>(&self, stream: S) -> Result<StatusCode, CheckError>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let failed = |e: hyper::Error| CheckError::Http { error: with_causes(&e) };
        let (mut sender, mut connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        let answer = sender.send_request(self.request.clone());
        tokio::pin!(answer);
        // The connection does the work; when it ends first, the answer (or why there is none) has been handed over.
        let answer = tokio::select! {
            answer = &mut answer => answer,
            _ = &mut connection => answer.await,
        };
        answer.map(|response| response.status()).map_err(failed)
    }

    fn judge(&self, status: StatusCode) -> Report {
        let (code, details) = (status.as_u16(), Some(status.to_string()));
        let passes = self.expected.iter().any(|range| range.contains(&code));
        let expected = || self.expected.iter().map(shown).collect::<Vec<_>>().join(", ");
        let result =
            if passes { Ok(()) } else { Err(CheckError::Status { status: code, expected: expected() }) };
        Report { result, details }
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

/// hyper tells the kind of an error and keeps the cause as its source.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}
