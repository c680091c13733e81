//! Connections that are opened before requests ask for them: at least `preconnect` to each usable backend, over all workers.
//!
//! Each worker keeps a share of idle ones and opens another only while the backend has fewer than `preconnect` over all workers. One that dies, or
//! reaches the end of its time, is replaced at the next look. A backend that cannot be connected to is asked again after a time that
//! doubles. Off the requests' way: one connection to a backend is made at a time, and [`AT_ONCE`] in all.

use super::Upstream;
use crate::engine::RequestBody;
use crate::proxy::Proxy;
use crate::service::Leaf;
use lb_core::BackendState;
use lb_types::Nanos;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// How often a worker looks at its share.
const LOOK: Duration = Duration::from_millis(250);
/// How many backends a worker connects to at once.
const AT_ONCE: usize = 16;
/// The longest that one connection may take: a backend that is silent holds one of those.
const CONNECT_MAX: Duration = Duration::from_secs(5);
/// The wait after the first failure, and the longest.
const BACKOFF: (Nanos, Nanos) = (Nanos::from_millis(500), Nanos::from_secs(30));

/// Which of the workers it is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part {
    pub(crate) index: u32,
    pub(crate) workers: u32,
}

impl Part {
    /// This worker's share of `n`: they differ by one at most, and their sum is `n`.
    fn of(self, n: u32) -> usize {
        (n / self.workers + u32::from(self.index < n % self.workers)) as usize
    }
}

/// How connecting to a backend goes.
#[derive(Clone, Copy, Debug, Default)]
struct Fares {
    /// A task is at it.
    busy: bool,
    failures: u32,
    /// Not again before.
    next: Nanos,
}

impl Fares {
    fn failed(&mut self, now: Nanos) {
        let (first, longest) = BACKOFF;
        let wait = Nanos(first.0.saturating_mul(1 << self.failures.min(20))).min(longest);
        (self.failures, self.next) = (self.failures.saturating_add(1), now + wait);
    }
}

/// Keeps the share, until it is dropped.
pub(crate) async fn keep<B: RequestBody>(proxy: Proxy<B>, part: Part) {
    // By leaf and backend; those that left are forgotten with the next look that finds nothing under way.
    let mut fares: HashMap<(usize, u64), Fares> = HashMap::new();
    let mut under_way = JoinSet::new();
    loop {
        let now = proxy.worker().timer.now();
        for (leaf, backend) in missing(&proxy, part) {
            let this = fares.entry((leaf, backend.uid())).or_default();
            if under_way.len() >= AT_ONCE {
                break;
            }
            if !this.busy && now >= this.next {
                this.busy = true;
                let proxy = proxy.clone();
                under_way.spawn(async move {
                    let upstream = &proxy.worker().leaves[leaf].upstream;
                    (leaf, backend.uid(), fill(&proxy, upstream, &backend, part).await)
                });
            }
        }
        tokio::time::sleep(LOOK).await;
        while let Some(done) = under_way.try_join_next() {
            let Ok((leaf, uid, is_well)) = done else { continue };
            let this = fares.entry((leaf, uid)).or_default();
            this.busy = false;
            if is_well {
                *this = Fares::default();
            } else {
                this.failed(proxy.worker().timer.now());
            }
        }
        if under_way.is_empty() {
            fares.retain(|_, f| f.failures > 0 && f.next + BACKOFF.1 > now);
        }
    }
}

/// Usable backends of which this worker has less than its share.
fn missing<B: RequestBody>(proxy: &Proxy<B>, part: Part) -> Vec<(usize, Arc<BackendState>)> {
    let w = proxy.worker();
    let mut missing = vec![];
    for (leaf, Leaf { balancer, upstream }) in w.leaves.iter().enumerate() {
        if upstream.shared.preconnect() > 0 {
            let snapshot = balancer.pool().snapshot();
            let short = snapshot.usable().filter(|m| is_short(upstream, m.state(), part));
            missing.extend(short.map(|m| (leaf, m.state().clone())));
        }
    }
    missing
}

fn is_short<B: RequestBody>(upstream: &Upstream<B>, backend: &BackendState, part: Part) -> bool {
    let idle = upstream.idle.see(backend.slot() as usize, backend.uid()).idle;
    idle < part.of(upstream.shared.preconnect())
}

/// Opens what is missing; `false`: a connection could not be made.
async fn fill<B: RequestBody>(
    proxy: &Proxy<B>,
    upstream: &Upstream<B>,
    backend: &BackendState,
    part: Part,
) -> bool {
    let timer = &proxy.worker().timer;
    while is_short(upstream, backend, part)
        && let Some(place) = upstream.shared.place_ahead(backend)
    {
        let limit = upstream.settings.connect_timeout.min(CONNECT_MAX);
        let made = upstream.open(backend, place, timer.now());
        match tokio::time::timeout(limit, made).await {
            Ok(Ok(connection)) => upstream.idle.put(backend, connection, timer.now()),
            Ok(Err(error)) => {
                tracing::debug!(backend = %backend.id(), %error, "no connection ahead of requests");
                return false;
            }
            Err(_) => return false,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_add_up(n in 0u32..1000, workers in 1u32..64) {
            let shares: Vec<_> = (0..workers).map(|index| Part { index, workers }.of(n)).collect();
            prop_assert_eq!(shares.iter().sum::<usize>(), n as usize);
            prop_assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }

    #[test]
    fn the_wait_doubles_up_to_its_bound() {
        let mut fares = Fares::default();
        let waits: Vec<_> = (0..8)
            .map(|_| {
                fares.failed(Nanos::ZERO);
                fares.next.as_millis()
            })
            .collect();
        assert_eq!(waits, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
    }
}
