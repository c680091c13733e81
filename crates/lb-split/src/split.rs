//! The split: targets, their percentages, and what changes them.
//!
//! Reading ([`Split::choose`]) loads one plan and takes no lock. Changes are made one after another under a mutex that no reader
//! sees; each replaces the plan as a whole and gives its [`Event`] back.

use crate::error::ChangeError;
use crate::event::{Change, Event, Log};
use crate::percent::{POINTS, Percent};
use crate::plan::{Pace, Plan};
use crate::spread::{Shares, TARGETS_MAX};
use arc_swap::ArcSwap;
use lb_types::{Nanos, SettingsError};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Names of splits and targets are at most this long.
pub const NAME_BYTES_MAX: usize = 128;
/// The shortest and the longest shift.
pub const SHIFT_MIN: Duration = Duration::from_secs(1);
/// See [`SHIFT_MIN`].
pub const SHIFT_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Divides requests between targets by percent. Shared by all workers.
#[derive(Debug)]
pub struct Split {
    name: String,
    targets: Vec<String>,
    sticky: bool,
    plan: ArcSwap<Plan>,
    control: Mutex<Control>,
}

/// What the last target shall have.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LastShare {
    Of(Percent),
    /// All that it and the first have together.
    All,
}

/// What only changes look at.
#[derive(Debug, Default)]
struct Control {
    log: Log,
    /// Who began the shift that is under way.
    shifting_by: String,
}

/// A split as it is at one moment.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SplitStatus {
    /// Its name.
    pub name: String,
    /// Whether clients keep their side.
    pub sticky: bool,
    /// Each target and what it gets now.
    pub targets: Vec<(String, Percent)>,
    /// Under way, or paused.
    pub shift: Option<ShiftStatus>,
    /// The number of the last change; 0 if there was none.
    pub changes: u64,
}

/// A shift that has not ended.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ShiftStatus {
    /// What each target had when it began; an abort goes back there.
    pub from: Vec<Percent>,
    /// What each will have.
    pub to: Vec<Percent>,
    /// How long it has gone on for, pauses left out.
    pub elapsed: Nanos,
    /// How long it takes.
    pub over: Nanos,
    /// Whether it stands still.
    pub paused: bool,
}

