//! The proxy's handle, and what all requests of a worker share.

use crate::body::{ProxyBody, Source};
use crate::engine::RequestBody;
use crate::error::{ProxyError, Side};
use crate::gate::{Arrival, Refusal};
use crate::gateway::Gateway;
use crate::headers::{Forwarding, Seen};
use crate::identity::RequestIds;
use crate::mirror::Copier;
use crate::pages::{self, ErrorPages};
use crate::rate::MinRate;
use crate::request;
use crate::routing::{Asked, Routed, Routing, Way};
use crate::service::{Leaf, Service, SharedLeaf};
use crate::settings::{ListenerSettings, ProxySettings};
use crate::split::{Answered, Sided};
use crate::stats::{Counters, ProxyStats};
use crate::timer::{Phase, Timer, Watch};
use crate::trust::{Trust, TrustedPeers};
use http::header::{self, HeaderName};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode};
use lb_balancer::LoadBalancer;
use lb_geo::ClientAddress;
use lb_types::{Clock, Nanos};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

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
        f.debug_struct("Proxy").field("settings", &self.worker.services[0].settings).finish_non_exhaustive()
    }
}

/// What all requests of a worker share.
pub(crate) struct Worker<B: RequestBody> {
    /// One for each pool that requests are sent to, at least one.
    services: Box<[Arc<Service<B>>]>,
    /// The balancers below them that give leases, each once.
    pub(crate) leaves: Box<[Leaf<B>]>,
    /// None where there is one service, which takes everything.
    routing: Option<Routing>,
    /// There is one service, and nothing is done to requests and responses beside it.
    is_bare: bool,
    pub(crate) trusted: Option<Arc<TrustedPeers>>,
    ids: Option<Arc<RequestIds>>,
    /// None where nothing is to be said in place of errors or beside them.
    extras: Option<Box<Extras>>,
    pub(crate) timer: Arc<Timer>,
    pub(crate) counters: Arc<Counters>,
    stats: Arc<ProxyStats>,
}

/// What is said in place of errors, or beside them.
struct Extras {
    pages: Option<Arc<ErrorPages>>,
    says_why: bool,
}

/// Why a client got an error, for those who are trusted.
const REASON: HeaderName = HeaderName::from_static("x-edge-lb-reason");

impl<B: RequestBody> Worker<B> {
    /// Whose request it is, and where it goes.
    fn way(
        &self,
        request: &mut Request<B>,
        seen: &Seen,
        client: &Client,
        id: Option<&HeaderValue>,
    ) -> (Option<ClientAddress>, Result<Way<'_>, ProxyError>) {
        if let Err(error) = request::check(request, seen) {
            return (None, Err(error));
        }
        let whose = client.address(request.headers());
        let way = match &self.routing {
            None => Ok(Way::Service(0, None)),
            Some(routing) => routing.judge(request, whose, client, id),
        };
        (whose, way)
    }

