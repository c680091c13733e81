//! Samples over a window: their mean, the highest of them, and how much of the window they speak for.
//!
//! A sample stands for the time since the one before it, up to a quarter of the window: so a gap in the sampling shows as time
//! that nobody knows about, however many samples there are elsewhere. A look costs [`SLICES`] steps, memory is fixed.

use super::ring::Ring;
use lb_types::Nanos;

/// Steps in which a window moves: 5 s of 5 minutes.
const SLICES: usize = 60;
/// At most `1 / GAP` of the window is taken as known by one sample.
const GAP: u64 = 4;

/// One value in two readings, which differ only where some instances gave none.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Sample {
    /// As far as it is known. Scale-up goes by this.
    pub(crate) seen: f64,
    /// With instances that said nothing taken as full. Scale-down goes by this.
    pub(crate) safe: f64,
}

impl Sample {
    /// A value of which nothing is missing.
    pub(crate) fn whole(value: f64) -> Self {
        Self { seen: value, safe: value }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Slice {
    samples: u32,
    seen_sum: f64,
    safe_sum: f64,
    safe_max: f64,
    known_ns: u64,
}

/// The samples of one period.
#[derive(Clone, Debug)]
pub(crate) struct Samples {
    period: Nanos,
    ring: Ring<Slice, SLICES>,
    /// When there was last a sample or the lack of one was noticed.
    last: Option<Nanos>,
}

impl Samples {
    pub(crate) fn new(period: Nanos) -> Self {
        Self { period, ring: Ring::new(period), last: None }
    }

    /// Notes a sample; `None`: there is none, and the time since the last one stays unknown.
    pub(crate) fn record(&mut self, now: Nanos, sample: Option<Sample>) {
        let since = self.last.map_or(Nanos::ZERO, |last| now - last);
        self.last = Some(self.last.map_or(now, |last| last.max(now)));
        let Some(sample) = sample else { return };
        let slice = self.ring.at(now);
        slice.samples = slice.samples.saturating_add(1);
        slice.seen_sum += sample.seen;
        slice.safe_sum += sample.safe;
        slice.safe_max = slice.safe_max.max(sample.safe);
        slice.known_ns += since.0.min(self.period.0 / GAP);
    }

    /// The mean of the samples in the window; `None`: there are none.
    pub(crate) fn mean(&self, now: Nanos) -> Option<Sample> {
        let (mut samples, mut seen, mut safe) = (0u64, 0.0, 0.0);
        for slice in self.ring.live(now) {
            samples += u64::from(slice.samples);
            seen += slice.seen_sum;
            safe += slice.safe_sum;
        }
        (samples > 0).then(|| Sample { seen: seen / samples as f64, safe: safe / samples as f64 })
    }

    /// The highest safe reading in the window; `None`: there are none.
    pub(crate) fn highest(&self, now: Nanos) -> Option<f64> {
        self.ring.live(now).map(|slice| slice.safe_max).reduce(f64::max)
    }

    /// The percent of the window that is known, 0–100.
    pub(crate) fn known_percent(&self, now: Nanos) -> f64 {
        let known: u64 = self.ring.live(now).map(|slice| slice.known_ns).sum();
        (100.0 * known as f64 / self.period.0.max(1) as f64).min(100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    const SEC: fn(u64) -> Nanos = Nanos::from_secs;

    #[test]
    fn mean_and_highest_of_what_is_in_the_window() {
        let mut samples = Samples::new(SEC(60));
        assert_eq!((samples.mean(SEC(0)), samples.highest(SEC(0))), (None, None));
        samples.record(SEC(0), Some(Sample { seen: 10.0, safe: 40.0 }));
        samples.record(SEC(30), Some(Sample::whole(20.0)));
        assert_eq!(samples.mean(SEC(59)), Some(Sample { seen: 15.0, safe: 30.0 }));
        assert_eq!(samples.highest(SEC(59)), Some(40.0));
        assert_eq!(samples.mean(SEC(60)), Some(Sample::whole(20.0)));
        assert_eq!(samples.highest(SEC(90)), None);
    }

    #[test]
    fn what_nobody_sampled_is_not_known() {
        let mut samples = Samples::new(SEC(60));
        for at in (0..=30).step_by(10) {
            samples.record(SEC(at), Some(Sample::whole(1.0)));
        }
        assert_eq!(samples.known_percent(SEC(30)), 50.0, "the first stands for no time");
        samples.record(SEC(40), None);
        samples.record(SEC(50), Some(Sample::whole(1.0)));
        assert!((samples.known_percent(SEC(50)) - 66.7).abs() < 0.1, "from 30 to 40 it was missing");
        samples.record(SEC(110), Some(Sample::whole(1.0)));
        assert_eq!(samples.known_percent(SEC(110)), 25.0, "a gap counts for a quarter of the window");
    }

    proptest! {
        #[test]
        fn steady_sampling_makes_a_window_known_after_one_period(every in 1u64..=15, periods in 1u64..4) {
            let mut samples = Samples::new(SEC(60));
            for at in (0..=60 * periods).step_by(every as usize) {
                samples.record(SEC(at), Some(Sample::whole(1.0)));
            }
            let known = samples.known_percent(SEC(60 * periods / every * every));
            prop_assert!(known >= 100.0 * (60 - every) as f64 / 60.0, "{}", known);
        }
    }
}
