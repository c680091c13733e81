//! The built-in database knows nearly every public address.

use lb_geo::{Answer, Country, Mmdb, Why, special};
use std::net::{IpAddr, Ipv4Addr};

/// A public IPv4 address: what is special by a standard is drawn again.
fn public(rng: &mut fastrand::Rng) -> IpAddr {
    std::iter::repeat_with(|| IpAddr::V4(Ipv4Addr::from(rng.u32(..))))
        .find(|ip| special::special(*ip).is_none())
        .expect("most addresses are public")
}

#[test]
fn random_public_addresses_have_a_country() {
    const SEED: u64 = 20_261_124;
    const ADDRESSES: usize = 10_000;
    let database = Mmdb::built_in().unwrap();
    let mut rng = fastrand::Rng::with_seed(SEED);
    let (mut known, mut countries) = (0, std::collections::BTreeSet::new());
    for _ in 0..ADDRESSES {
        let ip = public(&mut rng);
        match database.lookup(ip).unwrap() {
            Answer::Found(location) => {
                let country = location.country.unwrap_or_else(|| panic!("{ip}: {location:?}"));
                assert_eq!(location.continent, Some(country.continent()));
                countries.insert(country);
                known += 1;
            }
            Answer::Unknown(why) => assert_eq!(why, Why::NotInDatabase, "{ip}"),
        }
    }
    let share = 100.0 * f64::from(known) / ADDRESSES as f64;
    println!(
        "seed {SEED}: {known} of {ADDRESSES} ({share:.2} %) have a country, of {} countries",
        countries.len()
    );
    assert!(share >= 98.0, "seed {SEED}: only {share:.2} % have a country");
}

#[test]
fn known_addresses_of_both_families() {
    let database = Mmdb::built_in().unwrap();
    for (ip, country) in
        [("193.0.6.139", "NL"), ("133.11.0.1", "JP"), ("18.0.0.1", "US"), ("2001:660::1", "FR")]
    {
        let answer = database.lookup(ip.parse().unwrap()).unwrap();
        assert_eq!(answer.location().and_then(|l| l.country).map(Country::code), Some(country), "{ip}");
    }
    for (ip, why) in [("10.1.2.3", Why::Private), ("192.0.2.1", Why::Reserved), ("fe80::1", Why::Private)] {
        assert_eq!(database.lookup(ip.parse().unwrap()).unwrap(), Answer::Unknown(why), "{ip}");
    }
}

#[test]
fn it_names_its_source_and_its_faults() {
    let about = Mmdb::built_in().unwrap().about();
    assert_eq!((about.source.as_str(), about.bytes, about.ip_version), ("built-in", 7_841_291, 6));
    let text = about.to_string();
    assert!(text.contains("attribution to nro.net") && text.contains("warns of errors"), "{text}");
}

#[test]
fn handles_share_the_unpacked_bytes_and_are_replaced_alone() {
    let (one, other) = (Mmdb::built_in().unwrap(), Mmdb::built_in().unwrap());
    one.replace(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/GeoIP2-City-Test.mmdb")).unwrap();
    assert_eq!(one.about().database_type, "GeoIP2-City");
    assert_eq!(one.about().attribution, None);
    assert_eq!(other.about().source, "built-in");
}
