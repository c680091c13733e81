//! Geography: what it resolves to, and what is refused.

mod common;

use common::check;
use lb_config::Format::Toml;
use lb_config::{Config, Geo, GeoDatabase, Storage, load, parse};
use lb_core::settings::Algorithm;
use lb_geo::{Coordinates, HttpSettings, Location, RegionMap, RegionSettings};
use std::path::Path;
use std::time::Duration;

const LISTENER: &str = "[[listeners]]\naddress = \"127.0.0.1:0\"\n";
const POOL: &str = "[pools.web]\nbackends = [{ url = \"http://127.0.0.1:9001\" }]\n";

fn good(text: &str) -> Config {
    parse(&format!("{LISTENER}{text}"), Toml, "f").unwrap_or_else(|e| panic!("{e}"))
}

/// The messages about `text`, which stands from line 3 on.
#[track_caller]
fn refused(text: &str, wanted: &str) {
    check(Toml, &format!("{LISTENER}{text}"), wanted);
}

#[test]
fn the_example_is_a_tree() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/geo.toml");
    let config = load(&path).unwrap_or_else(|e| panic!("{}", e.render(false)));
    assert_eq!((config.entry.as_str(), config.pools.len()), ("global", 3));
    assert_eq!(config.geo, Geo::default());
    let global = &config.pools["global"];
    assert_eq!((global.total_timeout, global.retry.max_retries), (Some(Duration::from_secs(60)), 2));
    assert!(global.backends.is_empty());
    let regional = global.regional.as_ref().unwrap();
    let pools: Vec<_> =
        regional.balancers.iter().map(|b| (b.settings.name.as_str(), b.pool.as_str())).collect();
    assert_eq!(pools, [("us-east", "america"), ("eu-west", "europe")]);
    let wanted = RegionSettings::new("us-east").countries(["US", "CA"]).coordinates(38.9, -77.4);
    assert_eq!(regional.balancers[0].settings, wanted);
    let rules: Vec<_> = regional.balancers.iter().map(|b| b.settings.clone()).collect();
    RegionMap::new(&rules, regional.fallback_region.as_deref()).expect("they make a map");
    let europe = &config.pools["europe"];
    assert_eq!(europe.settings.algorithm, Algorithm::LeastConnections);
    let geo = europe.geo.as_ref().unwrap();
    assert_eq!(geo.fallback_region.as_deref(), Some("west"));
    assert_eq!(geo.regions[0].backends, [lb_types::BackendId::from("stockholm")]);
    assert!(geo.regions[1].backends.is_empty(), "its backends say so themselves");
}

#[test]
fn databases_cache_and_places() {
    assert_eq!(good(POOL).geo, Geo::default());
    let geo = |keys: &str| good(&format!("[geo]\n{keys}\n{POOL}")).geo;
    assert_eq!(geo("database = \"built-in\"\ncache = {}"), Geo::default());
    let http =
        HttpSettings::new().token("t0").base_url("http://127.0.0.1:1/x").retries(0, Duration::from_millis(5));
    assert_eq!(
        geo("database = [{ type = \"ipinfo\", token = \"t0\", base_url = \"http://127.0.0.1:1/x\", retries = 0, backoff = \"5ms\" }, \
             { type = \"ipapi\" }, { type = \"maxmind\", path = \"a.mmdb\", mapped = true }, { type = \"built-in\" }]")
        .databases,
        [
            GeoDatabase::IpInfo(http),
            GeoDatabase::IpApi(HttpSettings::new()),
            GeoDatabase::MaxMind { path: "a.mmdb".into(), mapped: true },
            GeoDatabase::BuiltIn,
        ]
    );
    assert_eq!(geo("cache = { enabled = false }").cache, None);
    let cache = geo("cache = { ttl = \"1m\" }").cache.unwrap();
    assert_eq!((cache.negative_ttl, cache.storage), (Duration::from_secs(60), Storage::Memory));
    let berlin = Location::of_subdivision("DE-BE".parse().unwrap())
        .at(Coordinates::new(52.5, 13.0).unwrap())
        .in_city("Berlin");
    assert_eq!(
        geo("overrides = { \"10.0.0.0/8\" = { region = \"de-be\", city = \"Berlin\", coordinates = [52.5, 13] }, \"::1\" = { country = \"FR\" } }")
            .overrides,
        [
            ("10.0.0.0/8".to_owned(), berlin),
            ("::1".to_owned(), Location::of_country("FR".parse().unwrap())),
        ]
    );
}

