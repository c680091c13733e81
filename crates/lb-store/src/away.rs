//! When is a store away, and when may it be asked again? A pure state machine: time and randomness come in.
//!
//! ```text
//!               an error that means "away"
//!   ┌──────┐ ────────────────────────────────► ┌──────┐  every `retry_min` … `retry_max`, doubling:
//!   │ here │                                   │ away │  one call goes through as a probe, the others fail at once
//!   └──────┘ ◄──────────────────────────────── └──────┘
//!               a probe that was answered
//! ```
//!
//! One error is enough: a store that shares state is asked for by requests that wait, and each would wait for its own time-out. What is
//! lost is little, as the first probe follows after `retry_min`. A breaker with rates and windows would do less here and say no more.
//!
//! The wait before probe n = 0, 1, 2 … is uniform over the upper half of min(`retry_max`, `retry_min` · 2ⁿ): half of it is certain, so
//! that an outage is not answered with probes in a row, and the jitter keeps many processes from asking a store that returns all at once.

use lb_types::SettingsError;
use lb_types::{Nanos, StoreError};
use std::time::Duration;

/// Settings of an outage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct AwaySettings {
    /// Before the first probe, default 100 ms (1 ms – 1 h).
    pub retry_min: Duration,
    /// The most between probes, default 2 s (`retry_min` – 1 h): so long a store that is back may go unnoticed.
    pub retry_max: Duration,
    /// A probe that has not ended by then counts as failed, default 5 s (1 ms – 1 h): its task was stopped, and said nothing.
    pub probe_limit: Duration,
}

impl Default for AwaySettings {
    fn default() -> Self {
        Self {
            retry_min: Duration::from_millis(100),
            retry_max: Duration::from_secs(2),
            probe_limit: Duration::from_secs(5),
        }
    }
}

impl AwaySettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other waits before probes.
    #[must_use]
    pub fn retry(mut self, min: Duration, max: Duration) -> Self {
        (self.retry_min, self.retry_max) = (min, max);
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        const SHORTEST: Duration = Duration::from_millis(1);
        const LONGEST: Duration = Duration::from_secs(60 * 60);
        for (field, value, least) in [
            ("retry_min", self.retry_min, SHORTEST),
            ("retry_max", self.retry_max, self.retry_min),
            ("probe_limit", self.probe_limit, SHORTEST),
        ] {
            if !(least..=LONGEST).contains(&value) {
                return Err(SettingsError::new(field, value, format!("must be from {least:?} to 1 h")));
            }
        }
        Ok(())
    }
}

/// May a call go through?
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Admission {
    /// The store is here.
    Call,
    /// The store is away, and this call finds out whether it still is.
    Probe,
    /// The store is away: this is why.
    Fail(StoreError),
}

/// What a call's end changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    None,
    Left(StoreError),
    Back { was_away: Nanos, failed_fast: u64 },
}

#[derive(Debug, Default)]
pub(crate) struct Presence {
    outage: Option<Outage>,
    /// When it last came back: a call that began before says nothing of now.
    back: Nanos,
}

#[derive(Debug)]
struct Outage {
    since: Nanos,
    error: StoreError,
    failed_fast: u64,
    probes: u32,
    next_probe: Nanos,
}

impl Presence {
    pub(crate) fn away_since(&self) -> Option<Nanos> {
        self.outage.as_ref().map(|outage| outage.since)
    }

    pub(crate) fn admit(&mut self, settings: &AwaySettings, now: Nanos) -> Admission {
        let Some(outage) = &mut self.outage else { return Admission::Call };
        if now < outage.next_probe {
            outage.failed_fast += 1;
            return Admission::Fail(outage.error.clone());
        }
        // Nobody else until this one has ended, or has been forgotten.
        outage.next_probe = now + settings.probe_limit.into();
        Admission::Probe
    }

    /// A call was answered. Only the answer to a probe of this outage ends it: one that was sent before it and came late says nothing.
    pub(crate) fn answered(&mut self, was_probe: bool, began: Nanos, now: Nanos) -> Change {
        match self.outage.take_if(|outage| was_probe && began >= outage.since) {
            None => Change::None,
            Some(outage) => {
                self.back = now;
                Change::Back { was_away: now - outage.since, failed_fast: outage.failed_fast }
            }
        }
    }

