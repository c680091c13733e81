//! Verdicts of active checks on their way to the pool: they also end ejections and a breaker's wait early.
//!
//! A check that goes on passing while requests fail proves nothing: it asks for something else than the clients do. So an ejection ends
//! early when a check's verdict *turns* to healthy, or when connections failed and a check could make one; a breaker is let half-open
//! early by the turn alone. A backend's first verdict is no turn: it may come after its first requests have failed.

use super::{Faults, guard_of};
use lb_core::Pool;
use lb_health::outlier::{Cause, Detector};
use lb_types::{BackendId, HealthSink};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// See the module's documentation.
pub(crate) struct CheckSink {
    pub(crate) pool: Pool,
    pub(crate) faults: Arc<Faults>,
}

impl HealthSink for CheckSink {
    fn set_healthy(&self, id: &BackendId, healthy: bool) {
        self.pool.set_healthy(id, healthy);
        let Some(guard) = guard_of(&self.pool, id) else { return };
        let turned = guard.is_unhealthy.swap(!healthy, Relaxed) && healthy;
        if !turned {
            return;
        }
        self.faults.turned_healthy(&self.pool, id);
        if guard.breaker.as_ref().is_some_and(lb_breaker::Breaker::early_half_open) {
            self.pool.guard_changed(id);
        }
    }

    fn checked(&self, id: &BackendId, passed: bool) {
        let by_connections =
            |d: &Detector| matches!(d.status(id).cause, Some(Cause::ConsecutiveConnectFailures { .. }));
        if passed {
            self.faults.check_passed(&self.pool, id, by_connections);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::FaultSettings;
    use super::*;
    use lb_breaker::{BreakerSettings, State, Verdict};
    use lb_core::PoolSettings;
    use lb_types::{Backend, Clock, ManualClock, Nanos};

    #[test]
    fn a_first_verdict_lets_no_breaker_half_open() {
        let clock = Arc::new(ManualClock::default());
        let faults = {
            let breaker = Some(BreakerSettings::new().failure_threshold(1));
            Faults::new(FaultSettings { breaker, ..FaultSettings::default() }, clock.now()).unwrap()
        };
        let backend = Backend::new("a", "http://127.0.0.1:1".parse().unwrap());
        let guards = faults.guards().unwrap();
        let pool = Pool::with_guards(PoolSettings::default(), vec![backend], clock, guards).unwrap();
        let (id, sink) = ("a".into(), CheckSink { pool: pool.clone(), faults });
        let guard = guard_of(&pool, &id).unwrap();
        let breaker = guard.breaker.as_ref().unwrap();
        let ticket = breaker.admit(Nanos::ZERO).unwrap();
        breaker.settle(ticket, Verdict::Failure, Nanos::ZERO, Nanos::ZERO);
        sink.set_healthy(&id, true);
        assert_eq!(breaker.state(Nanos::ZERO), State::Open, "it says nothing of the failures");
        sink.set_healthy(&id, false);
        sink.set_healthy(&id, true);
        assert_eq!(breaker.state(Nanos::ZERO), State::HalfOpen, "it turned");
        sink.set_healthy(&id, true);
    }
}
