//! The walk of one request: check it, lease a backend, exchange, try another where that is safe, hand the response on.
//!
//! A request is sent again only when nothing of it was written yet, or when it is idempotent; never after its response was
//! handed on; to a backend that it has not failed on while one is usable. Whether and when follows from `retry`. A pooled
//! connection that turns out to be closed is nobody's failure: the request goes out once more, on a new connection to the same
//! backend, and that counts as no retry.

use crate::body::{ProxyBody, Streaming};
use crate::engine::{RequestBody, ResponseBody};
use crate::error::{ProxyError, Side};
use crate::headers::{self, Seen};
use crate::outgoing::Outgoing;
use crate::proxy::{Client, Proxy};
use crate::request::{self, Headers};
use crate::retry::after::retry_after;
use crate::retry::tries::{Situation, Tries, Verdict};
use crate::retry::{Failure, RetryPolicy};
use crate::stats::Counters;
use crate::timer::{Phase, Watch};
use crate::upload::{Limits, Progress, ReqBody};
use http::{Request, Response};
use lb_balancer::SelectOptions;
use lb_breaker::Retry;
use lb_core::{Lease, PickContext};
use lb_types::{Exclusion, FailureKind, Nanos, Outcome};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How much of a response that is not handed on is read to keep its connection; beyond it, closing is cheaper.
const DISCARD_MAX: u64 = 16 * 1024;

/// What a try came to: a response's head, or why there is none.
pub(crate) type Ended<B> = Result<Response<ResponseBody<B>>, ProxyError>;

/// One request on its way, over all its tries.
pub(crate) struct Journey<'a, B: RequestBody> {
    pub(crate) watch: &'a Arc<Watch>,
    pub(crate) policy: &'a RetryPolicy,
    pub(crate) cx: PickContext<'static>,
    pub(crate) outgoing: Outgoing<B>,
    tries: Tries,
    /// The backends that it failed on, by `uid`.
    pub(crate) tried: Vec<u64>,
    /// Why the last try gave no response.
    failure: Option<ProxyError>,
}

impl<B: RequestBody> Journey<'_, B> {
    /// Has it been tried only once, or not yet?
    #[inline]
    pub(crate) fn is_first(&self) -> bool {
        self.tries.is_first()
    }
}

/// What comes after a try.
enum Next<'p, B: RequestBody> {
    /// Another, as soon as a backend lets it in.
    Again(Option<Retry<'p>>),
    /// The client gets this.
    Over(Result<(Response<ResponseBody<B>>, Lease), ProxyError>),
}

