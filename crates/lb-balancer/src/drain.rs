//! Emptying a backend: no new requests, those in flight finish.

use crate::balancer::LoadBalancer;
use crate::error::ChangeError;
use crate::wait::LOOK_AGAIN;
use lb_core::PoolError;
use lb_types::BackendId;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// How a drain ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DrainReport {
    /// Which backend.
    pub id: BackendId,
    /// Requests still in flight when it ended: 0, or the grace was over.
    pub remaining: u32,
    /// How long it took.
    pub waited: Duration,
}

impl DrainReport {
    /// Did every request finish in time?
    pub fn is_empty(&self) -> bool {
        self.remaining == 0
    }
}

impl LoadBalancer {
    /// Gives a backend no new requests and waits until those in flight have ended, at most for `grace`. It stays in the pool and
    /// goes on draining, also when the future is dropped, until it is removed or [`undrain`](Self::undrain)ed.
    ///
    /// # Errors
    /// No backend has this id.
    pub async fn drain(&self, id: &BackendId, grace: Duration) -> Result<DrainReport, ChangeError> {
        self.pool().set_draining(id, true)?;
        let state = self.pool().snapshot().get(id).map(|m| m.state().clone());
        // Somebody may have removed it this moment.
        let state = state.ok_or_else(|| PoolError::UnknownId(id.clone()))?;
        let start = Instant::now();
        loop {
            let mut told = pin!(self.inner.wait.changed().notified());
            told.as_mut().enable();
            let (remaining, now) = (state.in_flight(), Instant::now());
            let waited = now.duration_since(start);
            if remaining == 0 || waited >= grace {
                return Ok(DrainReport { id: id.clone(), remaining, waited });
            }
            let _ =
                timeout_at(now + LOOK_AGAIN.max(Duration::from_millis(100)).min(grace - waited), told).await;
        }
    }

    /// Ends a drain: the backend gets requests again.
    ///
    /// # Errors
    /// No backend has this id.
    pub fn undrain(&self, id: &BackendId) -> Result<u64, ChangeError> {
        Ok(self.pool().set_draining(id, false)?)
    }
}
