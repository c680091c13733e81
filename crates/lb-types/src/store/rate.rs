//! A rate as nodes that share a [`Store`](super::Store) agree on it: the generic cell rate algorithm (GCRA, ITU-T I.371).
//!
//! All that is known of a key is its **debt**: how long it takes, at the steady rate, until all that was admitted is paid off. It shrinks
//! by itself with time; each admission adds one `interval`. As long as it stays within `interval × (burst + 1)` a request is admitted. So
//! `burst + 1` are admitted at once, and one per `interval` after that; a key without debt need not be remembered at all.
//!
//! Whoever keeps the debt keeps the instant at which it ends (the theoretical arrival time) by a clock of its own, and
//! [`RateQuota::step`] says the rest. Debts are whole nanoseconds: nothing is lost over any number of steps.

use super::{STORE_TTL_MAX, StoreError};
use crate::{Nanos, SettingsError};
use std::time::Duration;

/// The shortest interval: 10 000 000 a second. Intervals are rounded up to a nanosecond, so a rate comes out up to 1 % too low there, and
/// up to 0.1 % at a million a second; it never comes out too high.
pub const RATE_INTERVAL_MIN: Duration = Duration::from_nanos(100);

/// A steady rate, and what may come beyond it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateQuota {
    interval: u64,
    burst: u32,
}

/// What a step of the algorithm says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateAnswer {
    /// Whether it is admitted.
    pub allowed: bool,
    /// How many more would be admitted now.
    pub remaining: u32,
    /// If it is not admitted: after what time it would be, if no other comes before. Zero if it is.
    pub retry_after: Duration,
    /// After what time all of the burst is there again: the debt that is left.
    pub reset: Duration,
}

impl RateQuota {
    /// One per `interval`, and `burst` beyond that.
    ///
    /// # Errors
    /// An interval below [`RATE_INTERVAL_MIN`]; or a burst that takes longer than [`STORE_TTL_MAX`] to come back.
    pub fn new(interval: Duration, burst: u32) -> Result<Self, SettingsError> {
        if interval < RATE_INTERVAL_MIN {
            return Err(SettingsError::new("interval", interval, "must be 100 ns or more"));
        }
        let full = interval.as_nanos().saturating_mul(u128::from(burst) + 1);
        if full > STORE_TTL_MAX.as_nanos() {
            return Err(SettingsError::new("burst", burst, "must be admitted again within 366 days"));
        }
        Ok(Self { interval: Nanos::from(interval).0, burst })
    }

    /// `limit` per `window`, and `burst` beyond that. The interval is rounded up.
    ///
    /// # Errors
    /// A limit of 0, and as [`RateQuota::new`].
    pub fn per(limit: u64, window: Duration, burst: u32) -> Result<Self, SettingsError> {
        if limit == 0 {
            return Err(SettingsError::new("limit", limit, "must be 1 or more"));
        }
        let interval = window.as_nanos().div_ceil(u128::from(limit));
        Self::new(Duration::from_nanos(u64::try_from(interval).unwrap_or(u64::MAX)), burst)
    }

    /// The time between two at the steady rate.
    pub const fn interval(self) -> Duration {
        Duration::from_nanos(self.interval)
    }

    /// How many may come beyond the steady rate.
    pub const fn burst(self) -> u32 {
        self.burst
    }

    /// The most debt there can be: `interval × (burst + 1)`, 366 days at most.
    pub const fn capacity(self) -> Nanos {
        Nanos(self.interval * (self.burst as u64 + 1))
    }

    /// What `cost` adds to the debt.
    pub const fn debt_of(self, cost: u32) -> Nanos {
        Nanos(self.interval.saturating_mul(cost as u64))
    }

    /// Whether `cost` can ever be admitted.
    ///
    /// # Errors
    /// [`StoreError::BadCost`] above `burst + 1`.
    pub const fn check_cost(self, cost: u32) -> Result<(), StoreError> {
        if cost as u64 > self.burst as u64 + 1 {
            return Err(StoreError::BadCost { cost, burst: self.burst });
        }
        Ok(())
    }

