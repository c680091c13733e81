//! The circuit breakers as a user sees them: one backend's, or all of a pool.

use super::{BackendGuard, guard_of};
use crate::balancer::LoadBalancer;
use lb_breaker::{Breaker, State, Status};
use lb_core::Pool;
use lb_health::outlier::OutlierStatus;
use lb_types::BackendId;
use std::sync::Arc;

/// The circuit breaker of one backend: a handle that lasts as long as the backend keeps its address.
#[derive(Clone, Debug)]
pub struct CircuitBreaker {
    id: BackendId,
    guard: Arc<BackendGuard>,
    pool: Pool,
}

impl CircuitBreaker {
    fn of(pool: &Pool, id: &BackendId) -> Option<Self> {
        let guard = guard_of(pool, id).filter(|g| g.breaker.is_some())?;
        Some(Self { id: id.clone(), guard, pool: pool.clone() })
    }

    fn breaker(&self) -> &Breaker {
        self.guard.breaker.as_ref().expect("a handle is made for a guard with a breaker")
    }

    /// Whose breaker it is.
    pub fn id(&self) -> &BackendId {
        &self.id
    }

    /// Its state now.
    pub fn state(&self) -> State {
        self.breaker().state(self.pool.now())
    }

    /// All that is to be seen of it.
    pub fn status(&self) -> Status {
        self.breaker().status(self.pool.now())
    }

    /// Opens it and holds it open until [`reset`](Self::reset) or [`close`](Self::close): for maintenance. In force on return; requests
    /// in flight finish.
    pub fn open(&self) {
        self.breaker().force_open();
        self.pool.guard_changed(&self.id);
    }

    /// Closes it and holds it closed, whatever fails, until [`reset`](Self::reset) or [`open`](Self::open).
    pub fn close(&self) {
        self.breaker().force_close();
        self.pool.guard_changed(&self.id);
    }

    /// Closes it, forgets all failures and lets it work by itself again.
    pub fn reset(&self) {
        self.breaker().reset();
        self.pool.guard_changed(&self.id);
    }
}

/// The circuit breakers of all backends of a pool, as they stand when a method is called.
#[derive(Clone, Debug)]
pub struct CircuitBreakers {
    pool: Pool,
}

impl CircuitBreakers {
    /// Each backend's, in the pool's order.
    pub fn all(&self) -> Vec<CircuitBreaker> {
        let snapshot = self.pool.snapshot_full();
        snapshot.members().iter().filter_map(|m| CircuitBreaker::of(&self.pool, m.state().id())).collect()
    }

    /// The worst state of all: open before half-open before closed.
    pub fn state(&self) -> State {
        let badness = |s: &State| match s {
            State::Open => 2,
            State::HalfOpen => 1,
            _ => 0,
        };
        self.all().iter().map(CircuitBreaker::state).max_by_key(badness).unwrap_or(State::Closed)
    }

    /// Opens all and holds them open.
    pub fn open(&self) {
        self.all().iter().for_each(CircuitBreaker::open);
    }

    /// Closes all and holds them closed.
    pub fn close(&self) {
        self.all().iter().for_each(CircuitBreaker::close);
    }

    /// Lets all work by themselves again, closed and without memories.
    pub fn reset(&self) {
        self.all().iter().for_each(CircuitBreaker::reset);
    }
}

impl LoadBalancer {
    /// The circuit breakers of all backends; `None`: the balancer was built without.
    pub fn circuit_breaker(&self) -> Option<CircuitBreakers> {
        self.inner.faults.breaker.map(|_| CircuitBreakers { pool: self.pool().clone() })
    }

    /// The circuit breaker of one backend; `None`: there is no such backend, or the balancer was built without breakers.
    pub fn circuit_breaker_for(&self, id: &BackendId) -> Option<CircuitBreaker> {
        CircuitBreaker::of(self.pool(), id)
    }

    /// How a backend stands with passive detection; `None`: the balancer was built without.
    pub fn outlier_status(&self, id: &BackendId) -> Option<OutlierStatus> {
        self.inner.faults.outlier_status(id)
    }

    /// Calls `callback` with every change of a breaker and every begin and end of an ejection from now on. It is called by the background
    /// work (or whoever calls [`maintain`](Self::maintain)), under no lock, in order for each backend; it must not block.
    pub fn on_fault(&self, callback: impl Fn(&super::FaultEvent) + Send + Sync + 'static) {
        self.inner.faults.publisher.add(Arc::new(callback));
    }

    /// The same as a stream. A reader more than 1 024 events behind loses the oldest and is told how many.
    #[cfg(feature = "runtime")]
    pub fn faults(&self) -> tokio::sync::broadcast::Receiver<super::FaultEvent> {
        self.inner.faults.publisher.subscribe()
    }
}
