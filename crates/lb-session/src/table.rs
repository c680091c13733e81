//! Who was sent where: a bounded table of sessions, in the order of their last use.
//!
//! Sessions are spread over shards by a seeded hash, each shard under its own lock: a slab of entries, an index by id, and a list through
//! the slab from the longest unused to the last used. As `ttl` is one for all, that is also the order in which they expire, so what has
//! expired is always found at the list's head, and so is what makes room when the shard is full. Every call costs O(1).
//!
//! The bound is divided among the shards: ids spread evenly, so at a million sessions the first shard is full when the table is 97 % full.
//! Below [`SHARD_SESSIONS`] sessions there is one shard, and the order is exact.
//!
//! Times are kept in ticks of [`TICK`]: a session lives for `ttl` and up to one tick more.
//!
//! A session that was cleared stays as a **tombstone** until `ttl`, so that a cookie that still names it is recognised. Tombstones are
//! not renewed by look-ups; like sessions they may have to make room.

use crate::SessionId;
use crate::record::Record;
use foldhash::fast::FixedState;
use lb_types::{BackendId, Nanos};
use std::collections::HashMap;
use std::hash::BuildHasher as _;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The resolution of times in the table.
pub const TICK: Nanos = Nanos::from_millis(100);
/// A shard more for every so many sessions, up to [`SHARDS_MAX`].
pub const SHARD_SESSIONS: usize = 4096;
/// The most shards.
pub const SHARDS_MAX: usize = 64;

/// No place in the slab.
const NOWHERE: u32 = u32::MAX;
/// How many expired sessions one call clears away at most, so that no call pays for all.
const EXPIRED_A_CALL: usize = 8;
/// How many places a scan looks at under one lock: some 10 µs.
const SCANNED_A_LOCK: usize = 512;

pub(crate) struct Table {
    shards: Box<[Mutex<Shard>]>,
    hasher: FixedState,
    per_shard_max: usize,
    ttl_ticks: u32,
}

/// Counters of what happened in a table, and what is in it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) active: u64,
    pub(crate) tombstones: u64,
    pub(crate) total: u64,
    pub(crate) expired: u64,
    pub(crate) evicted: u64,
    /// Sum over all sessions ever of first to last use.
    pub(crate) ticks: u64,
}

#[derive(Default)]
struct Shard {
    entries: Vec<Entry>,
    index: HashMap<SessionId, u32, FixedState>,
    free: u32,
    oldest: u32,
    youngest: u32,
    counts: Counts,
}

struct Entry {
    id: SessionId,
    backend: Option<BackendId>,
    created: u32,
    used: u32,
    /// When it was last compared with the store; 0: never.
    synced: u32,
    older: u32,
    younger: u32,
    epoch: u16,
}

impl Entry {
    fn record(&self) -> Record {
        Record { backend: self.backend.clone(), created: self.created, epoch: self.epoch }
    }
}

/// A session that was looked up.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) record: Record,
    /// It was last compared with the store so long ago that it is due again; whoever is told does it.
    pub(crate) sync_due: bool,
}

/// A session that a scan came by.
pub(crate) struct Seen {
    pub(crate) id: SessionId,
    pub(crate) backend: BackendId,
    pub(crate) created: u32,
    /// Since its last use, to a tick.
    pub(crate) idle: Nanos,
}

fn ticks(now: Nanos) -> u32 {
    // From 1: 0 stands for never. 13 years until it saturates.
    u32::try_from(now.0 / TICK.0 + 1).unwrap_or(u32::MAX)
}

impl Table {
    /// `sessions_max` is 1 or more; `seed` spreads ids over the shards so that clients cannot choose theirs.
    pub(crate) fn new(sessions_max: usize, ttl: Nanos, seed: u64) -> Self {
        let shards = (sessions_max / SHARD_SESSIONS).next_power_of_two().clamp(1, SHARDS_MAX);
        let hasher = FixedState::with_seed(seed);
        let shard = || Shard {
            index: HashMap::with_hasher(FixedState::with_seed(seed ^ 0x5E55_1074)),
            free: NOWHERE,
            oldest: NOWHERE,
            youngest: NOWHERE,
            ..Shard::default()
        };
        Self {
            shards: (0..shards).map(|_| Mutex::new(shard())).collect(),
            hasher,
            per_shard_max: sessions_max / shards, // 1 or more, as a second shard comes with 4096 sessions
            ttl_ticks: u32::try_from(ttl.0.div_ceil(TICK.0)).unwrap_or(u32::MAX),
        }
    }

