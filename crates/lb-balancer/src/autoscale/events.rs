//! What auto-scaling does, told: to callbacks at once, and the last of it kept for who looks later.

use lb_autoscale::{Action, Decision, DriverEvent, EventSink};
use lb_types::{BackendId, BackendUrl};
use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::Notify;

/// As many events are kept.
const KEPT: usize = 64;

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ScaleEvent {
    /// More or fewer instances were decided on; holds are no event.
    Decided(Box<Decision>),
    /// Somebody orders a number by hand; the decision follows.
    Asked {
        /// So many instances.
        desired: u32,
        /// Who.
        by: String,
    },
    /// The driver tells of an instance, or of an order.
    Driver(DriverEvent),
    /// The driver did not carry an order out; it is ordered again.
    DriverFailed {
        /// Why.
        error: String,
    },
    /// An instance takes traffic.
    Joined {
        /// Which.
        id: BackendId,
        /// Where.
        url: BackendUrl,
    },
    /// An instance gets nothing new and finishes what it has.
    Draining {
        /// Which.
        id: BackendId,
        /// Its health check fails for long, so another takes its place.
        ill: bool,
    },
    /// An instance takes no traffic any more.
    Left {
        /// Which.
        id: BackendId,
    },
}

impl ScaleEvent {
    /// Its stable name.
    pub fn kind(&self) -> &'static str {
        use lb_autoscale::Happening as H;
        match self {
            Self::Decided(d) if matches!(d.action, Action::Up(_)) => "scale-up",
            Self::Decided(_) => "scale-down",
            Self::Asked { .. } => "by-hand",
            Self::DriverFailed { .. } => "driver-error",
            Self::Joined { .. } => "joined",
            Self::Draining { ill: true, .. } => "replaced",
            Self::Draining { .. } => "draining",
            Self::Left { .. } => "left",
            Self::Driver(event) => match event.what {
                H::Starting { .. } => "starting",
                H::Ready { .. } => "ready",
                H::Adopted { .. } => "adopted",
                H::Leftover { .. } => "leftover",
                H::Crashed { .. } => "crashed",
                H::Failed { .. } => "gave-up",
                H::Stopping => "stopping",
                H::Killed { .. } => "killed",
                H::Gone { .. } => "stopped",
                H::Retrying { .. } => "retrying",
                H::Ordered { .. } => "ordered",
                _ => "driver",
            },
        }
    }

    /// Which instance it is about, if it is about one.
    pub fn id(&self) -> Option<&BackendId> {
        match self {
            Self::Driver(event) => event.id.as_ref(),
            Self::Joined { id, .. } | Self::Draining { id, .. } | Self::Left { id } => Some(id),
            Self::Decided(_) | Self::Asked { .. } | Self::DriverFailed { .. } => None,
        }
    }

    /// Is something wrong?
    pub fn is_trouble(&self) -> bool {
        matches!(
            self.kind(),
            "driver-error" | "crashed" | "gave-up" | "killed" | "retrying" | "replaced" | "leftover"
        )
    }
}

impl fmt::Display for ScaleEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decided(decision) => decision.fmt(f),
            Self::Driver(event) => event.fmt(f),
            Self::Asked { desired, by } => write!(f, "{desired} instances ordered by {by}"),
            Self::DriverFailed { error } => write!(f, "the driver failed: {error}"),
            Self::Joined { id, url } => write!(f, "{id}: takes traffic at {url}"),
            Self::Draining { id, ill: true } => write!(f, "{id}: its health check fails for long: replaced"),
            Self::Draining { id, .. } => write!(f, "{id}: draining"),
            Self::Left { id } => write!(f, "{id}: takes no traffic any more"),
        }
    }
}

/// An event that was kept.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct KeptEvent {
    /// When, in ms since the Unix epoch.
    pub at: u64,
    /// Its stable name.
    pub kind: &'static str,
    /// Which instance it is about, if it is about one.
    pub instance: Option<BackendId>,
    /// It in words.
    pub text: String,
}

type Callback = Arc<dyn Fn(&ScaleEvent) + Send + Sync>;

/// What auto-scaling tells, and to whom: a cheap handle. Made before the driver, which tells it of its instances by [`sink`](Self::sink).
#[derive(Clone, Default)]
pub struct ScaleEvents(Arc<Inner>);

#[derive(Default)]
struct Inner {
    kept: Mutex<VecDeque<KeptEvent>>,
    callbacks: Mutex<Vec<Callback>>,
    pub(super) wake: Notify,
    ups: AtomicU64,
    downs: AtomicU64,
    errors: AtomicU64,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under these locks is whole between any two statements.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScaleEvents {
    /// Nothing yet, told to nobody.
    pub fn new() -> Self {
        Self::default()
    }

    /// What a driver tells its events: the balancer looks at once.
    pub fn sink(&self) -> EventSink {
        let events = self.clone();
        Arc::new(move |event: &DriverEvent| {
            events.tell(&ScaleEvent::Driver(event.clone()));
            events.0.wake.notify_one();
        })
    }

    /// Tells this one, too, from now on. It is called on the balancer's and the driver's tasks, and should return soon.
    pub fn subscribe(&self, callback: impl Fn(&ScaleEvent) + Send + Sync + 'static) {
        lock(&self.0.callbacks).push(Arc::new(callback));
    }

    /// The last 64, oldest first.
    pub fn recent(&self) -> Vec<KeptEvent> {
        lock(&self.0.kept).iter().cloned().collect()
    }

    pub(super) fn wake(&self) -> &Notify {
        &self.0.wake
    }

    pub(super) fn tell(&self, event: &ScaleEvent) {
        match event {
            ScaleEvent::Decided(d) if matches!(d.action, Action::Up(_)) => self.0.ups.fetch_add(1, Relaxed),
            ScaleEvent::Decided(_) => self.0.downs.fetch_add(1, Relaxed),
            ScaleEvent::DriverFailed { .. } => self.0.errors.fetch_add(1, Relaxed),
            _ => 0,
        };
        let at = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let kept = KeptEvent {
            at: u64::try_from(at.as_millis()).unwrap_or(u64::MAX),
            kind: event.kind(),
            instance: event.id().cloned(),
            text: event.to_string(),
        };
        {
            let mut all = lock(&self.0.kept);
            if all.len() == KEPT {
                all.pop_front();
            }
            all.push_back(kept);
        }
        let callbacks = lock(&self.0.callbacks).clone();
        callbacks.iter().for_each(|callback| callback(event));
    }

    /// Decisions for more, for fewer, and orders that failed.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        (self.0.ups.load(Relaxed), self.0.downs.load(Relaxed), self.0.errors.load(Relaxed))
    }
}

impl fmt::Debug for ScaleEvents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ScaleEvents").finish_non_exhaustive()
    }
}
