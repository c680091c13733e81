//! One GET over a connection of its own, plain or over TLS, and its JSON.
//!
//! What is found is cached for an hour and shared by all who ask, so a connection for each look-up is cheap enough, needs no task to keep
//! it, and is gone when the look-up is dropped. TLS knows Mozilla's authorities, compiled in; sessions are resumed, so that most
//! look-ups spare a round trip.
//!
//! Bounds: a head of 16 KiB and 100 headers, a body of 64 KiB (the largest honest one has 2), eight addresses of a name. Redirects are not
//! followed.

use super::HttpSettings;
use crate::GeoError;
use ::http::header::{ACCEPT, AUTHORIZATION, CONNECTION, HOST, HeaderValue, RETRY_AFTER, USER_AGENT};
use ::http::{Request, Response, StatusCode};
use bytes::{Bytes, BytesMut};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lb_types::{Address, BackendUrl, Host, Scheme};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use std::error::Error;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

const HEAD_BYTES_MAX: usize = 16 * 1024;
const HEADERS_MAX: usize = 100;
const BODY_BYTES_MAX: usize = 64 * 1024;
const ADDRESSES_MAX: usize = 8;
/// How long a provider is left alone that says "too many requests" and not for how long; and the longest, whatever it says.
const REST: Duration = Duration::from_secs(60);
const REST_MAX: Duration = Duration::from_secs(3_600);

/// What is sent over.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// How a provider answered.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Bytes,
}

/// The client of one provider.
pub(super) struct Client {
    name: &'static str,
    url: BackendUrl,
    host: Host,
    port: u16,
    settings: HttpSettings,
    tls: Option<(TlsConnector, ServerName<'static>)>,
    /// Sent as `Authorization`, if the provider takes the token there.
    bearer: Option<HeaderValue>,
    places: Semaphore,
    /// It said "too many requests": not asked before then.
    rests_until: Mutex<Option<Instant>>,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("name", &self.name)
            .field("url", &self.url.to_string())
            .finish_non_exhaustive()
    }
}

impl Client {
    pub(super) fn new(
        name: &'static str,
        default_url: &str,
        settings: HttpSettings,
        bearer: bool,
    ) -> Result<Self, GeoError> {
        Self::with_roots(
            name,
            default_url,
            settings,
            bearer,
            webpki_roots::TLS_SERVER_ROOTS.iter().cloned().collect(),
        )
    }

    pub(super) fn with_roots(
        name: &'static str,
        default_url: &str,
        settings: HttpSettings,
        bearer: bool,
        roots: RootCertStore,
    ) -> Result<Self, GeoError> {
        settings.validate()?;
        let text = settings.base_url.as_deref().unwrap_or(default_url);
        let bad = |reason| GeoError::bad("base_url", format!("{text:?}"), reason);
        let url: BackendUrl =
            text.parse().map_err(|_| bad("it is no URL of http or https, without a query"))?;
        let Address::Tcp { host, port } = url.address().clone() else {
            return Err(bad("it is no URL of http or https"));
        };
        let tls = match url.scheme() {
            Scheme::Http => None,
            Scheme::Https => {
                let host = match &host {
                    Host::Ip(ip) => ip.to_string(),
                    Host::Name(name) => name.strip_suffix('.').unwrap_or(name).to_owned(),
                };
                let server =
                    ServerName::try_from(host).map_err(|_| bad("its host may not stand in a certificate"))?;
                Some((TlsConnector::from(tls_config(roots)), server))
            }
        };
        let bearer = settings.token.as_ref().filter(|_| bearer).map(|token| {
            let mut value = HeaderValue::from_str(&format!("Bearer {token}"))
                .map_err(|_| GeoError::bad("token", "(hidden)", "it may not stand in a header"))?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self {
            name,
            url,
            host,
            port,
            tls,
            bearer: bearer.transpose()?,
            places: Semaphore::new(settings.max_concurrent),
            rests_until: Mutex::new(None),
            settings,
        })
    }

    pub(super) fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.settings.token.as_deref()
    }

    pub(super) fn malformed(&self, reason: impl Into<String>) -> GeoError {
        GeoError::Malformed { provider: self.name, reason: reason.into() }
    }

    /// GETs `path` (from the slash on, below the base URL's), within the time limit and with retries. Of what is left in the end: a status
    /// of 2xx or 4xx but 429.
    pub(super) async fn get(&self, path: &str) -> Result<Reply, GeoError> {
        self.rests()?;
        let limit = self.settings.timeout;
        tokio::time::timeout(limit, self.with_retries(path))
            .await
            .unwrap_or(Err(GeoError::TimedOut { provider: self.name, limit }))
    }

    async fn with_retries(&self, path: &str) -> Result<Reply, GeoError> {
        let _place = self.places.acquire().await.expect("the semaphore is never closed");
        let mut wait = self.settings.backoff;
        let mut retries_left = self.settings.retries;
        loop {
            self.rests()?; // the answer to a look-up before this one may have said so
            let result = self.once(path).await;
            let again = match &result {
                Ok(_) => false,
                Err(GeoError::Connect { .. } | GeoError::Malformed { .. }) => true,
                Err(GeoError::Status { status, .. }) => *status >= 500,
                Err(_) => false,
            };
            if !again || retries_left == 0 {
                return result;
            }
            retries_left -= 1;
            tokio::time::sleep(wait.mul_f64(fastrand::f64() / 2.0 + 0.5)).await;
            wait = wait.saturating_mul(2);
        }
    }

