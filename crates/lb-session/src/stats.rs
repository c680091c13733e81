//! What is counted of a pool's sessions.

use crate::ignored::Ignored;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Statistics of one pool's sessions on this node.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SessionStats {
    /// Sessions in the table. Those that expired are counted until they are cleared away.
    pub active: u64,
    /// Sessions since the start.
    pub total: u64,
    /// Mean time from a session's first use on this node to its last so far, in seconds, over all of `total`.
    pub avg_duration: f64,
    /// Cleared sessions that are remembered still.
    pub tombstones: u64,
    /// Sessions that were cleared.
    pub cleared: u64,
    /// Sessions that ended by not being used.
    pub expired: u64,
    /// Sessions and tombstones that made room for others before their time.
    pub evicted: u64,
    /// Moves to another backend, as the session's own could not be used.
    pub moved: u64,
    /// What clients presented and was ignored, by reason.
    pub ignored: IgnoredCounts,
}

/// How often each reason of [`Ignored`] was met.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IgnoredCounts([u64; Ignored::ALL.len()]);

impl IgnoredCounts {
    /// How often this was the reason.
    pub const fn of(&self, why: Ignored) -> u64 {
        self.0[why.index()]
    }

    /// Each reason with its count.
    pub fn iter(&self) -> impl Iterator<Item = (Ignored, u64)> + '_ {
        Ignored::ALL.into_iter().map(|why| (why, self.of(why)))
    }

    /// All together.
    pub fn sum(&self) -> u64 {
        self.0.iter().sum()
    }
}

/// As a map from reason to count.
#[cfg(feature = "serde")]
impl serde::Serialize for IgnoredCounts {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_map(self.iter().map(|(why, count)| (why.as_str(), count)))
    }
}

/// The counters behind the statistics that the table does not keep.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) cleared: AtomicU64,
    pub(crate) moved: AtomicU64,
    ignored: [AtomicU64; Ignored::ALL.len()],
}

impl Counters {
    pub(crate) fn ignored(&self, why: Ignored) {
        self.ignored[why.index()].fetch_add(1, Relaxed);
    }

    pub(crate) fn ignored_counts(&self) -> IgnoredCounts {
        IgnoredCounts(std::array::from_fn(|at| self.ignored[at].load(Relaxed)))
    }
}
