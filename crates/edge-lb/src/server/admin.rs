//! The admin server as part of the whole: what it looks at, and when it says "ready".

use super::geo::Geography;
use super::splits::Splits;
use super::stores::Stores;
use super::{AssembleError, metrics};
use lb_admin::{AdminServer, AdminState, MetricsWriter};
use lb_balancer::LoadBalancer;
use lb_proxy::{ProxyStats, RateLimiting};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

/// What it looks at beside the pools.
pub(super) struct Sources {
    pub(super) stats: Arc<ProxyStats>,
    pub(super) stores: Stores,
    pub(super) geography: Arc<Geography>,
    pub(super) splits: Splits,
    /// The routes' names.
    pub(super) routes: Vec<String>,
    /// Rate limits, by pool.
    pub(super) limits: Vec<(String, Arc<RateLimiting>)>,
}

/// The admin server, bound; "ready" is no.
#[derive(Debug)]
pub(super) struct Admin {
    server: AdminServer,
    ready: watch::Sender<bool>,
}

impl Admin {
    pub(super) fn bind(
        address: SocketAddr,
        pools: &BTreeMap<String, LoadBalancer>,
        entries: &[LoadBalancer],
        sources: Sources,
    ) -> Result<Self, AssembleError> {
        let (ready, is_ready) = watch::channel(false);
        let Sources { stats, stores, geography, splits, limits, routes } = sources;
        let (asked, counted) = (geography.clone(), splits.clone());
        let state = AdminState::new(pools.clone(), is_ready)
            .geo(move || geography.detector().ok().cloned())
            .splits(splits)
            .entries(entries.iter().map(|lb| lb.name().to_owned()))
            .metrics_from(move |out: &mut MetricsWriter| {
                metrics::proxy(&stats.snapshot(), out);
                metrics::routes(&routes, &stats.route_requests(), out);
                metrics::mirrors(&stats.mirrors(), out);
                metrics::upstreams(&stats.upstreams(), out);
                stores.metrics(out);
                counted.metrics(out);
                limits.iter().for_each(|(pool, limit)| metrics::rate_limit(pool, &limit.stats(), out));
                if let Some(detector) = asked.made() {
                    metrics::geo(&detector.statistics(), out);
                }
            });
        Ok(Self { server: AdminServer::bind(address, state)?, ready })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// Answers from now on, on the current runtime, and says "ready".
    pub(super) fn start(self) -> RunningAdmin {
        let Self { server, ready } = self;
        let (stop, stopped) = oneshot::channel::<()>();
        ready.send_replace(true);
        let task = tokio::spawn(async move {
            // The sender is dropped when the guard is.
            let served = server.serve(async { drop(stopped.await) }).await;
            if let Err(error) = served {
                tracing::error!(%error, "the admin server ended");
            }
        });
        RunningAdmin { ready, stop, task }
    }
}

/// The admin server at work; dropping it ends it.
#[derive(Debug)]
pub(super) struct RunningAdmin {
    ready: watch::Sender<bool>,
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl RunningAdmin {
    /// From now on `/readyz` says no.
    pub(super) fn not_ready(&self) {
        self.ready.send_replace(false);
    }

    /// Finishes open requests (within 5 s) and ends.
    pub(super) async fn shutdown(self) {
        drop(self.stop);
        // It ends with an error only if it panicked, which was printed where it happened.
        let _ = self.task.await;
    }
}
