//! Two tries side by side: when the first is slow, a second is made at another backend, and the first response head wins.
//!
//! The loser is dropped: its connection is closed, and its lease says that it was cancelled. Each try has a deadline of its own.
//! When one fails, the other goes on alone.

use crate::engine::RequestBody;
use crate::error::ProxyError;
use crate::forward::{Ended, Journey, conclude};
use crate::outgoing::Outgoing;
use crate::retry::hedge::counts;
use crate::retry::{Failure, RetryPolicy};
use crate::service::Service;
use crate::stats::Counters;
use lb_balancer::Selection;
use lb_core::{BackendState, Lease};
use lb_types::Nanos;
use std::pin::pin;
use std::sync::PoisonError;
use std::time::Duration;

impl<B: RequestBody> Service<B> {
    /// When a first try is to be hedged; `None`: not at all.
    #[inline]
    pub(crate) fn hedge_after(
        &self,
        policy: &RetryPolicy,
        outgoing: &Outgoing<B>,
        leaf: usize,
        now: Nanos,
    ) -> Option<Duration> {
        let hedge = policy.settings().hedge.as_ref().filter(|_| outgoing.is_bare())?;
        let mut recent = self.upstream(leaf).recent.lock().unwrap_or_else(PoisonError::into_inner);
        recent.delay(hedge, now, || counts(&self.balancer.leaves()[leaf].pool().snapshot()))
    }

    /// A try that is hedged after `delay`: the end of the try that won, or failed last; `lease` is then that one's.
    pub(crate) async fn hedged(&self, j: Journey<'_, '_, B>, lease: &mut Lease, delay: Duration) -> Ended<B> {
        let Journey { watch, policy, selection, outgoing, .. } = j;
        let now = selection.now();
        let up = self.upstream(selection.leaf());
        let backend = lease.backend().clone();
        let Some(mut copy) = outgoing.copy() else {
            return self.attempt(up, &backend, outgoing, policy, now, watch).await;
        };
        let overtaken = {
            let mut first = pin!(self.attempt(up, &backend, outgoing, policy, now, watch));
            tokio::select! {
                biased;
                ended = &mut first => return ended,
                () = tokio::time::sleep(delay) => {}
            }
            let Some(mut other) = self.lease_beside(policy, selection, &backend, watch.now()) else {
                return first.await;
            };
            let own = self.timer.watch(false);
            own.0.set_cap(Some(watch.cap()));
            let beside = other.backend().clone();
            let mut second = pin!(self.attempt(up, &beside, &mut copy, policy, other.started(), &own.0));
            let (first_is_done, ended) = tokio::select! {
                biased;
                ended = &mut first => (true, ended),
                ended = &mut second => (false, ended),
            };
            match (first_is_done, ended) {
                (true, Ok(won)) => return Ok(won),
                (true, Err(error)) => {
                    std::mem::swap(lease, &mut other);
                    fail(other, error, watch.now(), selection);
                    let ended = second.await;
                    if ended.is_ok() {
                        Counters::count(&self.counters.hedges_won);
                    }
                    return ended;
                }
                (false, Err(error)) => {
                    fail(other, error, watch.now(), selection);
                    return first.await;
                }
                (false, Ok(won)) => {
                    *lease = other;
                    won
                }
            }
        };
        Counters::count(&self.counters.hedges_won);
        // Should this response be retried on: it is the copy that was sent, and the slow backend is not the next to ask.
        *outgoing = copy;
        selection.tried(&backend);
        Ok(overtaken)
    }

    /// A lease on another backend, if there is a usable one and the budget grants it.
    fn lease_beside(
        &self,
        policy: &RetryPolicy,
        selection: &Selection,
        backend: &BackendState,
        now: Nanos,
    ) -> Option<Lease> {
        let Some(granted) = policy.budget().try_retry(now) else {
            Counters::count(&self.counters.retries_refused);
            return None;
        };
        let mut beside = selection.beside(backend);
        beside.set_now(now);
        // Within its region: another one is farther away, not faster.
        let other = self.balancer.leaves()[beside.leaf()].acquire(&mut beside).ok()?;
        granted.made();
        Counters::count(&self.counters.hedges);
        Some(other)
    }
}

/// Ends the lease of a try that failed while the other goes on.
fn fail(lease: Lease, error: ProxyError, now: Nanos, selection: &mut Selection) {
    selection.tried(lease.backend());
    if let Some(failure) = Failure::of(error) {
        conclude(lease, failure, error, now);
    }
}
