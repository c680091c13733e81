//! The background work of a balancer: health and agent checks, discovery, faults, slow start. Nothing of it stands in a request's way.

use crate::balancer::LoadBalancer;
use crate::discover;
use crate::error::StartError;
use lb_types::Nanos;
use std::sync::Arc;
use std::sync::atomic::Ordering::{AcqRel, Release};
use std::time::Duration;
use tokio::task::JoinSet;

/// A balancer at work: drop it, or [`shutdown`](Self::shutdown), and the background work stops. The balancer itself goes on picking
/// with what is known; after `shutdown` it can be started again.
#[must_use = "dropping it stops health checks and discovery"]
#[derive(Debug)]
pub struct Running {
    lb: LoadBalancer,
    tasks: JoinSet<()>,
    #[cfg(feature = "health")]
    checkers: Vec<lb_health::RunningChecker>,
    /// The regions' balancers.
    #[cfg(feature = "geo")]
    leaves: Vec<Running>,
}

impl Running {
    /// Stops, and returns when nothing of it runs any more. Checks and look-ups under way are given up. Instances that auto-scaling has started
    /// are stopped.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        #[cfg(feature = "health")]
        for checker in std::mem::take(&mut self.checkers) {
            checker.shutdown().await;
        }
        #[cfg(feature = "autoscale")]
        if let Some(scaling) = self.lb.scaling() {
            scaling.shutdown().await;
        }
        #[cfg(feature = "geo")]
        for leaf in std::mem::take(&mut self.leaves) {
            Box::pin(leaf.shutdown()).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.lb.inner.is_running.store(false, Release);
    }
}

impl LoadBalancer {
    /// Starts the background work on the current tokio runtime (with time and I/O enabled): active health checks, discovery from
    /// each source, the steps of slow start, what sessions write to their store; and the same for each region's balancer. It runs until the guard is dropped.
    ///
    /// # Errors
    /// It runs already, or this is no tokio runtime.
    pub fn start(&self) -> Result<Running, StartError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| StartError::NoRuntime)?;
        if self.inner.is_running.swap(true, AcqRel) {
            return Err(StartError::AlreadyRunning);
        }
        // From here on dropping `running` gives the claim back.
        let mut running = Running {
            lb: self.clone(),
            tasks: JoinSet::new(),
            #[cfg(feature = "health")]
            checkers: vec![],
            #[cfg(feature = "geo")]
            leaves: vec![],
        };
        #[cfg(feature = "geo")]
        if let Some(regional) = &self.inner.regional {
            for leaf in regional.leaves() {
                running.leaves.push(leaf.start()?);
            }
        }
        #[cfg(feature = "health")]
        if let Some(checker) = &self.inner.checker {
            running.checkers.push(checker.start()?);
        }
        #[cfg(feature = "health")]
        if let Some((_, agents)) = &self.inner.agents {
            running.checkers.push(agents.start()?);
        }
        for source in &self.inner.sources {
            running.tasks.spawn_on(discover::follow(self.clone(), Arc::clone(source)), &runtime);
        }
        running.tasks.spawn_on(maintain(self.clone()), &runtime);
        #[cfg(feature = "admission")]
        if self.shedder().is_some() {
            running.tasks.spawn_on(crate::door::watch(self.clone()), &runtime);
        }
        #[cfg(feature = "autoscale")]
        if self.scaling().is_some() {
            running.tasks.spawn_on(crate::autoscale::run(self.clone()), &runtime);
        }
        #[cfg(feature = "sessions")]
        if self.inner.sessions.is_some() {
            let lb = self.clone();
            let run = async move {
                if let Some(sessions) = &lb.inner.sessions {
                    sessions.run(lb.pool().clone()).await;
                }
            };
            running.tasks.spawn_on(run, &runtime);
        }
        #[cfg(feature = "cache")]
        if self.inner.cache.is_some() {
            let lb = self.clone();
            let run = async move {
                if let Some(cache) = &lb.inner.cache {
                    cache.run().await;
                }
            };
            running.tasks.spawn_on(run, &runtime);
        }
        Ok(running)
    }
}

/// Does what is due beside the picks, and sleeps until then or until something changes.
async fn maintain(lb: LoadBalancer) {
    loop {
        // Told during the call: looked at once more, for the notification stays.
        let told = lb.inner.wait.maintenance().notified();
        match lb.maintain() {
            // Timed out or told: look again.
            Some(next) => drop(tokio::time::timeout(until(next, lb.pool().now()), told).await),
            None => told.await,
        }
    }
}

/// Never nothing, so that a clock that stands still does not make the loop spin.
fn until(next: Nanos, now: Nanos) -> Duration {
    (next - now).as_duration().max(Duration::from_millis(1))
}
