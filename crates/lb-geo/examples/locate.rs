//! Where addresses are, and which region is theirs.
//!
//! ```sh
//! cargo run -p lb-geo --features geo-data --example locate -- 193.0.6.139 10.0.0.1
//! cargo run -p lb-geo --example locate -- --database GeoLite2-City.mmdb 81.2.69.142
//! ```
//!
//! Without a database it asks the built-in one, if the build has it (feature `geo-data`).

use lb_geo::{Database, GeoDetector, Location, Overrides, RegionMap, RegionSettings};
use std::error::Error;
use std::net::IpAddr;

fn main() -> Result<(), Box<dyn Error>> {
    let (mut databases, mut addresses) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--database" {
            databases.push(Database::maxmind(arguments.next().ok_or("--database: which file?")?));
        } else {
            addresses.push(argument.parse::<IpAddr>().map_err(|e| format!("{argument}: {e}"))?);
        }
    }
    if addresses.is_empty() {
        return Err("usage: locate [--database FILE]... ADDRESS...".into());
    }
    if databases.is_empty() {
        databases.push(Database::built_in());
    }

    // A private range of one's own, which no database knows.
    let mut overrides = Overrides::new();
    overrides.add("10.0.0.0/8", Location::of_country("DE".parse()?).in_city("Frankfurt"))?;
    let builder = databases.into_iter().fold(GeoDetector::builder(), lb_geo::GeoDetectorBuilder::database);
    let detector = builder.overrides(overrides).build()?;
    for about in detector.about() {
        println!("{about}\n");
    }

    let regions = RegionMap::new(
        &[
            RegionSettings::new("us-east").countries(["US", "CA"]).coordinates(38.9, -77.4),
            RegionSettings::new("us-west")
                .subdivisions(["US-CA", "US-OR", "US-WA"])
                .coordinates(45.6, -121.2),
            RegionSettings::new("eu-west").continents(["EU"]).coordinates(53.3, -6.3),
            RegionSettings::new("asia").countries(["JP", "KR", "TW"]).coordinates(35.7, 139.7),
        ],
        Some("us-east"),
    )?;
    for ip in addresses {
        let answer = detector.detect_location(ip);
        println!("{ip}");
        match &answer {
            lb_geo::Answer::Found(location) => println!("  is in      {}", shown(location)),
            lb_geo::Answer::Unknown(why) => println!("  is unknown {why}"),
        }
        if let Some(decision) = regions.region_of(&answer) {
            println!("  goes to    {}: {}", decision.region, decision.why);
        }
        let order = regions.by_distance(&answer).into_iter().map(|away| match away.km {
            Some(km) => format!("{} {km:.0} km", away.region),
            None => away.region.to_owned(),
        });
        println!("  nearest    {}", order.collect::<Vec<_>>().join(", "));
    }
    Ok(())
}

fn shown(l: &Location) -> String {
    let country = l.country.map(|c| format!("{} ({c})", c.name()));
    let region = l.region.map(|r| r.to_string()).or_else(|| l.region_name.as_deref().map(str::to_owned));
    let place = l.coordinates.map(|c| format!("{:.2}, {:.2}", c.lat(), c.lon()));
    let system = l.asn.map(|n| format!("AS{n} {}", l.as_organization.as_deref().unwrap_or_default()));
    let city = l.city.as_deref().map(str::to_owned);
    let continent = l.continent.map(|c| c.name().to_owned());
    [city, region, country, continent, place, system].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}
