//! Pools by region: `geo-based`, whose backends are divided, and `geo-aware`, whose regions are pools.

use super::pool::exchange_of_all;
use super::region;
use crate::config::{GeoRegion, Pool, PoolGeo, Regional, RegionalBalancer};
use crate::node::shorten;
use crate::reader::{Field, Reader};
use crate::schema;
use lb_types::{Backend, BackendId};
use std::collections::HashMap;

/// All that a pool of pools has.
const AWARE_KEYS: [&str; 5] =
    ["algorithm", "fallback_region", "regional_balancers", "timeouts", "retry_policy"];
const BELOW: &str = "put it into the regional pools";

/// A pool that is `geo-aware`.
pub(super) fn aware(r: &Reader<'_>) -> Pool {
    let mut pool = Pool::default();
    let why = |key: &str| format!("`{key}` does nothing in a `geo-aware` pool, whose regions are pools");
    r.refuse_all_but(&AWARE_KEYS, why, BELOW);
    if let Some(t) = r.field("timeouts").table() {
        t.refuse_all_but(&["total"], why, BELOW);
    }
    exchange_of_all(r, &mut pool);
    let field = r.field("regional_balancers");
    let named = field.named_tables();
    if !field.is_present() || field.len() == Some(0) {
        let help = "add regional_balancers = { us-east = { pool = \"NAME\", countries = [\"US\"] } }";
        let at = if field.is_present() { field.key_span() } else { r.field("algorithm").key_span() };
        r.sink.error(at, "`geo-aware` needs `regional_balancers`").help(help);
    }
    let (mut rules, mut balancers) = (Vec::new(), Vec::new());
    for (name, t) in &named {
        let below = t.field("pool").required().text();
        let Some(settings) = region::rules(name, t) else { continue };
        rules.push(settings.clone());
        balancers.push(RegionalBalancer { settings, pool: below.unwrap_or_default().to_owned() });
    }
    let fallback = r.field("fallback_region");
    if rules.len() == named.len() && !named.is_empty() {
        region::map(&named, &rules, &fallback);
    }
    pool.regional = Some(Regional { balancers, fallback_region: fallback.text().map(str::to_owned) });
    pool
}

/// The regions of a pool that is `geo-based`. `all`: the list of its backends is right, and it finds no others.
pub(super) fn regions(r: &Reader<'_>, backends: &[Backend], all: bool, place: &str) -> PoolGeo {
    let field = r.field("regions").required();
    let named = field.named_tables();
    if field.len() == Some(0) {
        field.error("`regions` must have one region");
    }
    let (mut rules, mut regions) = (Vec::new(), Vec::new());
    let mut listed: HashMap<&str, &str> = HashMap::new();
    for (name, t) in &named {
        let ids = t.field("backends");
        let mut own = Vec::new();
        for (id, node) in ids.text_items() {
            let known = backends.iter().find(|b| b.id.as_str() == id);
            if known.is_none() && all {
                let near = schema::nearest(id, backends.iter().map(|b| b.id.as_str()));
                ids.error_at(node, |found| format!("there is no backend {found} in {place}"))
                    .maybe_help(near.map(|near| format!("did you mean \"{near}\"?")));
            }
            let says = known.and_then(|b| b.metadata.get("region")).map(String::as_str);
            let other = listed.insert(id, name).filter(|first| first != name);
            let says = says.filter(|says| says != name && named.iter().any(|(name, _)| name == says));
            if own.iter().any(|b: &BackendId| b.as_str() == id) {
                ids.error_at(node, |found| format!("backend {found} is listed twice"));
            } else if let Some(first) = other {
                ids.error_at(node, |found| {
                    format!("backend {found} is in two regions, `{first}` and `{name}`")
                });
            } else if let Some(says) = says {
                ids.error_at(node, |found| {
                    format!("backend {found} is in two regions: `{name}` lists it, and its `metadata` says `{says}`")
                });
            }
            own.push(BackendId::from(id));
        }
        if all && !ids.is_present() | (ids.len() == Some(0)) && !backends.iter().any(|b| says(b, name)) {
            let name = shorten(name);
            let message = format!(
                "region `{name}` has no backends: it lists none, and no backend's `metadata` says region = \"{name}\""
            );
            t.sink.error(t.span, message).help("add backends = [\"ID\"]");
        }
        let Some(settings) = region::rules(name, t) else { continue };
        rules.push(settings.clone());
        regions.push(GeoRegion { settings, backends: own });
    }
    let fallback = r.field("fallback_region");
    if rules.len() == named.len() && !named.is_empty() {
        region::map(&named, &rules, &fallback);
    }
    PoolGeo { regions, fallback_region: fallback.text().map(str::to_owned) }
}

fn says(backend: &Backend, region: &str) -> bool {
    backend.metadata.get("region").is_some_and(|says| says == region)
}

/// Records keys of geography in a pool whose algorithm, `chosen`, does not read them.
pub(super) fn foreign(r: &Reader<'_>, chosen: &Field<'_>, based: bool) {
    for key in ["regional_balancers", "fallback_region"] {
        let field = r.field(key);
        if field.is_present() {
            let help = match (key, based) {
                ("fallback_region", true) => "put it into `geo`",
                _ => "set algorithm = \"geo-aware\", or remove the key",
            };
            let message = format!("`{key}` goes with algorithm = \"geo-aware\" alone");
            r.sink.error(field.key_span(), message).help(help);
        }
    }
    let geo = r.field("geo");
    if based && !geo.is_present() {
        let help = "add geo = { regions = { us-east = { backends = [\"ID\"], countries = [\"US\"] } } }";
        chosen.error("`geo-based` needs `geo` with its regions").help(help);
    }
}