    /// What sends a copy of the request, where its route wants one. Boxed: it is seldom there.
    fn copier<'w>(&'w self, routed: Option<&Routed<'w>>, own: &'w Service<B>) -> Option<Box<Copier<'w, B>>> {
        let mirror = routed?.route.mirror.as_ref()?;
        Some(Box::new(Copier::new(mirror, own, self.services.get(mirror.at)?)))
    }

    /// Lets a request through its route's gate, or gives the answer in its place. By value: a request that is lent over an await has a place
    /// of its own in the state of every request.
    #[cold]
    async fn at_gate(
        &self,
        mut request: Request<B>,
        routed: &mut Routed<'_>,
        (seen, client, whose): (&Seen, &Client, Option<ClientAddress>),
        watch: &Arc<Watch>,
    ) -> (Request<B>, Option<Box<Response<ProxyBody<B>>>>) {
        let Some(gate) = routed.route.gate.as_deref() else { return (request, None) };
        // Nobody's deadline runs meanwhile: who is asked has one of its own.
        watch.arm(Phase::Backoff, watch.now(), Duration::MAX);
        let (method, version) = (request.method().clone(), request.version());
        let arrival = Arrival { method: &method, version, seen, client, whose };
        let passed = gate.pass(request.headers_mut(), &mut routed.passage, arrival).await;
        let Err(refusal) = passed else { return (request, None) };
        watch.rest(watch.now(), client.limits.idle_timeout);
        let own = |error| {
            let response = self.services[0].own_response(error, seen.json, method == Method::HEAD);
            self.saying_why(error, whose, response)
        };
        let response = match refusal {
            Refusal::Error(error) => own(error),
            Refusal::Challenge(challenge) => {
                let mut response = own(ProxyError::Unauthorized);
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
                response
            }
            Refusal::Answer(parts, body) => Response::from_parts(parts, ProxyBody::own(body)),
        };
        (request, Some(Box::new(response)))
    }

    /// The response to a request that failed, with the reason, if it is a trusted client's.
    #[cold]
    fn saying_why(
        &self,
        error: ProxyError,
        whose: Option<ClientAddress>,
        mut response: Response<ProxyBody<B>>,
    ) -> Response<ProxyBody<B>> {
        if let (Some(whose), Some(trusted)) = (whose, &self.trusted)
            && self.extras.as_ref().is_some_and(|x| x.says_why)
            && trusted.proxies.contains(whose.ip)
            && let Ok(reason) = HeaderValue::from_str(&error.reason())
        {
            response.headers_mut().insert(REASON, reason);
        }
        response
    }

    /// What goes with a response, whoever gives it.
    #[inline(never)]
    fn dress(
        &self,
        mut response: Response<ProxyBody<B>>,
        asked: &Asked<'_>,
        is_head: bool,
    ) -> Response<ProxyBody<B>> {
        // Of all that a service answers in a backend's place, a limit is the one error among them.
        if response.status() == StatusCode::TOO_MANY_REQUESTS && response.body().source() == Source::Error {
            response = self.saying_why(ProxyError::RateLimited, asked.whose, response);
        }
        let routed = asked.routed.as_deref();
        let own = routed.and_then(|r| r.route.pages.as_deref());
        let general = self.extras.as_ref().and_then(|x| x.pages.as_deref());
        if own.is_some() || general.is_some() {
            pages::dress(&mut response, [own, general], is_head);
        }
        if let Some(routed) = routed
            && let Some(compression) = &routed.route.compression
        {
            response = compression.apply(response, routed.coding, is_head, &self.counters);
        }
        let headers = response.headers_mut();
        if let (Some(id), Some(ids)) = (&asked.id, &self.ids) {
            headers.insert(&ids.header, id.clone());
        }
        if let Some(routed) = routed {
            routed.to_client(headers);
        }
        response
    }

    /// Are connections opened before requests ask for them?
    pub(crate) fn preconnects(&self) -> bool {
        self.leaves.iter().any(|leaf| leaf.upstream.shared.preconnect() > 0)
    }
}

/// What a client may take its time for, and how much it may send: its listener's.
#[derive(Clone, Debug)]
pub(crate) struct ClientLimits {
    pub(crate) body_timeout: Duration,
    pub(crate) idle_timeout: Duration,
    pub(crate) max_body: u64,
    pub(crate) body_rate: Option<MinRate>,
}

impl ClientLimits {
    /// Time-outs alone.
    pub(crate) fn timeouts(body_timeout: Duration, idle_timeout: Duration) -> Self {
        Self { body_timeout, idle_timeout, max_body: u64::MAX, body_rate: None }
    }

    pub(crate) fn of(l: &ListenerSettings) -> Self {
        let grace = l.rate_grace.into();
        Self {
            max_body: l.max_body_bytes.unwrap_or(u64::MAX),
            body_rate: l.min_body_rate.map(|bytes| MinRate { bytes, grace }),
            ..Self::timeouts(l.body_timeout, l.idle_timeout)
        }
    }
}

/// What is known of the client's connection.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    /// The peer's.
    ip: Option<IpAddr>,
    pub(crate) forwarding: Forwarding,
    /// There if the peer is a trusted proxy. Boxed, because it is seldom and idle connections hold one of these.
    pub(crate) trust: Option<Box<Trust>>,
    pub(crate) limits: Arc<ClientLimits>,
}

impl Client {
    pub(crate) fn new(
        ip: Option<IpAddr>,
        trusted: Option<&Arc<TrustedPeers>>,
        limits: Arc<ClientLimits>,
    ) -> Self {
        let forwarding = Forwarding::new(ip);
        let trust = Trust::of(trusted, ip, &forwarding.client);
        Self { ip, forwarding, trust, limits }
    }

    /// The scheme by which the client came, as the peer or a trusted proxy says.
    pub(crate) fn scheme(&self, headers: &HeaderMap, whose: Option<ClientAddress>) -> HeaderValue {
        let told =
            self.trust.as_deref().zip(whose).and_then(|(trust, whose)| trust.tell(headers, whose).proto);
        told.unwrap_or_else(|| self.forwarding.proto.clone())
    }

