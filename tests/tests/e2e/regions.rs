//! Geography through the real proxy, with the built-in database: each client in its region, and where it goes when that fails.

use edge_lb_tests::{SOON, admin, unhealthy};
use lb_testkit::{Backend, Client, EdgeLb, Gate, Reply, Step, eventually};
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// A public address in each region, by the registries.
const CLIENTS: [(&str, &str); 5] = [
    ("us-east", "8.8.8.8"),
    ("eu-west", "193.0.6.139"),
    ("ap-east", "133.11.0.1"),
    ("sa-east", "200.160.2.3"),
    ("af-south", "196.25.1.1"),
];

/// Which clients are whose.
const RULES: [(&str, &str); 5] = [
    ("us-east", "countries = [\"US\", \"CA\"], coordinates = [38.9, -77.4]"),
    ("eu-west", "continents = [\"EU\"], coordinates = [53.3, -6.3]"),
    ("ap-east", "continents = [\"AS\"], coordinates = [35.7, 139.7]"),
    ("sa-east", "continents = [\"SA\"], coordinates = [-23.5, -46.6]"),
    ("af-south", "continents = [\"AF\"], coordinates = [-33.9, 18.4]"),
];

const HEAD: &str = "workers = 1\ntrusted_proxies = [\"127.0.0.0/8\"]\n[[listeners]]\naddress = \"127.0.0.1:0\"\n[admin]\naddress = \"127.0.0.1:0\"\n";
const CHECK: &str = "health_check = { interval = \"100ms\", timeout = \"1s\", unhealthy_threshold = 1, healthy_threshold = 1, path = \"/\" }";

fn backends() -> BTreeMap<&'static str, Backend> {
    RULES.iter().map(|(region, _)| (*region, Backend::start(region))).collect()
}

fn geo_aware(backends: &BTreeMap<&str, Backend>) -> EdgeLb {
    let mut text = HEAD.to_owned();
    let balancers: Vec<_> =
        RULES.iter().map(|(name, rules)| format!("{name} = {{ pool = \"{name}\", {rules} }}")).collect();
    let _ = write!(
        text,
        "[pools.global]\nalgorithm = \"geo-aware\"\nfallback_region = \"us-east\"\nregional_balancers = {{ {} }}\n",
        balancers.join(", ")
    );
    for (name, backend) in backends {
        let url = backend.url();
        let _ = write!(
            text,
            "[pools.{name}]\n{CHECK}\n[[pools.{name}.backends]]\nid = \"{name}\"\nurl = \"{url}\"\n"
        );
    }
    EdgeLb::with_config(text)
}

fn geo_based(backends: &BTreeMap<&str, Backend>) -> EdgeLb {
    let mut text = HEAD.to_owned();
    let regions: Vec<_> = RULES
        .iter()
        .map(|(name, rules)| format!("{name} = {{ backends = [\"{name}\"], {rules} }}"))
        .collect();
    let _ = write!(
        text,
        "[pools.world]\nalgorithm = \"geo-based\"\n{CHECK}\ngeo = {{ fallback_region = \"us-east\", regions = {{ {} }} }}\n",
        regions.join(", ")
    );
    for (name, backend) in backends {
        let _ = write!(text, "[[pools.world.backends]]\nid = \"{name}\"\nurl = \"{}\"\n", backend.url());
    }
    EdgeLb::with_config(text)
}

fn served(lb: &EdgeLb, client: &str) -> String {
    let mut connection = Client::connect(lb.address()).unwrap();
    let response = connection.request("GET", "/", &[("X-Forwarded-For", client)], b"").unwrap();
    assert_eq!(response.status(), 200);
    response.text()
}

fn explained(lb: &EdgeLb, client: &str) -> String {
    let address = lb.admin().to_string();
    let done = EdgeLb::command(&["explain", "/", "--client-ip", client, "--admin", &address], SOON);
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    done.stdout
}

#[test]
fn a_request_from_each_of_five_regions_lands_in_its_region() {
    let backends = backends();
    for lb in [geo_aware(&backends), geo_based(&backends)] {
        for (region, client) in CLIENTS {
            assert_eq!(served(&lb, client), region);
            let said = explained(&lb, client);
            assert!(
                said.contains(&format!("location: {client}: "))
                    && said.contains(&format!("region: {region}: it has the client's")),
                "{said}"
            );
            assert!(said.contains(&format!("→ {region}")), "{said}");
        }
        assert_eq!(served(&lb, "10.0.0.1"), "us-east", "a private address: the fallback");
        assert!(explained(&lb, "10.0.0.1").contains("unknown: "));
    }
}

#[test]
fn the_region_fails_then_the_next_nearest_and_at_last_the_fallback() {
    let backends = backends();
    let lb = geo_aware(&backends);
    let dutch = CLIENTS[1].1;
    assert_eq!(served(&lb, dutch), "eu-west");
    let by_distance =
        [("eu-west", "us-east"), ("us-east", "ap-east"), ("ap-east", "af-south"), ("af-south", "sa-east")];
    for (dead, (failing, next)) in by_distance.into_iter().enumerate() {
        backends[failing].kill();
        eventually(SOON, "it is known to be dead", || unhealthy(&lb) == dead + 1);
        assert_eq!(admin(&lb, "GET", "/readyz").status(), 200, "others take over");
        assert_eq!(served(&lb, dutch), next, "{}", explained(&lb, dutch));
        assert!(explained(&lb, dutch).contains("km away, 0 of 1 usable"));
    }
    // Nobody is healthy by his checks: the fallback is tried, and it is there again before the next check says so, or after.
    backends["sa-east"].kill();
    eventually(SOON, "all are known to be dead", || unhealthy(&lb) == 5);
    assert!(explained(&lb, dutch).contains("no region has a usable backend: the fallback"));
    assert!(explained(&lb, dutch).contains("→ us-east"));
    assert_eq!(admin(&lb, "GET", "/readyz").status(), 503);
    backends["eu-west"].revive();
    eventually(SOON, "its own region is back", || unhealthy(&lb) == 4);
    assert_eq!(served(&lb, dutch), "eu-west");
}

