//! What regions of both kinds have in common: which clients are whose.

use crate::node::Value;
use crate::reader::{Field, Reader};
use crate::schema;
use lb_geo::{Continent, Coordinates, Country, RegionError, RegionMap, RegionSettings, Subdivision};
use std::fmt::Display;
use std::str::FromStr;

/// A region's rules. `None` where one is wrong.
pub(super) fn rules(name: &str, r: &Reader<'_>) -> Option<RegionSettings> {
    let countries = codes::<Country>(&r.field("countries"));
    let subdivisions = codes::<Subdivision>(&r.field("subdivisions"));
    let continents = codes::<Continent>(&r.field("continents"));
    let place = r.field("coordinates");
    let coordinates = coordinates(&place);
    if place.is_present() && coordinates.is_none() {
        return None;
    }
    let mut settings =
        RegionSettings::new(name).countries(countries?).subdivisions(subdivisions?).continents(continents?);
    settings.coordinates = coordinates.map(|c| (c.lat(), c.lon()));
    Some(settings)
}

/// The codes of a list, `None` where one is wrong.
fn codes<T: FromStr<Err: Display>>(field: &Field<'_>) -> Option<Vec<String>> {
    if !field.is_present() {
        return Some(Vec::new());
    }
    let items = field.text_items();
    let mut good = field.len() == Some(items.len());
    for (text, node) in &items {
        if let Err(e) = text.parse::<T>() {
            field.error_at(node, |_| format!("bad code in `{}`: {e}", field.name()));
            good = false;
        }
    }
    good.then(|| items.into_iter().map(|(text, _)| text.to_owned()).collect())
}

/// `[latitude, longitude]`.
pub(super) fn coordinates(field: &Field<'_>) -> Option<Coordinates> {
    let items = field.list()?;
    let numbers: Vec<f64> = items
        .iter()
        .filter_map(|node| match node.value {
            Value::Integer(n) => Some(n as f64),
            Value::Float(n) => Some(n),
            _ => None,
        })
        .collect();
    let (2, &[lat, lon]) = (items.len(), numbers.as_slice()) else {
        let message = format!("`{}` must be two numbers", field.name());
        field.error(message).help("write [latitude, longitude], such as [52.5, 13.4]");
        return None;
    };
    Coordinates::new(lat, lon).map_err(|e| field.error(format!("`{}`: {e}", field.name()))).ok()
}

/// Records what is wrong among regions whose rules are right each by itself.
pub(super) fn map(regions: &[(&str, Reader<'_>)], rules: &[RegionSettings], fallback: &Field<'_>) {
    let fallback_name = fallback.text();
    let Err(e) = RegionMap::new(rules, fallback_name) else { return };
    let region = |name: &str| regions.iter().find(|(n, _)| *n == name).map(|(_, r)| r);
    match &e {
        RegionError::InTwoRegions { what, code, first, second } => {
            let Some(r) = region(second) else { return };
            let key = match *what {
                "country" => "countries",
                "subdivision" => "subdivisions",
                _ => "continents",
            };
            let message = if first == second {
                format!("{what} {code} is twice in `{key}`")
            } else {
                format!("{what} {code} is in two regions, `{first}` and `{second}`")
            };
            r.field(key).error(message);
        }
        RegionError::UnknownFallback { name, .. } => {
            let names = || regions.iter().map(|(name, _)| *name);
            let message = format!("`fallback_region` = \"{name}\": there is no such region");
            let help = match schema::nearest(name, names()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => format!("it must be one of {}", names().collect::<Vec<_>>().join(", ")),
            };
            fallback.error(message).help(help);
        }
        // A name of no bytes or too many, or too many regions.
        other => {
            let at = regions.iter().find(|(name, _)| !(1..=255).contains(&name.len()));
            let span = at.or(regions.last()).map_or(fallback.span(), |(_, r)| r.span);
            fallback.sink.error(span, other.to_string());
        }
    }
}