impl<B: RequestBody> Proxy<B> {
    pub(crate) async fn forward(
        &self,
        request: Request<B>,
        seen: &Seen,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Result<Response<ProxyBody<B>>, ProxyError> {
        let w = &**self.worker();
        let (mut parts, body) = request.into_parts();
        request::check(&parts, seen)?;
        let cx = {
            let headers = Headers(&parts.headers);
            w.balancer.context(&request::info(&parts, &headers, client.ip), &SelectOptions::default())
        };
        if let Some(total) = w.settings.total_timeout {
            watch.set_cap(Some(cx.now + total.into()));
        }
        headers::to_backend(&mut parts.headers, seen, parts.version, &client.forwarding);
        // RFC 9112 §2.3: the version is each hop's own.
        parts.version = http::Version::HTTP_11;
        // Looked up once: what the request began with holds for all its tries.
        let policy = &*w.settings.retry;
        let (body, progress) = self.request_body(body, parts.method.is_idempotent(), client, policy, watch);
        let outgoing = Outgoing::new(Request::from_parts(parts, body), progress, seen.expects_continue);
        let mut j = Journey {
            watch,
            policy,
            cx,
            outgoing,
            tries: Tries::default(),
            tried: Vec::new(),
            failure: None,
        };
        let mut granted: Option<Retry<'_>> = None;
        let (response, lease) = loop {
            let lease = match w.balancer.pool().acquire(&mut j.cx) {
                Ok(lease) => lease,
                Err(e) => return Err(j.failure.unwrap_or(ProxyError::NoBackend(e))),
            };
            if j.is_first() {
                policy.budget().request(j.cx.now);
            } else if let Some(retry) = granted.take() {
                retry.made();
            }
            let (lease, mut ended) = match self.hedge_after(&j) {
                None => {
                    let tried = self.attempt(lease.backend(), &mut j.outgoing, policy, j.cx.now, watch);
                    let ended = tried.await;
                    (lease, ended)
                }
                // Boxed, as what comes after failures: it would make every request's own state larger.
                Some(delay) => Box::pin(self.hedged(&mut j, lease, delay)).await,
            };
            if let Ok(response) = &mut ended {
                w.hear_head(response.headers_mut(), lease.backend(), watch);
            }
            let ended = match ended {
                Ok(response) if !policy.settings().retry_on.has_status(response.status()) => {
                    break (response, lease);
                }
                ended => ended,
            };
            match Box::pin(self.after_failure(&mut j, lease, ended)).await {
                Next::Again(retry) => granted = retry,
                Next::Over(end) => break end?,
            }
        };
        let progress = j.outgoing.settle();
        Ok(self.hand_on(response, lease, progress, client, watch))
    }

    fn request_body(
        &self,
        body: B,
        idempotent: bool,
        client: &Client,
        policy: &RetryPolicy,
        watch: &Arc<Watch>,
    ) -> (ReqBody<B>, Option<Arc<Progress<B>>>) {
        if body.is_end_stream() {
            return (ReqBody::Empty, None);
        }
        let policy = policy.settings();
        let first_byte = self.worker().settings.first_byte_timeout;
        let limits = Limits {
            watch: watch.clone(),
            body_timeout: client.body_timeout,
            first_byte_timeout: policy.per_try_timeout.map_or(first_byte, |t| t.min(first_byte)),
        };
        let record_max = if idempotent { policy.replay_buffer } else { 0 };
        let (body, progress) = Progress::start(body, record_max, limits);
        (body, Some(progress))
    }

    /// Ends a try's lease if nothing is handed on, and waits for the time of the next, if there is to be one.
    async fn after_failure<'p>(&self, j: &mut Journey<'p, B>, lease: Lease, ended: Ended<B>) -> Next<'p, B> {
        let now = j.watch.now();
        let (failure, asked) = match &ended {
            Ok(r) => (Some(Failure::Status(r.status())), retry_after(r.headers(), SystemTime::now)),
            Err(error) => (Failure::of(*error), None),
        };
        let Some(failure) = failure else {
            // Not the backend's failure: its lease was cancelled.
            return Next::Over(ended.map(|r| (r, lease)));
        };
        j.cx.tried(lease.backend());
        j.tried.push(lease.backend().uid());
        let mut verdict = Verdict::Over;
        if j.tries.may_go_on(j.policy, failure) && j.outgoing.can_go_again() {
            let another = self.another_is_usable(&j.tried);
            let (random, end) = (fastrand::u64(..), j.watch.cap());
            let situation = Situation { now, end, another, retry_after: asked, random };
            verdict = j.tries.after(j.policy, failure, &situation);
        }
        let counters = &self.worker().counters;
        let (wait, granted) = match verdict {
            Verdict::Again { wait, granted } => (wait, granted),
            over => {
                if matches!(over, Verdict::Refused) {
                    Counters::count(&counters.retries_refused);
                }
                return Next::Over(match ended {
                    Ok(response) => Ok((response, lease)),
                    Err(error) => {
                        conclude(lease, failure, error, now);
                        Err(error)
                    }
                });
            }
        };
        match ended {
            Ok(response) => {
                self.discard(response, lease, now, &j.outgoing);
                j.failure = None;
            }
            Err(error) => {
                conclude(lease, failure, error, now);
                j.failure = Some(error);
            }
        }
        j.outgoing.renew();
        counters.retry(failure);
        self.pause(wait, now, j.watch).await;
        j.cx.now = j.watch.now();
        Next::Again(granted)
    }

    /// Is a backend usable that is not among those? As far as a look can tell; the pick decides.
    fn another_is_usable(&self, tried: &[u64]) -> bool {
        let snapshot = self.worker().balancer.pool().snapshot();
        let panic = snapshot.is_panicking();
        snapshot.members().iter().any(|m| {
            let usable = match m.exclusion() {
                None => true,
                Some(Exclusion::Unhealthy) => panic && m.state().refusal().is_none(),
                Some(_) => false,
            };
            usable && !tried.contains(&m.state().uid())
        })
    }

    /// Lets go of a response in whose place another try is made. Its connection is kept if the rest of it is there already and
    /// small.
    fn discard(&self, response: Response<ResponseBody<B>>, lease: Lease, now: Nanos, outgoing: &Outgoing<B>) {
        let (parts, body) = response.into_parts();
        if outgoing.is_back()
            && let Some(connection) = body.discard(DISCARD_MAX)
        {
            self.worker().idle.put(lease.backend(), connection, now);
        }
        let kind = FailureKind::Status(parts.status.as_u16());
        let after = now - lease.started();
        lease.complete(Outcome::Failure { kind, after });
    }

    /// Waits before a retry. If the client leaves meanwhile, this future is dropped, and the retry with it.
    async fn pause(&self, wait: Duration, now: Nanos, watch: &Arc<Watch>) {
        if !wait.is_zero() {
            // Nobody's deadline runs meanwhile; the wait is known to end before the exchange must.
            watch.arm(Phase::Backoff, now, Duration::MAX);
            tokio::time::sleep(wait).await;
        }
    }

    /// The backend's response becomes the client's.
    fn hand_on(
        &self,
        response: Response<ResponseBody<B>>,
        lease: Lease,
        progress: Option<Arc<Progress<B>>>,
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
            worker: self.worker().clone(),
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

/// Ends the lease of a try that gave no response.
pub(crate) fn conclude(lease: Lease, failure: Failure, error: ProxyError, now: Nanos) {
    debug_assert!(error.side() != Side::Client, "a client's failure cancels the lease");
    let kind = match failure {
        Failure::Connect => FailureKind::Connect,
        Failure::Timeout => FailureKind::Timeout,
        Failure::Reset if error == ProxyError::BadResponse => FailureKind::Protocol,
        Failure::Reset => FailureKind::Reset,
        Failure::Status(status) => FailureKind::Status(status.as_u16()),
    };
    let after = now - lease.started();
    lease.complete(Outcome::Failure { kind, after });
}
