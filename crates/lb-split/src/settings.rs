//! What a rollout is told. `Default` is the documented default; [`RolloutSettings::validate`] says what is out of bounds.

use crate::percent::Percent;
use lb_types::SettingsError;
use std::time::Duration;

/// The most steps of a rollout.
pub const STEPS_MAX: usize = 16;
/// The longest duration of a step, and the longest patience.
pub const DURATION_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most that `requests_min` may be.
pub const REQUESTS_MIN_MAX: u64 = 1_000_000_000;

/// Settings of a [`Rollout`](crate::Rollout).
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct RolloutSettings {
    /// Percentages of the new side and how long each lasts at least; default 5 %, 25 % and 50 % for ten minutes each. Growing, above 0 and below
    /// 100 (with all traffic there is nothing to compare with), at most [`STEPS_MAX`].
    pub steps: Vec<Step>,
    /// The new side's error rate may be this much above the old side's, as a share of requests; default 0.005, half a percent (0 – 0.5). `None`: not judged. The
    /// smaller, the more traffic it takes to show that it holds, with its square; 0 cannot be shown of two equal sides.
    pub error_difference_max: Option<f64>,
    /// How much slower the new side may be; default not judged.
    pub latency: Option<LatencyGuard>,
    /// Each side needs this many requests in a step before it ends; default 100 (1 – 10⁹). A rollback does not wait for them: its bound holds from the
    /// first request on.
    pub requests_min: u64,
    /// How much longer than its duration a step may wait for traffic or evidence before it is inconclusive; default 30 min (up to 30 days).
    pub patience: Duration,
    /// The probability that a rollout is rolled back though the new side kept within all guards, over all steps, guards and looks together: at most this; default
    /// 0.01 (10⁻⁹ – 0.5).
    pub false_rollback_max: f64,
    /// The probability that it is promoted though the new side is beyond a guard in the last step, at most; default 0.05 (10⁻⁹ – 0.5).
    pub false_promotion_max: f64,
}

/// One step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// What the new side gets.
    pub percent: Percent,
    /// For this long at least; it may be nothing.
    pub duration: Duration,
}

/// "The new side's p95 is at most 1.5 times the old side's", as counts of slow requests.
///
/// An old request is slow above the old side's quantile, a new one above `ratio_max` times that ([`limits`](Self::limits)). The guard's
/// claim is that slow requests are no larger a share of the new side's, which says the same of the quantiles, whatever the distribution. The limits
/// are fixed when a step begins, from what was measured before it: limits that follow the data that they judge would break the bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LatencyGuard {
    /// Which, such as 0.95 (0.5 – 0.999).
    pub quantile: f64,
    /// How many times the old side's the new side's may be, such as 1.5 (1 – 100). Near 1, equal sides cannot be told to be within it.
    pub ratio_max: f64,
}

impl LatencyGuard {
    /// Above which latency an old request is slow, and a new one, given the old side's `quantile` as it was before the step.
    pub fn limits(&self, quantile: Duration) -> (Duration, Duration) {
        let new = Duration::try_from_secs_f64(quantile.as_secs_f64() * self.ratio_max);
        (quantile, new.unwrap_or(Duration::MAX))
    }
}

impl Default for RolloutSettings {
    fn default() -> Self {
        let step = |percent| Step { percent: Percent::of(percent), duration: Duration::from_secs(600) };
        Self {
            steps: [500, 2_500, 5_000].map(step).into(),
            error_difference_max: Some(0.005),
            latency: None,
            requests_min: 100,
            patience: Duration::from_secs(30 * 60),
            false_rollback_max: 0.01,
            false_promotion_max: 0.05,
        }
    }
}

