//! The least rate at which a client must send or take a body (Apache's `mod_reqtimeout`: `MinRate`).
//!
//! What counts is the time for which the proxy waited for the client, added up over a message, and not the time in which it had no use for
//! more: a slow backend makes no client slow. With `bytes` moved, a client may have been waited for `grace + bytes / rate`. A [`Pace`] is three
//! numbers and has no timer of its own: it says when the wait that is under way becomes too long, and that is the deadline.

use lb_types::Nanos;

/// How slow a client may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MinRate {
    /// Bytes a second, at least 1.
    pub(crate) bytes: u64,
    /// What it may be waited for beyond.
    pub(crate) grace: Nanos,
}

/// How a client fares with one message.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Pace {
    /// What was moved.
    bytes: u64,
    /// How long it was waited for, without the wait under way.
    waited: Nanos,
    /// Since when it is waited for.
    since: Option<Nanos>,
}

impl Pace {
    /// It is waited for from now on, unless it is already; gives the moment at which that is too long, at least `now`.
    pub(crate) fn wait(&mut self, rate: MinRate, now: Nanos) -> Nanos {
        let since = *self.since.get_or_insert(now);
        let earned = u128::from(self.bytes) * 1_000_000_000 / u128::from(rate.bytes.max(1));
        let may = rate.grace + Nanos(u64::try_from(earned).unwrap_or(u64::MAX));
        (since + (may - self.waited)).max(now)
    }

    /// The wait that is under way does not count: there is no use for more at present.
    pub(crate) fn pause(&mut self) {
        self.since = None;
    }

    /// It has moved so much; it is not waited for any more.
    pub(crate) fn moved(&mut self, bytes: u64, now: Nanos) {
        self.bytes = self.bytes.saturating_add(bytes);
        if let Some(since) = self.since.take() {
            self.waited += now - since;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: MinRate = MinRate { bytes: 500, grace: Nanos::from_secs(5) };

    #[test]
    fn only_waiting_counts() {
        let s = Nanos::from_secs;
        let mut pace = Pace::default();
        assert_eq!(pace.wait(RATE, s(10)), s(15), "the grace");
        pace.moved(1_000, s(14));
        assert_eq!(
            pace.wait(RATE, s(1_000)),
            s(1_003),
            "one second of the grace is left, and two are earned"
        );
        assert_eq!(pace.wait(RATE, s(1_001)), s(1_003), "the same wait");
        assert_eq!(pace.wait(RATE, s(1_009)), s(1_009), "too long");
    }

    #[test]
    fn a_trickle_is_too_slow_in_the_end() {
        let (mut pace, mut now, ms) = (Pace::default(), Nanos::ZERO, Nanos::from_millis(10));
        let mut bytes = 0;
        while pace.wait(RATE, now) > now {
            now += ms;
            bytes += 1;
            pace.moved(1, now);
        }
        // 100 bytes a second of 500: 5 s of grace last 6.25 s.
        assert_eq!((now.as_millis(), bytes), (6_250, 625));
    }

    proptest! {
        /// Against the definition: the waits are added up, each step by itself.
        #[test]
        fn as_the_definition_says(
            rate in 1u64..10_000,
            grace_ms in 0u64..10_000,
            steps in prop::collection::vec((0u64..3_000, 0u64..3_000, 0u64..5_000), 1..40),
        ) {
            let rate = MinRate { bytes: rate, grace: Nanos::from_millis(grace_ms) };
            let (mut pace, mut now, mut waited_ms, mut bytes) = (Pace::default(), Nanos::ZERO, 0u64, 0u64);
            for (busy, wait, moved) in steps {
                now += Nanos::from_millis(busy);
                let due = pace.wait(rate, now);
                let may_ms = grace_ms as f64 + bytes as f64 * 1e3 / rate.bytes as f64;
                let left_ms = (may_ms - waited_ms as f64).max(0.0);
                let said_ms = (due - now).as_secs_f64() * 1e3;
                prop_assert!((said_ms - left_ms).abs() < 0.01, "{said_ms} is not {left_ms}");
                now += Nanos::from_millis(wait);
                waited_ms += wait;
                bytes += moved;
                pace.moved(moved, now);
            }
        }
    }
}
