//! What is remembered of a backend's latencies: a peak-sensitive moving average and the last few samples.
//!
//! Both are a handful of atomics. Racing writers may lose one another's sample; they never mix two into nonsense.

use lb_types::Nanos;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A failure counts at least as this long, so that failing fast does not attract traffic.
const PENALTY_MIN_US: f32 = 1_000_000.0;
/// ... and never as longer than this.
const PENALTY_MAX_US: f32 = 60_000_000.0;

/// What a failure counts as: the time it took, at least 1 s, at least twice what the backend was thought to need (so
/// that repeated failures outgrow any honest latency), at most 60 s.
pub(crate) fn penalty(after: Nanos, mean_us: Option<f32>) -> Nanos {
    let us = (after.as_micros() as f32).max(PENALTY_MIN_US).max(2.0 * mean_us.unwrap_or(0.0));
    Nanos::from_micros(us.min(PENALTY_MAX_US) as u64).max(after)
}

/// A value in µs and the ms at which it was written, in one word; 0 = nothing yet. The ms wrap after 49 days, which a
/// difference of two survives.
fn pack(us: f32, at: Nanos) -> u64 {
    u64::from(us.max(f32::MIN_POSITIVE).to_bits()) << 32 | u64::from(at.as_millis() as u32)
}

fn unpack(word: u64) -> Option<(f32, u32)> {
    (word != 0).then(|| (f32::from_bits((word >> 32) as u32), word as u32))
}

fn age_ms(at: u32, now: Nanos) -> u32 {
    let age = (now.as_millis() as u32).wrapping_sub(at);
    // A racer may carry a slightly later time than this reader's.
    if age > u32::MAX / 2 { 0 } else { age }
}

/// Peak-EWMA (Finagle): jumps up to a higher sample at once, decays towards lower ones, and towards 0 while idle.
#[derive(Debug, Default)]
pub(crate) struct PeakEwma(AtomicU64);

impl PeakEwma {
    /// The average in µs as of `now`; `None` before the first sample.
    pub(crate) fn get(&self, now: Nanos, decay_ms: u32) -> Option<f32> {
        let (us, at) = unpack(self.0.load(Relaxed))?;
        Some(us * (-(age_ms(at, now) as f32) / decay_ms as f32).exp())
    }

    pub(crate) fn record(&self, sample: Nanos, now: Nanos, decay_ms: u32) {
        let sample = sample.as_micros() as f32;
        let mut old = self.0.load(Relaxed);
        // A few tries: under that much contention another sample says as much as this one.
        for _ in 0..4 {
            let new = match unpack(old) {
                Some((us, at)) if us > sample => {
                    let keep = (-(age_ms(at, now) as f32) / decay_ms as f32).exp();
                    us * keep + sample * (1.0 - keep)
                }
                _ => sample,
            };
            match self.0.compare_exchange_weak(old, pack(new, now), Relaxed, Relaxed) {
                Ok(_) => return,
                Err(now) => old = now,
            }
        }
    }

    pub(crate) fn forget(&self) {
        self.0.store(0, Relaxed);
    }
}

/// The most samples that a mean is made of.
pub(crate) const SAMPLES_MAX: usize = 64;

/// The last responses and their mean.
#[derive(Debug)]
pub(crate) struct Samples {
    ring: [AtomicU64; SAMPLES_MAX],
    next: AtomicU32,
    /// The mean, kept at each write so that a pick reads one word, with the time of the newest sample.
    mean: AtomicU64,
}

impl Default for Samples {
    fn default() -> Self {
        let ring = [const { AtomicU64::new(0) }; SAMPLES_MAX];
        Self { ring, next: AtomicU32::new(0), mean: AtomicU64::new(0) }
    }
}

