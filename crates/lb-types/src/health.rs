//! What health checking tells the rest.

use crate::BackendId;

/// Takes verdicts on backends: a pool implements it, a health checker calls it.
pub trait HealthSink: Send + Sync + 'static {
    /// The backend's active check passes (`true`) or fails from now on. Ids that are not (or no longer) known are ignored.
    fn set_healthy(&self, id: &BackendId, healthy: bool);

    /// One check of this backend passed or failed, whether that changes the verdict or not. By default nothing is done with it: it
    /// is for those who let a passing check end something early (an ejection, a breaker's wait).
    fn checked(&self, id: &BackendId, passed: bool) {
        let _ = (id, passed);
    }
}

/// A backend's health changed.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case", tag = "event"))]
#[non_exhaustive]
pub enum HealthEvent {
    /// `backend-healthy`: it passed its `healthy_threshold`.
    BackendHealthy {
        /// Which backend.
        id: BackendId,
    },
    /// `backend-unhealthy`: it failed `unhealthy_threshold` times in a row.
    BackendUnhealthy {
        /// Which backend.
        id: BackendId,
        /// What the last check said.
        error: String,
    },
}

/// What is known of one backend's health.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct HealthStatus {
    /// The verdict that traffic follows.
    pub healthy: bool,
    /// When the last check ended, in Unix milliseconds; `None` before the first.
    pub last_check: Option<u64>,
    /// Checks that passed since the last failure.
    pub consecutive_successes: u32,
    /// Checks that failed since the last success.
    pub consecutive_failures: u32,
    /// Mean latency of the passed checks in milliseconds (exponentially weighted, 1/8 a check); `None` before the first.
    pub average_latency: Option<f64>,
    /// What the last failed check said; kept after recovery.
    pub last_error: Option<String>,
    /// What the last check reported beyond its verdict (status line, custom details).
    pub details: Option<String>,
}
