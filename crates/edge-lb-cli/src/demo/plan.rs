//! The demo's timetable: all backends work, one is killed, it comes back.
//!
//! Fractions of the whole, so that a demo of 5 s shows the same as one of an hour: killed at 30 %, back at 60 %.

use std::time::Duration;

/// The shortest demo that shows something: the killed backend must be noticed, and noticed again, by the health checks.
pub(crate) const SECONDS_MIN: u64 = 5;
/// A day: longer is not a demo.
pub(crate) const SECONDS_MAX: u64 = 86_400;

/// When what happens, from the demo's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// One backend is killed.
    pub(crate) kill: Duration,
    /// It is started again.
    pub(crate) revive: Duration,
    /// The load ends.
    pub(crate) end: Duration,
}

/// What is going on at a moment of the plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    /// All backends work.
    Before,
    /// One is dead.
    Dead,
    /// It is back.
    Back,
    /// The load has ended.
    Over,
}

impl Plan {
    /// The timetable of a demo that lasts `end`.
    pub(crate) fn new(end: Duration) -> Self {
        Self { kill: end.mul_f64(0.3), revive: end.mul_f64(0.6), end }
    }

    /// What is going on `at` this time.
    pub(crate) fn phase(&self, at: Duration) -> Phase {
        if at < self.kill {
            Phase::Before
        } else if at < self.revive {
            Phase::Dead
        } else if at < self.end {
            Phase::Back
        } else {
            Phase::Over
        }
    }

    /// How much is over, 0 to 1.
    pub(crate) fn progress(&self, at: Duration) -> f64 {
        (at.as_secs_f64() / self.end.as_secs_f64()).clamp(0.0, 1.0)
    }

    /// One line on what is going on, and what comes next; `victim` is the backend that is killed.
    pub(crate) fn caption(&self, at: Duration, victim: &str) -> String {
        let until = |then: Duration| then.saturating_sub(at).as_secs_f64().ceil();
        match self.phase(at) {
            Phase::Before => format!("killing {victim} in {} s", until(self.kill)),
            Phase::Dead => format!("{victim} is dead, back in {} s", until(self.revive)),
            Phase::Back => format!("{victim} is back, {} s left", until(self.end)),
            Phase::Over => "finishing the last requests".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn phases_follow_each_other() {
        let plan = Plan::new(Duration::from_secs(20));
        assert_eq!((plan.kill, plan.revive), (Duration::from_secs(6), Duration::from_secs(12)));
        for (at, phase, caption) in [
            (ms(0), Phase::Before, "killing b in 6 s"),
            (ms(2_500), Phase::Before, "killing b in 4 s"),
            (ms(5_999), Phase::Before, "killing b in 1 s"),
            (ms(6_000), Phase::Dead, "b is dead, back in 6 s"),
            (ms(12_000), Phase::Back, "b is back, 8 s left"),
            (ms(20_000), Phase::Over, "finishing the last requests"),
            (ms(99_000), Phase::Over, "finishing the last requests"),
        ] {
            assert_eq!(plan.phase(at), phase, "{at:?}");
            assert_eq!(plan.caption(at, "b"), caption);
        }
    }

    #[test]
    fn progress_is_a_share_of_the_whole() {
        let plan = Plan::new(Duration::from_secs(8));
        assert_eq!(plan.progress(ms(0)), 0.0);
        assert_eq!(plan.progress(ms(2_000)), 0.25);
        assert_eq!(plan.progress(ms(99_000)), 1.0);
    }

    #[test]
    fn the_shortest_demo_leaves_time_to_notice() {
        // Two failed checks, 500 ms apart and stretched by 10 %, the first up to 500 ms away.
        let plan = Plan::new(Duration::from_secs(SECONDS_MIN));
        assert!(plan.revive - plan.kill > ms(1_100));
        assert!(plan.end - plan.revive > ms(1_100));
    }
}
