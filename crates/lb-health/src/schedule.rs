//! When the next check is due.
//!
//! Pure: instants, intervals and random numbers come in as arguments. Three rules:
//!
//! - **First**: at a random instant within `min(interval, 1 s)`, so that a start is quick and yet not a burst.
//! - **Pace**: `interval` while results agree with the verdict; a quarter of it, but never under 250 ms (nor over
//!   `interval`), while a verdict is changing. So a death is confirmed and a recovery noticed sooner, without more load on
//!   backends that are steady.
//! - **Next**: the pace stretched or shortened by up to `jitter_percent`, uniformly, from the *start* of the last check;
//!   never before that check ended, so that a backend's own checks never overlap.

use lb_types::Nanos;
use std::time::Duration;

/// The first check is due at most this long after a backend became known.
pub const FIRST_WITHIN: Duration = Duration::from_secs(1);

/// A faster pace goes no lower than this: short enough for a verdict within a second at the default thresholds, long
/// enough not to press a backend that has trouble already.
pub const FASTEST_PACE: Duration = Duration::from_millis(250);

/// While a verdict is changing the interval is divided by this.
const FASTER_WHILE_CHANGING: u32 = 4;

/// When a new backend's first check is due. `random` is uniform over all of `u64`.
pub fn first(now: Nanos, interval: Duration, random: u64) -> Nanos {
    now + scaled(Nanos::from(interval.min(FIRST_WITHIN)), random)
}

/// The time from the start of one check to the next, before jitter.
pub fn pace(interval: Duration, changing: bool) -> Duration {
    if changing { (interval / FASTER_WHILE_CHANGING).max(FASTEST_PACE).min(interval) } else { interval }
}

/// When the check after one that ran from `start` to `end` is due. `random` is uniform over all of `u64`;
/// `jitter_percent` over 100 acts as 100.
pub fn next(start: Nanos, end: Nanos, pace: Duration, jitter_percent: u8, random: u64) -> Nanos {
    let pace = Nanos::from(pace);
    let most = u128::from(pace.0) * u128::from(jitter_percent.min(100)) / 100;
    // at most `pace`, which is a u64
    let most = Nanos(u64::try_from(most).unwrap_or(u64::MAX));
    (start + (pace - most) + scaled(most + most, random)).max(end)
}

/// A length from 0 to `span`, both included, by a number uniform over `u64`.
fn scaled(span: Nanos, random: u64) -> Nanos {
    let product = (u128::from(span.0) + 1) * u128::from(random);
    Nanos((product >> 64) as u64) // (span + 1) · random / 2⁶⁴ ≤ span
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn first_is_spread_over_the_interval_or_a_second() {
        let now = Nanos::from_secs(5);
        assert_eq!(first(now, 30 * SECOND, 0), now);
        assert_eq!(first(now, 30 * SECOND, u64::MAX), now + Nanos::from_secs(1));
        assert_eq!(first(now, SECOND / 10, u64::MAX), now + Nanos::from_millis(100));
        assert_eq!(first(now, 30 * SECOND, 1 << 63), now + Nanos::from_millis(500));
    }

    #[test]
    fn pace_is_a_quarter_within_bounds_while_changing() {
        for (interval_ms, faster_ms) in [(30_000, 7_500), (2_000, 500), (800, 250), (100, 100)] {
            let interval = Duration::from_millis(interval_ms);
            assert_eq!(pace(interval, false), interval);
            assert_eq!(pace(interval, true), Duration::from_millis(faster_ms));
        }
    }

    #[test]
    fn next_counts_from_the_start_but_never_before_the_end() {
        let (start, end) = (Nanos::from_secs(10), Nanos::from_secs(11));
        assert_eq!(next(start, end, 2 * SECOND, 0, 77), Nanos::from_secs(12));
        assert_eq!(next(start, end, SECOND / 2, 0, 77), end);
        assert_eq!(next(start, end, 2 * SECOND, 10, 0), Nanos::from_millis(11_800));
        assert_eq!(next(start, end, 2 * SECOND, 10, u64::MAX), Nanos::from_millis(12_200));
    }

    proptest! {
        #[test]
        fn jitter_stays_within_its_percent(
            interval_ms in 1u64..100_000_000,
            percent in 0u8..=50,
            random: u64,
            start in 0u64..1 << 60,
        ) {
            let start = Nanos(start);
            let delay = next(start, start, Duration::from_millis(interval_ms), percent, random) - start;
            let (interval, percent) = (u128::from(interval_ms) * 1_000_000, u128::from(percent));
            prop_assert!(u128::from(delay.0) * 100 >= interval * (100 - percent));
            prop_assert!(u128::from(delay.0) * 100 <= interval * (100 + percent));
        }

        #[test]
        fn no_argument_panics(start: u64, end: u64, secs: u64, nanos in 0u32..1_000_000_000, percent: u8, random: u64) {
            let pace = Duration::new(secs, nanos);
            prop_assert!(next(Nanos(start), Nanos(end), pace, percent, random) >= Nanos(end));
            prop_assert!(first(Nanos(start), pace, random) >= Nanos(start));
        }
    }
}
