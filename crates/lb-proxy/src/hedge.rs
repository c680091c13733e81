//! Two tries side by side: when the first is slow, a second is made at another backend, and the first response head wins.
//!
//! The loser is dropped: its connection is closed, and its lease says that it was cancelled. Each try has a deadline of its own.
//! When one fails, the other goes on alone.

use crate::engine::RequestBody;
use crate::error::ProxyError;
use crate::forward::{Ended, Journey, conclude};
use crate::proxy::Proxy;
use crate::retry::Failure;
use crate::retry::hedge::counts;
use crate::stats::Counters;
use lb_core::{BackendState, Lease, PickContext};
use lb_types::Nanos;
use std::pin::pin;
use std::sync::PoisonError;
use std::time::Duration;

impl<B: RequestBody> Proxy<B> {
    /// When this try is to be hedged; `None`: not at all.
    #[inline]
    pub(crate) fn hedge_after(&self, j: &Journey<'_, B>) -> Option<Duration> {
        let hedge = j.policy.settings().hedge.as_ref()?;
        if !j.is_first() || !j.outgoing.is_bare() {
            return None;
        }
        let w = self.worker();
        let mut recent = w.recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.delay(hedge, j.cx.now, || counts(&w.balancer.pool().snapshot()))
    }

    /// A try that is hedged after `delay`: the lease and the end of the try that won, or failed last.
    pub(crate) async fn hedged(
        &self,
        j: &mut Journey<'_, B>,
        lease: Lease,
        delay: Duration,
    ) -> (Lease, Ended<B>) {
        let w = &**self.worker();
        let backend = lease.backend().clone();
        let Some(mut copy) = j.outgoing.copy() else {
            let ended = self.attempt(&backend, &mut j.outgoing, j.policy, j.cx.now, j.watch).await;
            return (lease, ended);
        };
        let Journey { watch, policy, cx, outgoing, tried, .. } = j;
        let mut first = pin!(self.attempt(&backend, outgoing, policy, cx.now, watch));
        tokio::select! {
            biased;
            ended = &mut first => return (lease, ended),
            () = tokio::time::sleep(delay) => {}
        }
        let now = watch.now();
        let Some(granted) = policy.budget().try_retry(now) else {
            Counters::count(&w.counters.retries_refused);
            return (lease, first.await);
        };
        let mut beside = cx.clone();
        beside.now = now;
        beside.exclude(&backend);
        let Ok(other) = w.balancer.pool().acquire(&mut beside) else {
            drop(granted);
            return (lease, first.await);
        };
        granted.made();
        Counters::count(&w.counters.hedges);
        let own = w.timer.watch(false);
        own.0.set_cap(Some(watch.cap()));
        let beside = other.backend().clone();
        let mut second = pin!(self.attempt(&beside, &mut copy, policy, now, &own.0));
        let (first_won, ended) = tokio::select! {
            biased;
            ended = &mut first => (true, ended),
            ended = &mut second => (false, ended),
        };
        let (lease, ended, first_won) = match (first_won, ended) {
            (true, Err(error)) => {
                fail(lease, error, watch.now(), cx, tried);
                (other, second.await, false)
            }
            (false, Err(error)) => {
                fail(other, error, watch.now(), cx, tried);
                (lease, first.await, true)
            }
            (true, won) => (lease, won, true),
            (false, won) => {
                // Should this response be retried on, then not at the one that is slow.
                mark(&backend, cx, tried);
                (other, won, false)
            }
        };
        if ended.is_ok() && !first_won {
            Counters::count(&w.counters.hedges_won);
        }
        (lease, ended)
    }
}

/// Ends the lease of a try that failed while the other goes on.
fn fail(lease: Lease, error: ProxyError, now: Nanos, cx: &mut PickContext<'_>, tried: &mut Vec<u64>) {
    mark(lease.backend(), cx, tried);
    if let Some(failure) = Failure::of(error) {
        conclude(lease, failure, error, now);
    }
}

fn mark(backend: &BackendState, cx: &mut PickContext<'_>, tried: &mut Vec<u64>) {
    cx.tried(backend);
    tried.push(backend.uid());
}
