//! The selection cache: a key keeps the backend that it was given, for a while.
//!
//! Softer than a session: the time to live runs from the pick and is not renewed, and whatever keeps new clients from the backend
//! (draining, weight 0) ends it. Nobody is told anything: no cookie, no table of clients to look at. What is kept is a hash of the key; two
//! keys that collide (one in 2⁶⁴) go to one backend.

use crate::selection::note;
use lb_core::{Bond, Explanation, Lease, PickContext, Pool, SelectError, Step, hash_source};
use lb_types::{BackendId, KeySource, Nanos, RequestInfo, SettingsError, Store};
use std::fmt;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::mpsc;

/// The most keys that can be kept: some 100 bytes each.
pub const ENTRIES_MAX: usize = 10_000_000;
/// The shortest and the longest time for which a selection can be kept.
pub const TTL_BOUNDS: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(86_400);
/// How many selections may wait to be written to the store; when it is full, they are kept here alone.
const QUEUE: usize = 4_096;

/// Settings of the selection cache (`caching`).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caching {
    /// How long a selection is kept, default 5 min (1 ms – 1 day).
    pub ttl: Duration,
    /// What a selection is kept for, default the client's address.
    pub key: KeySource,
    /// The most keys that are kept, default 100 000; the least used go first.
    pub max_entries: usize,
}

impl Default for Caching {
    fn default() -> Self {
        Self { ttl: Duration::from_secs(300), key: KeySource::ClientIp, max_entries: 100_000 }
    }
}

impl Caching {
    /// Is everything within its bounds?
    ///
    /// # Errors
    /// The first value that is not, by its name.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !TTL_BOUNDS.contains(&self.ttl) {
            return Err(SettingsError::new("ttl", self.ttl, "must be from 1 ms to 1 day"));
        }
        if !(1..=ENTRIES_MAX).contains(&self.max_entries) {
            let must = format!("must be from 1 to {ENTRIES_MAX}");
            return Err(SettingsError::new("max_entries", self.max_entries, must));
        }
        Ok(())
    }
}

/// What came of the look-ups so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct CacheStats {
    /// Selections that are kept now.
    pub entries: usize,
    /// Requests that went where their key had gone.
    pub hits: u64,
    /// Requests whose key was not known.
    pub misses: u64,
    /// Requests whose key's backend could not be had: they were given another.
    pub moved: u64,
}

/// A request's place in the cache.
#[derive(Clone, Debug)]
pub(crate) struct Cached {
    key: u64,
    backend: Option<BackendId>,
    /// It was picked for before: this is a retry.
    again: bool,
}

struct Shared {
    store: Arc<dyn Store>,
    timeout: Duration,
    prefix: String,
    queue: mpsc::Sender<(u64, BackendId)>,
    /// Held by the writer.
    waiting: tokio::sync::Mutex<mpsc::Receiver<(u64, BackendId)>>,
}

type Kept = quick_cache::sync::Cache<u64, (BackendId, Nanos)>;

pub(crate) struct SelectionCache {
    settings: Caching,
    kept: Kept,
    shared: Option<Shared>,
    hits: AtomicU64,
    misses: AtomicU64,
    moved: AtomicU64,
}

