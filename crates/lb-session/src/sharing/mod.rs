//! Nodes that agree, and restarts that keep sessions: a [`Store`] behind the table.
//!
//! The table stays what requests are served from; the store is asked where it knows nothing, and told in the background.
//!
//! ```text
//!  request ── resolve ──► table ── a miss ──► store, within `timeout` ── nothing in time ──► pick, as without a store
//!             assign  ──► table ──► store: compare-and-set, within `timeout`; the first assignment wins
//!             reassign, clear ──► the same
//!                           │  not in time, or called without waiting (`…_now`)
//!                           ▼
//!                         queue ──► writers: compare, then take or write by the rules of `record`
//! ```
//!
//! **When the store is away** every answer comes from the table and the cookie, and what was to be written waits in the queue; one
//! writer tries again every `retry_delay`, and they write what the table says by then. Wrap the store in lb-store's `Resilient`, so that requests fail at
//! once instead of each waiting for `timeout`.
//!
//! **Agreement.** With the store at hand, nodes agree from the first assignment on. A node that already follows a session learns of a
//! move or a clearing elsewhere within `sync_interval` of use. Without the store they agree once it is back ([`merge`] says on what).
//!
//! Every entry in the store lives for `ttl` and one `sync_interval` after its last use anywhere.

mod queue;
mod settings;

pub use settings::{QUEUE_MAX, SharingSettings, SharingStats, WRITERS_MAX};

use crate::manager::{Affinity, Resolved, SessionManager, Source};
use crate::record::{Merge, Record, merge, store_key};
use crate::{Ignored, Moment, SessionId, SettingsError};
use lb_types::{BackendId, Nanos, RequestInfo, Store, StoreError};
use queue::Queue;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often a comparison begins anew because others changed the entry meanwhile. Each such change raises the entry's epoch or settles
/// it, so a second round is rare and a fifth would be a store that does not do as it says.
const ROUNDS_MAX: usize = 5;

/// A [`SessionManager`] with a store behind it. Cheap to clone.
#[derive(Clone)]
pub struct SharedSessions(Arc<Shared>);

struct Shared {
    manager: Arc<SessionManager>,
    store: Arc<dyn Store>,
    settings: SharingSettings,
    sync_after: Nanos,
    store_ttl: Duration,
    queue: Queue,
    /// Held by the writer that tries a store that is away.
    trying: tokio::sync::Mutex<()>,
    synced: AtomicU64,
    adopted: AtomicU64,
    lookups: AtomicU64,
    lookup_hits: AtomicU64,
    failed: AtomicU64,
}

impl SharedSessions {
    /// Puts `store` behind `manager`. Nothing is written in the background until somebody [runs](Self::run) it.
    ///
    /// # Errors
    /// The first setting that is out of its bounds, by field and value.
    pub fn new(
        manager: Arc<SessionManager>,
        store: Arc<dyn Store>,
        settings: SharingSettings,
    ) -> Result<Self, SettingsError> {
        settings.validate()?;
        let ttl = manager.settings().ttl;
        let sync_after = settings.sync_interval.min(ttl / 2);
        Ok(Self(Arc::new(Shared {
            queue: Queue::new(settings.max_queue),
            trying: tokio::sync::Mutex::new(()),
            sync_after: sync_after.into(),
            store_ttl: ttl + sync_after,
            manager,
            store,
            settings,
            synced: AtomicU64::new(0),
            adopted: AtomicU64::new(0),
            lookups: AtomicU64::new(0),
            lookup_hits: AtomicU64::new(0),
            failed: AtomicU64::new(0),
        })))
    }

    /// The sessions of this node.
    pub fn manager(&self) -> &Arc<SessionManager> {
        &self.0.manager
    }

