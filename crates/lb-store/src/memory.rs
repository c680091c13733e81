//! The store of one process: bounded by entries and by bytes, with expiry.
//!
//! Keys are spread over shards, each under its own lock and with its share of the bounds. Within a shard an ordered map by age and one
//! by expiry stand beside the entries: each call costs O(log n). When a shard is full, what has expired goes first, then what was set or
//! touched longest ago; so what is evicted is the oldest of its shard, not always of the whole store. With one shard it is exact.
//!
//! It says [`StoreError::TooLarge`] of an entry that would not fit into an empty shard; nothing else fails but arguments out of bounds.

use lb_types::SettingsError;
use lb_types::store::{RateAnswer, RateQuota, check_key, check_ttl, check_value};
use lb_types::{Clock, Nanos, Store, StoreError, StoreFuture};
use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::BuildHasher as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// What an entry counts against `max_bytes` beside its key and value: a place in each of three maps at their usual fill, and the headers
/// of two allocations. Reckoned, not measured: allocators differ.
pub const ENTRY_OVERHEAD_BYTES: usize = 224;
/// The most shards; more locks than this are never contended by the threads of one machine.
pub const SHARDS_MAX: usize = 1024;
/// How many expired entries one call clears away at most, so that no call pays for all.
const EXPIRED_A_CALL: usize = 16;

/// Settings of a [`MemoryStore`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemorySettings {
    /// The most entries, default 1 000 000 (1 or more).
    pub max_entries: usize,
    /// The most bytes of keys, values and [`ENTRY_OVERHEAD_BYTES`] each, default 256 MiB (1 or more).
    pub max_bytes: usize,
    /// Into how many locks it is divided, default 16 (1 – 1024). Each has its share of the bounds.
    pub shards: usize,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { max_entries: 1_000_000, max_bytes: 256 << 20, shards: 16 }
    }
}

impl MemorySettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another number of entries.
    #[must_use]
    pub fn max_entries(mut self, entries: usize) -> Self {
        self.max_entries = entries;
        self
    }

    /// Another number of bytes.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.max_bytes = bytes;
        self
    }

    /// Another number of shards.
    #[must_use]
    pub fn shards(mut self, shards: usize) -> Self {
        self.shards = shards;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !(1..=SHARDS_MAX).contains(&self.shards) {
            return Err(SettingsError::new("shards", self.shards, format!("must be from 1 to {SHARDS_MAX}")));
        }
        for (field, value) in [("max_entries", self.max_entries), ("max_bytes", self.max_bytes)] {
            if value < self.shards {
                return Err(SettingsError::new(
                    field,
                    value,
                    format!("must be 1 or more for each of {} shards", self.shards),
                ));
            }
        }
        Ok(())
    }
}

/// How full a [`MemoryStore`] is, and what became of its entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Entries, those included that have expired and are not cleared away yet.
    pub entries: usize,
    /// Their bytes, as counted against `max_bytes`.
    pub bytes: usize,
    /// Entries that made room for others before their time.
    pub evicted: u64,
}

/// A store in this process's memory.
pub struct MemoryStore {
    shards: Box<[Mutex<Shard>]>,
    hasher: RandomState,
    clock: Arc<dyn Clock>,
    evicted: AtomicU64,
    entries_max: usize,
    bytes_max: usize,
}

struct Entry {
    value: Box<[u8]>,
    expires: Nanos,
    /// When it was set or touched, as a number that only grows.
    age: u64,
}

#[derive(Default)]
struct Shard {
    entries: HashMap<Arc<str>, Entry>,
    by_age: BTreeMap<u64, Arc<str>>,
    by_expiry: BTreeSet<(Nanos, u64)>,
    bytes: usize,
    next_age: u64,
}

impl Shard {
    fn cost(key: &str, value: &[u8]) -> usize {
        key.len() + value.len() + ENTRY_OVERHEAD_BYTES
    }

    fn remove(&mut self, key: &str) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.by_age.remove(&entry.age);
        self.by_expiry.remove(&(entry.expires, entry.age));
        self.bytes -= Self::cost(key, &entry.value);
        Some(entry)
    }

    fn insert(&mut self, key: Arc<str>, value: Box<[u8]>, expires: Nanos) {
        let age = self.next_age;
        self.next_age += 1;
        self.bytes += Self::cost(&key, &value);
        self.by_age.insert(age, key.clone());
        self.by_expiry.insert((expires, age));
        self.entries.insert(key, Entry { value, expires, age });
    }

    /// The entry of `key`, unless its time has passed.
    fn live(&self, key: &str, now: Nanos) -> Option<&Entry> {
        self.entries.get(key).filter(|entry| entry.expires > now)
    }

    /// Clears away one entry that has expired; whether there was one.
    fn clear_expired(&mut self, now: Nanos) -> bool {
        let Some(&(expires, age)) = self.by_expiry.first() else { return false };
        if expires > now {
            return false;
        }
        let key = self.by_age.get(&age).cloned();
        key.and_then(|key| self.remove(&key)).is_some()
    }

    fn evict_oldest(&mut self) -> bool {
        let key = self.by_age.first_key_value().map(|(_, key)| key.clone());
        key.and_then(|key| self.remove(&key)).is_some()
    }
}