impl fmt::Debug for SelectionCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SelectionCache").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl SelectionCache {
    pub(crate) fn new(
        settings: Caching,
        pool: &str,
        store: Option<(Arc<dyn Store>, Duration)>,
    ) -> Result<Self, SettingsError> {
        settings.validate()?;
        let shared = store.map(|(store, timeout)| {
            let (queue, waiting) = mpsc::channel(QUEUE);
            let prefix = format!("selection:{pool}:");
            Shared { store, timeout, prefix, queue, waiting: tokio::sync::Mutex::new(waiting) }
        });
        Ok(Self {
            kept: Kept::new(settings.max_entries),
            settings,
            shared,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            moved: AtomicU64::new(0),
        })
    }

    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            entries: self.kept.len(),
            hits: self.hits.load(Relaxed),
            misses: self.misses.load(Relaxed),
            moved: self.moved.load(Relaxed),
        }
    }

    /// The request's place; `None` if it does not have the key.
    pub(crate) fn look_up(&self, request: &RequestInfo<'_>, now: Nanos) -> Option<Cached> {
        let key = hash_source(&self.settings.key, request)?;
        let kept = self.kept.get(&key).filter(|(_, until)| now < *until);
        Some(Cached { key, backend: kept.map(|(backend, _)| backend), again: false })
    }

    pub(crate) fn must_look_up(&self, cached: &Cached) -> bool {
        self.shared.is_some() && cached.backend.is_none()
    }

    pub(crate) async fn look_up_shared(&self, cached: &mut Cached) {
        let Some(shared) = self.shared.as_ref().filter(|_| cached.backend.is_none()) else { return };
        let key = shared.key(cached.key);
        // Away, slow, or not there: as without it.
        if let Ok(Ok(Some(value))) = tokio::time::timeout(shared.timeout, shared.store.get(&key)).await {
            cached.backend = String::from_utf8(value).ok().map(BackendId::from);
        }
    }

    pub(crate) fn acquire(
        &self,
        pool: &Pool,
        cached: &mut Cached,
        cx: &mut PickContext<'static>,
    ) -> Result<Lease, SelectError> {
        let known = cached.backend.take();
        if let Some(backend) = &known
            && let Ok(lease) = pool.acquire_at(backend, Bond::Preference, cx)
        {
            self.hits.fetch_add(1, Relaxed);
            cached.again = true;
            // What another node found out counts here from now on.
            if self.kept.peek(&cached.key).is_none_or(|(_, until)| cx.now >= until) {
                self.keep(cached.key, backend, cx.now);
            }
            return Ok(lease);
        }
        match (known, std::mem::replace(&mut cached.again, true)) {
            (Some(_), _) => self.moved.fetch_add(1, Relaxed),
            (None, false) => self.misses.fetch_add(1, Relaxed),
            (None, true) => 0,
        };
        let lease = pool.acquire(cx)?;
        let backend = lease.backend().id();
        self.keep(cached.key, backend, cx.now);
        if let Some(shared) = &self.shared {
            // Full, or nobody writes: then it is kept here alone.
            let _ = shared.queue.try_send((cached.key, backend.clone()));
        }
        Ok(lease)
    }

    fn keep(&self, key: u64, backend: &BackendId, now: Nanos) {
        self.kept.insert(key, (backend.clone(), now + self.settings.ttl.into()));
    }

    pub(crate) fn explain(
        &self,
        pool: &Pool,
        cached: &Cached,
        cx: &PickContext<'static>,
        steps: &mut Option<Vec<Step>>,
    ) -> Option<Explanation> {
        let Some(backend) = &cached.backend else {
            note(steps, "cache", || format!("its {} is not known", self.settings.key));
            return None;
        };
        match pool.explain_at(backend, Bond::Preference, cx) {
            Ok(said) => {
                note(steps, "cache", || format!("its {} went to {backend} before", self.settings.key));
                Some(said)
            }
            Err(why) => {
                note(steps, "cache", || format!("its {} went to {backend}, which {why}", self.settings.key));
                None
            }
        }
    }

    /// Writes to the store, for ever; at once where there is nothing to write to.
    pub(crate) async fn run(&self) {
        let Some(shared) = &self.shared else { return };
        let mut waiting = shared.waiting.lock().await;
        while let Some((key, backend)) = waiting.recv().await {
            // Its loss costs one client his backend on another node.
            let _ = shared.store.set(&shared.key(key), backend.as_str().as_bytes(), self.settings.ttl).await;
        }
    }
}

impl Shared {
    fn key(&self, key: u64) -> String {
        format!("{}{key:016x}", self.prefix)
    }
}