#[test]
fn files_are_relative_to_the_configuration_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.toml");
    std::fs::write(
        &path,
        format!("{LISTENER}geo.database = {{ type = \"maxmind\", path = \"x.mmdb\" }}\n{POOL}")
            .replace("geo.d", "d"),
    )
    .unwrap();
    assert!(load(&path).is_err(), "`database` belongs in `geo`");
    std::fs::write(&path, format!("{LISTENER}[geo]\ndatabase = {{ type = \"maxmind\", path = \"x.mmdb\" }}\n[stores.s]\ntype = \"redis\"\nurl = \"rediss://a\"\nca = \"ca.pem\"\n{POOL}"))
        .unwrap();
    let config = load(&path).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(
        config.geo.databases,
        [GeoDatabase::MaxMind { path: folder.path().join("x.mmdb"), mapped: false }]
    );
    let lb_config::Store::Redis(redis) = &config.stores["s"] else { panic!("it is redis") };
    assert_eq!(redis.ca, Some(folder.path().join("ca.pem")));
}

#[test]
fn databases_that_cannot_be() {
    refused(
        &format!(
            "[geo]\ndatabase = [\"maxmind\", {{ type = \"maxmind\", token = \"t0\" }}, {{ type = \"ipinfo\", path = \"a\", timeout = \"1m\", base_url = \"ftp://a\" }}, 5]\n\
             cache = {{ ttl = \"100ms\", capacity = 0, storage = \"shared\" }}\n{POOL}"
        ),
        r#"f:4:13: error: `database` must be "built-in" or a table, not "maxmind"
  help: write { type = "maxmind", path = "GeoLite2-City.mmdb" }, or { type = "ipinfo", token = "env:TOKEN" }
f:4:24: error: missing key `path`
  help: it takes file name
f:4:44: error: `token` belongs to ipinfo and ipapi, and this database is maxmind
f:4:79: error: `path` belongs to maxmind, and this database is ipinfo
f:4:101: error: `timeout` = 60s: it has to be 10 ms to 30 s
f:4:118: error: bad `base_url` "ftp://a"
  help: it must be a URL of http or https, without a query
f:4:131: error: each item of `database` must be a table, not 5
f:5:17: error: `ttl` must be from 1s to 30d
f:5:37: error: `capacity` must be a whole number from 1 to 10000000, not 0
f:5:50: error: `storage`: there is no store "shared" under `stores`
  help: add [stores.shared] with type = "redis", or use "memory""#,
    );
    refused(
        &format!(
            "[geo]\ndatabase = []\n[geo.overrides]\n\"10.1.0.0/8\" = {{ country = \"DE\" }}\n\"10.0.0.1\" = {{ country = \"DE\", region = \"FR-1\" }}\n\
             \"10.0.0.2\" = {{ city = \"Berlin\" }}\n\"10.0.0.3\" = {{ coordinates = [91, 0] }}\n\"10.0.0.4\" = {{ coordinates = [1] }}\n\
             \"10.0.0.5\" = {{ country = \"DE\" }}\n\"10.0.0.5/32\" = {{ country = \"DE\" }}\n{POOL}"
        ),
        r#"f:4:12: error: `database` must not be an empty list
  help: leave the key out to get its default
f:6:1: error: bad network "10.1.0.0/8" in `overrides`: it has bits set behind its prefix
f:7:41: error: `region` FR-1 is not in `country` DE
f:8:1: error: this override gives no place
  help: add country = "DE", or `coordinates`
f:9:30: error: `coordinates`: latitude 91 is out of range: it has to be within ±90
f:10:30: error: `coordinates` must be two numbers
  help: write [latitude, longitude], such as [52.5, 13.4]
f:12:1: error: bad network "10.0.0.5/32" in `overrides`: it is there twice"#,
    );
}