    fn shard(&self, id: SessionId) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(id) as usize & (self.shards.len() - 1); // a power of two
        lock(&self.shards[at])
    }

    /// The session, as it is; nothing is renewed.
    pub(crate) fn peek(&self, id: SessionId, now: Nanos) -> Option<Record> {
        let now = ticks(now);
        let shard = self.shard(id);
        let entry = &shard.entries[*shard.index.get(&id)? as usize];
        (!self.is_over(entry, now)).then(|| entry.record())
    }

    /// The session, which is used by this. `sync_after`: when it is due to be compared with a store.
    pub(crate) fn look_up(&self, id: SessionId, now: Nanos, sync_after: Option<Nanos>) -> Option<Found> {
        let now = ticks(now);
        let mut shard = self.shard(id);
        let at = *shard.index.get(&id)?;
        if self.is_over(&shard.entries[at as usize], now) {
            shard.remove(at, End::Expired);
            return None;
        }
        if shard.entries[at as usize].backend.is_some() {
            shard.use_again(at, now);
        }
        let entry = &mut shard.entries[at as usize];
        let sync_due = sync_after
            .is_some_and(|after| entry.synced == 0 || now.saturating_sub(entry.synced) >= ticks(after) - 1);
        if sync_due {
            entry.synced = now;
        }
        Some(Found { record: entry.record(), sync_due })
    }

    /// Changes the session, or adds it: `change` gets what is there and says what shall be; `None` leaves it. Returns what is there
    /// afterwards, and whether that is new.
    pub(crate) fn update(
        &self,
        id: SessionId,
        now: Nanos,
        change: impl FnOnce(Option<&Record>) -> Option<Record>,
    ) -> (Option<Record>, bool) {
        let now = ticks(now);
        let mut shard = self.shard(id);
        shard.clear_expired(now, self.ttl_ticks);
        let mut at = shard.index.get(&id).copied();
        if let Some(over) = at.filter(|&at| self.is_over(&shard.entries[at as usize], now)) {
            shard.remove(over, End::Expired);
            at = None;
        }
        let present = at.map(|at| shard.entries[at as usize].record());
        let Some(next) = change(present.as_ref()) else { return (present, false) };
        match at {
            Some(at) => shard.replace(at, now, &next),
            None => {
                if shard.index.len() >= self.per_shard_max {
                    let oldest = shard.oldest;
                    shard.remove(oldest, End::Evicted);
                }
                shard.insert(id, now, &next);
            }
        }
        (Some(next), true)
    }

    /// The session was compared with the store.
    #[cfg(feature = "store")]
    pub(crate) fn synced(&self, id: SessionId, now: Nanos) {
        let mut shard = self.shard(id);
        if let Some(&at) = shard.index.get(&id) {
            shard.entries[at as usize].synced = ticks(now);
        }
    }

    pub(crate) fn counts(&self) -> Counts {
        self.shards.iter().fold(Counts::default(), |sum, shard| {
            let c = lock(shard).counts;
            Counts {
                active: sum.active + c.active,
                tombstones: sum.tombstones + c.tombstones,
                total: sum.total + c.total,
                expired: sum.expired + c.expired,
                evicted: sum.evicted + c.evicted,
                ticks: sum.ticks + c.ticks,
            }
        })
    }

    /// Clears away what has expired; costs as much as there is of it. One shard's lock at a time.
    pub(crate) fn sweep(&self, now: Nanos) {
        let now = ticks(now);
        for shard in &self.shards {
            while lock(shard).clear_expired(now, self.ttl_ticks) == EXPIRED_A_CALL {}
        }
    }

    /// Calls `see` with each session that is neither over nor cleared, of this backend or of all, in no order that means anything, until
    /// it says `false`. Each lock is held for a few places at a time and never while `see` is called, so a session that comes, goes or
    /// is replaced meanwhile may be missed or seen twice.
    pub(crate) fn each(&self, now: Nanos, of: Option<&BackendId>, mut see: impl FnMut(Seen) -> bool) {
        let now = ticks(now);
        let mut batch = Vec::new();
        for shard in &self.shards {
            for from in (0..).step_by(SCANNED_A_LOCK) {
                let shard = lock(shard);
                let Some(places) = shard.entries.get(from..) else { break };
                let places = &places[..places.len().min(SCANNED_A_LOCK)];
                batch.extend(places.iter().filter_map(|entry| {
                    let backend = entry.backend.as_ref().filter(|b| of.is_none_or(|of| *b == of))?;
                    let idle = Nanos(u64::from(now.saturating_sub(entry.used)) * TICK.0);
                    let seen =
                        || Seen { id: entry.id, backend: backend.clone(), created: entry.created, idle };
                    (!self.is_over(entry, now)).then(seen)
                }));
                drop(shard);
                if !batch.drain(..).all(&mut see) {
                    return;
                }
            }
        }
    }

    fn is_over(&self, entry: &Entry, now: u32) -> bool {
        is_over(entry, now, self.ttl_ticks)
    }
}