    /// Whose request it is that has these headers, as they came: the peer's, unless it is a trusted proxy and says more.
    #[inline]
    pub(crate) fn address(&self, headers: &HeaderMap) -> Option<ClientAddress> {
        match &self.trust {
            None => self.ip.map(|ip| ClientAddress { ip, hops: 0 }),
            Some(trust) => Some(trust.client(headers)),
        }
    }
}

/// The pool's clock, for the timer.
pub(crate) struct PoolClock(pub(crate) lb_core::Pool);

impl Clock for PoolClock {
    fn now(&self) -> Nanos {
        self.0.now()
    }
}

impl<B: RequestBody> Proxy<B> {
    /// A proxy to the balancer's backends.
    pub fn new(balancer: LoadBalancer, settings: ProxySettings) -> Self {
        Self::gateway(Gateway::new(balancer, settings))
    }

    /// A proxy to several pools.
    pub fn gateway(gateway: Gateway) -> Self {
        let stats = Arc::default();
        let shared = SharedLeaf::of(&gateway.targets, &stats);
        Self::among(gateway, stats, &shared)
    }

    /// One of several workers.
    pub(crate) fn among(gateway: Gateway, stats: Arc<ProxyStats>, shared: &[SharedLeaf<B>]) -> Self {
        let Gateway { targets, routes } = gateway;
        let (balancer, settings) = &targets[0];
        let routing = routes.map(Routing::new);
        if let Some(routing) = &routing {
            stats.register_routes(routing.requests());
            stats.register_mirrors(routing.mirrors());
        }
        let (trusted, ids) = (settings.trusted.clone(), settings.request_ids.clone());
        let extras = Extras { pages: settings.error_pages.clone(), says_why: settings.debug_headers };
        let extras = (extras.pages.is_some() || extras.says_why).then(|| Box::new(extras));
        let timer = Timer::new(Arc::new(PoolClock(balancer.pool().clone())));
        let counters = stats.register();
        let leaves: Box<[_]> = shared.iter().map(Leaf::of).collect();
        let service = |target| Arc::new(Service::new(target, &leaves, timer.clone(), counters.clone()));
        let services = targets.into_iter().map(service).collect();
        Self {
            worker: Arc::new(Worker {
                services,
                leaves,
                is_bare: routing.is_none() && ids.is_none() && extras.is_none(),
                routing,
                trusted,
                ids,
                extras,
                timer,
                counters,
                stats,
            }),
        }
    }

    /// The counters.
    pub fn stats(&self) -> Arc<ProxyStats> {
        self.worker.stats.clone()
    }

    pub(crate) fn worker(&self) -> &Arc<Worker<B>> {
        &self.worker
    }

