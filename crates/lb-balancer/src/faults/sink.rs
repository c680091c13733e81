//! Verdicts of active checks on their way to the pool: they also end ejections and a breaker's wait early.
//!
//! A check that goes on passing while requests fail proves nothing: it asks for something else than the clients do. So an ejection ends
//! early when a check's verdict *turns* to healthy, or when connections failed and a check could make one; a breaker is let half-open
//! early by the turn alone.

use super::{Faults, guard_of};
use lb_core::Pool;
use lb_health::outlier::{Cause, Detector};
use lb_types::{BackendId, HealthSink};
use std::sync::Arc;

/// See the module's documentation.
pub(crate) struct CheckSink {
    pub(crate) pool: Pool,
    pub(crate) faults: Arc<Faults>,
}

impl HealthSink for CheckSink {
    fn set_healthy(&self, id: &BackendId, healthy: bool) {
        self.pool.set_healthy(id, healthy);
        if !healthy {
            return;
        }
        self.faults.check_passed(&self.pool, id, |_| true);
        if let Some(guard) = guard_of(&self.pool, id)
            && guard.breaker.as_ref().is_some_and(lb_breaker::Breaker::early_half_open)
        {
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
