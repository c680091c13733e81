//! Sessions and the selection cache of a pool.

use super::MetricsWriter;
use lb_balancer::LoadBalancer;

pub(super) fn collect(pool: &str, lb: &LoadBalancer, out: &mut MetricsWriter) {
    let p = ("pool", pool);
    if let Some(manager) = lb.session_manager() {
        let s = manager.session_stats();
        out.gauge("edge_lb_sessions", "Sessions that are bound to a backend.", &[p], s.active as f64);
        let help = "Sessions that were cleared and are remembered, so that their cookies do not count.";
        out.gauge("edge_lb_session_tombstones", help, &[p], s.tombstones as f64);
        let counters = [
            ("edge_lb_sessions_total", "Sessions begun.", s.total),
            ("edge_lb_sessions_moved_total", "Sessions that moved, their backend not being usable.", s.moved),
            ("edge_lb_sessions_cleared_total", "Sessions cleared by hand.", s.cleared),
            ("edge_lb_sessions_expired_total", "Sessions that were not used any more.", s.expired),
            ("edge_lb_sessions_evicted_total", "Sessions that made room for others.", s.evicted),
        ];
        out.counters(&[p], counters);
        for (why, n) in s.ignored.iter() {
            let help = "What clients presented as theirs and was ignored, by reason.";
            out.counter("edge_lb_session_ignored_total", help, &[p, ("reason", why.as_str())], n);
        }
    }
    if let Some(shared) = lb.shared_sessions() {
        let s = shared.stats();
        let help = "Sessions that wait to be written to the store.";
        out.gauge("edge_lb_session_store_queued", help, &[p], s.queued as f64);
        let counters = [
            ("edge_lb_session_store_lookups_total", "Sessions that the store was asked for.", s.lookups),
            ("edge_lb_session_store_hits_total", "Sessions that the store knew.", s.lookup_hits),
            ("edge_lb_session_store_adopted_total", "Sessions taken over from other nodes.", s.adopted),
            ("edge_lb_session_store_synced_total", "Sessions that the store agrees on.", s.synced),
            ("edge_lb_session_store_failed_total", "Questions to the store that failed.", s.failed),
            (
                "edge_lb_session_store_dropped_total",
                "Sessions that waited too long to be written.",
                s.dropped,
            ),
        ];
        out.counters(&[p], counters);
    }
    if let Some(s) = lb.cache_stats() {
        let help = "Selections that are kept.";
        out.gauge("edge_lb_selection_cache_entries", help, &[p], s.entries as f64);
        let help = "Requests by what the selection cache said.";
        for (outcome, n) in [("hit", s.hits), ("miss", s.misses), ("moved", s.moved)] {
            out.counter("edge_lb_selection_cache_total", help, &[p, ("outcome", outcome)], n);
        }
    }
}
