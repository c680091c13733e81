//! What passive detection is told. `Default` is the documented default; [`OutlierDetection::validate`] says what is out of bounds.
//!
//! Names and defaults are Envoy's (`config.cluster.v3.OutlierDetection`) and gRFC A50's where they have one, but for what the
//! fields say otherwise.

use crate::{LONGEST, SHORTEST};
use std::time::Duration;

/// The most that the `consecutive_…` counts may be: a longer streak says nothing that a rate does not say better.
pub const COUNT_MAX: u32 = 1_000;
/// The most that any `minimum_hosts` may be.
pub const HOSTS_MAX: u32 = 10_000;
/// The most that any `request_volume` and `minimum_requests` may be.
pub const VOLUME_MAX: u32 = 1_000_000;
/// The most that [`Comparison::intervals`] may be: each costs 16 bytes a backend.
pub const INTERVALS_MAX: u32 = 60;

/// Settings of passive detection: which backends fail, by the requests that they get anyway.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct OutlierDetection {
    /// This many failures of any kind in a row (5xx, no connection, no answer) eject a backend, default 5 (0–1 000). 0: off.
    pub consecutive_failures: u32,
    /// This many gateway failures in a row (502, 503, 504, and whatever kept an answer from coming) eject it, default 0: off.
    pub consecutive_gateway_failures: u32,
    /// This many failures in a row to connect eject it, default 0: off. They count in the two above as well; a lower number
    /// here would eject for a full listen queue.
    pub consecutive_connect_failures: u32,
    /// From one sweep (the statistics below, the decay of multipliers) to the next, default 10 s (10 ms – 24 h).
    pub interval: Duration,
    /// The first ejection lasts so long, the second of a row twice as long …, default 30 s (10 ms – 24 h).
    pub base_ejection_time: Duration,
    /// No ejection lasts longer, but for the jitter; default 300 s, at least `base_ejection_time`, at most 24 h.
    pub max_ejection_time: Duration,
    /// Each ejection lasts up to this percent longer, at random; default 10 (0–100). Envoy's default is none, but then all
    /// balancers that saw a backend fail together give it back in the same instant.
    pub jitter_percent: u8,
    /// At most this percent of the pool is ejected at once, rounded down, but always one; default 10 (1–100).
    pub max_ejection_percent: u8,
    /// Ejects those whose success rate is far below the pool's mean; default off. In small pools it never ejects, in even
    /// ones without need: see [`statistics`](super::statistics).
    pub success_rate: Option<SuccessRate>,
    /// Ejects those that fail a fixed share of their requests, however the others do; default off.
    pub failure_percentage: Option<FailurePercentage>,
    /// Ejects one that fails more than the others do, and not by chance; for pools of 2 backends and more. Default on.
    pub comparison: Option<Comparison>,
    /// [`Detector::check_passed`](super::Detector::check_passed) ends an ejection early, default `true`. Whoever calls it decides which
    /// passing check proves something. (Envoy: `successful_active_health_check_uneject_host`, for any.)
    pub end_on_passing_check: bool,
}

/// Envoy's success rate statistic: mean − `stdev_factor` × σ over the backends with enough requests in the last interval.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct SuccessRate {
    /// How many standard deviations below the mean the threshold is, default 1.9 (above 0, up to 10).
    pub stdev_factor: f64,
    /// With fewer backends that have enough requests it is silent, default 5 (2–10 000).
    pub minimum_hosts: u32,
    /// Enough requests in an interval, default 100 (1–1 000 000).
    pub request_volume: u32,
}

/// Envoy's failure percentage statistic: a fixed share.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct FailurePercentage {
    /// This percent of failures in the last interval, or more, ejects; default 85 (1–100).
    pub threshold: u8,
    /// With fewer backends that have enough requests it is silent, default 5 (1–10 000).
    pub minimum_hosts: u32,
    /// Enough requests in an interval, default 50 (1–1 000 000).
    pub request_volume: u32,
}

/// One backend against all others together: an exact test, see [`statistics`](super::statistics).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Comparison {
    /// In a pool of equal backends, anything is ejected in at most this share of the intervals; default 0.0001
    /// (0.000000001 – 0.1). It is split among the backends and looks of each interval.
    pub false_alarm_rate: f64,
    /// The backend must have had so many requests, and the others together as well; default 20 (1–1 000 000).
    pub minimum_requests: u32,
    /// Its failure percentage must be so many points above the others', default 10 (1–100).
    pub minimum_difference: u8,
    /// Its failure percentage must be so many times the others', default 2 (1–100).
    pub minimum_ratio: f64,
    /// Each sweep looks at the last interval and at the last so many together, default 6 (1–60): what is too little traffic
    /// or too small a difference for one interval may be enough for a minute.
    pub intervals: u32,
}

