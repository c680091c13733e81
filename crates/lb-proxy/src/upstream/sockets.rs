//! One backend's open sockets, counted over all workers: who may open another, and who waits for that.
//!
//! A [`Place`] rides in each connection and counts out when that is dropped, however it ends. While nobody waits, that is one
//! atomic operation when a connection opens and one when it closes; requests on connections that are there touch nothing.

use lb_types::BackendId;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use tokio::sync::Notify;

/// Why a connection to a backend was closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CloseReason {
    /// It was idle for too long.
    Idle,
    /// It had reached its age.
    Lifetime,
    /// It had had its number of exchanges.
    Requests,
    /// It made room for another, or more were idle than are kept.
    Limit,
    /// The backend had said so, or connections are not kept.
    Close,
    /// Its backend has left the pool.
    Gone,
    /// An exchange did not end well, the client left before its end, or the backend closed it.
    Broken,
}

impl CloseReason {
    /// All of them.
    pub const ALL: [Self; 7] =
        [Self::Idle, Self::Lifetime, Self::Requests, Self::Limit, Self::Close, Self::Gone, Self::Broken];

    /// The reason in a word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Lifetime => "lifetime",
            Self::Requests => "requests",
            Self::Limit => "limit",
            Self::Close => "close",
            Self::Gone => "gone",
            Self::Broken => "broken",
        }
    }
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Sockets {
    pub(crate) id: BackendId,
    pub(crate) uid: u64,
    open: AtomicU32,
    /// Requests that wait for a place.
    waiting: AtomicU32,
    freed: Notify,
    opened: AtomicU64,
    closed: [AtomicU64; CloseReason::ALL.len()],
}

impl Sockets {
    pub(crate) fn new(id: BackendId, uid: u64) -> Self {
        Self {
            id,
            uid,
            open: AtomicU32::new(0),
            waiting: AtomicU32::new(0),
            freed: Notify::new(),
            opened: AtomicU64::new(0),
            closed: Default::default(),
        }
    }

    /// A place, while fewer than `limit` are taken.
    pub(crate) fn take(self: &Arc<Self>, limit: u32) -> Option<Place> {
        let more = |n: u32| (n < limit).then_some(n + 1);
        self.open.fetch_update(SeqCst, SeqCst, more).ok()?;
        Some(Place { sockets: self.clone(), made: false, why: CloseReason::Broken })
    }

    /// Somebody waits until this is dropped.
    pub(crate) fn wait(&self) -> Waiting<'_> {
        self.waiting.fetch_add(1, SeqCst);
        Waiting(self)
    }

    /// Connections that are open or being made.
    pub(crate) fn open(&self) -> u32 {
        self.open.load(Relaxed)
    }

    pub(crate) fn opened(&self) -> u64 {
        self.opened.load(Relaxed)
    }

    pub(crate) fn closed(&self, why: CloseReason) -> u64 {
        self.closed[why as usize].load(Relaxed)
    }
}

/// One that waits for a place.
pub(crate) struct Waiting<'s>(&'s Sockets);

impl Waiting<'_> {
    /// Resolves when a place may have become free since it was made.
    pub(crate) fn freed(&self) -> tokio::sync::futures::Notified<'_> {
        self.0.freed.notified()
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, SeqCst);
    }
}

/// The right to one socket, from before it is opened until it is closed.
#[derive(Debug)]
pub(crate) struct Place {
    sockets: Arc<Sockets>,
    /// A connection was made.
    made: bool,
    why: CloseReason,
}

impl Place {
    /// The connection is there.
    pub(crate) fn made(&mut self) {
        self.made = true;
        self.sockets.opened.fetch_add(1, Relaxed);
    }

    /// Why it is about to be closed; [`CloseReason::Broken`] unless said.
    pub(crate) fn closes(&mut self, why: CloseReason) {
        self.why = why;
    }

    /// Does somebody wait for a place?
    #[inline]
    pub(crate) fn is_wanted(&self) -> bool {
        self.sockets.waiting.load(Relaxed) > 0
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made {
            self.sockets.closed[self.why as usize].fetch_add(1, Relaxed);
        }
        self.sockets.open.fetch_sub(1, SeqCst);
        if self.sockets.waiting.load(SeqCst) > 0 {
            self.sockets.freed.notify_one();
        }
    }
}
