//! What a detector counts.

use std::sync::atomic::{AtomicU64, Ordering};

/// Counts of a detector since it was built. They are read one by one: of look-ups under way some may be counted in part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Statistics {
    /// Addresses that were asked for.
    pub lookups: u64,
    /// Answers from the cache.
    pub hits: u64,
    /// Answers for which databases or providers were asked. (Overridden, private and reserved addresses are neither hit nor miss.)
    pub misses: u64,
    /// Answers of a look-up which somebody else had begun, and for whom alone it is a hit or a miss.
    pub joined: u64,
    /// Answers that say nothing.
    pub unknown: u64,
    /// Failures of databases and providers.
    pub errors: u64,
}

/// The same, while it is counted. No order between them is needed.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) lookups: AtomicU64,
    pub(super) hits: AtomicU64,
    pub(super) misses: AtomicU64,
    pub(super) joined: AtomicU64,
    pub(super) unknown: AtomicU64,
    pub(super) errors: AtomicU64,
}

impl Counters {
    pub(super) fn add(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn read(&self) -> Statistics {
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Statistics {
            lookups: read(&self.lookups),
            hits: read(&self.hits),
            misses: read(&self.misses),
            joined: read(&self.joined),
            unknown: read(&self.unknown),
            errors: read(&self.errors),
        }
    }
}
