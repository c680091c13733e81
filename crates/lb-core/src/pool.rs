//! A pool of backends: who changes it, and what is published of each change.
//!
//! Writers change the entries under a lock, one after the other; then one of them builds and publishes a snapshot that holds
//! all changes made so far, while the others wait for it or find their change already published (a group commit). So a
//! thousand health verdicts in a row cost a few snapshots, not a thousand, and when a call returns its change is visible.

use crate::bond::Bond;
use crate::build::{self, Entry, Kept};
use crate::context::PickContext;
use crate::error::{PoolError, Refusal, SelectError};
use crate::explain::Explanation;
use crate::lease::Lease;
use crate::policy::{hash_bytes, hash_key};
use crate::ramp;
use crate::settings::PoolSettings;
use crate::shared::{Hooks, PoolWatcher, Shared};
use crate::snapshot::Snapshot;
use crate::writer::Writer;
use arc_swap::{ArcSwap, Cache, Guard};
use lb_types::{
    AgentReport, AgentSink, Backend, BackendId, BackendPatch, Clock, GuardFactory, HealthSink, Nanos,
    RequestInfo,
};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// So long after it was due, a pick maintains the pool itself: nobody else does.
const UNATTENDED: Nanos = Nanos::from_secs(1);

/// One change to a pool; several can be applied as one generation.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Change {
    /// Adds a backend; it counts as healthy until something says otherwise.
    Add(Backend),
    /// Changes one.
    Update(BackendId, BackendPatch),
    /// Removes one. Requests in flight finish.
    Remove(BackendId),
    /// Gives it no new clients (`true`), or again (`false`). Those that are [bound](crate::Bond::Session) to it still come.
    Drain(BackendId, bool),
    /// Gives it nobody any more, not even who is bound to it: its drain is over. [`Drain`](Self::Drain) takes it back.
    Drained(BackendId),
}

/// A pool: a cheap handle, to clone at will.
#[derive(Clone)]
pub struct Pool(Arc<Inner>);

struct Inner {
    current: ArcSwap<Snapshot>,
    writer: Mutex<Writer>,
    publisher: Mutex<Publisher>,
    shared: Arc<Shared>,
}

impl Inner {
    /// A snapshot that was replaced while a pick looked at it may know only backends whose gates were shut since: the newer one
    /// is asked, until there is none.
    #[cold]
    fn acquire_newer(
        &self,
        mut seen: u64,
        cx: &mut PickContext<'_>,
        mut error: SelectError,
    ) -> Result<Lease, SelectError> {
        loop {
            let snapshot = self.current.load();
            if snapshot.generation() == seen {
                return Err(error);
            }
            seen = snapshot.generation();
            match snapshot.acquire(cx) {
                Ok(lease) => return Ok(lease),
                Err(e) => error = e,
            }
        }
    }
}

/// A pool's handle of one worker: it keeps the snapshot at hand and looks only whether there is a newer one, which saves about a
/// third of a pick. An unused reader holds on to an old snapshot.
pub struct PoolReader {
    cache: Cache<Current, Arc<Snapshot>>,
    pool: Pool,
}

/// Where a reader looks.
struct Current(Arc<Inner>);

impl std::ops::Deref for Current {
    type Target = ArcSwap<Snapshot>;
    fn deref(&self) -> &ArcSwap<Snapshot> {
        &self.0.current
    }
}

impl PoolReader {
    /// As [`Pool::acquire`].
    ///
    /// # Errors
    /// When no backend is usable, with the reasons.
    #[inline]
    pub fn acquire(&mut self, cx: &mut PickContext<'_>) -> Result<Lease, SelectError> {
        let snapshot = self.cache.load();
        let (picked, seen) = (snapshot.acquire(cx), snapshot.generation());
        picked.or_else(|e| self.pool.0.acquire_newer(seen, cx, e))
    }

    /// The present snapshot.
    #[inline]
    pub fn snapshot(&mut self) -> &Arc<Snapshot> {
        self.cache.load()
    }
}

impl std::fmt::Debug for PoolReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PoolReader").finish_non_exhaustive()
    }
}

/// What builds the snapshots.
struct Publisher {
    /// The [`Writer::version`] that is published.
    published: u64,
    kept: Kept,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // A panic while a lock was held cannot leave half a change: entries are replaced whole.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Pool").field(&self.0.current.load()).finish()
    }
}

