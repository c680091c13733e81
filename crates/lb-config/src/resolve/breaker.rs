//! A pool's circuit breakers and their fallback response.

use super::{response, set};
use crate::config::CircuitBreaker;
use crate::reader::Reader;
use lb_breaker::settings::{COUNT_MAX, DURATION_MAX, DURATION_MIN, MINIMUM_CALLS_MAX};
use lb_breaker::{BreakerSettings, RateWindow, fallback_response};
use std::time::Duration;

/// The shortest `monitoring_period`: the breaker moves it in steps of its hundredth.
const PERIOD_MIN: Duration = Duration::from_millis(100);

/// `None` where it is switched off.
pub(super) fn breaker(r: &Reader<'_>) -> Option<CircuitBreaker> {
    let mut b = BreakerSettings::default();
    set(&mut b.failure_threshold, r.field("failure_threshold").integer(0..=COUNT_MAX));
    set(&mut b.recovery_timeout, r.field("recovery_timeout").duration_within(DURATION_MIN..=DURATION_MAX));
    set(&mut b.monitoring_period, r.field("monitoring_period").duration_within(PERIOD_MIN..=DURATION_MAX));
    set(&mut b.success_threshold, r.field("success_threshold").integer(1..=COUNT_MAX));
    b.half_open_probes = r.field("half_open_probes").integer(1..=COUNT_MAX);
    b.failure_rate = r.field("failure_rate").integer(1..=100);
    b.slow_call_duration = r.field("slow_call_duration").duration_within(DURATION_MIN..=DURATION_MAX);
    b.slow_call_rate = r.field("slow_call_rate").integer(1..=100);
    set(&mut b.minimum_calls, r.field("minimum_calls").integer(1..=MINIMUM_CALLS_MAX));
    b.rate_window =
        r.field("rate_window").integer(1..=COUNT_MAX).map_or(RateWindow::Period, RateWindow::Calls);
    for (one, other) in [("slow_call_duration", "slow_call_rate"), ("slow_call_rate", "slow_call_duration")] {
        let field = r.field(one);
        if field.is_present() && !r.field(other).is_present() {
            r.sink.error(field.key_span(), format!("`{one}` does nothing without `{other}`"));
        }
    }
    if b.failure_threshold == 0 && b.failure_rate.is_none() && b.slow_call_rate.is_none() {
        let message = "`failure_threshold` is 0 and there is no rate: nothing would open the breaker";
        r.field("failure_threshold").error(message).help("enabled = false switches breakers off");
    }
    let fallback = response::response(&r.field("fallback_response"), fallback_response());
    r.enabled().then_some(CircuitBreaker { settings: b, fallback })
}
