//! One request's tries, and the verdict after each that failed.
//!
//! Another try is made when all of this holds: the failure is one of [`RetryOn`](super::RetryOn)'s; there were fewer
//! than `max_retries`; the request can be sent again; the wait ends before the exchange must; and the budget grants it.
//! The wait is the backoff's, with two exceptions:
//!
//! - The *first* retry after a failure to connect, to a backend that was not tried, goes at once. Nothing was sent, so nobody is
//!   relieved by waiting.
//! - A backend that said `Retry-After` is not asked before that. It speaks for itself alone: another backend is asked after the
//!   usual wait; if there is none, the retry waits for it, or is not made if that is beyond `retry_after_max`.
//!
//! Going on to an untried backend after a failure to connect is not counted against the budget: the budget bounds how many
//! requests backends get (≤ 1.2 × + 10/s by default), and the one that could not be reached got none. So a dead backend that health
//! checks have not found out yet costs no client an error, however many requests it is picked for.

use super::RetryPolicy;
use super::on::Failure;
use lb_breaker::Retry;
use lb_types::Nanos;
use std::time::Duration;

/// The tries of one request so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tries {
    /// Retries, those included that wait.
    retries: u32,
    /// No backend that was tried may be asked before.
    not_before: Nanos,
}

/// How things stand after a failed try.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation {
    pub(crate) now: Nanos,
    /// When the whole exchange must end.
    pub(crate) end: Nanos,
    /// Another backend is usable that was not tried.
    pub(crate) another: bool,
    /// What the backend said.
    pub(crate) retry_after: Option<Duration>,
    /// Uniform over all of `u64`.
    pub(crate) random: u64,
}

/// What comes after a failed try.
#[derive(Debug)]
pub(crate) enum Verdict<'p> {
    /// Nothing: the failure, or the response, is the client's.
    Over,
    /// Nothing, and the budget alone is the reason.
    Refused,
    /// Another try.
    Again {
        /// After this time.
        wait: Duration,
        /// What the budget granted; `None`: it was not asked.
        granted: Option<Retry<'p>>,
    },
}

impl Tries {
    /// Has the request been tried only once, or not yet?
    #[inline]
    pub(crate) fn is_first(&self) -> bool {
        self.retries == 0
    }

    /// Whether another try is worth a thought, so that nothing further need be found out where it is not.
    pub(crate) fn may_go_on(&self, policy: &RetryPolicy, failure: Failure) -> bool {
        self.retries < policy.settings.max_retries && policy.settings.retry_on.has(failure)
    }

