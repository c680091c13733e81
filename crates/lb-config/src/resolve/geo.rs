//! `geo`: how clients' places are found.

use super::known::Known;
use super::proxies::reason;
use super::{region, set, u32_to_usize};
use crate::config::{Geo, GeoCache, GeoDatabase};
use crate::node::{Node, Value, shorten};
use crate::reader::{Field, Reader};
use lb_geo::detector::{CAPACITY_MAX, TTL_MAX, TTL_MIN};
use lb_geo::http::{CONCURRENT_MAX, RETRIES_MAX};
use lb_geo::{Country, GeoError, HttpSettings, Location, Overrides, Subdivision};
use lb_types::{Address, BackendUrl};

pub(super) fn geo(r: &Reader<'_>, known: &Known<'_>) -> Geo {
    let mut geo = Geo::default();
    let databases = r.field("database");
    if let Some(nodes) = databases.one_or_more() {
        geo.databases = nodes.iter().filter_map(|node| one(&databases, node, known)).collect();
    }
    if let Some(t) = r.field("cache").table() {
        geo.cache = cache(&t, known);
    }
    geo.overrides = overrides(&r.field("overrides"));
    geo
}

/// `"built-in"`, or a table.
fn one<'a>(field: &Field<'a>, node: &'a Node, known: &Known<'_>) -> Option<GeoDatabase> {
    match &node.value {
        Value::Text(text) if text == "built-in" => Some(GeoDatabase::BuiltIn),
        Value::Text(_) => {
            let help = "write { type = \"maxmind\", path = \"GeoLite2-City.mmdb\" }, or { type = \"ipinfo\", token = \"env:TOKEN\" }";
            field
                .error_at(node, |found| format!("`database` must be \"built-in\" or a table, not {found}"))
                .help(help);
            None
        }
        _ => field.table_in(node).and_then(|t| database(&t, known)),
    }
}

const HTTP_KEYS: [&str; 6] = ["token", "base_url", "timeout", "retries", "backoff", "max_concurrent"];

fn database(r: &Reader<'_>, known: &Known<'_>) -> Option<GeoDatabase> {
    let kinds = ["built-in", "maxmind", "ipinfo", "ipapi"].map(|kind| (kind, kind));
    let kind = r.field("type").required().choice(&kinds)?;
    let foreign = |keys: &[&str], to: &str| {
        r.refuse(keys, |key| format!("`{key}` belongs to {to}, and this database is {kind}"));
    };
    if kind != "maxmind" {
        foreign(&["path", "mapped"], "maxmind");
    }
    if matches!(kind, "built-in" | "maxmind") {
        foreign(&HTTP_KEYS, "ipinfo and ipapi");
    }
    match kind {
        "built-in" => Some(GeoDatabase::BuiltIn),
        "maxmind" => {
            let mapped = r.field("mapped").boolean().unwrap_or_default();
            let path = r.field("path").required().text()?;
            Some(GeoDatabase::MaxMind { path: path.into(), mapped })
        }
        "ipinfo" => Some(GeoDatabase::IpInfo(http(r, known))),
        _ => Some(GeoDatabase::IpApi(http(r, known))),
    }
}

fn http(r: &Reader<'_>, known: &Known<'_>) -> HttpSettings {
    let mut s = HttpSettings::default();
    s.token = known.secrets.secret(&r.field("token"));
    let url = r.field("base_url");
    if let Some(text) = url.text() {
        let parsed = text.parse::<BackendUrl>();
        if parsed.is_ok_and(|url| matches!(url.address(), Address::Tcp { .. })) {
            s.base_url = Some(text.to_owned());
        } else {
            let message = format!("bad `base_url` \"{}\"", shorten(text));
            url.error(message).help("it must be a URL of http or https, without a query");
        }
    }
    set(&mut s.timeout, r.field("timeout").duration_or_zero());
    set(&mut s.retries, r.field("retries").integer(0..=RETRIES_MAX));
    set(&mut s.backoff, r.field("backoff").duration_or_zero());
    set(
        &mut s.max_concurrent,
        r.field("max_concurrent").integer(1..=CONCURRENT_MAX as u32).map(u32_to_usize),
    );
    match s.validate() {
        Err(GeoError::BadSetting { field, value, reason }) => r.field(field).bad_setting(&value, reason),
        Err(other) => {
            r.sink.error(r.span, other.to_string());
        }
        Ok(()) => {}
    }
    s
}

/// `None` where it is switched off.
fn cache(r: &Reader<'_>, known: &Known<'_>) -> Option<GeoCache> {
    let mut c = GeoCache::default();
    set(&mut c.ttl, r.field("ttl").duration_within(TTL_MIN..=TTL_MAX));
    c.negative_ttl = c.negative_ttl.min(c.ttl);
    set(&mut c.negative_ttl, r.field("negative_ttl").duration_within(TTL_MIN..=TTL_MAX));
    set(&mut c.capacity, r.field("capacity").integer(1..=CAPACITY_MAX as u32).map(u32_to_usize));
    set(&mut c.storage, known.storage(&r.field("storage")));
    r.enabled().then_some(c)
}

fn overrides(field: &Field<'_>) -> Vec<(String, Location)> {
    let mut places = Vec::new();
    let mut seen = Overrides::new();
    for (network, r) in field.named_tables() {
        let Some(location) = place(&r) else { continue };
        match seen.add(network, location.clone()) {
            Ok(()) => places.push((network.to_owned(), location)),
            Err(e) => {
                let message = format!("bad network \"{}\" in `overrides`: {}", shorten(network), reason(&e));
                r.sink.error(r.span, message);
            }
        }
    }
    places
}

fn place(r: &Reader<'_>) -> Option<Location> {
    let country = code::<Country>(&r.field("country"));
    let field = r.field("region");
    let subdivision = code::<Subdivision>(&field);
    let coordinates = region::coordinates(&r.field("coordinates"));
    let given = ["country", "region", "coordinates"].iter().any(|key| r.field(key).is_present());
    if !given {
        r.sink.error(r.span, "this override gives no place").help("add country = \"DE\", or `coordinates`");
        return None;
    }
    let mut location = match (country, subdivision) {
        (Some(country), Some(subdivision)) if subdivision.country() != country => {
            field.error(format!("`region` {subdivision} is not in `country` {country}"));
            return None;
        }
        (_, Some(subdivision)) => Location::of_subdivision(subdivision),
        (Some(country), None) => Location::of_country(country),
        (None, None) => Location::default(),
    };
    location.coordinates = coordinates;
    match r.field("city").text() {
        Some(city) => Some(location.in_city(city)),
        None => Some(location),
    }
}

/// A code of ISO 3166.
fn code<T: std::str::FromStr<Err: std::fmt::Display>>(field: &Field<'_>) -> Option<T> {
    let parsed = field.text()?.parse::<T>();
    parsed.map_err(|e| field.error(format!("bad `{}`: {e}", field.name()))).ok()
}
