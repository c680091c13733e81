//! `autoscale`: what a scaler is told. `Default` is the contract's; [`AutoScale::validate`] says what is out of bounds.

use lb_types::SettingsError;
use std::time::Duration;

/// The most that `max_instances` may be.
pub const INSTANCES_MAX: u32 = 10_000;
/// The longest `cooldown_*`, `metrics_window`, `rise_window` and `drain_within`.
pub const DURATION_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The shortest `metrics_window`, `rise_window` and `drain_within`.
pub const WINDOW_MIN: Duration = Duration::from_secs(1);
/// The most that a threshold or a target may be, in the metric's unit.
pub const VALUE_MAX: f64 = 1e9;

/// Settings of an [`AutoScaler`](crate::AutoScaler).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct AutoScale {
    /// Never fewer than this, default 2 (0–10 000). 0: the last one goes when nothing was asked for a whole window, and the
    /// first comes back for the first parked request.
    pub min_instances: u32,
    /// Never more than this, default 10 (1–10 000, `min_instances` or more).
    pub max_instances: u32,
    /// In threshold mode: more instances when the mean is strictly above this, default 70. In the metric's unit.
    pub scale_up_threshold: f64,
    /// In threshold mode: fewer instances when the mean is strictly below this, default 30. Below `scale_up_threshold`.
    pub scale_down_threshold: f64,
    /// How long after an action there is no other one, default 5 min (0 – 24 h). See [`crate::cooldown`].
    pub cooldown_period: Duration,
    /// Threshold mode: what the mean is over. Target mode: how long the highest demand is remembered before instances go.
    /// Default 5 min (1 s – 24 h).
    pub metrics_window: Duration,
    /// What is looked at, default CPU.
    pub metric: Metric,
    /// How it is decided by it, default thresholds.
    pub mode: Mode,
    /// Another wait before more instances (0 – 24 h). Default: `cooldown_period` with thresholds, none with a target.
    pub cooldown_up: Option<Duration>,
    /// Another wait before fewer instances (0 – 24 h). Default: `cooldown_period`.
    pub cooldown_down: Option<Duration>,
    /// Threshold mode: the step up; target mode: the most at once (1–10 000). Default: 1 with thresholds, any with a target.
    pub step_up: Option<u32>,
    /// The same for the step down.
    pub step_down: Option<u32>,
    /// Fewer instances only when at least this percent of `metrics_window` is known, default 80 (0–100). So nothing goes right after a
    /// start, nor while metrics are missing. 0: one sample is enough.
    pub known_percent: u8,
    /// Decides and acts not, default false: see [`Decision::to_do`](crate::Decision::to_do).
    pub dry_run: bool,
}

/// What is looked at.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Metric {
    /// CPU of the instances, in percent.
    #[default]
    Cpu,
    /// Requests in flight, in percent of the instances' `max_connections`.
    InFlight,
    /// How long a request waits in the queue, in ms.
    QueueDelay,
    /// Requests a second for each instance.
    Requests,
    /// This quantile of the latency, in ms.
    Latency(Quantile),
}

impl std::fmt::Display for Metric {
    /// As it is typed in the configuration.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Cpu => "cpu",
            Self::InFlight => "in-flight",
            Self::QueueDelay => "queue-delay",
            Self::Requests => "requests",
            Self::Latency(Quantile::P50) => "latency-p50",
            Self::Latency(Quantile::P95) => "latency",
            Self::Latency(Quantile::P99) => "latency-p99",
        })
    }
}

/// Which quantile of the latency.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Quantile {
    /// The median.
    P50,
    /// 95 % take no longer.
    #[default]
    P95,
    /// 99 % take no longer.
    P99,
}

/// How it is decided.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Mode {
    /// A step when the mean is above or below a threshold.
    #[default]
    Threshold,
    /// As many instances as hold a value.
    Target(Target),
}

/// What target mode holds, and how closely.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Target {
    /// The value to hold, in the metric's unit (above 0).
    pub value: f64,
    /// What the demand is the mean over, default 30 s (1 s – `metrics_window`): long, and instances come late; short, and they come
    /// for every flutter. While requests press ([`Metrics::is_pressed`](crate::Metrics::is_pressed)) it is not waited for.
    pub rise_window: Duration,
    /// So many percent above what there is are borne, default 10 (0–100).
    pub tolerance_percent: u8,
    /// A backlog in the queue shall be gone after this time, default 120 s (1 s – 24 h). In less time than instances take
    /// to start they would come for nothing.
    pub drain_within: Duration,
}

