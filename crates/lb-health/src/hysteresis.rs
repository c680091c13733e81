//! Rise and fall: how many results in a row it takes to change a verdict.
//!
//! A pure state machine, without clock or I/O. It takes results and gives transitions:
//!
//! - *Unknown*: nothing was checked yet. Such a backend counts as healthy, so that a starting proxy serves at once,
//!   and the **first result alone decides**, whatever the thresholds (as in HAProxy and Envoy): a dead backend is found
//!   by one check, not by three.
//! - *Healthy*: `unhealthy` failures in a row make it unhealthy; one success starts the count anew.
//! - *Unhealthy*: `healthy` successes in a row make it healthy; one failure starts the count anew.
//!
//! O(1) time and space a result. It lacks any notion of rates or windows: that is outlier detection's.

use crate::HealthCheck;

/// How many results in a row change a verdict. A 0 acts as 1; [`HealthCheck::validate`] refuses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    /// Successes in a row until an unhealthy backend is healthy.
    pub healthy: u32,
    /// Failures in a row until a healthy backend is unhealthy.
    pub unhealthy: u32,
}

impl From<&HealthCheck> for Thresholds {
    fn from(s: &HealthCheck) -> Self {
        Self { healthy: s.healthy_threshold, unhealthy: s.unhealthy_threshold }
    }
}

/// A verdict that was just reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transition {
    /// It is healthy from now on (also: the first result passed).
    ToHealthy,
    /// It is unhealthy from now on.
    ToUnhealthy,
}

/// The verdict on one backend and the results that speak for or against it.
///
/// ```
/// use lb_health::hysteresis::{Hysteresis, Thresholds, Transition};
/// let t = Thresholds { healthy: 2, unhealthy: 3 };
/// let mut h = Hysteresis::new();
/// assert!(h.is_healthy()); // until checked
/// assert_eq!(h.record(true, t), Some(Transition::ToHealthy)); // the first result decides
/// assert_eq!(h.record(false, t), None);
/// assert_eq!(h.record(false, t), None);
/// assert!(h.is_changing());
/// assert_eq!(h.record(false, t), Some(Transition::ToUnhealthy));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hysteresis {
    healthy: bool,
    decided: bool,
    successes: u32,
    failures: u32,
}

impl Default for Hysteresis {
    fn default() -> Self {
        Self::new()
    }
}

impl Hysteresis {
    /// Unknown: healthy until checked.
    pub const fn new() -> Self {
        Self { healthy: true, decided: false, successes: 0, failures: 0 }
    }

    /// Counts one result; `Some` when it brings a verdict that was not there before.
    pub fn record(&mut self, passed: bool, thresholds: Thresholds) -> Option<Transition> {
        if passed {
            self.successes = self.successes.saturating_add(1);
            self.failures = 0;
        } else {
            self.failures = self.failures.saturating_add(1);
            self.successes = 0;
        }
        let verdict = match (self.decided, self.healthy) {
            (false, _) => passed,
            (true, true) => passed || self.failures < thresholds.unhealthy,
            (true, false) => passed && self.successes >= thresholds.healthy,
        };
        let news = !self.decided || verdict != self.healthy;
        self.healthy = verdict;
        self.decided = true;
        news.then_some(if verdict { Transition::ToHealthy } else { Transition::ToUnhealthy })
    }

    /// Keeps the verdict, but lets the next result alone decide: for a backend that was not checked for a while.
    pub fn reconsider(&mut self) {
        self.decided = false;
    }

    /// The verdict; `true` before the first result.
    pub const fn is_healthy(&self) -> bool {
        self.healthy
    }

    /// Whether results speak against the verdict, but not enough of them yet. Such a backend is checked faster.
    pub const fn is_changing(&self) -> bool {
        self.decided && (if self.healthy { self.failures > 0 } else { self.successes > 0 })
    }

    /// Successes since the last failure.
    pub const fn consecutive_successes(&self) -> u32 {
        self.successes
    }

    /// Failures since the last success.
    pub const fn consecutive_failures(&self) -> u32 {
        self.failures
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const T: Thresholds = Thresholds { healthy: 2, unhealthy: 3 };

    #[test]
    fn first_result_alone_decides() {
        let mut h = Hysteresis::new();
        assert!(h.is_healthy());
        assert_eq!(h.record(false, T), Some(Transition::ToUnhealthy));
        assert!(!h.is_healthy() && !h.is_changing());
        let mut h = Hysteresis::new();
        assert_eq!(h.record(true, T), Some(Transition::ToHealthy));
    }

    #[test]
    fn one_contrary_result_starts_the_count_anew() {
        let mut h = Hysteresis::new();
        h.record(true, T);
        for _ in 0..10 {
            assert_eq!(h.record(false, T), None);
            assert_eq!(h.record(false, T), None);
            assert!(h.is_changing());
            assert_eq!(h.record(true, T), None);
            assert!(!h.is_changing());
        }
    }

    #[test]
    fn reconsidered_backend_keeps_its_verdict_until_the_next_result() {
        let mut h = Hysteresis::new();
        h.record(false, T);
        h.reconsider();
        assert!(!h.is_healthy());
        assert_eq!(h.record(true, T), Some(Transition::ToHealthy));
    }

    #[test]
    fn counts_saturate() {
        let mut h = Hysteresis { healthy: true, decided: true, successes: u32::MAX, failures: 0 };
        h.record(true, T);
        assert_eq!(h.consecutive_successes(), u32::MAX);
    }

    /// The verdict by looking back over the whole history: no counters, no state but the verdict.
    fn naive(history: &[bool], t: Thresholds) -> Option<bool> {
        let run = |end: usize, length: u32, of: bool| {
            let length = length as usize;
            end + 1 >= length && history[end + 1 - length..=end].iter().all(|&r| r == of)
        };
        let mut verdict = *history.first()?;
        for end in 1..history.len() {
            verdict = if verdict { !run(end, t.unhealthy, false) } else { run(end, t.healthy, true) };
        }
        Some(verdict)
    }

    proptest! {
        #[test]
        fn agrees_with_the_naive_model(
            history in proptest::collection::vec(any::<bool>(), 0..60),
            healthy in 1u32..6,
            unhealthy in 1u32..6,
        ) {
            let t = Thresholds { healthy, unhealthy };
            let mut h = Hysteresis::new();
            for n in 0..history.len() {
                let before = naive(&history[..n], t);
                let after = naive(&history[..=n], t).expect("one result at least");
                let expected = (before != Some(after))
                    .then_some(if after { Transition::ToHealthy } else { Transition::ToUnhealthy });
                prop_assert_eq!(h.record(history[n], t), expected);
                prop_assert_eq!(h.is_healthy(), after);
                prop_assert_eq!(h.is_changing(), history[n] != after);
                prop_assert_eq!(h.consecutive_failures() == 0, history[n]);
                prop_assert_eq!(h.consecutive_successes() == 0, !history[n]);
            }
        }
    }
}
