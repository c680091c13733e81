//! How long to wait before the next try, and when there is none.
//!
//! Doubling with half of it random ("equal jitter"): wait n = 0, 1, 2 … is uniform over the upper half of min(`longest`, `first` · 2ⁿ), so
//! that it is never next to nothing: what is tried again here starts a process, or calls somebody. The random number is handed in.

use lb_types::SettingsError;
use std::time::Duration;

/// The longest that any setting of a driver may be.
pub const WAIT_MAX: Duration = Duration::from_secs(60 * 60);

/// Settings of tries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Retry {
    /// How many tries in all, default 5 (1–100).
    pub tries: u32,
    /// The wait after the first, default 500 ms (1 ms – 1 h).
    pub first: Duration,
    /// The longest wait, default 30 s (`first` – 1 h).
    pub longest: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Self { tries: 5, first: Duration::from_millis(500), longest: Duration::from_secs(30) }
    }
}

impl Retry {
    /// Other tries and waits.
    pub fn new(tries: u32, first: Duration, longest: Duration) -> Self {
        Self { tries, first, longest }
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !(1..=100).contains(&self.tries) {
            return Err(SettingsError::new("tries", self.tries, "must be from 1 to 100"));
        }
        within("first", self.first, Duration::from_millis(1))?;
        within("longest", self.longest, self.first)
    }

    /// The wait after try `n` (0: the first); `random` is uniform over 0 ..= 1.
    pub fn wait(&self, n: u32, random: f64) -> Duration {
        let factor = 1u32.checked_shl(n).unwrap_or(u32::MAX);
        let ceiling = self.first.saturating_mul(factor).min(self.longest);
        ceiling.mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
    }
}

/// Whether a time is from `min` to an hour.
pub(crate) fn within(field: &'static str, value: Duration, min: Duration) -> Result<(), SettingsError> {
    if (min..=WAIT_MAX).contains(&value) {
        return Ok(());
    }
    Err(SettingsError::new(field, value, format!("must be from {min:?} to {WAIT_MAX:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn doubles_up_to_the_longest() {
        let retry = Retry::new(9, Duration::from_millis(500), Duration::from_secs(3));
        let waits: Vec<u128> = (0..5).map(|n| retry.wait(n, 1.0).as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000, 3000, 3000]);
        assert_eq!(retry.wait(0, 0.0).as_millis(), 250);
        assert_eq!(retry.wait(u32::MAX, 1.0).as_millis(), 3000);
    }

    #[test]
    fn errors_name_field_and_value() {
        let sec = Duration::from_secs;
        for (retry, message) in [
            (Retry::new(0, sec(1), sec(1)), "tries = 0: must be from 1 to 100"),
            (Retry::new(1, sec(0), sec(1)), "first = 0ns: must be from 1ms to 3600s"),
            (Retry::new(1, sec(2), sec(1)), "longest = 1s: must be from 2s to 3600s"),
        ] {
            assert_eq!(retry.validate().unwrap_err().to_string(), message);
        }
        assert_eq!(Retry::default().validate(), Ok(()));
    }

    proptest! {
        #[test]
        fn a_wait_is_within_its_bounds(n: u32, random in -1.0..2.0f64, first in 1u64..10_000, more in 0u64..100_000) {
            let retry = Retry::new(1, Duration::from_millis(first), Duration::from_millis(first + more));
            let wait = retry.wait(n, random);
            prop_assert!(wait >= retry.first / 2 && wait <= retry.longest, "{wait:?}");
        }
    }
}
