//! A pool's retry policy.

use super::{set, u32_to_usize};
use crate::config::{Hedge, RetryOn, RetryPolicy};
use crate::node::{Node, Value};
use crate::reader::{Field, Reader};
use crate::schema;
use lb_breaker::{Backoff, BudgetSettings};
use std::ops::RangeInclusive;
use std::time::Duration;

/// The longest delay, as `lb-breaker` has it.
const DELAY_MAX: Duration = Duration::from_secs(24 * 3600);
/// The windows that a budget can have.
const WINDOWS: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);
/// What is below is no failure.
const STATUS_MIN: u16 = 400;
const STATUS_MAX: u16 = 599;
/// What a request's body may cost in memory while it may have to be sent again.
const REPLAY_MAX: u64 = 1 << 20;

pub(super) fn policy(r: &Reader<'_>) -> Option<RetryPolicy> {
    let mut policy = RetryPolicy { backoff: backoff(r), budget: budget(r), ..RetryPolicy::default() };
    set(&mut policy.max_retries, r.field("max_retries").integer(0..=100));
    set(&mut policy.retry_on, conditions(&r.field("retry_on")));
    policy.per_try_timeout = r.field("per_try_timeout").duration();
    set(&mut policy.retry_after_max, r.field("retry_after_max").duration_or_zero());
    let replay = r.field("replay_buffer").size(0..=REPLAY_MAX);
    // The bound fits any machine's words.
    set(&mut policy.replay_buffer, replay.and_then(|n| u32::try_from(n).ok()).map(u32_to_usize));
    if let Some(t) = r.field("hedge").table() {
        let mut hedge = Hedge::default();
        set(&mut hedge.percentile, t.field("percentile").integer(50..=99));
        set(&mut hedge.min_delay, t.field("min_delay").duration_or_zero());
        policy.hedge = t.enabled().then_some(hedge);
    }
    if !r.enabled() {
        (policy.max_retries, policy.replay_buffer, policy.hedge) = (0, 0, None);
    }
    Some(policy)
}

fn backoff(r: &Reader<'_>) -> Backoff {
    let mut backoff = Backoff::default();
    let (base, max) = (r.field("base_delay"), r.field("max_delay"));
    set(&mut backoff.base_delay, base.duration_within(Duration::ZERO..=DELAY_MAX));
    backoff.max_delay = backoff.max_delay.max(backoff.base_delay);
    let constant = r.field("backoff").choice(&[("exponential", false), ("constant", true)]);
    if constant == Some(true) {
        r.refuse(&["max_delay"], |_| {
            "`max_delay` belongs to `backoff = \"exponential\"`, and this one is constant".to_owned()
        });
        backoff = Backoff::constant(backoff.base_delay);
    } else {
        set(&mut backoff.max_delay, max.duration_within(backoff.base_delay..=DELAY_MAX));
    }
    set(&mut backoff.jitter, r.field("jitter").boolean());
    backoff
}

fn budget(r: &Reader<'_>) -> BudgetSettings {
    let mut budget = BudgetSettings::default();
    set(&mut budget.percent, r.field("budget_percent").integer(0..=1_000));
    set(&mut budget.min_per_second, r.field("budget_min_per_second").integer(0..=1_000_000));
    set(&mut budget.window, r.field("budget_window").duration_within(WINDOWS));
    budget
}

fn conditions(field: &Field<'_>) -> Option<Vec<RetryOn>> {
    let items = field.list()?;
    if items.is_empty() {
        let help = "enabled = false switches retries off";
        field.error("`retry_on` must have at least one condition").help(help);
        return None;
    }
    let (mut found, mut statuses) = (Vec::with_capacity(items.len()), Vec::new());
    for item in items {
        match condition(item) {
            Ok(RetryOn::Status(range)) => statuses.push((*range.start(), *range.end())),
            Ok(condition) if found.contains(&condition) => {}
            Ok(condition) => found.push(condition),
            Err(help) => {
                field.error_at(item, |found| format!("bad condition {found} in `retry_on`")).help(help);
            }
        }
    }
    statuses.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(statuses.len());
    for (low, high) in statuses {
        match merged.last_mut() {
            Some((_, end)) if low <= *end + 1 => *end = high.max(*end),
            _ => merged.push((low, high)),
        }
    }
    found.extend(merged.into_iter().map(|(low, high)| RetryOn::Status(low..=high)));
    Some(found)
}

const WORDS: [(&str, RetryOn); 3] =
    [("connect-failure", RetryOn::ConnectFailure), ("reset", RetryOn::Reset), ("timeout", RetryOn::Timeout)];

/// What an item says, or what it should.
fn condition(item: &Node) -> Result<RetryOn, String> {
    let range = match &item.value {
        Value::Integer(n) => u16::try_from(*n).ok().map(|n| (n, n)),
        Value::Text(t) => {
            if let Some((_, word)) = WORDS.iter().find(|(word, _)| word == t) {
                return Ok(word.clone());
            }
            let near = schema::nearest(&t.to_ascii_lowercase().replace('_', "-"), WORDS.map(|(w, _)| w));
            match near.filter(|_| !t.starts_with(|c: char| c.is_ascii_digit())) {
                Some(near) => return Err(format!("did you mean \"{near}\"?")),
                None => statuses(t),
            }
        }
        _ => None,
    };
    match range {
        Some((low, high)) if STATUS_MIN <= low && low <= high && high <= STATUS_MAX => {
            Ok(RetryOn::Status(low..=high))
        }
        _ => Err(format!(
            "it must be connect-failure, reset, timeout, a status from {STATUS_MIN} to {STATUS_MAX}, a range such as \"502-504\" or \"5xx\""
        )),
    }
}

/// `503`, `502-504` or `5xx`.
fn statuses(text: &str) -> Option<(u16, u16)> {
    if let Some(class) = text.strip_suffix("xx").filter(|c| c.len() == 1) {
        let class = class.parse::<u16>().ok()? * 100;
        return Some((class, class + 99));
    }
    match text.split_once('-') {
        Some((low, high)) => low.trim().parse().ok().zip(high.trim().parse().ok()),
        None => text.trim().parse().ok().map(|n| (n, n)),
    }
}
