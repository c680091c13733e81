//! May there be a retry at all? A share of the requests, and a few a second on top.
//!
//! Within the sliding window: retries ≤ `percent` · requests / 100 + `min_per_second` · window. Without a budget, a backend
//! that answers 500 to everything gets each request several times, exactly when it can bear it least.
//!
//! A retry counts from the decision on, while it still waits in its backoff; if it is not made it is given back. (Envoy
//! counts it when it is sent: any number may be waiting then, envoy#30205.) The budget is never exceeded; at its edge, of
//! threads that ask in the same instant too many may be refused. The window moves in ten steps, so that it holds between nine
//! tenths of its length and all of it.

use crate::settings::{SettingsError, count, duration};
use crate::window::{Counter, Slice, Slicer};
use lb_types::Nanos;
use std::time::Duration;

/// Settings of a [`RetryBudget`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct BudgetSettings {
    /// Retries, in percent of requests, default 20 (0–1 000).
    pub percent: u32,
    /// Retries a second that are always granted, default 10 (0–1 000 000).
    pub min_per_second: u32,
    /// Over which both are taken, default 10 s (100 ms – 1 h).
    pub window: Duration,
}

impl Default for BudgetSettings {
    fn default() -> Self {
        Self { percent: 20, min_per_second: 10, window: Duration::from_secs(10) }
    }
}

impl BudgetSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another share of the requests.
    #[must_use]
    pub fn percent(mut self, percent: u32) -> Self {
        self.percent = percent;
        self
    }

    /// Another number that is always granted.
    #[must_use]
    pub fn min_per_second(mut self, retries: u32) -> Self {
        self.min_per_second = retries;
        self
    }

    /// Another window.
    #[must_use]
    pub fn window(mut self, window: Duration) -> Self {
        self.window = window;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        count("percent", self.percent, 0, 1_000)?;
        count("min_per_second", self.min_per_second, 0, 1_000_000)?;
        duration("window", self.window, Duration::from_millis(100), HOUR)
    }
}

const HOUR: Duration = Duration::from_secs(60 * 60);

/// See the module's documentation.
///
/// ```
/// use lb_breaker::{BudgetSettings, RetryBudget};
/// use lb_types::Nanos;
///
/// let budget = RetryBudget::new(BudgetSettings::new().min_per_second(0))?;
/// (0..10).for_each(|_| budget.request(Nanos::ZERO));
/// let waiting = budget.try_retry(Nanos::ZERO).expect("20 % of 10 are 2");
/// budget.try_retry(Nanos::ZERO).expect("the second").made();
/// assert!(budget.try_retry(Nanos::ZERO).is_none());
/// drop(waiting); // the client left during the backoff
/// assert!(budget.try_retry(Nanos::ZERO).is_some());
/// # Ok::<(), lb_breaker::SettingsError>(())
/// ```
#[derive(Debug)]
pub struct RetryBudget {
    slicer: Slicer,
    requests: Counter,
    retries: Counter,
    percent: u64,
    /// `min_per_second` over the window.
    minimum: u64,
}

impl RetryBudget {
    /// A budget in which nothing is spent.
    ///
    /// # Errors
    /// The settings are out of bounds.
    pub fn new(settings: BudgetSettings) -> Result<Self, SettingsError> {
        settings.validate()?;
        let window = Nanos::from(settings.window);
        Ok(Self {
            slicer: Slicer::new(window),
            requests: Counter::new(),
            retries: Counter::new(),
            percent: settings.percent.into(),
            minimum: u64::from(settings.min_per_second) * window.as_millis() / 1_000,
        })
    }

    /// Counts a request (its first try, not its retries).
    #[inline]
    pub fn request(&self, now: Nanos) {
        self.requests.add(self.slicer.slice(now), GENERATION);
    }

