//! Forward authentication: another server is asked whether a request may come in, and who it is from.
//!
//! It gets a GET with the request's headers and what the request is in `X-Forwarded-Method`, `-Uri`, `-Host`, `-Proto` and `-For`: the path that the
//! routes judged, not one that the backend would not get. A 2xx lets the request in; any other answer goes to the client. No answer in time, none at
//! all, or one too large: 503. Nothing is let in because the server is away.
//!
//! Plain HTTP/1.1. Each worker keeps up to [`IDLE_MAX`] connections to it. A request on a kept connection that turns out to be closed goes out once
//! more on a new one: it is a GET. Bounds: an answer's head has [`HEAD_BYTES_MAX`] bytes and [`HEADERS_MAX`] headers, its body [`BODY_BYTES_MAX`]. It lacks
//! TLS, the request's body, and a cache of answers.

use crate::headers::{self, Seen};
use crate::proxy::Client;
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, Version};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use lb_geo::ClientAddress;
use lb_types::{Address, BackendUrl, Host, Scheme, SettingsError};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::net::TcpStream;

const IDLE_MAX: usize = 32;
const HEAD_BYTES_MAX: usize = 64 * 1024;
const HEADERS_MAX: usize = 100;
const BODY_BYTES_MAX: usize = 64 * 1024;

const X_FORWARDED_METHOD: HeaderName = HeaderName::from_static("x-forwarded-method");
const X_FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");
/// What says of the request what it is. All of it is the proxy's own word.
const ABOUT: [HeaderName; 6] = [
    X_FORWARDED_METHOD,
    X_FORWARDED_URI,
    headers::X_FORWARDED_FOR,
    headers::X_FORWARDED_HOST,
    headers::X_FORWARDED_PROTO,
    HeaderName::from_static("x-real-ip"),
];
/// Of the request's own exchange: its body does not come along, and the answer is about something else than what it asks for.
const NOT_ASKED: [HeaderName; 9] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::EXPECT,
    header::TE,
    header::RANGE,
    header::IF_RANGE,
    header::IF_MATCH,
    header::IF_NONE_MATCH,
    header::IF_MODIFIED_SINCE,
];

/// Whom to ask, and what to tell whom.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ForwardAuthSettings {
    /// `http://127.0.0.1:9091/verify`, without a query.
    pub url: String,
    /// How long the answer may take, from connecting to its end; default 5 s.
    pub timeout: Duration,
    /// The request's headers that the server gets, beside what says what the request is; default all but those of its body.
    pub request_headers: Option<Vec<HeaderName>>,
    /// Headers of a 2xx answer that the backend gets. The client's own of these names are removed, whatever the answer.
    pub response_headers: Vec<HeaderName>,
}

impl ForwardAuthSettings {
    /// This server, with the defaults.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            timeout: Duration::from_secs(5),
            request_headers: None,
            response_headers: vec![],
        }
    }
}

/// A server that is asked, for all workers.
#[derive(Debug)]
pub struct ForwardAuth {
    authority: HeaderValue,
    path: String,
    host: String,
    port: u16,
    timeout: Duration,
    request_headers: Option<Box<[HeaderName]>>,
    pub(crate) response_headers: Box<[HeaderName]>,
}

impl ForwardAuth {
    /// Prepares the settings.
    ///
    /// # Errors
    /// A URL that is none, has a query, or is of another scheme than `http`; a time-out of none.
    pub fn new(s: ForwardAuthSettings) -> Result<Self, SettingsError> {
        let wrong = |must: &str| SettingsError::new("url", &s.url, must);
        let parsed: BackendUrl = s
            .url
            .parse()
            .map_err(|_| wrong("must be a URL without a query, such as http://127.0.0.1:9091/verify"))?;
        if parsed.scheme() != Scheme::Http {
            return Err(wrong("must be http: TLS to it is not built yet"));
        }
        let Address::Tcp { host, port } = parsed.address() else { return Err(wrong("must name a host")) };
        if s.timeout.is_zero() {
            return Err(SettingsError::new("timeout", s.timeout, "must be longer than 0"));
        }
        let host = match host {
            Host::Ip(ip) => ip.to_string(),
            Host::Name(name) => name.to_string(),
        };
        Ok(Self {
            authority: HeaderValue::from_str(&parsed.authority()).map_err(|_| wrong("must name a host"))?,
            path: if parsed.base_path().is_empty() { "/" } else { parsed.base_path() }.to_owned(),
            host,
            port: *port,
            timeout: s.timeout,
            request_headers: s.request_headers.map(Into::into),
            response_headers: s.response_headers.into(),
        })
    }
}