impl Pool {
    /// A pool of these backends. An empty list is fine: discovery may fill it.
    ///
    /// # Errors
    /// A setting out of its range, an empty or repeated id, or weights that are all 0.
    pub fn new(
        settings: PoolSettings,
        backends: Vec<Backend>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, PoolError> {
        Self::build(settings, backends, clock, None)
    }

    /// As [`new`](Self::new), with a guard before each backend: what `guards` makes of its id when it is added.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_guards(
        settings: PoolSettings,
        backends: Vec<Backend>,
        clock: Arc<dyn Clock>,
        guards: Arc<GuardFactory>,
    ) -> Result<Self, PoolError> {
        Self::build(settings, backends, clock, Some(guards))
    }

    fn build(
        settings: PoolSettings,
        backends: Vec<Backend>,
        clock: Arc<dyn Clock>,
        guards: Option<Arc<GuardFactory>>,
    ) -> Result<Self, PoolError> {
        settings.check()?;
        let shared = Arc::new(Shared::new(clock, guards));
        let mut writer = Writer::new(settings);
        let changes: Vec<_> = backends.into_iter().map(Change::Add).collect();
        // No ramp at process start: all are equally cold.
        writer.apply(changes, &shared, None)?;
        let mut kept = Kept::default();
        writer.hook(&shared);
        let now = shared.clock.now();
        let first = build::snapshot(&writer.entries, &writer.settings, &shared, &mut kept, 0, now);
        writer.gates().shut();
        let publisher = Mutex::new(Publisher { published: writer.version, kept });
        let current = ArcSwap::from_pointee(first);
        Ok(Self(Arc::new(Inner { current, writer: Mutex::new(writer), publisher, shared })))
    }

    /// Picks a backend and counts the request in. Lock-free; see [`Snapshot::acquire`].
    ///
    /// # Errors
    /// When no backend is usable, with the reasons.
    #[inline]
    pub fn acquire(&self, cx: &mut PickContext<'_>) -> Result<Lease, SelectError> {
        let snapshot = self.0.current.load();
        if cx.now >= snapshot.due + UNATTENDED {
            drop(snapshot);
            self.maintain();
            return self.0.current.load().acquire(cx);
        }
        snapshot.acquire(cx).or_else(|e| self.0.acquire_newer(snapshot.generation(), cx, e))
    }

    /// Counts the request in at this very backend, however it may be chosen for others; see [`Snapshot::acquire_at`].
    ///
    /// # Errors
    /// Why it may not be had.
    pub fn acquire_at(&self, id: &BackendId, bond: Bond, cx: &PickContext<'_>) -> Result<Lease, Refusal> {
        let snapshot = self.0.current.load();
        snapshot.acquire_at(id, bond, cx).or_else(|e| {
            // It may have been added, or have recovered, this moment.
            let newer = self.0.current.load();
            if newer.generation() == snapshot.generation() { Err(e) } else { newer.acquire_at(id, bond, cx) }
        })
    }

    /// What [`acquire_at`](Self::acquire_at) would do. Counts nothing in.
    ///
    /// # Errors
    /// Why it may not be had.
    pub fn explain_at(
        &self,
        id: &BackendId,
        bond: Bond,
        cx: &PickContext<'_>,
    ) -> Result<Explanation, Refusal> {
        self.0.current.load().explain_at(id, bond, cx)
    }

    /// What [`acquire`](Self::acquire) would do with this context, and why. Counts nothing in.
    pub fn explain(&self, cx: &PickContext<'_>) -> Explanation {
        self.0.current.load().explain(cx)
    }

    /// The hash of what the pool's algorithm looks at in this request, for [`PickContext::key`]; `None` if it looks at nothing or
    /// the request does not have it.
    #[inline]
    pub fn key(&self, request: &RequestInfo<'_>) -> Option<u64> {
        let snapshot = self.0.current.load();
        if snapshot.keyed { hash_key(&snapshot.settings.algorithm, request) } else { None }
    }

    /// The hash of a key that the caller chose, for [`PickContext::key`]; `None` if the algorithm does not hash.
    pub fn key_of(&self, key: &[u8]) -> Option<u64> {
        hash_bytes(&self.0.current.load().settings.algorithm, key)
    }

