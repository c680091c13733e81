//! What the API answers, as it stands in JSON. `docs/admin-api.md` shows each.

use crate::faults::{Agents, FaultsView};
use lb_balancer::admission::queue::{Queue, QueueStats};
use lb_balancer::admission::shed::{ShedStatus, Shedder};
use lb_balancer::{BackendMetrics, BalancerMetrics, DiscoveryStatus, LoadBalancer};
use lb_types::{Backend, BackendId, HealthStatus};
use serde::Serialize;
use std::collections::BTreeMap;

#[derive(Serialize)]
pub(crate) struct Version {
    name: &'static str,
    version: &'static str,
}

impl Version {
    pub(crate) const THIS: Self = Self { name: "edge-lb", version: env!("CARGO_PKG_VERSION") };

    pub(crate) fn number(&self) -> &'static str {
        self.version
    }
}

#[derive(Serialize)]
pub(crate) struct Pools {
    /// The pool that requests come to; `null` where nobody has said.
    pub(crate) entry: Option<String>,
    /// The pools that requests come to; the others are regions of theirs. Empty: all of them.
    pub(crate) entries: Vec<String>,
    pub(crate) pools: Vec<PoolSummary>,
}

/// One pool in a few figures.
#[derive(Serialize)]
pub(crate) struct PoolSummary {
    name: String,
    algorithm: &'static str,
    /// Counts the changes.
    generation: u64,
    /// At least one backend may take requests.
    usable: bool,
    /// Active health is ignored, for too few backends are healthy.
    panic: bool,
    /// Ejections are ignored, for they have taken the last usable backend.
    ignores_ejections: bool,
    total_backends: usize,
    healthy_backends: usize,
    unhealthy_backends: usize,
    in_flight: u64,
    requests: u64,
}

impl PoolSummary {
    pub(crate) fn of(name: &str, lb: &LoadBalancer) -> Self {
        Self::with(name, lb, &lb.metrics())
    }

    fn with(name: &str, lb: &LoadBalancer, m: &BalancerMetrics) -> Self {
        let snapshot = lb.pool().snapshot();
        Self {
            name: name.to_owned(),
            algorithm: lb.algorithm_name(),
            generation: snapshot.generation(),
            usable: lb.is_usable(),
            panic: snapshot.is_panicking(),
            ignores_ejections: snapshot.ignores_ejections(),
            total_backends: m.total_backends,
            healthy_backends: m.healthy_backends,
            unhealthy_backends: m.unhealthy_backends,
            in_flight: m.in_flight,
            requests: m.requests,
        }
    }
}

/// One pool with all that is in it.
#[derive(Serialize)]
pub(crate) struct PoolView {
    #[serde(flatten)]
    summary: PoolSummary,
    backends: Vec<BackendView>,
    /// Where the pool is `geo-aware`: each region's pool.
    regions: Option<BTreeMap<String, String>>,
    discovery: Vec<DiscoveryStatus>,
    /// Who waits; `null` without a queue.
    queue: Option<QueueStats>,
    /// What is refused, and the load that was read; `null` without load shedding.
    load_shedding: Option<ShedStatus>,
}

/// One backend: what it does, how it was configured, how it stands.
#[derive(Serialize)]
pub(crate) struct BackendView {
    #[serde(flatten)]
    metrics: BackendMetrics,
    /// The most requests in flight, as it stands now.
    limit: Option<u32>,
    #[serde(flatten)]
    spec: SpecView,
    health: Option<HealthStatus>,
    #[serde(flatten)]
    faults: FaultsView,
}

impl BackendView {
    fn of(
        lb: &LoadBalancer,
        metrics: BackendMetrics,
        health: &mut BTreeMap<BackendId, HealthStatus>,
        agents: &mut Agents,
    ) -> Self {
        let snapshot = lb.pool().snapshot();
        let member = snapshot.get(&metrics.id);
        Self {
            // These are missing only if the backend went this moment.
            spec: lb.get_backend(&metrics.id).as_deref().map(SpecView::from).unwrap_or_default(),
            limit: member.and_then(|m| m.state().limit()),
            faults: member.map(|m| FaultsView::of(lb, m, agents)).unwrap_or_default(),
            health: health.remove(&metrics.id),
            metrics,
        }
    }

    /// The backend of this id, if there is one.
    pub(crate) fn one(lb: &LoadBalancer, id: &BackendId) -> Option<Self> {
        let metrics = lb.metrics().backends.into_iter().find(|b| b.id == *id)?;
        Some(Self::of(lb, metrics, &mut lb.health_status(), &mut Agents::of(lb)))
    }
}

/// What was configured, but for what the figures say already.
#[derive(Default, Serialize)]
struct SpecView {
    max_connections: Option<u32>,
    priority: u32,
    backup: bool,
    disabled: bool,
    metadata: BTreeMap<String, String>,
}

impl From<&Backend> for SpecView {
    fn from(b: &Backend) -> Self {
        Self {
            max_connections: b.max_connections,
            priority: b.priority,
            backup: b.backup,
            disabled: b.disabled,
            metadata: b.metadata.clone(),
        }
    }
}

impl PoolView {
    pub(crate) fn of(name: &str, lb: &LoadBalancer) -> Self {
        let m = lb.metrics();
        let summary = PoolSummary::with(name, lb, &m);
        let (mut health, mut agents) = (lb.health_status(), Agents::of(lb));
        let view = |metrics| BackendView::of(lb, metrics, &mut health, &mut agents);
        let backends = m.backends.into_iter().map(view).collect();
        let regions = lb.regional_pools();
        let (queue, load_shedding) = (lb.queue().map(Queue::stats), lb.shedder().map(Shedder::status));
        Self { summary, backends, regions, discovery: lb.discovery_status(), queue, load_shedding }
    }
}

#[derive(Serialize)]
pub(crate) struct Health {
    pub(crate) pools: BTreeMap<String, PoolHealth>,
}

#[derive(Serialize)]
pub(crate) struct PoolHealth {
    usable: bool,
    healthy_backends: usize,
    total_backends: usize,
    backends: BTreeMap<BackendId, HealthStatus>,
}

impl PoolHealth {
    pub(crate) fn of(lb: &LoadBalancer) -> Self {
        let backends = lb.health_status();
        Self {
            usable: lb.is_usable(),
            healthy_backends: backends.values().filter(|s| s.healthy).count(),
            total_backends: backends.len(),
            backends,
        }
    }
}

#[derive(Serialize)]
pub(crate) struct Metrics {
    pub(crate) pools: BTreeMap<String, BalancerMetrics>,
}
