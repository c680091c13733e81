//! What must hold among pools: routes lead to them, or without routes one takes all requests; and those that they name as regional ones
//! stand below them.

use crate::config::{Config, Route, RouteAction};
use crate::diagnostic::Sink;
use crate::node::shorten;
use crate::reader::Reader;
use crate::schema;
use std::collections::{HashMap, HashSet};

/// Are there routes?
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Routed {
    No,
    /// There are, and some of them are wrong: nobody knows which pools they lead to.
    Wrong,
    Known,
}

/// The pool that all requests go to; with routes there is none such.
pub(super) fn entry(
    named: &[(&str, Reader<'_>)],
    config: &Config,
    routed: Routed,
    sink: &Sink<'_>,
) -> String {
    let aware = |name: &str| config.pools.get(name).is_some_and(|p| p.regional.is_some());
    // Each regional pool, with the pool above it and its region there.
    let mut below: HashMap<&str, (&str, &str)> = HashMap::new();
    for (above, r) in named.iter().filter(|(name, _)| aware(name)) {
        for (region, balancer) in r.field("regional_balancers").named_tables() {
            let field = balancer.field("pool");
            let Some(name) = field.text() else { continue };
            let shown = shorten(name);
            if !config.pools.contains_key(name) {
                let near = schema::nearest(name, named.iter().map(|(n, _)| *n).filter(|n| n != above));
                let message = format!("`pool`: there is no pool \"{shown}\"");
                let help = near.map_or_else(
                    || format!("add [pools.{shown}] with its backends"),
                    |near| format!("did you mean \"{near}\"?"),
                );
                field.error(message).help(help);
            } else if aware(name) {
                field.error(format!("`pool` \"{shown}\" is `geo-aware` itself; a regional pool must not be"));
            } else if let Some((_, first)) = below.insert(name, (above, region)) {
                let message = format!(
                    "`pool` \"{shown}\" belongs to two regions, `{}` and `{}`",
                    shorten(first),
                    shorten(region)
                );
                field.error(message);
            }
        }
    }
    for (name, r) in named {
        if let Some((above, _)) = below.get(name) {
            belongs_above(r, above);
        }
    }
    if routed != Routed::No {
        if routed == Routed::Known {
            unreached(named, |name| below.contains_key(name), config, sink);
        }
        return String::new();
    }
    let mut entries = named.iter().filter(|(name, _)| !below.contains_key(name));
    let Some((entry, _)) = entries.next() else { return String::new() };
    for (name, r) in entries {
        let message = format!("pool `{}` is one too many: several pools need routes", shorten(name));
        sink.error(r.span, message)
            .help(format!("add [[routes]], or keep one pool; `{}` comes first", shorten(entry)));
    }
    (*entry).to_owned()
}

/// Records each pool that no route leads to, unless it stands below another.
fn unreached(
    named: &[(&str, Reader<'_>)],
    is_below: impl Fn(&str) -> bool,
    config: &Config,
    sink: &Sink<'_>,
) {
    let pools = |r: &'_ Route| match &r.action {
        RouteAction::Pool(pool) => vec![pool.clone()],
        RouteAction::Split(split) => {
            let targets = config.splits.get(split).map(|s| &s.targets[..]).unwrap_or_default();
            targets.iter().map(|(pool, _)| pool.clone()).collect()
        }
        _ => vec![],
    };
    let mirrored = |r: &'_ Route| r.mirror.as_ref().map(|m| m.pool.clone());
    let routes = config.routes.iter();
    let led_to: HashSet<String> = routes.clone().flat_map(pools).chain(routes.filter_map(mirrored)).collect();
    for (name, r) in named.iter().filter(|(name, _)| !is_below(name) && !led_to.contains(*name)) {
        let message = format!("no request comes to pool `{}`: no route leads to it", shorten(name));
        sink.error(r.span, message).help("remove it, or add a route with it");
    }
}

/// Records what a regional pool has and only the pool above it can keep.
fn belongs_above(r: &Reader<'_>, above: &str) {
    let above = shorten(above);
    let refuse = |r: &Reader<'_>, key: &str, name: &str| {
        let field = r.field(key);
        if field.is_present() {
            let message =
                format!("`{name}` does nothing here: it is of the whole exchange, which is pool `{above}`'s");
            r.sink.error(field.key_span(), message).help(format!("put it into pool `{above}`"));
        }
    };
    refuse(r, "retry_policy", "retry_policy");
    if let Some(t) = r.field("timeouts").table() {
        refuse(&t, "total", "timeouts.total");
    }
}