    /// The verdict after a failure that [may be retried](Self::may_go_on), of a request that can be sent again.
    pub(crate) fn after<'p>(
        &mut self,
        policy: &'p RetryPolicy,
        failure: Failure,
        s: &Situation,
    ) -> Verdict<'p> {
        let settings = &policy.settings;
        if !self.may_go_on(policy, failure) {
            return Verdict::Over;
        }
        let moves_on = failure == Failure::Connect && s.another;
        let mut wait = match moves_on && self.is_first() {
            true => Duration::ZERO,
            false => settings.backoff.delay(self.retries, s.random),
        };
        if let Some(after) = s.retry_after {
            self.not_before = self.not_before.max(s.now + after.into());
        }
        if !s.another {
            let asked = (self.not_before - s.now).as_duration();
            if asked > settings.retry_after_max {
                return Verdict::Over;
            }
            wait = wait.max(asked);
        }
        if s.now + wait.into() >= s.end {
            return Verdict::Over;
        }
        let granted = if moves_on { None } else { policy.budget.try_retry(s.now) };
        if granted.is_none() && !moves_on {
            return Verdict::Refused;
        }
        self.retries += 1;
        Verdict::Again { wait, granted }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::retry::{RetryOn, RetrySettings};
    use http::StatusCode;
    use lb_breaker::{Backoff, BudgetSettings};

    const MS: fn(u64) -> Duration = Duration::from_millis;
    const UNAVAILABLE: Failure = Failure::Status(StatusCode::SERVICE_UNAVAILABLE);

    /// No jitter, so that waits can be told; a budget of two.
    fn policy(change: impl FnOnce(&mut RetrySettings)) -> RetryPolicy {
        let mut settings = RetrySettings {
            backoff: Backoff::default().jitter(false),
            budget: BudgetSettings::new().percent(0).min_per_second(2).window(MS(1_000)),
            ..RetrySettings::default()
        };
        change(&mut settings);
        RetryPolicy::new(settings).unwrap()
    }

    fn situation(another: bool) -> Situation {
        let now = Nanos::from_secs(5);
        Situation { now, end: Nanos::MAX, another, retry_after: None, random: 0 }
    }

    /// How long a verdict waits; the retry counts as sent.
    fn wait(verdict: Verdict<'_>) -> Option<Duration> {
        match verdict {
            Verdict::Again { wait, granted } => {
                if let Some(g) = granted {
                    g.made();
                }
                Some(wait)
            }
            Verdict::Over | Verdict::Refused => None,
        }
    }

    #[test]
    fn retries_back_off_and_end() {
        let p = policy(|s| s.budget = BudgetSettings::default());
        let mut t = Tries::default();
        let waits: Vec<_> = (0..4).map(|_| wait(t.after(&p, Failure::Reset, &situation(true)))).collect();
        assert_eq!(waits, [Some(MS(25)), Some(MS(50)), Some(MS(100)), None]);
    }

    #[test]
    fn what_is_not_listed_is_not_retried() {
        let p = policy(|s| s.retry_on = RetryOn::nothing().timeout());
        for failure in [Failure::Connect, Failure::Reset, UNAVAILABLE] {
            assert!(matches!(Tries::default().after(&p, failure, &situation(true)), Verdict::Over));
        }
        assert!(wait(Tries::default().after(&p, Failure::Timeout, &situation(true))).is_some());
    }

    #[test]
    fn after_a_failure_to_connect_the_first_retry_elsewhere_goes_at_once_and_is_free() {
        let p = policy(|s| s.max_retries = 9);
        let s = situation(true);
        let mut t = Tries::default();
        let waits: Vec<_> = (0..3).map(|_| wait(t.after(&p, Failure::Connect, &s))).collect();
        assert_eq!(waits, [Some(MS(0)), Some(MS(50)), Some(MS(100))]);
        assert_eq!(p.budget.spent(s.now), 0);
        let mut nowhere_else = Tries::default();
        assert_eq!(wait(nowhere_else.after(&p, Failure::Connect, &situation(false))), Some(MS(25)));
        assert_eq!(p.budget.spent(s.now), 1);
    }

    #[test]
    fn the_budget_refuses_and_takes_back() {
        let p = policy(|_| {});
        let s = situation(true);
        let held = [0; 2].map(|_| Tries::default().after(&p, UNAVAILABLE, &s));
        assert!(held.iter().all(|v| matches!(v, Verdict::Again { .. })));
        assert!(
            matches!(Tries::default().after(&p, UNAVAILABLE, &s), Verdict::Refused),
            "waiting ones count"
        );
        drop(held);
        assert!(wait(Tries::default().after(&p, UNAVAILABLE, &s)).is_some(), "the clients have left");
    }

    #[test]
    fn retry_after_speaks_for_the_one_backend() {
        let p = policy(|s| s.budget = BudgetSettings::default());
        let asks =
            |another, secs| Situation { retry_after: Some(Duration::from_secs(secs)), ..situation(another) };
        let first = |s| wait(Tries::default().after(&p, UNAVAILABLE, &s));
        assert_eq!(first(asks(true, 3_600)), Some(MS(25)), "another is asked");
        assert_eq!(first(asks(false, 1)), Some(MS(1_000)), "the same, when it wants to be");
        assert_eq!(first(asks(false, 2)), None, "too long");
        assert_eq!(first(asks(false, u64::MAX)), None);
        assert_eq!(first(asks(false, 0)), Some(MS(25)));
        // What one of them asked for holds when all have been tried.
        let mut t = Tries::default();
        assert_eq!(wait(t.after(&p, UNAVAILABLE, &asks(true, 1))), Some(MS(25)));
        let later = Situation { now: Nanos::from_millis(5_300), ..situation(false) };
        assert_eq!(wait(t.after(&p, UNAVAILABLE, &later)), Some(MS(700)));
    }

    #[test]
    fn no_wait_reaches_beyond_the_end() {
        let p = policy(|_| {});
        let by = |ms| Situation { end: situation(true).now + Nanos::from_millis(ms), ..situation(true) };
        assert_eq!(wait(Tries::default().after(&p, Failure::Timeout, &by(25))), None);
        assert_eq!(wait(Tries::default().after(&p, Failure::Timeout, &by(26))), Some(MS(25)));
        assert_eq!(wait(Tries::default().after(&p, Failure::Connect, &by(0))), None);
        assert_eq!(p.budget.spent(by(0).now), 1, "nothing was spent on what was not made");
    }
}
