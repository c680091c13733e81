//! Who makes instances: one function for each type of driver.

use super::{HOUR, MS, PROCESSES_MAX, wrong};
use crate::config::ScaleDriver;
use crate::node::Value;
use crate::reader::{Field, Reader};
use crate::resolve::known::Known;
use crate::resolve::{kubernetes, set, set_duration_within};
use lb_autoscale::AutoScale;
use lb_autoscale::driver::exec::ExecSettings;
use lb_autoscale::driver::process::{Orphans, ProcessSettings, Ready};
use lb_autoscale::driver::retry::Retry;
use lb_autoscale::driver::webhook::WebhookSettings;
use std::time::Duration;

type Read = fn(&str, &Reader<'_>, &AutoScale, &Known<'_>) -> Option<ScaleDriver>;

/// Another type is one more row here, with its keys in the schema.
const TYPES: [(&str, Read); 4] =
    [("process", process), ("exec", exec), ("webhook", webhook), ("kubernetes", workload)];

/// The driver; `None` where it is wrong.
pub(super) fn driver(
    pool: &str,
    r: &Reader<'_>,
    scale: &AutoScale,
    known: &Known<'_>,
) -> Option<ScaleDriver> {
    let read = r.field("type").required().choice(&TYPES)?;
    read(pool, r, scale, known)
}

fn only(r: &Reader<'_>, kind: &str, keys: &[&str]) {
    r.refuse_all_but(
        keys,
        |key| format!("`{key}` is no key of driver type \"{kind}\""),
        &format!("its keys: {}", keys.join(", ")),
    );
}

fn command(r: &Reader<'_>) -> Option<Vec<String>> {
    let field = r.field("command").required();
    let texts = field.text_items();
    if field.is_present() && texts.is_empty() {
        field.error("`command` must name a program");
    }
    (!texts.is_empty()).then(|| texts.iter().map(|(text, _)| (*text).to_owned()).collect())
}

fn retry(r: &Reader<'_>) -> Retry {
    let mut retry = Retry::default();
    let Some(t) = r.field("retry").table() else { return retry };
    set(&mut retry.tries, t.field("tries").integer(1..=100));
    set_duration_within(&mut retry.first, &t, "first", MS..=HOUR);
    set_duration_within(&mut retry.longest, &t, "longest", MS..=HOUR);
    if let Err(e) = retry.validate() {
        wrong(&t, &e);
    }
    retry
}

fn process(pool: &str, r: &Reader<'_>, scale: &AutoScale, _: &Known<'_>) -> Option<ScaleDriver> {
    only(
        r,
        "process",
        &[
            "type",
            "command",
            "environment",
            "directory",
            "name",
            "inherit_environment",
            "host",
            "ports",
            "ready",
            "start_timeout",
            "probe_timeout",
            "probe_interval",
            "crash_window",
            "rest",
            "stop_grace",
            "state_file",
            "orphans",
            "retry",
        ],
    );
    if scale.max_instances > PROCESSES_MAX {
        let message = format!(
            "`process` makes at most {PROCESSES_MAX} instances, and `max_instances` is {}",
            scale.max_instances
        );
        r.field("type").error(message);
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '-' };
    let name: String = pool.chars().map(plain).take(64).collect();
    let mut s = ProcessSettings::new(command(r)?).name(name);
    set(&mut s.name, r.field("name").text().map(str::to_owned));
    set(&mut s.environment, r.field("environment").text_map());
    set(&mut s.inherit_environment, r.field("inherit_environment").boolean());
    s.directory = r.field("directory").text().map(Into::into);
    let host = r.field("host");
    if let Some(text) = host.text() {
        match text.parse() {
            Ok(ip) => s.host = ip,
            Err(_) => drop(host.error(format!("\"{}\" is no IP address", crate::node::shorten(text)))),
        }
    }
    s.ports = ports(&r.field("ports"));
    if let Some(text) = r.field("ready").text() {
        s.ready = if text == "tcp" { Ready::Tcp } else { Ready::Http(text.to_owned()) };
    }
    let short = Duration::from_millis(10);
    set_duration_within(&mut s.start_timeout, r, "start_timeout", short..=HOUR);
    set_duration_within(&mut s.probe_timeout, r, "probe_timeout", short..=HOUR);
    set_duration_within(&mut s.probe_interval, r, "probe_interval", short..=HOUR);
    set_duration_within(&mut s.crash_window, r, "crash_window", MS..=HOUR);
    set_duration_within(&mut s.rest, r, "rest", MS..=HOUR);
    set_duration_within(&mut s.stop_grace, r, "stop_grace", Duration::ZERO..=HOUR);
    s.restart = retry(r);
    s.state_file = r.field("state_file").text().map(Into::into);
    set(&mut s.orphans, r.field("orphans").choice(&[("die", Orphans::Die), ("stay", Orphans::Stay)]));
    // Those that go are there until they are drained.
    s.instances_max = scale.max_instances.saturating_mul(2).clamp(100, 1000);
    if let Err(e) = s.validate() {
        wrong(r, &e);
    }
    Some(ScaleDriver::Process(s))
}

fn ports(field: &Field<'_>) -> Option<(u16, u16)> {
    let items = field.list()?;
    let port = |value: &Value| match value {
        Value::Integer(n) => u16::try_from(*n).ok().filter(|n| *n > 0),
        _ => None,
    };
    let ports = match items {
        [first, last] => port(&first.value).zip(port(&last.value)),
        _ => None,
    };
    if ports.is_none() {
        field.error("`ports` must be the first and the last port, such as [9000, 9099]");
    }
    ports
}

fn exec(_: &str, r: &Reader<'_>, _: &AutoScale, _: &Known<'_>) -> Option<ScaleDriver> {
    only(r, "exec", &["type", "command", "environment", "directory", "timeout", "retry"]);
    let mut s = ExecSettings::new(command(r)?);
    set(&mut s.environment, r.field("environment").text_map());
    s.directory = r.field("directory").text().map(Into::into);
    set_duration_within(&mut s.timeout, r, "timeout", Duration::from_millis(10)..=HOUR);
    s.retry = retry(r);
    if let Err(e) = s.validate() {
        wrong(r, &e);
    }
    Some(ScaleDriver::Exec(s))
}

fn webhook(_: &str, r: &Reader<'_>, _: &AutoScale, known: &Known<'_>) -> Option<ScaleDriver> {
    only(r, "webhook", &["type", "url", "secret", "timeout", "retry"]);
    let mut s = WebhookSettings::new(r.field("url").required().text()?);
    let secret = r.field("secret");
    s.secret = secret.node().and_then(|node| known.secrets.read(&secret, node));
    set_duration_within(&mut s.timeout, r, "timeout", Duration::from_millis(10)..=HOUR);
    s.retry = retry(r);
    if let Err(e) = s.validate() {
        wrong(r, &e);
    }
    Some(ScaleDriver::Webhook(s))
}

fn workload(_: &str, r: &Reader<'_>, _: &AutoScale, known: &Known<'_>) -> Option<ScaleDriver> {
    only(r, "kubernetes", &["type", "kind", "name", "namespace", "api", "timeout", "retry"]);
    kubernetes::workload(r, retry(r), known).map(ScaleDriver::Kubernetes)
}
