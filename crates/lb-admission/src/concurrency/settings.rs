//! Within which bounds, and how quickly, a limit follows its backend.

use lb_types::SettingsError;
use std::time::Duration;

/// Settings of a [`Limiter`](super::Limiter).
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct AdaptiveConcurrency {
    /// The limit before anything is known, default 4 (`min`–`max`). It doubles with each window while nothing becomes
    /// slower; begun above what the backend bears, its first latencies would have a queue in them.
    pub initial: u32,
    /// The floor, default 4 (1–`max`): below a few requests latency says more of the requests than of the backend.
    pub min: u32,
    /// The most, default 1 000 (`min`–1 000 000).
    pub max: u32,
    /// How many times its baseline latency may be, default 1.3 (1.05–10). With traffic enough, a backend of K slots gets
    /// about K times this.
    pub tolerance: f64,
    /// The share of the way to the new limit that is gone with each window, default 0.5 (0.01–1).
    pub smoothing: f64,
    /// How long latencies are gathered before the limit changes, default 500 ms (10 ms – 60 s). It lasts for one latency
    /// at least, so that the last change shows in it.
    pub window: Duration,
    /// How many requests a window has at least, default 40 (1–100 000); until then it goes on. Fewer make a noisy mean.
    pub min_samples: u32,
}

impl Default for AdaptiveConcurrency {
    fn default() -> Self {
        Self {
            initial: 4,
            min: 4,
            max: 1_000,
            tolerance: 1.3,
            smoothing: 0.5,
            window: Duration::from_millis(500),
            min_samples: 40,
        }
    }
}

impl AdaptiveConcurrency {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another limit to begin with.
    #[must_use]
    pub fn initial(mut self, requests: u32) -> Self {
        self.initial = requests;
        self
    }

    /// Another floor.
    #[must_use]
    pub fn min(mut self, requests: u32) -> Self {
        self.min = requests;
        self
    }

    /// Another most.
    #[must_use]
    pub fn max(mut self, requests: u32) -> Self {
        self.max = requests;
        self
    }

    /// Another tolerance.
    #[must_use]
    pub fn tolerance(mut self, times: f64) -> Self {
        self.tolerance = times;
        self
    }

    /// Another smoothing.
    #[must_use]
    pub fn smoothing(mut self, share: f64) -> Self {
        self.smoothing = share;
        self
    }

    /// Another window.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Another least number of requests in a window.
    #[must_use]
    pub fn min_samples(mut self, requests: u32) -> Self {
        self.min_samples = requests;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        within("max", self.max, 1, 1_000_000)?;
        within("min", self.min, 1, self.max)?;
        within("initial", self.initial, self.min, self.max)?;
        within("tolerance", self.tolerance, 1.05, 10.0)?;
        within("smoothing", self.smoothing, 0.01, 1.0)?;
        within("window", self.window, Duration::from_millis(10), Duration::from_secs(60))?;
        within("min_samples", self.min_samples, 1, 100_000)
    }
}

/// NaN is within nothing.
fn within<T: PartialOrd + Copy + std::fmt::Debug>(
    field: &'static str,
    value: T,
    low: T,
    high: T,
) -> Result<(), SettingsError> {
    if low <= value && value <= high {
        return Ok(());
    }
    Err(SettingsError::new(field, value, format!("must be from {low:?} to {high:?}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_field_and_value() {
        let error = |s: AdaptiveConcurrency| s.validate().unwrap_err().to_string();
        let s = AdaptiveConcurrency::new;
        assert_eq!(s().validate(), Ok(()));
        assert_eq!(error(s().max(0)), "max = 0: must be from 1 to 1000000");
        assert_eq!(error(s().min(1_001)), "min = 1001: must be from 1 to 1000");
        assert_eq!(error(s().initial(3)), "initial = 3: must be from 4 to 1000");
        assert_eq!(error(s().tolerance(f64::NAN)), "tolerance = NaN: must be from 1.05 to 10.0");
        assert_eq!(error(s().smoothing(0.0)), "smoothing = 0.0: must be from 0.01 to 1.0");
        assert_eq!(error(s().window(Duration::ZERO)), "window = 0ns: must be from 10ms to 60s");
        assert_eq!(error(s().min_samples(0)), "min_samples = 0: must be from 1 to 100000");
    }
}
