//! Statuses, checks by hand and events of active health checks.

use crate::balancer::LoadBalancer;
use lb_types::{BackendId, HealthStatus};
use std::collections::BTreeMap;
#[cfg(feature = "health")]
use {crate::error::CheckError, lb_types::HealthEvent, tokio::sync::broadcast};

impl LoadBalancer {
    /// Every backend's health. Without a health check: the pool's verdict alone.
    pub fn health_status(&self) -> BTreeMap<BackendId, HealthStatus> {
        let snapshot = self.pool().snapshot();
        let members = snapshot.members().iter();
        #[cfg(feature = "health")]
        let mut known = self.inner.checker.as_ref().map(lb_health::HealthChecker::status).unwrap_or_default();
        #[cfg(not(feature = "health"))]
        let mut known = BTreeMap::<BackendId, HealthStatus>::new();
        members
            .map(|m| {
                let id = m.state().id();
                let bare = || HealthStatus { healthy: m.is_healthy(), ..HealthStatus::default() };
                (id.clone(), known.remove(id).unwrap_or_else(bare))
            })
            .collect()
    }
}

#[cfg(feature = "health")]
impl LoadBalancer {
    /// Is there an active health check?
    pub fn has_health_check(&self) -> bool {
        self.inner.checker.is_some()
    }

    /// What each backend's agent has said, and how asking it went; `None`: no agents are asked.
    pub fn agent_status(&self) -> Option<BTreeMap<BackendId, lb_types::agent::AgentStatus>> {
        self.inner.agents.as_ref().map(|(_, agents)| agents.status())
    }

    /// Checks one backend now, beside its schedule; the result counts. A check that fails is no error: it is in the status.
    ///
    /// # Errors
    /// There is no health check, no such backend, it is not to be checked, or it changed meanwhile.
    pub async fn check_backend(&self, id: &BackendId) -> Result<HealthStatus, CheckError> {
        let checker = self.inner.checker.as_ref().ok_or(CheckError::NoHealthCheck)?;
        Ok(checker.check_backend(id.as_str()).await?)
    }

    /// Checks every backend now and waits for all results; they count.
    ///
    /// # Errors
    /// There is no health check.
    pub async fn check_all_backends(&self) -> Result<BTreeMap<BackendId, HealthStatus>, CheckError> {
        let checker = self.inner.checker.as_ref().ok_or(CheckError::NoHealthCheck)?;
        Ok(checker.check_all_backends().await)
    }

    /// Verdicts from now on, in order; see [`lb_health::HealthChecker::events`]. Without a health check the stream is at its end.
    pub fn events(&self) -> broadcast::Receiver<HealthEvent> {
        match &self.inner.checker {
            Some(checker) => checker.events(),
            None => broadcast::channel(1).1,
        }
    }

    /// Calls `callback` with every verdict from now on; it must not block. It may change the balancer's backends. Gives `false`
    /// when there is no health check, and so nothing to tell.
    pub fn on_event(&self, callback: impl Fn(&HealthEvent) + Send + Sync + 'static) -> bool {
        let Some(checker) = &self.inner.checker else { return false };
        checker.on_event(callback);
        true
    }
}
