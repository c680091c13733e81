//! `edge-lb geo`: where are addresses, and what are the databases that say so?

use crate::args::{GeoArgs, GeoCommand, GeoDatabases};
use crate::failure::{Failure, stdout_gone};
use edge_lb::geo::{
    About, Answer, Continent, Coordinates, Country, Database, GeoDetector, GeoError, Location, Mmdb,
};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The name of the built-in database, and what stands for it where none is named.
const BUILT_IN: &str = "built-in";

pub(crate) fn geo(args: GeoArgs) -> Result<(), Failure> {
    match args.command {
        Some(GeoCommand::Lookup { ip, json, databases }) => lookup(&ip, json, &databases),
        Some(GeoCommand::About(databases)) => about(&databases),
        None => about(&args.databases),
    }
}

fn say(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{}", text.trim_end()).map_err(stdout_gone)
}

/// Looks each up; what is no address is told, and the others are answered nevertheless.
fn lookup(addresses: &[String], as_json: bool, databases: &GeoDatabases) -> Result<(), Failure> {
    let databases = Databases::open(databases)?;
    let (mut found, mut failed) = (Vec::new(), false);
    for text in addresses {
        let Ok(ip) = text.parse::<IpAddr>() else {
            eprintln!("error: {text:?} is no IP address");
            failed = true;
            continue;
        };
        match databases.look_up(ip) {
            Ok(place) if as_json => found.push(place.json(ip)),
            Ok(place) => say(&place.text(ip))?,
            Err(message) => {
                eprintln!("error: {message}");
                failed = true;
            }
        }
    }
    if as_json {
        say(&format!("{:#}", Value::Array(found)))?;
    }
    if failed { Err(Failure::Said(1)) } else { Ok(()) }
}

fn about(databases: &GeoDatabases) -> Result<(), Failure> {
    let about = Databases::open(databases)?.detector.about();
    say(&about.iter().map(describe).collect::<Vec<_>>().join("\n"))
}

/// The databases, one by one and as the balancer asks them.
struct Databases {
    each: Vec<Mmdb>,
    detector: GeoDetector,
}

impl Databases {
    fn open(databases: &GeoDatabases) -> Result<Self, Failure> {
        let built_in = || vec![BUILT_IN.into()];
        let names = if databases.database.is_empty() { built_in() } else { databases.database.clone() };
        let open = |name: &PathBuf| {
            if name == Path::new(BUILT_IN) { Mmdb::built_in() } else { Mmdb::open(name) }
        };
        let unusable = |e: GeoError| Failure::Usage(e.to_string());
        let each = names.iter().map(open).collect::<Result<Vec<_>, _>>().map_err(unusable)?;
        let builder = each
            .iter()
            .cloned()
            .fold(GeoDetector::builder(), |builder, database| builder.database(Database::from(database)));
        let detector = builder.cache(Duration::from_secs(1), 0).build().map_err(unusable)?;
        Ok(Self { each, detector })
    }

    /// What the detector says, and which databases it has that from.
    fn look_up(&self, ip: IpAddr) -> Result<Place, String> {
        let mut from = Vec::new();
        for database in &self.each {
            if let Some(location) = database.lookup(ip).map_err(|e| e.to_string())?.location() {
                from.push(database.about());
                if location.has_place() {
                    break;
                }
            }
        }
        Ok(Place { answer: self.detector.detect_location(ip), from })
    }
}

/// What is said of an address, and by which databases.
struct Place {
    answer: Answer,
    from: Vec<About>,
}

impl Place {
    fn text(&self, ip: IpAddr) -> String {
        let mut text = format!("{ip}\n");
        let location = match &self.answer {
            Answer::Found(location) => location,
            Answer::Unknown(why) => {
                line(&mut text, "unknown", Some(why));
                return text;
            }
        };
        line(&mut text, "country", location.country.map(|c| format!("{} ({c})", c.name())));
        line(&mut text, "continent", location.continent.map(|c| format!("{} ({c})", c.name())));
        line(&mut text, "region", region(location));
        line(&mut text, "city", location.city.as_deref().map(printable));
        let coordinates = location.coordinates.map(|c| format!("{:.4}, {:.4}", c.lat(), c.lon()));
        line(&mut text, "coordinates", coordinates);
        line(&mut text, "network", network(location));
        let from = self.from.iter().map(|a| format!("{} ({})", a.source, printable(&a.database_type)));
        line(&mut text, "database", Some(from.collect::<Vec<_>>().join(", ")));
        text
    }