    /// A call found the store away. `random` is uniform over all of `u64`.
    pub(crate) fn failed(
        &mut self,
        settings: &AwaySettings,
        error: StoreError,
        was_probe: bool,
        began: Nanos,
        now: Nanos,
        random: u64,
    ) -> Change {
        let wait = |probes: u32| {
            let factor = 1u32.checked_shl(probes).unwrap_or(u32::MAX);
            let most = Nanos::from(settings.retry_min.saturating_mul(factor).min(settings.retry_max)).0;
            let half = most / 2;
            Nanos(most - ((u128::from(half) * u128::from(random)) >> 64) as u64)
        };
        match &mut self.outage {
            // It was under way when another call found that the store is back.
            None if began < self.back => Change::None,
            None => {
                let next_probe = now + wait(0);
                self.outage =
                    Some(Outage { since: now, error: error.clone(), failed_fast: 0, probes: 0, next_probe });
                Change::Left(error)
            }
            Some(outage) if was_probe => {
                outage.probes = outage.probes.saturating_add(1);
                outage.next_probe = now + wait(outage.probes);
                outage.error = error;
                Change::None
            }
            // One of those that were under way when the first failed.
            Some(_) => Change::None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: fn(u64) -> Nanos = Nanos::from_millis;

    fn gone() -> StoreError {
        StoreError::Timeout { limit: Duration::from_millis(20) }
    }

    #[test]
    fn one_error_is_enough_and_one_probe_at_a_time() {
        let (s, mut p) = (AwaySettings::default(), Presence::default());
        assert_eq!(p.admit(&s, MS(0)), Admission::Call);
        assert_eq!(p.failed(&s, gone(), false, MS(20), MS(20), 0), Change::Left(gone()));
        assert_eq!(p.failed(&s, gone(), false, MS(21), MS(21), 0), Change::None, "it was under way");
        assert_eq!(p.answered(false, MS(22), MS(22)), Change::None, "so was this, and came late");
        assert_eq!(p.admit(&s, MS(119)), Admission::Fail(gone()));
        assert_eq!(p.admit(&s, MS(120)), Admission::Probe);
        assert_eq!(p.admit(&s, MS(120)), Admission::Fail(gone()));
        assert_eq!(p.answered(true, MS(121), MS(121)), Change::Back { was_away: MS(101), failed_fast: 2 });
        assert_eq!((p.admit(&s, MS(121)), p.away_since()), (Admission::Call, None));
    }

    #[test]
    fn what_began_before_the_store_was_back_is_no_news() {
        let (s, mut p) = (AwaySettings::default(), Presence::default());
        p.failed(&s, gone(), false, MS(0), MS(20), 0);
        assert_eq!(p.admit(&s, MS(120)), Admission::Probe, "it hangs, and is forgotten");
        assert_eq!(p.admit(&s, MS(5_120)), Admission::Probe);
        assert!(matches!(p.answered(true, MS(5_120), MS(5_121)), Change::Back { .. }));
        assert_eq!(p.failed(&s, gone(), false, MS(10), MS(5_122), 0), Change::None, "a slow call of before");
        assert_eq!(p.failed(&s, gone(), true, MS(120), MS(5_123), 0), Change::None, "the first probe");
        assert_eq!(p.admit(&s, MS(5_124)), Admission::Call);
        // Nor does it end the next outage.
        assert_eq!(p.failed(&s, gone(), false, MS(5_124), MS(5_144), 0), Change::Left(gone()));
        assert_eq!(p.answered(true, MS(120), MS(5_145)), Change::None);
        assert_eq!(p.away_since(), Some(MS(5_144)));
    }

    #[test]
    fn waits_double_up_to_the_most_and_jitter_takes_half_at_most() {
        for (random, of_most) in [(0, 1.0), (u64::MAX, 0.5)] {
            let (s, mut p) = (AwaySettings::default(), Presence::default());
            let mut now = MS(0);
            p.failed(&s, gone(), false, now, now, random);
            for most_ms in [100.0, 200.0, 400.0, 800.0, 1_600.0, 2_000.0, 2_000.0f64] {
                let due = now + MS((most_ms * of_most) as u64);
                assert!(matches!(p.admit(&s, due - MS(1)), Admission::Fail(_)), "{most_ms}");
                now = due + MS(1);
                assert_eq!(p.admit(&s, now), Admission::Probe, "{most_ms}");
                p.failed(&s, gone(), true, now, now, random);
            }
        }
    }

    #[test]
    fn a_probe_that_never_ends_does_not_keep_the_store_away() {
        let (s, mut p) = (AwaySettings::default(), Presence::default());
        p.failed(&s, gone(), false, MS(0), MS(0), 0);
        assert_eq!(p.admit(&s, MS(100)), Admission::Probe);
        assert!(matches!(p.admit(&s, MS(5_099)), Admission::Fail(_)));
        assert_eq!(p.admit(&s, MS(5_100)), Admission::Probe);
    }

    #[test]
    fn bounds_are_named() {
        let ms = Duration::from_millis;
        let error = |s: AwaySettings| s.validate().unwrap_err().to_string();
        assert_eq!(AwaySettings::default().validate(), Ok(()));
        assert_eq!(
            error(AwaySettings::new().retry(ms(0), ms(1))),
            "retry_min = 0ns: must be from 1ms to 1 h"
        );
        assert_eq!(
            error(AwaySettings::new().retry(ms(9), ms(1))),
            "retry_max = 1ms: must be from 9ms to 1 h"
        );
    }
}
