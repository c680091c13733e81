//! Regions: a client's own first, then what the rules say; and an explanation that says so.

use crate::support::backend;
use lb_balancer::geography::{Answer, Location, Overrides};
use lb_balancer::{GeoDetector, LoadBalancer, RegionSettings, SelectOptions};
use lb_types::{BackendId, HealthSink, Nanos, Outcome, RequestInfo};
use std::collections::BTreeMap;
use std::net::IpAddr;

const OK: Outcome = Outcome::Success { ttfb: Nanos::from_millis(1) };

/// Countries by address: 192.0.2.1 is in the US, .2 in Germany, .3 in Japan, .4 in Brazil, .5 in South Africa; nobody knows the others.
const WHERE: [(u8, &str, &str); 5] = [
    (1, "US", "us-east"),
    (2, "DE", "eu-west"),
    (3, "JP", "ap-east"),
    (4, "BR", "sa-east"),
    (5, "ZA", "af-south"),
];

fn client(n: u8) -> IpAddr {
    [192, 0, 2, n].into()
}

fn detector() -> GeoDetector {
    let mut overrides = Overrides::new();
    for (n, country, _) in WHERE {
        overrides.add(&client(n).to_string(), Location::of_country(country.parse().unwrap())).unwrap();
    }
    GeoDetector::builder().overrides(overrides).build().unwrap()
}

fn regions() -> [RegionSettings; 5] {
    [
        RegionSettings::new("us-east").countries(["US"]).coordinates(38.9, -77.4),
        RegionSettings::new("eu-west").continents(["EU"]).coordinates(53.3, -6.3),
        RegionSettings::new("ap-east").continents(["AS"]).coordinates(35.7, 139.7),
        RegionSettings::new("sa-east").countries(["BR"]).coordinates(-23.5, -46.6),
        RegionSettings::new("af-south").continents(["AF"]).coordinates(-33.9, 18.4),
    ]
}

/// Two backends each: `us-east-0`, `us-east-1`, …
fn names(region: &str) -> [BackendId; 2] {
    [0, 1].map(|i| format!("{region}-{i}").into())
}

fn geo_aware() -> LoadBalancer {
    let mut root =
        LoadBalancer::builder().name("global").seed(3).geo_detector(detector()).fallback_region("us-east");
    for region in regions() {
        let backends = names(&region.name).map(|id| backend(id.as_str()));
        let balancer =
            LoadBalancer::builder().name(region.name.clone()).seed(5).backends(backends).build().unwrap();
        root = root.regional_balancer(region, balancer);
    }
    root.build().unwrap()
}

fn geo_based() -> LoadBalancer {
    let mut lb = LoadBalancer::builder().seed(3).geo_detector(detector()).fallback_region("us-east");
    for region in regions() {
        let ids = names(&region.name);
        lb = lb.backends(ids.clone().map(|id| backend(id.as_str()))).region(region, ids);
    }
    lb.build().unwrap()
}

/// The region whose backend serves this client; and the explanation says the same.
fn serves(lb: &LoadBalancer, ip: IpAddr) -> String {
    let request = RequestInfo::from_ip(ip);
    let said = lb.explain(&request, &SelectOptions::default());
    let lease = lb.select_backend(&request, &SelectOptions::default()).unwrap();
    let region = lease.backend().id().as_str().rsplit_once('-').unwrap().0.to_owned();
    assert_eq!(said.region.as_deref(), Some(&*region), "{said}");
    lease.complete(OK);
    region
}

fn fail(lb: &LoadBalancer, region: &str, healthy: bool) {
    for leaf in lb.leaves() {
        names(region).iter().for_each(|id| leaf.pool().set_healthy(id, healthy));
    }
}

#[test]
fn each_client_lands_in_its_region() {
    for lb in [geo_aware(), geo_based()] {
        for (n, _, region) in WHERE {
            assert_eq!(serves(&lb, client(n)), region, "{}", lb.algorithm_name());
        }
        assert_eq!(serves(&lb, client(99)), "us-east", "nobody knows where: the fallback");
    }
}

#[test]
fn a_region_that_fails_gives_its_clients_to_the_nearest_and_at_last_to_the_fallback() {
    let lb = geo_aware();
    let german = client(2);
    // By distance from the middle of Germany.
    for (failing, next) in
        [("eu-west", "us-east"), ("us-east", "ap-east"), ("ap-east", "af-south"), ("af-south", "sa-east")]
    {
        fail(&lb, failing, false);
        assert_eq!(
            serves(&lb, german),
            next,
            "{}",
            lb.explain(&RequestInfo::from_ip(german), &SelectOptions::default())
        );
    }
    fail(&lb, "sa-east", false);
    assert_eq!(serves(&lb, german), "us-east", "all fail: the fallback, whatever its checks say");
    let said = lb.explain(&RequestInfo::from_ip(german), &SelectOptions::default()).to_string();
    assert!(said.contains("no region has a usable backend: the fallback"), "{said}");
    fail(&lb, "eu-west", true);
    assert_eq!(serves(&lb, german), "eu-west");
}

