//! Precedence, validation and order of regions.

use super::*;
use crate::{Location, Why};
use proptest::prelude::*;

fn settings() -> Vec<RegionSettings> {
    vec![
        RegionSettings::new("us-east").countries(["US", "ca"]).coordinates(38.9, -77.4),
        RegionSettings::new("us-west").subdivisions(["US-CA", "US-WA"]).coordinates(37.4, -121.9),
        RegionSettings::new("eu").continents(["EU"]).coordinates(50.1, 8.7),
        RegionSettings::new("asia").countries(["JP", "KR"]),
    ]
}

fn map() -> RegionMap {
    RegionMap::new(&settings(), Some("us-east")).unwrap()
}

fn country(code: &str) -> Location {
    Location::of_country(code.parse().unwrap())
}

#[test]
fn the_most_particular_rule_decides() {
    let map = map();
    let decide = |answer: &Answer| map.region_of(answer).map(|d| (d.region, d.why)).unwrap();
    let californian = Location::of_subdivision("US-CA".parse().unwrap());
    for (location, region, why) in [
        (californian, "us-west", Reason::Subdivision),
        (Location::of_subdivision("US-NY".parse().unwrap()), "us-east", Reason::Country),
        (country("CA"), "us-east", Reason::Country),
        (country("DE"), "eu", Reason::Continent),
        (country("RU"), "eu", Reason::Continent),
        (country("KR"), "asia", Reason::Country),
    ] {
        assert_eq!(decide(&location.into()), (region, why));
    }
    // No rule of its own: the nearest of those that say where they are. "asia" does not.
    let (region, why) = decide(&country("MA").into());
    assert!(
        region == "eu" && matches!(why, Reason::Nearest { km } if (2_000.0..2_600.0).contains(&km)),
        "{why}"
    );
    let (region, why) = decide(&country("NZ").into());
    assert!(region == "us-west" && matches!(why, Reason::Nearest { .. }), "{region} {why}");
    // Coordinates go before the middle of the country.
    let somewhere = Location::default().at(Coordinates::new(47.6, -122.3).unwrap());
    assert_eq!(decide(&somewhere.into()).0, "us-west");
    for why in [Why::Private, Why::Reserved, Why::NotInDatabase] {
        assert_eq!(decide(&Answer::Unknown(why)), ("us-east", Reason::Fallback));
    }
}

#[test]
fn without_coordinates_the_fallback_decides_and_without_both_nothing() {
    let regions = [RegionSettings::new("us").countries(["US"]), RegionSettings::new("eu").continents(["EU"])];
    let brazilian = Answer::from(country("BR"));
    let with = RegionMap::new(&regions, Some("us")).unwrap();
    assert_eq!(with.region_of(&brazilian).unwrap().why, Reason::Fallback);
    let without = RegionMap::new(&regions, None).unwrap();
    assert_eq!(without.region_of(&brazilian), None);
    assert_eq!(RegionMap::new(&[], None).unwrap().by_distance(&brazilian), []);
}

#[test]
fn what_is_wrong_is_said() {
    let error =
        |regions: &[RegionSettings], fallback| RegionMap::new(regions, fallback).unwrap_err().to_string();
    let one = |settings: RegionSettings| error(&[settings], None);
    assert_eq!(
        one(RegionSettings::new("eu").countries(["UK"])),
        "geo.regions.eu.countries: \"UK\" is no country's ISO 3166-1 alpha-2 code: did you mean \"GB\" (United Kingdom)?"
    );
    assert!(
        one(RegionSettings::new("x").subdivisions(["California"]))
            .contains("\"California\" is no ISO 3166-2")
    );
    assert!(one(RegionSettings::new("x").continents(["XX"])).contains("geo.regions.x.continents: \"XX\""));
    assert_eq!(
        one(RegionSettings::new("x").coordinates(12.0, 181.0)),
        "geo.regions.x.coordinates: longitude 181 is out of range: it has to be within ±180"
    );
    assert!(one(RegionSettings::new("")).contains("1 to 255 bytes"));
    let two = [RegionSettings::new("a").countries(["FR", "FR"]), RegionSettings::new("b").countries(["fr"])];
    assert_eq!(error(&two, None), "geo.regions: country FR is in two regions, \"a\" and \"b\"");
    let two = [RegionSettings::new("a").continents(["EU"]), RegionSettings::new("b").continents(["Europe"])];
    assert_eq!(error(&two, None), "geo.regions: continent EU is in two regions, \"a\" and \"b\"");
    let two = [RegionSettings::new("a"), RegionSettings::new("a")];
    assert_eq!(error(&two, None), "geo.regions: the region \"a\" is there twice");
    assert_eq!(
        error(&settings(), Some("us-est")),
        "geo.fallback_region = \"us-est\": there is no such region: did you mean \"us-east\"?"
    );
    assert!(error(&settings(), Some("mars")).ends_with("no such region"));
    let many: Vec<_> = (0..=REGIONS_MAX).map(|n| RegionSettings::new(n.to_string())).collect();
    assert_eq!(error(&many, None), "geo.regions: 1001 regions, at most 1000");
}

