//! Changes of the set of backends: the pool, the health checker and the counters of what is gone, in step.
//!
//! The pool changes first (a checker's verdicts on ids that the pool does not know are ignored), then the checker is given the
//! pool's whole list. Two changes at once are applied one after the other; a change that a health callback makes while the
//! checker is being told is told right after it, by whoever is telling.

use crate::balancer::LoadBalancer;
use crate::error::ChangeError;
use lb_core::{BackendState, BackendStats, Change, Pool, Snapshot};
use lb_types::{Backend, BackendId, BackendPatch};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

#[derive(Default)]
pub(crate) struct Members {
    /// Held while the pool changes. Nobody else's code runs under it.
    gone: Mutex<Gone>,
    #[cfg(feature = "health")]
    telling: Mutex<Telling>,
}

/// What removed backends leave behind, so that the balancer's totals never go down.
#[derive(Default)]
struct Gone {
    /// Those with requests in flight; bounded by these requests.
    unfinished: Vec<Arc<BackendState>>,
    total: BackendStats,
}

impl Gone {
    /// Keeps the final counts of those that are empty. They are shut for good, so nothing is counted after that.
    fn settle(&mut self) {
        let total = &mut self.total;
        self.unfinished.retain(|state| {
            // A request's verdict is counted before it is counted out: at 0 in flight the counters are final.
            let stats = state.stats();
            if stats.in_flight == 0 {
                add(total, stats);
            }
            stats.in_flight > 0
        });
    }
}

fn add(total: &mut BackendStats, more: BackendStats) {
    total.in_flight += more.in_flight;
    total.succeeded += more.succeeded;
    total.failed += more.failed;
    total.cancelled += more.cancelled;
}

/// Whether somebody tells the checker of the pool's backends, and whether he has to do it again.
#[cfg(feature = "health")]
#[derive(Default)]
struct Telling {
    attended: bool,
    again: bool,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is under these locks is whole between any two statements.
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The pool's backends, as configured.
#[cfg(feature = "health")]
pub(crate) fn specs(pool: &Pool) -> Vec<Backend> {
    pool.all_backends().iter().map(|b| Backend::clone(b)).collect()
}

impl Members {
    /// The pool's snapshot, and the counters of the backends that are not in it any more.
    pub(crate) fn snapshot_and_gone(&self, pool: &Pool) -> (Arc<Snapshot>, BackendStats) {
        let mut gone = lock(&self.gone);
        gone.settle();
        let mut total = gone.total;
        for state in &gone.unfinished {
            add(&mut total, state.stats());
        }
        (pool.snapshot_full(), total)
    }

    fn apply(&self, pool: &Pool, changes: Vec<Change>) -> Result<u64, ChangeError> {
        let mut gone = lock(&self.gone);
        let before = pool.snapshot_full();
        let generation = pool.apply(changes)?;
        let after = pool.snapshot();
        for m in before.members() {
            let is_there = after.get(m.state().id()).is_some_and(|n| n.state().uid() == m.state().uid());
            if !is_there {
                gone.unfinished.push(m.state().clone());
            }
        }
        drop(before);
        gone.settle();
        Ok(generation)
    }
}

impl LoadBalancer {
    /// Applies all of the changes as one generation, or none; gives the generation in which they are visible. The one way through
    /// which the backends change: the others, and discovery, call it.
    ///
    /// # Errors
    /// An id that is there already or is not there, weights that would all be 0, a backend that cannot be checked.
    pub fn apply(&self, changes: Vec<Change>) -> Result<u64, ChangeError> {
        #[cfg(feature = "geo")]
        if self.inner.regional.is_some() {
            return Err(ChangeError::Regional);
        }
        #[cfg(feature = "health")]
        self.check_changes(&changes)?;
        let generation = self.inner.members.apply(self.pool(), changes)?;
        #[cfg(feature = "health")]
        self.tell_checker()?;
        Ok(generation)
    }

    /// Adds a backend; it counts as healthy until its first check.
    ///
    /// # Errors
    /// See [`apply`](Self::apply).
    pub fn add_backend(&self, backend: Backend) -> Result<u64, ChangeError> {
        self.apply(vec![Change::Add(backend)])
    }

    /// Changes a backend. All but a new address keeps its counters, latencies and health.
    ///
    /// # Errors
    /// See [`apply`](Self::apply).
    pub fn update_backend(&self, id: &BackendId, patch: BackendPatch) -> Result<u64, ChangeError> {
        self.apply(vec![Change::Update(id.clone(), patch)])
    }

    /// Removes a backend. Its requests in flight finish.
    ///
    /// # Errors
    /// See [`apply`](Self::apply).
    pub fn remove_backend(&self, id: &BackendId) -> Result<u64, ChangeError> {
        self.apply(vec![Change::Remove(id.clone())])
    }

    /// One backend, as configured.
    pub fn get_backend(&self, id: &BackendId) -> Option<Arc<Backend>> {
        self.pool().get_backend(id)
    }

    /// All backends, as configured.
    pub fn all_backends(&self) -> Vec<Arc<Backend>> {
        self.pool().all_backends()
    }

    /// The backends whose active check passes.
    pub fn healthy_backends(&self) -> Vec<Arc<Backend>> {
        self.pool().healthy_backends()
    }

    /// Could every backend that these changes add or alter be checked?
    #[cfg(feature = "health")]
    fn check_changes(&self, changes: &[Change]) -> Result<(), ChangeError> {
        if self.inner.health_check.is_none() && self.inner.agents.is_none() {
            return Ok(());
        }
        let mut pending = std::collections::BTreeMap::<&BackendId, Backend>::new();
        for change in changes {
            match change {
                Change::Add(b) => {
                    pending.insert(&b.id, b.clone());
                }
                Change::Update(id, patch) => {
                    let known =
                        pending.remove(id).or_else(|| self.get_backend(id).map(|b| Backend::clone(&b)));
                    // The pool refuses ids that it does not know.
                    let Some(mut b) = known else { continue };
                    patch.clone().apply_to(&mut b);
                    pending.insert(id, b);
                }
                _ => {}
            }
        }
        for b in pending.values() {
            if let Some(settings) = &self.inner.health_check
                && let Some(plan) = settings.plan(b)?
            {
                lb_health::check::for_plan(b, &plan)?;
            }
            if let Some((settings, _)) = &self.inner.agents {
                settings.agent_of(b)?;
            }
        }
        Ok(())
    }

    /// Gives the checkers the pool's backends of this moment. Their verdicts may run callbacks that change the backends again.
    #[cfg(feature = "health")]
    fn tell_checker(&self) -> Result<(), ChangeError> {
        if self.inner.checker.is_none() && self.inner.agents.is_none() {
            return Ok(());
        }
        let telling = &self.inner.members.telling;
        {
            let mut t = lock(telling);
            t.again = true;
            if std::mem::replace(&mut t.attended, true) {
                return Ok(());
            }
        }
        loop {
            {
                let mut t = lock(telling);
                if !std::mem::take(&mut t.again) {
                    t.attended = false;
                    return Ok(());
                }
            }
            if let Err(e) = self.give_checkers(&specs(self.pool())) {
                lock(telling).attended = false;
                return Err(e);
            }
        }
    }

    #[cfg(feature = "health")]
    fn give_checkers(&self, backends: &[Backend]) -> Result<(), ChangeError> {
        if let Some(checker) = &self.inner.checker {
            checker.set_backends(backends.to_vec())?;
        }
        if let Some((_, agents)) = &self.inner.agents {
            agents.set_backends(backends.to_vec())?;
        }
        Ok(())
    }
}
