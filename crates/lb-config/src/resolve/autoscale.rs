//! How many backends there are: when instances come and go, who starts them, and what they become.

mod driver;

use super::known::Known;
use super::{set, set_duration_within};
use crate::config::{Autoscale, Pool, ScaleDriver};
use crate::reader::{Field, Reader};
use lb_autoscale::settings::VALUE_MAX;
use lb_autoscale::{AutoScale, InstanceTemplate, Metric, Mode, Quantile, Target};
use lb_types::SettingsError;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const SEC: Duration = Duration::from_secs(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);
/// Twice as many may be there at once, while those that go are drained: more than 1000 the driver does not make.
const PROCESSES_MAX: u32 = 500;

/// The scaling of a pool whose other keys were read, and whether it was meant to make backends, right or wrong.
pub(super) fn autoscale(
    name: &str,
    r: &Reader<'_>,
    pool: &Pool,
    known: &Known<'_>,
) -> (Option<Autoscale>, bool) {
    let (section, template) = (r.field("autoscale"), r.field("instance_template"));
    let Some(t) = section.table() else {
        if template.is_present() && !section.is_present() {
            r.sink.error(template.key_span(), "`instance_template` does nothing without `autoscale`");
        }
        return (None, section.is_present());
    };
    let enabled = t.enabled();
    let scale = scale(&t);
    let mut drain_grace = Duration::from_secs(30);
    set_duration_within(&mut drain_grace, &t, "drain_grace", Duration::ZERO..=HOUR);
    let replace = t.field("replace_unhealthy_after");
    let is_none =
        matches!(replace.node().map(|n| &n.value), Some(crate::node::Value::Text(text)) if text == "none");
    let replace_unhealthy_after =
        if is_none { None } else { Some(replace.duration_within(SEC..=HOUR).unwrap_or(60 * SEC)) };
    let driver = t.field("driver");
    if !driver.is_present() {
        let help = "add driver = { type = \"process\", command = [\"./server\", \"--port\", \"{port}\"] }";
        t.sink.error(t.span, "missing key `driver`").help(help);
    }
    let driver = driver.table().and_then(|d| driver::driver(name, &d, &scale, known));
    let template = template_of(&template);
    let Some(driver) = driver else { return (None, enabled) };
    let autoscale = Autoscale { scale, drain_grace, replace_unhealthy_after, driver, template };
    fits(r, &t, pool, &autoscale);
    (enabled.then_some(autoscale), enabled)
}

