//! [`LoadBalanceLayer`]: what is set up once.

use super::balance::LoadBalance;
use super::chosen::ChosenBackend;
use crate::door::queue_response;
use crate::error::ProxyError;
use crate::fallback::Fallback;
use crate::headers::{self, Seen, X_BACKEND_SERVER, X_LOAD_BALANCED};
use crate::proxy::ClientAddr;
use crate::request::{self, Headers};
use bytes::Bytes;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Response};
use lb_balancer::{AdmissionError, LoadBalancer, Priority, SelectOptions, Selection};
use lb_types::FixedResponse;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

type Closure<A, R> = Arc<dyn Fn(&A) -> R + Send + Sync>;
type Telling = Arc<dyn Fn(&ChosenBackend, &mut HeaderMap) + Send + Sync>;

/// Middleware that chooses a backend for each request and lets the service inside do the rest.
///
/// - The request's extensions get a [`ChosenBackend`].
/// - The response gets `X-Backend-Server` (its id), `X-Load-Balanced: true`, and the session's cookie where one is due.
/// - The request counts as in flight until the response's last byte or trailer. Then its lease ends: as a success with the time to the head; as a
///   failure if the status is 5xx, the inner service or its body failed, or the response's extensions say so by a
///   [`FailureKind`](lb_types::FailureKind). Dropped before, it is cancelled.
/// - A request that finds no backend waits as [`LoadBalancer::queue_request`] does (in the pool's queue, else up to its `selection_timeout`), and is
///   answered 503 by the layer if that did not help; the service inside is not called.
/// - What [`skip_paths`](Self::skip_paths) or [`skip`](Self::skip) names passes through untouched: no backend, no headers.
///
/// The client's address is the [`ClientAddr`] in the request's extensions, or what [`client_ip`](Self::client_ip) says. The session's cookie is taken out
/// of what the inner service sees. Bodies are of any kind with [`Bytes`] as data. Works in tower, and in axum's `Router::layer`. A request that
/// has to wait needs a tokio runtime with time.
///
/// Cheap to clone; the services of all clones are one. What it lacks: it does not try again (the inner service does the exchange), and does not
/// hear load reports. For these take [`Proxy`](crate::Proxy).
///
/// ```
/// use lb_proxy::{ChosenBackend, LoadBalanceLayer};
/// # use lb_balancer::LoadBalancer;
/// # use lb_types::Backend;
/// use http::{Request, Response};
/// use tower::{Layer, ServiceExt, service_fn};
///
/// # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
/// let lb = LoadBalancer::builder().backend(Backend::new("a", "http://127.0.0.1:9001".parse()?)).build()?;
/// let service = LoadBalanceLayer::new(lb)
///     .skip_paths(["/static/", "/assets/"])
///     .layer(service_fn(|request: Request<String>| async move {
///         let backend = request.extensions().get::<ChosenBackend>().expect("the layer chose one");
///         Ok::<_, std::convert::Infallible>(Response::new(format!("to {}", backend.url())))
///     }));
/// let response = service.oneshot(Request::new(String::new())).await?;
/// assert_eq!(response.headers()["x-backend-server"], "a");
/// # Ok::<(), Box<dyn std::error::Error>>(()) })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct LoadBalanceLayer(Arc<Shared>);

/// What all requests share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) balancer: LoadBalancer,
    pub(crate) by_tls: bool,
    skips: Vec<Closure<Parts, bool>>,
    client_ip: Option<Closure<Parts, Option<IpAddr>>>,
    priority: Option<Closure<Parts, Priority>>,
    refuse: Option<Closure<AdmissionError, Response<Bytes>>>,
    /// The name of the header with the backend's id.
    server: Option<HeaderName>,
    headers: Vec<(HeaderName, HeaderValue)>,
    tell: Option<Telling>,
    cookies: Vec<Box<str>>,
    fallback: Arc<Fallback>,
    /// By the balancer's leaves.
    shed: Arc<[Option<Fallback>]>,
    queue: Arc<Fallback>,
}

