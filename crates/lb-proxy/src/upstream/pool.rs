//! A worker's idle connections, by backend: the last one used is the first one taken, so that the rest can age and close.

use crate::engine::{Connection, RequestBody};
use lb_core::BackendState;
use lb_types::Nanos;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How often, at most, all backends' idle connections are looked through.
const SWEEP: Nanos = Nanos::from_secs(1);

pub(crate) struct IdlePool<B: RequestBody> {
    slots: Mutex<Slots<B>>,
    max_idle: usize,
    max_age: Nanos,
}

struct Slots<B: RequestBody> {
    by_slot: Vec<Slot<B>>,
    swept: Nanos,
}

struct Slot<B: RequestBody> {
    /// Whose they are: a slot is used again after its backend is gone.
    uid: u64,
    idle: VecDeque<(Connection<B>, Nanos)>,
}

impl<B: RequestBody> IdlePool<B> {
    pub(crate) fn new(max_idle: usize, max_age: Duration) -> Self {
        let slots = Mutex::new(Slots { by_slot: vec![], swept: Nanos::ZERO });
        Self { slots, max_idle, max_age: max_age.into() }
    }

    fn lock(&self) -> MutexGuard<'_, Slots<B>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was idle, if there is one. It may have been closed a moment ago.
    #[inline]
    pub(crate) fn take(&self, backend: &BackendState, now: Nanos) -> Option<Connection<B>> {
        let mut slots = self.lock();
        let slot = slots.by_slot.get_mut(backend.slot() as usize).filter(|s| s.uid == backend.uid())?;
        let (connection, since) = slot.idle.pop_back()?;
        (now - since <= self.max_age).then_some(connection)
    }

    /// Keeps a connection whose exchange is over.
    #[inline]
    pub(crate) fn put(&self, backend: &BackendState, connection: Connection<B>, now: Nanos) {
        let mut slots = self.lock();
        let at = backend.slot() as usize;
        if slots.by_slot.len() <= at {
            slots.by_slot.resize_with(at + 1, || Slot { uid: 0, idle: VecDeque::new() });
        }
        let slot = &mut slots.by_slot[at];
        if slot.uid != backend.uid() {
            *slot = Slot { uid: backend.uid(), idle: VecDeque::new() };
        }
        if slot.idle.len() >= self.max_idle {
            slot.idle.pop_front();
        }
        slot.idle.push_back((connection, now));
        if now - slots.swept > SWEEP {
            self.sweep_slots(&mut slots, now);
        }
    }

    /// Closes what has been idle for too long.
    pub(crate) fn sweep(&self, now: Nanos) {
        self.sweep_slots(&mut self.lock(), now);
    }

    fn sweep_slots(&self, slots: &mut Slots<B>, now: Nanos) {
        slots.swept = now;
        for slot in &mut slots.by_slot {
            while slot.idle.front().is_some_and(|(_, since)| now - *since > self.max_age) {
                slot.idle.pop_front();
            }
        }
    }
}
