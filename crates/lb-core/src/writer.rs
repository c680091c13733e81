//! A pool's backends as its writers know them: changes are checked and made here, all of a batch or none.

use crate::build::{Draining, Entry};
use crate::error::PoolError;
use crate::gate::Shut;
use crate::pool::Change;
use crate::ramp;
use crate::settings::{Adaptive, Algorithm, PeakEwma, PoolSettings};
use crate::shared::{Hooks, Shared};
use crate::state::BackendState;
use lb_types::{Backend, BackendId, Nanos, Stance};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// What the changes are made to.
pub(crate) struct Writer {
    pub(crate) settings: Arc<PoolSettings>,
    pub(crate) entries: Vec<Entry>,
    /// States whose backend is gone, but which a lease or an old snapshot may still hold: their slots are not free yet.
    pub(crate) gone: Vec<Arc<BackendState>>,
    free_slots: Vec<u32>,
    slots: u32,
    uids: u64,
    /// Counts the changes.
    pub(crate) version: u64,
}

impl Writer {
    pub(crate) fn new(settings: PoolSettings) -> Self {
        let settings = Arc::new(settings);
        Self { settings, entries: vec![], gone: vec![], free_slots: vec![], slots: 0, uids: 0, version: 0 }
    }

    /// All changes or none. `now`: new backends ramp from then on.
    pub(crate) fn apply(
        &mut self,
        changes: Vec<Change>,
        shared: &Arc<Shared>,
        now: Option<Nanos>,
    ) -> Result<(), PoolError> {
        // Backends that come to an empty pool (discovery's first answer) do not ramp: all are equally cold.
        let ramp_from = now.filter(|_| self.settings.slow_start.is_some() && !self.entries.is_empty());
        let mut specs = Specs::of(&self.entries);
        for change in changes {
            specs.change(change)?;
        }
        let specs: Vec<_> = specs.list.into_iter().flatten().collect();
        if !specs.is_empty() && specs.iter().all(|(b, _)| b.weight == 0) {
            return Err(PoolError::AllZeroWeights(specs.len()));
        }
        self.replace(specs, shared, ramp_from);
        self.version += 1;
        Ok(())
    }

    fn replace(
        &mut self,
        specs: Vec<(Arc<Backend>, Draining)>,
        shared: &Arc<Shared>,
        ramp_from: Option<Nanos>,
    ) {
        let mut old: foldhash::HashMap<BackendId, Entry> =
            std::mem::take(&mut self.entries).into_iter().map(|e| (e.spec.id.clone(), e)).collect();
        self.sweep();
        for (spec, draining) in specs {
            let same_place = |e: &Entry| e.spec.url == spec.url;
            let entry = match old.remove(&spec.id) {
                Some(e) if same_place(&e) => {
                    if !Arc::ptr_eq(&e.spec, &spec) {
                        e.state.set_spec(spec.clone());
                    }
                    Entry { spec, draining, ..e }
                }
                moved => {
                    self.gone.extend(moved.map(|e| e.state));
                    let slot = self.slot();
                    self.uids += 1;
                    let state = Arc::new(BackendState::new(spec.clone(), slot, self.uids, shared.clone()));
                    Entry::new(state, spec, draining, ramp_from)
                }
            };
            self.entries.push(entry);
        }
        self.gone.extend(old.into_values().map(|e| e.state));
    }

    /// Frees the slots of backends that are gone, once no lease and no snapshot holds their state.
    fn sweep(&mut self) {
        let free = &mut self.free_slots;
        self.gone.retain(|s| {
            let held = Arc::strong_count(s) > 1;
            if !held {
                free.push(s.slot());
            }
            held
        });
    }

    /// A slot that nobody uses.
    fn slot(&mut self) -> u32 {
        self.free_slots.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }

    pub(crate) fn end_ramps(&mut self, now: Nanos) {
        let Some(s) = &self.settings.slow_start else { return };
        for e in &mut self.entries {
            e.ramp_from = e.ramp_from.filter(|&from| ramp::factor(s, from, now).is_some());
        }
    }

    /// Asks every guard. Whose breaker has closed comes back as one that has recovered. `true`: somebody is let pass, or refused, who was
    /// not before. O(backends).
    pub(crate) fn follow_guards(&mut self, now: Nanos) -> bool {
        let refusing = |s: Stance| matches!(s, Stance::Refusing { .. });
        let slow_start = self.settings.slow_start.is_some();
        let mut changed = false;
        for e in self.entries.iter_mut().filter(|e| e.state.guard().is_some()) {
            let before = std::mem::replace(&mut e.stance, e.state.stance(now));
            // Another time counts, too: by it the snapshot says when it is due.
            changed |= before != e.stance && (refusing(before) || refusing(e.stance));
            if refusing(before) && !refusing(e.stance) {
                // Else an algorithm that remembers how slow it was sends it no probes, and without them it never recovers.
                e.state.forget_latency();
            }
            if e.stance == Stance::Clear && before != Stance::Clear {
                e.recover(now, slow_start);
                changed = true;
            }
        }
        changed
    }

    /// Changes one entry by `change`, which says whether it did; `false`: there is no such id, or nothing to change.
    pub(crate) fn alter(&mut self, id: &BackendId, change: impl FnOnce(&mut Entry) -> bool) -> bool {
        let changed = self.entries.iter_mut().find(|e| e.spec.id == *id).is_some_and(change);
        self.version += u64::from(changed);
        changed
    }

