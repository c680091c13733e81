//! The data plane's counters for `/metrics`: the proxy and the admin server do not know each other.

use lb_admin::MetricsWriter;
use lb_proxy::{
    CloseReason, Coding, MirrorResult, MirrorStats, ProxyStatsSnapshot, RateLimitStats, UpstreamConnections,
};

/// Writes all of them.
pub(super) fn proxy(s: &ProxyStatsSnapshot, out: &mut MetricsWriter) {
    let help = "Client connections that are open.";
    out.gauge("edge_lb_client_connections", help, &[], s.connections_open() as f64);
    let help = "Responses to clients by class of status.";
    for (class, n) in ["1xx", "2xx", "3xx", "4xx", "5xx"].into_iter().zip(s.responses) {
        out.counter("edge_lb_http_responses_total", help, &[("class", class)], n);
    }
    for (coding, n) in Coding::ALL.into_iter().zip(s.compressed) {
        let help = "Responses that were compressed here.";
        out.counter("edge_lb_compressed_responses_total", help, &[("encoding", coding.as_str())], n);
    }
    let help = "Retries by what they came after.";
    let reasons = [
        ("connect", s.retries_connect),
        ("reset", s.retries_reset),
        ("timeout", s.retries_timeout),
        ("status", s.retries_status),
    ];
    for (reason, n) in reasons {
        out.counter("edge_lb_http_retry_reasons_total", help, &[("reason", reason)], n);
    }
    let counters = [
        ("edge_lb_client_connections_total", "Client connections accepted.", s.connections_accepted),
        (
            "edge_lb_client_connections_refused_total",
            "Client connections closed at once: their address had its number of them.",
            s.connections_refused,
        ),
        (
            "edge_lb_http_bodies_too_large_total",
            "Requests whose body was longer than the listener takes.",
            s.bodies_too_large,
        ),
        ("edge_lb_http_requests_total", "Requests that reached the proxy.", s.requests),
        ("edge_lb_http_retries_total", "Retries, those included that wait for their time.", s.retries),
        (
            "edge_lb_http_retries_refused_total",
            "Times a request was not sent again, or not hedged, only because the retry budget was spent.",
            s.retries_refused,
        ),
        ("edge_lb_http_hedges_total", "Times a second try was made beside a slow first one.", s.hedges),
        ("edge_lb_http_hedges_won_total", "Times such a second try gave the response.", s.hedges_won),
        ("edge_lb_http_denied_total", "Requests that a route's gate has turned away.", s.denied),
        ("edge_lb_http_no_route_total", "Requests that no route takes.", s.no_route),
        ("edge_lb_http_no_backend_total", "Requests that no backend was usable for.", s.no_backend),
        ("edge_lb_http_fallbacks_total", "Requests that got the breaker's fallback response.", s.fallbacks),
        (
            "edge_lb_http_turned_away_total",
            "Requests that were shed, or could not wait in the queue.",
            s.turned_away,
        ),
        ("edge_lb_http_rate_limited_total", "Requests that were answered 429.", s.rate_limited),
        ("edge_lb_client_errors_total", "Malformed requests.", s.client_errors),
        ("edge_lb_client_timeouts_total", "Clients that were too slow.", s.client_timeouts),
        ("edge_lb_upstream_connects_total", "Connections made to backends.", s.upstream_connects),
        (
            "edge_lb_upstream_connect_errors_total",
            "Connections to backends that could not be made.",
            s.upstream_connect_errors,
        ),
        ("edge_lb_upstream_reused_total", "Requests sent on a pooled connection.", s.upstream_reused),
        (
            "edge_lb_upstream_stale_total",
            "Pooled connections that turned out to be closed: the request went out on a new one.",
            s.stale_connections,
        ),
        ("edge_lb_upstream_errors_total", "Exchanges with a backend that failed.", s.upstream_errors),
        ("edge_lb_upstream_timeouts_total", "Backends that did not answer in time.", s.upstream_timeouts),
        (
            "edge_lb_load_reports_malformed_total",
            "Load reports of backends that could not be read.",
            s.load_reports_malformed,
        ),
        (
            "edge_lb_compression_input_bytes_total",
            "Bytes of responses that went into compression.",
            s.compression_bytes_in,
        ),
        (
            "edge_lb_compression_output_bytes_total",
            "Bytes of responses that came out of it.",
            s.compression_bytes_out,
        ),
        (
            "edge_lb_agent_reports_malformed_total",
            "Agent reports in response headers that could not be read.",
            s.agent_reports_malformed,
        ),
    ];
    out.counters(&[], counters);
}