    /// One step with `debt` so far: what it says, and with `reset` what the debt is after it. A cost of 0 only looks.
    ///
    /// A debt above [`capacity`](Self::capacity) counts as that much: the quota was lowered, or a clock was set back.
    pub fn step(self, debt: Nanos, cost: u32) -> RateAnswer {
        let debt = debt.min(self.capacity());
        let after = debt + self.debt_of(cost);
        if after <= self.capacity() { self.answer(true, after, cost) } else { self.answer(false, debt, cost) }
    }

    /// The answer in words, for those who decide elsewhere: `debt` is what is left after the step.
    pub fn answer(self, allowed: bool, debt: Nanos, cost: u32) -> RateAnswer {
        let capacity = self.capacity();
        let remaining = (capacity - debt).0 / self.interval;
        RateAnswer {
            allowed,
            remaining: u32::try_from(remaining).unwrap_or(u32::MAX),
            retry_after: if allowed {
                Duration::ZERO
            } else {
                (debt + self.debt_of(cost) - capacity).as_duration()
            },
            reset: debt.as_duration(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_a_second_and_four_beyond() {
        let quota = RateQuota::new(Duration::from_secs(1), 4).unwrap();
        let mut tat = Nanos::ZERO;
        let mut at = |ms: u64| {
            let now = Nanos::from_millis(ms);
            let answer = quota.step(tat - now, 1);
            tat = now + answer.reset.into();
            (answer.allowed, answer.remaining, answer.retry_after.as_millis())
        };
        for remaining in [4, 3, 2, 1, 0] {
            assert_eq!(at(0), (true, remaining, 0));
        }
        assert_eq!(at(0), (false, 0, 1_000));
        assert_eq!(at(250), (false, 0, 750));
        assert_eq!([at(3_000), at(3_100), at(4_000), at(8_000)].map(|a| a.1), [2, 1, 1, 4]);
    }

    #[test]
    fn a_cost_counts_as_many_and_none_only_looks() {
        let quota = RateQuota::new(Duration::from_secs(1), 4).unwrap();
        let three = quota.step(Nanos::ZERO, 3);
        assert_eq!((three.allowed, three.remaining), (true, 2));
        let again = quota.step(three.reset.into(), 3);
        assert_eq!((again.allowed, again.remaining, again.retry_after.as_secs()), (false, 2, 1));
        assert_eq!(quota.step(three.reset.into(), 0), RateAnswer { allowed: true, ..three });
        assert_eq!(quota.check_cost(5), Ok(()));
        assert_eq!(
            quota.check_cost(6).unwrap_err().to_string(),
            "cost = 6: a burst of 4 never admits so much at once"
        );
    }

    #[test]
    fn a_debt_above_the_most_counts_as_the_most() {
        let quota = RateQuota::new(Duration::from_secs(1), 4).unwrap();
        let answer = quota.step(Nanos::MAX, 1);
        assert_eq!((answer.allowed, answer.retry_after.as_secs(), answer.reset.as_secs()), (false, 1, 5));
    }

    #[test]
    fn quotas_have_bounds() {
        let error = |quota: Result<RateQuota, SettingsError>| quota.unwrap_err().to_string();
        let second = Duration::from_secs(1);
        assert_eq!(error(RateQuota::per(0, second, 0)), "limit = 0: must be 1 or more");
        assert_eq!(
            error(RateQuota::per(10_000_001 * 2, second, 0)),
            "interval = 50ns: must be 100 ns or more"
        );
        assert_eq!(RateQuota::per(10_000_000, second, 0).unwrap().interval(), RATE_INTERVAL_MIN);
        assert_eq!(RateQuota::per(7, second, 0).unwrap().interval().as_nanos(), 142_857_143);
        let day = Duration::from_secs(86_400);
        assert_eq!(error(RateQuota::new(day, 366)), "burst = 366: must be admitted again within 366 days");
        assert_eq!(RateQuota::new(day, 365).unwrap().capacity().as_duration(), STORE_TTL_MAX);
        assert!(RateQuota::new(Duration::MAX, u32::MAX).is_err());
    }
}
