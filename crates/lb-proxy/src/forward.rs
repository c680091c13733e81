//! The walk of one request: check it, lease a backend, exchange, try another where that is safe, hand the response on.
//!
//! A request is sent again only when nothing of it was written yet, or when it is idempotent and has no body; never
//! after a response has begun; to a backend that it has not failed on while one is usable. A pooled connection that turns out to
//! be closed is nobody's failure: the request goes out once more, on a new connection to the same backend.

use crate::body::{Progress, ProxyBody, ReqBody, Streaming};
use crate::engine::{self, Connection, ExchangeError, Received, RequestBody, ResponseBody};
use crate::error::{ProxyError, Side};
use crate::headers::{self, Forwarding, Seen};
use crate::request::{self, Headers};
use crate::settings::ProxySettings;
use crate::stats::{Counters, ProxyStats};
use crate::timer::{Phase, Timer, Watch};
use crate::upstream::connect::connect;
use crate::upstream::pool::IdlePool;
use http::{HeaderValue, Request, Response, StatusCode, header};
use lb_balancer::{LoadBalancer, SelectOptions};
use lb_core::{BackendState, Lease, PickContext};
use lb_types::{Clock, FailureKind, Nanos, Outcome};
use std::future::{Future, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

/// How long a body is held back for a backend's 100 (Continue), before it is sent anyway: some never say it (RFC 9110 §10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// Put this into a request's extensions to say where it came from, when the proxy runs as a service in a server of your own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientAddr(pub SocketAddr);

/// The reverse proxy, for one worker or one service: a cheap handle, to clone at will.
///
/// `B` is the body type of the requests. With feature `tower` it is a `tower_service::Service`.
pub struct Proxy<B: RequestBody> {
    worker: Arc<Worker<B>>,
}

impl<B: RequestBody> Clone for Proxy<B> {
    fn clone(&self) -> Self {
        Self { worker: self.worker.clone() }
    }
}

impl<B: RequestBody> std::fmt::Debug for Proxy<B> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxy").field("settings", &self.worker.settings).finish_non_exhaustive()
    }
}

/// What all requests of a worker share.
pub(crate) struct Worker<B: RequestBody> {
    pub(crate) balancer: LoadBalancer,
    pub(crate) settings: ProxySettings,
    pub(crate) idle: IdlePool<B>,
    pub(crate) timer: Arc<Timer>,
    pub(crate) counters: Arc<Counters>,
    stats: Arc<ProxyStats>,
}

/// What is known of the client's connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    pub(crate) ip: Option<IpAddr>,
    pub(crate) forwarding: Forwarding,
    pub(crate) body_timeout: Duration,
    pub(crate) idle_timeout: Duration,
}

impl Client {
    pub(crate) fn new(ip: Option<IpAddr>, body_timeout: Duration, idle_timeout: Duration) -> Self {
        Self { ip, forwarding: Forwarding::new(ip), body_timeout, idle_timeout }
    }
}

/// The pool's clock, for the timer.
struct PoolClock(lb_core::Pool);

impl Clock for PoolClock {
    fn now(&self) -> Nanos {
        self.0.now()
    }
}

impl<B: RequestBody> Proxy<B> {
    /// A proxy to the balancer's backends.
    pub fn new(balancer: LoadBalancer, settings: ProxySettings) -> Self {
        Self::with_stats(balancer, settings, Arc::default())
    }

    pub(crate) fn with_stats(
        balancer: LoadBalancer,
        settings: ProxySettings,
        stats: Arc<ProxyStats>,
    ) -> Self {
        let worker = Worker {
            idle: IdlePool::new(settings.max_idle_per_backend, settings.max_idle_time),
            timer: Timer::new(Arc::new(PoolClock(balancer.pool().clone()))),
            counters: stats.register(),
            balancer,
            settings,
            stats,
        };
        Self { worker: Arc::new(worker) }
    }

    /// The counters.
    pub fn stats(&self) -> Arc<ProxyStats> {
        self.worker.stats.clone()
    }

    pub(crate) fn worker(&self) -> &Arc<Worker<B>> {
        &self.worker
    }
}

