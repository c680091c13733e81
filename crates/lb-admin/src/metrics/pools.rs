//! A pool's metrics, its backends' among them.

use super::{MetricsWriter, faults};
use lb_balancer::LoadBalancer;
use lb_core::Member;

pub(super) fn collect(pool: &str, lb: &LoadBalancer, out: &mut MetricsWriter) {
    let m = lb.metrics();
    let snapshot = lb.pool().snapshot_full();
    let flag = |b: bool| f64::from(u8::from(b));
    let p = ("pool", pool);

    let help = "Requests that got a backend of the pool, those in flight included.";
    out.counter("edge_lb_pool_requests_total", help, &[p], m.requests);
    for (state, n) in [("healthy", m.healthy_backends), ("unhealthy", m.unhealthy_backends)] {
        let help = "Backends of the pool by the verdict of active health checks.";
        out.gauge("edge_lb_pool_backends", help, &[p, ("state", state)], n as f64);
    }
    let help = "Counts the published changes of the pool.";
    out.gauge("edge_lb_pool_generation", help, &[p], snapshot.generation() as f64);
    let help = "1 while active health is ignored, for too few backends are healthy.";
    out.gauge("edge_lb_pool_panic", help, &[p], flag(snapshot.is_panicking()));
    let help = "1 while ejections are ignored, for they have taken the last usable backend.";
    out.gauge("edge_lb_pool_ignores_ejections", help, &[p], flag(snapshot.ignores_ejections()));
    let help = "1 while at least one backend may take requests.";
    out.gauge("edge_lb_pool_usable", help, &[p], flag(lb.is_usable()));
    for member in snapshot.members() {
        backend(pool, member, out);
        faults::backend(pool, lb, member, out);
    }
    discovery(pool, lb, out);
}

fn backend(pool: &str, member: &Member, out: &mut MetricsWriter) {
    let state = member.state();
    let (stats, id) = (state.stats(), state.id().as_str());
    let labels = [("pool", pool), ("backend", id)];
    let outcomes = [("success", stats.succeeded), ("failure", stats.failed), ("cancelled", stats.cancelled)];
    for (outcome, n) in outcomes {
        let help = "Requests to the backend that have ended, by outcome.";
        out.counter("edge_lb_backend_requests_total", help, &[labels[0], labels[1], ("outcome", outcome)], n);
    }
    out.gauge("edge_lb_backend_in_flight", "Requests in flight.", &labels, f64::from(stats.in_flight));
    if let Some(limit) = state.limit() {
        let help =
            "The most requests in flight, as it stands: what is set, and what the backend was found to bear.";
        out.gauge("edge_lb_backend_limit", help, &labels, f64::from(limit));
    }
    let healthy = f64::from(u8::from(member.is_healthy()));
    out.gauge("edge_lb_backend_healthy", "1 while the active health check passes.", &labels, healthy);
    out.gauge("edge_lb_backend_weight", "The configured weight.", &labels, f64::from(state.spec().weight));
    if let Some(why) = member.exclusion() {
        let help = "1 while the backend gets no requests, for this reason.";
        out.gauge("edge_lb_backend_excluded", help, &[labels[0], labels[1], ("reason", why.as_str())], 1.0);
    }
    let help = "From the pick to the first byte of successful responses.";
    out.histogram("edge_lb_backend_response_seconds", help, &labels, &state.latency());
}

fn discovery(pool: &str, lb: &LoadBalancer, out: &mut MetricsWriter) {
    for (n, status) in lb.discovery_status().iter().enumerate() {
        // Two sources of one pool may describe themselves alike.
        let n = n.to_string();
        let labels = [("pool", pool), ("source", status.source.as_str()), ("index", n.as_str())];
        for (outcome, n) in [("success", status.successes), ("failure", status.failures)] {
            let help = "Lists asked of the discovery source, by outcome.";
            let all = [labels[0], labels[1], labels[2], ("outcome", outcome)];
            out.counter("edge_lb_discovery_updates_total", help, &all, n);
        }
        let help = "Backends of the pool that are from this discovery source.";
        out.gauge("edge_lb_discovery_backends", help, &labels, status.backends as f64);
        if let Some(ms) = status.last_success {
            let help = "When the last good list came, in seconds since the Unix epoch.";
            out.gauge("edge_lb_discovery_last_success_timestamp_seconds", help, &labels, ms as f64 / 1e3);
        }
    }
}
