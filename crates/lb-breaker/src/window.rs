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

/// Cuts time into the slices that buckets are of.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slicer {
    width_ns: u64,
}

/// One slice of time: its number, and the bucket that it goes to.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slice {
    bucket: usize,
    number: u32,
}

impl Slicer {
    pub(crate) fn new(period: Nanos) -> Self {
        Self { width_ns: (period.0 / BUCKETS as u64).max(1) }
    }

    /// A division: done once for all that is counted at one instant.
    #[inline]
    pub(crate) fn slice(self, now: Nanos) -> Slice {
        let number = now.0 / self.width_ns;
        Slice { bucket: (number % BUCKETS as u64) as usize, number: number as u32 }
    }
}

/// Events in a sliding time window. A word is generation (10 bits), number of the bucket's slice (32), count (22).
#[derive(Debug)]
pub(crate) struct Counter {
    words: [AtomicU64; BUCKETS],
}

impl Counter {
    pub(crate) fn new() -> Self {
        Self { words: std::array::from_fn(|_| AtomicU64::new(0)) }
    }

    #[inline]
    pub(crate) fn add(&self, slice: Slice, generation: u32) {
        let tag = tag(generation, slice.number);
        let bucket = &self.words[slice.bucket];
        let mut word = bucket.load(SeqCst);
        loop {
            let next = if word >> COUNT_BITS == tag {
                if word & COUNT == COUNT {
                    return;
                }
                word + 1
            } else if is_ahead(word, generation, slice.number) {
                return;
            } else {
                tag << COUNT_BITS | 1
            };
            match bucket.compare_exchange_weak(word, next, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// Takes back what was added in `slice`; nothing if that has left the window.
    pub(crate) fn take_back(&self, slice: Slice, generation: u32) {
        let tag = tag(generation, slice.number);
        let bucket = &self.words[slice.bucket];
        let mut word = bucket.load(SeqCst);
        while word >> COUNT_BITS == tag && word & COUNT > 0 {
            match bucket.compare_exchange_weak(word, word - 1, SeqCst, SeqCst) {
                Ok(_) => return,
                Err(now) => word = now,
            }
        }
    }

    /// How many within the window that ends with `slice`.
    #[inline]
    pub(crate) fn sum(&self, slice: Slice, generation: u32) -> u32 {
        fence_for_loom();
        let generation = u64::from(generation & GENERATION);
        let mut sum = 0;
        for word in &self.words {
            let word = word.load(SeqCst);
            // A racer may be a slice ahead of this reader.
            let age = slice.number.wrapping_sub((word >> COUNT_BITS) as u32) as i32;
            let counts = word >> (COUNT_BITS + 32) == generation && age.unsigned_abs() < BUCKETS as u32;
            // At most 10 × 4 194 303.
            sum += if counts { (word & COUNT) as u32 } else { 0 };
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
    slicer: Slicer,
    calls: Counter,
    failures: Counter,
    slow: Counter,
}

impl TimeWindow {
    /// A window over `period` (below 10 ns it is 10 ns).
    pub fn new(period: Nanos) -> Self {
        let [calls, failures, slow] = std::array::from_fn(|_| Counter::new());
        Self { slicer: Slicer::new(period), calls, failures, slow }
    }

    /// Counts one call that ended at `now`.
    pub fn record(&self, now: Nanos, generation: u32, failed: bool, slow: bool) {
        self.add(self.slicer.slice(now), generation, failed, slow);
    }

    /// Counts one call; gives what the window holds then, or `None` if not one call in it failed or was slow (which is most
    /// of the time, and saves a sum).
    #[inline]
    pub(crate) fn record_and_look(
        &self,
        now: Nanos,
        generation: u32,
        failed: bool,
        slow: bool,
    ) -> Option<Totals> {
        let slice = self.slicer.slice(now);
        self.add(slice, generation, failed, slow);
        let (failures, slow) = (self.failures.sum(slice, generation), self.slow.sum(slice, generation));
        (failures > 0 || slow > 0).then(|| self.with_calls(slice, generation, failures, slow))
    }

    #[inline]
    fn add(&self, slice: Slice, generation: u32, failed: bool, slow: bool) {
        // The call first: a reader that comes in between sees a rate too low, not one above 100 %.
        self.calls.add(slice, generation);
        if failed {
            self.failures.add(slice, generation);
        }
        if slow {
            self.slow.add(slice, generation);
        }
    }

    /// What the window holds at `now`.
    pub fn totals(&self, now: Nanos, generation: u32) -> Totals {
        let slice = self.slicer.slice(now);
        let (failures, slow) = (self.failures.sum(slice, generation), self.slow.sum(slice, generation));
        self.with_calls(slice, generation, failures, slow)
    }

    fn with_calls(&self, slice: Slice, generation: u32, failures: u32, slow: u32) -> Totals {
        Totals { calls: self.calls.sum(slice, generation).max(failures).max(slow), failures, slow }
    }
}

const FAILED: u32 = 1;
const SLOW: u32 = 2;
const VERDICT_BITS: u32 = 2;

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
    /// Generation (29 bits), taken (1, so that an empty word is of no generation), slow, failed.
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
        self.words[at as usize].store(call_tag(generation) << VERDICT_BITS | verdict, SeqCst);
    }

    /// What the window holds.
    pub fn totals(&self, generation: u32) -> Totals {
        fence_for_loom();
        let tag = call_tag(generation);
        let mut totals = Totals::default();
        for word in &self.words {
            let word = word.load(SeqCst);
            let counts = u32::from(word >> VERDICT_BITS == tag);
            totals.calls += counts;
            totals.failures += counts & word;
            totals.slow += counts & word >> 1;
        }
        totals
    }
}

/// What the word of a call of this generation begins with.
fn call_tag(generation: u32) -> u32 {
    (generation << 1 | 1) & (u32::MAX >> VERDICT_BITS)
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
        let counter = Counter::new();
        let slice = Slicer::new(Nanos::from_secs(10)).slice(Nanos::ZERO);
        counter.words[0].store(COUNT, SeqCst);
        counter.add(slice, 0);
        assert_eq!(counter.sum(slice, 0), COUNT as u32);
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
