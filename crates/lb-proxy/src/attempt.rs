//! One try: an exchange on a pooled connection to the backend, or on a new one.

use crate::engine::{Connection, ExchangeError, Received, RequestBody, ResponseBody};
use crate::error::ProxyError;
use crate::forward::Ended;
use crate::headers;
use crate::outgoing::Outgoing;
use crate::retry::RetryPolicy;
use crate::service::Service;
use crate::stats::Counters;
use crate::timer::{Phase, Watch};
use crate::upload::Progress;
use crate::upstream::Upstream;
use http::{Response, StatusCode};
use lb_core::BackendState;
use lb_types::Nanos;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::Poll;
use std::time::Duration;

/// How long a body is held back for a backend's 100 (Continue), before it is sent anyway: some never say it (RFC 9110 §10.1.1).
const CONTINUE_WAIT: Duration = Duration::from_secs(1);

/// When one try must have given a head; `None`: when the time-outs say.
#[derive(Clone, Copy)]
struct TryEnd(Option<Nanos>);

impl TryEnd {
    /// What is left of `limit` at `now`.
    #[inline]
    fn within(self, limit: Duration, now: Nanos) -> Duration {
        self.0.map_or(limit, |end| limit.min((end - now).as_duration()))
    }
}

impl<B: RequestBody> Service<B> {
    /// One backend. On an error the request is there again if it may be sent again.
    pub(crate) async fn attempt(
        &self,
        upstream: &Upstream<B>,
        backend: &BackendState,
        outgoing: &mut Outgoing<B>,
        policy: &RetryPolicy,
        mut now: Nanos,
        watch: &Arc<Watch>,
    ) -> Ended<B> {
        let end = TryEnd(policy.settings().per_try_timeout.map(|t| now + t.into()));
        outgoing.address(backend, upstream.settings.preserve_host);
        if !upstream.settings.pooling.keep_alive {
            outgoing.say_close();
        }
        let mut pooled = upstream.idle.take(backend, now);
        loop {
            let reused = pooled.is_some();
            if reused && !outgoing.is_repeatable() {
                // This request gets no second chance: let the runtime see what has happened to the connection meanwhile.
                tokio::task::yield_now().await;
            }
            let mut connection = match pooled.take() {
                Some(connection) => {
                    Counters::count(&self.counters.upstream_reused);
                    connection
                }
                None => {
                    let within =
                        outgoing.times().and_then(|t| t.connect).unwrap_or(upstream.settings.connect_timeout);
                    let connection = self.connect(upstream, backend, (end, within), watch).await?;
                    now = watch.now();
                    connection
                }
            };
            // hyper gives back only what it had not begun to write.
            let spare = outgoing.spare();
            let within =
                outgoing.times().and_then(|t| t.first_byte).unwrap_or(upstream.settings.first_byte_timeout);
            watch.arm(Phase::FirstByte, now, end.within(within, now));
            let error = match self.exchange(&mut connection, outgoing, watch).await {
                // A 101 was never asked for: `Upgrade` does not pass.
                Ok(response)
                    if response.status() == StatusCode::SWITCHING_PROTOCOLS
                        || headers::has_two_lengths(response.headers()) =>
                {
                    ProxyError::BadResponse
                }
                Ok(response) => {
                    if policy.settings().retry_on.has_status(response.status()) {
                        outgoing.keep(spare);
                    }
                    return Ok(ResponseBody::keeping(
                        response,
                        connection,
                        upstream.settings.pooling.reuses(),
                    ));
                }
                Err(error) => error,
            };
            drop(connection);
            outgoing.renew(spare);
            if !(reused && error == ProxyError::Reset && outgoing.request.is_some()) {
                return Err(error);
            }
            Counters::count(&self.counters.stale_connections);
            now = watch.now();
        }
    }

    async fn connect(
        &self,
        upstream: &Upstream<B>,
        backend: &BackendState,
        (end, within): (TryEnd, Duration),
        watch: &Arc<Watch>,
    ) -> Result<Connection<B>, ProxyError> {
        Counters::count(&self.counters.upstream_connects);
        let now = watch.now();
        let made = async {
            let place = upstream.shared.place(backend).await;
            upstream.open(backend, place, now).await
        };
        watch.arm(Phase::Connect, now, end.within(within, now));
        let error = match watch.within(made).await {
            Some(Ok(connection)) => return Ok(connection),
            Some(Err(error)) => {
                tracing::debug!(backend = %backend.id(), %error, "no connection");
                ProxyError::Connect
            }
            None => ProxyError::ConnectTimeout,
        };
        Counters::count(&self.counters.upstream_connect_errors);
        Err(error)
    }

    /// Sends the request and waits for the response's head, as long as the watch allows.
    async fn exchange(
        &self,
        connection: &mut Connection<B>,
        outgoing: &mut Outgoing<B>,
        watch: &Arc<Watch>,
    ) -> Result<Response<Received>, ProxyError> {
        let Outgoing { request, progress, .. } = outgoing;
        let progress = progress.as_ref();
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
            if progress.is_some_and(|p| p.is_too_large()) {
                return Poll::Ready(Err(ProxyError::BodyTooLarge));
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
}

/// Whose fault it was that an exchange failed.
fn blame<B>(e: ExchangeError, progress: Option<&Arc<Progress<B>>>) -> ProxyError {
    match e {
        _ if progress.is_some_and(|p| p.failed.load(Relaxed)) => ProxyError::ClientBody,
        ExchangeError::Malformed => ProxyError::BadResponse,
        ExchangeError::RequestBody => ProxyError::ClientBody,
        ExchangeError::Closed => ProxyError::Reset,
    }
}