    fn json(&self, ip: IpAddr) -> Value {
        let l = match &self.answer {
            Answer::Found(location) => location,
            Answer::Unknown(why) => {
                return json!({ "ip": ip, "unknown": why.as_str(), "reason": why.to_string() });
            }
        };
        let fields = [
            ("ip", json!(ip)),
            ("country", json!(l.country.map(Country::code))),
            ("country_name", json!(l.country.map(Country::name))),
            ("continent", json!(l.continent.map(Continent::code))),
            ("region", json!(l.region.map(|r| r.to_string()))),
            ("region_name", json!(l.region_name)),
            ("city", json!(l.city)),
            ("latitude", json!(l.coordinates.map(Coordinates::lat))),
            ("longitude", json!(l.coordinates.map(Coordinates::lon))),
            ("asn", json!(l.asn)),
            ("as_organization", json!(l.as_organization)),
            ("databases", json!(self.from.iter().map(|a| &a.source).collect::<Vec<_>>())),
        ];
        // What is not known is left out.
        fields.into_iter().filter(|(_, v)| !v.is_null()).map(|(k, v)| (k.to_owned(), v)).collect()
    }
}

/// `England (GB-ENG)`, or what is known of that.
fn region(location: &Location) -> Option<String> {
    match (location.region_name.as_deref().map(printable), location.region) {
        (Some(name), Some(code)) => Some(format!("{name} ({code})")),
        (name, code) => name.or_else(|| code.map(|code| code.to_string())),
    }
}

/// `AS1221 Telstra Pty Ltd`, or what is known of that.
fn network(location: &Location) -> Option<String> {
    let number = location.asn.map(|asn| format!("AS{asn}"));
    let parts = [number, location.as_organization.as_deref().map(printable)];
    let parts: Vec<_> = parts.into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(" "))
}

fn describe(about: &About) -> String {
    let mut text = format!("{}\n", about.source);
    let (year, month, day) = about.built_on();
    line(&mut text, "type", Some(printable(&about.database_type)));
    line(&mut text, "built", Some(format!("{year}-{month:02}-{day:02}")));
    let families = if about.ip_version == 4 { "IPv4 alone" } else { "IPv4 and IPv6" };
    line(&mut text, "content", Some(format!("{families}, {:.1} MB", about.bytes as f64 / 1e6)));
    line(&mut text, "description", Some(printable(&about.description)).filter(|d| !d.is_empty()));
    line(&mut text, "licence", Some(about.licence.unwrap_or("its publisher's terms; not in the file")));
    for (n, said) in about.attribution.into_iter().flat_map(str::lines).enumerate() {
        line(&mut text, if n == 0 { "attribution" } else { "" }, Some(said));
    }
    text
}

/// One line, if there is something to say.
fn line(text: &mut String, name: &str, value: Option<impl std::fmt::Display>) {
    if let Some(value) = value {
        let _to_a_string = writeln!(text, "  {name:<12} {value}");
    }
}

/// A database's own words, without what would steer a terminal.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_half_known_is_told_as_such() {
        let mut location = Location::default();
        assert_eq!((region(&location), network(&location)), (None, None));
        (location.region_name, location.as_organization) = (Some("Bern".into()), Some("A\x1b[2J\n".into()));
        assert_eq!(region(&location).as_deref(), Some("Bern"));
        assert_eq!(network(&location).as_deref(), Some("A[2J"), "no escape sequence reaches a terminal");
        location.asn = Some(7);
        location.region = "CH-BE".parse().ok();
        assert_eq!(region(&location).as_deref(), Some("Bern (CH-BE)"));
        assert_eq!(network(&location).as_deref(), Some("AS7 A[2J"));
    }
}