/// A pool by region, with `regions` from line 6 on.
fn based(regions: &str) -> String {
    format!(
        "[pools.web]\nalgorithm = \"geo-based\"\n\
         backends = [{{ id = \"e1\", url = \"http://a\" }}, {{ id = \"w1\", url = \"http://b\", metadata = {{ region = \"west\" }} }}]\n{regions}"
    )
}

#[test]
fn the_algorithm_within_a_region() {
    let regions = "regions = { west = {} }";
    let of = |keys: &str| good(&based(&format!("geo = {{ {regions}{keys} }}"))).pools["web"].clone();
    assert_eq!(of("").settings.algorithm, Algorithm::WeightedRoundRobin);
    assert_eq!(of(", algorithm = \"weighted-round-robin\""), of(""));
    assert_eq!(of(", algorithm = { name = \"random\" }").settings.algorithm, Algorithm::Random);
    let off = of(", algorithm = \"random\", enabled = false");
    assert_eq!((off.geo, off.settings.algorithm), (None, Algorithm::Random));
    refused(
        &based("geo = { regions = { west = {} }, algorithm = \"geo-aware\" }"),
        "f:6:46: error: `geo-aware` cannot choose within a region
  help: leave it out for weighted-round-robin",
    );
    refused(
        &based("geo = { regions = { west = {} }, algorithm = \"maglev\" }\ncaching = {}\nslow_start = {}"),
        "f:7:1: error: `caching` does nothing with `maglev`, which sends each key to its backend anyway
  help: remove it, or choose another algorithm
f:8:1: error: `slow_start` does nothing with `maglev`, which sends each key where it belongs
  help: remove it, or choose another algorithm",
    );
}

