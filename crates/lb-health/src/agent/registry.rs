//! The backends with agents, and what is known of each. State belongs to a backend's id and its agent's address.

use crate::scheduler::Ticket;
use lb_types::{Address, AgentReport, AgentStatus, BackendId};
use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One backend's place in a new set.
pub(super) struct Member {
    pub(super) id: BackendId,
    /// `None`: it has no agent.
    pub(super) agent: Option<Address>,
    /// A disabled backend's agent is not asked, and what it said stays in force.
    pub(super) disabled: bool,
}

struct Entry {
    agent: Address,
    disabled: bool,
    generation: u64,
    /// Whether the scheduler knows of this generation.
    scheduled: bool,
    status: AgentStatus,
}

#[derive(Default)]
struct State {
    entries: BTreeMap<BackendId, Entry>,
    generations: u64,
}

#[derive(Default)]
pub(super) struct Registry(Mutex<State>);

impl Registry {
    /// Makes `set` the backends; ids in it are unique. `released` is called, under the lock that orders reports, for each backend that
    /// stays, has no agent any more, and has had a report of one.
    pub(super) fn replace(&self, set: Vec<Member>, mut released: impl FnMut(&BackendId)) {
        let mut state = self.state();
        let state = &mut *state;
        let mut before = std::mem::take(&mut state.entries);
        for Member { id, agent, disabled } in set {
            let old = before.remove(&id);
            let Some(agent) = agent else {
                if old.is_some_and(|entry| entry.status.last_report.is_some()) {
                    released(&id);
                }
                continue;
            };
            let entry = match old {
                Some(entry) if entry.agent == agent && entry.disabled == disabled => entry,
                old => {
                    let status = old.filter(|entry| entry.agent == agent).map(|entry| entry.status);
                    state.generations += 1;
                    Entry {
                        agent,
                        disabled,
                        generation: state.generations,
                        scheduled: false,
                        status: status.unwrap_or_default(),
                    }
                }
            };
            state.entries.insert(id, entry);
        }
    }

    /// Keeps what an agent said, or why it said nothing, unless the ticket is void. `tell` is called with a report, under the lock that
    /// orders reports.
    pub(super) fn record(
        &self,
        ticket: &Ticket,
        said: Result<AgentReport, String>,
        at_unix_ms: u64,
        tell: impl FnOnce(AgentReport),
    ) {
        let mut state = self.state();
        let Some(entry) = state.entries.get_mut(&ticket.id).filter(|e| e.is_asked_by(ticket)) else { return };
        match said {
            Ok(report) => {
                entry.status =
                    AgentStatus { last_report: Some(report), last_seen: Some(at_unix_ms), last_error: None };
                tell(report);
            }
            Err(error) => entry.status.last_error = Some(error),
        }
    }

    /// Where to ask, unless the ticket is void.
    pub(super) fn agent(&self, ticket: &Ticket) -> Option<Address> {
        let state = self.state();
        state.entries.get(&ticket.id).filter(|e| e.is_asked_by(ticket)).map(|e| e.agent.clone())
    }

    /// Generations that the scheduler has not been given yet; with `all`, every one.
    pub(super) fn take_unscheduled(&self, all: bool) -> BTreeMap<BackendId, u64> {
        let mut state = self.state();
        let asked = state.entries.iter_mut().filter(|(_, e)| !e.disabled && (all || !e.scheduled));
        asked
            .map(|(id, entry)| {
                entry.scheduled = true;
                (id.clone(), entry.generation)
            })
            .collect()
    }

    pub(super) fn statuses(&self) -> BTreeMap<BackendId, AgentStatus> {
        self.state().entries.iter().map(|(id, entry)| (id.clone(), entry.status.clone())).collect()
    }

    pub(super) fn status_of(&self, id: &str) -> Option<AgentStatus> {
        self.state().entries.get(id).map(|entry| entry.status.clone())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each critical section leaves the state whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    fn is_asked_by(&self, ticket: &Ticket) -> bool {
        self.generation == ticket.generation && !self.disabled
    }
}
