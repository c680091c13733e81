//! A guarded rollout: the new side grows step by step while nothing speaks against it, beside the old side that it is compared with.
//!
//! In each step both sides' counts are looked at as often as one likes. For every guard there is a claim, such as "the new side's error rate is
//! at most half a percent above the old side's", and evidence for and against it (`evidence.rs`).
//!
//! | | when |
//! |---|---|
//! | roll back | evidence against a guard's claim reaches `steps · guards / false_rollback_max`, at any look |
//! | advance | the step's duration is over, both sides had `requests_min`, and nothing spoke against it. This shows nothing; it bounds how many are exposed |
//! | promote | the same in the last step, and **every** guard's claim is shown: evidence for it reaches `1 / false_promotion_max` |
//! | inconclusive | duration and patience are over before that |
//! | hold | otherwise |
//!
//! **Bounds.** A side that keeps within all guards is rolled back with a probability of at most `false_rollback_max`: Ville's inequality for each step and
//! guard, and the union over them. A side that is beyond some guard in the last step is promoted with at most
//! `false_promotion_max`: it would have to be shown to keep within that guard, too. Between the two, more traffic is what decides: an inconclusive step may be
//! [extended](Rollout::extend), and the bounds hold on. Counts begin anew with every step, as the sides' shares change.
//!
//! The state machine knows no split; [`steer`](Rollout::steer) carries its decisions to one. It holds no counters either: who serves requests
//! counts them, by the side they went to, as they end.

use crate::error::ChangeError;
use crate::event::{Change, Event};
use crate::evidence::{Claim, Count, against, log_evidence};
use crate::percent::Percent;
use crate::settings::RolloutSettings;
use crate::split::{LastShare, Split};
use lb_types::{Nanos, SettingsError};

/// What one side did since the step began. Errors beyond `requests` count as `requests`, slow ones beyond `timed` as `timed`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Window {
    /// Requests that ended.
    pub requests: u64,
    /// Of these, those that failed.
    pub errors: u64,
    /// Requests whose latency was looked at; 0 without such a guard, and until its [limits](crate::LatencyGuard::limits) are known. Then neither
    /// side advances nor is promoted; errors are judged all the same.
    pub timed: u64,
    /// Of those, the ones that took longer than the side's limit.
    pub slow: u64,
}

/// What becomes of the rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum RolloutDecision {
    /// Nothing yet.
    Hold,
    /// The new side gets this much from now on; count anew.
    Advance {
        /// The next step's.
        percent: Percent,
    },
    /// The new side gets all. Final.
    Promote,
    /// The old side gets all. Final.
    RollBack {
        /// What spoke against the new side.
        reason: Reason,
    },
    /// Neither could be shown in time. The split stays as it is; [extend](Rollout::extend) or [abort](Rollout::abort).
    Inconclusive,
    /// Somebody else changed the new side's share: the rollout ended, and the split was left alone. Final.
    Overtaken,
}

impl RolloutDecision {
    /// Brings it to the split: the last target's share as a step says, all that first and last have together to one of them at the end. The event
    /// is there if the decision changes something.
    ///
    /// # Errors
    /// The two have less together than the step needs.
    pub fn apply(self, split: &Split, by: &str, now: Nanos) -> Result<Option<Event>, ChangeError> {
        self.apply_from(split, None, by, now)
    }

    /// The same, if the last target still has what it `had`; else nothing is done, and nothing given back. Looked at and done in one step, so that
    /// a change by hand is never overwritten.
    fn apply_from(
        self,
        split: &Split,
        had: Option<Percent>,
        by: &str,
        now: Nanos,
    ) -> Result<Option<Event>, ChangeError> {
        let share = match self {
            Self::Advance { percent } => LastShare::Of(percent),
            Self::Promote => LastShare::All,
            Self::RollBack { .. } => LastShare::Of(Percent::ZERO),
            Self::Hold | Self::Inconclusive | Self::Overtaken => return Ok(None),
        };
        split.give_last(share, had, Change::Rollout { decision: self }, by, now)
    }

    /// Does it change a split?
    fn is_change(self) -> bool {
        !matches!(self, Self::Hold | Self::Inconclusive | Self::Overtaken)
    }
}

/// Why a rollout was rolled back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Reason {
    /// The new side fails too often.
    Errors,
    /// The new side is too slow.
    Latency,
    /// It was asked for.
    Aborted,
}

impl std::fmt::Display for RolloutDecision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Hold => f.write_str("hold"),
            Self::Advance { percent } => write!(f, "advance to {percent}"),
            Self::Promote => f.write_str("promote"),
            Self::RollBack { reason } => write!(f, "roll back: {}", reason.as_str()),
            Self::Inconclusive => f.write_str("inconclusive"),
            Self::Overtaken => f.write_str("overtaken by a change by hand"),
        }
    }
}

