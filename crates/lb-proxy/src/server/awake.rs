//! Which idle connections keep their buffers.
//!
//! An idle keep-alive connection with its parser costs about 20 KiB; asleep, a socket and a small task, under 2 KiB. Waking costs
//! about 1.5 µs, so the connections that went idle last stay awake, [`MAX`] per worker: a busy client never sleeps, ten thousand
//! idle ones cost what they must.
//!
//! A connection that goes idle takes a ticket, unless its last one is still among the newer half: so the order is exact to half of
//! [`MAX`], and a request on one of a few busy connections costs one look.

use crate::timer::Watch;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many idle connections of a worker stay awake.
const MAX: u64 = 256;

/// A worker's awake idle connections.
#[derive(Debug)]
pub(super) struct Awake {
    /// The next ticket; 0 means "none".
    next: AtomicU64,
    /// Who holds ticket `t`, at `t % MAX`.
    holders: Mutex<Vec<Option<Arc<Watch>>>>,
}

impl Default for Awake {
    fn default() -> Self {
        Self { next: AtomicU64::new(1), holders: Mutex::new(vec![None; MAX as usize]) }
    }
}

impl Awake {
    /// An idle connection asks: may it stay awake? When it has just gone idle it may, and whoever holds the oldest ticket is woken,
    /// to ask in turn.
    #[inline]
    pub(super) fn may_stay(&self, watch: &Arc<Watch>) -> bool {
        let (ticket, next) = (watch.ticket(), self.next.load(Relaxed));
        if ticket != 0 && ticket + MAX / 2 > next {
            watch.stay_idle();
            return true;
        }
        if watch.stay_idle() {
            self.take_ticket(watch, ticket);
            return true;
        }
        ticket + MAX > next
    }

    #[cold]
    fn take_ticket(&self, watch: &Arc<Watch>, old: u64) {
        let mut holders = self.lock();
        Self::clear(&mut holders, old, watch);
        let ticket = self.next.fetch_add(1, Relaxed);
        watch.set_ticket(ticket);
        let displaced = holders[(ticket % MAX) as usize].replace(watch.clone());
        drop(holders);
        if let Some(old) = displaced {
            old.wake();
        }
    }

    /// The connection has ended: nothing of it is kept.
    pub(super) fn forget(&self, watch: &Arc<Watch>) {
        if watch.ticket() != 0 {
            Self::clear(&mut self.lock(), watch.ticket(), watch);
        }
    }

    fn clear(holders: &mut [Option<Arc<Watch>>], ticket: u64, watch: &Arc<Watch>) {
        let place = &mut holders[(ticket % MAX) as usize];
        if place.as_ref().is_some_and(|w| Arc::ptr_eq(w, watch)) {
            *place = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Option<Arc<Watch>>>> {
        self.holders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
