//! Who is ejected, until when, and who comes back: one state machine for a pool.
//!
//! ```text
//!   ┌────────┐   consider(): a streak            ┌─────────┐
//!   │   in   │   sweep(): a statistic            │ ejected │   base × times, at most max, + jitter
//!   │        │ ────────────────────────────────► │         │
//!   │        │      times + 1                    │         │
//!   │        │ ◄──────────────────────────────── │         │
//!   └────────┘   its time is over · a check      └─────────┘
//!                passed · nobody else is usable
//!    times − 1 for each whole interval here
//! ```
//!
//! Refused are an ejection beyond `max_ejection_percent` (one is always allowed) and one that would leave no usable
//! backend. The percentage holds for the number after the ejection, so that 50 % of three is one (envoy#26877).
//!
//! The multiplier `times` falls only for a whole interval without ejection. Envoy takes one off at the first sweep after a
//! return, just before the next ejection puts it on again, so that backends which a statistic ejects come back equally soon for
//! ever (envoy#26758).
//!
//! Not for the request path: the caller holds it under a lock. A sweep is O(n log n) for n backends; state is some
//! 150 bytes a backend (+ 16 for each interval compared). Everything is in the order of ids, so that the same calls give the
//! same answers.

use super::judge::{self, Sample};
use super::statistics::Counts;
use super::{Cause, Change, Ejection, OutlierDetection, OutlierStatus, SettingsError, Why};
use lb_types::{BackendId, Nanos};
use std::collections::{BTreeMap, VecDeque};

/// How many backends there are and how many of them can serve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Census {
    /// All backends of the pool.
    pub total: usize,
    /// Those that get traffic now: healthy, not draining, not disabled, not ejected.
    pub usable: usize,
}

/// One backend's requests since it was added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Which backend.
    pub id: BackendId,
    /// Successes so far. If a number is less than at the last sweep, it is taken to have begun at 0 again.
    pub succeeded: u64,
    /// Failures so far.
    pub failed: u64,
    /// Whether it gets traffic now, as in [`Census::usable`]. Others are neither judged nor compared with.
    pub usable: bool,
}

/// The passive detection of one pool. See the module's documentation.
#[derive(Clone, Debug)]
pub struct Detector {
    settings: OutlierDetection,
    /// When the next sweep is due.
    due: Nanos,
    known: BTreeMap<BackendId, Known>,
    /// How many of `known` are ejected.
    ejected: usize,
}

#[derive(Clone, Debug, Default)]
struct Known {
    until: Option<Nanos>,
    times: u32,
    ejections: u64,
    cause: Option<Cause>,
    /// The counts at the last sweep; `None`: the next sweep only remembers them.
    seen: Option<Counts>,
    /// What the last intervals brought, the latest first.
    history: VecDeque<Counts>,
    /// Came back since the last sweep, so that the interval was not a whole one.
    just_back: bool,
}

impl Detector {
    /// Nobody is ejected; the first interval begins `now`.
    ///
    /// # Errors
    /// The settings are out of bounds.
    pub fn new(settings: OutlierDetection, now: Nanos) -> Result<Self, SettingsError> {
        settings.validate()?;
        let due = now + settings.interval.into();
        Ok(Self { settings, due, known: BTreeMap::new(), ejected: 0 })
    }

    /// Other settings from now on. Who is ejected stays so until its time.
    ///
    /// # Errors
    /// The settings are out of bounds; then the old ones hold.
    pub fn set_settings(&mut self, settings: OutlierDetection, now: Nanos) -> Result<(), SettingsError> {
        settings.validate()?;
        self.due = self.due.min(now + settings.interval.into());
        self.settings = settings;
        Ok(())
    }

    /// The settings.
    pub fn settings(&self) -> &OutlierDetection {
        &self.settings
    }