impl Split {
    /// `targets`: each with its name and percentage, the established one first, the new one last. `sticky`: a client stays on its side; then
    /// [`choose`](Self::choose) looks at points.
    ///
    /// # Errors
    /// No target or more than [`TARGETS_MAX`]; a name that is empty, too long or there twice; a sum other than 100 %.
    pub fn new(name: &str, targets: &[(&str, Percent)], sticky: bool) -> Result<Self, SettingsError> {
        let names: Vec<String> = targets.iter().map(|(name, _)| (*name).to_owned()).collect();
        if !(1..=TARGETS_MAX).contains(&targets.len()) {
            return Err(SettingsError::new("targets", names, format!("must be 1 to {TARGETS_MAX}")));
        }
        for (i, name) in std::iter::once(name).chain(names.iter().map(String::as_str)).enumerate() {
            let field = if i == 0 { "name" } else { "targets" };
            if name.is_empty() || name.len() > NAME_BYTES_MAX {
                return Err(SettingsError::new(
                    field,
                    name,
                    format!("must have 1 to {NAME_BYTES_MAX} bytes"),
                ));
            }
            if i > 0 && names[..i - 1].iter().any(|other| other == name) {
                return Err(SettingsError::new(field, name, "must be there once"));
            }
        }
        let percents: Vec<Percent> = targets.iter().map(|&(_, percent)| percent).collect();
        let shares = shares(&percents, targets.len())?;
        Ok(Self {
            name: name.to_owned(),
            targets: names,
            sticky,
            plan: ArcSwap::from_pointee(Plan::new(&shares, sticky)),
            control: Mutex::default(),
        })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The targets' names, in order.
    pub fn targets(&self) -> &[String] {
        &self.targets
    }

    /// The index of the target that gets this request. With a point (below [`POINTS`], see `lb_session::cohort`) and a sticky split: always the same
    /// while shares are, and only from who shrinks to who grows when they change. Otherwise whose turn it is, exactly.
    ///
    /// No lock, no allocation.
    #[inline]
    pub fn choose(&self, point: Option<u32>, now: Nanos) -> usize {
        self.plan.load().choose(point, now)
    }

    /// What each target gets now, in order.
    pub fn percents(&self, now: Nanos) -> Vec<Percent> {
        self.list(&self.plan.load().shares(now))
    }

    /// Other percentages, at once. A shift ends where it stands.
    ///
    /// # Errors
    /// Not one percentage for each target, or a sum other than 100 %.
    pub fn set(&self, percents: &[Percent], by: &str, now: Nanos) -> Result<Event, ChangeError> {
        let to = shares(percents, self.targets.len())?;
        Ok(self.go(&to, Pace::Settled, Change::Set, by, now))
    }

    /// All to the target of this name, at once: blue to green, or back.
    ///
    /// # Errors
    /// There is none.
    pub fn switch_to(&self, target: &str, by: &str, now: Nanos) -> Result<Event, ChangeError> {
        let unknown = || ChangeError::UnknownTarget { split: self.name.clone(), target: target.to_owned() };
        let target = self.targets.iter().position(|name| name == target).ok_or_else(unknown)?;
        let mut to = Shares::default();
        to[target] = POINTS;
        Ok(self.go(&to, Pace::Settled, Change::SwitchedTo { target }, by, now))
    }

    /// This much to the last target, at once; the first has the rest of what the two have together.
    ///
    /// # Errors
    /// The two do not have so much.
    pub fn canary(&self, percent: Percent, by: &str, now: Nanos) -> Result<Event, ChangeError> {
        let event = self.give_last(LastShare::Of(percent), None, Change::Canary { percent }, by, now)?;
        Ok(event.expect("what it had was not asked"))
    }

    /// A canary by another name. Where the last target does not have what it `had`, nothing is changed and nothing given back.
    pub(crate) fn give_last(
        &self,
        share: LastShare,
        had: Option<Percent>,
        change: Change,
        by: &str,
        now: Nanos,
    ) -> Result<Option<Event>, ChangeError> {
        let mut control = self.control(now);
        let plan = self.plan.load_full();
        let mut to = plan.shares(now);
        let last = self.targets.len() - 1;
        // One target alone is first and last.
        if had.is_some_and(|had| had.hundredths() != to[last]) {
            return Ok(None);
        }
        let free = if last == 0 { POINTS } else { to[0] + to[last] };
        let percent = match share {
            LastShare::Of(percent) => percent,
            LastShare::All => Percent::of(free),
        };
        let rest = free.checked_sub(percent.hundredths()).filter(|&rest| last > 0 || rest == 0);
        let rest = rest.ok_or(ChangeError::NoRoom { percent, free: Percent::of(free) })?;
        to[0] = rest;
        to[last] = percent.hundredths();
        Ok(Some(self.replace(&mut control, plan.towards(&to, Pace::Settled, now), change, by, now)))
    }

    /// To these percentages evenly over a time ([`SHIFT_MIN`] to [`SHIFT_MAX`]), from where the split stands.
    ///
    /// # Errors
    /// As [`set`](Self::set), and a time out of its bounds.
    pub fn shift(&self, to: &[Percent], over: Duration, by: &str, now: Nanos) -> Result<Event, ChangeError> {
        if !(SHIFT_MIN..=SHIFT_MAX).contains(&over) {
            return Err(
                SettingsError::new("over", over, format!("must be {SHIFT_MIN:?} to {SHIFT_MAX:?}")).into()
            );
        }
        let (to, over) = (shares(to, self.targets.len())?, Nanos::from(over));
        Ok(self.go(&to, Pace::Shifting { began: now, over }, Change::ShiftBegan { over }, by, now))
    }

    /// The shift stands still until it is resumed or aborted.
    ///
    /// # Errors
    /// There is none, or it is paused already.
    pub fn pause(&self, by: &str, now: Nanos) -> Result<Event, ChangeError> {
        let mut control = self.control(now);
        let plan = self.plan.load_full();
        match (plan.pace, plan.pace.of_shift(now)) {
            (Pace::Paused { .. }, _) => Err(ChangeError::AlreadyPaused(self.name.clone())),
            (_, None) => Err(ChangeError::NotShifting(self.name.clone())),
            (_, Some((elapsed, over))) => {
                let plan = plan.at(Pace::Paused { elapsed, over });
                Ok(self.replace(&mut control, plan, Change::Paused, by, now))
            }
        }
    }

    /// A paused shift goes on for the time that it had left.
    ///
    /// # Errors
    /// There is none, or it is not paused.
    pub fn resume(&self, by: &str, now: Nanos) -> Result<Event, ChangeError> {
        let mut control = self.control(now);
        let plan = self.plan.load_full();
        match plan.pace {
            Pace::Settled => Err(ChangeError::NotShifting(self.name.clone())),
            Pace::Shifting { .. } => Err(ChangeError::NotPaused(self.name.clone())),
            // As if it had begun later by the pause.
            Pace::Paused { elapsed, over } => {
                let plan = plan.at(Pace::Shifting { began: now - elapsed, over });
                Ok(self.replace(&mut control, plan, Change::Resumed, by, now))
            }
        }
    }

    /// Gives the shift up: at once back to the percentages that it began from, and every client to the side that it had then.
    ///
    /// # Errors
    /// There is no shift under way or paused.
    pub fn abort(&self, by: &str, now: Nanos) -> Result<Event, ChangeError> {
        let mut control = self.control(now);
        let plan = self.plan.load_full();
        if plan.pace == Pace::Settled {
            return Err(ChangeError::NotShifting(self.name.clone()));
        }
        Ok(self.replace(&mut control, plan.undone(), Change::Aborted, by, now))
    }

    /// Notes the end of a shift whose time is over. Requests do not wait for it; call it now and then, so that the event comes in time. Every
    /// change calls it first.
    pub fn tick(&self, now: Nanos) -> Option<Event> {
        self.settle(&mut self.lock(), now)
    }

    /// The latest changes, oldest first, at most [`EVENTS_MAX`](crate::EVENTS_MAX).
    pub fn events(&self) -> Vec<Event> {
        self.lock().log.events()
    }

    /// As it is now.
    pub fn status(&self, now: Nanos) -> SplitStatus {
        let control = self.control(now);
        let plan = self.plan.load();
        let shift = plan.pace.of_shift(now).map(|(elapsed, over)| ShiftStatus {
            from: self.list(&plan.from),
            to: self.list(&plan.to),
            elapsed,
            over,
            paused: matches!(plan.pace, Pace::Paused { .. }),
        });
        SplitStatus {
            name: self.name.clone(),
            sticky: self.sticky,
            targets: self.targets.iter().cloned().zip(self.list(&plan.shares(now))).collect(),
            shift,
            changes: control.log.last(),
        }
    }

    fn go(&self, to: &Shares, pace: Pace, change: Change, by: &str, now: Nanos) -> Event {
        let mut control = self.control(now);
        let plan = self.plan.load().towards(to, pace, now);
        self.replace(&mut control, plan, change, by, now)
    }

    /// The lock, with a shift that is over noted as such.
    fn control(&self, now: Nanos) -> MutexGuard<'_, Control> {
        let mut control = self.lock();
        self.settle(&mut control, now);
        control
    }