impl Target {
    /// Holds this value; the rest as documented.
    pub fn new(value: f64) -> Self {
        Self {
            value,
            rise_window: Duration::from_secs(30),
            tolerance_percent: 10,
            drain_within: Duration::from_secs(120),
        }
    }

    /// Another window for the demand.
    #[must_use]
    pub fn rise_window(mut self, window: Duration) -> Self {
        self.rise_window = window;
        self
    }

    /// Another tolerance.
    #[must_use]
    pub fn tolerance_percent(mut self, percent: u8) -> Self {
        self.tolerance_percent = percent;
        self
    }

    /// Another time for a backlog.
    #[must_use]
    pub fn drain_within(mut self, time: Duration) -> Self {
        self.drain_within = time;
        self
    }
}

impl Default for AutoScale {
    fn default() -> Self {
        Self {
            min_instances: 2,
            max_instances: 10,
            scale_up_threshold: 70.0,
            scale_down_threshold: 30.0,
            cooldown_period: Duration::from_secs(5 * 60),
            metrics_window: Duration::from_secs(5 * 60),
            metric: Metric::Cpu,
            mode: Mode::Threshold,
            cooldown_up: None,
            cooldown_down: None,
            step_up: None,
            step_down: None,
            known_percent: 80,
            dry_run: false,
        }
    }
}

impl AutoScale {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other bounds of the number of instances.
    #[must_use]
    pub fn instances(mut self, min: u32, max: u32) -> Self {
        self.min_instances = min;
        self.max_instances = max;
        self
    }

    /// Other thresholds: below `down` and above `up`.
    #[must_use]
    pub fn thresholds(mut self, down: f64, up: f64) -> Self {
        self.scale_down_threshold = down;
        self.scale_up_threshold = up;
        self
    }

    /// Another cooldown for both ways.
    #[must_use]
    pub fn cooldown_period(mut self, period: Duration) -> Self {
        self.cooldown_period = period;
        self
    }

    /// Another window.
    #[must_use]
    pub fn metrics_window(mut self, window: Duration) -> Self {
        self.metrics_window = window;
        self
    }

    /// Another metric.
    #[must_use]
    pub fn metric(mut self, metric: Metric) -> Self {
        self.metric = metric;
        self
    }

    /// Holds a value instead of going by thresholds.
    #[must_use]
    pub fn target(mut self, target: Target) -> Self {
        self.mode = Mode::Target(target);
        self
    }

    /// A cooldown of its own for each way.
    #[must_use]
    pub fn cooldowns(mut self, up: Duration, down: Duration) -> Self {
        self.cooldown_up = Some(up);
        self.cooldown_down = Some(down);
        self
    }

    /// Other steps.
    #[must_use]
    pub fn steps(mut self, up: u32, down: u32) -> Self {
        self.step_up = Some(up);
        self.step_down = Some(down);
        self
    }

    /// Another part of the window that has to be known before instances go.
    #[must_use]
    pub fn known_percent(mut self, percent: u8) -> Self {
        self.known_percent = percent;
        self
    }

    /// Decides without acting.
    #[must_use]
    pub fn dry_run(mut self, dry: bool) -> Self {
        self.dry_run = dry;
        self
    }

    /// Whether every value is within its bounds and they fit together.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        count("min_instances", self.min_instances, 0)?;
        count("max_instances", self.max_instances, 1)?;
        if self.min_instances > self.max_instances {
            let must = format!("must be at least min_instances, {}", self.min_instances);
            return Err(SettingsError::new("max_instances", self.max_instances, must));
        }
        value("scale_up_threshold", self.scale_up_threshold)?;
        if !(0.0..self.scale_up_threshold).contains(&self.scale_down_threshold) {
            let must = format!("must be 0 or more and below scale_up_threshold, {}", self.scale_up_threshold);
            return Err(SettingsError::new("scale_down_threshold", self.scale_down_threshold, must));
        }
        duration("cooldown_period", self.cooldown_period, Duration::ZERO)?;
        duration("metrics_window", self.metrics_window, WINDOW_MIN)?;
        duration("cooldown_up", self.cooldown_up.unwrap_or_default(), Duration::ZERO)?;
        duration("cooldown_down", self.cooldown_down.unwrap_or_default(), Duration::ZERO)?;
        count("step_up", self.step_up.unwrap_or(1), 1)?;
        count("step_down", self.step_down.unwrap_or(1), 1)?;
        percent("known_percent", self.known_percent)?;
        let Mode::Target(target) = self.mode else { return Ok(()) };
        value("target.value", target.value)?;
        duration("target.rise_window", target.rise_window, WINDOW_MIN)?;
        if target.rise_window > self.metrics_window {
            let must = format!("must be at most metrics_window, {:?}", self.metrics_window);
            return Err(SettingsError::new("target.rise_window", target.rise_window, must));
        }
        percent("target.tolerance_percent", target.tolerance_percent)?;
        duration("target.drain_within", target.drain_within, WINDOW_MIN)
    }
}

