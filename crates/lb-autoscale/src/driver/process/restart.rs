//! When is a crashed instance started again, and when is it given up? Pure; times and random numbers are handed in.
//!
//! An instance is given up at `tries` crashes within the window, or in a row without having been ready (a slow failure, such as one that
//! takes the whole start timeout, never fills a window). What is given up is not simply made anew, as the scaler would order at
//! its next beat: the driver rests first, twice as long each time, until an instance is ready.

use crate::driver::retry::{Retry, WAIT_MAX};
use lb_types::Nanos;
use std::collections::VecDeque;
use std::time::Duration;

/// The crashes of one instance; at most `tries` of them are kept.
#[derive(Debug, Default)]
pub(super) struct Crashes {
    times: VecDeque<Nanos>,
    /// Since it was ready.
    in_a_row: u32,
}

/// What to do after a crash.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    RestartIn(Duration),
    /// After so many tries.
    GiveUp(u32),
}

impl Crashes {
    /// It crashed, after it was ready or before.
    pub(super) fn crashed(
        &mut self,
        now: Nanos,
        was_ready: bool,
        retry: &Retry,
        window: Duration,
        random: f64,
    ) -> Verdict {
        self.in_a_row = if was_ready { 1 } else { self.in_a_row.saturating_add(1) };
        self.times.push_back(now);
        while self.times.front().is_some_and(|first| *first + window.into() <= now) {
            self.times.pop_front();
        }
        // Bounded by the giving up below.
        let count = self.in_a_row.max(u32::try_from(self.times.len()).unwrap_or(u32::MAX));
        if count >= retry.tries {
            return Verdict::GiveUp(count);
        }
        Verdict::RestartIn(retry.wait(count - 1, random))
    }
}

/// How long no instance is made after some were given up.
#[derive(Debug, Default)]
pub(super) struct Rest {
    until: Nanos,
    in_a_row: u32,
    reason: String,
}

impl Rest {
    pub(super) fn given_up(&mut self, now: Nanos, rest: Duration, reason: &str) {
        // Several that fail of one cause at one time are one failure.
        if now >= self.until {
            let factor = 1u32.checked_shl(self.in_a_row).unwrap_or(u32::MAX);
            self.until = now + rest.saturating_mul(factor).min(WAIT_MAX).into();
            self.in_a_row = self.in_a_row.saturating_add(1);
        }
        reason.clone_into(&mut self.reason);
    }

    pub(super) fn one_is_ready(&mut self) {
        *self = Self::default();
    }

    /// How much longer, and why.
    pub(super) fn left(&self, now: Nanos) -> Option<(Duration, String)> {
        (now < self.until).then(|| ((self.until - now).as_duration(), self.reason.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const WINDOW: Duration = Duration::from_secs(60);

    fn retry() -> Retry {
        Retry::new(3, Duration::from_secs(1), Duration::from_secs(8))
    }

    #[test]
    fn crashes_in_a_window_are_counted() {
        let mut crashes = Crashes::default();
        let mut at = |s, ready| crashes.crashed(Nanos::from_secs(s), ready, &retry(), WINDOW, 1.0);
        assert_eq!(at(0, true), Verdict::RestartIn(Duration::from_secs(1)));
        assert_eq!(at(59, true), Verdict::RestartIn(Duration::from_secs(2)));
        assert_eq!(at(60, true), Verdict::RestartIn(Duration::from_secs(2)));
        assert_eq!(at(61, true), Verdict::GiveUp(3));
    }

    #[test]
    fn slow_failures_are_counted_in_a_row() {
        let mut crashes = Crashes::default();
        let mut at = |s, ready| crashes.crashed(Nanos::from_secs(s), ready, &retry(), WINDOW, 1.0);
        assert_eq!(at(0, false), Verdict::RestartIn(Duration::from_secs(1)));
        assert_eq!(at(100, false), Verdict::RestartIn(Duration::from_secs(2)));
        assert_eq!(at(200, true), Verdict::RestartIn(Duration::from_secs(1)));
        assert_eq!(at(300, false), Verdict::RestartIn(Duration::from_secs(2)));
        assert_eq!(at(400, false), Verdict::GiveUp(3));
    }

    #[test]
    fn rests_longer_each_time_until_one_is_ready() {
        let mut rest = Rest::default();
        let (sec, ten) = (Nanos::from_secs, Duration::from_secs(10));
        rest.given_up(sec(0), ten, "a");
        rest.given_up(sec(1), ten, "b");
        assert_eq!(rest.left(sec(4)), Some((Duration::from_secs(6), "b".to_owned())));
        assert_eq!(rest.left(sec(10)), None);
        rest.given_up(sec(20), ten, "c");
        assert_eq!(rest.left(sec(20)).unwrap().0, Duration::from_secs(20));
        rest.one_is_ready();
        assert_eq!(rest.left(sec(20)), None);
        rest.given_up(sec(20), ten, "d");
        assert_eq!(rest.left(sec(20)).unwrap().0, ten);
    }

    proptest! {
        /// Against counting over all that ever happened.
        #[test]
        fn as_a_list_of_all_crashes(gaps in prop::collection::vec((0u64..40, any::<bool>()), 1..40)) {
            let (mut crashes, mut all, mut now) = (Crashes::default(), Vec::new(), 0);
            for (gap, ready) in gaps {
                now += gap;
                all.push((now, ready));
                let verdict = crashes.crashed(Nanos::from_secs(now), ready, &retry(), WINDOW, 1.0);
                let recent = all.iter().filter(|(at, _)| at + 60 > now).count();
                let row = all.iter().rev().take_while(|(_, ready)| !ready).count();
                let row = row + usize::from(row < all.len());
                let gives_up = recent.max(row) >= 3;
                prop_assert_eq!(matches!(verdict, Verdict::GiveUp(_)), gives_up, "{:?}", all);
                if gives_up { break; }
            }
        }
    }
}