/// What the server has to be told of a request.
pub(crate) struct About<'r> {
    pub(crate) method: &'r Method,
    /// Path and query, as they were judged.
    pub(crate) target: &'r str,
    pub(crate) version: Version,
    pub(crate) seen: &'r Seen,
    pub(crate) client: &'r Client,
    pub(crate) whose: Option<ClientAddress>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("no connection: {0}")]
    Connect(#[from] std::io::Error),
    #[error("{0}")]
    Exchange(#[from] hyper::Error),
    #[error("its answer broke off or is larger than {BODY_BYTES_MAX} bytes")]
    Body,
    #[error("it switched protocols")]
    Switched,
    #[error("no answer in time")]
    Timeout,
    #[error("{0}")]
    Request(#[from] http::Error),
}

/// One worker's way to the server.
pub(crate) struct Asker {
    pub(crate) server: Arc<ForwardAuth>,
    idle: Mutex<Vec<SendRequest<Empty<Bytes>>>>,
}

impl Asker {
    pub(crate) fn new(server: Arc<ForwardAuth>) -> Self {
        Self { server, idle: Mutex::default() }
    }

    /// The answer to a request with these headers; `None`: there is none, which was logged.
    pub(crate) async fn ask(&self, came: &HeaderMap, about: About<'_>) -> Option<Response<Bytes>> {
        let headers = self.server.question(came, &about);
        let answer = tokio::time::timeout(self.server.timeout, self.exchange(&headers)).await;
        answer
            .unwrap_or(Err(Failed::Timeout))
            .map_err(|error| {
                tracing::warn!(server = ?self.server.authority, %error, "forward auth: nobody is let in");
            })
            .ok()
    }

    async fn exchange(&self, headers: &HeaderMap) -> Result<Response<Bytes>, Failed> {
        if let Some(kept) = self.take() {
            match self.on(kept, headers).await {
                // It was closed meanwhile, most likely; if not, the new one tells.
                Err(Failed::Exchange(_)) => {}
                ended => return ended,
            }
        }
        let stream = TcpStream::connect((&*self.server.host, self.server.port)).await?;
        stream.set_nodelay(true)?;
        let mut builder = http1::Builder::new();
        builder.max_buf_size(HEAD_BYTES_MAX).max_headers(HEADERS_MAX);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
        // It ends with its sender.
        tokio::spawn(connection);
        self.on(sender, headers).await
    }

    fn take(&self) -> Option<SendRequest<Empty<Bytes>>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(sender) = idle.pop() {
            if sender.is_ready() {
                return Some(sender);
            }
        }
        None
    }

    async fn on(
        &self,
        mut sender: SendRequest<Empty<Bytes>>,
        headers: &HeaderMap,
    ) -> Result<Response<Bytes>, Failed> {
        sender.ready().await?;
        let mut request = Request::get(&self.server.path).body(Empty::new())?;
        request.headers_mut().clone_from(headers);
        let (parts, body) = sender.send_request(request).await?.into_parts();
        if parts.status.is_informational() {
            return Err(Failed::Switched);
        }
        let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(whole) => {
                let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
                if idle.len() < IDLE_MAX && !sender.is_closed() {
                    idle.push(sender);
                }
                whole.to_bytes()
            }
            // It has said yes; nobody reads the rest.
            Err(_) if parts.status.is_success() => Bytes::new(),
            Err(_) => return Err(Failed::Body),
        };
        Ok(Response::from_parts(parts, body))
    }
}