    /// What was counted so far.
    pub fn stats(&self) -> SharingStats {
        SharingStats {
            queued: self.0.queue.len(),
            dropped: self.0.queue.dropped(),
            synced: self.0.synced.load(Relaxed),
            adopted: self.0.adopted.load(Relaxed),
            lookups: self.0.lookups.load(Relaxed),
            lookup_hits: self.0.lookup_hits.load(Relaxed),
            failed: self.0.failed.load(Relaxed),
        }
    }

    /// Writes in the background, until it is dropped. `clock` says what time it is; run it once, in a task of its own.
    pub async fn run(self, clock: impl Fn() -> Moment + Send + Sync + 'static) {
        let clock = Arc::new(clock);
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..self.0.settings.writers {
            let (shared, clock) = (self.0.clone(), clock.clone());
            writers.spawn(async move { shared.write(&*clock).await });
        }
        // They never end; when this future is dropped, so are they.
        while writers.join_next().await.is_some() {}
    }

    /// As [`SessionManager::resolve`], from the table alone. What the table lacks is compared with the store afterwards.
    pub fn resolve_now(
        &self,
        request: &RequestInfo<'_>,
        fresh: impl FnOnce() -> SessionId,
        at: Moment,
    ) -> Resolved {
        let resolved = self.0.manager.resolve_and_note(request, fresh, at, Some(self.0.sync_after));
        if let Some(id) = resolved.sync_due {
            self.0.queue.push(id);
        }
        resolved
    }

    /// Whether [`complete`](Self::complete) would ask the store: the session may be known there, and is not known here.
    pub fn needs_look_up(&self, resolved: &Resolved) -> bool {
        resolved.session.is_some() && !resolved.fresh && resolved.source != Source::Table
    }

    /// Asks the store about a session that this node does not know, within `timeout`; others come back as they are. `fresh` is asked
    /// when the cookie turns out to be cleared elsewhere. The future borrows nothing.
    pub fn complete<F: FnOnce() -> SessionId + Send + 'static>(
        &self,
        resolved: Resolved,
        fresh: F,
        at: Moment,
    ) -> impl Future<Output = Resolved> + Send + 'static + use<F> {
        let asks = self.needs_look_up(&resolved);
        let shared = self.0.clone();
        async move { if asks { shared.look_up(resolved, fresh, at).await } else { resolved } }
    }

    /// [`resolve_now`](Self::resolve_now), and then [`complete`](Self::complete). The request is looked at before the future is made.
    pub fn resolve<F: FnOnce() -> SessionId + Clone + Send + 'static>(
        &self,
        request: &RequestInfo<'_>,
        fresh: F,
        at: Moment,
    ) -> impl Future<Output = Resolved> + Send + 'static + use<F> {
        self.complete(self.resolve_now(request, fresh.clone(), at), fresh, at)
    }

    /// As [`SessionManager::assign`]; the store is told afterwards, and may then know better.
    pub fn assign_now(&self, id: SessionId, backend: &BackendId, at: Moment) -> BackendId {
        let backend = self.0.manager.assign(id, backend, at);
        self.0.queue.push(id);
        backend
    }

    /// As [`SessionManager::assign`]: of all nodes' assignments the first wins, if the store answers within `timeout`.
    ///
    /// Here it is assigned at once; the future, which borrows nothing, asks the others. Dropped before its end it leaves that to the
    /// writers.
    #[allow(clippy::needless_pass_by_value)] // nobody need keep it while the future lives
    pub fn assign(
        &self,
        id: SessionId,
        backend: BackendId,
        at: Moment,
    ) -> impl Future<Output = BackendId> + Send + 'static + use<> {
        let ours = self.0.manager.assign(id, &backend, at);
        Untold::new(&self.0, id).agree(ours, at, true)
    }

    /// As [`SessionManager::reassign`]; the store is told afterwards.
    pub fn reassign_now(&self, id: SessionId, from: &BackendId, to: &BackendId, at: Moment) -> BackendId {
        let backend = self.0.manager.reassign(id, from, to, at);
        self.0.queue.push(id);
        backend
    }

    /// As [`SessionManager::reassign`]: of all nodes' moves the first wins, if the store answers within `timeout`. Its future is like
    /// that of [`assign`](Self::assign).
    #[allow(clippy::needless_pass_by_value)] // nobody need keep it while the future lives
    pub fn reassign(
        &self,
        id: SessionId,
        from: BackendId,
        to: BackendId,
        at: Moment,
    ) -> impl Future<Output = BackendId> + Send + 'static + use<> {
        let ours = self.0.manager.reassign(id, &from, &to, at);
        Untold::new(&self.0, id).agree(ours, at, false)
    }

    /// As [`SessionManager::clear_session`], everywhere: nodes that follow it learn of it within `sync_interval`. Whether it was known
    /// here or to the store.
    ///
    /// # Errors
    /// When the store was not reached in time. The session is cleared here, and waits to be cleared there.
    pub async fn clear_session(&self, id: SessionId, at: Moment) -> Result<bool, StoreError> {
        let shared = &*self.0;
        // What the store knows first: a tombstone must count more than the latest move.
        let stored = shared.limited(shared.fetch(id)).await;
        if let Ok(Some(stored)) = &stored {
            shared.manager.take(id, stored.clone(), at);
        }
        let known = shared.manager.clear_session(id, at);
        let untold = Untold::new(&self.0, id);
        stored?;
        shared.limited(shared.sync(id, at, false)).await?;
        untold.told();
        Ok(known)
    }
}

