//! How fast the line moves: for telling who is refused when to come back.
//!
//! Services are counted in periods of ten seconds; the rate is that of the present period and the one before. Nothing is assumed
//! of an idle time: after two periods without a service the rate is zero.

use lb_types::Nanos;
use std::time::Duration;

const PERIOD: Nanos = Nanos::from_secs(10);
/// The shortest advice: HTTP's `Retry-After` has whole seconds.
const RETRY_MIN: f64 = 1.0;
/// The longest, also while nobody is served at all.
const RETRY_MAX: f64 = 60.0;

#[derive(Debug, Default)]
pub(super) struct Rate {
    began: Nanos,
    present: u64,
    before: u64,
    /// How much of the time before `began` is counted.
    span: Nanos,
}

impl Rate {
    pub(super) fn new(now: Nanos) -> Self {
        Self { began: now, ..Self::default() }
    }

    pub(super) fn served(&mut self, now: Nanos) {
        self.turn_over(now);
        self.present += 1;
    }

    /// When as many as wait now will have been served: whole seconds, from 1 to 60.
    pub(super) fn retry_after(&mut self, waiting: usize, now: Nanos) -> Duration {
        self.turn_over(now);
        let seconds = (now - self.began + self.span).as_secs_f64();
        let served = (self.before + self.present) as f64;
        let seconds = if served > 0.0 { waiting as f64 * seconds / served } else { RETRY_MAX };
        let advice = seconds.clamp(RETRY_MIN, RETRY_MAX);
        Duration::from_secs(advice.ceil() as u64)
    }

    fn turn_over(&mut self, now: Nanos) {
        let past = now - self.began;
        if past >= PERIOD + PERIOD {
            *self = Self { began: now, span: PERIOD, ..Self::default() };
        } else if past >= PERIOD {
            *self = Self { began: self.began + PERIOD, present: 0, before: self.present, span: PERIOD };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_over_the_rate_within_bounds() {
        let mut rate = Rate::new(Nanos::ZERO);
        assert_eq!(rate.retry_after(10, Nanos::ZERO).as_secs(), 60, "nobody was served");
        for ms in (0..5_000).step_by(100) {
            rate.served(Nanos::from_millis(ms));
        }
        let now = Nanos::from_secs(5);
        let advice = |rate: &mut Rate, waiting, now| rate.retry_after(waiting, now).as_secs();
        assert_eq!(advice(&mut rate, 100, now), 10, "ten a second");
        assert_eq!(advice(&mut rate, 105, now), 11, "rounded up");
        assert_eq!(advice(&mut rate, 3, now), 1);
        assert_eq!(advice(&mut rate, 1_000_000, now), 60);
        assert_eq!(advice(&mut rate, 50, Nanos::from_secs(15)), 15, "50 in 15 s");
        assert_eq!(advice(&mut rate, 50, Nanos::from_secs(35)), 60, "long ago");
    }
}
