//! What can go wrong: with a pick, or with a change to a pool.

use lb_types::{BackendId, Exclusion};
use std::fmt;

/// Why no backend could be picked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SelectError {
    /// The pool is empty.
    #[error("the pool has no backends")]
    NoBackends,
    /// Every backend is excluded.
    #[error("no backend is usable: {0}")]
    NoneUsable(ExclusionCounts),
    /// The request belongs to one backend and may go to no other.
    #[error("the backend that this request belongs to {0}")]
    Bound(Refusal),
}

/// Why a request does not go to the very backend that it was meant for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pool does not have it (any more).
    Gone,
    /// It is there, and may not take the request.
    Excluded(Exclusion),
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone => f.write_str("is gone"),
            Self::Excluded(why) => write!(f, "may not take it: {why}"),
        }
    }
}

impl SelectError {
    /// `true` when breakers stand in the way: at least one is open, and no backend is just busy. The fallback response's case.
    pub fn is_breaker_open(&self) -> bool {
        match self {
            Self::NoneUsable(c) => c.of(Exclusion::BreakerOpen) > 0 && !self.is_at_limit(),
            Self::Bound(why) => *why == Refusal::Excluded(Exclusion::BreakerOpen),
            Self::NoBackends => false,
        }
    }

    /// What a request is told that must not overtake those in the queue.
    pub fn reserved() -> Self {
        let mut counts = ExclusionCounts::default();
        counts.add(Exclusion::Reserved);
        Self::NoneUsable(counts)
    }

    /// `true` when backends are there and healthy, but as busy as they may be: waiting would help.
    pub fn is_at_limit(&self) -> bool {
        match self {
            Self::NoneUsable(c) => c.of(Exclusion::ConnectionLimit) + c.of(Exclusion::Reserved) > 0,
            Self::Bound(why) => *why == Refusal::Excluded(Exclusion::ConnectionLimit),
            Self::NoBackends => false,
        }
    }
}

/// How many backends were excluded for which reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExclusionCounts([u32; Exclusion::ALL.len()]);

impl ExclusionCounts {
    /// Counts one.
    pub fn add(&mut self, why: Exclusion) {
        if let Some(at) = Exclusion::ALL.iter().position(|&e| e == why) {
            self.0[at] += 1;
        }
    }

    /// Counts those that somebody else has counted.
    pub fn merge(&mut self, others: &Self) {
        for (mine, more) in self.0.iter_mut().zip(others.0) {
            *mine += more;
        }
    }

    /// How many for this reason.
    pub fn of(&self, why: Exclusion) -> u32 {
        self.iter().find(|&(e, _)| e == why).map_or(0, |(_, n)| n)
    }

    /// The reasons that hold, with their counts.
    pub fn iter(&self) -> impl Iterator<Item = (Exclusion, u32)> {
        Exclusion::ALL.into_iter().zip(self.0).filter(|&(_, n)| n > 0)
    }
}

impl fmt::Display for ExclusionCounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (why, n)) in self.iter().enumerate() {
            write!(f, "{}{n} {why}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

/// Why a change to a pool was refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PoolError {
    /// An id is there already, or twice in one list.
    #[error("backend id \"{0}\" is used twice")]
    DuplicateId(BackendId),
    /// No backend has this id.
    #[error("there is no backend \"{0}\"")]
    UnknownId(BackendId),
    /// An id without any character.
    #[error("a backend id must not be empty")]
    EmptyId,
    /// Nobody could get traffic.
    #[error("all {0} backends have weight 0: at least one needs a weight of 1 or more")]
    AllZeroWeights(usize),
    /// A backend whose limit lets nobody in.
    #[error(
        "backend \"{0}\": max_connections = 0: must be 1 or more (disabled = true keeps it without traffic)"
    )]
    NoConnections(BackendId),
    /// A setting has a value that it cannot have.
    #[error("{field} = {value}: {reason}")]
    Setting {
        /// The setting's name in the configuration file.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        reason: &'static str,
    },
}