impl MemoryStore {
    /// An empty store that expires by `clock`.
    ///
    /// # Errors
    /// A setting out of its bounds.
    pub fn new(settings: MemorySettings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        settings.validate()?;
        Ok(Self {
            shards: (0..settings.shards).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
            clock,
            evicted: AtomicU64::new(0),
            entries_max: settings.max_entries / settings.shards,
            bytes_max: settings.max_bytes / settings.shards,
        })
    }

    /// How full it is.
    pub fn usage(&self) -> MemoryUse {
        let mut usage = MemoryUse { evicted: self.evicted.load(Ordering::Relaxed), ..MemoryUse::default() };
        for shard in &self.shards {
            let shard = lock(shard);
            usage.entries += shard.entries.len();
            usage.bytes += shard.bytes;
        }
        usage
    }

    fn shard(&self, key: &str) -> MutexGuard<'_, Shard> {
        let at = self.hasher.hash_one(key) % self.shards.len() as u64;
        lock(&self.shards[at as usize])
    }

    fn read(&self, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        check_key(key)?;
        let now = self.clock.now();
        Ok(self.shard(key).live(key, now).map(|entry| entry.value.to_vec()))
    }

    /// Sets `key` if `may` says so of its present value.
    fn write(
        &self,
        key: &str,
        value: &[u8],
        ttl: Duration,
        may: impl FnOnce(Option<&[u8]>) -> bool,
    ) -> Result<bool, StoreError> {
        check_key(key)?;
        check_value(value)?;
        check_ttl(ttl)?;
        let now = self.clock.now();
        let mut shard = self.shard(key);
        if !may(shard.live(key, now).map(|entry| &*entry.value)) {
            return Ok(false);
        }
        self.place(&mut shard, key, value, now, now + ttl.into())?;
        Ok(true)
    }

    /// Sets `key`, and makes room for it if that is needed.
    fn place(
        &self,
        shard: &mut Shard,
        key: &str,
        value: &[u8],
        now: Nanos,
        expires: Nanos,
    ) -> Result<(), StoreError> {
        let cost = Shard::cost(key, value);
        if cost > self.bytes_max {
            return Err(StoreError::TooLarge { what: "entry", bytes: cost, max: self.bytes_max });
        }
        shard.remove(key);
        (0..EXPIRED_A_CALL).all(|_| shard.clear_expired(now));
        while shard.entries.len() >= self.entries_max || shard.bytes + cost > self.bytes_max {
            // An empty shard has room: `cost` was looked at above, and `entries_max` is 1 or more.
            if !shard.clear_expired(now) && shard.evict_oldest() {
                self.evicted.fetch_add(1, Ordering::Relaxed);
            }
        }
        shard.insert(key.into(), value.into(), expires);
        Ok(())
    }

    /// The entry's value is the instant at which the debt ends, and so is its expiry.
    fn step(&self, key: &str, quota: RateQuota, cost: u32) -> Result<RateAnswer, StoreError> {
        check_key(key)?;
        quota.check_cost(cost)?;
        let now = self.clock.now();
        let mut shard = self.shard(key);
        let end = match shard.live(key, now).map(|entry| <[u8; 8]>::try_from(&*entry.value)) {
            None => now,
            Some(Ok(bytes)) => Nanos(u64::from_le_bytes(bytes)),
            Some(Err(_)) => {
                return Err(StoreError::Unexpected { reason: format!("{key} holds no rate") });
            }
        };
        let answer = quota.step(end - now, cost);
        if answer.allowed && cost > 0 {
            let end = now + answer.reset.into();
            self.place(&mut shard, key, &end.0.to_le_bytes(), now, end)?;
        }
        Ok(answer)
    }

    fn remove(&self, key: &str) -> Result<bool, StoreError> {
        check_key(key)?;
        let now = self.clock.now();
        Ok(self.shard(key).remove(key).is_some_and(|entry| entry.expires > now))
    }

    fn renew(&self, key: &str, ttl: Duration) -> Result<bool, StoreError> {
        check_key(key)?;
        check_ttl(ttl)?;
        let now = self.clock.now();
        let mut shard = self.shard(key);
        if shard.live(key, now).is_none() {
            return Ok(false);
        }
        if let Some(entry) = shard.remove(key) {
            shard.insert(key.into(), entry.value, now + ttl.into());
        }
        Ok(true)
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Nothing under the lock calls others' code, and a panic in between would be an allocation that failed: the maps stay usable.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MemoryStore").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

impl Store for MemoryStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.read(key) })
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, ()> {
        Box::pin(async move { self.write(key, value, ttl, |_| true).map(drop) })
    }

    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move { self.write(key, value, ttl, |present| present.is_none()) })
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            if let Some(expected) = expected {
                check_value(expected)?;
            }
            self.write(key, new, ttl, |present| present == expected)
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move { self.remove(key) })
    }

    fn touch<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move { self.renew(key, ttl) })
    }

    fn rate<'a>(&'a self, key: &'a str, quota: RateQuota, cost: u32) -> StoreFuture<'a, RateAnswer> {
        Box::pin(async move { self.step(key, quota, cost) })
    }
}
