//! Hedging (Dean and Barroso, "The Tail at Scale", 2013): when a first try is slower than most, a second is made beside it.
//!
//! Slower than most: than a percentile of the pool's times to first byte over the last 10 to 20 seconds. The percentile is looked
//! up at most once a second and kept; until [`SAMPLES_MIN`] responses have come it is unknown, and nothing is hedged. It lacks a
//! share of its own: a hedge draws on the retry budget.

use lb_breaker::SettingsError;
use lb_core::{HistogramSnapshot, Snapshot};
use lb_types::Nanos;
use std::time::Duration;

/// A percentile of fewer says little: of 20, the 95th is the slowest but one.
const SAMPLES_MIN: u64 = 20;
/// How often the percentile is looked up.
const LOOK: Nanos = Nanos::from_secs(1);
/// How often while it is unknown.
const LOOK_SOON: Nanos = Nanos::from_millis(100);
/// How long a half of the window is.
const HALF: Nanos = Nanos::from_secs(10);
/// Of a large pool so many backends are looked at, evenly spread: a look costs about 2 µs each.
const BACKENDS_MAX: usize = 64;

/// When a second try is made beside the first. Only for idempotent requests without a body, once a request, and to another backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HedgeSettings {
    /// After the time that this percentage of responses take at most, default 95 (50–99).
    pub percentile: u8,
    /// But not before this, default 10 ms.
    pub min_delay: Duration,
}

impl Default for HedgeSettings {
    fn default() -> Self {
        Self { percentile: 95, min_delay: Duration::from_millis(10) }
    }
}

impl HedgeSettings {
    pub(super) fn validate(&self) -> Result<(), SettingsError> {
        if (50..=99).contains(&self.percentile) {
            return Ok(());
        }
        Err(SettingsError::OutOfRange {
            field: "percentile",
            value: self.percentile.to_string(),
            min: "50".into(),
            max: "99".into(),
        })
    }
}

/// What a worker knows of its pool's response times.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Counts since each backend's start, as they were when this window began,
    before: HistogramSnapshot,
    /// and when the next one will have begun.
    middle: HistogramSnapshot,
    middle_at: Nanos,
    /// How many backends the counts are of: others cannot be compared.
    backends: usize,
    next_look: Nanos,
    percentile: Option<Duration>,
}

impl Recent {
    /// When to make a second try, counted from the first; `None`: not known.
    pub(crate) fn delay(
        &mut self,
        settings: &HedgeSettings,
        now: Nanos,
        pool: impl FnOnce() -> (usize, HistogramSnapshot),
    ) -> Option<Duration> {
        if now >= self.next_look {
            let (backends, counts) = pool();
            self.look(settings.percentile, now, backends, counts);
        }
        self.percentile.map(|p| p.max(settings.min_delay))
    }

    fn look(&mut self, percentile: u8, now: Nanos, backends: usize, counts: HistogramSnapshot) {
        if backends != self.backends {
            *self =
                Self { before: counts.clone(), middle: counts, middle_at: now, backends, ..Self::default() };
            self.next_look = now + LOOK_SOON;
            return;
        }
        let recent = counts.since(&self.before);
        self.percentile = match recent.count() {
            0..SAMPLES_MIN => None,
            _ => recent.quantile(f64::from(percentile) / 100.0).map(Nanos::as_duration),
        };
        self.next_look = now + if self.percentile.is_some() { LOOK } else { LOOK_SOON };
        if now - self.middle_at >= HALF {
            self.before = std::mem::replace(&mut self.middle, counts);
            self.middle_at = now;
        }
    }
}

/// How many backends there are, and the counts of those that are looked at.
pub(crate) fn counts(snapshot: &Snapshot) -> (usize, HistogramSnapshot) {
    let members = snapshot.members();
    let mut sum = HistogramSnapshot::default();
    for m in members.iter().step_by(members.len().div_ceil(BACKENDS_MAX).max(1)) {
        sum.merge(&m.state().latency());
    }
    (members.len(), sum)
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::Histogram;

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const AT: fn(u64) -> Nanos = Nanos::from_millis;

    /// What `delay` says, if it looks at these counts.
    fn delay(r: &mut Recent, at_ms: u64, backends: usize, h: &Histogram) -> Option<Duration> {
        r.delay(&HedgeSettings::default(), AT(at_ms), || (backends, h.snapshot()))
    }

    fn add(h: &Histogram, n: u32, ms: u64) {
        (0..n).for_each(|_| h.record(AT(ms)));
    }

    #[test]
    fn it_is_a_percentile_of_what_came_of_late() {
        let (h, mut r) = (Histogram::default(), Recent::default());
        add(&h, 1_000, 500);
        assert_eq!(delay(&mut r, 1_000, 3, &h), None, "all that came before does not count");
        add(&h, 19, 40);
        assert_eq!(delay(&mut r, 1_100, 3, &h), None, "too few");
        add(&h, 1, 400);
        let known = delay(&mut r, 1_200, 3, &h).unwrap();
        assert!((MS(40)..MS(46)).contains(&known), "{known:?}");
        add(&h, 100, 100);
        assert_eq!(delay(&mut r, 2_199, 3, &h), Some(known), "kept for a second");
        let later = delay(&mut r, 2_200, 3, &h).unwrap();
        assert!((MS(100)..MS(113)).contains(&later), "{later:?}");
        // The window moves on.
        delay(&mut r, 11_000, 3, &h);
        add(&h, 50, 1);
        assert!(delay(&mut r, 21_000, 3, &h).unwrap() >= MS(100));
        assert_eq!(delay(&mut r, 22_000, 3, &h), Some(MS(10)), "`min_delay`");
        assert_eq!(delay(&mut r, 23_000, 4, &h), None, "another pool");
    }

    #[test]
    fn percentiles_out_of_bounds_are_refused() {
        for percentile in [0, 49, 100] {
            let error = HedgeSettings { percentile, ..HedgeSettings::default() }.validate().unwrap_err();
            assert_eq!(error.to_string(), format!("percentile = {percentile}: must be from 50 to 99"));
        }
    }
}
