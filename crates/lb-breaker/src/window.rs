//! Calls, failures and slow calls of late: over a sliding time window of buckets, or over the last N calls.
//!
//! Both are atomics in bounded memory. Every record names a *generation*; records of another one are not seen, so that a
//! window is cleared by using the next generation. What a racer that was overtaken by such a change between its look and
//! its write can do is bounded: its one record is dropped, or counted once.
//!
//! - [`TimeWindow`]: 10 buckets, so that it holds between nine tenths of the period and all of it. Counts saturate at
//!   4 194 303 a bucket. A bucket that lay untouched for exactly 2³² bucket widths (16 months at the shortest period) would be
//!   taken for a fresh one.
//! - [`CountWindow`]: the last N calls; a look scans N words.

use crate::sync::{AtomicU32, AtomicU64, Ordering::SeqCst, fence_for_loom};
use lb_types::Nanos;

/// Steps in which a window moves.
const BUCKETS: usize = 10;
const COUNT_BITS: u32 = 22;
const COUNT: u64 = (1 << COUNT_BITS) - 1;
const GENERATION: u32 = (1 << 10) - 1;

/// Events in a sliding time window. A word is generation (10 bits), number of the bucket's time slice (32), count (22).
#[derive(Debug)]
pub(crate) struct Counter {
    words: [AtomicU64; BUCKETS],
    width_ns: u64,
}

impl Counter {
    pub(crate) fn new(period: Nanos) -> Self {
        let words = std::array::from_fn(|_| AtomicU64::new(0));
        Self { words, width_ns: (period.0 / BUCKETS as u64).max(1) }
    }

    fn slice(&self, now: Nanos) -> (usize, u32) {
        let slice = now.0 / self.width_ns;
        ((slice % BUCKETS as u64) as usize, slice as u32)
    }

