//! Failures in a row, counted on the request path: no lock, and a success writes nothing while all goes well.
//!
//! The three counts share one atomic word, so that each outcome is one step for all of them, whoever races. Nothing
//! else hangs on the word, so relaxed order is enough. As in Envoy:
//!
//! | outcome | failures | gateway failures | failures to connect |
//! |---|---|---|---|
//! | success | 0 | 0 | 0 |
//! | status 502, 503, 504 | +1 | +1 | 0: it did connect |
//! | another status | +1 | 0 | 0 |
//! | no connection | +1 | +1 | +1 |
//! | reset, time-out, not HTTP | +1 | +1 | 0 |
//! | cancelled | – | – | – |
//!
//! Where all failures of a streak were failures to connect, that is the cause, whichever threshold it was: it is what a check that can
//! connect disproves. A count that reaches its threshold is reported by exactly one of the racers and starts anew. So a backend that could not be
//! ejected then (too many are) is reported again if as many failures follow.

use super::{COUNT_MAX, Cause, OutlierDetection};
use lb_types::{FailureKind, Outcome};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The bits of one count; a count stays below its threshold, which is at most [`COUNT_MAX`].
const BITS: u32 = 16;
/// The place of failures to connect.
const CONNECT: usize = 2;

/// The streaks of one backend. Shared by reference; 16 bytes.
///
/// ```
/// use lb_health::outlier::{Cause, OutlierDetection, Streaks};
/// use lb_types::{FailureKind, Nanos, Outcome};
///
/// let streaks = Streaks::new(&OutlierDetection::default());
/// let failure = Outcome::Failure { kind: FailureKind::Status(500), after: Nanos::ZERO };
/// for _ in 0..4 {
///     assert_eq!(streaks.record(failure), None);
/// }
/// assert_eq!(streaks.record(failure), Some(Cause::ConsecutiveFailures { count: 5 }));
/// ```
#[derive(Debug)]
pub struct Streaks {
    /// Failures in the lowest bits, gateway failures above, failures to connect on top.
    counts: AtomicU64,
    /// In the same order; 0: not counted.
    thresholds: [u16; 3],
}

impl Streaks {
    /// No failures yet. A threshold above [`COUNT_MAX`], which [`OutlierDetection::validate`] refuses, acts as that.
    pub fn new(settings: &OutlierDetection) -> Self {
        let thresholds = [
            settings.consecutive_failures,
            settings.consecutive_gateway_failures,
            settings.consecutive_connect_failures,
        ];
        let thresholds = thresholds.map(|n| n.min(COUNT_MAX) as u16);
        Self { counts: AtomicU64::new(0), thresholds }
    }

    /// Counts an outcome. `Some`: a threshold is reached; where it is several at once, the most specific.
    #[inline]
    pub fn record(&self, outcome: Outcome) -> Option<Cause> {
        match outcome {
            Outcome::Success { .. } => {
                // Looking first keeps the cache line shared. A failure between look and write came before this success.
                if self.counts.load(Relaxed) != 0 {
                    self.counts.store(0, Relaxed);
                }
                None
            }
            Outcome::Failure { kind, .. } => self.failed(kind),
            Outcome::Cancelled { .. } => None,
        }
    }

    #[cold]
    fn failed(&self, kind: FailureKind) -> Option<Cause> {
        let counted = counted(kind);
        let mut seen = self.counts.load(Relaxed);
        loop {
            let (next, reached) = self.step(seen, counted);
            match self.counts.compare_exchange_weak(seen, next, Relaxed, Relaxed) {
                Ok(_) => return reached,
                Err(other) => seen = other,
            }
        }
    }

    /// The counts after a failure, and the threshold that it reached.
    fn step(&self, seen: u64, counted: [bool; 3]) -> (u64, Option<Cause>) {
        let (mut next, mut reached) = (0, None);
        let count_of = |i: usize| ((seen >> (BITS * i as u32)) as u16).saturating_add(1);
        let connects = if counted[CONNECT] { count_of(CONNECT) } else { 0 };
        for (i, &threshold) in self.thresholds.iter().enumerate() {
            // Failures to connect are counted in any case: they may be all that a streak is made of.
            if !counted[i] || (threshold == 0 && i != CONNECT) {
                continue; // starts anew
            }
            let shift = BITS * i as u32;
            let failures = count_of(i);
            if threshold == 0 || failures < threshold {
                next |= u64::from(failures) << shift;
            } else {
                let count = u32::from(threshold);
                reached = Some(match i {
                    _ if failures <= connects => Cause::ConsecutiveConnectFailures { count },
                    0 => Cause::ConsecutiveFailures { count },
                    1 => Cause::ConsecutiveGatewayFailures { count },
                    _ => Cause::ConsecutiveConnectFailures { count },
                });
            }
        }
        (next, reached)
    }