    /// Answers a request: always with a response, be it one of the proxy's own.
    pub(crate) async fn handle(
        &self,
        mut request: Request<B>,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Response<ProxyBody<B>> {
        let w = &*self.worker;
        Counters::count(&w.counters.requests);
        watch.set_active(true);
        let (seen, is_head) = (Seen::of(request.headers()), request.method() == Method::HEAD);
        if w.is_bare {
            let response = self.alone(request, (&seen, is_head), client, watch).await;
            w.counters.response(response.status());
            return response;
        }
        let id = w.ids.as_ref().map(|ids| ids.assign(request.headers_mut(), client));
        let (whose, mut way) = w.way(&mut request, &seen, client, id.as_ref());
        let mut stopped = None;
        if let Ok(way) = &mut way
            && let Some(routed) = way.routed().filter(|routed| routed.route.gate.is_some())
        {
            (request, stopped) = Box::pin(w.at_gate(request, routed, (&seen, client, whose), watch)).await;
        }
        let copier;
        let mut asked = Asked { whose, id, routed: None, copier: None };
        let mut response = match way {
            Ok(Way::Service(_, routed) | Way::Answer(_, routed)) if stopped.is_some() => {
                asked.routed = routed;
                *stopped.expect("it was looked at")
            }
            Ok(Way::Service(service, mut routed)) => {
                let service = match &mut routed {
                    None => service,
                    Some(routed) => routed.take_side(&mut request, whose, client).unwrap_or(service),
                };
                let service = &w.services[service];
                copier = w.copier(routed.as_deref(), service);
                (asked.routed, asked.copier) = (routed, copier.as_deref().map(|c| c as _));
                let mut failure = None;
                let mut answered = match service.forward(request, &asked, &seen, client, watch).await {
                    Ok(response) => response,
                    Err(error) => {
                        failure = Some(error);
                        rest(error, client, watch);
                        w.saying_why(error, whose, service.own_response(error, seen.json, is_head))
                    }
                };
                asked.copier = None;
                if let Some(copier) = &copier {
                    copier.answered(answered.status(), watch.now());
                }
                if let Some(sided) = asked.routed.as_ref().and_then(|routed| routed.sided.as_ref()) {
                    end(sided, &mut answered, failure);
                }
                answered
            }
            Ok(Way::Answer(answer, routed)) => {
                asked.routed = routed;
                watch.rest(watch.now(), client.limits.idle_timeout);
                Response::from_parts(answer.0, ProxyBody::own(answer.1))
            }
            Err(error) => {
                rest(error, client, watch);
                w.saying_why(error, whose, w.services[0].own_response(error, seen.json, is_head))
            }
        };
        if asked.routed.is_some() || asked.id.is_some() || w.extras.is_some() {
            response = w.dress(response, &asked, is_head);
        }
        w.counters.response(response.status());
        response
    }
}

impl<B: RequestBody> Proxy<B> {
    /// Answers a request where there is one pool and nothing that goes with a route. By itself, so that who has no routes pays nothing for them.
    async fn alone(
        &self,
        request: Request<B>,
        (seen, is_head): (&Seen, bool),
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Response<ProxyBody<B>> {
        let service = &self.worker.services[0];
        let answered = match request::check(&request, seen) {
            Err(error) => Err(error),
            Ok(()) => {
                let whose = client.address(request.headers());
                let asked = Asked { whose, id: None, routed: None, copier: None };
                service.forward(request, &asked, seen, client, watch).await
            }
        };
        match answered {
            Ok(response) => response,
            Err(error) => {
                rest(error, client, watch);
                service.own_response(error, seen.json, is_head)
            }
        }
    }
}

/// Ends a split's request at its response's head; what streams on may still fail.
#[cold]
fn end<B: RequestBody>(
    sided: &Sided<'_>,
    response: &mut Response<ProxyBody<B>>,
    failure: Option<ProxyError>,
) {
    let is_error = response.status().is_server_error();
    let streams = !is_error && response.body_mut().blame(sided.side);
    let answered = match failure {
        Some(error) if error.side() == Side::Client => Answered::Not,
        Some(_) => Answered::Failed,
        None if is_error => Answered::Failed,
        None if streams => Answered::Fine,
        // Of the proxy's own, and no error: a rate limit's.
        None => Answered::Not,
    };
    sided.end(answered, response.headers_mut());
}

/// What comes after an answer of the proxy's own.
fn rest(error: ProxyError, client: &Client, watch: &Arc<Watch>) {
    watch.rest(watch.now(), client.limits.idle_timeout);
    if error.is_amid_body() {
        watch.linger();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{BodyExt as _, Empty};
    use lb_balancer::LoadBalancer;
    use lb_core::{ExclusionCounts, SelectError};
    use lb_types::FixedResponse;
    use lb_types::{Backend, Exclusion};

    fn none_usable(why: &[Exclusion]) -> ProxyError {
        let mut counts = ExclusionCounts::default();
        why.iter().for_each(|&w| counts.add(w));
        ProxyError::NoBackend(SelectError::NoneUsable(counts))
    }

    #[tokio::test]
    async fn the_fallback_is_for_open_breakers_alone() {
        let backend = Backend::new("a", "http://127.0.0.1:1".parse().unwrap());
        let settings = ProxySettings {
            fallback: Some(FixedResponse::new(200, "from the cupboard").header("Retry-After", "9")),
            ..ProxySettings::default()
        };
        let balancer = LoadBalancer::builder().backend(backend).build().unwrap();
        let proxy: Proxy<Empty<bytes::Bytes>> = Proxy::new(balancer, settings);
        let service = &proxy.worker().services[0];
        for (why, is_head, status, body) in [
            (&[Exclusion::BreakerOpen, Exclusion::Unhealthy][..], false, 200, "from the cupboard"),
            (&[Exclusion::BreakerOpen], true, 200, ""),
            (&[Exclusion::Unhealthy], false, 503, "no backend is available\n"),
        ] {
            let response = service.own_response(none_usable(why), false, is_head);
            assert_eq!(response.status(), status, "{why:?}");
            assert_eq!(response.headers().contains_key(header::RETRY_AFTER), status == 200);
            let length = if status == 200 { "17" } else { "24" };
            assert_eq!(response.headers()[header::CONTENT_LENGTH], length);
            assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), body);
        }
        let response = service.own_response(ProxyError::Connect, false, false);
        assert_eq!(response.status(), 502);
        let stats = proxy.stats().snapshot();
        assert_eq!((stats.no_backend, stats.fallbacks, stats.upstream_errors), (3, 2, 1));
    }
}
