//! The sessions as lists and numbers, for those who look after them.

use super::SessionManager;
use crate::stats::SessionStats;
use crate::table::{Seen, TICK};
use crate::{Moment, SessionId};
use lb_types::{BackendId, Nanos};
use std::sync::atomic::Ordering::Relaxed;

/// A session, for lists.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct SessionView {
    /// Its id.
    pub id: SessionId,
    /// Its backend.
    pub backend: BackendId,
    /// When it began, Unix s.
    pub created: u32,
    /// For how long it was not used on this node, in seconds.
    pub idle_s: u32,
}

impl SessionManager {
    /// What was counted so far.
    pub fn session_stats(&self) -> SessionStats {
        let counts = self.table.counts();
        let sum = Nanos(counts.ticks.saturating_mul(TICK.0)).as_secs_f64();
        SessionStats {
            active: counts.active,
            total: counts.total,
            avg_duration: if counts.total == 0 { 0.0 } else { sum / counts.total as f64 },
            tombstones: counts.tombstones,
            cleared: self.counters.cleared.load(Relaxed),
            expired: counts.expired,
            evicted: counts.evicted,
            moved: self.counters.moved.load(Relaxed),
            ignored: self.counters.ignored_counts(),
        }
    }

    /// Up to `limit` sessions, in no order that means anything. It may miss or repeat one that comes, goes or is replaced meanwhile:
    /// requests are held up for microseconds at a time, however long the list is.
    pub fn sessions(&self, limit: usize, at: Moment) -> Vec<SessionView> {
        self.list(None, limit, at)
    }

    /// Up to `limit` sessions of this backend, as [`sessions`](Self::sessions). Looks at every session.
    pub fn sessions_of(&self, backend: &BackendId, limit: usize, at: Moment) -> Vec<SessionView> {
        self.list(Some(backend), limit, at)
    }

    /// How many sessions this backend has: what a drain waits for. Looks at every session.
    pub fn sessions_on(&self, backend: &BackendId, at: Moment) -> usize {
        let mut count = 0;
        self.table.each(at.now, Some(backend), |seen| {
            count += usize::from(!self.is_older(seen.created, at));
            true
        });
        count
    }

    fn list(&self, of: Option<&BackendId>, limit: usize, at: Moment) -> Vec<SessionView> {
        let mut list = Vec::new();
        if limit > 0 {
            self.table.each(at.now, of, |Seen { id, backend, created, idle }| {
                if !self.is_older(created, at) {
                    // `ttl` bounds it: a year at most.
                    let idle_s = u32::try_from(idle.as_millis() / 1_000).unwrap_or(u32::MAX);
                    list.push(SessionView { id, backend, created, idle_s });
                }
                list.len() < limit
            });
        }
        list
    }

    /// Clears away what has expired; it is not needed for the bound or for correctness, and makes `active` exact. For a timer.
    pub fn sweep(&self, at: Moment) {
        self.table.sweep(at.now);
    }
}
