//! `outlier_detection`: passive detection, flat but for its statistics.

use super::set;
use crate::reader::Reader;
use crate::text;
use lb_health::outlier::{
    COUNT_MAX, Comparison, FailurePercentage, HOSTS_MAX, INTERVALS_MAX, OutlierDetection, SuccessRate,
    VOLUME_MAX,
};
use lb_health::{LONGEST, SHORTEST};

/// `None` where it is switched off.
pub(super) fn outlier(r: &Reader<'_>) -> Option<OutlierDetection> {
    let mut o = OutlierDetection::default();
    set(&mut o.consecutive_failures, r.field("consecutive_failures").integer(0..=COUNT_MAX));
    set(&mut o.consecutive_gateway_failures, r.field("consecutive_gateway_failures").integer(0..=COUNT_MAX));
    set(&mut o.consecutive_connect_failures, r.field("consecutive_connect_failures").integer(0..=COUNT_MAX));
    set(&mut o.interval, r.field("interval").duration_within(SHORTEST..=LONGEST));
    ejection_times(r, &mut o);
    set(&mut o.jitter_percent, r.field("jitter_percent").integer(0..=100));
    set(&mut o.max_ejection_percent, r.field("max_ejection_percent").integer(1..=100));
    set(&mut o.end_on_passing_check, r.field("end_on_passing_check").boolean());
    if let Some(t) = r.field("comparison").table() {
        o.comparison = comparison(&t);
    }
    o.success_rate = r.field("success_rate").table().and_then(|t| success_rate(&t));
    o.failure_percentage = r.field("failure_percentage").table().and_then(|t| failure_percentage(&t));
    let enabled = r.enabled();
    let counts = [o.consecutive_failures, o.consecutive_gateway_failures, o.consecutive_connect_failures];
    let statistics = o.comparison.is_some() || o.success_rate.is_some() || o.failure_percentage.is_some();
    if enabled && counts == [0; 3] && !statistics {
        let message = "`outlier_detection` would never eject: all its counts are 0 and its statistics off";
        r.sink.error(r.span, message).help("set enabled = false, or remove the section");
    }
    enabled.then_some(o)
}

/// The longest follows a longer base where it is not given.
fn ejection_times(r: &Reader<'_>, o: &mut OutlierDetection) {
    set(&mut o.base_ejection_time, r.field("base_ejection_time").duration_within(SHORTEST..=LONGEST));
    let longest = r.field("max_ejection_time");
    o.max_ejection_time = o.max_ejection_time.max(o.base_ejection_time);
    let Some(max) = longest.duration_within(SHORTEST..=LONGEST) else { return };
    if max < o.base_ejection_time {
        let base = text::show_duration(o.base_ejection_time);
        longest.error(format!("`max_ejection_time` must be at least `base_ejection_time`, {base}"));
    } else {
        o.max_ejection_time = max;
    }
}

fn comparison(r: &Reader<'_>) -> Option<Comparison> {
    let mut c = Comparison::default();
    set(&mut c.false_alarm_rate, r.field("false_alarm_rate").number(1e-9..=0.1));
    set(&mut c.minimum_requests, r.field("minimum_requests").integer(1..=VOLUME_MAX));
    set(&mut c.minimum_difference, r.field("minimum_difference").integer(1..=100));
    set(&mut c.minimum_ratio, r.field("minimum_ratio").number(1.0..=100.0));
    set(&mut c.intervals, r.field("intervals").integer(1..=INTERVALS_MAX));
    r.enabled().then_some(c)
}

fn success_rate(r: &Reader<'_>) -> Option<SuccessRate> {
    let mut s = SuccessRate::default();
    set(&mut s.stdev_factor, r.field("stdev_factor").number(0.1..=10.0));
    set(&mut s.minimum_hosts, r.field("minimum_hosts").integer(2..=HOSTS_MAX));
    set(&mut s.request_volume, r.field("request_volume").integer(1..=VOLUME_MAX));
    r.enabled().then_some(s)
}

fn failure_percentage(r: &Reader<'_>) -> Option<FailurePercentage> {
    let mut f = FailurePercentage::default();
    set(&mut f.threshold, r.field("threshold").integer(1..=100));
    set(&mut f.minimum_hosts, r.field("minimum_hosts").integer(1..=HOSTS_MAX));
    set(&mut f.request_volume, r.field("request_volume").integer(1..=VOLUME_MAX));
    r.enabled().then_some(f)
}
