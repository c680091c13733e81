//! `splits`: traffic that is divided between pools.

use super::algorithm::is_token;
use super::{check_name, set};
use crate::config::{Config, Pool, RouteAction, Split, Sticky};
use crate::diagnostic::Sink;
use crate::node::shorten;
use crate::reader::{Field, Reader};
use crate::schema;
use lb_session::AffinityKind;
use lb_split::settings::{DURATION_MAX, REQUESTS_MIN_MAX};
use lb_split::{LatencyGuard, Percent, RolloutSettings, Step};
use std::time::Duration;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The splits; the pools are known.
pub(super) fn splits<'a>(r: &Reader<'a>, sink: &Sink<'_>, config: &mut Config) -> Vec<(&'a str, Reader<'a>)> {
    let named = r.field("splits").named_tables();
    for (name, table) in &named {
        check_name("split", name, table, sink);
        let others: Vec<&str> = named.iter().map(|(name, _)| *name).collect();
        let split = Split {
            targets: targets(name, table, config, &others),
            sticky: table.field("sticky").table().and_then(|t| sticky(&t, config)),
            rollout: table.field("rollout").table().map(|t| rollout(&t)).unwrap_or_default(),
        };
        config.splits.insert((*name).to_owned(), split);
    }
    named
}

/// Records each split that no route names.
pub(super) fn unused(named: &[(&str, Reader<'_>)], config: &Config, sink: &Sink<'_>) {
    let is_named = |split: &str| {
        config.routes.iter().any(|r| matches!(&r.action, RouteAction::Split(name) if name == split))
    };
    for (name, r) in named.iter().filter(|(name, _)| !is_named(name)) {
        let name = shorten(name);
        sink.error(r.span, format!("no request comes to split `{name}`: no route names it"))
            .help(format!("remove it, or add a route with split = \"{name}\""));
    }
}

fn targets(name: &str, r: &Reader<'_>, config: &Config, splits: &[&str]) -> Vec<(String, Percent)> {
    let list = r.field("targets").required();
    let tables = list.tables();
    let mut targets = Vec::with_capacity(tables.len());
    let (mut last, mut wrong) = (None, false);
    for t in &tables {
        let (pool, share) = (t.field("pool").required(), t.field("percent").required());
        let (named, percent) = (pool.text(), percent(&share));
        if let Some(named) = named {
            is_pool(&pool, named, config, splits);
        }
        wrong |= named.is_none() || percent.is_none();
        // One that is wrong stands for a pool that nobody knows: so no pool is called unreached for it.
        targets.push((named.unwrap_or_default().to_owned(), percent.unwrap_or_default()));
        last = Some(share);
    }
    if wrong || !list.is_present() || list.len() != Some(targets.len()) {
        return targets;
    }
    let all: Vec<_> = targets.iter().map(|(name, percent)| (&**name, *percent)).collect();
    match lb_split::Split::new(name, &all, false) {
        Ok(_) => {}
        Err(e) if e.field == "percents" => {
            let sum = targets.iter().map(|(_, p)| u32::from(p.hundredths())).sum::<u32>();
            let message =
                format!("`percent`: the targets must have 100 together, not {}", f64::from(sum) / 100.0);
            last.as_ref().unwrap_or(&list).error(message);
        }
        // A name that is wrong was told by itself.
        Err(e) if e.field == "targets" => list.bad_setting(&e.value, &e.must),
        Err(_) => {}
    }
    targets
}

fn percent(field: &Field<'_>) -> Option<Percent> {
    let number = field.number(0.0..=100.0)?;
    Percent::try_from(number).map_err(|e| field.bad_setting(&e.value, &e.must)).ok()
}

fn is_pool(field: &Field<'_>, name: &str, config: &Config, splits: &[&str]) {
    if config.pools.contains_key(name) {
        return;
    }
    let shown = shorten(name);
    if splits.contains(&name) {
        field
            .error(format!("`pool`: \"{shown}\" is a split; the targets of a split are pools"))
            .help("name the pools themselves: a split has up to four");
        return;
    }
    let near = schema::nearest(name, config.pools.keys().map(String::as_str));
    let help = near.map_or_else(
        || format!("add [pools.{shown}] with its backends"),
        |near| format!("did you mean \"{near}\"?"),
    );
    field.error(format!("`pool`: there is no pool \"{shown}\"")).help(help);
}

/// `None`: its type is wrong, which was recorded.
fn sticky(r: &Reader<'_>, config: &Config) -> Option<Sticky> {
    const KINDS: [&str; 3] = ["cookie", "header", "ip-hash"];
    let kind = r.field("type").required().choice(&KINDS.map(|k| (k, k)))?;
    let foreign = |keys: &[&str], to: &str| {
        if kind != to {
            r.refuse(keys, |key| format!("`{key}` belongs to `type` {to}, and this is {kind}"));
        }
    };
    foreign(&["cookie_name", "max_age"], "cookie");
    foreign(&["header_name"], "header");
    let token = |field: Field<'_>, what: &str| {
        let text = field.text()?;
        if !is_token(text) {
            field.error(format!("`{}` = \"{}\" is no {what}'s name", field.name(), shorten(text)));
            return None;
        }
        Some(text.to_owned())
    };
    match kind {
        "cookie" => {
            let field = r.field("cookie_name");
            let name = token(r.field("cookie_name"), "cookie").unwrap_or_else(|| "lb_cohort".to_owned());
            if ["__secure-", "__host-"].iter().any(|p| name.to_ascii_lowercase().starts_with(p)) {
                let message =
                    "`cookie_name`: browsers want `Secure` for such a name, and have it by TLS alone";
                field.error(message).help("leave the prefix out");
            }
            if let Some(pool) = of_sessions(&name, config) {
                let pool = shorten(pool);
                field.error(format!("`cookie_name` is that of the sessions of pool `{pool}` as well"));
            }
            let max_age = r.field("max_age").duration_within(Duration::from_secs(1)..=400 * DAY);
            Some(Sticky::Cookie { name, max_age: max_age.unwrap_or(30 * DAY) })
        }
        "header" => Some(Sticky::Header(token(r.field("header_name").required(), "header")?)),
        _ => Some(Sticky::IpHash),
    }
}

/// The pool whose sessions have a cookie of this name.
fn of_sessions<'a>(cookie: &str, config: &'a Config) -> Option<&'a str> {
    let has = |pool: &Pool| {
        let sessions = pool.session_affinity.as_ref().map(|a| &a.settings);
        sessions.is_some_and(|s| s.kind == AffinityKind::Cookie && s.cookie_name == cookie)
    };
    config.pools.iter().find(|(_, pool)| has(pool)).map(|(name, _)| &**name)
}

