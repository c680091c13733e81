//! Circuit breakers and passive detection, composed with the pool.
//!
//! ```text
//!  request path                          maintenance (a task, or `LoadBalancer::maintain` by hand)
//!  ┌──────────────┐ noted: a transition, ┌───────────────────────────────────────────┐ set_ejected ┌──────┐
//!  │ BackendGuard │ ───────────────────► │ Faults: the detector judges, events go out│ ──────────► │ Pool │
//!  │  one each    │   a streak           └───────────────────────────────────────────┘             └──────┘
//!  └──────────────┘ ◄── asks: may this request pass? how did it end? ─────────────────────────────────┘
//! ```
//!
//! A breaker acts at once, since the pool asks it for each request. An ejection is decided off the request path and acts with the
//! snapshot that follows, a moment later.

mod breakers;
mod events;
mod guard;
mod maintain;
#[cfg(feature = "health")]
mod sink;

pub use breakers::{CircuitBreaker, CircuitBreakers};
pub use events::FaultEvent;
pub(crate) use guard::BackendGuard;
#[cfg(feature = "health")]
pub(crate) use sink::CheckSink;

use crate::error::FaultError;
use events::Publisher;
#[cfg(feature = "admission")]
use lb_admission::concurrency::{AdaptiveConcurrency, Limiter};
use lb_breaker::{BreakerSettings, Transition};
use lb_core::{Pool, PoolWatcher};
use lb_health::outlier::{Cause, Detector, OutlierDetection, OutlierStatus, Streaks};
use lb_types::{BackendId, Guard, GuardFactory, Nanos};
use std::collections::VecDeque;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// The most suspects that wait to be judged; who is not among them will be when he has failed as often again.
const SUSPECTS_MAX: usize = 1_024;
/// The most transitions that wait to be told: some hundred backends whose breakers flap within one wake-up. Older ones give way.
const TRANSITIONS_MAX: usize = 1_024;

/// What a balancer is to do about failing backends, and about those that are asked too much.
#[derive(Debug, Default)]
pub(crate) struct FaultSettings {
    pub(crate) breaker: Option<BreakerSettings>,
    pub(crate) detection: Option<OutlierDetection>,
    #[cfg(feature = "admission")]
    pub(crate) adaptive: Option<AdaptiveConcurrency>,
}

/// What a balancer does about failing backends.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    breaker: Option<BreakerSettings>,
    outliers: Option<Mutex<Detector>>,
    /// The generation of the pool that the detector last looked at.
    swept: AtomicU64,
    /// What a backend's guard starts with.
    detection: Option<OutlierDetection>,
    /// What a backend's limiter starts with.
    #[cfg(feature = "admission")]
    adaptive: Option<AdaptiveConcurrency>,
    /// When this was made: no window of a limiter begins before.
    #[cfg(feature = "admission")]
    made: Nanos,
    noted: Mutex<Noted>,
    /// Who is woken when something was noted.
    watcher: OnceLock<Watcher>,
    publisher: Publisher,
}

struct Watcher(Arc<dyn PoolWatcher>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

/// What was noted on the request path, in order, and waits for maintenance.
#[derive(Debug, Default)]
struct Noted {
    suspects: Vec<(BackendId, Cause)>,
    transitions: VecDeque<(BackendId, Transition)>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // Each critical section leaves what it guards whole.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Faults {
    /// # Errors
    /// A setting out of its bounds.
    pub(crate) fn new(settings: FaultSettings, now: Nanos) -> Result<Arc<Self>, FaultError> {
        let FaultSettings { breaker, detection, .. } = settings;
        #[cfg(feature = "admission")]
        let adaptive = settings.adaptive;
        if let Some(settings) = &breaker {
            settings.validate().map_err(FaultError::CircuitBreaker)?;
        }
        #[cfg(feature = "admission")]
        if let Some(settings) = &adaptive {
            settings.validate().map_err(FaultError::AdaptiveConcurrency)?;
        }
        let detector = detection.clone().map(|d| Detector::new(d, now)).transpose();
        let outliers = detector.map_err(FaultError::OutlierDetection)?.map(Mutex::new);
        // No pool has published so often.
        let swept = AtomicU64::new(u64::MAX);
        Ok(Arc::new(Self {
            breaker,
            outliers,
            detection,
            #[cfg(feature = "admission")]
            adaptive,
            #[cfg(feature = "admission")]
            made: now,
            swept,
            ..Self::default()
        }))
    }

    /// Makes the guards of a pool's backends; `None`: there is nothing to guard against.
    pub(crate) fn guards(self: &Arc<Self>) -> Option<Arc<GuardFactory>> {
        #[cfg(feature = "admission")]
        let adapts = self.adaptive.is_some();
        #[cfg(not(feature = "admission"))]
        let adapts = false;
        if self.breaker.is_none() && self.outliers.is_none() && !adapts {
            return None;
        }
        let faults = Arc::clone(self);
        let make = move |id: &BackendId| -> Option<Arc<dyn Guard>> {
            let streaks = faults.detection.as_ref().map(Streaks::new);
            #[cfg(feature = "admission")]
            let limiter = faults.adaptive.and_then(|a| Limiter::new(a, faults.made).ok());
            Some(Arc::new(BackendGuard::new(
                id.clone(),
                faults.breaker,
                streaks,
                #[cfg(feature = "admission")]
                limiter,
                &faults,
            )))
        };
        Some(Arc::new(make))
    }

    /// Who is to be woken when maintenance has something to do.
    #[cfg(feature = "runtime")]
    pub(crate) fn watch(&self, watcher: Arc<dyn PoolWatcher>) {
        // Set once, when the balancer is put together.
        let _ = self.watcher.set(Watcher(watcher));
    }

    #[cold]
    fn suspect(&self, id: &BackendId, cause: Cause) {
        {
            let suspects = &mut lock(&self.noted).suspects;
            // Once is enough; and a program that never maintains its balancer is not to run out of memory.
            if suspects.len() == SUSPECTS_MAX || suspects.iter().any(|(known, _)| known == id) {
                return;
            }
            suspects.push((id.clone(), cause));
        }
        self.wake();
    }

    #[cold]
    fn changed(&self, id: &BackendId, transition: Transition) {
        {
            let mut noted = lock(&self.noted);
            if noted.transitions.len() == TRANSITIONS_MAX {
                noted.transitions.pop_front();
            }
            noted.transitions.push_back((id.clone(), transition));
        }
        self.wake();
    }

    fn wake(&self) {
        if let Some(Watcher(watcher)) = self.watcher.get() {
            watcher.attention();
        }
    }

    pub(crate) fn outlier_status(&self, id: &BackendId) -> Option<OutlierStatus> {
        Some(lock(self.outliers.as_ref()?).status(id))
    }
}

/// The guard of a backend, if it is one of ours.
fn guard_of(pool: &Pool, id: &BackendId) -> Option<Arc<BackendGuard>> {
    let snapshot = pool.snapshot();
    let guard = snapshot.get(id)?.state().guard()?.clone();
    (guard as Arc<dyn std::any::Any + Send + Sync>).downcast().ok()
}
