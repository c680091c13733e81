//! A worker's idle connections, by backend: the last one used is the first one taken, so that the rest can age and close.
//!
//! Each carries the time until which it may be taken: the least of the idle time, what the backend announced and its own age. Taking one
//! is a pop and a comparison under a lock that only this worker asks for, but for the rare one that makes room at a limit. What is too
//! old is closed when it is met and by the sweep, which is O(idle connections).

use super::settings::PoolingSettings;
use super::sockets::CloseReason;
use lb_core::BackendState;
use lb_types::Nanos;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// How often, at most, all backends' idle connections are looked through by those who put some back.
const SWEEP: Nanos = Nanos::from_secs(1);

/// What the pool asks of a connection.
pub(crate) trait Pooled: Send + 'static {
    /// Exchanges that it has had.
    fn uses(&self) -> u32;
    /// When it is too old to be used.
    fn ends(&self) -> Nanos;
    /// How long it may be idle, by its backend's word.
    fn announced(&self) -> Nanos;
    /// Whether a request waits for its place.
    fn is_wanted(&self) -> bool;
    /// Whether it is open, as far as is known.
    fn is_usable(&mut self) -> bool;
    /// It is closed, for this reason.
    fn close(self, why: CloseReason);
    /// It is about to be dropped, for this reason.
    fn mark(&mut self, why: CloseReason);
}

/// The settings as the pool uses them.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    reuses: bool,
    /// The most idle connections of one backend that a worker keeps.
    max_idle: usize,
    /// The longest that one may be taken after it went idle.
    idle: Nanos,
    /// The longest that more than `preconnect` are kept.
    spare: Nanos,
    max_requests: u32,
    pub(crate) preconnect: u32,
}

impl Rules {
    /// `max_idle`: where the sockets are not bounded.
    pub(crate) fn new(s: &PoolingSettings, max_idle: usize) -> Self {
        let (spare, trusted) = (Nanos::from(s.max_idle_time), Nanos::from(s.keep_alive_timeout));
        Self {
            reuses: s.reuses(),
            max_idle: s.max_connections.map_or(max_idle, |max| usize::try_from(max).unwrap_or(usize::MAX)),
            idle: if s.preconnect == 0 { spare.min(trusted) } else { trusted },
            spare,
            max_requests: s.max_requests.unwrap_or(u32::MAX),
            preconnect: s.preconnect,
        }
    }
}

pub(crate) struct IdlePool<C> {
    slots: Mutex<Slots<C>>,
    rules: Rules,
}

struct Slots<C> {
    by_slot: Vec<Slot<C>>,
    swept: Nanos,
}

struct Slot<C> {
    /// Whose they are: a slot is used again after its backend is gone.
    uid: u64,
    idle: VecDeque<Idle<C>>,
    /// Times a connection was taken.
    reused: u64,
}

struct Idle<C> {
    connection: C,
    since: Nanos,
    /// The last moment at which it may be taken.
    until: Nanos,
}

/// What a look at a backend's idle connections shows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) idle: usize,
    pub(crate) reused: u64,
}

impl<C: Pooled> IdlePool<C> {
    pub(crate) fn new(rules: Rules) -> Self {
        Self { slots: Mutex::new(Slots { by_slot: vec![], swept: Nanos::ZERO }), rules }
    }

    fn lock(&self) -> MutexGuard<'_, Slots<C>> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A connection that was idle, if there is one. It may have been closed a moment ago.
    #[inline]
    pub(crate) fn take(&self, backend: &BackendState, now: Nanos) -> Option<C> {
        let mut slots = self.lock();
        let slot = slots.by_slot.get_mut(backend.slot() as usize).filter(|s| s.uid == backend.uid())?;
        while let Some(Idle { connection, until, .. }) = slot.idle.pop_back() {
            if now <= until {
                slot.reused += 1;
                return Some(connection);
            }
            let why = too_old(until, connection.ends());
            connection.close(why);
        }
        None
    }