/// How many routes have a line of their own: more are no use to anybody who looks.
const ROUTES_MAX: usize = 1_000;

/// How many requests each route took; of the first [`ROUTES_MAX`].
pub(super) fn routes(names: &[String], requests: &[u64], out: &mut MetricsWriter) {
    for (name, n) in names.iter().zip(requests).take(ROUTES_MAX) {
        let help = "Requests that took the route, of the first 1000.";
        out.counter("edge_lb_route_requests_total", help, &[("route", name)], *n);
    }
}

/// What became of the copies of requests; of the first [`ROUTES_MAX`] routes that make any.
pub(super) fn mirrors(all: &[MirrorStats], out: &mut MetricsWriter) {
    for m in all.iter().take(ROUTES_MAX) {
        let route = ("route", &*m.route);
        for (result, n) in MirrorResult::ALL.into_iter().zip(m.results) {
            let help = "Requests that were to be mirrored, by what became of it.";
            let labels = [route, ("result", result.as_str())];
            out.counter("edge_lb_mirror_requests_total", help, &labels, n);
        }
        let help = "Mirrored requests that are under way.";
        out.gauge("edge_lb_mirror_in_flight", help, &[route], m.in_flight as f64);
        for (side, times) in [("primary", &m.primary), ("shadow", &m.shadow)] {
            let help = "Time to the head of the response, of mirrored requests that both sides answered.";
            out.histogram("edge_lb_mirror_latency_seconds", help, &[route, ("side", side)], times);
        }
    }
}

/// What a pool's rate limit did.
pub(super) fn rate_limit(pool: &str, s: &RateLimitStats, out: &mut MetricsWriter) {
    let p = ("pool", pool);
    for (outcome, n) in [("allowed", s.allowed), ("limited", s.limited)] {
        let help = "Requests by what the rate limit said; with dry_run the limited ones come in as well.";
        out.counter("edge_lb_rate_limit_total", help, &[p, ("outcome", outcome)], n);
    }
    out.gauge("edge_lb_rate_limit_keys", "Keys that are remembered here.", &[p], s.keys as f64);
    let counters = [
        ("edge_lb_rate_limit_evicted_total", "Keys that made room for others before their time.", s.evicted),
        ("edge_lb_rate_limit_store_failures_total", "Questions to the store that failed.", s.store_failures),
    ];
    out.counters(&[p], counters);
}

/// The connections to each backend.
pub(super) fn upstreams(all: &[UpstreamConnections], out: &mut MetricsWriter) {
    for u in all {
        let labels = [("pool", &*u.pool), ("backend", &*u.backend)];
        let help = "Connections to the backend that are open or being made.";
        out.gauge("edge_lb_upstream_connections_open", help, &labels, f64::from(u.open));
        let help = "Those of them that wait for a request.";
        out.gauge("edge_lb_upstream_connections_idle", help, &labels, u.idle as f64);
        let counters = [
            ("edge_lb_upstream_connections_opened_total", "Connections made to the backend.", u.opened),
            (
                "edge_lb_upstream_connections_reused_total",
                "Requests that were given a connection to the backend that was there.",
                u.reused,
            ),
        ];
        out.counters(&labels, counters);
        for (why, n) in CloseReason::ALL.iter().zip(u.closed) {
            let help = "Connections to the backend that were closed, by reason.";
            let labels = [labels[0], labels[1], ("reason", why.as_str())];
            out.counter("edge_lb_upstream_connections_closed_total", help, &labels, n);
        }
    }
}

/// What came of questions where a client is.
pub(super) fn geo(s: &lb_geo::detector::Statistics, out: &mut MetricsWriter) {
    let counters = [
        ("edge_lb_geo_lookups_total", "Questions where a client is.", s.lookups),
        ("edge_lb_geo_cache_hits_total", "Questions that were answered by the cache.", s.hits),
        ("edge_lb_geo_unknown_total", "Clients that nobody could place.", s.unknown),
        ("edge_lb_geo_errors_total", "Questions to a database or provider that failed.", s.errors),
    ];
    out.counters(&[], counters);
}