    /// Withdraws one retry; `None`: the budget is spent. Say [`Retry::made`] when it is sent; dropped without, it is given
    /// back.
    pub fn try_retry(&self, now: Nanos) -> Option<Retry<'_>> {
        let slice = self.slicer.slice(now);
        self.retries.add(slice, GENERATION);
        let retry = Retry { budget: self, withdrawn: slice, made: false };
        // Dropping it gives it back.
        (u64::from(self.retries.sum(slice, GENERATION)) <= self.limit_in(slice)).then_some(retry)
    }

    /// How many retries there may be in the present window, those in it included.
    pub fn limit(&self, now: Nanos) -> u64 {
        self.limit_in(self.slicer.slice(now))
    }

    fn limit_in(&self, slice: Slice) -> u64 {
        u64::from(self.requests.sum(slice, GENERATION)) * self.percent / 100 + self.minimum
    }

    /// How many retries are in the present window, waiting ones included.
    pub fn spent(&self, now: Nanos) -> u32 {
        self.retries.sum(self.slicer.slice(now), GENERATION)
    }
}

/// A budget is never cleared, so that its counters need but one.
const GENERATION: u32 = 0;

/// One retry withdrawn from a budget.
#[derive(Debug)]
#[must_use = "dropped at once, it is given back"]
pub struct Retry<'a> {
    budget: &'a RetryBudget,
    withdrawn: Slice,
    made: bool,
}

impl Retry<'_> {
    /// The retry is being sent: it stays spent.
    pub fn made(mut self) {
        self.made = true;
    }
}

impl Drop for Retry<'_> {
    fn drop(&mut self) {
        if !self.made {
            self.budget.retries.take_back(self.withdrawn, GENERATION);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;
    const SEC: fn(u64) -> Nanos = Nanos::from_secs;

    #[test]
    fn twenty_percent_and_ten_a_second_over_ten_seconds() {
        let budget = RetryBudget::new(BudgetSettings::default()).unwrap();
        (0..1_000).for_each(|_| budget.request(SEC(3)));
        let granted = (0..1_000).map_while(|_| budget.try_retry(SEC(3))).map(Retry::made).count();
        assert_eq!(granted, 200 + 100);
        assert!(budget.try_retry(SEC(12)).is_none());
        assert_eq!((budget.spent(SEC(13)), budget.limit(SEC(13))), (0, 100), "a window later");
    }

    #[test]
    fn errors_name_field_and_value() {
        let error = |b: BudgetSettings| b.validate().unwrap_err().to_string();
        let b = BudgetSettings::new;
        assert_eq!(error(b().percent(1_001)), "percent = 1001: must be from 0 to 1000");
        assert_eq!(
            error(b().min_per_second(1_000_001)),
            "min_per_second = 1000001: must be from 0 to 1000000"
        );
        assert_eq!(error(b().window(HOUR * 2)), "window = 7200s: must be from 100ms to 3600s");
    }

    proptest! {
        /// Against lists of instants, of which those in the ten latest slices are counted.
        #[test]
        fn as_lists_of_instants(
            percent in 0u32..60,
            min_per_second in 0u32..4,
            steps in prop::collection::vec((0u64..400, 0u8..8), 1..200),
        ) {
            let settings = BudgetSettings::new().percent(percent).min_per_second(min_per_second);
            let budget = RetryBudget::new(settings.window(Duration::from_secs(2))).unwrap();
            let (mut now, mut requests, mut retries, mut waiting) = (0, Vec::new(), Vec::new(), Vec::new());
            for (step, kind) in steps {
                now += step;
                let inside = |list: &[u64]| list.iter().filter(|&&at| now / 200 - at / 200 < 10).count() as u64;
                let at = Nanos::from_millis(now);
                match kind {
                    0..4 => {
                        budget.request(at);
                        requests.push(now);
                    }
                    4..6 => {
                        let limit = inside(&requests) * u64::from(percent) / 100 + 2 * u64::from(min_per_second);
                        let retry = budget.try_retry(at);
                        prop_assert_eq!(retry.is_some(), inside(&retries) < limit);
                        if let Some(retry) = retry {
                            retries.push(now);
                            waiting.push((now, retry));
                        }
                    }
                    6 => if let Some((_, retry)) = waiting.pop() {
                        retry.made();
                    },
                    _ => if let Some((then, retry)) = waiting.pop() {
                        drop(retry);
                        let place = retries.iter().position(|&t| t == then).unwrap();
                        retries.swap_remove(place);
                    },
                }
                prop_assert_eq!(u64::from(budget.spent(at)), inside(&retries));
            }
        }
    }
}