    /// A handle for one worker that picks a little faster than the pool itself.
    pub fn reader(&self) -> PoolReader {
        PoolReader { cache: Cache::new(Current(self.0.clone())), pool: self.clone() }
    }

    /// The present snapshot: cheap, for a short look.
    #[inline]
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.0.current.load()
    }

    /// The present snapshot, to keep.
    pub fn snapshot_full(&self) -> Arc<Snapshot> {
        self.0.current.load_full()
    }

    /// The pool's clock.
    pub fn now(&self) -> Nanos {
        self.0.shared.clock.now()
    }

    /// Applies all of the changes as one generation, or none; gives the generation in which they are visible. Blocks while a snapshot
    /// is built (see `docs/architecture.md` for how long).
    ///
    /// # Errors
    /// An id that is there already or is not there, or weights that would all be 0. Nothing has changed then.
    pub fn apply(&self, changes: Vec<Change>) -> Result<u64, PoolError> {
        let now = self.now();
        let version = {
            let mut w = lock(&self.0.writer);
            w.apply(changes, &self.0.shared, Some(now))?;
            w.version
        };
        Ok(self.publish_change(version))
    }

    /// Adds a backend.
    ///
    /// # Errors
    /// See [`apply`](Self::apply).
    pub fn add_backend(&self, backend: Backend) -> Result<u64, PoolError> {
        self.apply(vec![Change::Add(backend)])
    }

    /// Changes a backend. All but a new address keeps its counters, latencies and health.
    ///
    /// # Errors
    /// See [`apply`](Self::apply).
    pub fn update_backend(&self, id: &BackendId, patch: BackendPatch) -> Result<u64, PoolError> {
        self.apply(vec![Change::Update(id.clone(), patch)])
    }

    /// Removes a backend. Its requests in flight finish.
    ///
    /// # Errors
    /// See [`apply`](Self::apply).
    pub fn remove_backend(&self, id: &BackendId) -> Result<u64, PoolError> {
        self.apply(vec![Change::Remove(id.clone())])
    }

    /// Gives a backend no new clients (`true`), or again (`false`). It is empty when its state's `in_flight` is 0; the
    /// [`PoolWatcher`] is told of the last request's end.
    ///
    /// # Errors
    /// See [`apply`](Self::apply).
    pub fn set_draining(&self, id: &BackendId, draining: bool) -> Result<u64, PoolError> {
        self.apply(vec![Change::Drain(id.clone(), draining)])
    }

    /// One backend, as configured.
    pub fn get_backend(&self, id: &BackendId) -> Option<Arc<Backend>> {
        self.0.current.load().get(id).map(|m| m.state.spec().clone())
    }

    /// All backends, as configured.
    pub fn all_backends(&self) -> Vec<Arc<Backend>> {
        self.0.current.load().members().iter().map(|m| m.state.spec().clone()).collect()
    }

    /// The backends whose active check passes.
    pub fn healthy_backends(&self) -> Vec<Arc<Backend>> {
        let snapshot = self.0.current.load();
        snapshot.members().iter().filter(|m| m.healthy).map(|m| m.state.spec().clone()).collect()
    }

    /// The settings in force.
    pub fn settings(&self) -> Arc<PoolSettings> {
        self.0.current.load().settings.clone()
    }

    /// Changes the settings; the backends' state stays.
    ///
    /// # Errors
    /// A setting out of its range. Nothing has changed then.
    pub fn set_settings(&self, settings: PoolSettings) -> Result<u64, PoolError> {
        settings.check()?;
        let version = {
            let mut w = lock(&self.0.writer);
            w.settings = Arc::new(settings);
            w.version += 1;
            w.version
        };
        Ok(self.publish_change(version))
    }

    /// Takes out the backends (`true`), or puts them back (`false`), that passive detection has judged; gives the generation in which
    /// that is visible. Ids that are not known are ignored. Where nobody else is eligible, ejected backends are used all the same.
    pub fn set_ejected(&self, changes: &[(BackendId, bool)]) -> u64 {
        let now = self.now();
        let version = {
            let mut w = lock(&self.0.writer);
            let slow_start = w.settings.slow_start.is_some();
            for (id, ejected) in changes {
                w.alter(id, |e| {
                    let changed = std::mem::replace(&mut e.ejected, *ejected) != *ejected;
                    if changed && !ejected {
                        e.recover(now, slow_start);
                    }
                    changed
                });
            }
            w.version
        };
        self.publish_change(version)
    }

    /// A backend's guard was changed by hand (a breaker was forced open, say): from the return on the pool goes by it. Unknown ids are
    /// ignored.
    pub fn guard_changed(&self, id: &BackendId) {
        let state = self.0.current.load().get(id).map(|m| m.state().clone());
        if let Some(state) = state {
            state.guard_moved(self.now());
            self.maintain();
        }
    }

    /// Moves slow-start ramps on and takes in what guards say. Gives the time at which to call again, or `None` when nothing is due.
    /// Call it also when the [`PoolWatcher`] was asked for attention.
    pub fn maintain(&self) -> Option<Nanos> {
        let now = self.now();
        let (step, version) = {
            let mut w = lock(&self.0.writer);
            let followed = w.follow_guards(now);
            let step = w.settings.slow_start.as_ref().map(ramp::step);
            let ramping = |w: &Writer| w.entries.iter().any(|e| e.ramp_from.is_some());
            let ramped = step.is_some() && ramping(&w);
            if ramped {
                w.end_ramps(now);
            }
            w.version += u64::from(followed || ramped);
            (step.filter(|_| ramping(&w)).map(|step| now + step), w.version)
        };
        self.publish(version);
        let due = Some(self.0.current.load().due).filter(|&due| due != Nanos::MAX);
        [step, due].into_iter().flatten().min()
    }

    /// Who is told of changes. Once; `false` if somebody is told already.
    pub fn set_watcher(&self, watcher: Arc<dyn PoolWatcher>) -> bool {
        self.0.shared.set_watcher(watcher)
    }

    /// While `true`, the watcher is told of each request's end, too: somebody waits for a place.
    pub fn set_waiters(&self, waiting: bool) {
        self.0.shared.set_hook(Hooks::WAITERS, waiting);
    }

    /// Changes one entry and publishes that, if `change` says that it did change.
    fn alter(&self, id: &BackendId, change: impl FnOnce(&mut Entry, Nanos, bool) -> bool) {
        let now = self.now();
        let version = {
            let mut w = lock(&self.0.writer);
            let slow_start = w.settings.slow_start.is_some();
            if !w.alter(id, |e| change(e, now, slow_start)) {
                return;
            }
            w.version
        };
        self.publish_change(version);
    }

    /// As [`publish`](Self::publish), and asks for maintenance: somebody may be on a ramp now.
    fn publish_change(&self, version: u64) -> u64 {
        let generation = self.publish(version);
        self.0.shared.attention();
        generation
    }

    /// Makes version `version` (or a later one) visible; gives the generation.
    fn publish(&self, version: u64) -> u64 {
        let mut p = lock(&self.0.publisher);
        if p.published >= version {
            return self.0.current.load().generation();
        }
        let (entries, settings, version, gates) = {
            let mut w = lock(&self.0.writer);
            w.follow_guards(self.now());
            w.hook(&self.0.shared);
            (w.entries.clone(), w.settings.clone(), w.version, w.gates())
        };
        let generation = self.0.current.load().generation() + 1;
        let now = self.now();
        let next = build::snapshot(&entries, &settings, &self.0.shared, &mut p.kept, generation, now);
        gates.open();
        self.0.current.store(Arc::new(next));
        gates.shut();
        p.published = version;
        drop(p);
        self.0.shared.changed();
        generation
    }
}

impl HealthSink for Pool {
    fn set_healthy(&self, id: &BackendId, healthy: bool) {
        self.alter(id, |e, now, slow_start| {
            if e.healthy == healthy {
                return false;
            }
            e.healthy = healthy;
            e.ramp_from = None;
            if healthy {
                e.recover(now, slow_start);
            }
            true
        });
    }
}

impl AgentSink for Pool {
    fn agent_report(&self, id: &BackendId, report: AgentReport) {
        self.alter(id, |e, now, slow_start| {
            let (before, was_out) = (e.agent, is_out_by_agent(e));
            e.agent = report.over(before);
            if was_out && !is_out_by_agent(e) {
                e.recover(now, slow_start);
            }
            e.agent != before
        });
    }
}

fn is_out_by_agent(e: &Entry) -> bool {
    e.agent.up == Some(false) || e.is_in_maintenance()
}
