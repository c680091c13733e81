//! Emptying a backend: no new clients; sessions and requests in flight finish.

use crate::balancer::LoadBalancer;
use crate::error::ChangeError;
use crate::wait::LOOK_AGAIN;
use lb_core::{Change, PoolError};
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
    /// Sessions that were still on it when it ended, and that go elsewhere from then on.
    pub sessions: usize,
    /// How long it took.
    pub waited: Duration,
}

impl DrainReport {
    /// Did every request and every session finish in time?
    pub fn is_empty(&self) -> bool {
        self.remaining == 0 && self.sessions == 0
    }
}

/// How often a backend's sessions are counted while they are waited for: that looks at every session.
const COUNT_AGAIN: Duration = Duration::from_secs(1);

impl LoadBalancer {
    #[cfg(feature = "sessions")]
    fn keeps_sessions(&self) -> bool {
        self.session_manager().is_some()
    }

    #[cfg(not(feature = "sessions"))]
    fn keeps_sessions(&self) -> bool {
        false
    }

    #[cfg(feature = "sessions")]
    fn sessions_left(&self, id: &BackendId) -> usize {
        self.sessions_on(id)
    }

    #[cfg(not(feature = "sessions"))]
    fn sessions_left(&self, _: &BackendId) -> usize {
        0
    }

    /// Gives a backend no new clients and waits until its requests and sessions have ended, at most for `grace`: then sessions that are
    /// still on it go elsewhere. It stays in the pool and goes on draining, also when the future is dropped (then with its sessions),
    /// until it is removed or [`undrain`](Self::undrain)ed.
    ///
    /// # Errors
    /// No backend has this id.
    pub async fn drain(&self, id: &BackendId, grace: Duration) -> Result<DrainReport, ChangeError> {
        self.pool().set_draining(id, true)?;
        let state = self.pool().snapshot().get(id).map(|m| m.state().clone());
        // Somebody may have removed it this moment.
        let state = state.ok_or_else(|| PoolError::UnknownId(id.clone()))?;
        let start = Instant::now();
        let mut sessions = self.sessions_left(id);
        let mut counted = start;
        loop {
            let mut told = pin!(self.inner.wait.changed().notified());
            told.as_mut().enable();
            let (remaining, now) = (state.in_flight(), Instant::now());
            let waited = now.duration_since(start);
            if sessions > 0 && (now.duration_since(counted) >= COUNT_AGAIN || waited >= grace) {
                (sessions, counted) = (self.sessions_left(id), now);
            }
            if (remaining == 0 && sessions == 0) || waited >= grace {
                // Cookies of sessions that only other nodes know, or this one before a restart, must not bring anybody back.
                if self.keeps_sessions() {
                    self.pool().apply(vec![Change::Drained(id.clone())])?;
                }
                return Ok(DrainReport { id: id.clone(), remaining, sessions, waited });
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
