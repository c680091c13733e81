//! Who may come in, and when: queue, load shedding, adaptive concurrency, rate limit.

use super::known::Known;
use super::{algorithm, response, set, u32_to_usize};
use crate::config::{Limiting, Pool, Queuing};
use crate::node::{Value, shorten};
use crate::reader::{Field, Reader};
use lb_admission::concurrency::AdaptiveConcurrency;
use lb_admission::priority::LEVELS_MAX;
use lb_admission::queue::{Level, Overload};
use lb_admission::rate_limit::{LimitKey, OnStoreFailure, RateLimit};
use lb_admission::shed::ShedSettings;
use std::time::Duration;

const MS: Duration = Duration::from_millis(1);
const HOUR: Duration = Duration::from_secs(3_600);
const DAY: Duration = Duration::from_secs(24 * 3_600);

/// All that stands at a pool's door.
pub(super) fn door(r: &Reader<'_>, pool: &mut Pool, known: &Known<'_>) {
    let queuing = r.field("queuing").table().map(|t| (queuing(&t), t.enabled()));
    // The levels are those of the queue, also where that is switched off.
    let levels = queuing.as_ref().map_or(3, |(q, _)| q.settings.levels.len());
    pool.queuing = queuing.filter(|(_, enabled)| *enabled).map(|(q, _)| q);
    pool.load_shedding = r.field("load_shedding").table().and_then(|t| {
        let mut settings = shedding(&t);
        settings.levels = levels;
        if settings.queue_threshold.is_some()
            && t.field("queue_threshold").is_present()
            && pool.queuing.is_none()
        {
            let message = "`queue_threshold` does nothing without `queuing`";
            r.sink.error(t.field("queue_threshold").key_span(), message).help("add queuing = {}");
        }
        t.enabled().then_some(settings)
    });
    pool.adaptive_concurrency = r.field("adaptive_concurrency").table().and_then(|t| {
        let settings = Some(adaptive(&t)).filter(|_| t.enabled());
        if settings.is_some() && pool.queuing.is_none() {
            let message = "`adaptive_concurrency` needs `queuing`: while it learns, requests would be refused that only have to wait";
            r.sink.error(r.field("adaptive_concurrency").key_span(), message).help("add queuing = {}");
        }
        settings
    });
    pool.rate_limit =
        r.field("rate_limit").table().and_then(|t| rate_limit(&t, known, false).filter(|_| t.enabled()));
    set(&mut pool.selection_timeout, r.field("selection_timeout").duration_within(Duration::ZERO..=HOUR));
}

fn queuing(r: &Reader<'_>) -> Queuing {
    let mut q = Queuing::default();
    let s = &mut q.settings;
    set(&mut s.max_size, r.field("max_queue_size").integer(1..=1_000_000u32).map(u32_to_usize));
    set(&mut s.timeout, r.field("queue_timeout").duration_within(MS..=HOUR));
    levels(r, &mut s.levels);
    if r.field("priority_queue").boolean() == Some(false) {
        r.refuse(&["priority_levels", "priority_weights", "priority_header"], |key| {
            format!("`{key}` does nothing with priority_queue = false")
        });
        s.levels = vec![Level::new("normal", 1)];
    }
    let overload = r.field("overload").table();
    if let Some(t) = overload {
        let mut o = Overload::default();
        set(&mut o.after, t.field("after").duration_within(MS..=HOUR));
        set(&mut o.target, t.field("target").duration_within(MS..=HOUR));
        s.overload = t.enabled().then_some(o);
    }
    let header = r.field("priority_header");
    q.priority_header = header.text().and_then(|name| {
        if algorithm::is_token(name) {
            return Some(name.to_ascii_lowercase());
        }
        header.error(format!("\"{}\" is no header name", shorten(name)));
        None
    });
    q.response = response::response(&r.field("response"), q.response);
    if let Err(e) = q.settings.validate() {
        r.sink.error(r.span, format!("`queuing`: {e}"));
    }
    q
}

fn levels(r: &Reader<'_>, levels: &mut Vec<Level>) {
    let (names, weights) = (r.field("priority_levels"), r.field("priority_weights"));
    if names.is_present() {
        let texts = names.text_items();
        if texts.is_empty() || texts.len() > LEVELS_MAX {
            names.error(format!("`priority_levels` must be 1 to {LEVELS_MAX} names"));
            return;
        }
        let twice = |i: usize| texts[..i].iter().any(|(n, _)| n.eq_ignore_ascii_case(texts[i].0));
        if let Some(i) = (1..texts.len()).find(|&i| twice(i)) {
            names.error(format!("`priority_levels` has \"{}\" twice", shorten(texts[i].0)));
            return;
        }
        // Each level has four times what the next has, as far as that goes.
        let weight = |i: usize| 4u32.pow((texts.len() - 1 - i).min(4) as u32);
        *levels = texts.iter().enumerate().map(|(i, (name, _))| Level::new(*name, weight(i))).collect();
    }
    if !weights.is_present() {
        return;
    }
    let items = weights.list().unwrap_or_default();
    let numbers: Vec<u32> = items
        .iter()
        .filter_map(|n| match n.value {
            Value::Integer(w @ 1..=1_000) => Some(w as u32),
            _ => None,
        })
        .collect();
    if numbers.len() != items.len() || numbers.len() != levels.len() {
        let n = levels.len();
        weights.error(format!(
            "`priority_weights` must be {n} whole numbers from 1 to 1000, one for each level"
        ));
        return;
    }
    levels.iter_mut().zip(numbers).for_each(|(level, weight)| level.weight = weight);
}