    async fn once(&self, path: &str) -> Result<Reply, GeoError> {
        let io = self.connect().await?;
        let (mut sender, mut connection) = http1::Builder::new()
            .max_buf_size(HEAD_BYTES_MAX)
            .max_headers(HEADERS_MAX)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|e| self.broken(&e))?;
        let request = self.request(path)?;
        let exchange = async {
            let response = sender.send_request(request).await.map_err(|e| self.broken(&e))?;
            self.read(response).await
        };
        tokio::pin!(exchange);
        // The connection does the work; when it ends first, the answer (or why there is none) has been handed over.
        tokio::select! {
            reply = &mut exchange => reply,
            _ = &mut connection => exchange.await,
        }
    }

    fn request(&self, path: &str) -> Result<Request<Empty<Bytes>>, GeoError> {
        let mut request = Request::get(format!("{}{path}", self.url.base_path()))
            .header(HOST, self.url.authority())
            .header(ACCEPT, "application/json")
            .header(USER_AGENT, concat!("edge-lb/", env!("CARGO_PKG_VERSION")))
            .header(CONNECTION, "close")
            .body(Empty::new())
            .map_err(|e| self.malformed(format!("no request can be made for it: {e}")))?;
        if let Some(bearer) = &self.bearer {
            request.headers_mut().insert(AUTHORIZATION, bearer.clone());
        }
        Ok(request)
    }

    async fn read(&self, response: Response<Incoming>) -> Result<Reply, GeoError> {
        let status = response.status();
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Err(self.rest(response.headers().get(RETRY_AFTER)));
        }
        let (mut body, mut bytes) = (response.into_body(), BytesMut::new());
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|e| self.broken(&e))?;
            let Some(data) = frame.data_ref() else { continue };
            if bytes.len() + data.len() > BODY_BYTES_MAX {
                return Err(self.malformed("its body has more than 64 KiB"));
            }
            bytes.extend_from_slice(data);
        }
        if status.is_success() || status.is_client_error() {
            return Ok(Reply { status, body: bytes.freeze() });
        }
        Err(self.status(status, &bytes))
    }

    /// An answer that is no success.
    pub(super) fn status(&self, status: StatusCode, body: &[u8]) -> GeoError {
        let text = String::from_utf8_lossy(body);
        let text = text.trim().chars().filter(|c| !c.is_control()).take(200).collect();
        GeoError::Status { provider: self.name, status: status.as_u16(), text }
    }

    /// Takes note of "too many requests".
    pub(super) fn rest(&self, retry_after: Option<&HeaderValue>) -> GeoError {
        // A date is allowed as well; the seconds are what providers send.
        let seconds = retry_after.and_then(|value| value.to_str().ok()?.trim().parse().ok());
        let again_in = seconds.map_or(REST, Duration::from_secs).clamp(Duration::from_secs(1), REST_MAX);
        let until = Instant::now() + again_in;
        *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) = Some(until);
        GeoError::RateLimited { provider: self.name, again_in }
    }

    /// An error while it is to be left alone.
    fn rests(&self) -> Result<(), GeoError> {
        let until = *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner);
        match until.map(|until| until.saturating_duration_since(Instant::now())) {
            Some(again_in) if !again_in.is_zero() => {
                Err(GeoError::RateLimited { provider: self.name, again_in })
            }
            _ => Ok(()),
        }
    }

    /// Where it is, for a fingerprint.
    pub(super) fn url(&self) -> String {
        self.url.to_string()
    }

    async fn connect(&self) -> Result<Box<dyn Io>, GeoError> {
        let plain = match &self.host {
            Host::Ip(ip) => self.first_of([SocketAddr::new(*ip, self.port)].into_iter()).await?,
            Host::Name(name) => {
                let found = tokio::net::lookup_host((&**name, self.port)).await;
                self.first_of(found.map_err(|e| self.unreachable(&e))?).await?
            }
        };
        match &self.tls {
            None => Ok(Box::new(plain)),
            Some((connector, server)) => {
                let tls = connector.connect(server.clone(), plain).await;
                Ok(Box::new(tls.map_err(|e| self.unreachable(&e))?))
            }
        }
    }

    async fn first_of(&self, addresses: impl Iterator<Item = SocketAddr>) -> Result<TcpStream, GeoError> {
        let mut error = self.unreachable(&std::io::Error::other("it has no address"));
        for address in addresses.take(ADDRESSES_MAX) {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(e) => error = self.unreachable(&e),
            }
        }
        Err(error)
    }

    fn unreachable(&self, error: &dyn Error) -> GeoError {
        GeoError::Connect { provider: self.name, address: self.url.authority(), error: with_causes(error) }
    }

    /// The exchange broke off, or was no HTTP.
    fn broken(&self, error: &dyn Error) -> GeoError {
        self.malformed(with_causes(error))
    }
}

/// rustls with aws-lc-rs, its provider passed by hand, so that nothing is installed for the whole process.
fn tls_config(roots: RootCertStore) -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("the provider has TLS 1.2 and 1.3")
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
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