impl LoadBalanceLayer {
    /// Chooses among the balancer's backends.
    pub fn new(balancer: LoadBalancer) -> Self {
        let mut cookies: Vec<Box<str>> =
            balancer.leaves().iter().filter_map(|lb| lb.session_cookie()).map(Box::from).collect();
        cookies.sort_unstable();
        cookies.dedup();
        let shed = |lb: &LoadBalancer| lb.shedder().map(|s| Fallback::new(&s.settings().shed_response));
        Self(Arc::new(Shared {
            by_tls: false,
            skips: vec![],
            client_ip: None,
            priority: None,
            refuse: None,
            server: Some(X_BACKEND_SERVER),
            headers: vec![(X_LOAD_BALANCED, HeaderValue::from_static("true"))],
            tell: None,
            cookies,
            fallback: Arc::new(Fallback::new(&lb_breaker::fallback_response())),
            shed: balancer.leaves().iter().map(shed).collect(),
            queue: Arc::new(Fallback::new(&queue_response())),
            balancer,
        }))
    }

    fn with(mut self, set: impl FnOnce(&mut Shared)) -> Self {
        set(Arc::make_mut(&mut self.0));
        self
    }

    /// Requests whose path begins with one of these pass through untouched, besides those of earlier calls. Paths are compared as they came: no
    /// `..` or `%` is resolved.
    #[must_use]
    pub fn skip_paths<P: Into<String>>(self, prefixes: impl IntoIterator<Item = P>) -> Self {
        let prefixes: Vec<String> = prefixes.into_iter().map(Into::into).collect();
        self.skip(move |parts| prefixes.iter().any(|p| parts.uri.path().starts_with(p.as_str())))
    }

    /// Requests for which this says `true` pass through untouched, besides those of earlier calls.
    #[must_use]
    pub fn skip(self, skip: impl Fn(&Parts) -> bool + Send + Sync + 'static) -> Self {
        self.with(|s| s.skips.push(Arc::new(skip)))
    }

    /// Whose request it is: for `ip-hash`, sessions, regions. Default: the [`ClientAddr`] in its extensions. With axum's `ConnectInfo`:
    /// `|parts| parts.extensions.get::<ConnectInfo<SocketAddr>>().map(|c| c.0.ip())`.
    #[must_use]
    pub fn client_ip(self, ip: impl Fn(&Parts) -> Option<IpAddr> + Send + Sync + 'static) -> Self {
        self.with(|s| s.client_ip = Some(Arc::new(ip)))
    }

    /// Who goes first in the pool's queue, and is shed last. Default: the queue's default level.
    #[must_use]
    pub fn priority(self, priority: impl Fn(&Parts) -> Priority + Send + Sync + 'static) -> Self {
        self.with(|s| s.priority = Some(Arc::new(priority)))
    }

    /// Clients come by TLS, so that the session's cookie is `Secure` where its settings do not say it themselves. Default `false`.
    #[must_use]
    pub fn over_tls(self, by_tls: bool) -> Self {
        self.with(|s| s.by_tls = by_tls)
    }

    /// The name of the response's header with the backend's id, `None`: no such header. Default `X-Backend-Server`.
    #[must_use]
    pub fn server_header(self, name: impl Into<Option<HeaderName>>) -> Self {
        self.with(|s| s.server = name.into())
    }

    /// One more header for every response of a backend, in place of one of that name. Default: `X-Load-Balanced: true`.
    #[must_use]
    pub fn response_header(self, name: HeaderName, value: HeaderValue) -> Self {
        self.with(|s| {
            s.headers.retain(|(known, _)| *known != name);
            s.headers.push((name, value));
        })
    }

    /// Adds no headers but the session's cookie; what is set after this counts.
    #[must_use]
    pub fn without_headers(self) -> Self {
        self.with(|s| {
            s.server = None;
            s.headers.clear();
            s.tell = None;
        })
    }

    /// Changes the headers of every response of a backend, after all others were set.
    #[must_use]
    pub fn on_response(self, tell: impl Fn(&ChosenBackend, &mut HeaderMap) + Send + Sync + 'static) -> Self {
        self.with(|s| s.tell = Some(Arc::new(tell)))
    }

