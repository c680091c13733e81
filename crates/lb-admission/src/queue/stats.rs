//! What is counted of a queue.

/// Statistics of a queue since it was made.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct QueueStats {
    /// How many wait now, over all levels.
    pub waiting: usize,
    /// How many may wait.
    pub max_size: usize,
    /// Each level, highest first.
    pub levels: Vec<LevelStats>,
}

/// Statistics of one level. Of those who joined, each waits, was served, was refused or left.
#[derive(Clone, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct LevelStats {
    /// Its name.
    pub name: String,
    /// How many of it wait now.
    pub waiting: usize,
    /// The longest wait of those, in milliseconds.
    pub oldest_wait_ms: u64,
    /// The newest goes first and long waits are refused, as the level is overloaded.
    pub overloaded: bool,
    /// How many joined.
    pub joined: u64,
    /// How many were served.
    pub served: u64,
    /// How many left of their own accord: cancelled.
    pub left: u64,
    /// Who was refused, by reason.
    pub refused: RefusedCounts,
    /// The mean wait of those who were served, in milliseconds.
    pub wait_mean_ms: f64,
    /// The longest wait of those who were served, in milliseconds.
    pub wait_max_ms: u64,
}

/// How many were refused, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RefusedCounts {
    /// The queue was full: they never joined.
    pub full: u64,
    /// They made room for a higher level.
    pub displaced: u64,
    /// Their time was over.
    pub timeout: u64,
    /// They waited too long for an overloaded level.
    pub overload: u64,
}

/// The counters of one level.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Counts {
    pub(super) joined: u64,
    pub(super) served: u64,
    pub(super) left: u64,
    pub(super) refused: RefusedCounts,
    pub(super) wait_us_sum: u64,
    pub(super) wait_us_max: u64,
}
