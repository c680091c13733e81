//! What a look-up costs, in nanoseconds.
//!
//! ```sh
//! cargo run --release -p lb-geo --features geo-data,mmap --example geo_bench
//! ```
//!
//! Each figure is the median of nine rounds over the same addresses, on one thread. It fails where a look-up takes longer than it may: 1 µs
//! from a cache, 5 µs from a file.

use lb_geo::client_addr::Header;
use lb_geo::{
    Answer, Database, GeoDetector, LocationCache as _, MemoryCache, Mmdb, MmdbOptions, Nanos, RegionMap,
    RegionSettings, TrustedProxies,
};
use lb_types::{Clock as _, SystemClock};
use std::cell::Cell;
use std::error::Error;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

const ADDRESSES: usize = 100_000;
const ROUNDS: usize = 9;

fn main() -> Result<(), Box<dyn Error>> {
    let clock = SystemClock::new();
    let mut rng = fastrand::Rng::with_seed(7);
    let random: Vec<IpAddr> = std::iter::repeat_with(|| IpAddr::V4(Ipv4Addr::from(rng.u32(..))))
        .filter(|ip| lb_geo::special::special(*ip).is_none())
        .take(ADDRESSES)
        .collect();
    // Those that the test database has as cities.
    let cities =
        ["81.2.69.142", "216.160.83.56", "89.160.20.112", "2001:480:10::1", "175.16.199.1", "2.125.160.216"];
    let cities: Vec<IpAddr> = cities.iter().map(|ip| ip.parse()).collect::<Result<_, _>>()?;
    let cities: Vec<IpAddr> = cities.into_iter().cycle().take(ADDRESSES).collect();
    let test_file = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/GeoIP2-City-Test.mmdb");

    let start = clock.now();
    let built_in = Mmdb::built_in()?;
    println!(
        "unpacking the built-in database, once      {:>9.1} ms",
        (clock.now() - start).as_secs_f64() * 1e3
    );

    let too_slow = Cell::new(false);
    let report = |what: &str, ns: f64| println!("{what:<42} {ns:>9.0} ns");
    let bounded = |what: &str, ns: f64, ns_max: f64| {
        report(what, ns);
        if ns > ns_max {
            println!("    too slow: {ns_max} ns at most");
            too_slow.set(true);
        }
    };
    let (cached_ns_max, file_ns_max) = (1_000.0, 5_000.0);
    bounded(
        "country, built-in database, random IPv4",
        per_call(&clock, &random, |ip| built_in.lookup(ip)),
        file_ns_max,
    );
    let read = Mmdb::open(test_file)?;
    bounded("city, file read into memory", per_call(&clock, &cities, |ip| read.lookup(ip)), file_ns_max);
    let mut options = MmdbOptions::default();
    options.mapped = true;
    let mapped = Mmdb::open_with(test_file, options)?;
    bounded("city, file mapped into memory", per_call(&clock, &cities, |ip| mapped.lookup(ip)), file_ns_max);

    let cache = MemoryCache::new(2 * ADDRESSES);
    let now = Nanos::from_secs(1);
    for &ip in &random {
        cache.put_now(ip, &built_in.lookup(ip)?, Duration::from_secs(60), now);
    }
    bounded(
        "hit in a cache of 100 000",
        per_call(&clock, &random, |ip| cache.get_now(ip, now)),
        cached_ns_max,
    );
    let detector = GeoDetector::builder()
        .database(Database::from(built_in.clone()))
        .cache(Duration::from_secs(3_600), 2 * ADDRESSES)
        .build()?;
    random.iter().for_each(|&ip| drop(detector.detect_location(ip)));
    bounded(
        "detect_location, remembered",
        per_call(&clock, &random, |ip| detector.detect_location(ip)),
        cached_ns_max,
    );
    let uncached =
        GeoDetector::builder().database(Database::from(built_in)).cache(Duration::from_secs(1), 0).build()?;
    bounded(
        "detect_location, no cache",
        per_call(&clock, &random, |ip| uncached.detect_location(ip)),
        file_ns_max,
    );

    let map = RegionMap::new(
        &[
            RegionSettings::new("us").countries(["US", "CA"]).coordinates(38.9, -77.4),
            RegionSettings::new("eu").continents(["EU"]).coordinates(50.1, 8.7),
            RegionSettings::new("asia").coordinates(35.7, 139.7),
        ],
        Some("us"),
    )?;
    let answers: Vec<Answer> = random.iter().map(|&ip| uncached.detect_location(ip)).collect();
    report(
        "region_of, three regions",
        per_call(&clock, &answers, |answer| map.region_of(&answer).map(|d| d.index)),
    );
    let mut order = Vec::new();
    let start = clock.now();
    for answer in &answers {
        map.by_distance_from(1, black_box(answer), &mut order);
        black_box(&order);
    }
    report("order of three regions", (clock.now() - start).0 as f64 / answers.len() as f64);
    let trusted = TrustedProxies::new(["10.0.0.0/8", "127.0.0.0/8", "fd00::/8"])?;
    let lines: [&[u8]; 1] = [b"81.2.69.142, 10.0.0.7"];
    let peer = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    report(
        "client behind two proxies, X-Forwarded-For",
        per_call(&clock, &random, |_| trusted.client(peer, Header::XForwardedFor(black_box(&lines)))),
    );
    if too_slow.get() { Err("a look-up takes longer than it may".into()) } else { Ok(()) }
}

/// The median over rounds of the mean time of one call, in nanoseconds.
fn per_call<T: Clone, R>(clock: &SystemClock, inputs: &[T], call: impl Fn(T) -> R) -> f64 {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = clock.now();
            for input in inputs {
                black_box(call(black_box(input.clone())));
            }
            (clock.now() - start).0 as f64 / inputs.len() as f64
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    rounds[ROUNDS / 2]
}