    /// The answer while breakers stand in the way. Default: 503 with `Retry-After: 60`. Check it with [`FixedResponse::validate`].
    #[must_use]
    pub fn fallback(self, response: &FixedResponse) -> Self {
        self.with(|s| s.fallback = Arc::new(Fallback::new(response)))
    }

    /// The answer to whom the queue refused, to which an estimated `Retry-After` is added. Default: 503.
    #[must_use]
    pub fn queue_response(self, response: &FixedResponse) -> Self {
        self.with(|s| s.queue = Arc::new(Fallback::new(response)))
    }

    /// The answer to every request that got no backend, instead of all of these.
    #[must_use]
    pub fn on_refused(
        self,
        refuse: impl Fn(&AdmissionError) -> Response<Bytes> + Send + Sync + 'static,
    ) -> Self {
        self.with(|s| s.refuse = Some(Arc::new(refuse)))
    }
}

impl<S> tower_layer::Layer<S> for LoadBalanceLayer {
    type Service = LoadBalance<S>;

    fn layer(&self, inner: S) -> LoadBalance<S> {
        LoadBalance::new(inner, self.0.clone())
    }
}

impl std::fmt::Debug for LoadBalanceLayer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Shared {
    pub(crate) fn is_skipped(&self, parts: &Parts) -> bool {
        self.skips.iter().any(|skip| skip(parts))
    }

    pub(crate) fn client_ip(&self, parts: &Parts) -> Option<IpAddr> {
        match &self.client_ip {
            Some(ip) => ip(parts),
            None => parts.extensions.get::<ClientAddr>().map(|a| a.0.ip()),
        }
    }

    pub(crate) fn selection(
        &self,
        parts: &Parts,
        ip: Option<IpAddr>,
        options: &mut SelectOptions,
    ) -> Selection {
        let lb = &self.balancer;
        options.priority = match (&self.priority, lb.queue()) {
            (Some(priority), _) => priority(parts),
            (None, Some(queue)) => queue.settings().default_level(),
            (None, None) => Priority::default(),
        };
        let headers = Headers(&parts.headers);
        lb.selection(&request::info(&parts.method, &parts.uri, &headers, ip), options)
    }

    /// Takes out of the request what is not the inner service's business.
    pub(crate) fn strip(&self, parts: &mut Parts) {
        for cookie in &self.cookies {
            headers::strip_cookie(&mut parts.headers, cookie);
        }
    }

    /// Tells the client who answered.
    pub(crate) fn tell(&self, chosen: &ChosenBackend, headers: &mut HeaderMap) {
        if let Some(name) = &self.server
            && let Ok(id) = HeaderValue::from_str(chosen.id().as_str())
        {
            headers.insert(name.clone(), id);
        }
        for (name, value) in &self.headers {
            headers.insert(name.clone(), value.clone());
        }
        if let Some(tell) = &self.tell {
            tell(chosen, headers);
        }
    }

    /// What a client is told that got no backend.
    #[cold]
    pub(crate) fn refusal(&self, error: &AdmissionError, leaf: usize, parts: &Parts) -> Response<Bytes> {
        if let Some(refuse) = &self.refuse {
            return refuse(error);
        }
        let is_head = parts.method == Method::HEAD;
        let (parts, body) = match error {
            AdmissionError::Refused(_) => {
                let (mut parts, body) = self.queue.response(is_head);
                let queue = self.balancer.leaves()[leaf].queue();
                let after = queue.map_or(Duration::from_secs(1), lb_admission::queue::Queue::retry_after);
                let seconds = HeaderValue::from(after.as_secs().max(1));
                parts.headers.entry(header::RETRY_AFTER).or_insert(seconds);
                (parts, body)
            }
            AdmissionError::Select(e) if e.is_breaker_open() => self.fallback.response(is_head),
            AdmissionError::Select(e) => {
                let json = Seen::of(&parts.headers).json;
                ProxyError::NoBackend(*e).response(json)
            }
            _ => match &self.shed[leaf] {
                Some(shed) => shed.response(is_head),
                None => ProxyError::Overloaded.response(Seen::of(&parts.headers).json),
            },
        };
        Response::from_parts(parts, body)
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadBalance").field("balancer", &self.balancer).finish_non_exhaustive()
    }
}