/// What scaling asks of the rest of the pool.
fn fits(r: &Reader<'_>, t: &Reader<'_>, pool: &Pool, a: &Autoscale) {
    if a.scale.min_instances == 0 && pool.queuing.is_none() {
        let message =
            "`min_instances` = 0 needs `queuing`: without it there is nowhere to wait for the first instance";
        t.field("min_instances").error(message).help("add queuing = {}");
    }
    let limited = pool.settings.max_connections.is_some()
        || a.template.max_connections.is_some()
        || pool.connection_pooling.is_some();
    if a.scale.metric == Metric::InFlight && !limited {
        let message = "`metric` = \"in-flight\" is a percent of `max_connections`, which the pool has not";
        t.field("metric").error(message).help("add max_connections = 100, say");
    }
    match &a.driver {
        ScaleDriver::Process(p) => {
            let taken = |id: &str| {
                let number = id.strip_prefix(p.name.as_str()).and_then(|rest| rest.strip_prefix('-'));
                number.is_some_and(|n| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            };
            if let Some(b) = pool.backends.iter().find(|b| taken(b.id.as_str())) {
                let message = format!("backend \"{}\" has a name that instances get", b.id);
                r.sink.error(r.field("backends").key_span(), message).help("set another driver.name");
            }
        }
        _ => {
            let template = r.field("instance_template");
            if template.is_present() {
                let message =
                    "`instance_template` does nothing with a driver that keeps no list of instances";
                r.sink.error(template.key_span(), message);
            }
            if pool.discovery.is_none() && !r.field("discovery").is_present() {
                let message = "instances of this driver come by `discovery`, which the pool has not";
                r.sink.error(t.field("driver").key_span(), message).help("add `discovery`");
            }
        }
    }
}

fn scale(t: &Reader<'_>) -> AutoScale {
    let mut s = AutoScale::default();
    set(&mut s.min_instances, t.field("min_instances").integer(0..=10_000));
    let max = t.field("max_instances");
    s.max_instances = s.max_instances.max(s.min_instances);
    set(&mut s.max_instances, max.integer(1..=10_000));
    let metrics = [
        ("cpu", Metric::Cpu),
        ("in-flight", Metric::InFlight),
        ("queue-delay", Metric::QueueDelay),
        ("requests", Metric::Requests),
        ("latency", Metric::Latency(Quantile::P95)),
        ("latency-p50", Metric::Latency(Quantile::P50)),
        ("latency-p99", Metric::Latency(Quantile::P99)),
    ];
    set(&mut s.metric, t.field("metric").choice(&metrics));
    set(&mut s.scale_up_threshold, t.field("scale_up_threshold").positive(VALUE_MAX));
    set(&mut s.scale_down_threshold, t.field("scale_down_threshold").number(0.0..=VALUE_MAX));
    set_duration_within(&mut s.metrics_window, t, "metrics_window", SEC..=DAY);
    set_duration_within(&mut s.cooldown_period, t, "cooldown_period", Duration::ZERO..=DAY);
    s.cooldown_up = t.field("cooldown_up").duration_within(Duration::ZERO..=DAY);
    s.cooldown_down = t.field("cooldown_down").duration_within(Duration::ZERO..=DAY);
    s.step_up = t.field("step_up").integer(1..=10_000);
    s.step_down = t.field("step_down").integer(1..=10_000);
    set(&mut s.known_percent, t.field("known_percent").integer(0..=100));
    set(&mut s.dry_run, t.field("dry_run").boolean());
    let target = t.field("target").table();
    if let Some(r) = &target {
        t.refuse(&["scale_up_threshold", "scale_down_threshold"], |key| {
            format!("`{key}` does nothing with `target`")
        });
        let mut target = Target::new(r.field("value").required().positive(VALUE_MAX).unwrap_or(60.0));
        target.rise_window = target.rise_window.min(s.metrics_window);
        set_duration_within(&mut target.rise_window, r, "rise_window", SEC..=DAY);
        set(&mut target.tolerance_percent, r.field("tolerance_percent").integer(0..=100));
        set_duration_within(&mut target.drain_within, r, "drain_within", SEC..=DAY);
        s.mode = Mode::Target(target);
    }
    if let Err(e) = s.validate() {
        match e.field.strip_prefix("target.").zip(target.as_ref()) {
            Some((key, r)) => wrong_at(r, key, &e),
            None => wrong(t, &e),
        }
    }
    s
}

/// Says what is wrong where it stands, if it stands anywhere.
fn wrong(t: &Reader<'_>, e: &SettingsError) {
    wrong_at(t, e.field, e);
}

/// The same where the key has another name than the setting.
fn wrong_at(t: &Reader<'_>, key: &str, e: &SettingsError) {
    if t.mentions(key) {
        t.field(key).bad_setting(&e.value, &e.must);
    } else {
        t.sink.error(t.span, format!("`{}` = {}: {}", e.field, e.value, e.must));
    }
}

fn template_of(field: &Field<'_>) -> InstanceTemplate {
    let mut template = InstanceTemplate::default();
    let Some(t) = field.table() else { return template };
    set(&mut template.url, t.field("url").text().map(str::to_owned));
    set(&mut template.weight, t.field("weight").integer(1..=1_000_000));
    template.max_connections = t.field("max_connections").integer(1..=u32::MAX);
    set(&mut template.metadata, t.field("metadata").text_map());
    if let Err(e) = template.validate() {
        wrong(&t, &e);
    }
    template
}
