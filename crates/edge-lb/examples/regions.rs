//! Three regions, each with a balancer of its own, and one balancer over them: who serves whom, and what happens when a region fails.
//!
//! `cargo run -p edge-lb --features geo-data --example regions`

use edge_lb::geo::{Database, GeoDetector, Location, Overrides, RegionSettings};
use edge_lb::prelude::*;
use edge_lb::types::HealthSink;
use std::error::Error;
use std::net::IpAddr;

const CLIENTS: [(&str, &str); 5] = [
    ("8.8.8.8", "the United States"),
    ("193.0.6.139", "the Netherlands"),
    ("133.11.0.1", "Japan"),
    ("10.1.2.3", "our office in Berlin"),
    ("192.168.1.1", "nobody knows where"),
];

pub(crate) fn main() -> Result<(), Box<dyn Error>> {
    // No database knows private addresses: overrides place them.
    let mut overrides = Overrides::new();
    overrides.add("10.1.0.0/16", Location::of_country("DE".parse()?))?;
    let detector = GeoDetector::builder().database(Database::built_in()).overrides(overrides).build()?;

    let regions = [
        RegionSettings::new("us-east").countries(["US", "CA"]).coordinates(38.9, -77.4),
        RegionSettings::new("eu-west").continents(["EU"]).coordinates(53.3, -6.3),
        RegionSettings::new("ap-east").continents(["AS"]).coordinates(35.7, 139.7),
    ];
    let mut global = LoadBalancer::builder().name("global").geo_detector(detector).fallback_region("us-east");
    for region in regions {
        let name = region.name.clone();
        let regional = LoadBalancer::builder()
            .name(name.as_str())
            .algorithm(Algorithm::LeastConnections)
            .backend(Backend::new(format!("{name}-1"), "http://10.0.0.1:80".parse()?))
            .backend(Backend::new(format!("{name}-2"), "http://10.0.0.2:80".parse()?))
            .build()?;
        global = global.regional_balancer(region, regional);
    }
    let global = global.build()?;

    println!("all is well:");
    who_serves_whom(&global)?;

    // Health checks would say so. What belongs to a region is done at its own balancer.
    for leaf in global.leaves().iter().filter(|leaf| leaf.name() == "eu-west") {
        leaf.pool().set_healthy(&"eu-west-1".into(), false);
        leaf.pool().set_healthy(&"eu-west-2".into(), false);
    }
    println!("\neu-west has failed:");
    who_serves_whom(&global)?;

    let client = RequestInfo::from_ip(CLIENTS[1].0.parse()?);
    println!("\nwhy, for {}:\n{}", CLIENTS[1].0, global.explain(&client, &SelectOptions::default()));
    Ok(())
}

fn who_serves_whom(global: &LoadBalancer) -> Result<(), Box<dyn Error>> {
    for (ip, place) in CLIENTS {
        let client: IpAddr = ip.parse()?;
        let lease = global.select_backend(&RequestInfo::from_ip(client), &SelectOptions::default())?;
        println!("  {ip:12} {place:22} → {}", lease.backend().id());
        lease.complete(Outcome::Success { ttfb: Nanos::from_millis(3) });
    }
    Ok(())
}