    /// A streak was reported for a usable backend: is it ejected? `random` is any number, for the jitter.
    ///
    /// `Some`: yes, and the caller clears its [`Streaks`](super::Streaks). `None`: it is ejected already, or may not be.
    pub fn consider(
        &mut self,
        id: &BackendId,
        cause: Cause,
        now: Nanos,
        random: u64,
        census: Census,
    ) -> Option<Ejection> {
        if self.is_ejected(id) || !self.may_eject(census) {
            return None;
        }
        let s = &self.settings;
        let (base, cap) = (Nanos::from(s.base_ejection_time), Nanos::from(s.max_ejection_time));
        let known = self.known.entry(id.clone()).or_default();
        // No further than to the cap: more would only take longer to decay.
        if base.0.saturating_mul(known.times.into()) < cap.0 {
            known.times = known.times.saturating_add(1);
        }
        let length = base.0.saturating_mul(known.times.into()).min(cap.0);
        let most = u128::from(length) * u128::from(s.jitter_percent) / 100;
        // `random` as a fraction of 2⁶⁴, so that the jitter is evenly spread from 0 to just below `most`.
        let jitter = (most * u128::from(random)) >> 64;
        let until = now + Nanos(length) + Nanos(u64::try_from(jitter).unwrap_or(u64::MAX));
        known.until = Some(until);
        known.ejections = known.ejections.saturating_add(1);
        known.cause = Some(cause);
        known.history.clear();
        self.ejected += 1;
        Some(Ejection { id: id.clone(), cause, until, times: known.times })
    }

    fn may_eject(&self, census: Census) -> bool {
        let allowed = census.total.saturating_mul(usize::from(self.settings.max_ejection_percent)) / 100;
        self.ejected < allowed.max(1) && census.usable > 1
    }

    /// Ends the ejections that are over and, once an interval has passed, judges what it brought. To be called when
    /// [`next`](Self::next) says; before that it ends ejections only, and `tallies` may be empty.
    ///
    /// `tallies` are of all backends, in any order. One that is there for the first time is only remembered, so call it once at the
    /// start if the first interval is to be judged; one that is missing at a whole sweep is forgotten.
    pub fn sweep(&mut self, now: Nanos, random: &mut dyn FnMut() -> u64, tallies: &[Tally]) -> Vec<Change> {
        let whole = now >= self.due;
        let mut changes = Vec::new();
        if whole {
            self.due = now + self.settings.interval.into();
            self.forget_others(tallies, &mut changes);
        }
        self.end_expired(now, &mut changes);
        self.count(tallies, whole);
        if whole {
            self.judge(now, random, tallies, &mut changes);
            for known in self.known.values_mut().filter(|k| k.until.is_none()) {
                if !std::mem::take(&mut known.just_back) {
                    known.times = known.times.saturating_sub(1);
                }
            }
        }
        changes
    }

    fn forget_others(&mut self, tallies: &[Tally], changes: &mut Vec<Change>) {
        let here: std::collections::BTreeSet<_> = tallies.iter().map(|t| &t.id).collect();
        let ejected = &mut self.ejected;
        self.known.retain(|id, known| {
            let stays = here.contains(id);
            if !stays && known.until.is_some() {
                *ejected -= 1;
                changes.push(Change::Returned { id: id.clone(), why: Why::Removed });
            }
            stays
        });
    }

    fn end_expired(&mut self, now: Nanos, changes: &mut Vec<Change>) {
        for (id, known) in &mut self.known {
            if known.until.is_some_and(|until| until <= now) {
                known.back();
                self.ejected -= 1;
                changes.push(Change::Returned { id: id.clone(), why: Why::Expired });
            }
        }
    }

    /// Takes the tallies in: at a whole sweep of everybody, otherwise of those that are not known yet or just back.
    fn count(&mut self, tallies: &[Tally], whole: bool) {
        let kept = self.settings.comparison.map_or(1, |c| c.intervals as usize);
        for tally in tallies {
            let counts = Counts { succeeded: tally.succeeded, failed: tally.failed };
            let known = self.known.entry(tally.id.clone()).or_default();
            match known.seen {
                Some(_) if !whole => continue,
                Some(seen) if known.until.is_none() => {
                    let restarted = counts.succeeded < seen.succeeded || counts.failed < seen.failed;
                    known.history.truncate(kept.saturating_sub(1));
                    known.history.push_front(if restarted { counts } else { counts.minus(seen) });
                }
                _ => {}
            }
            known.seen = Some(counts);
        }
    }

