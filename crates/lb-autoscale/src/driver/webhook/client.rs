//! One POST over a connection of its own. Plain HTTP/1.1; the answer's head is bounded and its body is not read.

use crate::driver::latest::Refused;
use bytes::Bytes;
use http::header::{ACCEPT, CONNECTION, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderValue, Request};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lb_types::{Address, BackendUrl, Host, Scheme, SettingsError};
use std::error::Error;
use tokio::net::TcpStream;

const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;

/// Posts to one URL.
pub(super) struct Client {
    authority: String,
    path: String,
    host: String,
    port: u16,
}

impl Client {
    pub(super) fn new(url: &str) -> Result<Self, SettingsError> {
        let wrong = || SettingsError::new("url", url, "must be a URL of http, without a query");
        let parsed: BackendUrl = url.parse().map_err(|_| wrong())?;
        let Address::Tcp { host, port } = parsed.address() else { return Err(wrong()) };
        if parsed.scheme() != Scheme::Http {
            return Err(wrong());
        }
        let host = match host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.to_string(),
        };
        let path = if parsed.base_path().is_empty() { "/" } else { parsed.base_path() };
        Ok(Self { authority: parsed.authority(), path: path.to_owned(), host, port: *port })
    }

    pub(super) async fn post(
        &self,
        headers: Vec<(&'static str, HeaderValue)>,
        body: Bytes,
    ) -> Result<(), Refused> {
        let broken = |what: &str, e: &dyn Error| {
            let reason = format!("{} {what}: {}", self.authority, with_causes(e));
            Refused { reason, again: true }
        };
        let stream = TcpStream::connect((&*self.host, self.port)).await;
        let stream = stream.map_err(|e| broken("cannot be connected to", &e))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|e| broken("broke off", &e))?;
        let request = self.request(headers, body).map_err(|e| broken("cannot be asked", &e))?;
        let exchange = sender.send_request(request);
        tokio::pin!(exchange, connection);
        // The connection does the work; when it ends first, the answer (or why there is none) has been handed over.
        let response = tokio::select! {
            response = &mut exchange => response,
            _ = &mut connection => exchange.await,
        };
        let status = response.map_err(|e| broken("broke off", &e))?.status();
        if status.is_success() {
            return Ok(());
        }
        let again = status.is_server_error() || matches!(status.as_u16(), 408 | 425 | 429);
        Err(Refused { reason: format!("{} answered {status}", self.authority), again })
    }

    fn request(
        &self,
        headers: Vec<(&'static str, HeaderValue)>,
        body: Bytes,
    ) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::post(&self.path)
            .header(HOST, &self.authority)
            .header(ACCEPT, "application/json")
            .header(CONTENT_TYPE, "application/json")
            .header(USER_AGENT, concat!("edge-lb/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        request.body(Full::new(body))
    }
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
