//! What a driver tells of.

use lb_types::BackendId;
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Who is told. Called on the driver's own tasks, with no lock held and for each instance in order; it should return soon.
pub type EventSink = Arc<dyn Fn(&DriverEvent) + Send + Sync>;

/// Something happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct DriverEvent {
    /// To which instance; `None`: to an order.
    pub id: Option<BackendId>,
    /// What.
    pub what: Happening,
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Happening {
    /// It was started and is waited for.
    Starting {
        /// Where it shall listen.
        address: SocketAddr,
        /// Its process.
        pid: u32,
    },
    /// It takes traffic.
    Ready {
        /// Where.
        address: SocketAddr,
        /// How long it took.
        took: Duration,
    },
    /// It outlived the one who made it, and goes on.
    Adopted {
        /// Where it listens.
        address: SocketAddr,
        /// Its process.
        pid: u32,
    },
    /// It outlived the one who made it, and is stopped.
    Leftover {
        /// Its process.
        pid: u32,
        /// Why it does not go on.
        reason: String,
    },
    /// It ended, could not be started, or was not ready in time.
    Crashed {
        /// How.
        reason: String,
        /// When it is started again.
        restart_in: Duration,
    },
    /// It crashed too often and is given up. It is gone.
    Failed {
        /// How the last time.
        reason: String,
        /// How often it was tried.
        tries: u32,
    },
    /// It is asked to end.
    Stopping,
    /// It did not end in time and was killed.
    Killed {
        /// How long it was waited for.
        grace: Duration,
    },
    /// It was stopped and is gone.
    Gone {
        /// How it ended.
        reason: String,
    },
    /// A try to pass an order on failed, and there will be another.
    Retrying {
        /// Which try that was, from 1.
        tries: u32,
        /// How it failed.
        reason: String,
        /// When the next one is.
        retry_in: Duration,
    },
    /// An order was passed on.
    Ordered {
        /// How many there shall be.
        desired: u32,
        /// Which try that was, from 1.
        tries: u32,
    },
    /// The state file was not written: what it says is old.
    StateNotWritten {
        /// Why.
        reason: String,
    },
}

impl fmt::Display for DriverEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "{id}: {}", self.what),
            None => write!(f, "order: {}", self.what),
        }
    }
}

impl fmt::Display for Happening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Starting { address, pid } => write!(f, "starting at {address}, process {pid}"),
            Self::Ready { address, took } => write!(f, "ready at {address} after {took:.1?}"),
            Self::Adopted { address, pid } => write!(f, "still at {address}, process {pid}: adopted"),
            Self::Leftover { pid, reason } => write!(f, "process {pid} was left over ({reason})"),
            Self::Crashed { reason, restart_in } => {
                write!(f, "crashed: {reason}; started again in {restart_in:.1?}")
            }
            Self::Failed { reason, tries } => write!(f, "given up after {tries} tries: {reason}"),
            Self::Stopping => f.write_str("stopping"),
            Self::Killed { grace } => write!(f, "did not end within {grace:?}: killed"),
            Self::Gone { reason } => write!(f, "gone: {reason}"),
            Self::Retrying { tries, reason, retry_in } => {
                write!(f, "try {tries} failed: {reason}; again in {retry_in:.1?}")
            }
            Self::Ordered { desired, tries } => write!(f, "{desired} instances ordered, at try {tries}"),
            Self::StateNotWritten { reason } => write!(f, "the state file was not written: {reason}"),
        }
    }
}
