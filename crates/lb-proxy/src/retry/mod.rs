//! Whether a request is tried again, when, and how often: plain decisions, without I/O.
//!
//! | file | what it holds |
//! |---|---|
//! | here | [`RetryPolicy`]: the settings with the budget that all requests share |
//! | `on` | [`RetryOn`]: which failures are worth another try |
//! | `hedge` | [`HedgeSettings`]: when a second try is made beside a slow first |
//! | `after` | what a backend says in `Retry-After` |
//! | `tries` | one request's tries, and the verdict after each |
//!
//! `forward` carries the verdicts out. It lacks a setting by method: what is safe to repeat follows from RFC 9110 alone.

pub(crate) mod after;
pub(crate) mod hedge;
mod on;
pub(crate) mod tries;

pub use hedge::HedgeSettings;
pub(crate) use on::Failure;
pub use on::RetryOn;

use lb_breaker::{Backoff, BudgetSettings, RetryBudget, SettingsError};
use std::time::Duration;

/// How requests are tried again. `Default` is the documented default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RetrySettings {
    /// How often, beyond the first try; default 3. 0: never.
    pub max_retries: u32,
    /// How long to wait before each retry; default up to 25 ms, doubling to 1 s, with full jitter.
    pub backoff: Backoff,
    /// How many retries there may be beside how many requests; default 20 % and 10/s, over 10 s.
    pub budget: BudgetSettings,
    /// Which failures are worth another try.
    pub retry_on: RetryOn,
    /// How long one try may take, from connecting (or, of a request with a body, from its last byte) to the response's head; default
    /// no limit of its own.
    pub per_try_timeout: Option<Duration>,
    /// The longest `Retry-After` that is waited for, default 1 s. A response that asks for more is handed on, unless another backend
    /// can be asked.
    pub retry_after_max: Duration,
    /// How many bytes of a request's body are kept to be sent again, default 64 KiB. A longer body is sent once.
    pub replay_buffer: usize,
    /// Whether a slow try gets another beside it; default not.
    pub hedge: Option<HedgeSettings>,
}

impl Default for RetrySettings {
    fn default() -> Self {
        Self {
            max_retries: 3,
            backoff: Backoff::default(),
            budget: BudgetSettings::default(),
            retry_on: RetryOn::default(),
            per_try_timeout: None,
            retry_after_max: Duration::from_secs(1),
            replay_buffer: 64 * 1024,
            hedge: None,
        }
    }
}

impl RetrySettings {
    /// Nothing is tried again. (A pooled connection that turns out to be closed is replaced all the same.)
    pub fn never() -> Self {
        Self { max_retries: 0, replay_buffer: 0, ..Self::default() }
    }
}

/// Settings in force, with the budget that they give: share it (in an `Arc`) among all that draw on one budget.
#[derive(Debug)]
pub struct RetryPolicy {
    settings: RetrySettings,
    budget: RetryBudget,
}

impl RetryPolicy {
    /// A policy whose budget is untouched.
    ///
    /// # Errors
    /// A setting of the backoff, the budget or the hedge that is out of its bounds.
    pub fn new(settings: RetrySettings) -> Result<Self, SettingsError> {
        settings.backoff.validate()?;
        settings.hedge.as_ref().map_or(Ok(()), HedgeSettings::validate)?;
        let budget = RetryBudget::new(settings.budget)?;
        Ok(Self { settings, budget })
    }

    /// The settings.
    pub fn settings(&self) -> &RetrySettings {
        &self.settings
    }

    /// The budget, to look at or to share.
    pub fn budget(&self) -> &RetryBudget {
        &self.budget
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self::new(RetrySettings::default()).expect("the default settings are within their bounds")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_out_of_bounds_are_refused_by_name() {
        let backoff = Backoff::exponential(Duration::from_secs(2), Duration::from_secs(1));
        let error = RetryPolicy::new(RetrySettings { backoff, ..RetrySettings::default() }).unwrap_err();
        assert_eq!(error.to_string(), "max_delay = 1s: must be from 2s to 86400s");
        let budget = BudgetSettings::new().percent(1_001);
        let error = RetryPolicy::new(RetrySettings { budget, ..RetrySettings::default() }).unwrap_err();
        assert_eq!(error.to_string(), "percent = 1001: must be from 0 to 1000");
    }
}
