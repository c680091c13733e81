//! Counters of the data plane: one set per worker, added up when somebody looks.

use crate::error::{ProxyError, Side};
use crate::mirror::{Mirror, MirrorStats};
use crate::retry::Failure;
use crate::upstream::shared::{UpstreamConnections, Upstreams};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident),* $(,)?) => {
        /// One worker's counters, on cache lines of their own.
        #[derive(Debug, Default)]
        #[repr(align(128))]
        pub(crate) struct Counters {
            $(pub(crate) $name: AtomicU64,)*
            /// By class: 1xx … 5xx.
            pub(crate) responses: [AtomicU64; 5],
            /// By coding: those of [`Coding::ALL`](crate::Coding::ALL).
            pub(crate) compressed: [AtomicU64; 3],
        }

        /// The data plane's counters since its start, over all workers.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[non_exhaustive]
        pub struct ProxyStatsSnapshot {
            $($(#[$doc])* pub $name: u64,)*
            /// Responses given to clients, by class: 1xx … 5xx.
            pub responses: [u64; 5],
            /// Responses that were compressed, by coding: those of [`Coding::ALL`](crate::Coding::ALL).
            pub compressed: [u64; 3],
        }

        impl ProxyStatsSnapshot {
            fn add(&mut self, c: &Counters) {
                $(self.$name = self.$name.wrapping_add(c.$name.load(Relaxed));)*
                for (mine, theirs) in self.responses.iter_mut().zip(&c.responses) {
                    *mine += theirs.load(Relaxed);
                }
                for (mine, theirs) in self.compressed.iter_mut().zip(&c.compressed) {
                    *mine += theirs.load(Relaxed);
                }
            }
        }
    };
}

counters! {
    /// Client connections accepted.
    connections_accepted,
    /// Client connections that were closed at once, for their address had its number of them; not among the accepted.
    connections_refused,
    /// Client connections that have ended.
    connections_closed,
    /// Requests that reached the proxy.
    requests,
    /// Retries, to whichever backend; counted from the decision on, while they wait.
    retries,
    /// Those of them that came after a failure to connect.
    retries_connect,
    /// Those that came after a connection had broken, or had brought something that is not HTTP.
    retries_reset,
    /// Those that came after a time-out.
    retries_timeout,
    /// Those that came after a response with a status that is retried on.
    retries_status,
    /// Times a request was not sent again, or not hedged, only because the retry budget was spent.
    retries_refused,
    /// Times a second try was made beside a slow first one.
    hedges,
    /// Times such a second try gave the response.
    hedges_won,
    /// Times a pooled connection turned out to be closed and the request went out on a new one.
    stale_connections,
    /// Malformed requests.
    client_errors,
    /// Clients that were too slow: with a head, a body, or taking a response.
    client_timeouts,
    /// Requests that were turned away: load was shed, or they could not wait in the queue.
    turned_away,
    /// Requests that were answered 429.
    rate_limited,
    /// Requests whose body was longer than the listener takes.
    bodies_too_large,
    /// Requests that no route takes.
    no_route,
    /// Requests that a route's gate has turned away: by address or by password, or because nobody could say.
    denied,
    /// Requests that no backend was usable for.
    no_backend,
    /// Those of them that got the breaker's fallback response.
    fallbacks,
    /// Connections made to backends.
    upstream_connects,
    /// Connections to backends that could not be made.
    upstream_connect_errors,
    /// Requests sent on a pooled connection.
    upstream_reused,
    /// Exchanges with a backend that failed after the connection was there.
    upstream_errors,
    /// Backends that did not answer in time.
    upstream_timeouts,
    /// Load reports (`endpoint-load-metrics`) of backends that could not be read.
    load_reports_malformed,
    /// Agent reports in response headers that could not be read.
    agent_reports_malformed,
    /// Bytes of responses that went into compression.
    compression_bytes_in,
    /// Bytes that came out of it.
    compression_bytes_out,
}

impl ProxyStatsSnapshot {
    /// Client connections that are open.
    pub fn connections_open(&self) -> u64 {
        self.connections_accepted.saturating_sub(self.connections_closed)
    }
}

impl Counters {
    #[inline]
    pub(crate) fn count(counter: &AtomicU64) {
        counter.fetch_add(1, Relaxed);
    }

    /// Counts why a request got a response of the proxy's own.
    pub(crate) fn failure(&self, error: ProxyError) {
        Self::count(match error {
            ProxyError::ClientTimeout => &self.client_timeouts,
            ProxyError::BodyTooLarge => &self.bodies_too_large,
            ProxyError::NoRoute => &self.no_route,
            ProxyError::Forbidden | ProxyError::Unauthorized | ProxyError::AuthUnavailable => &self.denied,
            ProxyError::NoBackend(_) => &self.no_backend,
            ProxyError::Timeout | ProxyError::ConnectTimeout => &self.upstream_timeouts,
            e if e.side() == Side::Client => &self.client_errors,
            _ => &self.upstream_errors,
        });
    }

    /// Counts a retry, and what it comes after.
    pub(crate) fn retry(&self, after: Failure) {
        Self::count(&self.retries);
        Self::count(match after {
            Failure::Connect => &self.retries_connect,
            Failure::Reset => &self.retries_reset,
            Failure::Timeout => &self.retries_timeout,
            Failure::Status(_) => &self.retries_status,
        });
    }

    #[inline]
    pub(crate) fn response(&self, status: http::StatusCode) {
        let class = usize::from(status.as_u16() / 100).clamp(1, 5) - 1;
        Self::count(&self.responses[class]);
    }
}

/// The counters of all workers, and their connections to backends.
#[derive(Default)]
pub struct ProxyStats {
    counters: Mutex<Vec<Arc<Counters>>>,
    upstreams: Mutex<Vec<Weak<dyn Upstreams>>>,
    /// Of each worker, requests by route.
    routes: Mutex<Vec<Arc<[AtomicU64]>>>,
    /// The routes' mirrors, which all workers share.
    mirrors: Mutex<Vec<Arc<Mirror>>>,
}

impl std::fmt::Debug for ProxyStats {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ProxyStats").finish_non_exhaustive()
    }
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ProxyStats {
    /// A worker's own counters.
    pub(crate) fn register(&self) -> Arc<Counters> {
        let c = Arc::new(Counters::default());
        lock(&self.counters).push(c.clone());
        c
    }

    /// A worker's count of requests, by route.
    pub(crate) fn register_routes(&self, requests: Arc<[AtomicU64]>) {
        lock(&self.routes).push(requests);
    }

    /// How many requests each route had, in the routes' order; empty without routes. O(routes × workers).
    pub fn route_requests(&self) -> Vec<u64> {
        let workers = lock(&self.routes);
        let routes = workers.first().map_or(0, |first| first.len());
        let of = |route: usize| workers.iter().filter_map(|w| w.get(route)).map(|n| n.load(Relaxed)).sum();
        (0..routes).map(of).collect()
    }

    /// The routes' mirrors: the same for every worker.
    pub(crate) fn register_mirrors<'m>(&self, mirrors: impl Iterator<Item = &'m Arc<Mirror>>) {
        *lock(&self.mirrors) = mirrors.cloned().collect();
    }

    /// What each route's mirror did, in the routes' order; nothing of routes without one.
    pub fn mirrors(&self) -> Vec<MirrorStats> {
        lock(&self.mirrors).iter().map(|m| m.stats()).collect()
    }

    /// A pool's connections.
    pub(crate) fn watch(&self, upstreams: Weak<dyn Upstreams>) {
        lock(&self.upstreams).push(upstreams);
    }

    /// The sums of this moment.
    pub fn snapshot(&self) -> ProxyStatsSnapshot {
        let mut sum = ProxyStatsSnapshot::default();
        for c in lock(&self.counters).iter() {
            sum.add(c);
        }
        sum
    }

    /// The connections to each backend of each pool that has had one. O(backends × workers).
    pub fn upstreams(&self) -> Vec<UpstreamConnections> {
        let mut seen = vec![];
        for upstreams in lock(&self.upstreams).iter().filter_map(Weak::upgrade) {
            upstreams.see(&mut seen);
        }
        seen
    }
}