#[test]
fn geo_based_asks_the_fallback_next_and_then_any() {
    let lb = geo_based();
    fail(&lb, "ap-east", false);
    assert_eq!(serves(&lb, client(3)), "us-east");
    fail(&lb, "us-east", false);
    assert_eq!(serves(&lb, client(3)), "eu-west");
}

#[test]
fn a_region_below_its_healthy_share_gives_some_of_its_clients_away_and_always_the_same() {
    let lb = geo_aware();
    let germany = Answer::from(Location::of_country("DE".parse().unwrap()));
    let mut options = SelectOptions::default();
    options.location = Some(germany);
    lb.leaves()[1].pool().set_healthy(&names("eu-west")[0], false);
    let of = |n: u32| {
        let request = RequestInfo::from_ip(IpAddr::V4((0x0b00_0000 + n).into()));
        let lease = lb.select_backend(&request, &options).unwrap();
        let region = lease.backend().id().as_str().rsplit_once('-').unwrap().0.to_owned();
        lease.complete(OK);
        region
    };
    let first: Vec<_> = (0..2_000).map(of).collect();
    let mut counts = BTreeMap::<&str, u32>::new();
    first.iter().for_each(|r| *counts.entry(r).or_default() += 1);
    // Half of it is healthy: it is good for 140 % × 50 % of its traffic.
    assert!(counts["eu-west"].abs_diff(1_400) < 100 && counts.len() == 2, "{counts:?}");
    assert!((0..2_000).all(|n| of(n) == first[n as usize]));
}

#[test]
fn a_retry_goes_on_to_another_region_when_its_own_has_nobody_new() {
    let lb = geo_aware();
    let mut s = lb.selection(&RequestInfo::from_ip(client(4)), &SelectOptions::default());
    let mut order = vec![];
    for _ in 0..10 {
        let lease = lb.acquire(&mut s).unwrap();
        assert!(lease.backend().id().as_str().starts_with(lb.leaves()[s.leaf()].name()));
        order.push(lease.backend().id().as_str().rsplit_once('-').unwrap().0.to_owned());
        assert!(lb.has_another(&s));
        s.tried(lease.backend());
    }
    order.dedup();
    assert_eq!(
        order,
        ["sa-east", "us-east", "af-south", "eu-west", "ap-east"],
        "by distance, each backend once"
    );
    assert!(!lb.has_another(&s));
    assert!(lb.acquire(&mut s).is_ok(), "then those that were tried");
}

#[test]
fn the_root_adds_up_and_is_changed_by_its_regions_alone() {
    let lb = geo_aware();
    (1..=5).for_each(|n| _ = serves(&lb, client(n)));
    let m = lb.metrics();
    assert_eq!((m.requests, m.total_backends, m.healthy_backends, m.backends.len()), (5, 10, 10, 0));
    assert!(lb.is_usable());
    assert_eq!(lb.algorithm_name(), "geo-aware");
    assert_eq!(lb.regional_pools().unwrap()["af-south"], "af-south");
    let refused = lb.add_backend(backend("x")).unwrap_err();
    assert_eq!(refused.to_string(), "this balancer has no backends of its own: change those of its regions");
    let both = LoadBalancer::builder()
        .name("g")
        .backend(backend("x"))
        .regional_balancer(RegionSettings::new("r"), lb);
    let error = both.build().unwrap_err().to_string();
    assert_eq!(
        error,
        "pool \"g\" has regional balancers, and backends: that belongs to the regional balancers"
    );
}

#[cfg(feature = "sessions")]
#[test]
fn who_has_a_session_in_his_region_does_not_spill_over() {
    use lb_balancer::SessionAffinity;
    let mut root = LoadBalancer::builder().seed(3).geo_detector(detector()).fallback_region("us-east");
    for region in regions() {
        let backends = names(&region.name).map(|id| backend(id.as_str()));
        let lb = LoadBalancer::builder().name(region.name.clone()).seed(5).backends(backends);
        root = root.regional_balancer(region, lb.session_affinity(SessionAffinity::new()).build().unwrap());
    }
    let lb = root.build().unwrap();
    let mut options = SelectOptions::default();
    options.location = Some(Answer::from(Location::of_country("DE".parse().unwrap())));
    let of = |n: u32| {
        let request = RequestInfo::from_ip(IpAddr::V4((0x0b00_0000 + n).into()));
        let said = lb.explain(&request, &options);
        let lease = lb.select_backend(&request, &options).unwrap();
        let id = lease.backend().id().clone();
        assert_eq!(said.picked.as_ref(), Some(&id), "{said}");
        lease.complete(OK);
        id
    };
    let first: Vec<_> = (0..200).map(of).collect();
    let failing = names("eu-west")[0].clone();
    lb.leaves()[1].pool().set_healthy(&failing, false);
    for (n, before) in (0..200).zip(&first) {
        let now = of(n);
        assert!(if *before == failing { now != failing } else { now == *before }, "{n}: {before} → {now}");
    }
    let abroad = (200..400).filter(|&n| !of(n).as_str().starts_with("eu-west")).count();
    assert!((20..100).contains(&abroad), "new ones spill over: {abroad}");
}
