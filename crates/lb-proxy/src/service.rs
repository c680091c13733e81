//! One pool as requests meet it: its balancer, how they are carried to its backends, and what clients are told in their place.
//!
//! A worker has a service for each pool that requests are sent to. With `geo-aware` a service has an [`Upstream`] for each region; one
//! that two services lead to is the same in both, so that a backend's connections are counted once.

use crate::body::ProxyBody;
use crate::engine::{Connection, RequestBody};
use crate::error::ProxyError;
use crate::fallback::Fallback;
use crate::settings::ProxySettings;
use crate::stats::{Counters, ProxyStats};
use crate::timer::Timer;
use crate::upstream::Upstream;
use crate::upstream::shared::{Shared, Upstreams};
use http::Response;
use lb_balancer::LoadBalancer;
use std::sync::{Arc, Weak};

/// A pool, and how requests go to it.
pub(crate) type Target = (LoadBalancer, ProxySettings);

/// One pool, for one worker.
pub(crate) struct Service<B: RequestBody> {
    pub(crate) balancer: LoadBalancer,
    pub(crate) settings: ProxySettings,
    /// By the balancer's leaves.
    upstreams: Box<[Arc<Upstream<B>>]>,
    /// Cookies that are ours and no backend's business.
    pub(crate) cookies: Box<[Box<str>]>,
    pub(crate) fallback: Option<Fallback>,
    /// The worker's.
    pub(crate) timer: Arc<Timer>,
    pub(crate) counters: Arc<Counters>,
}

impl<B: RequestBody> Service<B> {
    pub(crate) fn new(
        (balancer, settings): Target,
        leaves: &[Leaf<B>],
        timer: Arc<Timer>,
        counters: Arc<Counters>,
    ) -> Self {
        let own = balancer.leaves();
        let mut cookies: Vec<Box<str>> =
            own.iter().filter_map(|lb| lb.session_cookie()).map(Box::from).collect();
        cookies.sort_unstable();
        cookies.dedup();
        let upstream = |lb: &LoadBalancer| {
            let leaf = leaves.iter().find(|leaf| leaf.balancer.is_same(lb));
            leaf.expect("there is a leaf for each of every target's").upstream.clone()
        };
        Self {
            upstreams: own.iter().map(upstream).collect(),
            cookies: cookies.into(),
            fallback: settings.fallback.as_ref().map(Fallback::new),
            balancer,
            settings,
            timer,
            counters,
        }
    }

    /// The way to the backends of one of the balancer's leaves.
    #[inline]
    pub(crate) fn upstream(&self, leaf: usize) -> &Upstream<B> {
        &self.upstreams[leaf]
    }

    /// What a client is told when there is no backend's response.
    #[cold]
    pub(crate) fn own_response(
        &self,
        error: ProxyError,
        json: bool,
        is_head: bool,
    ) -> Response<ProxyBody<B>> {
        let Self { counters, fallback, .. } = self;
        counters.failure(error);
        tracing::debug!(%error, "request failed");
        if let Some(fallback) = fallback.as_ref().filter(|_| error.is_breaker_open()) {
            Counters::count(&counters.fallbacks);
            let (parts, body) = fallback.response(is_head);
            return Response::from_parts(parts, ProxyBody::own(body));
        }
        let (parts, body) = error.response(json);
        Response::from_parts(parts, ProxyBody::error(body))
    }
}

/// What the workers of a server share of one leaf of its pools.
pub(crate) struct SharedLeaf<B: RequestBody> {
    balancer: LoadBalancer,
    settings: ProxySettings,
    shared: Arc<Shared<Connection<B>>>,
}

impl<B: RequestBody> SharedLeaf<B> {
    /// The leaves of all targets, each once.
    pub(crate) fn of(targets: &[Target], stats: &ProxyStats) -> Vec<Self> {
        let mut shared: Vec<Self> = vec![];
        for (balancer, settings) in targets {
            for (i, lb) in balancer.leaves().iter().enumerate() {
                if shared.iter().any(|known| known.balancer.is_same(lb)) {
                    continue;
                }
                let s = settings.leaves.get(i).unwrap_or(settings);
                let connections = Arc::new(Shared::new(lb.name(), &s.pooling, s.max_idle_per_backend));
                stats.watch(Arc::downgrade(&connections) as Weak<dyn Upstreams>);
                shared.push(Self { balancer: lb.clone(), settings: s.clone(), shared: connections });
            }
        }
        shared
    }
}

/// A balancer that gives leases, and a worker's way to its backends.
pub(crate) struct Leaf<B: RequestBody> {
    pub(crate) balancer: LoadBalancer,
    pub(crate) upstream: Arc<Upstream<B>>,
}

impl<B: RequestBody> Leaf<B> {
    /// One worker's.
    pub(crate) fn of(shared: &SharedLeaf<B>) -> Self {
        let SharedLeaf { balancer, settings, shared } = shared;
        let upstream = Upstream::new(settings.clone(), balancer, shared.clone());
        Self { balancer: balancer.clone(), upstream: Arc::new(upstream) }
    }

    /// Closes connections to backends that have been idle for too long, were closed by them, or whose backends have left.
    pub(crate) fn sweep(&self) {
        self.upstream.shared.sweep(&self.upstream.idle, self.balancer.pool());
    }
}
