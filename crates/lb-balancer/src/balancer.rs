//! The handle.

use crate::builder::LoadBalancerBuilder;
use crate::members::Members;
use crate::options::SelectOptions;
use lb_core::{Lease, Pool, SelectError};
use lb_types::RequestInfo;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// A load balancer: a cheap handle, to clone at will. All clones are the same balancer.
#[derive(Clone)]
pub struct LoadBalancer {
    pool: Pool,
    pub(crate) inner: Arc<Inner>,
}

/// What stands beside the pool. Nothing in it is touched by a pick but the seed, where one is set.
pub(crate) struct Inner {
    pub(crate) name: Box<str>,
    /// Where the picks' random numbers come from: a counter in tests, the thread's generator otherwise.
    pub(crate) seed: Option<AtomicU64>,
    pub(crate) members: Members,
    /// The most requests that [`metrics`](LoadBalancer::metrics) has told of.
    pub(crate) requests_told: AtomicU64,
    #[cfg(feature = "runtime")]
    pub(crate) wait: crate::wait::Waiting,
    #[cfg(feature = "runtime")]
    pub(crate) sources: Vec<Arc<crate::discover::Source>>,
    #[cfg(feature = "runtime")]
    pub(crate) is_running: std::sync::atomic::AtomicBool,
    #[cfg(feature = "health")]
    pub(crate) health_check: Option<lb_health::HealthCheck>,
    pub(crate) parts: Parts,
}

impl std::ops::Deref for Inner {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.parts
    }
}

/// What a balancer has, or has not.
#[derive(Default)]
pub(crate) struct Parts {
    #[cfg(feature = "faults")]
    pub(crate) faults: Arc<crate::faults::Faults>,
    #[cfg(feature = "admission")]
    pub(crate) admission: crate::door::Admission,
    #[cfg(feature = "autoscale")]
    pub(crate) scaling: Option<Box<crate::autoscale::Scaling>>,
    #[cfg(feature = "sessions")]
    pub(crate) sessions: Option<crate::sessions::Sessions>,
    #[cfg(feature = "cache")]
    pub(crate) cache: Option<crate::cache::SelectionCache>,
    #[cfg(feature = "geo")]
    pub(crate) geo: Option<crate::geo::Geo>,
    #[cfg(feature = "geo")]
    pub(crate) regional: Option<crate::geo::regional::Regional>,
    #[cfg(feature = "health")]
    pub(crate) checker: Option<lb_health::HealthChecker>,
    #[cfg(feature = "health")]
    pub(crate) agents: Option<(lb_health::AgentCheck, lb_health::AgentChecker)>,
}

impl LoadBalancer {
    /// Starts to describe a balancer.
    pub fn builder() -> LoadBalancerBuilder {
        LoadBalancerBuilder::default()
    }

    pub(crate) fn assemble(pool: Pool, inner: Inner) -> Self {
        #[cfg(feature = "runtime")]
        inner.wait.watch(&pool);
        #[cfg(all(feature = "runtime", feature = "faults"))]
        inner.faults.watch(inner.wait.watcher());
        Self { pool, inner: Arc::new(inner) }
    }

    /// The pool's name; `default` if it was given none.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Are these handles of one balancer?
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.inner, &other.inner)
    }

    /// How backends are chosen: the algorithm's name, `geo-based` or `geo-aware`.
    pub fn algorithm_name(&self) -> &'static str {
        #[cfg(feature = "geo")]
        if self.inner.regional.is_some() {
            return "geo-aware";
        }
        self.pool.settings().algorithm_name()
    }

    /// The pool of backends underneath. Change its backends through the balancer, not here: the balancer keeps health checks
    /// and counters in step.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// Does what is due beside the picks: moves slow-start ramps on, lets open breakers' probes through, begins and ends ejections, tells
    /// of faults. Gives the time at which to call again; `None`: when something changes. The [running](Self::start) balancer
    /// does this by itself: it is for programs without a runtime, which call it every now and then. O(backends).
    pub fn maintain(&self) -> Option<lb_types::Nanos> {
        // Faults first: who is ejected now is on the ramp, or in the next snapshot, at once.
        #[cfg(feature = "faults")]
        let faults = self.inner.faults.maintain(&self.pool, || self.random());
        #[cfg(not(feature = "faults"))]
        let faults = None;
        [self.pool.maintain(), faults].into_iter().flatten().min()
    }

    #[inline]
    pub(crate) fn random(&self) -> u64 {
        match &self.inner.seed {
            None => fastrand::u64(..),
            // Apart by an odd constant, so that the streams of neighbouring requests do not overlap.
            Some(seed) => seed.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed),
        }
    }

    /// Picks a backend and counts the request in. Synchronous, lock-free, local state only.
    ///
    /// # Errors
    /// When no backend is usable, with the reasons.
    pub fn select_backend(
        &self,
        request: &RequestInfo<'_>,
        options: &SelectOptions,
    ) -> Result<Lease, SelectError> {
        self.acquire(&mut self.selection(request, options))
    }
}

impl std::fmt::Debug for LoadBalancer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadBalancer")
            .field("name", &self.inner.name)
            .field("pool", &self.pool)
            .finish_non_exhaustive()
    }
}

impl From<Pool> for LoadBalancer {
    /// A balancer over a pool that exists: no health checks, no discovery, default waiting.
    fn from(pool: Pool) -> Self {
        LoadBalancerBuilder::default().over(pool)
    }
}