impl Default for OutlierDetection {
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            consecutive_gateway_failures: 0,
            consecutive_connect_failures: 0,
            interval: Duration::from_secs(10),
            base_ejection_time: Duration::from_secs(30),
            max_ejection_time: Duration::from_secs(300),
            jitter_percent: 10,
            max_ejection_percent: 10,
            success_rate: None,
            failure_percentage: None,
            comparison: Some(Comparison::default()),
            end_on_passing_check: true,
        }
    }
}

impl Default for SuccessRate {
    fn default() -> Self {
        Self { stdev_factor: 1.9, minimum_hosts: 5, request_volume: 100 }
    }
}

impl Default for FailurePercentage {
    fn default() -> Self {
        Self { threshold: 85, minimum_hosts: 5, request_volume: 50 }
    }
}

impl Default for Comparison {
    fn default() -> Self {
        Self {
            false_alarm_rate: 1e-4,
            minimum_requests: 20,
            minimum_difference: 10,
            minimum_ratio: 2.0,
            intervals: 6,
        }
    }
}

impl OutlierDetection {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other numbers of failures in a row: of any kind, of gateway failures, of failures to connect. 0: off.
    #[must_use]
    pub fn consecutive(mut self, failures: u32, gateway: u32, connect: u32) -> Self {
        self.consecutive_failures = failures;
        self.consecutive_gateway_failures = gateway;
        self.consecutive_connect_failures = connect;
        self
    }

    /// Another time between sweeps.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Other lengths of the first and of the longest ejection.
    #[must_use]
    pub fn ejection_time(mut self, base: Duration, max: Duration) -> Self {
        self.base_ejection_time = base;
        self.max_ejection_time = max;
        self
    }

    /// Another jitter, in percent of an ejection's length.
    #[must_use]
    pub fn jitter_percent(mut self, percent: u8) -> Self {
        self.jitter_percent = percent;
        self
    }

    /// Another share of the pool that may be ejected at once.
    #[must_use]
    pub fn max_ejection_percent(mut self, percent: u8) -> Self {
        self.max_ejection_percent = percent;
        self
    }

    /// Other statistics of each sweep; `None`: off.
    #[must_use]
    pub fn statistics(
        mut self,
        success_rate: Option<SuccessRate>,
        failure_percentage: Option<FailurePercentage>,
        comparison: Option<Comparison>,
    ) -> Self {
        self.success_rate = success_rate;
        self.failure_percentage = failure_percentage;
        self.comparison = comparison;
        self
    }

    /// Whether a passing active check ends an ejection.
    #[must_use]
    pub fn end_on_passing_check(mut self, end: bool) -> Self {
        self.end_on_passing_check = end;
        self
    }

    /// Looks at every setting.
    ///
    /// # Errors
    /// The first value out of bounds, or that nothing would ever be ejected.
    pub fn validate(&self) -> Result<(), SettingsError> {
        within("consecutive_failures", self.consecutive_failures, 0, COUNT_MAX)?;
        within("consecutive_gateway_failures", self.consecutive_gateway_failures, 0, COUNT_MAX)?;
        within("consecutive_connect_failures", self.consecutive_connect_failures, 0, COUNT_MAX)?;
        duration("interval", self.interval, SHORTEST)?;
        duration("base_ejection_time", self.base_ejection_time, SHORTEST)?;
        duration("max_ejection_time", self.max_ejection_time, self.base_ejection_time)?;
        within("jitter_percent", self.jitter_percent, 0, 100)?;
        within("max_ejection_percent", self.max_ejection_percent, 1, 100)?;
        if let Some(s) = self.success_rate {
            // 0 would eject half of every pool.
            within("success_rate.stdev_factor", s.stdev_factor, 0.1, 10.0)?;
            within("success_rate.minimum_hosts", s.minimum_hosts, 2, HOSTS_MAX)?;
            within("success_rate.request_volume", s.request_volume, 1, VOLUME_MAX)?;
        }
        if let Some(f) = self.failure_percentage {
            within("failure_percentage.threshold", f.threshold, 1, 100)?;
            within("failure_percentage.minimum_hosts", f.minimum_hosts, 1, HOSTS_MAX)?;
            within("failure_percentage.request_volume", f.request_volume, 1, VOLUME_MAX)?;
        }
        if let Some(c) = self.comparison {
            within("comparison.false_alarm_rate", c.false_alarm_rate, 1e-9, 0.1)?;
            within("comparison.minimum_requests", c.minimum_requests, 1, VOLUME_MAX)?;
            within("comparison.minimum_difference", c.minimum_difference, 1, 100)?;
            within("comparison.minimum_ratio", c.minimum_ratio, 1.0, 100.0)?;
            within("comparison.intervals", c.intervals, 1, INTERVALS_MAX)?;
        }
        let streaks =
            self.consecutive_failures + self.consecutive_gateway_failures + self.consecutive_connect_failures;
        let statistics =
            self.success_rate.is_some() || self.failure_percentage.is_some() || self.comparison.is_some();
        if streaks == 0 && !statistics { Err(SettingsError::NothingOn) } else { Ok(()) }
    }
}

