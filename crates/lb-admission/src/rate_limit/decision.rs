//! What a limiter says of one request, and how a response tells it to the client.

use lb_types::store::RateAnswer;
use std::fmt;
use std::time::Duration;

/// What a limiter says of one request. A refusal is answered with 429 and the body [`Decision::MESSAGE`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Decision {
    /// Whether it may go on.
    pub allowed: bool,
    /// Whether it is over the limit: in a dry run it may go on all the same.
    pub limited: bool,
    /// The limit per window.
    pub limit: u64,
    /// How many more would be admitted now.
    pub remaining: u32,
    /// After what time all of the burst is there again.
    pub reset: Duration,
    /// If it is over the limit: when to come again, after what time the next would be admitted, or what the settings say instead.
    pub retry_after: Option<Duration>,
}

impl Decision {
    /// The body of a refusal.
    pub const MESSAGE: &str = "Rate limit exceeded";

    pub(super) fn new(answer: &RateAnswer, limit: u64, retry_after: Option<Duration>, dry_run: bool) -> Self {
        let limited = !answer.allowed;
        Self {
            allowed: answer.allowed || dry_run,
            limited,
            limit,
            remaining: answer.remaining,
            reset: answer.reset,
            retry_after: limited.then_some(retry_after.unwrap_or(answer.retry_after)),
        }
    }

    /// What to do when nobody counted.
    pub(super) const fn uncounted(allowed: bool, limit: u64, retry_after: Duration, dry_run: bool) -> Self {
        Self {
            allowed: allowed || dry_run,
            limited: !allowed,
            limit,
            remaining: 0,
            reset: Duration::ZERO,
            retry_after: if allowed { None } else { Some(retry_after) },
        }
    }

    /// The value of `Retry-After` in whole seconds, rounded up, 1 at least; `None` for a request within the limit.
    pub const fn retry_after_s(&self) -> Option<u64> {
        match self.retry_after {
            None => None,
            Some(time) => {
                let s = seconds(time);
                Some(if s == 0 { 1 } else { s })
            }
        }
    }

    /// The value of `RateLimit` (draft-ietf-httpapi-ratelimit-headers): `"default";r=50;t=30`. `name` is the limiter's.
    pub const fn header<'a>(&self, name: &'a str) -> Header<'a> {
        Header { name, remaining: self.remaining, reset_s: seconds(self.reset) }
    }
}

/// Rounded up.
const fn seconds(time: Duration) -> u64 {
    time.as_secs() + (time.subsec_nanos() > 0) as u64
}

/// Writes the value of a `RateLimit` header when it is displayed.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    name: &'a str,
    remaining: u32,
    reset_s: u64,
}

impl fmt::Display for Header<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\";r={};t={}", self.name, self.remaining, self.reset_s)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(allowed: bool, retry_ms: u64) -> RateAnswer {
        RateAnswer {
            allowed,
            remaining: 3,
            retry_after: Duration::from_millis(retry_ms),
            reset: Duration::from_millis(1_001),
        }
    }

    #[test]
    fn seconds_are_rounded_up_and_one_at_least() {
        let after = |ms, fixed| Decision::new(&answer(false, ms), 9, fixed, false).retry_after_s();
        assert_eq!([0, 1, 999, 1_000, 1_001].map(|ms| after(ms, None)), [1, 1, 1, 1, 2].map(Some));
        assert_eq!(after(999, Some(Duration::from_secs(30))), Some(30));
        let within = Decision::new(&answer(true, 0), 9, Some(Duration::from_secs(30)), false);
        assert_eq!((within.retry_after, within.retry_after_s()), (None, None));
        assert_eq!(within.header("api").to_string(), r#""api";r=3;t=2"#);
    }

    #[test]
    fn a_dry_run_refuses_nobody_and_says_what_it_would_have_done() {
        let decision = Decision::new(&answer(false, 5_000), 9, None, true);
        assert_eq!((decision.allowed, decision.limited, decision.retry_after_s()), (true, true, Some(5)));
    }
}
