//! The walk of one request: check it, lease a backend, exchange, try another where that is safe, hand the response on.
//!
//! A request is sent again only when nothing of it was written yet, or when it is idempotent; never after its response was
//! handed on; to a backend that it has not failed on while one is usable. Whether and when follows from `retry`. A pooled
//! connection that turns out to be closed is nobody's failure: the request goes out once more, on a new connection to the same
//! backend, and that counts as no retry.

use crate::body::{ProxyBody, Streaming};
use crate::door::NotServed;
use crate::engine::{RequestBody, ResponseBody};
use crate::error::{ProxyError, Side};
use crate::headers::{self, Seen};
use crate::limit::RateLimiting;
use crate::outgoing::Outgoing;
use crate::proxy::Client;
use crate::request::{self, Headers};
use crate::retry::after::retry_after;
use crate::retry::tries::{Situation, Tries, Verdict};
use crate::retry::{Failure, RetryPolicy};
use crate::routing::{Asked, Routed};
use crate::service::Service;
use crate::stats::Counters;
use crate::timer::{Phase, Watch};
use crate::upload::{Limits, Progress, ReqBody};
use bytes::Bytes;
use http::response::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Response};
use lb_admission::rate_limit::Decision;
use lb_balancer::{SelectOptions, Selection};
use lb_breaker::Retry;
use lb_core::{Lease, SelectError};
use lb_types::{FailureKind, Nanos, Outcome};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How much of a response in whose place another try is made is read, to keep it and its connection; beyond it, closing is cheaper.
const KEPT_MAX: usize = 16 * 1024;

/// Where the request's client stands with its rate limit, if it is told.
pub(crate) type Told = Box<(Arc<RateLimiting>, Decision)>;

/// What a try came to: a response's head, or why there is none.
pub(crate) type Ended<B> = Result<Response<ResponseBody<B>>, ProxyError>;

/// One request on its way, over all its tries. By reference: the plain walk keeps its parts where they are, for moving a request about
/// costs more than deciding.
pub(crate) struct Journey<'r, 'p, B: RequestBody> {
    pub(crate) watch: &'r Arc<Watch>,
    pub(crate) policy: &'p RetryPolicy,
    pub(crate) selection: &'r mut Selection,
    pub(crate) outgoing: &'r mut Outgoing<B>,
    pub(crate) past: &'r mut Past,
}

/// What became of a request's tries so far.
#[derive(Default)]
pub(crate) struct Past {
    tries: Tries,
    /// What the last try came to.
    last: Option<Last>,
}

/// What the client is told if no backend is usable for another try.
enum Last {
    /// The last try gave no response.
    Failed(ProxyError),
    /// It gave this one, of which all was there.
    Answered(Box<(Parts, Bytes)>),
}

/// What comes after a try.
enum Next<'p, B: RequestBody> {
    /// Another, as soon as a backend lets it in.
    Again(Option<Retry<'p>>),
    /// The client gets this.
    Over(Result<(Response<ResponseBody<B>>, Lease), ProxyError>),
}

