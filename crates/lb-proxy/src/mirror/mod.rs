//! Mirroring, by route: a copy of some requests goes to another pool, and nobody hears its answer.
//!
//! Only what is safe and has no body is mirrored (GET, HEAD, OPTIONS), once it is let in: the copy is made of the head alone. It is a task of
//! its own on the worker's runtime, so it neither delays nor fails the client, whatever the shadow pool does; one request has one try, no
//! queue, and a deadline. Which requests are copied is spread exactly, over all workers; at most [`MirrorSettings::max_in_flight`] copies are under way at
//! once, and what would be more is dropped and counted. Of a response at most [`BODY_MAX`] bytes are read.
//!
//! For the shadow pool's backends it is a request like any other: connections, limits, breakers and passive detection see it. The client's
//! side does not: neither request counters nor rate limits, nor sessions of the route's own pool.
//!
//! It lacks: requests with bodies, a comparison of more than statuses and times, and a say of the shadow pool's own rate limit and queue.

mod settings;

pub use settings::{MirrorResult, MirrorSettings, MirrorStats};

use crate::engine::RequestBody;
use crate::error::ProxyError;
use crate::forward::conclude;
use crate::headers::{self, Seen};
use crate::outgoing::Outgoing;
use crate::proxy::Client;
use crate::request::{self, Headers};
use crate::retry::Failure;
use crate::routing::{Asked, OnAdmission};
use crate::service::Service;
use crate::upload::ReqBody;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use http_body::Body;
use lb_balancer::SelectOptions;
use lb_core::Histogram;
use lb_types::Nanos;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// By this a shadow backend can tell a copy.
const X_SHADOW: HeaderName = HeaderName::from_static("x-shadow");

/// How much of a shadow response is read, in bytes: to see it end and to keep its connection. Beyond it, it is cancelled.
const BODY_MAX: usize = 1 << 20;

/// All requests, in hundredths of a percent.
const ALL: u32 = 10_000;

/// One route's mirror, for all workers.
#[derive(Debug)]
pub(crate) struct Mirror {
    route: String,
    settings: MirrorSettings,
    /// Its pool's number.
    pub(crate) at: usize,
    share: u32,
    /// What is owed of a copy, in hundredths of a percent of one; below [`ALL`].
    credit: AtomicU32,
    in_flight: AtomicUsize,
    results: [AtomicU64; 6],
    primary: Histogram,
    shadow: Histogram,
}

/// A place among the copies under way.
struct Slot(Arc<Mirror>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// How one side answered: its status, and the time to its head.
type Answered = (StatusCode, Nanos);

/// The client's side of a request that is mirrored. Dropping it says that the client has left.
struct Primary {
    started: Nanos,
    tell: oneshot::Sender<Answered>,
}

impl Mirror {
    /// The settings were validated, and `at` is their pool's number.
    pub(crate) fn new(route: &str, settings: &MirrorSettings, at: usize) -> Self {
        Self {
            route: route.to_owned(),
            share: settings.share(),
            settings: settings.clone(),
            at,
            credit: AtomicU32::new(0),
            in_flight: AtomicUsize::new(0),
            results: Default::default(),
            primary: Histogram::default(),
            shadow: Histogram::default(),
        }
    }

    pub(crate) fn stats(&self) -> MirrorStats {
        MirrorStats {
            route: self.route.clone(),
            pool: self.settings.pool.clone(),
            results: MirrorResult::ALL.map(|r| self.results[r as usize].load(Relaxed)),
            in_flight: self.in_flight.load(Relaxed),
            primary: self.primary.snapshot(),
            shadow: self.shadow.snapshot(),
        }
    }

    /// Is this one copied? After `n` requests exactly the whole part of `n × percent / 100` were, in whatever order they came.
    fn is_due(&self) -> bool {
        // Without a word that all workers write, where it decides nothing.
        if self.share == 0 || self.share == ALL {
            return self.share == ALL;
        }
        let owed = |credit: u32| credit + self.share;
        let before = self.credit.fetch_update(Relaxed, Relaxed, |credit| Some(owed(credit) % ALL));
        before.is_ok_and(|credit| owed(credit) >= ALL)
    }

    fn enter(self: &Arc<Self>) -> Option<Slot> {
        let room = |n: usize| (n < self.settings.max_in_flight).then_some(n + 1);
        self.in_flight.fetch_update(Relaxed, Relaxed, room).is_ok().then(|| Slot(self.clone()))
    }

    fn count(&self, result: MirrorResult) {
        self.results[result as usize].fetch_add(1, Relaxed);
    }

    /// Both sides have answered.
    fn compare(&self, primary: Answered, shadow: Answered) {
        self.primary.record(primary.1);
        self.shadow.record(shadow.1);
        let same = primary.0 == shadow.0;
        self.count(if same { MirrorResult::SameStatus } else { MirrorResult::OtherStatus });
    }
}

/// Is it safe? What has a body is not copied either.
fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// Copies one request when it is let in: what a rate limit or load shedding refuses is not copied.
pub(crate) struct Copier<'w, B: RequestBody> {
    pub(crate) mirror: &'w Arc<Mirror>,
    /// The pool that the request itself goes to.
    pub(crate) own: &'w Service<B>,
    pub(crate) service: &'w Arc<Service<B>>,
    primary: Mutex<Option<Primary>>,
}