impl Samples {
    /// Adds a sample; the mean is over the last `n`.
    pub(crate) fn record(&self, sample: Nanos, now: Nanos, window_ms: u32, n: u32) {
        let at = self.next.fetch_add(1, Relaxed) as usize;
        self.ring[at % SAMPLES_MAX].store(pack(sample.as_micros() as f32, now), Relaxed);
        let last = (0..(n as usize).clamp(1, SAMPLES_MAX)).map(|i| at.wrapping_sub(i) % SAMPLES_MAX);
        let (sum, n) = last
            .filter_map(|i| unpack(self.ring[i].load(Relaxed)))
            .filter(|&(_, at)| age_ms(at, now) <= window_ms)
            .fold((0.0, 0.0), |(sum, n), (us, _)| (sum + us, n + 1.0));
        self.mean.store(pack(sum / f32::max(n, 1.0), now), Relaxed);
    }

    /// The mean in µs; `None` when no sample is within the window. (A mean may hold samples that have left the window since the
    /// newest one came; the next write drops them.)
    pub(crate) fn mean(&self, now: Nanos, window_ms: u32) -> Option<f32> {
        let (us, at) = unpack(self.mean.load(Relaxed))?;
        (age_ms(at, now) <= window_ms).then_some(us)
    }

    pub(crate) fn forget(&self) {
        for word in self.ring.iter().chain([&self.mean]) {
            word.store(0, Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const MS: fn(u64) -> Nanos = Nanos::from_millis;

    #[test]
    fn ewma_jumps_up_and_decays_down() {
        let e = PeakEwma::default();
        assert_eq!(e.get(MS(5), 10_000), None);
        e.record(MS(1), MS(0), 10_000);
        e.record(MS(100), MS(1), 10_000);
        assert_eq!(e.get(MS(1), 10_000), Some(100_000.0));
        e.record(MS(1), MS(10_001), 10_000);
        let us = e.get(MS(10_001), 10_000).unwrap();
        assert!((us - (100_000.0 * 0.3679 + 1_000.0 * 0.6321)).abs() < 50.0, "{us}");
        let idle = e.get(MS(60_001), 10_000).unwrap();
        assert!(idle < us / 100.0, "an idle backend's average fades, so that it is tried again");
    }

    #[test]
    fn ewma_decays_in_small_steps_too() {
        let e = PeakEwma::default();
        e.record(MS(100), MS(0), 10_000);
        for t in 1..=10_000 {
            e.record(MS(1), MS(t), 10_000);
        }
        let us = e.get(MS(10_000), 10_000).unwrap();
        assert!((us - 37_422.0).abs() < 400.0, "10 000 steps of 1 ms decay like one of 10 s: {us}");
    }

    #[test]
    fn samples_keep_the_last_few_within_the_window() {
        let s = Samples::default();
        for (ms, at) in [(9, 0), (1, 1), (2, 2), (3, 3)] {
            s.record(MS(ms), MS(at), 1_000, 3);
        }
        assert_eq!(s.mean(MS(3), 1_000), Some(2_000.0));
        s.record(MS(8), MS(1_002), 1_000, 3);
        assert_eq!(s.mean(MS(1_002), 1_000), Some(13_000.0 / 3.0), "2 ms ago at 1 000 ms: 2, 3 and 8");
        s.record(MS(8), MS(2_500), 1_000, 3);
        assert_eq!(s.mean(MS(2_500), 1_000), Some(8_000.0));
        assert_eq!(s.mean(MS(3_501), 1_000), None);
        s.record(MS(2), MS(2_501), 5_000, 4);
        assert_eq!(s.mean(MS(2_501), 5_000), Some(21_000.0 / 4.0), "another n holds at once: 3, 8, 8 and 2");
    }

    #[test]
    fn repeated_failures_outgrow_an_honest_latency() {
        assert_eq!(penalty(MS(1), None), MS(1_000));
        assert_eq!(penalty(MS(1), Some(3_000_000.0)), MS(6_000));
        assert_eq!(penalty(MS(1), Some(50_000_000.0)), MS(60_000));
        assert_eq!(penalty(MS(90_000), None), MS(90_000));
    }
}