fn rollout(r: &Reader<'_>) -> RolloutSettings {
    let mut s = RolloutSettings::default();
    let steps = r.field("steps");
    if steps.is_present() {
        let tables = steps.tables();
        let step = |t: &Reader<'_>| {
            let percent = percent(&t.field("percent").required());
            let duration = t.field("duration").required().duration_within(Duration::ZERO..=DURATION_MAX);
            Some(Step { percent: percent?, duration: duration? })
        };
        let read: Vec<Step> = tables.iter().filter_map(step).collect();
        // Steps that are wrong by themselves were recorded; those that are left say nothing of the order.
        if steps.len() == Some(read.len()) {
            s.steps = read;
        }
    }
    let difference = r.field("error_difference_max");
    if difference.is_text() && difference.text() == Some("none") {
        s.error_difference_max = None;
    } else if let Some(number) = difference.number(0.0..=0.5) {
        s.error_difference_max = Some(number);
    }
    s.latency = r.field("latency").table().and_then(|t| {
        let quantile = t.field("quantile").number(0.5..=0.999).unwrap_or(0.95);
        let ratio_max = t.field("ratio_max").required().number(1.0..=100.0)?;
        Some(LatencyGuard { quantile, ratio_max })
    });
    set(&mut s.requests_min, r.field("requests_min").integer(1..=REQUESTS_MIN_MAX));
    set(&mut s.patience, r.field("patience").duration_within(Duration::ZERO..=DURATION_MAX));
    set(&mut s.false_rollback_max, r.field("false_rollback_max").number(1e-9..=0.5));
    set(&mut s.false_promotion_max, r.field("false_promotion_max").number(1e-9..=0.5));
    if let Err(e) = s.validate() {
        if e.field == "error_difference_max" {
            difference
                .error("`error_difference_max` = \"none\" and no `latency`: a rollout without a guard is a shift")
                .help("keep one of them, or use `edge-lb split set NAME … --over 1h`");
        } else {
            steps.error(format!("`{}` = {}: {}", e.field, e.value, e.must));
        }
        return RolloutSettings::default();
    }
    s
}
