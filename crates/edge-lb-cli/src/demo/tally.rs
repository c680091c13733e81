//! What the demo's clients saw: every response is counted, and every request that got none.

use edge_lb::core::Histogram;
use edge_lb::types::Nanos;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// How many losses are kept with their reasons; the rest is only counted.
const REASONS_MAX: usize = 5;

/// Counters that all clients write.
pub(crate) struct Tally {
    backends: Box<[Answered]>,
    lost: AtomicU64,
    reasons: Mutex<Vec<String>>,
    start: Instant,
}

/// What one backend answered.
struct Answered {
    id: String,
    responses: AtomicU64,
    latency: Histogram,
    /// Set to [`ARMED`] by [`Tally::arm`], then by the next response to its time in ns since the start.
    next: AtomicU64,
}

const IDLE: u64 = u64::MAX;
const ARMED: u64 = u64::MAX - 1;

impl Tally {
    /// Zeros, for backends with these ids; the time is counted from now.
    pub(crate) fn new<'a>(ids: impl Iterator<Item = &'a str>) -> Self {
        let answered = |id: &str| Answered {
            id: id.to_owned(),
            responses: AtomicU64::new(0),
            latency: Histogram::default(),
            next: AtomicU64::new(IDLE),
        };
        Self {
            backends: ids.map(answered).collect(),
            lost: AtomicU64::new(0),
            reasons: Mutex::default(),
            start: Instant::now(),
        }
    }

    /// The time since the start.
    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Counts a right answer of the backend `id`; `false` if there is no such backend.
    pub(crate) fn answered(&self, id: &str, took: Duration) -> bool {
        let Some(b) = self.backends.iter().find(|b| b.id == id) else { return false };
        b.responses.fetch_add(1, Relaxed);
        b.latency.record(took.into());
        if b.next.load(Relaxed) == ARMED {
            let now = Nanos::from(self.elapsed()).0;
            // Only the first of several at once gets to say when.
            let _ = b.next.compare_exchange(ARMED, now, Relaxed, Relaxed);
        }
        true
    }

    /// Counts a request without a right answer.
    pub(crate) fn lost(&self, reason: String) {
        self.lost.fetch_add(1, Relaxed);
        let mut reasons = self.reasons.lock().unwrap_or_else(PoisonError::into_inner);
        if reasons.len() < REASONS_MAX {
            reasons.push(reason);
        }
    }

    /// Watches for the backend's next answer, if it is not watched for already.
    pub(crate) fn arm(&self, backend: usize) {
        // A failure: it is watched for, or has come.
        let _ = self.backends[backend].next.compare_exchange(IDLE, ARMED, Relaxed, Relaxed);
    }

    /// Watches no more, and forgets what has come.
    pub(crate) fn disarm(&self, backend: usize) {
        self.backends[backend].next.store(IDLE, Relaxed);
    }

    /// When the backend's first answer after [`arm`](Self::arm) came, from the start; `None` until then.
    pub(crate) fn first_since_armed(&self, backend: usize) -> Option<Duration> {
        match self.backends[backend].next.load(Relaxed) {
            IDLE | ARMED => None,
            at => Some(Duration::from_nanos(at)),
        }
    }

    /// How many answers the backend gave.
    pub(crate) fn responses(&self, backend: usize) -> u64 {
        self.backends[backend].responses.load(Relaxed)
    }

    /// How long the backend's answers took, as its clients saw it.
    pub(crate) fn latency(&self, backend: usize) -> edge_lb::core::HistogramSnapshot {
        self.backends[backend].latency.snapshot()
    }

    /// How many requests were lost.
    pub(crate) fn lost_count(&self) -> u64 {
        self.lost.load(Relaxed)
    }

    /// Why the first of them were lost.
    pub(crate) fn reasons(&self) -> Vec<String> {
        self.reasons.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_and_losses_are_counted() {
        let tally = Tally::new(["a", "b"].into_iter());
        assert!(tally.answered("a", Duration::from_millis(3)));
        assert!(!tally.answered("x", Duration::from_millis(3)));
        for i in 0..9 {
            tally.lost(format!("reason {i}"));
        }
        assert_eq!((tally.responses(0), tally.responses(1)), (1, 0));
        assert_eq!((tally.lost_count(), tally.reasons().len()), (9, REASONS_MAX));
        assert_eq!(tally.latency(0).count(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_answer_after_arming_says_when() {
        let tally = Tally::new(["a", "b"].into_iter());
        tally.answered("b", Duration::ZERO);
        tally.arm(1);
        assert_eq!(tally.first_since_armed(1), None);
        tokio::time::advance(Duration::from_secs(2)).await;
        tally.answered("a", Duration::ZERO);
        assert_eq!(tally.first_since_armed(1), None);
        tally.answered("b", Duration::ZERO);
        tokio::time::advance(Duration::from_secs(2)).await;
        tally.answered("b", Duration::ZERO);
        tally.arm(1);
        assert_eq!(tally.first_since_armed(1), Some(Duration::from_secs(2)));
        tally.disarm(1);
        tally.answered("b", Duration::ZERO);
        assert_eq!(tally.first_since_armed(1), None);
    }
}