    /// Keeps a connection whose exchange is over, if it may be used again.
    #[inline]
    pub(crate) fn put(&self, backend: &BackendState, connection: C, now: Nanos) {
        let rules = &self.rules;
        let ends = connection.ends();
        if !rules.reuses || now >= ends || connection.uses() >= rules.max_requests {
            return connection.close(match () {
                () if !rules.reuses => CloseReason::Close,
                () if now >= ends => CloseReason::Lifetime,
                () => CloseReason::Requests,
            });
        }
        let mut slots = self.lock();
        // Looked at under the lock: whoever begins to wait looks for idle ones afterwards, under this lock as well.
        if connection.is_wanted() {
            drop(slots);
            return connection.close(CloseReason::Limit);
        }
        let at = backend.slot() as usize;
        if slots.by_slot.len() <= at {
            slots.by_slot.resize_with(at + 1, || Slot { uid: 0, idle: VecDeque::new(), reused: 0 });
        }
        let slot = &mut slots.by_slot[at];
        if slot.uid != backend.uid() {
            close_all(std::mem::take(&mut slot.idle), CloseReason::Gone);
            *slot = Slot { uid: backend.uid(), idle: VecDeque::new(), reused: 0 };
        }
        if slot.idle.len() >= rules.max_idle
            && let Some(oldest) = slot.idle.pop_front()
        {
            oldest.connection.close(CloseReason::Limit);
        }
        let until = (now + rules.idle.min(connection.announced())).min(ends);
        slot.idle.push_back(Idle { connection, since: now, until });
        if now - slots.swept > SWEEP {
            self.sweep_slots(&mut slots, now, None, &|_, _| Some(u32::MAX));
        }
    }

    /// Closes what has been idle for too long or was closed by its backend, and all of the backends that have left. `open(slot, uid)` says
    /// how many sockets such a backend has over all workers; `None`: it has left.
    pub(crate) fn sweep(&self, now: Nanos, open: &dyn Fn(usize, u64) -> Option<u32>) {
        self.sweep_slots(&mut self.lock(), now, Some(C::is_usable), open);
    }

    fn sweep_slots(
        &self,
        slots: &mut Slots<C>,
        now: Nanos,
        usable: Option<fn(&mut C) -> bool>,
        open: &dyn Fn(usize, u64) -> Option<u32>,
    ) {
        slots.swept = now;
        for (at, slot) in slots.by_slot.iter_mut().enumerate() {
            if slot.idle.is_empty() {
                continue;
            }
            let Some(open) = open(at, slot.uid) else {
                close_all(std::mem::take(&mut slot.idle), CloseReason::Gone);
                continue;
            };
            // Without a bound on what is kept open, or not known here: then only what may not be taken any more goes.
            let mut spare = if usable.is_some() { open.saturating_sub(self.rules.preconnect) } else { 0 };
            slot.idle.retain_mut(|i| {
                let why = if now > i.until {
                    too_old(i.until, i.connection.ends())
                } else if usable.is_some_and(|usable| !usable(&mut i.connection)) {
                    CloseReason::Broken
                } else if spare > 0 && now - i.since > self.rules.spare {
                    CloseReason::Idle
                } else {
                    return true;
                };
                spare = spare.saturating_sub(1);
                i.connection.mark(why);
                false
            });
        }
    }

    /// Since when the backend's oldest one here is idle.
    pub(crate) fn oldest(&self, backend: &BackendState) -> Option<Nanos> {
        let slots = self.lock();
        let slot = slots.by_slot.get(backend.slot() as usize).filter(|s| s.uid == backend.uid())?;
        slot.idle.front().map(|i| i.since)
    }

    /// Closes it, to make room; `false`: it was taken meanwhile.
    pub(crate) fn close_oldest(&self, backend: &BackendState) -> bool {
        let mut slots = self.lock();
        let slot = slots.by_slot.get_mut(backend.slot() as usize).filter(|s| s.uid == backend.uid());
        let oldest = slot.and_then(|s| s.idle.pop_front());
        drop(slots);
        let found = oldest.is_some();
        if let Some(oldest) = oldest {
            oldest.connection.close(CloseReason::Limit);
        }
        found
    }

    /// Of the backend in this slot.
    pub(crate) fn see(&self, slot: usize, uid: u64) -> Seen {
        let slots = self.lock();
        let slot = slots.by_slot.get(slot).filter(|s| s.uid == uid);
        slot.map_or_else(Seen::default, |s| Seen { idle: s.idle.len(), reused: s.reused })
    }
}

/// Which of its limits it was that a connection has passed.
fn too_old(until: Nanos, ends: Nanos) -> CloseReason {
    if until == ends { CloseReason::Lifetime } else { CloseReason::Idle }
}

fn close_all<C: Pooled>(idle: VecDeque<Idle<C>>, why: CloseReason) {
    idle.into_iter().for_each(|i| i.connection.close(why));
}
