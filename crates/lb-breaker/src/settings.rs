//! What a breaker is told. `Default` is the documented default; [`BreakerSettings::validate`] says what is out of bounds.

use std::time::Duration;

/// The most that `failure_threshold`, `success_threshold`, `half_open_probes` and [`RateWindow::Calls`] may be: each costs
/// memory or a scan, and a larger one says nothing that a rate does not say better.
pub const COUNT_MAX: u32 = 1_000;
/// The most that `minimum_calls` may be.
pub const MINIMUM_CALLS_MAX: u32 = 1_000_000;
/// The shortest `recovery_timeout`, `slow_call_duration` and (times 100) `monitoring_period`: the breaker's time is in ms.
pub const DURATION_MIN: Duration = Duration::from_millis(1);
/// The longest of any duration.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Settings of a [`Breaker`](crate::Breaker).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// This many failures within `monitoring_period` open it, default 5 (1–1 000). 0: only rates open it.
    pub failure_threshold: u32,
    /// How long it stays open before it lets probes through, default 60 s (1 ms – 24 h).
    pub recovery_timeout: Duration,
    /// Failures older than this are forgotten, default 10 s (100 ms – 24 h). The time window of the rates as well.
    pub monitoring_period: Duration,
    /// This many successful probes close it, default 3 (1–1 000).
    pub success_threshold: u32,
    /// This percent of failed calls opens it (1–100), once there were `minimum_calls`; default off.
    pub failure_rate: Option<u8>,
    /// A call that takes this long or longer is slow; default off. Goes with `slow_call_rate`. A slow probe counts as failed.
    pub slow_call_duration: Option<Duration>,
    /// This percent of slow calls opens it (1–100), once there were `minimum_calls`; default off.
    pub slow_call_rate: Option<u8>,
    /// With fewer calls in the window no rate is defined, default 10 (1–1 000 000).
    pub minimum_calls: u32,
    /// Which calls the rates are of, default those within `monitoring_period`.
    pub rate_window: RateWindow,
    /// The most probes under way at once while half-open (1–1 000), default `success_threshold`.
    pub half_open_probes: Option<u32>,
}

/// Which calls a rate is of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum RateWindow {
    /// Those within `monitoring_period` (up to a tenth less: it moves in ten steps).
    #[default]
    Period,
    /// The last so many (1–1 000). Each verdict scans them.
    Calls(u32),
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failure_threshold: 5,
            recovery_timeout: Duration::from_secs(60),
            monitoring_period: Duration::from_secs(10),
            success_threshold: 3,
            failure_rate: None,
            slow_call_duration: None,
            slow_call_rate: None,
            minimum_calls: 10,
            rate_window: RateWindow::Period,
            half_open_probes: None,
        }
    }
}