impl RolloutSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Other steps.
    #[must_use]
    pub fn steps(mut self, steps: impl IntoIterator<Item = (Percent, Duration)>) -> Self {
        self.steps = steps.into_iter().map(|(percent, duration)| Step { percent, duration }).collect();
        self
    }

    /// Another bound on the error rates' difference; `None`: errors are not judged.
    #[must_use]
    pub fn error_difference_max(mut self, difference: Option<f64>) -> Self {
        self.error_difference_max = difference;
        self
    }

    /// The new side's `quantile` of latency may be `ratio_max` times the old side's.
    #[must_use]
    pub fn latency(mut self, quantile: f64, ratio_max: f64) -> Self {
        self.latency = Some(LatencyGuard { quantile, ratio_max });
        self
    }

    /// Another number of requests that a side needs in a step.
    #[must_use]
    pub fn requests_min(mut self, requests: u64) -> Self {
        self.requests_min = requests;
        self
    }

    /// Another patience.
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Another bound on rolling a good side back.
    #[must_use]
    pub fn false_rollback_max(mut self, probability: f64) -> Self {
        self.false_rollback_max = probability;
        self
    }

    /// Another bound on promoting a bad side.
    #[must_use]
    pub fn false_promotion_max(mut self, probability: f64) -> Self {
        self.false_promotion_max = probability;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !(1..=STEPS_MAX).contains(&self.steps.len()) {
            return Err(SettingsError::new("steps", self.steps.len(), format!("must be 1 to {STEPS_MAX}")));
        }
        let mut before = Percent::ZERO;
        for step in &self.steps {
            let percent = step.percent;
            if percent <= before || percent == Percent::ALL {
                let must = "must grow from step to step, above 0 and below 100";
                return Err(SettingsError::new("steps.percent", f64::from(percent), must));
            }
            before = percent;
            duration("steps.duration", step.duration)?;
        }
        duration("patience", self.patience)?;
        if !(1..=REQUESTS_MIN_MAX).contains(&self.requests_min) {
            let must = format!("must be 1 to {REQUESTS_MIN_MAX}");
            return Err(SettingsError::new("requests_min", self.requests_min, must));
        }
        number("false_rollback_max", self.false_rollback_max, 1e-9, 0.5)?;
        number("false_promotion_max", self.false_promotion_max, 1e-9, 0.5)?;
        if let Some(difference) = self.error_difference_max {
            number("error_difference_max", difference, 0.0, 0.5)?;
        }
        if let Some(latency) = self.latency {
            number("latency.quantile", latency.quantile, 0.5, 0.999)?;
            number("latency.ratio_max", latency.ratio_max, 1.0, 100.0)?;
        }
        if self.error_difference_max.is_none() && self.latency.is_none() {
            let must = "must be set, or latency: a rollout without a guard is a shift";
            return Err(SettingsError::new("error_difference_max", self.error_difference_max, must));
        }
        Ok(())
    }
}

fn duration(field: &'static str, value: Duration) -> Result<(), SettingsError> {
    if value > DURATION_MAX {
        return Err(SettingsError::new(field, value, format!("must be at most {DURATION_MAX:?}")));
    }
    Ok(())
}

fn number(field: &'static str, value: f64, min: f64, max: f64) -> Result<(), SettingsError> {
    // A NaN is in no range.
    if !(min..=max).contains(&value) {
        return Err(SettingsError::new(field, value, format!("must be from {min} to {max}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_errors_name_field_and_value() {
        let d = RolloutSettings::new;
        assert_eq!(d().validate(), Ok(()));
        let day = Duration::from_secs(86_400);
        let steps = |percents: &[u16]| d().steps(percents.iter().map(|&p| (Percent::of(p), day)));
        for (wrong, field) in [
            (steps(&[]), "steps = 0: "),
            (steps(&[100; 17]), "steps = 17: "),
            (steps(&[0]), "steps.percent = 0.0: "),
            (steps(&[500, 500]), "steps.percent = 5.0: "),
            (steps(&[500, 10_000]), "steps.percent = 100.0: "),
            (d().steps([(Percent::of(1), day * 31)]), "steps.duration = 2678400s: "),
            (d().patience(day * 31), "patience = 2678400s: "),
            (d().requests_min(0), "requests_min = 0: "),
            (d().false_rollback_max(0.0), "false_rollback_max = 0.0: "),
            (d().false_promotion_max(0.6), "false_promotion_max = 0.6: "),
            (d().error_difference_max(Some(f64::NAN)), "error_difference_max = NaN: "),
            (d().error_difference_max(None), "error_difference_max = None: "),
            (d().latency(0.4, 1.5), "latency.quantile = 0.4: "),
            (d().latency(0.95, 0.9), "latency.ratio_max = 0.9: "),
        ] {
            let error = wrong.validate().unwrap_err().to_string();
            assert!(error.starts_with(field), "{error}");
        }
    }

    #[test]
    fn limits_of_latency_saturate() {
        let guard = LatencyGuard { quantile: 0.95, ratio_max: 1.5 };
        let ms = Duration::from_millis;
        assert_eq!(guard.limits(ms(200)), (ms(200), ms(300)));
        assert_eq!(guard.limits(Duration::MAX), (Duration::MAX, Duration::MAX));
    }
}
