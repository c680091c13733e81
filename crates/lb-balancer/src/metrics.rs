//! What happened: the balancer's figures and each backend's, read from the engine's atomics when somebody asks.
//!
//! A reading is a momentary picture, not an atomic one: each figure is right for a moment within the call. Latencies are times from the
//! pick to the first byte of successful requests, in milliseconds, since the backend was added, from histograms 12.5 % wide; the pool's are
//! merged from its present backends. `requests` also counts those of backends that are gone, so it never goes down: a request that ends
//! while its figures are read may be counted twice or not at all, and what was told once stays told.

use crate::balancer::LoadBalancer;
use lb_core::{HistogramSnapshot, Member};
use lb_types::{BackendId, BackendUrl, Exclusion, Nanos};
use std::sync::atomic::Ordering::Relaxed;

/// A balancer's figures.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BalancerMetrics {
    /// Requests that got a backend, those in flight included.
    pub requests: u64,
    /// Backends whose active check passes.
    pub healthy_backends: usize,
    /// Backends whose active check fails.
    pub unhealthy_backends: usize,
    /// All backends.
    pub total_backends: usize,
    /// Mean time to first byte, ms; `None` before the first (or if the pool keeps no histograms).
    pub avg_response_time: Option<f64>,
    /// Half of the responses began within this time, ms.
    pub p50: Option<f64>,
    /// 90 % of the responses began within this time, ms.
    pub p90: Option<f64>,
    /// 99 % of the responses began within this time, ms.
    pub p99: Option<f64>,
    /// Requests in flight.
    pub in_flight: u64,
    /// Requests that wait in the queue; `None`: there is none.
    pub queued: Option<usize>,
    /// How long the one has waited that waits longest, ms: 0 while nobody waits; `None`: there is no queue.
    pub queue_delay: Option<u64>,
    /// Requests that came a second, as the scaler saw it at its last look (at most a second ago); `None`: the pool is not scaled, or it is not known yet.
    pub requests_per_second: Option<f64>,
    /// Mean CPU of the instances of which it is known, percent, of the same look; `None`: not known of any.
    pub cpu: Option<f64>,
    /// Of how many instances that is the mean; `None`: the pool is not scaled.
    pub cpu_known: Option<u32>,
    /// Each backend's figures, in the pool's order.
    pub backends: Vec<BackendMetrics>,
}

/// One backend's figures.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct BackendMetrics {
    /// Which backend.
    pub id: BackendId,
    /// Where it is.
    pub url: BackendUrl,
    /// The verdict of active health checks.
    pub healthy: bool,
    /// Why it would get no request now; `None`: it may get one.
    pub exclusion: Option<Exclusion>,
    /// Its configured weight.
    pub weight: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that ended well.
    pub succeeded: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests whose client left.
    pub cancelled: u64,
    /// Mean time to first byte, ms.
    pub avg: Option<f64>,
    /// Half of the responses began within this time, ms.
    pub p50: Option<f64>,
    /// 99 % of the responses began within this time, ms.
    pub p99: Option<f64>,
}

fn ms(time: Nanos) -> f64 {
    time.0 as f64 / 1e6
}

fn quantile(latency: &HistogramSnapshot, q: f64) -> Option<f64> {
    latency.quantile(q).map(ms)
}

impl BackendMetrics {
    fn of(member: &Member, latency: &HistogramSnapshot) -> Self {
        let state = member.state();
        let stats = state.stats();
        Self {
            id: state.id().clone(),
            url: state.url().clone(),
            healthy: member.is_healthy(),
            exclusion: member.exclusion(),
            weight: state.spec().weight,
            in_flight: stats.in_flight,
            succeeded: stats.succeeded,
            failed: stats.failed,
            cancelled: stats.cancelled,
            avg: latency.mean().map(ms),
            p50: quantile(latency, 0.5),
            p99: quantile(latency, 0.99),
        }
    }

    /// All requests, those in flight included.
    pub fn requests(&self) -> u64 {
        u64::from(self.in_flight) + self.succeeded + self.failed + self.cancelled
    }
}

/// What presses on the pool, as far as somebody counts it.
#[derive(Default)]
struct Pressure {
    queued: Option<usize>,
    queue_delay: Option<u64>,
    requests_per_second: Option<f64>,
    cpu: Option<f64>,
    cpu_known: Option<u32>,
}