impl BreakerSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another number of failures that open it (0: only rates do).
    #[must_use]
    pub fn failure_threshold(mut self, failures: u32) -> Self {
        self.failure_threshold = failures;
        self
    }

    /// Another time to stay open.
    #[must_use]
    pub fn recovery_timeout(mut self, timeout: Duration) -> Self {
        self.recovery_timeout = timeout;
        self
    }

    /// Another time within which failures count.
    #[must_use]
    pub fn monitoring_period(mut self, period: Duration) -> Self {
        self.monitoring_period = period;
        self
    }

    /// Another number of successful probes that close it.
    #[must_use]
    pub fn success_threshold(mut self, successes: u32) -> Self {
        self.success_threshold = successes;
        self
    }

    /// Opens at this percent of failed calls.
    #[must_use]
    pub fn failure_rate(mut self, percent: u8) -> Self {
        self.failure_rate = Some(percent);
        self
    }

    /// Opens at this percent of calls that took `duration` or longer.
    #[must_use]
    pub fn slow_calls(mut self, duration: Duration, percent: u8) -> Self {
        self.slow_call_duration = Some(duration);
        self.slow_call_rate = Some(percent);
        self
    }

    /// Another number of calls below which no rate is defined.
    #[must_use]
    pub fn minimum_calls(mut self, calls: u32) -> Self {
        self.minimum_calls = calls;
        self
    }

    /// Another set of calls that rates are of.
    #[must_use]
    pub fn rate_window(mut self, window: RateWindow) -> Self {
        self.rate_window = window;
        self
    }

    /// Another bound on the probes under way at once.
    #[must_use]
    pub fn half_open_probes(mut self, probes: u32) -> Self {
        self.half_open_probes = Some(probes);
        self
    }

    /// Whether every value is within its bounds and they fit together.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        count("failure_threshold", self.failure_threshold, 0, COUNT_MAX)?;
        duration("recovery_timeout", self.recovery_timeout, DURATION_MIN, DURATION_MAX)?;
        duration("monitoring_period", self.monitoring_period, DURATION_MIN * 100, DURATION_MAX)?;
        count("success_threshold", self.success_threshold, 1, COUNT_MAX)?;
        if let Some(percent) = self.failure_rate {
            count("failure_rate", percent.into(), 1, 100)?;
        }
        if let Some(slow) = self.slow_call_duration {
            duration("slow_call_duration", slow, DURATION_MIN, DURATION_MAX)?;
        }
        if let Some(percent) = self.slow_call_rate {
            count("slow_call_rate", percent.into(), 1, 100)?;
        }
        count("minimum_calls", self.minimum_calls, 1, MINIMUM_CALLS_MAX)?;
        if let Some(probes) = self.half_open_probes {
            count("half_open_probes", probes, 1, COUNT_MAX)?;
        }
        if let RateWindow::Calls(calls) = self.rate_window {
            count("rate_window", calls, 1, COUNT_MAX)?;
            if self.minimum_calls > calls && self.has_rates() {
                return Err(SettingsError::NeverReached { value: self.minimum_calls, calls });
            }
        }
        match (self.slow_call_duration, self.slow_call_rate) {
            (Some(slow), None) => Err(needs("slow_call_duration", format!("{slow:?}"), "slow_call_rate")),
            (None, Some(percent)) => Err(needs("slow_call_rate", percent.to_string(), "slow_call_duration")),
            _ if self.failure_threshold == 0 && !self.has_rates() => {
                Err(needs("failure_threshold", "0".into(), "failure_rate or slow_call_rate"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn has_rates(&self) -> bool {
        self.failure_rate.is_some() || self.slow_call_rate.is_some()
    }

    pub(crate) fn probes_max(&self) -> u32 {
        self.half_open_probes.unwrap_or(self.success_threshold)
    }
}

/// A setting that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Outside its bounds.
    #[error("{field} = {value}: must be from {min} to {max}")]
    OutOfRange {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: String,
        /// The least.
        min: String,
        /// The most.
        max: String,
    },
    /// Does nothing without another one.
    #[error("{field} = {value}: needs {other}")]
    Needs {
        /// The field's name.
        field: &'static str,
        /// Its value.
        value: String,
        /// What is missing.
        other: &'static str,
    },
    /// The window never holds as many calls as a rate needs.
    #[error("minimum_calls = {value}: the rate window holds only {calls}")]
    NeverReached {
        /// The value of `minimum_calls`.
        value: u32,
        /// The size of the window.
        calls: u32,
    },
}

pub(crate) fn count(field: &'static str, value: u32, min: u32, max: u32) -> Result<(), SettingsError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let (value, min, max) = (value.to_string(), min.to_string(), max.to_string());
    Err(SettingsError::OutOfRange { field, value, min, max })
}

pub(crate) fn duration(
    field: &'static str,
    value: Duration,
    min: Duration,
    max: Duration,
) -> Result<(), SettingsError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    let (value, min, max) = (format!("{value:?}"), format!("{min:?}"), format!("{max:?}"));
    Err(SettingsError::OutOfRange { field, value, min, max })
}

fn needs(field: &'static str, value: String, other: &'static str) -> SettingsError {
    SettingsError::Needs { field, value, other }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    fn error(settings: &BreakerSettings) -> String {
        settings.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_the_contracts_and_valid() {
        let d = BreakerSettings::default();
        assert_eq!((d.failure_threshold, d.success_threshold, d.probes_max()), (5, 3, 3));
        assert_eq!((d.recovery_timeout.as_secs(), d.monitoring_period.as_secs()), (60, 10));
        assert_eq!(d.validate(), Ok(()));
    }

    #[test]
    fn errors_name_field_and_value() {
        let d = BreakerSettings::new;
        assert_eq!(error(&d().failure_threshold(1_001)), "failure_threshold = 1001: must be from 0 to 1000");
        assert_eq!(
            error(&d().failure_threshold(0)),
            "failure_threshold = 0: needs failure_rate or slow_call_rate"
        );
        assert_eq!(
            error(&d().recovery_timeout(Duration::ZERO)),
            "recovery_timeout = 0ns: must be from 1ms to 86400s"
        );
        assert_eq!(
            error(&d().monitoring_period(Duration::from_millis(99))),
            "monitoring_period = 99ms: must be from 100ms to 86400s"
        );
        assert_eq!(error(&d().success_threshold(0)), "success_threshold = 0: must be from 1 to 1000");
        assert_eq!(error(&d().failure_rate(101)), "failure_rate = 101: must be from 1 to 100");
        assert_eq!(
            error(&d().slow_calls(Duration::from_secs(1), 0)),
            "slow_call_rate = 0: must be from 1 to 100"
        );
        assert_eq!(
            error(&d().slow_calls(Duration::MAX, 50)),
            format!("slow_call_duration = {:?}: must be from 1ms to 86400s", Duration::MAX)
        );
        assert_eq!(error(&d().minimum_calls(0)), "minimum_calls = 0: must be from 1 to 1000000");
        assert_eq!(error(&d().half_open_probes(0)), "half_open_probes = 0: must be from 1 to 1000");
        assert_eq!(error(&d().rate_window(RateWindow::Calls(0))), "rate_window = 0: must be from 1 to 1000");
        assert_eq!(
            error(&d().failure_rate(50).rate_window(RateWindow::Calls(9))),
            "minimum_calls = 10: the rate window holds only 9"
        );
        let half = BreakerSettings { slow_call_rate: Some(50), ..d() };
        assert_eq!(error(&half), "slow_call_rate = 50: needs slow_call_duration");
        let half = BreakerSettings { slow_call_duration: Some(Duration::from_secs(2)), ..d() };
        assert_eq!(error(&half), "slow_call_duration = 2s: needs slow_call_rate");
    }
}
