//! A bounded latency histogram: log-linear buckets of atomics, 12.5 % wide, from 1 µs to 134 s.
//!
//! `record` is one relaxed add, without a lock or an allocation; a reader sees a momentary, not an atomic, picture.

use lb_types::Nanos;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Values below this many µs have a bucket each.
const LINEAR: u64 = 16;
/// Buckets per power of two above that.
const SUB: usize = 8;
/// 2^27 µs = 134 s: what is longer counts in the last bucket.
const EXP_MAX: u32 = 27;
const BUCKETS: usize = LINEAR as usize + (EXP_MAX as usize - 4) * SUB;

/// See the module's documentation. 1.6 KiB.
#[derive(Debug)]
pub struct Histogram {
    buckets: [AtomicU64; BUCKETS],
    sum_us: AtomicU64,
}

impl Default for Histogram {
    fn default() -> Self {
        Self { buckets: [const { AtomicU64::new(0) }; BUCKETS], sum_us: AtomicU64::new(0) }
    }
}

fn index(us: u64) -> usize {
    if us < LINEAR {
        return us as usize;
    }
    let exp = us.ilog2();
    let sub = (us >> (exp - 3)) as usize & (SUB - 1);
    (LINEAR as usize + (exp as usize - 4) * SUB + sub).min(BUCKETS - 1)
}

/// The first µs that no longer belongs to bucket `i`.
fn upper_us(i: usize) -> u64 {
    if i < LINEAR as usize {
        return i as u64 + 1;
    }
    let (exp, sub) = ((i - LINEAR as usize) / SUB + 4, (i - LINEAR as usize) % SUB);
    ((SUB + sub + 1) as u64) << (exp - 3)
}

impl Histogram {
    /// Counts one value.
    #[inline]
    pub fn record(&self, value: Nanos) {
        let us = value.as_micros();
        self.count_in(us);
        self.sum_us.fetch_add(us, Relaxed);
    }

    /// Counts one value whose sum is kept elsewhere, on a cache line that is at hand.
    #[inline]
    pub(crate) fn count_in(&self, us: u64) {
        self.buckets[index(us)].fetch_add(1, Relaxed);
    }

    /// How many values were counted.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().map(|b| b.load(Relaxed)).sum()
    }

    /// A copy to read from.
    pub fn snapshot(&self) -> HistogramSnapshot {
        self.snapshot_with(self.sum_us.load(Relaxed))
    }

    pub(crate) fn snapshot_with(&self, sum_us: u64) -> HistogramSnapshot {
        HistogramSnapshot { counts: self.buckets.iter().map(|b| b.load(Relaxed)).collect(), sum_us }
    }
}

/// A copy of a histogram; several can be merged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HistogramSnapshot {
    counts: Vec<u64>,
    sum_us: u64,
}

impl HistogramSnapshot {
    /// Adds another's counts.
    pub fn merge(&mut self, other: &Self) {
        self.counts.resize(self.counts.len().max(other.counts.len()), 0);
        for (mine, theirs) in self.counts.iter_mut().zip(&other.counts) {
            *mine += theirs;
        }
        self.sum_us += other.sum_us;
    }

    /// What came since `earlier`, an older snapshot of the same histogram(s).
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let before = |i| earlier.counts.get(i).copied().unwrap_or(0);
        Self {
            counts: self.counts.iter().enumerate().map(|(i, c)| c.saturating_sub(before(i))).collect(),
            sum_us: self.sum_us.saturating_sub(earlier.sum_us),
        }
    }

    /// How many values were counted.
    pub fn count(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// The sum of all values, in whole microseconds each.
    pub fn sum(&self) -> Nanos {
        Nanos::from_micros(self.sum_us)
    }

    /// The mean; `None` without values.
    pub fn mean(&self) -> Option<Nanos> {
        self.sum_us.checked_div(self.count()).map(Nanos::from_micros)
    }

    /// The value that a share `q` (0–1) of all stay below, at most 12.5 % too high (1 µs below 16 µs); `None` without values.
    pub fn quantile(&self, q: f64) -> Option<Nanos> {
        let total = self.count();
        let rank = ((q.clamp(0.0, 1.0) * total as f64).ceil() as u64).max(1);
        let mut seen = 0;
        self.counts.iter().enumerate().find_map(|(i, c)| {
            seen += c;
            (seen >= rank).then(|| Nanos::from_micros(upper_us(i)))
        })
    }

    /// How many values are surely above `bound`: all from the first bucket on that begins there or later. Exact for a bound that
    /// [`quantile`](Self::quantile) gave; else up to 12.5 % of the bound may be added to it.
    pub fn count_above(&self, bound: Nanos) -> u64 {
        let us = bound.as_micros();
        let begins = |i: usize| i.checked_sub(1).map_or(0, upper_us);
        self.counts.iter().enumerate().filter(|&(i, _)| begins(i) >= us).map(|(_, c)| c).sum()
    }

    /// How many values are at most `bound`, as exact as the buckets are: for cumulative buckets of an exposition format.
    pub fn count_up_to(&self, bound: Nanos) -> u64 {
        let us = bound.as_micros();
        self.counts.iter().enumerate().take_while(|&(i, _)| upper_us(i) <= us + us / 8).map(|(_, c)| c).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_contiguous_and_narrow() {
        let mut previous = 0;
        for i in 0..BUCKETS - 1 {
            let upper = upper_us(i);
            assert_eq!((index(previous), index(upper - 1), index(upper)), (i, i, i + 1));
            assert!(upper - previous <= 1.max(previous / 8), "bucket {i} is at most 12.5 % wide");
            previous = upper;
        }
        assert_eq!(index(u64::MAX), BUCKETS - 1);
    }

    #[test]
    fn quantiles_and_differences() {
        let h = Histogram::default();
        assert_eq!(h.snapshot().quantile(0.5), None);
        for us in 1..=1000 {
            h.record(Nanos::from_micros(us));
        }
        let s = h.snapshot();
        let p50 = s.quantile(0.5).unwrap().as_micros();
        assert!((500..=563).contains(&p50), "{p50}");
        assert_eq!(s.mean(), Some(Nanos::from_micros(500)));
        h.record(Nanos::from_secs(500));
        let d = h.snapshot().since(&s);
        assert_eq!((d.count(), s.count(), h.snapshot().count()), (1, 1000, 1001));
        assert_eq!(h.snapshot().count_up_to(Nanos::from_secs(1)), 1000);
        let above = |q: f64| s.count_above(s.quantile(q).unwrap());
        assert!((40..=50).contains(&above(0.95)) && (450..=500).contains(&above(0.5)), "{}", above(0.95));
        assert_eq!((above(1.0), s.count_above(Nanos::ZERO)), (0, 1000));
    }
}
