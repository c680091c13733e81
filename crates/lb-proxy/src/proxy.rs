//! The proxy's handle, and what all requests of a worker share.

use crate::body::ProxyBody;
use crate::engine::RequestBody;
use crate::headers::{Forwarding, Seen};
use crate::settings::ProxySettings;
use crate::stats::{Counters, ProxyStats};
use crate::timer::{Timer, Watch};
use crate::upstream::pool::IdlePool;
use http::{Request, Response};
use lb_balancer::LoadBalancer;
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
}
