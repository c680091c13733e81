//! How long to wait before a retry: always the same, or doubling, with full jitter.
//!
//! Exponential: ceiling = min(`max_delay`, `base_delay` · 2ⁿ) before retry n = 0, 1, 2 …; with jitter the delay is uniform
//! over 0 ..= ceiling ("full jitter": of the known kinds it spreads competing clients best). The random number is handed in.

use crate::settings::{DURATION_MAX, SettingsError, duration};
use std::time::Duration;

/// How the ceiling grows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BackoffKind {
    /// Not at all.
    Constant,
    /// Doubles with each retry.
    #[default]
    Exponential,
}

/// Settings, and the delay they give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Backoff {
    /// Default exponential.
    pub kind: BackoffKind,
    /// Before the first retry, default 25 ms (0 – 24 h).
    pub base_delay: Duration,
    /// The most before any retry, default 1 s (`base_delay` – 24 h).
    pub max_delay: Duration,
    /// Whether the delay is uniform below the ceiling (the default), or the ceiling itself.
    pub jitter: bool,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            kind: BackoffKind::Exponential,
            base_delay: Duration::from_millis(25),
            max_delay: Duration::from_secs(1),
            jitter: true,
        }
    }
}

impl Backoff {
    /// The same delay before every retry, without jitter.
    pub fn constant(delay: Duration) -> Self {
        Self { kind: BackoffKind::Constant, base_delay: delay, max_delay: delay, jitter: false }
    }

    /// Doubling from `base` up to `max`, with full jitter.
    pub fn exponential(base: Duration, max: Duration) -> Self {
        Self { kind: BackoffKind::Exponential, base_delay: base, max_delay: max, jitter: true }
    }

    /// With or without jitter.
    #[must_use]
    pub fn jitter(mut self, jitter: bool) -> Self {
        self.jitter = jitter;
        self
    }

    /// Whether the delays are within their bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        duration("base_delay", self.base_delay, Duration::ZERO, DURATION_MAX)?;
        duration("max_delay", self.max_delay, self.base_delay, DURATION_MAX)
    }

    /// The most to wait before retry `n` (0: the first).
    pub fn ceiling(&self, n: u32) -> Duration {
        let factor = match self.kind {
            BackoffKind::Constant => 1,
            BackoffKind::Exponential => 1u32.checked_shl(n).unwrap_or(u32::MAX),
        };
        self.base_delay.saturating_mul(factor).min(self.max_delay)
    }

    /// How long to wait before retry `n` (0: the first). `random` is uniform over all of `u64`; without jitter it is ignored.
    pub fn delay(&self, n: u32, random: u64) -> Duration {
        let ceiling = self.ceiling(n);
        if !self.jitter {
            return ceiling;
        }
        // 584 years are the most that a u64 of ns holds; a validated ceiling is at most a day.
        let ceiling_ns = u64::try_from(ceiling.as_nanos()).unwrap_or(u64::MAX);
        let ns = ((u128::from(ceiling_ns) + 1) * u128::from(random)) >> 64;
        Duration::from_nanos(ns as u64)
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    const MS: fn(u64) -> Duration = Duration::from_millis;

    #[test]
    fn doubles_up_to_the_most() {
        let b = Backoff::default().jitter(false);
        let delays: Vec<u128> = (0..8).map(|n| b.delay(n, 7).as_millis()).collect();
        assert_eq!(delays, [25, 50, 100, 200, 400, 800, 1_000, 1_000]);
        assert_eq!(b.delay(u32::MAX, 0), MS(1_000));
        assert_eq!(Backoff::constant(MS(40)).delay(9, 0), MS(40));
    }

    #[test]
    fn full_jitter_spans_zero_to_the_ceiling() {
        let b = Backoff::default();
        assert_eq!((b.delay(2, 0), b.delay(2, u64::MAX)), (MS(0), MS(100)));
        assert_eq!(b.delay(2, 1 << 63), MS(50));
        let rng = &mut fastrand::Rng::with_seed(7);
        let mean: f64 = (0..10_000).map(|_| b.delay(2, rng.u64(..)).as_secs_f64()).sum::<f64>() / 10_000.0;
        assert!((mean - 0.05).abs() < 0.002, "{mean}");
    }

    #[test]
    fn errors_name_field_and_value() {
        let error = |b: Backoff| b.validate().unwrap_err().to_string();
        assert_eq!(Backoff::default().validate(), Ok(()));
        assert_eq!(error(Backoff::exponential(MS(9), MS(5))), "max_delay = 5ms: must be from 9ms to 86400s");
        assert_eq!(
            error(Backoff::constant(Duration::from_secs(86_401))),
            "base_delay = 86401s: must be from 0ns to 86400s"
        );
    }

    proptest! {
        #[test]
        fn never_above_the_ceiling_and_never_a_panic(
            base in any::<u64>(), max in any::<u64>(), n in any::<u32>(), random in any::<u64>(),
        ) {
            let (base, max) = (Duration::from_nanos(base), Duration::from_secs(max));
            let b = Backoff::exponential(base, max);
            prop_assert!(b.delay(n, random) <= b.ceiling(n));
            prop_assert!(b.ceiling(n) <= max);
            prop_assert!(n == 0 || b.ceiling(n) >= b.ceiling(n - 1));
        }
    }
}
