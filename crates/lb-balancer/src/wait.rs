//! A pick that waits for a backend to become usable.
//!
//! Waiters register before they look, so a change between the look and the sleep wakes them. Every change wakes all of them, in
//! the order in which they came, since only the pick itself knows who can use what became free; so a change costs one pick for
//! each waiter. Who wants order, priorities or bounds gives the balancer a queue (feature `admission`): then they wait there.

use crate::balancer::LoadBalancer;
use crate::options::SelectOptions;
use crate::selection::Selection;
use lb_core::{Lease, Pool, PoolWatcher, SelectError};
use lb_types::RequestInfo;
use std::future::Future;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// A waiter looks again after this time without being told: for pools whose watcher is somebody else (two balancers made from
/// one pool).
pub(crate) const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// Who waits, and how they are told.
pub(crate) struct Waiting {
    pub(crate) timeout: Duration,
    told: Arc<Told>,
    /// How many wait for a request to end.
    waiters: Mutex<usize>,
}

#[derive(Default)]
struct Told {
    /// Something changed: for those that wait for a backend to be usable or empty.
    changed: Notify,
    /// There is something for the maintenance task, which must not miss what happens while it is busy.
    maintenance: Notify,
    #[cfg(feature = "admission")]
    queue: Option<lb_admission::queue::Queue>,
}

impl PoolWatcher for Told {
    fn changed(&self) {
        self.changed.notify_waiters();
        #[cfg(feature = "admission")]
        if let Some(queue) = &self.queue {
            queue.changed();
        }
    }

    fn freed(&self) {
        self.changed.notify_waiters();
        #[cfg(feature = "admission")]
        if let Some(queue) = &self.queue {
            queue.freed();
        }
    }

    fn attention(&self) {
        self.maintenance.notify_one();
    }
}

impl Waiting {
    pub(crate) fn new(
        timeout: Duration,
        #[cfg(feature = "admission")] queue: Option<lb_admission::queue::Queue>,
    ) -> Self {
        let told = Told {
            #[cfg(feature = "admission")]
            queue,
            ..Told::default()
        };
        Self { timeout, told: Arc::new(told), waiters: Mutex::new(0) }
    }

    /// Asks the pool to tell of changes. If it tells somebody else already, waiters find out by looking.
    pub(crate) fn watch(&self, pool: &Pool) {
        pool.set_watcher(self.told.clone());
    }

    /// Who is told.
    #[cfg(feature = "faults")]
    pub(crate) fn watcher(&self) -> Arc<dyn PoolWatcher> {
        self.told.clone()
    }

    pub(crate) fn changed(&self) -> &Notify {
        &self.told.changed
    }

    pub(crate) fn maintenance(&self) -> &Notify {
        &self.told.maintenance
    }

    /// Counts a waiter in or out; the pool tells of each request's end while there is one.
    fn count(&self, pool: &Pool, step: impl FnOnce(&mut usize)) {
        let mut waiters = self.waiters.lock().unwrap_or_else(PoisonError::into_inner);
        let before = *waiters;
        step(&mut waiters);
        if (before == 0) != (*waiters == 0) {
            pool.set_waiters(*waiters > 0);
        }
    }
}

/// One waiter; counted out when it is dropped, also in the middle of its wait.
pub(crate) struct Waiter<'a>(&'a LoadBalancer);

impl<'a> Waiter<'a> {
    pub(crate) fn new(lb: &'a LoadBalancer) -> Self {
        lb.inner.wait.count(lb.pool(), |n| *n += 1);
        Self(lb)
    }
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.0.inner.wait.count(self.0.pool(), |n| *n -= 1);
    }
}

impl LoadBalancer {
    /// As [`select_backend`](Self::select_backend), but asks the stores, each within its time limit, and waits up to the builder's `selection_timeout` for a backend to become usable:
    /// for a request to end, a backend to recover or to be added. It never waits for a health check to be made. The future
    /// borrows nothing of the request, is `Send`, and can be dropped at any time; it needs a tokio runtime with time enabled if it
    /// has to wait.
    ///
    /// # Errors
    /// When no backend became usable in time, with the reasons as they stood at the end.
    pub fn select_backend_async(
        &self,
        request: &RequestInfo<'_>,
        options: &SelectOptions,
    ) -> impl Future<Output = Result<Lease, SelectError>> + Send + use<> {
        let mut selection = self.selection(request, options);
        let lb = self.clone();
        // Where nobody has to be asked, the first pick is made at once: it is the request's turn now.
        let first = (!lb.must_look_up(&selection)).then(|| lb.acquire(&mut selection));
        async move {
            let first = match first {
                Some(first) => first,
                None => {
                    lb.look_up(&mut selection).await;
                    lb.acquire(&mut selection)
                }
            };
            let lease = match first {
                Err(e) if lb.inner.wait.timeout.is_zero() => return Err(e),
                Err(_) => lb.acquire_async(&mut selection).await?,
                Ok(lease) => lease,
            };
            Ok(if lb.must_agree(&selection) { lb.agree(&mut selection, lease).await } else { lease })
        }
    }

    /// The same for a request that has been looked at already, a retry, say: what it [`tried`](Selection::tried) is taken again only
    /// when no other backend is usable. No store is asked.
    ///
    /// # Errors
    /// As [`select_backend_async`](Self::select_backend_async).
    pub async fn acquire_async(&self, selection: &mut Selection) -> Result<Lease, SelectError> {
        #[cfg(feature = "admission")]
        if self.leaves()[selection.leaf()].inner.admission.queue.is_some() {
            let error = match self.acquire(selection) {
                Err(e) if self.may_wait(selection, &e) => e,
                // For another reason than a limit: nobody waits in the line for that.
                Err(_) => return self.look_until_usable(selection).await,
                lease => return lease,
            };
            return match self.wait_in_line(selection, Some(self.inner.wait.timeout)).await {
                Ok(lease) => Ok(lease),
                Err(crate::AdmissionError::Select(e)) => Err(e),
                Err(_) => Err(error),
            };
        }
        self.look_until_usable(selection).await
    }

    async fn look_until_usable(&self, selection: &mut Selection) -> Result<Lease, SelectError> {
        let _counted = Waiter::new(self);
        let deadline = Instant::now() + self.inner.wait.timeout;
        loop {
            let mut told = pin!(self.inner.wait.changed().notified());
            told.as_mut().enable();
            selection.set_now(self.pool().now());
            let now = Instant::now();
            match self.acquire(selection) {
                Err(e) if now >= deadline => return Err(e),
                Err(_) => {}
                lease => return lease,
            }
            // Told or not: look again.
            let _ = timeout_at(deadline.min(now + LOOK_AGAIN), told).await;
        }
    }
}
