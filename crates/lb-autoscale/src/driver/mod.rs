//! Who carries a decision out: the [`Driver`].
//!
//! Three sides, and who owns what:
//!
//! - the **scaler** says how many ([`Decision`]);
//! - the **pool** turns ready instances into backends, chooses who goes, drains it first, and only then names it in
//!   [`Order::going`]: a driver that is told to stop an instance stops it now;
//! - the **driver** makes instances real, keeps them so (one that crashes is replaced), and tells of them by [`DriverEvent`]s.
//!
//! A driver never drains and never asks whether a ready instance still answers: that is the pool's health check. `process` keeps a
//! list of its instances; `exec`, `webhook` and `kubernetes` pass the number on to somebody else, whose instances come by discovery.

#[cfg(all(any(feature = "process", feature = "exec"), target_os = "linux"))]
mod child;
pub mod event;
#[cfg(feature = "exec")]
pub mod exec;
#[cfg(feature = "kubernetes")]
pub mod kubernetes;
#[cfg(any(all(feature = "exec", target_os = "linux"), feature = "webhook", feature = "kubernetes"))]
mod latest;
#[cfg(feature = "process")]
pub mod process;
pub mod retry;
#[cfg(any(feature = "process", feature = "exec"))]
mod template;
#[cfg(feature = "webhook")]
pub mod webhook;

#[cfg(all(any(feature = "process", feature = "exec"), target_os = "linux"))]
pub use child::output::{Line, Stream};
pub use event::{DriverEvent, EventSink, Happening};

use crate::decision::Decision;
use lb_types::{BackendId, SettingsError};
use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::Duration;

/// What a call of a [`Driver`] returns.
pub type DriverFuture<'a> = Pin<Box<dyn Future<Output = Result<(), DriverError>> + Send + 'a>>;

/// Makes a number of instances real.
pub trait Driver: Send + Sync + 'static {
    /// Its name in events and logs: `process`, `exec`, `webhook`, `kubernetes`.
    fn name(&self) -> &'static str;

    /// Carries an order out: done when the instances are on their way (`process`; they are not ready yet), or when who does it has
    /// agreed. The latest order counts: an older one that is still being tried gives up with [`DriverError::Superseded`]. The same
    /// order twice changes nothing more. A call that is dropped halfway may have been carried out or not.
    ///
    /// # Errors
    /// It was not carried out, or only in part; ask again at the scaler's next beat.
    fn scale(&self, order: Order) -> DriverFuture<'_>;

    /// The instances that it has, in the order they were made; `None` if somebody else keeps them.
    fn instances(&self) -> Option<Vec<Driven>>;

    /// Stops every instance that it has, and takes no more orders. What somebody else keeps is left as it is.
    ///
    /// # Errors
    /// Some could not be stopped.
    fn shutdown(&self) -> DriverFuture<'_>;
}

/// How many there shall be.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Order {
    /// So many instances.
    pub desired: u32,
    /// So many there are, as far as who orders knows: told on to those that keep no list.
    pub current: u32,
    /// These go: they are drained. If that leaves more than `desired`, a driver with a list chooses more of them itself (the newest,
    /// and first such as are not ready); if fewer, it makes new ones.
    pub going: Vec<BackendId>,
    /// Why, for those who read of it.
    pub reason: String,
}

impl Order {
    /// So many where there are `current`; nobody is named, and there is no reason.
    pub fn new(desired: u32, current: u32) -> Self {
        Self { desired, current, going: Vec::new(), reason: String::new() }
    }

    /// Names who goes.
    #[must_use]
    pub fn going(mut self, ids: impl IntoIterator<Item = BackendId>) -> Self {
        self.going = ids.into_iter().collect();
        self
    }

    /// Says why.
    #[must_use]
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.reason = reason.into();
        self
    }
}

impl From<&Decision> for Order {
    fn from(decision: &Decision) -> Self {
        Self::new(decision.desired, decision.current).reason(decision.to_string())
    }
}

/// One instance that a driver has.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Driven {
    /// Its name, the same through all its restarts.
    pub id: BackendId,
    /// How far it has come.
    pub stage: Stage,
    /// Where it listens; another one after each restart. Port 0 before the first.
    pub address: SocketAddr,
    /// Its process, while there is one.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u32,
}

impl Driven {
    /// This one, without a process and never started again: for drivers.
    pub fn new(id: impl Into<BackendId>, stage: Stage, address: SocketAddr) -> Self {
        Self { id: id.into(), stage, address, pid: None, restarts: 0 }
    }
}

/// How far an instance has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Stage {
    /// Made, and not ready yet.
    Starting,
    /// Was found ready; whether it still is, the pool's health check knows.
    Ready,
    /// Crashed, and waits to be started again.
    Waiting,
    /// Is being stopped.
    Stopping,
}

/// Why an order was not carried out, or a driver not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DriverError {
    /// A setting is out of its bounds.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// More instances than the driver makes.
    #[error("{desired} instances are wanted, and at most {most} are made")]
    TooMany {
        /// What was ordered.
        desired: u32,
        /// `instances_max`.
        most: u32,
    },
    /// Instances failed one after another: none is started before this time has passed.
    #[error("instances failed: no new one for another {left:?} ({reason})")]
    Resting {
        /// How much longer.
        left: Duration,
        /// How the last one failed.
        reason: String,
    },
    /// A newer order came while this one was still being tried.
    #[error("a newer order came")]
    Superseded,
    /// The driver was shut down.
    #[error("the driver was shut down")]
    Closed,
    /// All tries failed.
    #[error("failed {tries} times: {reason}")]
    Failed {
        /// How many tries there were.
        tries: u32,
        /// How the last one failed.
        reason: String,
    },
    /// The state file cannot be used.
    #[error("state file {}: {reason}", path.display())]
    State {
        /// Where it is.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// Instances would not be stopped.
    #[error("{left} instances are still there")]
    StillThere {
        /// How many.
        left: usize,
    },
}
