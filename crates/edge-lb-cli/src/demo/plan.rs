//! The demo's timetable: all backends work; one dies, one turns slow, one starts to fail; each recovers.
//!
//! An [`Act`] is a row of [`SCRIPT`]: what happens to which backend, and from when to when, as fractions of the whole, so that a demo
//! of 8 s shows the same as one of an hour. What is done to a backend and what is said of it follow from its [`Fault`].

use std::time::Duration;

/// The shortest demo that shows something: each fault must be noticed, and its end must be. See the test below.
pub(crate) const SECONDS_MIN: u64 = 8;
/// A day: longer is not a demo.
pub(crate) const SECONDS_MAX: u64 = 86_400;

/// What is the matter with a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is dead: its port is closed, its connections are reset.
    Dead,
    /// It answers rightly and takes far too long.
    Slow,
    /// It answers 500 to everything at once.
    Failing,
}

impl Fault {
    /// What will happen.
    fn begins(self) -> &'static str {
        match self {
            Self::Dead => "is killed",
            Self::Slow => "turns slow",
            Self::Failing => "starts to fail",
        }
    }

    /// What is.
    fn lasts(self) -> &'static str {
        match self {
            Self::Dead => "is dead",
            Self::Slow => "is slow",
            Self::Failing => "answers 500",
        }
    }

    /// One word for the table, of a backend that has this fault and gets traffic all the same.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Slow => "slow",
            Self::Failing => "failing",
        }
    }
}

/// One backend has one fault for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Act {
    pub(crate) fault: Fault,
    /// Which backend, counted from 0.
    pub(crate) backend: usize,
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
}

impl Act {
    fn is_on(&self, at: Duration) -> bool {
        self.begin <= at && at < self.end
    }
}

/// Fault, backend, and the parts of the whole at which it begins and ends.
const SCRIPT: [(Fault, usize, f64, f64); 3] =
    [(Fault::Dead, 1, 0.10, 0.35), (Fault::Slow, 2, 0.40, 0.65), (Fault::Failing, 3, 0.50, 0.60)];

/// So many backends it takes: one for each fault, and one that is always well.
pub(crate) const BACKENDS_MIN: i64 = 1 + SCRIPT.len() as i64;

/// When what happens, from the demo's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) acts: [Act; SCRIPT.len()],
    /// The load ends.
    pub(crate) end: Duration,
}

impl Plan {
    /// The timetable of a demo that lasts `end`.
    pub(crate) fn new(end: Duration) -> Self {
        let acts = SCRIPT.map(|(fault, backend, from, to)| Act {
            fault,
            backend,
            begin: end.mul_f64(from),
            end: end.mul_f64(to),
        });
        Self { acts, end }
    }

    /// Has the load ended?
    pub(crate) fn is_over(&self, at: Duration) -> bool {
        at >= self.end
    }

    /// What is the matter with this backend.
    pub(crate) fn fault(&self, at: Duration, backend: usize) -> Option<Fault> {
        self.acts.iter().find(|a| a.backend == backend && a.is_on(at)).map(|a| a.fault)
    }

    /// How much is over, 0 to 1.
    pub(crate) fn progress(&self, at: Duration) -> f64 {
        (at.as_secs_f64() / self.end.as_secs_f64()).clamp(0.0, 1.0)
    }

    /// One line on what is going on, and what comes next; `ids` are the backends'.
    pub(crate) fn caption(&self, at: Duration, ids: &[&str]) -> String {
        let until = |then: Duration| then.saturating_sub(at).as_secs_f64().ceil();
        let who = |a: &Act| ids.get(a.backend).copied().unwrap_or("?").to_owned();
        if self.is_over(at) {
            return "finishing the last requests".to_owned();
        }
        let on: Vec<_> = self.acts.iter().filter(|a| a.is_on(at)).collect();
        if let Some(end) = on.iter().map(|a| a.end).min() {
            let each: Vec<_> = on.iter().map(|a| format!("{} {}", who(a), a.fault.lasts())).collect();
            return format!("{}, {} s more", each.join(", "), until(end));
        }
        match self.acts.iter().filter(|a| a.begin > at).min_by_key(|a| a.begin) {
            Some(next) => format!("{} {} in {} s", who(next), next.fault.begins(), until(next.begin)),
            None => format!("all faults are over, {} s left", until(self.end)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::backend::SLOWNESS;
    use super::super::config;
    use super::*;
    use edge_lb::breaker::RateWindow;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn acts_follow_each_other() {
        let plan = Plan::new(Duration::from_secs(20));
        for (at, caption) in [
            (0, "b is killed in 2 s"),
            (1_999, "b is killed in 1 s"),
            (2_000, "b is dead, 5 s more"),
            (7_000, "c turns slow in 1 s"),
            (8_000, "c is slow, 5 s more"),
            (10_000, "c is slow, d answers 500, 2 s more"),
            (12_000, "c is slow, 1 s more"),
            (13_000, "all faults are over, 7 s left"),
            (20_000, "finishing the last requests"),
            (99_000, "finishing the last requests"),
        ] {
            assert_eq!(plan.caption(ms(at), &["a", "b", "c", "d"]), caption, "{at}");
        }
        let faults = |at| [0, 1, 2, 3].map(|b| plan.fault(ms(at), b));
        assert_eq!(faults(5_000), [None, Some(Fault::Dead), None, None]);
        assert_eq!(faults(11_000), [None, None, Some(Fault::Slow), Some(Fault::Failing)]);
        assert_eq!(faults(13_000), [None; 4]);
    }

    #[test]
    fn somebody_is_always_well() {
        let plan = Plan::new(Duration::from_secs(20));
        assert!(plan.acts.iter().all(|a| (1..BACKENDS_MIN as usize).contains(&a.backend)));
        assert!(plan.acts.iter().all(|a| a.begin < a.end && a.end < plan.end));
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
        let plan = Plan::new(Duration::from_secs(SECONDS_MIN));
        let pool = config::file().pools.remove(config::POOL).unwrap();
        let check = pool.health_check.unwrap();
        let breaker = pool.circuit_breaker.unwrap().settings;
        let ejection = pool.outlier_detection.unwrap().base_ejection_time;
        let [dead, slow, failing] = plan.acts;
        // Two checks, the first up to an interval away, stretched by 10 %.
        let checked = check.interval.mul_f64(2.0 * 1.1);
        assert!(dead.end - dead.begin > checked && plan.end - dead.end > checked);
        // Of 32 clients it has 8: with their third answers there are enough slow ones to open the breaker, at 1.2 times its new delay
        // at the latest.
        let takes = config::DELAYS[slow.backend] * SLOWNESS;
        let RateWindow::Calls(calls) = breaker.rate_window else { panic!("{breaker:?}") };
        assert!(breaker.slow_call_duration.unwrap() < takes.mul_f64(0.8) && calls / 2 < 3 * 8);
        assert!(
            slow.end - slow.begin > takes * 3 && plan.end - slow.begin > takes * 4 + breaker.recovery_timeout
        );
        // One ejection, stretched by 10 %, outlasts the fault.
        assert!(failing.end - failing.begin < ejection, "it need not be ejected twice");
        assert!(plan.end - failing.begin > ejection.mul_f64(1.1) + ms(500));
    }
}
