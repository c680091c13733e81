//! Whether the share of failed or slow calls is too high.

use crate::settings::{BreakerSettings, RateWindow};
use crate::state::Reason;
use crate::window::{CountWindow, TimeWindow, Totals};
use lb_types::Nanos;

/// The rates that the settings ask for, over the window that they name.
#[derive(Debug)]
pub(crate) struct Rates {
    window: Window,
    failure_rate: Option<u8>,
    slow_call_rate: Option<u8>,
    minimum_calls: u32,
}

#[derive(Debug)]
enum Window {
    Period(Box<TimeWindow>),
    Calls(CountWindow),
}

impl Rates {
    /// `None`: no rate is set.
    pub(crate) fn new(settings: &BreakerSettings) -> Option<Self> {
        settings.has_rates().then(|| Self {
            window: match settings.rate_window {
                RateWindow::Period => {
                    Window::Period(Box::new(TimeWindow::new(settings.monitoring_period.into())))
                }
                RateWindow::Calls(n) => Window::Calls(CountWindow::new(n)),
            },
            failure_rate: settings.failure_rate,
            slow_call_rate: settings.slow_call_rate,
            minimum_calls: settings.minimum_calls,
        })
    }

    /// Counts a call; gives the rate that is now too high.
    pub(crate) fn record(&self, now: Nanos, generation: u32, failed: bool, slow: bool) -> Option<Reason> {
        let totals = match &self.window {
            Window::Period(window) => window.record_and_look(now, generation, failed, slow)?,
            Window::Calls(window) => {
                window.record(generation, failed, slow);
                window.totals(generation)
            }
        };
        let reached = |rate: Option<u8>, part| {
            rate.is_some_and(|percent| totals.reaches(part, percent, self.minimum_calls))
        };
        if reached(self.failure_rate, totals.failures) {
            Some(Reason::FailureRate)
        } else if reached(self.slow_call_rate, totals.slow) {
            Some(Reason::SlowCallRate)
        } else {
            None
        }
    }

    pub(crate) fn totals(&self, now: Nanos, generation: u32) -> Totals {
        match &self.window {
            Window::Period(window) => window.totals(now, generation),
            Window::Calls(window) => window.totals(generation),
        }
    }

    pub(crate) fn failure_percent(&self, totals: &Totals) -> Option<f64> {
        totals.failure_percent(self.minimum_calls)
    }

    pub(crate) fn slow_percent(&self, totals: &Totals) -> Option<f64> {
        totals.slow_percent(self.minimum_calls)
    }
}