impl<'w, B: RequestBody> Copier<'w, B> {
    pub(crate) fn new(mirror: &'w Arc<Mirror>, own: &'w Service<B>, service: &'w Arc<Service<B>>) -> Self {
        Self { mirror, own, service, primary: Mutex::new(None) }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Primary>> {
        self.primary.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The client has its response.
    pub(crate) fn answered(&self, status: StatusCode, now: Nanos) {
        if let Some(primary) = self.lock().take() {
            // Nobody hears it when the shadow has failed already.
            let _ = primary.tell.send((status, now - primary.started));
        }
    }
}

impl<B: RequestBody> OnAdmission for Copier<'_, B> {
    /// Sends a copy to the shadow pool, if it is its turn. Within a tokio runtime.
    fn admitted(&self, head: &Parts, is_bare: bool, asked: &Asked<'_>, seen: &Seen, client: &Client) {
        let Self { mirror, own, service, .. } = self;
        if !is_bare || !is_safe(&head.method) || !mirror.is_due() {
            return;
        }
        let Some(slot) = mirror.enter() else {
            mirror.count(MirrorResult::Dropped);
            return;
        };
        let mut headers = head.headers.clone();
        for cookie in own.cookies.iter().chain(&service.cookies) {
            headers::strip_cookie(&mut headers, cookie);
        }
        headers::to_backend(&mut headers, seen, head.version, client, asked.whose);
        if let Some(routed) = &asked.routed {
            service.tell_backend(routed, &mut headers);
        }
        headers.insert(X_SHADOW, HeaderValue::from_static("true"));
        let shadow = Shadow {
            service: Arc::clone(service),
            slot,
            method: head.method.clone(),
            uri: head.uri.clone(),
            asked: head.headers.clone(),
            headers,
            ip: asked.whose.map(|w| w.ip),
            client: client.clone(),
            names_backend: asked.routed.as_ref().is_some_and(|r| r.route.service_headers),
        };
        let (tell, told) = oneshot::channel();
        let started = service.timer.now();
        tokio::spawn(follow(shadow, Arc::clone(mirror), told));
        *self.lock() = Some(Primary { started, tell });
    }
}

async fn follow<B: RequestBody>(shadow: Shadow<B>, mirror: Arc<Mirror>, told: oneshot::Receiver<Answered>) {
    // The walk's state and its place go with it: a slow client's own response is waited for with next to nothing. There are never
    // more of those that wait than clients that do.
    let ended = Box::pin(shadow.walk()).await;
    match ended {
        Err(error) => mirror.count(MirrorResult::of(error)),
        Ok(answered) => match told.await {
            Ok(primary) => mirror.compare(primary, answered),
            Err(_) => mirror.count(MirrorResult::Unpaired),
        },
    }
}

/// A copy on its way.
struct Shadow<B: RequestBody> {
    service: Arc<Service<B>>,
    slot: Slot,
    method: Method,
    uri: Uri,
    /// As the client sent them: of those the pick knows a session or a key.
    asked: HeaderMap,
    /// As the backend gets them.
    headers: HeaderMap,
    ip: Option<IpAddr>,
    client: Client,
    names_backend: bool,
}

impl<B: RequestBody> Shadow<B> {
    /// One pick, one try; its response to the end.
    async fn walk(self) -> Result<Answered, ProxyError> {
        let Self { service, slot, method, uri, asked, headers, ip, client, names_backend } = self;
        let guard = service.timer.watch(false);
        let watch = &guard.0;
        let started = watch.now();
        watch.set_cap(Some(started + slot.0.settings.timeout.into()));
        let mut options = SelectOptions::default();
        if let Some(ip) = ip.filter(|_| service.balancer.must_locate(ip)) {
            options.location = service.balancer.locate(ip).await;
        }
        let mut selection = {
            let asked = Headers(&asked);
            service.balancer.selection(&request::info(&method, &uri, &asked, ip), &options)
        };
        drop(asked);
        let mut request = Request::new(ReqBody::Empty);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        *request.version_mut() = Version::HTTP_11;
        let mut outgoing = Outgoing::new(request, None, false);
        if names_backend {
            outgoing.name_backend();
        }
        let lease = service.balancer.acquire(&mut selection).map_err(ProxyError::NoBackend)?;
        let (leaf, now) = (selection.leaf(), selection.now());
        let (upstream, policy) = (service.upstream(leaf), &*service.settings.retry);
        let ended = service.attempt(upstream, lease.backend(), &mut outgoing, policy, now, watch).await;
        let mut response = match ended {
            Ok(response) => response,
            Err(error) => {
                if let Some(failure) = Failure::of(error) {
                    conclude(lease, failure, error, watch.now());
                }
                return Err(error);
            }
        };
        service.hear_head(response.headers_mut(), lease.backend(), leaf, watch);
        let answered = (response.status(), watch.now() - started);
        let response = service.hand_on(
            response,
            lease,
            (&selection, false, false, None),
            outgoing.settle(),
            &client,
            watch,
        );
        discard(response).await?;
        Ok(answered)
    }
}

/// Reads a response to its end, or to the bound: then it is dropped, which its backend is not blamed for.
async fn discard<T: Body<Error = crate::body::BodyError> + Unpin>(
    response: Response<T>,
) -> Result<(), ProxyError>
where
    T::Data: bytes::Buf,
{
    let (mut body, mut read) = (response.into_body(), 0);
    while read <= BODY_MAX && !body.is_end_stream() {
        match poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await {
            None => break,
            Some(Ok(frame)) => read += frame.data_ref().map_or(0, bytes::Buf::remaining),
            Some(Err(error)) => return Err(error.0),
        }
        // Others have their turn, however fast it comes.
        tokio::task::consume_budget().await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn mirror(percent: f64) -> Arc<Mirror> {
        let settings = MirrorSettings { percent, max_in_flight: 2, ..MirrorSettings::new("shadow") };
        settings.validate().unwrap();
        Arc::new(Mirror::new("r", &settings, 0))
    }

    proptest! {
        #[test]
        fn the_share_is_exact(hundredths in 0u32..=ALL, n in 1u32..2_000) {
            let m = mirror(f64::from(hundredths) / 100.0);
            let mut copied = 0;
            for i in 1..=n {
                copied += u32::from(m.is_due());
                prop_assert_eq!(copied, i * hundredths / ALL);
            }
        }
    }

    #[test]
    fn no_more_are_under_way_than_may_be() {
        let m = mirror(100.0);
        let (one, two) = (m.enter(), m.enter());
        assert!(one.is_some() && two.is_some() && m.enter().is_none());
        drop(one);
        assert!(m.enter().is_some());
        assert_eq!(m.stats().in_flight, 1);
    }

    #[test]
    fn only_what_is_safe() {
        for (method, safe) in [
            ("GET", true),
            ("HEAD", true),
            ("OPTIONS", true),
            ("TRACE", false),
            ("POST", false),
            ("PUT", false),
        ] {
            assert_eq!(is_safe(&method.parse().unwrap()), safe, "{method}");
        }
    }

    #[test]
    fn only_pairs_are_compared() {
        let m = mirror(100.0);
        let ms = Nanos::from_millis;
        m.compare((StatusCode::OK, ms(2)), (StatusCode::OK, ms(3)));
        m.compare((StatusCode::OK, ms(4)), (StatusCode::NOT_FOUND, ms(5)));
        m.count(MirrorResult::Dropped);
        let s = m.stats();
        assert_eq!(s.results, [1, 1, 0, 0, 1, 0]);
        assert_eq!((s.primary.count(), s.shadow.count()), (2, 2));
        assert_eq!((s.primary.sum(), s.shadow.sum()), (ms(6), ms(8)));
    }
}
