//! Which idle connections keep their buffers.
//!
//! An idle keep-alive connection with its parser costs about 20 KiB; asleep, a socket and a small task, under 2 KiB. Waking costs
//! about 1.5 µs, so the connections that went idle last stay awake, [`MAX`] per worker: a busy client never sleeps, ten thousand
//! idle ones cost what they must.

use crate::timer::Watch;
use std::sync::{Arc, Mutex, PoisonError};

/// How many idle connections of a worker stay awake.
const MAX: u64 = 256;

/// A worker's awake idle connections, oldest first to go.
#[derive(Debug)]
pub(super) struct Awake(Mutex<Ring>);

#[derive(Debug)]
struct Ring {
    /// The next ticket; 0 means "none".
    next: u64,
    /// Who holds ticket `t`, at `t % MAX`.
    holders: Vec<Option<Arc<Watch>>>,
}

impl Default for Awake {
    fn default() -> Self {
        Self(Mutex::new(Ring { next: 1, holders: vec![None; MAX as usize] }))
    }
}

impl Awake {
    /// An idle connection asks: may it stay awake? The first time it gets a ticket and whoever holds the oldest is woken, to ask in
    /// turn.
    pub(super) fn may_stay(&self, watch: &Arc<Watch>) -> bool {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ticket = watch.ticket();
        if ticket != 0 {
            return ticket + MAX > ring.next;
        }
        let ticket = ring.next;
        ring.next += 1;
        watch.set_ticket(ticket);
        let displaced = ring.holders[(ticket % MAX) as usize].replace(watch.clone());
        drop(ring);
        if let Some(old) = displaced
            && old.ticket() == ticket - MAX.min(ticket)
        {
            old.wake();
        }
        true
    }

    /// The connection has ended: nothing of it is kept.
    pub(super) fn forget(&self, watch: &Arc<Watch>) {
        let ticket = watch.ticket();
        if ticket == 0 {
            return;
        }
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let place = &mut ring.holders[(ticket % MAX) as usize];
        if place.as_ref().is_some_and(|w| Arc::ptr_eq(w, watch)) {
            *place = None;
        }
    }
}
