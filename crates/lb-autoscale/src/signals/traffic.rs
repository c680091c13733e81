//! Requests over a window: arrivals a second, the mean time at an instance, latency quantiles.
//!
//! A histogram per slice: each doubling of the latency is cut into eight bins, so a quantile is at most 1/8 above the true one
//! (and never below it), from 1 µs to over half an hour; 10 KB for a window, however many requests are in it. Not shared
//! between threads: each has its own and [`Traffic::reading`] is asked of each, or one thread feeds one.

use super::ring::Ring;
use lb_types::Nanos;

/// Steps in which a window moves.
const SLICES: usize = 10;
/// Bins for each doubling, as a power of two.
const BITS: u32 = 3;
/// Doublings above the first 2³ µs: the last bin begins at 2³¹ µs, 36 minutes.
const BINS: usize = 8 * 29 + 8;

#[derive(Clone, Copy, Debug)]
struct Slice {
    arrived: u32,
    ended: u32,
    latency_us_sum: u64,
    bins: [u32; BINS],
}

impl Default for Slice {
    fn default() -> Self {
        Self { arrived: 0, ended: 0, latency_us_sum: 0, bins: [0; BINS] }
    }
}

/// What requests of late were like. Feeds [`Metrics`](crate::Metrics).
#[derive(Clone, Debug)]
pub struct Traffic {
    period: Nanos,
    began: Option<Nanos>,
    ring: Ring<Slice, SLICES>,
}

/// One look at a [`Traffic`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct TrafficReading {
    /// Arrivals a second over the window (over the time since the first one, while that is less).
    pub requests_per_second: f64,
    /// Mean latency in ms; `None`: no request ended in the window.
    pub mean_ms: Option<f64>,
    /// Quantiles of the latency; `None`: no request ended in the window.
    pub latency: Option<Quantiles>,
}

/// Quantiles of the latency, in ms.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Quantiles {
    /// The median.
    pub p50_ms: f64,
    /// 95 % took no longer.
    pub p95_ms: f64,
    /// 99 % took no longer.
    pub p99_ms: f64,
}

impl Traffic {
    /// An empty window; 10 s is a good one: long enough for a rate, short enough to be of now.
    pub fn new(window: std::time::Duration) -> Self {
        let period = Nanos::from(window);
        Self { period, began: None, ring: Ring::new(period) }
    }

    /// A request came.
    pub fn arrived(&mut self, now: Nanos) {
        self.began.get_or_insert(now);
        let slice = self.ring.at(now);
        slice.arrived = slice.arrived.saturating_add(1);
    }

    /// A request ended, after so long at an instance (without its wait in a queue).
    pub fn ended(&mut self, now: Nanos, latency: Nanos) {
        let slice = self.ring.at(now);
        slice.ended = slice.ended.saturating_add(1);
        slice.latency_us_sum = slice.latency_us_sum.saturating_add(latency.as_micros());
        let bin = &mut slice.bins[bin_of(latency.as_micros())];
        *bin = bin.saturating_add(1);
    }

    /// How it was up to now.
    pub fn reading(&self, now: Nanos) -> TrafficReading {
        let (mut arrived, mut ended, mut sum_us) = (0u64, 0u64, 0u64);
        let mut bins = [0u64; BINS];
        for slice in self.ring.live(now) {
            arrived += u64::from(slice.arrived);
            ended += u64::from(slice.ended);
            sum_us = sum_us.saturating_add(slice.latency_us_sum);
            for (all, &one) in bins.iter_mut().zip(&slice.bins) {
                *all += u64::from(one);
            }
        }
        // At least one slice: the first request of all is no rate of a thousand million a second.
        let slice_ns = self.period.0 / SLICES as u64;
        let over =
            self.began.map_or(self.period, |began| (now - began).min(self.period)).0.max(slice_ns).max(1);
        let quantile = |percent: u64| {
            let rank = (ended * percent).div_ceil(100).max(1);
            let mut below = 0;
            let bin = bins.iter().position(|&count| {
                below += count;
                below >= rank
            });
            top_us(bin.unwrap_or(BINS - 1)) as f64 / 1e3
        };
        TrafficReading {
            requests_per_second: arrived as f64 / Nanos(over).as_secs_f64(),
            mean_ms: (ended > 0).then(|| sum_us as f64 / ended as f64 / 1e3),
            latency: (ended > 0).then(|| Quantiles {
                p50_ms: quantile(50),
                p95_ms: quantile(95),
                p99_ms: quantile(99),
            }),
        }
    }
}

/// The bin of a latency: the first eight are of 1 µs, then eight for each doubling.
fn bin_of(us: u64) -> usize {
    if us < 1 << BITS {
        return us as usize;
    }
    let doubling = us.ilog2() - BITS;
    let eighth = (us >> doubling) as usize - (1 << BITS);
    (((doubling as usize + 1) << BITS) + eighth).min(BINS - 1)
}

/// The longest latency of a bin, in µs.
fn top_us(bin: usize) -> u64 {
    match bin >> BITS {
        0 => bin as u64,
        group => {
            let doubling = group - 1;
            let eighth = (bin & ((1 << BITS) - 1)) as u64 + (1 << BITS);
            ((eighth + 1) << doubling) - 1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::time::Duration;

    #[test]
    fn rate_mean_and_quantiles() {
        let mut traffic = Traffic::new(Duration::from_secs(10));
        assert_eq!(traffic.reading(Nanos::ZERO), TrafficReading::default());
        for i in 0..1_000u64 {
            traffic.arrived(Nanos::from_millis(i * 10));
            traffic.ended(Nanos::from_millis(i * 10), Nanos::from_millis(i % 100 + 1));
        }
        let reading = traffic.reading(Nanos(10_000_000_000 - 1));
        assert!((reading.requests_per_second - 100.0).abs() < 0.1, "{reading:?}");
        assert!((reading.mean_ms.unwrap() - 50.5).abs() < 1e-9);
        let q = reading.latency.unwrap();
        assert!((50.0..57.0).contains(&q.p50_ms) && (95.0..107.0).contains(&q.p95_ms), "{q:?}");
        assert!((99.0..112.0).contains(&q.p99_ms), "{q:?}");
        assert_eq!(traffic.reading(Nanos::from_secs(30)).requests_per_second, 0.0);
    }

    #[test]
    fn the_first_request_is_no_burst() {
        let mut traffic = Traffic::new(Duration::from_secs(10));
        traffic.arrived(Nanos::from_secs(5));
        assert_eq!(traffic.reading(Nanos::from_secs(5)).requests_per_second, 1.0);
    }

    proptest! {
        #[test]
        fn a_bin_holds_what_it_says(us in prop_oneof![0u64..5_000, any::<u64>()]) {
            let bin = bin_of(us);
            if bin < BINS - 1 {
                prop_assert!(us <= top_us(bin) && (bin == 0 || us > top_us(bin - 1)));
                prop_assert!(top_us(bin) as f64 <= us as f64 * 1.125);
            } else {
                prop_assert!(us > top_us(bin - 1));
            }
        }
    }
}