    /// Forgets all failures: to be called when the backend is ejected and when it is back, so that it needs new ones.
    pub fn clear(&self) {
        self.counts.store(0, Relaxed);
    }

    /// Failures in a row so far, of any kind. 0 where they are not counted.
    pub fn failures(&self) -> u32 {
        u32::from(self.counts.load(Relaxed) as u16)
    }
}

/// Which counts a failure goes into. A kind that is not known here kept an answer from coming.
fn counted(kind: FailureKind) -> [bool; 3] {
    match kind {
        FailureKind::Status(502..=504) => [true, true, false],
        FailureKind::Status(_) => [true, false, false],
        FailureKind::Connect => [true, true, true],
        _ => [true, true, false],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_types::Nanos;

    /// `S` success, `X` cancelled, `5` a 500, `3` a 503, `c` connect, `t` time-out. Gives what was reported: `f`, `g`, `c` or `.`.
    fn run(settings: &OutlierDetection, steps: &str) -> String {
        let streaks = Streaks::new(settings);
        let t = Nanos::ZERO;
        let failure = |kind| Outcome::Failure { kind, after: t };
        let report = |step| {
            let outcome = match step {
                'S' => Outcome::Success { ttfb: t },
                'X' => Outcome::Cancelled { after: t },
                '5' => failure(FailureKind::Status(500)),
                '3' => failure(FailureKind::Status(503)),
                'c' => failure(FailureKind::Connect),
                _ => failure(FailureKind::Timeout),
            };
            match streaks.record(outcome) {
                None => '.',
                Some(Cause::ConsecutiveFailures { .. }) => 'f',
                Some(Cause::ConsecutiveGatewayFailures { .. }) => 'g',
                Some(_) => 'c',
            }
        };
        steps.chars().map(report).collect()
    }

    #[test]
    fn what_counts_into_which_streak() {
        let d = OutlierDetection::new;
        for (settings, steps, expected) in [
            (d(), "55555", "....f"),
            (d(), "53ct5", "....f"),
            (d(), "ccccc", "....c"),
            (d(), "5Sccccc", "......c"),
            (d(), "5cccc", "....f"),
            (d(), "ccccc5cccc", "....c....f"),
            (d().consecutive(0, 3, 0), "ccc", "..c"),
            (d(), "5555S5555", "........."),
            (d(), "5555X5", ".....f"),
            (d(), "5555555555", "....f....f"),
            (d().consecutive(0, 3, 0), "333", "..g"),
            (d().consecutive(0, 3, 0), "33533", "....."),
            (d().consecutive(0, 3, 0), "3ct", "..g"),
            (d().consecutive(5, 3, 0), "33355", "..g.f"),
            (d().consecutive(0, 0, 2), "c3c", "..."),
            (d().consecutive(0, 0, 2), "c5cc", "...c"),
            (d().consecutive(0, 0, 2), "ctcSc", "....."),
            (d().consecutive(2, 2, 2), "cc", ".c"),
            (d().consecutive(1, 0, 0), "5S5", "f.f"),
            (d().consecutive(0, 0, 0), "5c35c3", "......"),
        ] {
            assert_eq!(run(&settings, steps), expected, "{steps}");
        }
    }

    #[test]
    fn clear_starts_anew() {
        let streaks = Streaks::new(&OutlierDetection::default());
        let failure = Outcome::Failure { kind: FailureKind::Reset, after: Nanos::ZERO };
        for _ in 0..4 {
            streaks.record(failure);
        }
        assert_eq!(streaks.failures(), 4);
        streaks.clear();
        assert_eq!((streaks.failures(), streaks.record(failure)), (0, None));
    }

    /// Every failure of every thread counts once: of 4 × 10 000, exactly each seventh is reported.
    #[test]
    fn racing_failures_are_neither_lost_nor_reported_twice() {
        let streaks = Streaks::new(&OutlierDetection::new().consecutive(7, 0, 5));
        let failure = Outcome::Failure { kind: FailureKind::Status(500), after: Nanos::ZERO };
        let reported: usize = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| scope.spawn(|| (0..10_000).filter(|_| streaks.record(failure).is_some()).count()))
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).sum()
        });
        assert_eq!((reported, streaks.failures()), (40_000 / 7, 40_000 % 7));
    }
}