impl ForwardAuth {
    /// The headers of the question.
    fn question(&self, came: &HeaderMap, about: &About<'_>) -> HeaderMap {
        let mut all = came.clone();
        // What a client says of itself under another spelling is nobody's word.
        super::remove_alike(&mut all, &ABOUT[..2]);
        headers::to_backend(&mut all, about.seen, about.version, about.client, about.whose);
        for name in &NOT_ASKED {
            all.remove(name);
        }
        let mut asked = match &self.request_headers {
            None => all,
            Some(names) => {
                let mut asked = HeaderMap::new();
                for name in names.iter().chain(&ABOUT[2..]) {
                    if !asked.contains_key(name) {
                        all.get_all(name).iter().for_each(|value| {
                            asked.append(name, value.clone());
                        });
                    }
                }
                asked
            }
        };
        if let Ok(method) = HeaderValue::from_str(about.method.as_str()) {
            asked.insert(X_FORWARDED_METHOD, method);
        }
        if let Ok(target) = HeaderValue::from_str(about.target) {
            asked.insert(X_FORWARDED_URI, target);
        }
        asked.insert(header::HOST, self.authority.clone());
        asked
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy::ClientLimits;

    fn question(s: ForwardAuthSettings, came: &[(&'static str, &'static str)]) -> HeaderMap {
        let came: HeaderMap =
            came.iter().map(|&(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect();
        let limits = ClientLimits::timeouts(Duration::ZERO, Duration::ZERO);
        let client = Client::new("192.0.2.7".parse().ok(), None, limits.into());
        let about = About {
            method: &Method::POST,
            target: "/a?b",
            version: Version::HTTP_11,
            seen: &Seen::of(&came),
            client: &client,
            whose: client.address(&came),
        };
        ForwardAuth::new(s).unwrap().question(&came, &about)
    }

    #[test]
    fn the_server_is_told_what_the_request_is_whatever_the_client_says() {
        let came = [
            ("host", "app.example"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("content-length", "7"),
            ("if-none-match", "\"x\""),
            ("connection", "x-forwarded-method"),
            ("x-forwarded-method", "GET"),
            ("x_forwarded_uri", "/public"),
            ("x-forwarded-uri", "/public"),
            ("x-forwarded-for", "10.0.0.1"),
        ];
        let all = question(ForwardAuthSettings::new("http://127.0.0.1:9091/verify"), &came);
        for (name, value) in [
            ("host", "127.0.0.1:9091"),
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("x-forwarded-method", "POST"),
            ("x-forwarded-uri", "/a?b"),
            ("x-forwarded-host", "app.example"),
            ("x-forwarded-for", "192.0.2.7"),
            ("x-forwarded-proto", "http"),
        ] {
            assert_eq!(all.get_all(name).iter().collect::<Vec<_>>(), [value], "{name}");
        }
        for name in ["content-length", "if-none-match", "connection", "x_forwarded_uri"] {
            assert!(!all.contains_key(name), "{name}");
        }
        let mut some = ForwardAuthSettings::new("http://127.0.0.1:9091");
        some.request_headers = Some(vec![header::COOKIE, header::COOKIE]);
        let some = question(some, &came);
        assert_eq!((some.get_all("cookie").iter().count(), some.contains_key("authorization")), (1, false));
        assert_eq!(
            (&some["x-forwarded-uri"], &some["x-real-ip"]),
            (&"/a?b".parse().unwrap(), &"192.0.2.7".parse().unwrap())
        );
    }

    #[test]
    fn whom_to_ask_must_be_clear() {
        for url in ["https://a.example/", "unix:/run/a.sock", "nonsense:", "http://a.example/?x"] {
            assert_eq!(ForwardAuth::new(ForwardAuthSettings::new(url)).unwrap_err().field, "url", "{url}");
        }
        let none =
            ForwardAuthSettings { timeout: Duration::ZERO, ..ForwardAuthSettings::new("http://a.example") };
        assert_eq!(ForwardAuth::new(none).unwrap_err().field, "timeout");
    }
}