#[test]
fn a_request_whose_region_dies_under_it_is_retried_in_another() {
    let backends = backends();
    let lb = geo_aware(&backends);
    backends["ap-east"].kill();
    // Whether its checks know it yet or not.
    assert_ne!(served(&lb, CLIENTS[2].1), "ap-east");
}

#[test]
fn an_address_is_placed_by_a_file_and_by_an_override() {
    let backend = Backend::start("a");
    let file = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/lb-geo/tests/data/GeoIP2-City-Test.mmdb");
    let text = format!(
        "{HEAD}[geo]\ndatabase = {{ type = \"maxmind\", path = \"{file}\" }}\n[geo.overrides]\n\"10.0.0.0/8\" = {{ country = \"NO\" }}\n[[pools.main.backends]]\nid = \"a\"\nurl = \"{}\"\n",
        backend.url()
    );
    let lb = EdgeLb::with_config(text);
    let of = |ip: &str| -> serde_json::Value {
        let response = admin(&lb, "GET", &format!("/api/v1/geo/{ip}"));
        assert_eq!(response.status(), 200, "{}", response.text());
        serde_json::from_str(&response.text()).unwrap()
    };
    let london = of("81.2.69.142");
    assert_eq!(
        (&london["location"]["city"], &london["location"]["country"]),
        (&"London".into(), &"GB".into()),
        "{london}"
    );
    assert_eq!(of("10.1.2.3")["location"]["country"], "NO");
    let unknown = of("192.168.0.1");
    assert!(
        unknown["location"].is_null()
            && unknown["unknown"].as_str().is_some_and(|why| why.contains("private")),
        "{unknown}"
    );
    assert_eq!(admin(&lb, "GET", "/api/v1/geo/here").status(), 422);
}

#[test]
fn a_database_is_replaced_while_it_runs_and_a_bad_file_leaves_the_old_one() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/lb-geo/tests/data");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("geo.mmdb");
    std::fs::copy(format!("{data}/GeoIP2-Country-Test.mmdb"), &file).unwrap();
    let backend = Backend::start("a");
    let text = format!(
        "{HEAD}[geo]\ndatabase = {{ type = \"maxmind\", path = \"{}\" }}\n[[pools.main.backends]]\nid = \"a\"\nurl = \"{}\"\n",
        file.display(),
        backend.url()
    );
    let lb = EdgeLb::with_config(text);
    let place = || -> serde_json::Value {
        let text = admin(&lb, "GET", "/api/v1/geo/81.2.69.142").text();
        serde_json::from_str::<serde_json::Value>(&text).unwrap()["location"].take()
    };
    let replace = |bytes: &[u8]| {
        let new = folder.path().join("new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(new, &file).unwrap();
    };
    assert_eq!((&place()["country"], &place()["city"]), (&"GB".into(), &serde_json::Value::Null));
    replace(b"no database");
    eventually(SOON, "it says that the file is bad", || lb.stderr().contains("the old one stays"));
    assert_eq!(place()["country"], "GB");
    replace(&std::fs::read(format!("{data}/GeoIP2-City-Test.mmdb")).unwrap());
    eventually(SOON, "it answers from the new one", || place()["city"] == "London");
}

/// A provider in the way of a request: it is waited for a moment, what it says is remembered, and a silent one holds nobody up.
#[test]
fn an_http_provider_places_clients_and_a_silent_one_holds_nobody_up() {
    let gate = Gate::new();
    let silent = gate.clone();
    let provider = Backend::with("provider", move |request| {
        let ip = request.head.target.split('/').nth(1).unwrap_or_default().to_owned();
        let reply = Reply::ok(format!("{{\"ip\": \"{ip}\", \"country\": \"DE\", \"loc\": \"52.5,13.4\"}}"));
        if ip == "9.9.9.9" { reply.after(Step::Wait(silent.clone())) } else { reply }
    });
    let backends: BTreeMap<_, _> = ["us-east", "eu-west"].map(|r| (r, Backend::start(r))).into();
    let mut text = format!(
        "{HEAD}[geo]\ndatabase = {{ type = \"ipinfo\", base_url = \"{}\" }}\n[pools.world]\nalgorithm = \"geo-based\"\n",
        provider.url()
    );
    text += "geo = { fallback_region = \"us-east\", regions = { us-east = { backends = [\"us-east\"], countries = [\"US\"] }, eu-west = { backends = [\"eu-west\"], continents = [\"EU\"] } } }\n";
    for (name, backend) in &backends {
        let _ = write!(text, "[[pools.world.backends]]\nid = \"{name}\"\nurl = \"{}\"\n", backend.url());
    }
    let lb = EdgeLb::with_config(text);
    assert_eq!(served(&lb, "8.8.8.8"), "eu-west", "the provider says so");
    assert_eq!(served(&lb, "8.8.8.8"), "eu-west");
    assert_eq!(provider.request_count(), 1, "remembered");
    assert_eq!(served(&lb, "9.9.9.9"), "us-east", "it does not say in time: the fallback");
    gate.open();
    eventually(SOON, "what it said late is remembered", || served(&lb, "9.9.9.9") == "eu-west");
}
