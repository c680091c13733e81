//! What the split does now: one immutable value, so that a reader never sees half a change.
//!
//! A plan is a way from some shares to others and how far it is gone: all the way (settled), with time (a shift), or at a
//! standstill (paused). Only its [`Spread`] changes; a new plan begins with an empty one, so that shares are exact from the
//! change on.

use crate::cohorts::{Cohorts, Move, PARTS, moves, shares_at};
use crate::percent::POINTS;
use crate::spread::{Shares, Spread};
use lb_types::Nanos;
use std::sync::Arc;

#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) from: Shares,
    pub(crate) to: Shares,
    pub(crate) pace: Pace,
    moves: Vec<Move>,
    /// Targets that have a share at some time of this plan.
    rivals: usize,
    spread: Spread,
    /// Of sticky splits only.
    cohorts: Option<Arc<Cohorts>>,
}

/// How far the way is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pace {
    Settled,
    Shifting { began: Nanos, over: Nanos },
    Paused { elapsed: Nanos, over: Nanos },
}

impl Pace {
    /// Time that the shift has gone on for, and its length.
    pub(crate) fn of_shift(self, now: Nanos) -> Option<(Nanos, Nanos)> {
        match self {
            Self::Settled => None,
            Self::Shifting { began, over } => Some(((now - began).min(over), over)),
            Self::Paused { elapsed, over } => Some((elapsed, over)),
        }
    }

    #[inline]
    fn parts(self, now: Nanos) -> u16 {
        let Some((elapsed, over)) = self.of_shift(now) else { return PARTS };
        // Parts of whole nanoseconds: one division, and ten microseconds early at most.
        let part = (over.0 / u64::from(PARTS)).max(1);
        (elapsed.0 / part).min(u64::from(PARTS)) as u16
    }
}

impl Plan {
    /// The first plan of a split.
    pub(crate) fn new(shares: &Shares, sticky: bool) -> Self {
        Self::build(shares, shares, Vec::new(), Pace::Settled, sticky.then(|| Arc::new(Cohorts::new(shares))))
    }

    /// From where this plan stands to other shares.
    pub(crate) fn towards(&self, to: &Shares, pace: Pace, now: Nanos) -> Self {
        let (parts, from) = (self.pace.parts(now), self.shares(now));
        let moves = moves(&from, to);
        let cohorts = self.cohorts.as_ref().map(|cohorts| Arc::new(cohorts.then(parts, &moves)));
        Self::build(&from, to, moves, pace, cohorts)
    }

    /// Back to where this plan began, with everybody who had moved.
    pub(crate) fn undone(&self) -> Self {
        let cohorts = self.cohorts.as_ref().map(|cohorts| Arc::new(cohorts.then(0, &[])));
        Self::build(&self.from, &self.from, Vec::new(), Pace::Settled, cohorts)
    }

    /// The same way at another pace.
    pub(crate) fn at(&self, pace: Pace) -> Self {
        Self::build(&self.from, &self.to, self.moves.clone(), pace, self.cohorts.clone())
    }

    fn build(
        from: &Shares,
        to: &Shares,
        moves: Vec<Move>,
        pace: Pace,
        cohorts: Option<Arc<Cohorts>>,
    ) -> Self {
        for shares in [from, to] {
            debug_assert_eq!(shares.iter().sum::<u16>(), POINTS);
        }
        let ever = |(&from, &to): (&u16, &u16)| to > 0 || (pace != Pace::Settled && from > 0);
        let rivals = from.iter().zip(to).filter(|&pair| ever(pair)).count();
        Self { from: *from, to: *to, pace, moves, rivals, spread: Spread::default(), cohorts }
    }

    pub(crate) fn shares(&self, now: Nanos) -> Shares {
        match self.pace.parts(now) {
            PARTS => self.to,
            parts => shares_at(&self.from, &self.moves, parts),
        }
    }

    #[inline]
    pub(crate) fn choose(&self, point: Option<u32>, now: Nanos) -> usize {
        match (point, &self.cohorts) {
            (Some(point), Some(cohorts)) => cohorts.target(point, self.pace.parts(now)),
            _ => self.spread.next(&self.shares(now), self.rivals),
        }
    }
}