impl Reason {
    /// As a word: `errors`, `latency`, `aborted`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Errors => "errors",
            Self::Latency => "latency",
            Self::Aborted => "aborted",
        }
    }
}

/// How a guard stands after a look.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct GuardStatus {
    /// Which: what a rollback on it would be called.
    pub guard: Reason,
    /// Evidence that the new side is beyond it, in powers of ten. It is rolled back at `needed_worse`.
    pub worse: f64,
    /// See `worse`.
    pub needed_worse: f64,
    /// Evidence that the new side keeps within it, in powers of ten. `needed_fine` is enough to promote.
    pub fine: f64,
    /// See `fine`.
    pub needed_fine: f64,
}

/// A rollout as it is at one look.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RolloutStatus {
    /// Which step, from 0.
    pub step: usize,
    /// How many there are.
    pub steps: usize,
    /// What the new side gets in this one.
    pub percent: Percent,
    /// When it began.
    pub since: Nanos,
    /// From when on it is inconclusive.
    pub until: Nanos,
    /// How each guard stands.
    pub guards: Vec<GuardStatus>,
    /// How the rollout ended, if it has.
    pub end: Option<RolloutDecision>,
}

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    settings: RolloutSettings,
    step: usize,
    /// When the step began.
    since: Nanos,
    /// When it is inconclusive.
    until: Nanos,
    end: Option<RolloutDecision>,
}

impl Rollout {
    /// In its first step. The new side has [`percent`](Self::percent) from now on: see [`begin`](Self::begin) for a split's.
    ///
    /// # Errors
    /// The first setting that is out of its bounds.
    pub fn new(settings: RolloutSettings, now: Nanos) -> Result<Self, SettingsError> {
        settings.validate()?;
        let mut rollout = Self { settings, step: 0, since: now, until: now, end: None };
        rollout.enter(0, now);
        Ok(rollout)
    }

    fn enter(&mut self, step: usize, now: Nanos) {
        self.step = step;
        self.since = now;
        self.until = now + self.settings.steps[step].duration.into() + self.settings.patience.into();
    }

    /// Which step, from 0.
    pub fn step(&self) -> usize {
        self.step
    }

    /// What the new side gets in this step.
    pub fn percent(&self) -> Percent {
        self.settings.steps[self.step].percent
    }

    /// What it was told.
    pub fn settings(&self) -> &RolloutSettings {
        &self.settings
    }

    /// How it ended, if it has.
    pub fn end(&self) -> Option<RolloutDecision> {
        self.end
    }

    /// One look at what both sides did in this step. After the end: the end.
    pub fn observe(&mut self, now: Nanos, old: &Window, new: &Window) -> RolloutDecision {
        if let Some(end) = self.end {
            return end;
        }
        let worse = |guard: &Guard| {
            against(Claim::Fine, guard.count(old), guard.count(new), guard.margin, self.needed_worse())
                >= self.needed_worse()
        };
        if let Some(guard) = self.guards().find(worse) {
            return self.finish(RolloutDecision::RollBack { reason: guard.reason });
        }
        let is_last = self.step + 1 == self.settings.steps.len();
        let lasted = now - self.since >= self.settings.steps[self.step].duration.into();
        let seen = |window: &Window| self.guards().map(|guard| guard.count(window).requests).min();
        let enough = seen(old).min(seen(new)) >= Some(self.settings.requests_min);
        if lasted && enough && !is_last {
            self.enter(self.step + 1, now);
            return RolloutDecision::Advance { percent: self.percent() };
        }
        let fine = |guard: Guard| {
            against(Claim::Worse, guard.count(old), guard.count(new), guard.margin, self.needed_fine())
                >= self.needed_fine()
        };
        if lasted && enough && self.guards().all(fine) {
            return self.finish(RolloutDecision::Promote);
        }
        if now >= self.until { RolloutDecision::Inconclusive } else { RolloutDecision::Hold }
    }

    /// An inconclusive step, or any, waits as long as `patience` from now on. The bounds hold on.
    pub fn extend(&mut self, now: Nanos) {
        self.until = self.until.max(now + self.settings.patience.into());
    }

    /// Rolled back because somebody wants it: [apply](RolloutDecision::apply) what is given back. After the end: the end.
    pub fn abort(&mut self) -> RolloutDecision {
        self.end.unwrap_or_else(|| self.finish(RolloutDecision::RollBack { reason: Reason::Aborted }))
    }

