//! What the tasks of a process driver share: the table of instances, and who is told.

use super::ledger::{Ledger, Record};
use super::ready::Readiness;
use super::restart::Rest;
use super::settings::{Orphans, ProcessSettings};
use crate::driver::child::output::Output;
use crate::driver::event::{DriverEvent, EventSink, Happening};
use crate::driver::{Driven, Stage};
use lb_types::{BackendId, Nanos};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::watch;
use tokio::task::AbortHandle;
use tokio::time::Instant;

/// How many free ports the kernel is asked for until one is not promised to another instance yet.
const PORT_TRIES: u32 = 64;

pub(super) struct Shared {
    pub(super) settings: ProcessSettings,
    pub(super) readiness: Arc<dyn Readiness>,
    pub(super) events: Option<EventSink>,
    pub(super) origin: Instant,
    pub(super) table: Mutex<Table>,
    pub(super) ledger: Mutex<Ledger>,
    /// How many instances there are: for who waits until there are none.
    pub(super) instances: watch::Sender<usize>,
}

#[derive(Default)]
pub(super) struct Table {
    pub(super) entries: BTreeMap<u64, Entry>,
    pub(super) rest: Rest,
    pub(super) closed: bool,
}

pub(super) struct Entry {
    pub(super) driven: Driven,
    pub(super) stop: watch::Sender<bool>,
    pub(super) output: Output,
    pub(super) task: AbortHandle,
}

impl Shared {
    pub(super) fn table(&self) -> MutexGuard<'_, Table> {
        // Each critical section leaves the table whole.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn now(&self) -> Nanos {
        self.origin.elapsed().into()
    }

    pub(super) fn stay(&self) -> bool {
        self.settings.orphans == Orphans::Stay
    }

    /// Tells who wants to know; with no lock held. One that panics has been reported by the panic hook, and costs no instance.
    pub(super) fn tell(&self, id: Option<&BackendId>, what: Happening) {
        if let Some(events) = &self.events {
            let event = DriverEvent { id: id.cloned(), what };
            let _ = catch_unwind(AssertUnwindSafe(|| events(&event)));
        }
    }

    pub(super) fn change(&self, number: u64, change: impl FnOnce(&mut Driven)) {
        if let Some(entry) = self.table().entries.get_mut(&number) {
            let stopping = entry.driven.stage == Stage::Stopping;
            change(&mut entry.driven);
            // Whatever happens to it meanwhile: it was ordered to go.
            if stopping {
                entry.driven.stage = Stage::Stopping;
            }
        }
    }

    pub(super) fn ready(&self, number: u64) {
        self.table().rest.one_is_ready();
        self.change(number, |driven| driven.stage = Stage::Ready);
    }

    pub(super) fn given_up(&self, now: Nanos, reason: &str) {
        self.table().rest.given_up(now, self.settings.rest, reason);
    }

    /// Writes it down; who is told is told as well.
    pub(super) fn note(&self, record: Record) -> Result<(), String> {
        let id = BackendId::from(record.id.as_str());
        let written = self.ledger().put(record);
        self.unwritten(&id, written)
    }

    /// It is gone from the table and from the file.
    pub(super) fn forget(&self, number: u64, id: &BackendId) {
        let written = self.ledger().remove(id.as_str());
        let _told = self.unwritten(id, written);
        self.table().entries.remove(&number);
    }

    /// Lets them know how many there are who wait.
    pub(super) fn count(&self) {
        let table = self.table(); // held, so that counts are told in their order
        self.instances.send_replace(table.entries.len());
    }

    fn unwritten(&self, id: &BackendId, written: std::io::Result<()>) -> Result<(), String> {
        written.map_err(|e| {
            let reason = e.to_string();
            self.tell(Some(id), Happening::StateNotWritten { reason: reason.clone() });
            reason
        })
    }

    /// A port that is free now, and promised to no other instance. Somebody else may still be quicker than the instance; then it ends,
    /// and its next start has another.
    pub(super) fn reserve(&self, number: u64) -> Result<SocketAddr, String> {
        let mut table = self.table();
        let others = table.entries.iter().filter(|(other, _)| **other != number);
        let taken: BTreeSet<u16> = others.map(|(_, entry)| entry.driven.address.port()).collect();
        let (host, ports) = (self.settings.host, self.settings.ports);
        let free = |port: u16| {
            let listener = TcpListener::bind((host, port)).ok()?;
            listener.local_addr().ok().filter(|address| !taken.contains(&address.port()))
        };
        let found = match ports {
            Some((first, last)) => {
                // Not the one it had, if there is another: that one may be what it failed by.
                let had = table.entries.get(&number).map_or(0, |entry| entry.driven.address.port());
                let after = had.max(first - 1).min(last);
                (after..=last)
                    .skip(1)
                    .chain(first..=after)
                    .filter(|port| !taken.contains(port))
                    .find_map(free)
            }
            None => (0..PORT_TRIES).find_map(|_| free(0)),
        };
        let address = found.ok_or_else(|| match ports {
            Some((first, last)) => format!("no port from {first} to {last} is free at {host}"),
            None => format!("no port is free at {host}"),
        })?;
        if let Some(entry) = table.entries.get_mut(&number) {
            entry.driven.address = address;
            if entry.driven.stage != Stage::Stopping {
                entry.driven.stage = Stage::Starting;
            }
        }
        Ok(address)
    }
}