    #[inline]
    pub(crate) fn add(&self, now: Nanos, generation: u32) {
        let (at, slice) = self.slice(now);
        let tag = tag(generation, slice);
        let mut word = self.words[at].load(SeqCst);
        loop {
            let next = if word >> COUNT_BITS == tag {
                if word & COUNT == COUNT {
                    return;
                }
                word + 1
            } else if is_ahead(word, generation, slice) {
                return;
            } else {
                tag << COUNT_BITS | 1
            };
            match self.words[at].compare_exchange_weak(word, next, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Takes back what was added at `then`; nothing if that has left the window.
    pub(crate) fn take_back(&self, then: Nanos, generation: u32) {
        let (at, slice) = self.slice(then);
        let tag = tag(generation, slice);
        let mut word = self.words[at].load(SeqCst);
        while word >> COUNT_BITS == tag && word & COUNT > 0 {
            match self.words[at].compare_exchange_weak(word, word - 1, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    #[inline]
    pub(crate) fn sum(&self, now: Nanos, generation: u32) -> u32 {
        fence_for_loom();
        let (_, slice) = self.slice(now);
        let generation = u64::from(generation & GENERATION);
        let mut sum = 0;
        for word in &self.words {
            let word = word.load(SeqCst);
            // A racer may be one slice ahead of this reader.
            let age = slice.wrapping_sub((word >> COUNT_BITS) as u32) as i32;
            if word >> (COUNT_BITS + 32) == generation && age.unsigned_abs() < BUCKETS as u32 {
                // At most 10 × 4 194 303.
                sum += (word & COUNT) as u32;
            }
        }
        sum
    }
}

fn tag(generation: u32, slice: u32) -> u64 {
    u64::from(generation & GENERATION) << 32 | u64::from(slice)
}

/// Whether the bucket belongs to a later time, or to a later generation: then a straggler's record is dropped.
fn is_ahead(word: u64, generation: u32, slice: u32) -> bool {
    let ahead = ((word >> COUNT_BITS) as u32).wrapping_sub(slice) as i32;
    let generations = ((word >> (COUNT_BITS + 32)) as u32).wrapping_sub(generation) & GENERATION;
    match generations {
        0 => ahead > 0,
        // Less than half a round ahead is later; a bucket of an older time is old whatever its number says.
        n => word & COUNT > 0 && ahead >= 0 && n <= GENERATION / 2,
    }
}

/// What a window holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Totals {
    /// All calls.
    pub calls: u32,
    /// Those that failed.
    pub failures: u32,
    /// Those that were slow, failed or not.
    pub slow: u32,
}

impl Totals {
    /// Percent of failed calls; `None` below `minimum_calls` (or without any call).
    pub fn failure_percent(&self, minimum_calls: u32) -> Option<f64> {
        self.percent(self.failures, minimum_calls)
    }

    /// Percent of slow calls; `None` below `minimum_calls` (or without any call).
    pub fn slow_percent(&self, minimum_calls: u32) -> Option<f64> {
        self.percent(self.slow, minimum_calls)
    }

    fn percent(&self, part: u32, minimum_calls: u32) -> Option<f64> {
        (self.calls >= minimum_calls.max(1)).then(|| f64::from(part) * 100.0 / f64::from(self.calls))
    }

    /// Whether `part` of these calls is at least `percent`: in integers, so that 50 % is 50 %.
    pub(crate) fn reaches(&self, part: u32, percent: u8, minimum_calls: u32) -> bool {
        self.calls >= minimum_calls.max(1)
            && u64::from(part) * 100 >= u64::from(percent) * u64::from(self.calls)
    }
}

/// Totals over a sliding time window. See the module's documentation.
///
/// ```
/// use lb_breaker::window::TimeWindow;
/// use lb_types::Nanos;
///
/// let window = TimeWindow::new(Nanos::from_secs(10));
/// window.record(Nanos::from_secs(1), 0, true, false);
/// window.record(Nanos::from_secs(9), 0, false, false);
/// assert_eq!(window.totals(Nanos::from_secs(9), 0).failure_percent(2), Some(50.0));
/// assert_eq!(window.totals(Nanos::from_secs(12), 0).calls, 1);
/// ```
#[derive(Debug)]
pub struct TimeWindow {
    calls: Counter,
    failures: Counter,
    slow: Counter,
}

impl TimeWindow {
    /// A window over `period` (below 10 ns it is 10 ns).
    pub fn new(period: Nanos) -> Self {
        Self { calls: Counter::new(period), failures: Counter::new(period), slow: Counter::new(period) }
    }

    /// Counts one call that ended at `now`.
    #[inline]
    pub fn record(&self, now: Nanos, generation: u32, failed: bool, slow: bool) {
        // The call first: a reader that comes in between sees a rate too low, not one above 100 %.
        self.calls.add(now, generation);
        if failed {
            self.failures.add(now, generation);
        }
        if slow {
            self.slow.add(now, generation);
        }
    }

    /// What the window holds at `now`.
    #[inline]
    pub fn totals(&self, now: Nanos, generation: u32) -> Totals {
        let (failures, slow) = (self.failures.sum(now, generation), self.slow.sum(now, generation));
        Totals { calls: self.calls.sum(now, generation).max(failures).max(slow), failures, slow }
    }
}

const FAILED: u32 = 1;
const SLOW: u32 = 2;
const TAKEN: u32 = 4;
const TAG_SHIFT: u32 = 3;

/// Totals over the last N calls. See the module's documentation.
///
/// ```
/// use lb_breaker::window::CountWindow;
///
/// let window = CountWindow::new(10);
/// for failed in [false, false, true, true, true, true, true, true, false, false, false, false] {
///     window.record(0, failed, false);
/// }
/// assert_eq!(window.totals(0).failure_percent(10), Some(60.0));
/// ```
#[derive(Debug)]
pub struct CountWindow {
    /// Generation (29 bits), taken, slow, failed.
    words: Box<[AtomicU32]>,
    next: AtomicU32,
}

impl CountWindow {
    /// A window over the last `n` calls (at least 1).
    pub fn new(n: u32) -> Self {
        let words = (0..n.max(1)).map(|_| AtomicU32::new(0)).collect();
        Self { words, next: AtomicU32::new(0) }
    }

    /// Counts one call.
    pub fn record(&self, generation: u32, failed: bool, slow: bool) {
        let n = self.words.len() as u32;
        // Wraps within 0..n itself, so that 2³² need not be a multiple of n.
        let at = match self.next.fetch_update(SeqCst, SeqCst, |at| Some((at + 1) % n)) {
            Ok(at) | Err(at) => at,
        };
        let verdict = if failed { FAILED } else { 0 } | if slow { SLOW } else { 0 };
        self.words[at as usize].store(generation << TAG_SHIFT | TAKEN | verdict, SeqCst);
    }

    /// What the window holds.
    pub fn totals(&self, generation: u32) -> Totals {
        fence_for_loom();
        let tag = generation << TAG_SHIFT >> TAG_SHIFT;
        let mut totals = Totals::default();
        for word in &self.words {
            let word = word.load(SeqCst);
            if word & TAKEN != 0 && word >> TAG_SHIFT == tag {
                totals.calls += 1;
                totals.failures += word & FAILED;
                totals.slow += (word & SLOW) / SLOW;
            }
        }
        totals
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The vector of the count-window breaker of 10.
    #[test]
    fn rate_over_the_last_ten_calls() {
        let window = CountWindow::new(10);
        let feed = |verdicts: &str| {
            verdicts.bytes().for_each(|v| window.record(0, v == b'F', false));
            window.totals(0).failure_percent(10)
        };
        assert_eq!(feed("SSFF"), None, "not yet defined");
        assert_eq!(feed("FFFFSSSS"), Some(60.0));
        assert_eq!(feed("SSS"), Some(30.0));
    }

    #[test]
    fn half_is_half() {
        let totals = Totals { calls: 6, failures: 3, slow: 2 };
        assert!(totals.reaches(3, 50, 6) && !totals.reaches(3, 50, 7) && !totals.reaches(2, 34, 1));
        assert_eq!((totals.slow_percent(7), Totals::default().slow_percent(0)), (None, None));
    }

    #[test]
    fn a_straggler_neither_opens_an_old_bucket_nor_enters_a_new_generation() {
        let window = TimeWindow::new(Nanos::from_secs(10));
        let at = Nanos::from_secs;
        window.record(at(20), 0, true, false);
        window.record(at(10), 0, true, false);
        assert_eq!(window.totals(at(20), 0).calls, 1, "the same bucket, one round earlier");
        window.record(at(20), 1, false, false);
        window.record(at(20), 0, true, false);
        assert_eq!(window.totals(at(20), 1), Totals { calls: 1, failures: 0, slow: 0 });
        window.record(at(25), 700, true, true);
        assert_eq!(window.totals(at(25), 700).calls, 1, "an untouched bucket of generation 0 is not later");
    }

    #[test]
    fn counts_saturate() {
        let counter = Counter::new(Nanos::from_secs(10));
        counter.words[0].store(COUNT, SeqCst);
        counter.add(Nanos::ZERO, 0);
        assert_eq!(counter.sum(Nanos::ZERO, 0), COUNT as u32);
    }

    proptest! {
        /// Against a list of calls, of which those in the ten latest slices are counted.
        #[test]
        fn time_window_as_a_list(steps in prop::collection::vec((0u64..700, any::<bool>(), any::<bool>(), 0u8..12), 1..100)) {
            let window = TimeWindow::new(Nanos::from_millis(1_000));
            let (mut now, mut generation, mut calls) = (0, 0, Vec::new());
            for (step, failed, slow, kind) in steps {
                now += step;
                if kind == 0 {
                    generation += 1;
                    calls.clear();
                }
                window.record(Nanos::from_millis(now), generation, failed, slow);
                calls.push((now, failed, slow));
                calls.retain(|&(at, ..)| now / 100 - at / 100 < 10);
                let expected = Totals {
                    calls: calls.len() as u32,
                    failures: calls.iter().filter(|c| c.1).count() as u32,
                    slow: calls.iter().filter(|c| c.2).count() as u32,
                };
                prop_assert_eq!(window.totals(Nanos::from_millis(now), generation), expected);
            }
        }

        #[test]
        fn count_window_as_a_list(n in 1usize..20, calls in prop::collection::vec((any::<bool>(), any::<bool>()), 1..80)) {
            let window = CountWindow::new(n as u32);
            for (i, &(failed, slow)) in calls.iter().enumerate() {
                window.record(3, failed, slow);
                let last = &calls[(i + 1).saturating_sub(n)..=i];
                let expected = Totals {
                    calls: last.len() as u32,
                    failures: last.iter().filter(|c| c.0).count() as u32,
                    slow: last.iter().filter(|c| c.1).count() as u32,
                };
                prop_assert_eq!(window.totals(3), expected);
            }
            prop_assert_eq!(window.totals(4), Totals::default());
        }
    }
}