/// A change that the store was not told of yet. Dropped, for an error or as its request ended, it waits for the writers.
struct Untold {
    shared: Arc<Shared>,
    id: SessionId,
    told: bool,
}

impl Untold {
    fn new(shared: &Arc<Shared>, id: SessionId) -> Self {
        Self { shared: shared.clone(), id, told: false }
    }

    fn told(mut self) {
        self.told = true;
    }

    /// After a change here: what counts everywhere, or what counts here if the store does not answer in time.
    async fn agree(self, ours: BackendId, at: Moment, is_new: bool) -> BackendId {
        let shared = &*self.shared;
        if shared.limited(shared.sync(self.id, at, is_new)).await.is_err() {
            shared.failed.fetch_add(1, Relaxed);
            return ours;
        }
        let agreed = shared.manager.record(self.id, at).and_then(|record| record.backend);
        self.told();
        agreed.unwrap_or(ours)
    }
}

impl Drop for Untold {
    fn drop(&mut self) {
        if !self.told {
            self.shared.queue.push(self.id);
        }
    }
}

impl std::fmt::Debug for SharedSessions {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedSessions")
            .field("manager", &self.0.manager)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl Shared {
    /// Asks the store about a session that the table did not know.
    async fn look_up(
        &self,
        mut resolved: Resolved,
        fresh: impl FnOnce() -> SessionId,
        at: Moment,
    ) -> Resolved {
        let Some(id) = resolved.session else { return resolved };
        self.lookups.fetch_add(1, Relaxed);
        let stored = match self.limited(self.fetch(id)).await {
            Ok(Some(stored)) if !self.manager.is_too_old(&stored, at) => stored,
            answer => {
                // Away, not there, or over: as without a store. A cookie's word is written where it was missing.
                self.failed.fetch_add(u64::from(answer.is_err()), Relaxed);
                if resolved.source == Source::Cookie {
                    self.queue.push(id);
                }
                return resolved;
            }
        };
        self.lookup_hits.fetch_add(1, Relaxed);
        let before = resolved.backend().cloned();
        match self.manager.take(id, stored, at) {
            Some(backend) => {
                resolved.cookie_due |= before.is_some_and(|before| before != backend);
                resolved.affinity = Affinity::Backend(backend);
                resolved.source = Source::Store;
                self.queue.push(id); // it is used: it lives on
            }
            None => {
                resolved.affinity = Affinity::Cleared;
                resolved.source = Source::Store;
                if before.is_some() {
                    // A cookie that was believed until now: a new session, under an id of its own.
                    self.manager.note_ignored(Ignored::Cleared);
                    resolved.ignored = Some(Ignored::Cleared);
                    (resolved.session, resolved.fresh, resolved.cookie_due) = (Some(fresh()), true, false);
                }
            }
        }
        resolved
    }

    /// Within the time limit that requests have.
    async fn limited<T>(&self, ask: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
        let limit = self.settings.timeout;
        tokio::time::timeout(limit, ask).await.unwrap_or(Err(StoreError::Timeout { limit }))
    }

    async fn fetch(&self, id: SessionId) -> Result<Option<Record>, StoreError> {
        let value = self.store.get(&store_key(self.manager.pool(), id)).await?;
        Ok(value.and_then(|value| Record::decode(&value)))
    }

    /// Compares this node's record with the store's, and lets the one that counts stand in both. `assume_absent`: the session was likely
    /// begun just now, so it is written first and looked for when that fails; one way to the store instead of two.
    async fn sync(&self, id: SessionId, at: Moment, mut assume_absent: bool) -> Result<(), StoreError> {
        let key = store_key(self.manager.pool(), id);
        for _ in 0..ROUNDS_MAX {
            let Some(local) = self.manager.record(id, at) else { return Ok(()) };
            let value = if assume_absent { None } else { self.store.get(&key).await? };
            let stored = value.as_deref().and_then(Record::decode);
            let is_over = |record: &Record| self.manager.is_too_old(record, at);
            // A life that is over counts less than one that is not, whatever their epochs.
            let who_counts = match (is_over(&local), stored.as_ref()) {
                (true, Some(stored)) if !is_over(stored) => Merge::TakeStored,
                (true, _) => return Ok(()), // nobody need know
                (false, Some(stored)) if is_over(stored) && stored.epoch >= local.epoch => {
                    self.manager.outlive(id, stored.epoch, at);
                    continue;
                }
                (false, stored) => merge(&local, stored),
            };
            let done = match who_counts {
                Merge::Same => self.store.touch(&key, self.store_ttl).await?,
                Merge::TakeStored => {
                    self.adopted.fetch_add(1, Relaxed);
                    if let Some(stored) = stored {
                        self.manager.take(id, stored, at);
                    }
                    self.store.touch(&key, self.store_ttl).await?
                }
                Merge::Write => {
                    let new = local.encode();
                    self.store.compare_and_set(&key, value.as_deref(), &new, self.store_ttl).await?
                }
            };
            if done {
                self.synced.fetch_add(1, Relaxed);
                self.manager.synced(id, at);
                return Ok(());
            }
            assume_absent = false;
        }
        Err(StoreError::Unexpected { reason: format!("{key} changes with every look") })
    }

    /// One of the writers.
    async fn write(&self, clock: &(dyn Fn() -> Moment + Send + Sync)) {
        loop {
            if self.write_next(clock).await {
                continue;
            }
            // The store is away. One writer finds out when it is back, the others wait for him.
            match self.trying.try_lock() {
                Ok(_trying) => loop {
                    tokio::time::sleep(self.settings.retry_delay).await;
                    if self.write_next(clock).await {
                        break;
                    }
                },
                Err(_) => drop(self.trying.lock().await),
            }
        }
    }

    /// Whether the store was there.
    async fn write_next(&self, clock: &(dyn Fn() -> Moment + Send + Sync)) -> bool {
        let id = self.queue.pop().await;
        match self.sync(id, clock(), false).await {
            Ok(()) => true,
            Err(error) if error.is_away() => {
                // This session waits its turn again; the oldest leave if there are too many.
                self.queue.push(id);
                false
            }
            // This session cannot be written (too large, refused); others can. It comes again when it is used.
            Err(_) => {
                self.failed.fetch_add(1, Relaxed);
                true
            }
        }
    }
}