    fn judge(
        &mut self,
        now: Nanos,
        random: &mut dyn FnMut() -> u64,
        tallies: &[Tally],
        changes: &mut Vec<Change>,
    ) {
        let mut samples: Vec<Sample> = Vec::new();
        let mut census = Census { total: tallies.len(), usable: 0 };
        for tally in tallies.iter().filter(|t| t.usable) {
            let Some(known) = self.known.get(&tally.id).filter(|k| k.until.is_none()) else { continue };
            census.usable += 1;
            if !known.history.is_empty() {
                let mut sum = Counts::default();
                let sums = known.history.iter().map(|c| {
                    sum = sum.plus(*c);
                    sum
                });
                samples.push(Sample { id: tally.id.clone(), sums: sums.collect() });
            }
        }
        samples.sort_by(|a, b| a.id.cmp(&b.id));
        let by_rate = self.settings.success_rate.map(|s| judge::success_rate(&samples, &s));
        let by_share = self.settings.failure_percentage.map(|f| judge::failure_percentage(&samples, &f));
        let comparison = self.settings.comparison;
        let mut eject = |id: &BackendId, cause: Cause| {
            if !self.may_eject(census) {
                return false; // and nobody else may be: it does not depend on who it is
            }
            if let Some(ejection) = self.consider(id, cause, now, random(), census) {
                census.usable -= 1;
                changes.push(Change::Ejected(ejection));
            }
            true
        };
        for (id, cause) in by_rate.into_iter().flatten().chain(by_share.into_iter().flatten()) {
            if !eject(&id, cause) {
                return;
            }
            samples.retain(|x| x.id != id);
        }
        let Some(comparison) = comparison else { return };
        while let Some((i, cause)) = judge::comparison(&samples, &comparison) {
            if !eject(&samples[i].id, cause) {
                return;
            }
            samples.remove(i);
        }
    }

    /// When to call [`sweep`](Self::sweep) again: at the end of the interval or of the next ejection to be over, and not
    /// before `now`.
    pub fn next(&self, now: Nanos) -> Nanos {
        let ends = self.known.values().filter_map(|k| k.until);
        ends.fold(self.due, Nanos::min).max(now)
    }

    /// An active check of this backend passed. `Some`: that ends its ejection.
    pub fn check_passed(&mut self, id: &BackendId) -> Option<Change> {
        if !self.settings.end_on_passing_check {
            return None;
        }
        self.release(id, Why::CheckPassed)
    }

    /// To be called when fewer backends are usable than before: if none is (`usable` = 0), every ejected one is given back.
    /// An ejected backend may be no worse than those that are down, draining or disabled.
    pub fn rescue(&mut self, usable: usize) -> Vec<Change> {
        if usable > 0 || self.ejected == 0 {
            return Vec::new();
        }
        let ids: Vec<_> =
            self.known.iter().filter(|(_, k)| k.until.is_some()).map(|(id, _)| id.clone()).collect();
        ids.iter().filter_map(|id| self.release(id, Why::LastUsable)).collect()
    }

    /// Forgets a backend that was removed, or is another one now under the same id (another address). `Some`: it was
    /// ejected. The next whole sweep forgets those that are not in its tallies, too.
    pub fn remove(&mut self, id: &BackendId) -> Option<Change> {
        let change = self.release(id, Why::Removed);
        self.known.remove(id);
        change
    }

    fn release(&mut self, id: &BackendId, why: Why) -> Option<Change> {
        let known = self.known.get_mut(id).filter(|k| k.until.is_some())?;
        known.back();
        self.ejected -= 1;
        Some(Change::Returned { id: id.clone(), why })
    }

    /// Whether a backend is ejected, as far as the calls so far say.
    pub fn is_ejected(&self, id: &BackendId) -> bool {
        self.known.get(id).is_some_and(|k| k.until.is_some())
    }

    /// How many are ejected.
    pub fn ejected(&self) -> usize {
        self.ejected
    }

    /// How a backend stands; the default for one that is not known.
    pub fn status(&self, id: &BackendId) -> OutlierStatus {
        let Some(known) = self.known.get(id) else { return OutlierStatus::default() };
        OutlierStatus {
            ejected_until: known.until,
            times: known.times,
            ejections: known.ejections,
            cause: known.cause,
            success_rate: known.history.front().and_then(|c| c.success_share()).map(|share| 100.0 * share),
        }
    }
}

impl Known {
    /// It begins anew: what was seen before or during the ejection is not held against it.
    fn back(&mut self) {
        self.until = None;
        self.seen = None;
        self.history.clear();
        self.just_back = true;
    }
}
