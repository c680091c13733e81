//! What is told of faults: to callbacks, and as a stream.

use lb_breaker::Transition;
use lb_health::outlier::{Change, Ejection, Why};
use lb_types::BackendId;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
#[cfg(feature = "runtime")]
use tokio::sync::broadcast;

/// How many events the stream keeps for a reader that is behind.
#[cfg(feature = "runtime")]
const EVENTS_CAPACITY: usize = 1_024;

/// Something changed in how a failing backend is treated.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case", tag = "event"))]
#[non_exhaustive]
pub enum FaultEvent {
    /// `breaker-changed`: a backend's circuit breaker changed its state.
    BreakerChanged {
        /// Which backend.
        id: BackendId,
        /// From where, to where, and why.
        #[cfg_attr(feature = "serde", serde(flatten))]
        transition: Transition,
    },
    /// `backend-ejected`: passive detection took a backend out.
    BackendEjected(Ejection),
    /// `backend-returned`: an ejection ended.
    BackendReturned {
        /// Which backend.
        id: BackendId,
        /// Why.
        why: Why,
    },
}

impl FaultEvent {
    pub(super) fn of(change: Change) -> Option<Self> {
        match change {
            Change::Ejected(ejection) => Some(Self::BackendEjected(ejection)),
            Change::Returned { id, why } => Some(Self::BackendReturned { id, why }),
            _ => None,
        }
    }

    /// Which backend it is about.
    pub fn id(&self) -> &BackendId {
        match self {
            Self::BreakerChanged { id, .. } | Self::BackendReturned { id, .. } => id,
            Self::BackendEjected(ejection) => &ejection.id,
        }
    }
}

type Callback = Arc<dyn Fn(&FaultEvent) + Send + Sync>;

#[derive(Default)]
pub(super) struct Publisher {
    callbacks: RwLock<Vec<Callback>>,
    #[cfg(feature = "runtime")]
    stream: Stream,
}

#[cfg(feature = "runtime")]
struct Stream(broadcast::Sender<FaultEvent>);

#[cfg(feature = "runtime")]
impl Default for Stream {
    fn default() -> Self {
        Self(broadcast::Sender::new(EVENTS_CAPACITY))
    }
}

impl std::fmt::Debug for Publisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Publisher")
    }
}

impl Publisher {
    pub(super) fn add(&self, callback: Callback) {
        self.callbacks.write().unwrap_or_else(PoisonError::into_inner).push(callback);
    }

    #[cfg(feature = "runtime")]
    pub(super) fn subscribe(&self) -> broadcast::Receiver<FaultEvent> {
        self.stream.0.subscribe()
    }

    /// Under no lock; a callback that panics costs its own call alone.
    pub(super) fn publish(&self, events: Vec<FaultEvent>) {
        if events.is_empty() {
            return;
        }
        let callbacks = self.callbacks.read().unwrap_or_else(PoisonError::into_inner).clone();
        for event in events {
            for callback in &callbacks {
                // The panic hook has reported it.
                let _ = catch_unwind(AssertUnwindSafe(|| callback(&event)));
            }
            // An error means that nobody listens.
            #[cfg(feature = "runtime")]
            let _ = self.stream.0.send(event);
        }
    }
}