fn count(field: &'static str, value: u32, min: u32) -> Result<(), SettingsError> {
    if (min..=INSTANCES_MAX).contains(&value) {
        return Ok(());
    }
    Err(SettingsError::new(field, value, format!("must be from {min} to {INSTANCES_MAX}")))
}

fn percent(field: &'static str, value: u8) -> Result<(), SettingsError> {
    if value <= 100 {
        return Ok(());
    }
    Err(SettingsError::new(field, value, "must be from 0 to 100"))
}

fn value(field: &'static str, value: f64) -> Result<(), SettingsError> {
    if value > 0.0 && value <= VALUE_MAX {
        return Ok(());
    }
    Err(SettingsError::new(field, value, format!("must be above 0 and at most {VALUE_MAX}")))
}

fn duration(field: &'static str, value: Duration, min: Duration) -> Result<(), SettingsError> {
    if (min..=DURATION_MAX).contains(&value) {
        return Ok(());
    }
    Err(SettingsError::new(field, value, format!("must be from {min:?} to {DURATION_MAX:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(settings: &AutoScale) -> String {
        settings.validate().unwrap_err().to_string()
    }

    #[test]
    fn the_defaults_are_the_contracts_and_valid() {
        let d = AutoScale::default();
        assert_eq!((d.min_instances, d.max_instances), (2, 10));
        assert_eq!((d.scale_up_threshold, d.scale_down_threshold), (70.0, 30.0));
        assert_eq!((d.cooldown_period.as_secs(), d.metrics_window.as_secs()), (300, 300));
        assert_eq!((d.metric, d.mode, d.dry_run), (Metric::Cpu, Mode::Threshold, false));
        assert_eq!(d.validate(), Ok(()));
        assert_eq!(d.target(Target::new(60.0)).validate(), Ok(()));
    }

    #[test]
    fn errors_name_field_and_value() {
        let d = AutoScale::new;
        let sec = Duration::from_secs;
        for (settings, message) in [
            (d().instances(10_001, 10_001), "min_instances = 10001: must be from 0 to 10000"),
            (d().instances(0, 0), "max_instances = 0: must be from 1 to 10000"),
            (d().instances(3, 2), "max_instances = 2: must be at least min_instances, 3"),
            (
                d().thresholds(30.0, f64::NAN),
                "scale_up_threshold = NaN: must be above 0 and at most 1000000000",
            ),
            (
                d().thresholds(70.0, 70.0),
                "scale_down_threshold = 70.0: must be 0 or more and below scale_up_threshold, 70",
            ),
            (
                d().thresholds(-1.0, 70.0),
                "scale_down_threshold = -1.0: must be 0 or more and below scale_up_threshold, 70",
            ),
            (d().cooldown_period(sec(86_401)), "cooldown_period = 86401s: must be from 0ns to 86400s"),
            (d().metrics_window(sec(0)), "metrics_window = 0ns: must be from 1s to 86400s"),
            (d().cooldowns(sec(86_401), sec(0)), "cooldown_up = 86401s: must be from 0ns to 86400s"),
            (d().cooldowns(sec(0), sec(86_401)), "cooldown_down = 86401s: must be from 0ns to 86400s"),
            (d().steps(0, 1), "step_up = 0: must be from 1 to 10000"),
            (d().steps(1, 0), "step_down = 0: must be from 1 to 10000"),
            (d().known_percent(101), "known_percent = 101: must be from 0 to 100"),
            (d().target(Target::new(0.0)), "target.value = 0.0: must be above 0 and at most 1000000000"),
            (
                d().target(Target::new(60.0).rise_window(sec(301))),
                "target.rise_window = 301s: must be at most metrics_window, 300s",
            ),
            (
                d().target(Target::new(60.0).tolerance_percent(101)),
                "target.tolerance_percent = 101: must be from 0 to 100",
            ),
            (
                d().target(Target::new(60.0).drain_within(sec(0))),
                "target.drain_within = 0ns: must be from 1s to 86400s",
            ),
        ] {
            assert_eq!(error(&settings), message);
        }
    }
}