#[test]
fn spill_over_goes_to_the_nearest_first() {
    let map = map();
    let order = |answer: &Answer| map.by_distance(answer).iter().map(|a| a.region).collect::<Vec<_>>();
    assert_eq!(order(&country("JP").into()), ["asia", "us-west", "eu", "us-east"]);
    assert_eq!(order(&country("FR").into()), ["eu", "us-east", "us-west", "asia"]);
    // Nobody knows where: the map's order, and no distances.
    let unknown = Answer::Unknown(Why::Private);
    assert_eq!(order(&unknown), ["us-east", "us-west", "eu", "asia"]);
    assert!(map.by_distance(&unknown).iter().all(|a| a.km.is_none()));
}

#[test]
fn a_request_tries_its_own_region_first() {
    let (map, mut order) = (map(), vec![7]);
    let japanese = Answer::from(country("JP"));
    map.by_distance_from(2, &japanese, &mut order);
    assert_eq!(order, [2, 3, 1, 0]);
    map.by_distance_from(9, &japanese, &mut order);
    assert_eq!(order, [3, 1, 2, 0], "nobody's own: by distance alone");
    map.by_distance_from(1, &Answer::Unknown(Why::Private), &mut order);
    assert_eq!(order, [1, 0, 2, 3], "the map's order where nothing is known");
    assert_eq!(map.km_between(0, &Answer::Unknown(Why::Private)), None);
    assert_eq!(map.km_between(4, &japanese), None);
    assert!((8_000.0..10_000.0).contains(&map.km_between(1, &japanese).unwrap()));
}

#[test]
fn a_region_without_coordinates_is_in_the_middle_of_its_countries() {
    let regions = [
        RegionSettings::new("nowhere"),
        RegionSettings::new("asia").countries(["JP", "KR"]),
        RegionSettings::new("us-west").subdivisions(["US-CA"]),
        RegionSettings::new("oceania").continents(["OC"]),
    ];
    let map = RegionMap::new(&regions, None).unwrap();
    let between = Answer::from(Location::default().at(Coordinates::new(36.5, 132.7).unwrap()));
    let away = map.by_distance(&between);
    assert!(away[0].region == "asia" && away[0].km.unwrap() < 50.0, "{away:?}");
    assert_eq!((away[3].region, away[3].km), ("nowhere", None));
    assert!(away.iter().any(|a| a.region == "oceania" && a.km.is_some()));
}

proptest! {
    #[test]
    fn all_regions_come_in_order_of_distance(
        places in proptest::collection::vec(proptest::option::of((-90.0..=90.0, -180.0..=180.0)), 0..12),
        client in (-90.0..=90.0, -180.0..=180.0),
    ) {
        let regions: Vec<_> = places.iter().enumerate().map(|(n, place)| {
            let region = RegionSettings::new(format!("r{n}"));
            RegionSettings { coordinates: *place, ..region }
        }).collect();
        let map = RegionMap::new(&regions, None).unwrap();
        let answer = Answer::from(Location::default().at(Coordinates::new(client.0, client.1).unwrap()));
        let away = map.by_distance(&answer);
        let in_order = away.is_sorted_by(|a, b| match (a.km, b.km) {
            (Some(a), Some(b)) => a <= b,
            (None, Some(_)) => false,
            _ => true,
        });
        prop_assert!(in_order, "{:?}", away);
        let mut indexes: Vec<_> = away.iter().map(|a| a.index).collect();
        indexes.sort_unstable();
        prop_assert!(indexes.into_iter().eq(0..places.len()));
        // The order of a request: its own first, and then the same.
        let first = places.len() / 2;
        let mut order = Vec::with_capacity(places.len());
        let room = order.capacity();
        map.by_distance_from(first, &answer, &mut order);
        prop_assert_eq!(order.capacity(), room);
        let own = away.iter().filter(|a| a.index == first);
        let expected = own.chain(away.iter().filter(|a| a.index != first));
        let km = |index: usize| map.km_between(index, &answer);
        for (&index, expected) in order.iter().zip(expected) {
            let (got, expected) = (km(usize::from(index)), expected.km);
            prop_assert_eq!(got.is_some(), expected.is_some());
            prop_assert!(got.zip(expected).is_none_or(|(a, b)| (a - b).abs() < 1e-3), "{:?}", order);
        }
        order.sort_unstable();
        prop_assert!(order.into_iter().map(usize::from).eq(0..places.len()));
        // Without rules the decision is the head of the order.
        let decision = map.region_of(&answer).map(|d| d.index);
        prop_assert_eq!(decision, away.first().filter(|a| a.km.is_some()).map(|a| a.index));
    }
}