fn is_none(field: &Field<'_>) -> bool {
    matches!(field.node().map(|n| &n.value), Some(Value::Text(t)) if t == "none")
}

/// Sets a threshold that may be `"none"`.
fn threshold<T>(to: &mut Option<T>, field: &Field<'_>, read: impl FnOnce(&Field<'_>) -> Option<T>) {
    if is_none(field) {
        *to = None;
    } else if let Some(value) = read(field) {
        *to = Some(value);
    }
}

fn shedding(r: &Reader<'_>) -> ShedSettings {
    let mut s = ShedSettings::default();
    let percent = |f: &Field<'_>| f.number(1.0..=100.0);
    threshold(&mut s.cpu_threshold, &r.field("cpu_threshold"), percent);
    threshold(&mut s.memory_threshold, &r.field("memory_threshold"), percent);
    threshold(&mut s.queue_threshold, &r.field("queue_threshold"), |f| {
        f.integer(1..=1_000_000u32).map(u32_to_usize)
    });
    threshold(&mut s.loop_delay_threshold, &r.field("loop_delay_threshold"), |f| {
        f.duration_within(MS..=Duration::from_secs(60))
    });
    threshold(&mut s.pressure_threshold, &r.field("pressure_threshold"), percent);
    s.shed_response = response::response(&r.field("shed_response"), s.shed_response);
    if let Err(e) = s.validate() {
        r.sink.error(r.span, format!("`load_shedding`: {e}"));
    }
    s
}

fn adaptive(r: &Reader<'_>) -> AdaptiveConcurrency {
    let mut a = AdaptiveConcurrency::default();
    set(&mut a.min, r.field("min").integer(1..=100_000));
    set(&mut a.max, r.field("max").integer(1..=100_000));
    a.initial = a.initial.clamp(a.min.min(a.max), a.max);
    set(&mut a.initial, r.field("initial").integer(1..=100_000));
    set(&mut a.tolerance, r.field("tolerance").number(1.0..=10.0));
    if let Err(e) = a.validate() {
        r.field(e.field).bad_setting(&e.value, &e.must);
    }
    a
}

/// A pool's limit, or a route's.
pub(super) fn rate_limit(r: &Reader<'_>, known: &Known<'_>, of_route: bool) -> Option<Limiting> {
    let limit = r.field("limit").required().integer(1..=1_000_000_000u64);
    let window = r.field("window").required().duration_within(MS..=DAY);
    let mut s = RateLimit::new(limit.unwrap_or(1), window.unwrap_or(DAY));
    s.burst = r.field("burst").integer(0..=1_000_000_000u64);
    let key = r.field("key");
    if let Some(text) = key.text() {
        match LimitKey::parse(text) {
            Some(LimitKey::Route) if !of_route => {
                key.error("`key` = \"route\" is for the limit of a route")
                    .help("use \"service\": one limit for all of the pool");
            }
            Some(found) => s.key = found,
            None => key.not_a_choice(text, ["client-ip", "header:NAME", "service"].into_iter()),
        }
    }
    if key.is_present() && s.key != LimitKey::ClientIp {
        r.refuse(&["ipv4_prefix", "ipv6_prefix"], |key| {
            format!("`{key}` does nothing without key = \"client-ip\"")
        });
    }
    set(&mut s.ipv4_prefix, r.field("ipv4_prefix").integer(0..=32));
    set(&mut s.ipv6_prefix, r.field("ipv6_prefix").integer(0..=128));
    set(&mut s.max_keys, r.field("max_keys").integer(1..=10_000_000u32).map(u32_to_usize));
    s.retry_after = r.field("retry_after").duration_within(Duration::from_secs(1)..=DAY);
    set(&mut s.dry_run, r.field("dry_run").boolean());
    let storage = known.storage(&r.field("storage")).unwrap_or_default();
    let on_failure = r.field("on_store_failure");
    let choices = [
        ("local", OnStoreFailure::Local),
        ("open", OnStoreFailure::Open),
        ("closed", OnStoreFailure::Closed),
    ];
    set(&mut s.on_store_failure, on_failure.choice(&choices));
    if on_failure.is_present() && !r.field("storage").is_present() {
        let message = "`on_store_failure` does nothing without `storage`";
        r.sink.error(on_failure.key_span(), message).help("add storage = \"NAME\", a store under `stores`");
    }
    if limit.is_some()
        && window.is_some()
        && let Err(e) = s.validate()
    {
        r.field(e.field).bad_setting(&e.value, &e.must);
    }
    let headers = r.field("headers").boolean().unwrap_or(true);
    Some(Limiting { settings: s, headers, storage })
}