fn is_over(entry: &Entry, now: u32, ttl_ticks: u32) -> bool {
    now.saturating_sub(entry.used) > ttl_ticks
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // The only foreign code under the lock is `change`, which is this crate's and does not panic.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[derive(Clone, Copy)]
enum End {
    Expired,
    Evicted,
}

impl Shard {
    fn insert(&mut self, id: SessionId, now: u32, record: &Record) {
        let entry = Entry {
            id,
            backend: record.backend.clone(),
            created: record.created,
            used: now,
            synced: 0,
            older: NOWHERE,
            younger: NOWHERE,
            epoch: record.epoch,
        };
        self.count_in(&entry.backend);
        self.counts.total += u64::from(entry.backend.is_some());
        let at = if self.free == NOWHERE {
            self.entries.push(entry);
            (self.entries.len() - 1) as u32 // a shard has fewer than 2³² − 1: settings bound it
        } else {
            let at = self.free;
            self.free = self.entries[at as usize].younger;
            self.entries[at as usize] = entry;
            at
        };
        self.index.insert(id, at);
        self.link_youngest(at);
    }

    fn replace(&mut self, at: u32, now: u32, record: &Record) {
        let was = self.entries[at as usize].backend.take();
        self.count_out(&was);
        self.count_in(&record.backend);
        // What follows a tombstone is another session.
        self.counts.total += u64::from(was.is_none() && record.backend.is_some());
        let entry = &mut self.entries[at as usize];
        entry.backend.clone_from(&record.backend);
        (entry.created, entry.epoch) = (record.created, record.epoch);
        self.use_again(at, now);
    }

    fn remove(&mut self, at: u32, end: End) {
        self.unlink(at);
        let entry = &mut self.entries[at as usize];
        let (id, backend) = (entry.id, entry.backend.take());
        entry.younger = self.free;
        self.free = at;
        self.index.remove(&id);
        self.count_out(&backend);
        match end {
            End::Expired => self.counts.expired += u64::from(backend.is_some()),
            End::Evicted => self.counts.evicted += 1,
        }
    }

    /// How many were cleared away, [`EXPIRED_A_CALL`] at most.
    fn clear_expired(&mut self, now: u32, ttl_ticks: u32) -> usize {
        for done in 0..EXPIRED_A_CALL {
            match self.entries.get(self.oldest as usize) {
                Some(entry) if is_over(entry, now, ttl_ticks) => self.remove(self.oldest, End::Expired),
                _ => return done,
            }
        }
        EXPIRED_A_CALL
    }

    fn use_again(&mut self, at: u32, now: u32) {
        let entry = &mut self.entries[at as usize];
        // Threads read the clock before they lock, so one may come a little late.
        if now > entry.used {
            self.counts.ticks += u64::from(now - entry.used);
            entry.used = now;
        }
        if self.youngest != at {
            self.unlink(at);
            self.link_youngest(at);
        }
    }

    fn link_youngest(&mut self, at: u32) {
        let youngest = self.youngest;
        let entry = &mut self.entries[at as usize];
        (entry.older, entry.younger) = (youngest, NOWHERE);
        match self.entries.get_mut(youngest as usize) {
            Some(other) => other.younger = at,
            None => self.oldest = at,
        }
        self.youngest = at;
    }

    fn unlink(&mut self, at: u32) {
        let Entry { older, younger, .. } = self.entries[at as usize];
        match self.entries.get_mut(older as usize) {
            Some(other) => other.younger = younger,
            None => self.oldest = younger,
        }
        match self.entries.get_mut(younger as usize) {
            Some(other) => other.older = older,
            None => self.youngest = older,
        }
    }

    fn count_in(&mut self, backend: &Option<BackendId>) {
        self.counts.active += u64::from(backend.is_some());
        self.counts.tombstones += u64::from(backend.is_none());
    }

    fn count_out(&mut self, backend: &Option<BackendId>) {
        self.counts.active -= u64::from(backend.is_some());
        self.counts.tombstones -= u64::from(backend.is_none());
    }
}

#[cfg(test)]
mod tests;