    /// Sets what the end of a lease has to do, before a snapshot relies on it.
    pub(crate) fn hook(&self, shared: &Shared) {
        let a = &self.settings.algorithm;
        shared.set_hook(Hooks::HISTOGRAM, self.settings.latency_histograms);
        let measures =
            matches!(a, Algorithm::LeastResponseTime(_) | Algorithm::PeakEwma(_) | Algorithm::Adaptive(_));
        shared.set_hook(Hooks::LATENCY, measures);
        let reports = self.settings.wants_reports();
        shared.set_hook(Hooks::REPORTS, reports);
        let bounded = matches!(a, Algorithm::Maglev(h) | Algorithm::RingHash(h) | Algorithm::Rendezvous(h) if h.balance_factor.is_some());
        shared.set_hook(Hooks::TOTAL, bounded);
        let ms = |d: std::time::Duration| u32::try_from(d.as_millis()).unwrap_or(u32::MAX).max(1);
        match a {
            Algorithm::PeakEwma(PeakEwma { decay, default_rtt })
            | Algorithm::Adaptive(Adaptive { decay, default_rtt, .. }) => {
                shared.decay_ms.store(ms(*decay), Relaxed);
                let us = u32::try_from(default_rtt.as_micros()).unwrap_or(u32::MAX);
                shared.default_rtt_us.store(us, Relaxed);
            }
            Algorithm::LeastResponseTime(o) => {
                shared.window_ms.store(ms(o.window), Relaxed);
                shared.samples.store(u32::from(o.samples), Relaxed);
                for e in &self.entries {
                    e.state.prepare_samples();
                }
            }
            _ => {}
        }
        if let Algorithm::Adaptive(o) = a {
            shared.reports.set(o);
        }
        if reports {
            for e in &self.entries {
                e.state.prepare_load();
            }
        }
    }

    /// The gates that must be shut once nobody is sent there any more.
    pub(crate) fn gates(&self) -> Gates {
        let of = |e: &Entry| {
            let shut =
                [e.is_draining(), e.draining == Draining::Nobody, e.spec.disabled || e.is_in_maintenance()];
            (e.state.clone(), shut)
        };
        let gone = self.gone.iter().map(|s| (s.clone(), [false, false, true]));
        let changes =
            |(s, shut): &(Arc<BackendState>, [bool; 3])| BY_WILL.map(|why| s.gate.is_shut(why)) != *shut;
        Gates(self.entries.iter().map(of).chain(gone).filter(changes).collect())
    }
}

/// For what reasons the pool shuts gates.
const BY_WILL: [Shut; 3] = [Shut::Draining, Shut::Drained, Shut::Disabled];

/// Gates that do not stand as the backends' settings say, with whether each reason of [`BY_WILL`] holds.
///
/// A gate acts at once, on picks from the old snapshot too. So gates open before the snapshot that relies on them is published, and
/// shut after it: else a request that still sees the old snapshot would find nobody, though the new one has somebody.
pub(crate) struct Gates(Vec<(Arc<BackendState>, [bool; 3])>);

impl Gates {
    /// Before the snapshot is published.
    pub(crate) fn open(&self) {
        self.set(false);
    }

    /// After the snapshot is published.
    pub(crate) fn shut(&self) {
        self.set(true);
    }

    fn set(&self, wanted: bool) {
        for (state, shut) in &self.0 {
            for (why, _) in BY_WILL.into_iter().zip(shut).filter(|&(_, shut)| *shut == wanted) {
                state.set_gate(why, wanted);
            }
        }
    }
}

/// What is wanted of each backend, while changes are applied to it; a removed one leaves its place empty.
struct Specs {
    /// In the pool's order; with whether it drains.
    list: Vec<Option<(Arc<Backend>, Draining)>>,
    index: foldhash::HashMap<BackendId, usize>,
}

impl Specs {
    fn of(entries: &[Entry]) -> Self {
        Self {
            list: entries.iter().map(|e| Some((e.spec.clone(), e.draining))).collect(),
            index: entries.iter().enumerate().map(|(i, e)| (e.spec.id.clone(), i)).collect(),
        }
    }

    fn get(&mut self, id: &BackendId) -> Result<&mut (Arc<Backend>, Draining), PoolError> {
        let place = self.index.get(id).and_then(|&i| self.list[i].as_mut());
        place.ok_or_else(|| PoolError::UnknownId(id.clone()))
    }

    fn change(&mut self, change: Change) -> Result<(), PoolError> {
        match change {
            Change::Add(b) => {
                check_backend(&b)?;
                if self.index.insert(b.id.clone(), self.list.len()).is_some() {
                    return Err(PoolError::DuplicateId(b.id));
                }
                self.list.push(Some((Arc::new(b), Draining::Not)));
            }
            Change::Update(id, patch) => {
                let (spec, _) = self.get(&id)?;
                patch.apply_to(Arc::make_mut(spec));
                check_backend(spec)?;
            }
            Change::Drain(id, draining) => {
                self.get(&id)?.1 = if draining { Draining::NobodyNew } else { Draining::Not };
            }
            Change::Drained(id) => self.get(&id)?.1 = Draining::Nobody,
            Change::Remove(id) => {
                let at = self.index.remove(&id).ok_or(PoolError::UnknownId(id))?;
                self.list[at] = None;
            }
        }
        Ok(())
    }
}

fn check_backend(b: &Backend) -> Result<(), PoolError> {
    if b.id.as_str().is_empty() {
        return Err(PoolError::EmptyId);
    }
    if b.max_connections == Some(0) {
        return Err(PoolError::NoConnections(b.id.clone()));
    }
    Ok(())
}
