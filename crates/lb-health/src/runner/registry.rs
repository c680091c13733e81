//! The backends under check, each with its plan and what is known of it.
//!
//! State belongs to a backend's id. A *generation* names one way of checking one address: every change of it (or a removal)
//! makes the results of checks under way worthless, and they are dropped when they arrive.

use super::publish::Publisher;
use crate::check::Check;
use crate::hysteresis::Thresholds;
use crate::scheduler::Ticket;
use crate::track::{Counted, Track};
use crate::{HealthCheckError, Plan, schedule};
use dashmap::DashMap;
use dashmap::mapref::entry::Entry as Slot;
use lb_types::{Backend, BackendId, HealthEvent, HealthStatus};
use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// How a backend is checked, made ready.
#[derive(Clone)]
pub(super) struct Ready {
    pub(super) plan: Plan,
    pub(super) check: Arc<dyn Check>,
}

/// A check to be made.
pub(super) struct Job {
    pub(super) ticket: Ticket,
    pub(super) check: Arc<dyn Check>,
    pub(super) timeout: Duration,
}

struct Entry {
    backend: Backend,
    /// `None`: not checked.
    ready: Option<Ready>,
    generation: u64,
    /// Whether the scheduler knows of this generation.
    scheduled: bool,
    track: Track,
}

#[derive(Default)]
pub(super) struct Registry {
    entries: DashMap<BackendId, Entry>,
    generations: AtomicU64,
    /// One change of the set at a time.
    replacing: Mutex<()>,
}

impl Registry {
    /// Makes `set` the backends under check; ids in it are unique. `publisher` must be flushed afterwards.
    pub(super) fn replace(&self, set: Vec<(Backend, Option<Ready>)>, publisher: &Publisher) {
        let _one_at_a_time = self.replacing.lock().unwrap_or_else(PoisonError::into_inner);
        let ids: HashSet<&BackendId> = set.iter().map(|(backend, _)| &backend.id).collect();
        self.entries.retain(|id, _| {
            let stays = ids.contains(id);
            if !stays {
                publisher.forget(id);
            }
            stays
        });
        for (backend, ready) in set {
            match self.entries.entry(backend.id.clone()) {
                Slot::Vacant(slot) => {
                    let generation = self.next_generation();
                    slot.insert(Entry { backend, ready, generation, scheduled: false, track: Track::new() });
                }
                Slot::Occupied(mut slot) => self.update(slot.get_mut(), backend, ready, publisher),
            }
        }
    }

    fn update(&self, entry: &mut Entry, backend: Backend, ready: Option<Ready>, publisher: &Publisher) {
        let moved = entry.backend.url != backend.url;
        // A disabled backend's state is kept for its return; one that shall not be checked counts as healthy.
        let exempt = ready.is_none() && !backend.disabled;
        if moved || exempt {
            if !entry.track.status().healthy {
                publisher.put_verdict(&backend.id, HealthEvent::BackendHealthy { id: backend.id.clone() });
            }
            entry.track = Track::new();
        } else if entry.ready.is_none() && ready.is_some() {
            entry.track.reconsider();
        }
        if moved
            || entry.ready.is_some() != ready.is_some()
            || entry.backend.health_check != backend.health_check
        {
            entry.generation = self.next_generation();
            entry.scheduled = false;
        }
        entry.backend = backend;
        entry.ready = ready;
    }

    fn next_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::Relaxed)
    }

    /// Counts a result and puts it, with the verdict it brings, in `publisher`'s outbox, which must be flushed afterwards.
    /// `None`: the ticket is void and the result dropped.
    pub(super) fn record(
        &self,
        ticket: &Ticket,
        result: Counted,
        publisher: &Publisher,
    ) -> Option<HealthStatus> {
        let mut entry = self.entries.get_mut(&ticket.id).filter(|e| e.generation == ticket.generation)?;
        let thresholds = Thresholds::from(&entry.ready.as_ref()?.plan.settings);
        let passed = result.error.is_none();
        let verdict = entry.track.record(&ticket.id, result, thresholds);
        publisher.put_result(&ticket.id, passed, verdict);
        Some(entry.track.status().clone())
    }

    /// The check that a ticket stands for, unless it is void.
    pub(super) fn job(&self, ticket: &Ticket) -> Option<Job> {
        let entry = self.entries.get(&ticket.id).filter(|e| e.generation == ticket.generation)?;
        let ready = entry.ready.as_ref()?;
        let timeout = ready.plan.settings.timeout;
        Some(Job { ticket: ticket.clone(), check: ready.check.clone(), timeout })
    }

    /// The check of a backend as it is now.
    pub(super) fn job_of(&self, id: &str) -> Result<Job, HealthCheckError> {
        let ticket = match self.entries.get(id) {
            Some(entry) => Ticket { id: entry.backend.id.clone(), generation: entry.generation },
            None => return Err(HealthCheckError::UnknownBackend { id: id.into() }),
        };
        self.job(&ticket).ok_or(HealthCheckError::NotChecked { id: ticket.id })
    }

    /// Until the next check after this one: pace and jitter percent. `None`: the ticket is void.
    pub(super) fn pace(&self, ticket: &Ticket) -> Option<(Duration, u8)> {
        let entry = self.entries.get(&ticket.id).filter(|e| e.generation == ticket.generation)?;
        let settings = &entry.ready.as_ref()?.plan.settings;
        Some((schedule::pace(settings.interval, entry.track.is_changing()), settings.jitter_percent))
    }

    pub(super) fn is_valid(&self, ticket: &Ticket) -> bool {
        self.entries.get(&ticket.id).is_some_and(|e| e.generation == ticket.generation && e.ready.is_some())
    }

    /// Tickets (and their intervals) that the scheduler has not been given yet, ordered by id so that a seed replays. With
    /// `all`, every one.
    pub(super) fn take_unscheduled(&self, all: bool) -> BTreeMap<BackendId, (u64, Duration)> {
        let mut taken = BTreeMap::new();
        for mut entry in self.entries.iter_mut() {
            let Some(ready) = &entry.ready else { continue };
            if all || !entry.scheduled {
                taken.insert(entry.key().clone(), (entry.generation, ready.plan.settings.interval));
                entry.scheduled = true;
            }
        }
        taken
    }

    /// Ids that are checked.
    pub(super) fn checked_ids(&self) -> Vec<BackendId> {
        self.entries.iter().filter(|e| e.ready.is_some()).map(|e| e.key().clone()).collect()
    }

    pub(super) fn status_of(&self, id: &str) -> Option<HealthStatus> {
        self.entries.get(id).map(|e| e.track.status().clone())
    }

    pub(super) fn statuses(&self) -> BTreeMap<BackendId, HealthStatus> {
        self.entries.iter().map(|e| (e.key().clone(), e.track.status().clone())).collect()
    }
}