impl<B: RequestBody> Service<B> {
    pub(crate) async fn forward(
        self: &Arc<Self>,
        request: Request<B>,
        asked: &Asked<'_>,
        seen: &Seen,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Result<Response<ProxyBody<B>>, ProxyError> {
        let w = &**self;
        let (mut parts, body) = request.into_parts();
        let route = asked.routed.as_ref().map(|r| r.route);
        let max_body = route.map_or(client.limits.max_body, |r| r.max_body.min(client.limits.max_body));
        if body.size_hint().lower() > max_body {
            return Err(ProxyError::BodyTooLarge);
        }
        let ip = asked.whose.map(|w| w.ip);
        let mut options = SelectOptions::default();
        // What is seldom is boxed: it would make every request's own state larger.
        if w.balancer.must_locate(ip) {
            options.location = Box::pin(self.locate(ip)).await;
        }
        let mut selection = {
            let headers = Headers(&parts.headers);
            w.balancer.selection(&request::info(&parts.method, &parts.uri, &headers, ip), &options)
        };
        let mut standing = None;
        let door = w.upstream(selection.leaf()).door.as_ref();
        let limits = [route.and_then(|r| r.limit.as_ref()), door.and_then(|d| d.limit.as_ref())];
        for limit in limits.into_iter().flatten() {
            let decision = match limit.check(ip, &parts.headers, selection.now()) {
                Ok(decision) => decision,
                Err(asking) => asking.await,
            };
            if !decision.allowed {
                return Ok(self.limited(&decision, (limit, seen.json), client, watch));
            }
            if standing.is_none() {
                standing = limit.tells().then(|| Box::new((limit.clone(), decision)));
            }
        }
        if let Some(door) = door {
            let usual = route.and_then(|r| r.priority);
            selection.set_priority(door.priority(&mut parts.headers, usual, client));
            if w.balancer.admit(&selection).is_err() {
                return Ok(self.shed(selection.leaf(), parts.method == Method::HEAD, client, watch));
            }
        }
        if let Some(copier) = asked.copier {
            copier.admitted(&parts, body.is_end_stream(), asked, seen, client);
        }
        if w.balancer.must_look_up(&selection) {
            Box::pin(w.balancer.look_up(&mut selection)).await;
        }
        let total = route.and_then(|r| r.total_timeout).or(w.settings.total_timeout.map(Into::into));
        if let Some(total) = total {
            watch.set_cap(Some(selection.now() + total));
        }
        for cookie in &w.cookies {
            headers::strip_cookie(&mut parts.headers, cookie);
        }
        headers::to_backend(&mut parts.headers, seen, parts.version, client, asked.whose);
        if seen.odd
            && let (Some(id), Some(ids)) = (&asked.id, &w.settings.request_ids)
        {
            // `Connection` may have named it away.
            parts.headers.insert(&ids.header, id.clone());
        }
        if w.settings.forwarded {
            headers::add_forwarded(&mut parts.headers, client);
        }
        let by_tls = !w.cookies.is_empty() && headers::came_by_tls(&parts.headers);
        if let Some(routed) = &asked.routed {
            self.tell_backend(routed, &mut parts.headers);
        }
        // RFC 9112 §2.3: the version is each hop's own.
        parts.version = http::Version::HTTP_11;
        // Looked up once: what the request began with holds for all its tries.
        let policy = route.and_then(|r| r.retry.as_deref()).unwrap_or(&w.settings.retry);
        let (body, progress) = {
            let own = route.and_then(|r| r.times.first_byte);
            let first_byte = own.unwrap_or(w.upstream(selection.leaf()).settings.first_byte_timeout);
            self.request_body(
                body,
                parts.method.is_idempotent(),
                client,
                (policy, first_byte, max_body),
                watch,
            )
        };
        let mut outgoing = Outgoing::new(Request::from_parts(parts, body), progress, seen.expects_continue);
        let names_backend = route.is_some_and(|r| r.service_headers);
        if names_backend {
            outgoing.name_backend();
        }
        if let Some(route) = route.filter(|r| !r.times.are_usual()) {
            outgoing.limit_tries(route.times);
        }
        let mut past = Past::default();
        let mut granted: Option<Retry<'_>> = None;
        loop {
            let mut lease = match w.balancer.acquire(&mut selection) {
                Ok(lease) => lease,
                Err(e) => match Box::pin(self.wait_for_backend(&mut selection, e, watch)).await {
                    Ok(lease) => lease,
                    Err(NotServed::Refused(refused)) if past.last.is_none() => {
                        let (leaf, is_head) = (selection.leaf(), outgoing.is_head());
                        return Ok(self.refused_by_queue(leaf, refused, is_head, client, watch));
                    }
                    Err(NotServed::Refused(_)) => return self.without_backend(past, e, client, watch),
                    Err(NotServed::Select(e)) => return self.without_backend(past, e, client, watch),
                },
            };
            if w.balancer.must_agree(&selection) {
                lease = Box::pin(w.balancer.agree(&mut selection, lease)).await;
            }
            let (leaf, now) = (selection.leaf(), selection.now());
            let mut hedge = None;
            if past.tries.is_first() {
                policy.budget().request(now);
                hedge = self.hedge_after(policy, &outgoing, leaf, now);
            } else if let Some(retry) = granted.take() {
                retry.made();
            }
            let mut ended = match hedge {
                None => {
                    let up = w.upstream(leaf);
                    self.attempt(up, lease.backend(), &mut outgoing, policy, now, watch).await
                }
                Some(delay) => {
                    let journey = Journey {
                        watch,
                        policy,
                        selection: &mut selection,
                        outgoing: &mut outgoing,
                        past: &mut past,
                    };
                    Box::pin(self.hedged(journey, &mut lease, delay)).await
                }
            };
            if let Ok(response) = &mut ended {
                w.hear_head(response.headers_mut(), lease.backend(), leaf, watch);
            }
            let (response, lease) = match ended {
                Ok(response) if !policy.settings().retry_on.has_status(response.status()) => {
                    (response, lease)
                }
                other => {
                    let journey = Journey {
                        watch,
                        policy,
                        selection: &mut selection,
                        outgoing: &mut outgoing,
                        past: &mut past,
                    };
                    match Box::pin(self.after_failure(journey, lease, other)).await {
                        Next::Again(retry) => {
                            granted = retry;
                            continue;
                        }
                        Next::Over(end) => end?,
                    }
                }
            };
            let asked = (&selection, by_tls, names_backend, standing);
            return Ok(self.hand_on(response, lease, asked, outgoing.settle(), client, watch));
        }
    }

    /// What the route tells the backend.
    #[cold]
    pub(crate) fn tell_backend(&self, routed: &Routed<'_>, headers: &mut HeaderMap) {
        if routed.route.service_headers
            && let Ok(name) = HeaderValue::from_str(self.balancer.name())
        {
            headers.insert(headers::X_SERVICE, name);
        }
        routed.to_backend(headers);
    }

    fn request_body(
        &self,
        body: B,
        idempotent: bool,
        client: &Client,
        (policy, first_byte, max): (&RetryPolicy, Duration, u64),
        watch: &Arc<Watch>,
    ) -> (ReqBody<B>, Option<Arc<Progress<B>>>) {
        if body.is_end_stream() {
            return (ReqBody::Empty, None);
        }
        let policy = policy.settings();
        let limits = Limits {
            watch: watch.clone(),
            body_timeout: client.limits.body_timeout,
            max,
            rate: client.limits.body_rate,
            first_byte_timeout: policy.per_try_timeout.map_or(first_byte, |t| t.min(first_byte)),
        };
        let record_max = if idempotent { policy.replay_buffer } else { 0 };
        let (body, progress) = Progress::start(body, record_max, limits);
        (body, Some(progress))
    }

    /// Ends a try's lease if nothing is handed on, and waits for the time of the next, if there is to be one.
    async fn after_failure<'p>(&self, j: Journey<'_, 'p, B>, lease: Lease, ended: Ended<B>) -> Next<'p, B> {
        let now = j.watch.now();
        let (failure, asked) = match &ended {
            Ok(r) => (Some(Failure::Status(r.status())), retry_after(r.headers(), SystemTime::now)),
            Err(error) => (Failure::of(*error), None),
        };
        let Some(failure) = failure else {
            // Not the backend's failure: its lease was cancelled.
            return Next::Over(ended.map(|r| (r, lease)));
        };
        j.selection.tried(lease.backend());
        let mut verdict = Verdict::Over;
        if j.past.tries.may_go_on(j.policy, failure) && j.outgoing.can_go_again() {
            let another = self.balancer.has_another(j.selection);
            let (random, end) = (fastrand::u64(..), j.watch.cap());
            let situation = Situation { now, end, another, retry_after: asked, random };
            verdict = j.past.tries.after(j.policy, failure, &situation);
        }
        let counters = &self.counters;
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
                j.past.last = self.let_go(response, lease, j.selection.leaf(), now, j.outgoing);
            }
            Err(error) => {
                conclude(lease, failure, error, now);
                j.past.last = Some(Last::Failed(error));
            }
        }
        j.outgoing.renew_kept();
        counters.retry(failure);
        self.pause(wait, now, j.watch).await;
        j.selection.set_now(j.watch.now());
        Next::Again(granted)
    }

    /// Where the client is, if a provider says it in time.
    async fn locate(&self, ip: Option<IpAddr>) -> Option<lb_balancer::geography::Answer> {
        self.balancer.locate(ip?).await
    }

    /// Lets go of a response in whose place another try is made. If all of it is there already and small, it is kept for the case that
    /// this try finds no backend, and so is its connection.
    fn let_go(
        &self,
        response: Response<ResponseBody<B>>,
        lease: Lease,
        leaf: usize,
        now: Nanos,
        outgoing: &Outgoing<B>,
    ) -> Option<Last> {
        let (mut parts, mut body) = response.into_parts();
        if let Some(keeps) = headers::to_client(&mut parts.headers) {
            body.announce(keeps);
        }
        let kind = FailureKind::Status(parts.status.as_u16());
        let kept = body.take_all(KEPT_MAX).map(|(body, connection)| {
            if let Some(connection) = connection.filter(|_| outgoing.is_back()) {
                self.upstream(leaf).idle.put(lease.backend(), connection, now);
            }
            Last::Answered(Box::new((parts, body)))
        });
        let after = now - lease.started();
        lease.complete(Outcome::Failure { kind, after });
        kept
    }

    /// What the client gets when no backend is usable: what the last try came to, if there was one.
    #[cold]
    fn without_backend(
        &self,
        past: Past,
        error: SelectError,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Result<Response<ProxyBody<B>>, ProxyError> {
        match past.last {
            None => Err(ProxyError::NoBackend(error)),
            Some(Last::Failed(error)) => Err(error),
            Some(Last::Answered(kept)) => {
                let (mut parts, body) = *kept;
                parts.version = http::Version::HTTP_11;
                watch.rest(watch.now(), client.limits.idle_timeout);
                // A backend's words, and its body is done with: no error page takes their place.
                Ok(Response::from_parts(parts, ProxyBody::own(body)))
            }
        }
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
    #[inline(always)] // for the plain walk: mirrors call it, too
    pub(crate) fn hand_on(
        self: &Arc<Self>,
        response: Response<ResponseBody<B>>,
        lease: Lease,
        (selection, by_tls, names_backend, standing): (&Selection, bool, bool, Option<Told>),
        progress: Option<Arc<Progress<B>>>,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Response<ProxyBody<B>> {
        let (mut parts, mut body) = response.into_parts();
        if let Some(keeps) = headers::to_client(&mut parts.headers) {
            body.announce(keeps);
        }
        if let Some(cookie) = self.balancer.set_cookie(selection, by_tls) {
            headers::add_cookie(&mut parts.headers, &cookie);
        }
        if let Some(told) = standing {
            told.0.tell(&told.1, &mut parts.headers);
        }
        parts.version = http::Version::HTTP_11;
        let head_at = watch.now();
        let ttfb = head_at - lease.started();
        if names_backend {
            headers::tell_server(&mut parts.headers, lease.backend().id().as_str(), ttfb);
        }
        let verdict = if parts.status.is_server_error() {
            Outcome::Failure { kind: FailureKind::Status(parts.status.as_u16()), after: ttfb }
        } else {
            Outcome::Success { ttfb }
        };
        let streaming = Streaming {
            body,
            lease: Some(lease),
            verdict,
            service: self.clone(),
            leaf: selection.leaf(),
            watch: watch.clone(),
            progress,
            head_at,
            waited: false,
            armed: false,
            client_idle_timeout: client.limits.idle_timeout,
            side: None,
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