#[test]
fn regions_that_cannot_be() {
    refused(
        &based(
            "[pools.web.geo]\nfallback_region = \"wset\"\n[pools.web.geo.regions]\neast = { backends = [\"e1\", \"e2\", \"w1\"], countries = [\"US\"] }\n\
             west = { backends = [\"e1\"], countries = [\"US\"] }\nnorth = {}",
        ),
        r#"f:9:28: error: there is no backend "e2" in pool `web`
  help: did you mean "e1"?
f:9:34: error: backend "w1" is in two regions: `east` lists it, and its `metadata` says `west`
f:10:22: error: backend "e1" is in two regions, `east` and `west`
f:10:41: error: country US is in two regions, `east` and `west`
f:11:1: error: region `north` has no backends: it lists none, and no backend's `metadata` says region = "north"
  help: add backends = ["ID"]"#,
    );
    refused(
        &based("geo = { fallback_region = \"wset\", regions = { west = {} } }"),
        "f:6:27: error: `fallback_region` = \"wset\": there is no such region\n  help: did you mean \"west\"?",
    );
    refused(
        &based(
            "geo.regions.west = { countries = [\"UK\", \"US\"], subdivisions = [\"US\"], continents = [\"XX\"], coordinates = \"a\" }",
        ),
        r#"f:6:35: error: bad code in `countries`: "UK" is no country's ISO 3166-1 alpha-2 code: did you mean "GB" (United Kingdom)?
f:6:64: error: bad code in `subdivisions`: "US" is no ISO 3166-2 code: it is a country's two letters, a dash and one to three letters or digits, such as US-CA
f:6:85: error: bad code in `continents`: "XX" is no continent: AF, AN, AS, EU, NA, OC and SA are
f:6:106: error: `coordinates` must be a list, not "a""#,
    );
    refused(&based("geo = { regions = {} }"), "f:6:19: error: `regions` must have one region");
    refused(
        &based(""),
        "f:4:13: error: `geo-based` needs `geo` with its regions
  help: add geo = { regions = { us-east = { backends = [\"ID\"], countries = [\"US\"] } } }",
    );
    refused(
        &format!(
            "{POOL}geo = {{ regions = {{ a = {{ backends = [\"127.0.0.1:9001\"] }} }} }}\nfallback_region = \"a\"\nregional_balancers = {{}}"
        ),
        "f:5:1: error: `geo` goes with algorithm = \"geo-based\"
  help: set algorithm = \"geo-based\", and the one within a region as geo.algorithm
f:6:1: error: `fallback_region` goes with algorithm = \"geo-aware\" alone
  help: set algorithm = \"geo-aware\", or remove the key
f:7:1: error: `regional_balancers` goes with algorithm = \"geo-aware\" alone
  help: set algorithm = \"geo-aware\", or remove the key",
    );
    let found = "discovery = { type = \"file\", path = \"b.json\" }\ngeo = { regions = { a = { backends = [\"later\"] }, b = {} } }";
    assert!(good(&based(found)).pools["web"].geo.is_some(), "discovery may find them");
}

#[test]
fn trees_that_cannot_be() {
    refused(
        "[pools.top]\nalgorithm = \"geo-aware\"\nhealth_check = {}\nmax_connections = 5\nbackends = []\ntimeouts = { idle = \"5s\", total = \"5s\" }\n\
         regional_balancers = { a = { pool = \"web\", countries = [\"US\"] }, b = { pool = \"web\", countries = [\"US\"] }, c = { pool = \"top\" }, d = { pool = \"wbe\" } }\n\
         [pools.web]\nbackends = [{ url = \"http://127.0.0.1:9001\" }]\nretry_policy = {}\ntimeouts = { first_byte = \"5s\", total = \"5s\" }",
        r#"f:5:1: error: `health_check` does nothing in a `geo-aware` pool, whose regions are pools
  help: put it into the regional pools
f:6:1: error: `max_connections` does nothing in a `geo-aware` pool, whose regions are pools
  help: put it into the regional pools
f:7:1: error: `backends` does nothing in a `geo-aware` pool, whose regions are pools
  help: put it into the regional pools
f:8:14: error: `idle` does nothing in a `geo-aware` pool, whose regions are pools
  help: put it into the regional pools
f:9:79: error: `pool` "web" belongs to two regions, `a` and `b`
f:9:98: error: country US is in two regions, `a` and `b`
f:9:121: error: `pool` "top" is `geo-aware` itself; a regional pool must not be
f:9:143: error: `pool`: there is no pool "wbe"
  help: did you mean "web"?
f:12:1: error: `retry_policy` does nothing here: it is of the whole exchange, which is pool `top`'s
  help: put it into pool `top`
f:13:33: error: `timeouts.total` does nothing here: it is of the whole exchange, which is pool `top`'s
  help: put it into pool `top`"#,
    );
    refused(
        "[pools.top]\nalgorithm = \"geo-aware\"\n",
        "f:4:1: error: `geo-aware` needs `regional_balancers`
  help: add regional_balancers = { us-east = { pool = \"NAME\", countries = [\"US\"] } }",
    );
    refused(
        &format!(
            "[pools.top]\nalgorithm = \"geo-aware\"\nregional_balancers = {{ a = {{ pool = \"web\" }} }}\n{POOL}[pools.more]\nbackends = [{{ url = \"http://b\" }}]"
        ),
        "f:8:8: error: pool `more` is one too many: several pools need routes
  help: add [[routes]], or keep one pool; `top` comes first",
    );
}