impl LoadBalancer {
    fn pressure(&self) -> Pressure {
        #[cfg_attr(not(feature = "admission"), expect(unused_mut, reason = "nobody counts"))]
        let mut pressure = Pressure::default();
        #[cfg(feature = "admission")]
        if let Some(stats) = self.queue().map(lb_admission::queue::Queue::stats) {
            pressure.queued = Some(stats.waiting);
            pressure.queue_delay = Some(stats.levels.iter().map(|l| l.oldest_wait_ms).max().unwrap_or(0));
        }
        #[cfg(feature = "autoscale")]
        if let Some(seen) = self.seen_by_scaler() {
            pressure.requests_per_second = seen.requests_per_second;
            let known = seen.cpu.known;
            pressure.cpu = (known > 0).then(|| seen.cpu.sum_percent / f64::from(known));
            pressure.cpu_known = Some(known);
        }
        pressure
    }

    /// The figures of this moment. O(backends), with 1.6 KiB read a backend: for scrapes and reports, not for every request.
    pub fn metrics(&self) -> BalancerMetrics {
        #[cfg(feature = "geo")]
        if let Some(regional) = &self.inner.regional {
            return self.metrics_over(regional.leaves());
        }
        let (snapshot, gone) = self.inner.members.snapshot_and_gone(self.pool());
        let mut merged = HistogramSnapshot::default();
        let of = |m: &Member| {
            let latency = m.state().latency();
            merged.merge(&latency);
            BackendMetrics::of(m, &latency)
        };
        let backends: Vec<_> = snapshot.members().iter().map(of).collect();
        let healthy = backends.iter().filter(|b| b.healthy).count();
        let pressure = self.pressure();
        let requests = backends.iter().map(BackendMetrics::requests).sum::<u64>()
            + gone.requests()
            + u64::from(gone.in_flight);
        BalancerMetrics {
            requests: requests.max(self.inner.requests_told.fetch_max(requests, Relaxed)),
            healthy_backends: healthy,
            unhealthy_backends: backends.len() - healthy,
            total_backends: backends.len(),
            avg_response_time: merged.mean().map(ms),
            p50: quantile(&merged, 0.5),
            p90: quantile(&merged, 0.9),
            p99: quantile(&merged, 0.99),
            in_flight: backends.iter().map(|b| u64::from(b.in_flight)).sum::<u64>()
                + u64::from(gone.in_flight),
            queued: pressure.queued,
            queue_delay: pressure.queue_delay,
            requests_per_second: pressure.requests_per_second,
            cpu: pressure.cpu,
            cpu_known: pressure.cpu_known,
            backends,
        }
    }

    /// The regions' figures together: their backends are theirs, and listed there.
    #[cfg(feature = "geo")]
    fn metrics_over(&self, leaves: &[LoadBalancer]) -> BalancerMetrics {
        let mut merged = HistogramSnapshot::default();
        for leaf in leaves {
            let snapshot = leaf.pool().snapshot();
            snapshot.members().iter().for_each(|m| merged.merge(&m.state().latency()));
        }
        let each: Vec<_> = leaves.iter().map(Self::metrics).collect();
        let sum = |of: fn(&BalancerMetrics) -> usize| each.iter().map(of).sum();
        BalancerMetrics {
            requests: each.iter().map(|m| m.requests).sum(),
            healthy_backends: sum(|m| m.healthy_backends),
            unhealthy_backends: sum(|m| m.unhealthy_backends),
            total_backends: sum(|m| m.total_backends),
            avg_response_time: merged.mean().map(ms),
            p50: quantile(&merged, 0.5),
            p90: quantile(&merged, 0.9),
            p99: quantile(&merged, 0.99),
            in_flight: each.iter().map(|m| m.in_flight).sum(),
            queued: each.iter().filter_map(|m| m.queued).reduce(|a, b| a + b),
            queue_delay: each.iter().filter_map(|m| m.queue_delay).max(),
            // Regions are not scaled.
            requests_per_second: None,
            cpu: None,
            cpu_known: None,
            backends: vec![],
        }
    }

    /// What came of the look-ups in the selection cache; `None`: there is none.
    #[cfg(feature = "cache")]
    pub fn cache_stats(&self) -> Option<crate::cache::CacheStats> {
        self.inner.cache.as_ref().map(crate::cache::SelectionCache::stats)
    }

    /// May at least one backend take requests by its own right: one that is in service and healthy, at its limit or not? `false`
    /// also in panic, when unhealthy backends are tried because there are no others.
    pub fn is_usable(&self) -> bool {
        #[cfg(feature = "geo")]
        if let Some(regional) = &self.inner.regional {
            return regional.leaves().iter().any(Self::is_usable);
        }
        // One that was scaled to zero serves: the next request brings an instance.
        #[cfg(feature = "autoscale")]
        if self.is_at_zero() {
            return true;
        }
        let usable = |m: &Member| matches!(m.exclusion(), None | Some(Exclusion::ConnectionLimit));
        self.pool().snapshot().members().iter().any(usable)
    }
}