    /// As it is now. Costs some 50 µs a guard: for a person who looks, not for a request.
    pub fn status(&self, old: &Window, new: &Window) -> RolloutStatus {
        let tens = |log: f64| log / std::f64::consts::LN_10;
        let guard = |guard: Guard| {
            let of = |claim| tens(log_evidence(claim, guard.count(old), guard.count(new), guard.margin));
            GuardStatus {
                guard: guard.reason,
                worse: of(Claim::Fine),
                needed_worse: tens(self.needed_worse()),
                fine: of(Claim::Worse),
                needed_fine: tens(self.needed_fine()),
            }
        };
        RolloutStatus {
            step: self.step,
            steps: self.settings.steps.len(),
            percent: self.percent(),
            since: self.since,
            until: self.until,
            guards: self.guards().map(guard).collect(),
            end: self.end,
        }
    }

    /// A rollout of the split's last target against its first, which has its first step's share from now on.
    ///
    /// # Errors
    /// The two have less together than the last step needs, there is only one target, or a setting is out of its bounds.
    pub fn begin(
        settings: RolloutSettings,
        split: &Split,
        by: &str,
        now: Nanos,
    ) -> Result<(Self, Event), ChangeError> {
        let rollout = Self::new(settings, now)?;
        let largest = rollout.settings.steps.last().map_or(Percent::ZERO, |step| step.percent);
        let free = room(split, now);
        if split.targets().len() < 2 {
            return Err(
                SettingsError::new("targets", 1, "must be two at least: an old side and a new one").into()
            );
        }
        if largest > free {
            return Err(ChangeError::NoRoom { percent: largest, free });
        }
        let percent = rollout.percent();
        let decision = RolloutDecision::Advance { percent };
        let change = Change::Rollout { decision };
        let event = split.give_last(LastShare::Of(percent), None, change, by, now)?;
        Ok((rollout, event.expect("what it had was not asked")))
    }

    /// A look, and the split [follows](RolloutDecision::apply). If that fails the rollout has not moved either.
    ///
    /// # Errors
    /// Somebody took room away that the next step needs.
    pub fn steer(
        &mut self,
        split: &Split,
        (old, new): (&Window, &Window),
        by: &str,
        now: Nanos,
    ) -> Result<(RolloutDecision, Option<Event>), ChangeError> {
        if let Some(end) = self.end {
            return Ok((end, None));
        }
        if split.percents(now).last() != Some(&self.percent()) {
            return Ok((self.finish(RolloutDecision::Overtaken), None));
        }
        let mut next = self.clone();
        let decision = next.observe(now, old, new);
        let event = decision.apply_from(split, Some(self.percent()), by, now)?;
        if event.is_none() && decision.is_change() {
            // Somebody was faster, this very moment.
            return Ok((self.finish(RolloutDecision::Overtaken), None));
        }
        *self = next;
        Ok((decision, event))
    }

    /// [Aborts](Self::abort) it and gives the first target all again, unless somebody has overtaken it: then the split is left alone.
    ///
    /// # Errors
    /// None today: a share of nothing always fits.
    pub fn abort_on(
        &mut self,
        split: &Split,
        by: &str,
        now: Nanos,
    ) -> Result<(RolloutDecision, Option<Event>), ChangeError> {
        if let Some(end) = self.end {
            return Ok((end, None));
        }
        let decision = RolloutDecision::RollBack { reason: Reason::Aborted };
        let event = decision.apply_from(split, Some(self.percent()), by, now)?;
        Ok((self.finish(if event.is_some() { decision } else { RolloutDecision::Overtaken }), event))
    }

    fn finish(&mut self, end: RolloutDecision) -> RolloutDecision {
        *self.end.insert(end)
    }

    fn guards(&self) -> impl Iterator<Item = Guard> + use<> {
        let errors =
            self.settings.error_difference_max.map(|margin| Guard { reason: Reason::Errors, margin });
        let latency = self.settings.latency.map(|_| Guard { reason: Reason::Latency, margin: 0.0 });
        errors.into_iter().chain(latency)
    }

    /// In natural logarithms. The bound is shared out evenly: every guard is judged in every step.
    fn needed_worse(&self) -> f64 {
        let tests = self.settings.steps.len() * self.guards().count();
        (tests as f64 / self.settings.false_rollback_max).ln()
    }

    /// Not shared out: all guards have to be shown, and only in one step.
    fn needed_fine(&self) -> f64 {
        -self.settings.false_promotion_max.ln()
    }
}

/// What the first and the last target have together.
fn room(split: &Split, now: Nanos) -> Percent {
    let percents = split.percents(now);
    match percents[..] {
        [only] => only,
        [first, .., last] => Percent::of(first.hundredths() + last.hundredths()),
        [] => Percent::ZERO,
    }
}

#[derive(Clone, Copy, Debug)]
struct Guard {
    reason: Reason,
    margin: f64,
}

impl Guard {
    fn count(&self, window: &Window) -> Count {
        let (requests, bad) = match self.reason {
            Reason::Latency => (window.timed, window.slow),
            _ => (window.requests, window.errors),
        };
        Count { requests, bad: bad.min(requests) }
    }
}