/// Settings that make no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SettingsError {
    /// Outside its bounds.
    #[error("outlier_detection.{field} = {value}: must be from {min} to {max}")]
    OutOfRange {
        /// The field's name, as in the config file.
        field: &'static str,
        /// Its value.
        value: String,
        /// The least.
        min: String,
        /// The most.
        max: String,
    },
    /// All counts are 0 and all statistics off.
    #[error("outlier_detection: every detection is off, so nothing is ever ejected")]
    NothingOn,
}

fn within<T: Copy + PartialOrd + std::fmt::Debug>(
    field: &'static str,
    value: T,
    min: T,
    max: T,
) -> Result<(), SettingsError> {
    // NaN lies within nothing.
    if value >= min && value <= max {
        return Ok(());
    }
    let (value, min, max) = (format!("{value:?}"), format!("{min:?}"), format!("{max:?}"));
    Err(SettingsError::OutOfRange { field, value, min, max })
}

fn duration(field: &'static str, value: Duration, min: Duration) -> Result<(), SettingsError> {
    within(field, value, min, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(settings: &OutlierDetection) -> String {
        settings.validate().unwrap_err().to_string()
    }

    fn with(change: impl FnOnce(&mut OutlierDetection)) -> OutlierDetection {
        let mut s = OutlierDetection::default();
        change(&mut s);
        s
    }

    #[test]
    fn the_defaults_are_a50s_and_valid() {
        let d = OutlierDetection::default();
        assert_eq!(d.validate(), Ok(()));
        assert_eq!((d.interval.as_secs(), d.base_ejection_time.as_secs()), (10, 30));
        assert_eq!((d.max_ejection_time.as_secs(), d.max_ejection_percent), (300, 10));
        let s = SuccessRate::default();
        assert_eq!((s.stdev_factor, s.minimum_hosts, s.request_volume), (1.9, 5, 100));
        let f = FailurePercentage::default();
        assert_eq!((f.threshold, f.minimum_hosts, f.request_volume), (85, 5, 50));
        assert_eq!(d.clone().statistics(Some(s), Some(f), d.comparison).validate(), Ok(()));
    }

    #[test]
    fn errors_name_field_and_value() {
        let d = OutlierDetection::new;
        let s = Duration::from_secs;
        for (settings, expected) in [
            (d().consecutive(1_001, 0, 0), "consecutive_failures = 1001: must be from 0 to 1000"),
            (d().consecutive(5, 1_001, 0), "consecutive_gateway_failures = 1001: must be from 0 to 1000"),
            (d().consecutive(5, 0, 1_001), "consecutive_connect_failures = 1001: must be from 0 to 1000"),
            (d().interval(s(0)), "interval = 0ns: must be from 10ms to 86400s"),
            (d().ejection_time(s(0), s(1)), "base_ejection_time = 0ns: must be from 10ms to 86400s"),
            (d().ejection_time(s(30), s(29)), "max_ejection_time = 29s: must be from 30s to 86400s"),
            (d().jitter_percent(101), "jitter_percent = 101: must be from 0 to 100"),
            (d().max_ejection_percent(0), "max_ejection_percent = 0: must be from 1 to 100"),
            (
                with(|d| d.success_rate = Some(SuccessRate { stdev_factor: f64::NAN, ..Default::default() })),
                "success_rate.stdev_factor = NaN: must be from 0.1 to 10.0",
            ),
            (
                with(|d| d.success_rate = Some(SuccessRate { minimum_hosts: 1, ..Default::default() })),
                "success_rate.minimum_hosts = 1: must be from 2 to 10000",
            ),
            (
                with(|d| {
                    d.failure_percentage = Some(FailurePercentage { threshold: 0, ..Default::default() });
                }),
                "failure_percentage.threshold = 0: must be from 1 to 100",
            ),
            (
                with(|d| d.comparison = Some(Comparison { intervals: 61, ..Default::default() })),
                "comparison.intervals = 61: must be from 1 to 60",
            ),
            (
                with(|d| d.comparison = Some(Comparison { minimum_ratio: 0.9, ..Default::default() })),
                "comparison.minimum_ratio = 0.9: must be from 1.0 to 100.0",
            ),
        ] {
            assert_eq!(error(&settings), format!("outlier_detection.{expected}"));
        }
        let off = d().consecutive(0, 0, 0).statistics(None, None, None);
        assert_eq!(error(&off), "outlier_detection: every detection is off, so nothing is ever ejected");
    }
}
