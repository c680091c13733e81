//! When to shed, and what to say then.

use super::response::shed_response;
use crate::priority::LEVELS_MAX;
use lb_types::{FixedResponse, SettingsError};
use std::time::Duration;

/// Settings of a [`Shedder`](super::Shedder). A threshold that is `None` is not looked at.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ShedSettings {
    /// In percent of the CPU time that the process may use, default 80 (1–100).
    pub cpu_threshold: Option<f64>,
    /// In percent of the memory that the process may use, default 85 (1–100).
    pub memory_threshold: Option<f64>,
    /// In requests that wait, default 500 (1–10 000 000).
    pub queue_threshold: Option<usize>,
    /// How late the event loop wakes, default 100 ms (1 ms – 60 s).
    pub loop_delay_threshold: Option<Duration>,
    /// In percent of the time in which something was ready to run and had no CPU (PSI's `some avg10`), default none (1–100):
    /// what is usual differs much from machine to machine.
    pub pressure_threshold: Option<f64>,
    /// Below this part of its threshold, in percent, a resource lets levels return, default 90 (10–99).
    pub resume_percent: u32,
    /// How many levels of [`Priority`](crate::Priority) there are, default 3 (1–8).
    pub levels: usize,
    /// What a refused client is told.
    pub shed_response: FixedResponse,
}

impl Default for ShedSettings {
    fn default() -> Self {
        Self {
            cpu_threshold: Some(80.0),
            memory_threshold: Some(85.0),
            queue_threshold: Some(500),
            loop_delay_threshold: Some(Duration::from_millis(100)),
            pressure_threshold: None,
            resume_percent: 90,
            levels: 3,
            shed_response: shed_response(),
        }
    }
}

impl ShedSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another threshold of the CPU, in percent.
    #[must_use]
    pub fn cpu_threshold(mut self, percent: impl Into<Option<f64>>) -> Self {
        self.cpu_threshold = percent.into();
        self
    }

    /// Another threshold of the memory, in percent.
    #[must_use]
    pub fn memory_threshold(mut self, percent: impl Into<Option<f64>>) -> Self {
        self.memory_threshold = percent.into();
        self
    }

    /// Another threshold of the queue, in requests.
    #[must_use]
    pub fn queue_threshold(mut self, requests: impl Into<Option<usize>>) -> Self {
        self.queue_threshold = requests.into();
        self
    }

    /// Another threshold of the event loop's delay.
    #[must_use]
    pub fn loop_delay_threshold(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.loop_delay_threshold = delay.into();
        self
    }

    /// Another threshold of the CPU's pressure, in percent.
    #[must_use]
    pub fn pressure_threshold(mut self, percent: impl Into<Option<f64>>) -> Self {
        self.pressure_threshold = percent.into();
        self
    }

    /// Another point of return, in percent of each threshold.
    #[must_use]
    pub fn resume_percent(mut self, percent: u32) -> Self {
        self.resume_percent = percent;
        self
    }

    /// Another number of levels.
    #[must_use]
    pub fn levels(mut self, levels: usize) -> Self {
        self.levels = levels;
        self
    }

    /// Another response.
    #[must_use]
    pub fn shed_response(mut self, response: FixedResponse) -> Self {
        self.shed_response = response;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        percent("cpu_threshold", self.cpu_threshold)?;
        percent("memory_threshold", self.memory_threshold)?;
        if let Some(queue) = self.queue_threshold.filter(|q| !(1..=10_000_000).contains(q)) {
            return Err(SettingsError::new("queue_threshold", queue, "must be from 1 to 10000000"));
        }
        let delays = Duration::from_millis(1)..=Duration::from_secs(60);
        if let Some(delay) = self.loop_delay_threshold.filter(|d| !delays.contains(d)) {
            return Err(SettingsError::new("loop_delay_threshold", delay, "must be from 1ms to 60s"));
        }
        percent("pressure_threshold", self.pressure_threshold)?;
        if !(10..=99).contains(&self.resume_percent) {
            return Err(SettingsError::new("resume_percent", self.resume_percent, "must be from 10 to 99"));
        }
        if !(1..=LEVELS_MAX).contains(&self.levels) {
            return Err(SettingsError::new("levels", self.levels, format!("must be from 1 to {LEVELS_MAX}")));
        }
        self.shed_response.validate()
    }
}

fn percent(field: &'static str, value: Option<f64>) -> Result<(), SettingsError> {
    match value {
        // Written so that NaN is out of bounds.
        Some(percent) if !(1.0..=100.0).contains(&percent) => {
            Err(SettingsError::new(field, percent, "must be from 1 to 100"))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_are_the_contracts_and_valid() {
        let d = ShedSettings::default();
        let thresholds = (d.cpu_threshold, d.memory_threshold, d.queue_threshold);
        assert_eq!(thresholds, (Some(80.0), Some(85.0), Some(500)));
        assert_eq!(d.validate(), Ok(()));
    }

    #[test]
    fn errors_name_field_and_value() {
        let error = |s: ShedSettings| s.validate().unwrap_err().to_string();
        let s = ShedSettings::new;
        assert_eq!(error(s().cpu_threshold(0.5)), "cpu_threshold = 0.5: must be from 1 to 100");
        assert_eq!(error(s().memory_threshold(f64::NAN)), "memory_threshold = NaN: must be from 1 to 100");
        assert_eq!(error(s().queue_threshold(0)), "queue_threshold = 0: must be from 1 to 10000000");
        let day = Duration::from_secs(86_400);
        assert_eq!(
            error(s().loop_delay_threshold(day)),
            "loop_delay_threshold = 86400s: must be from 1ms to 60s"
        );
        assert_eq!(error(s().pressure_threshold(101.0)), "pressure_threshold = 101.0: must be from 1 to 100");
        assert_eq!(error(s().resume_percent(100)), "resume_percent = 100: must be from 10 to 99");
        assert_eq!(error(s().levels(9)), "levels = 9: must be from 1 to 8");
        let response = FixedResponse::new(42, "");
        assert_eq!(error(s().shed_response(response)), "status = 42: must be from 200 to 599");
        assert_eq!(s().cpu_threshold(None).queue_threshold(None).validate(), Ok(()));
    }
}