impl<B: RequestBody> Proxy<B> {
    /// Answers a request: always with a response, be it one of the proxy's own.
    pub(crate) async fn handle(
        &self,
        request: Request<B>,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Response<ProxyBody<B>> {
        let counters = &self.worker.counters;
        Counters::count(&counters.requests);
        watch.set_active(true);
        let seen = Seen::of(request.headers());
        let response = match self.forward(request, &seen, client, watch).await {
            Ok(response) => response,
            Err(error) => {
                watch.rest(watch.now(), client.idle_timeout);
                counters.failure(error);
                tracing::debug!(%error, "request failed");
                let (parts, body) = error.response(seen.json);
                Response::from_parts(parts, ProxyBody::own(body))
            }
        };
        counters.response(response.status());
        response
    }

    async fn forward(
        &self,
        request: Request<B>,
        seen: &Seen,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Result<Response<ProxyBody<B>>, ProxyError> {
        let w = &*self.worker;
        let (mut parts, body) = request.into_parts();
        request::check(&parts, seen)?;
        let mut cx = {
            let headers = Headers(&parts.headers);
            w.balancer.context(&request::info(&parts, &headers, client.ip), &SelectOptions::default())
        };
        if let Some(total) = w.settings.total_timeout {
            watch.set_cap(Some(cx.now + total.into()));
        }
        headers::to_backend(&mut parts.headers, seen, parts.version, &client.forwarding);
        // RFC 9112 §2.3: the version is each hop's own.
        parts.version = http::Version::HTTP_11;
        let (body, progress) = self.request_body(body, client, watch);
        let mut request = Request::from_parts(parts, body);
        if let Some(progress) = progress.as_ref().filter(|_| seen.expects_continue) {
            hold_for_continue(&mut request, progress);
        }
        let replayable = progress.is_none() && request.method().is_idempotent();
        // Taken when it is sent, put back where sending it again is safe.
        let mut request = Some(request);
        let mut failure = None;
        let mut attempt = 0;
        loop {
            let lease = match w.balancer.pool().acquire(&mut cx) {
                Ok(lease) => lease,
                Err(e) => return Err(failure.unwrap_or(ProxyError::NoBackend(e))),
            };
            let tried =
                self.attempt(lease.backend(), &mut request, replayable, progress.as_ref(), cx.now, watch);
            let error = match tried.await {
                Ok(mut response) => {
                    w.hear_head(response.headers_mut(), lease.backend(), watch);
                    return Ok(self.hand_on(response, lease, progress, client, watch));
                }
                Err(error) => error,
            };
            let now = watch.now();
            conclude(lease, error, now, &mut cx);
            if request.is_none() || attempt == w.settings.max_retries || watch.is_over(now) {
                return Err(error);
            }
            Counters::count(&w.counters.retries);
            attempt += 1;
            failure = Some(error);
            cx.now = now;
        }
    }

    fn request_body(
        &self,
        body: B,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> (ReqBody<B>, Option<Arc<Progress>>) {
        if body.is_end_stream() {
            return (ReqBody::Empty, None);
        }
        let progress = Arc::new(Progress::default());
        let first_byte = self.worker.settings.first_byte_timeout;
        let stream = ReqBody::stream(body, progress.clone(), watch.clone(), client.body_timeout, first_byte);
        (stream, Some(progress))
    }

    /// One backend: an exchange on a pooled connection or a new one. On an error the request is there again if it may be sent
    /// again.
    async fn attempt(
        &self,
        backend: &BackendState,
        request: &mut Option<Request<ReqBody<B>>>,
        replayable: bool,
        progress: Option<&Arc<Progress>>,
        mut now: Nanos,
        watch: &Arc<Watch>,
    ) -> Result<Response<ResponseBody<B>>, ProxyError> {
        let w = &*self.worker;
        if let Some(r) = request {
            self.address(r, backend);
        }
        let mut pooled = w.idle.take(backend, now);
        loop {
            let reused = pooled.is_some();
            if reused && !replayable {
                // This request gets no second chance: let the runtime see what has happened to the connection meanwhile.
                tokio::task::yield_now().await;
            }
            let mut connection = match pooled.take() {
                Some(connection) => {
                    Counters::count(&w.counters.upstream_reused);
                    connection
                }
                None => {
                    let connection = self.connect(backend, watch).await?;
                    now = watch.now();
                    connection
                }
            };
            // hyper gives back only what it had not begun to write.
            let copy = request.as_ref().filter(|_| replayable).map(copy_of);
            watch.arm(Phase::FirstByte, now, w.settings.first_byte_timeout);
            let error = match self.exchange(&mut connection, request, progress, watch).await {
                // A 101 was never asked for: `Upgrade` does not pass.
                Ok(response)
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS
                        || headers::has_two_lengths(response.headers()) =>
                {
                    ProxyError::BadResponse
                }
                Ok(response) => return Ok(ResponseBody::keeping(response, connection)),
                Err(error) => error,
            };
            if request.is_none() {
                *request = copy;
            }
            if !(reused && error == ProxyError::Reset && request.is_some()) {
                return Err(error);
            }
            Counters::count(&w.counters.stale_connections);
            now = watch.now();
        }
    }

    /// Where the request goes: base path and `Host`, as this backend wants them.
    fn address(&self, request: &mut Request<ReqBody<B>>, backend: &BackendState) {
        let url = backend.url();
        let target = request::target(request.uri(), url.base_path());
        *request.uri_mut() = target;
        if (!self.worker.settings.preserve_host || !request.headers().contains_key(header::HOST))
            && let Ok(host) = HeaderValue::try_from(url.authority())
        {
            request.headers_mut().insert(header::HOST, host);
        }
    }

    async fn connect(&self, backend: &BackendState, watch: &Arc<Watch>) -> Result<Connection<B>, ProxyError> {
        let w = &*self.worker;
        Counters::count(&w.counters.upstream_connects);
        let made = async {
            let socket = connect(backend.url()).await?;
            Connection::open(socket).await.map_err(std::io::Error::other)
        };
        watch.arm(Phase::Connect, watch.now(), w.settings.connect_timeout);
        let error = match watch.within(made).await {
            Some(Ok(connection)) => return Ok(connection),
            Some(Err(error)) => {
                tracing::debug!(backend = %backend.id(), %error, "no connection");
                ProxyError::Connect
            }
            None => ProxyError::ConnectTimeout,
        };
        Counters::count(&w.counters.upstream_connect_errors);
        Err(error)
    }

    /// Sends the request and waits for the response's head, as long as the watch allows.
    async fn exchange(
        &self,
        connection: &mut Connection<B>,
        request: &mut Option<Request<ReqBody<B>>>,
        progress: Option<&Arc<Progress>>,
        watch: &Arc<Watch>,
    ) -> Result<Response<Received>, ProxyError> {
        let mut exchange = pin!(connection.exchange(request));
        let mut held =
            progress.filter(|p| p.is_held()).map(|p| (p, Box::pin(tokio::time::sleep(CONTINUE_WAIT))));
        poll_fn(|cx| {
            if let Poll::Ready(done) = exchange.as_mut().poll(cx) {
                return Poll::Ready(done.map_err(|e| blame(e, progress)));
            }
            if let Some((p, wait)) = &mut held
                && wait.as_mut().poll(cx).is_ready()
            {
                p.release();
                held = None;
            }
            watch.register_request(cx.waker());
            if !watch.is_due() {
                return Poll::Pending;
            }
            Poll::Ready(Err(match watch.phase() {
                Phase::ClientBody => ProxyError::ClientTimeout,
                _ => ProxyError::Timeout,
            }))
        })
        .await
    }

    /// The backend's response becomes the client's.
    fn hand_on(
        &self,
        response: Response<ResponseBody<B>>,
        lease: Lease,
        progress: Option<Arc<Progress>>,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Response<ProxyBody<B>> {
        let (mut parts, body) = response.into_parts();
        headers::to_client(&mut parts.headers);
        parts.version = http::Version::HTTP_11;
        let head_at = watch.now();
        let ttfb = head_at - lease.started();
        let verdict = if parts.status.is_server_error() {
            Outcome::Failure { kind: FailureKind::Status(parts.status.as_u16()), after: ttfb }
        } else {
            Outcome::Success { ttfb }
        };
        let streaming = Streaming {
            body,
            lease: Some(lease),
            verdict,
            worker: self.worker.clone(),
            watch: watch.clone(),
            progress,
            head_at,
            waited: false,
            armed: false,
            client_idle_timeout: client.idle_timeout,
        };
        Response::from_parts(parts, ProxyBody::stream(streaming))
    }
}

/// Ends the lease of an attempt that gave no response.
fn conclude(lease: Lease, error: ProxyError, now: Nanos, cx: &mut PickContext<'_>) {
    if error.side() == Side::Client {
        drop(lease); // not the backend's failure
        return;
    }
    cx.tried(lease.backend());
    let kind = match error {
        ProxyError::Connect | ProxyError::ConnectTimeout => FailureKind::Connect,
        ProxyError::Timeout => FailureKind::Timeout,
        ProxyError::BadResponse => FailureKind::Protocol,
        _ => FailureKind::Reset,
    };
    let after = now - lease.started();
    lease.complete(Outcome::Failure { kind, after });
}

/// Whose fault it was that an exchange failed.
fn blame(e: ExchangeError, progress: Option<&Arc<Progress>>) -> ProxyError {
    match e {
        _ if progress.is_some_and(|p| p.failed.load(Relaxed)) => ProxyError::ClientBody,
        ExchangeError::Malformed => ProxyError::BadResponse,
        ExchangeError::RequestBody => ProxyError::ClientBody,
        ExchangeError::Closed => ProxyError::Reset,
    }
}

/// The head of a request without a body, to send once more.
fn copy_of<B>(request: &Request<ReqBody<B>>) -> Request<ReqBody<B>> {
    let mut copy = Request::new(ReqBody::Empty);
    copy.method_mut().clone_from(request.method());
    copy.uri_mut().clone_from(request.uri());
    copy.headers_mut().clone_from(request.headers());
    copy
}

/// A client that expects a 100 sends its body only when the backend has agreed to take it: hyper answers the client the moment
/// its body is asked for, so it is not asked for before.
fn hold_for_continue<B>(request: &mut Request<ReqBody<B>>, progress: &Arc<Progress>) {
    progress.hold();
    let progress = progress.clone();
    engine::on_continue(request, move || progress.release());
}