    fn lock(&self) -> MutexGuard<'_, Control> {
        // Nothing under it leaves it half done.
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, control: &mut Control, now: Nanos) -> Option<Event> {
        let plan = self.plan.load_full();
        let Pace::Shifting { began, over } = plan.pace else { return None };
        if now - began < over {
            return None;
        }
        let by = std::mem::take(&mut control.shifting_by);
        Some(self.replace(control, plan.at(Pace::Settled), Change::ShiftEnded, &by, now))
    }

    /// The one place that publishes a plan.
    fn replace(&self, control: &mut Control, plan: Plan, change: Change, by: &str, now: Nanos) -> Event {
        if let Change::ShiftBegan { .. } = change {
            by.clone_into(&mut control.shifting_by);
        }
        let (from, to) = (self.percents(now), self.list(&plan.to));
        self.plan.store(plan.into());
        let (by, split) = (by.to_owned(), self.name.clone());
        control.log.add(Event { number: 0, at: now, by, split, change, from, to })
    }

    fn list(&self, shares: &Shares) -> Vec<Percent> {
        shares[..self.targets.len()].iter().map(|&share| Percent::of(share)).collect()
    }
}

fn shares(percents: &[Percent], targets: usize) -> Result<Shares, SettingsError> {
    let shown = || percents.iter().map(|&percent| f64::from(percent)).collect::<Vec<_>>();
    if percents.len() != targets {
        return Err(SettingsError::new(
            "percents",
            shown(),
            format!("must be {targets}, one for each target"),
        ));
    }
    // At most TARGETS_MAX × 10 000.
    if percents.iter().map(|percent| percent.hundredths()).sum::<u16>() != POINTS {
        return Err(SettingsError::new("percents", shown(), "must be 100 together"));
    }
    let mut shares = Shares::default();
    shares.iter_mut().zip(percents).for_each(|(share, percent)| *share = percent.hundredths());
    Ok(shares)
}
