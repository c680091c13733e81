//! MaxMind's public test databases answer as they are documented to, and files that are none are refused.

use lb_geo::{Answer, Continent, GeoError, Location, Mmdb, MmdbOptions, Why};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn open(name: &str) -> Mmdb {
    Mmdb::open(path(name)).unwrap()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn found(database: &Mmdb, address: &str) -> Location {
    let answer = database.lookup(ip(address)).unwrap();
    answer.location().cloned().unwrap_or_else(|| panic!("{address}: {answer:?}"))
}

fn assert_place(
    l: &Location,
    country: Option<&str>,
    continent: Continent,
    region: Option<&str>,
    city: Option<&str>,
) {
    assert_eq!(l.country.map(lb_geo::Country::code), country, "{l:?}");
    assert_eq!(l.continent, Some(continent), "{l:?}");
    assert_eq!(l.region.map(|r| r.to_string()).as_deref(), region, "{l:?}");
    assert_eq!(l.city.as_deref(), city, "{l:?}");
}

#[test]
fn cities() {
    use Continent::{Asia, Europe, NorthAmerica};
    type Case<'a> = (&'a str, Option<&'a str>, Continent, Option<&'a str>, Option<&'a str>, (f64, f64));
    let cases: &[Case<'_>] = &[
        ("81.2.69.142", Some("GB"), Europe, Some("GB-ENG"), Some("London"), (51.5142, -0.0931)),
        ("::ffff:81.2.69.142", Some("GB"), Europe, Some("GB-ENG"), Some("London"), (51.5142, -0.0931)),
        ("2002:5102:458e::1", Some("GB"), Europe, Some("GB-ENG"), Some("London"), (51.5142, -0.0931)),
        ("2.125.160.216", Some("GB"), Europe, Some("GB-ENG"), Some("Boxford"), (51.75, -1.25)),
        ("216.160.83.56", Some("US"), NorthAmerica, Some("US-WA"), Some("Milton"), (47.2513, -122.3149)),
        ("89.160.20.112", Some("SE"), Europe, Some("SE-E"), Some("Linköping"), (58.4167, 15.6167)),
        ("175.16.199.1", Some("CN"), Asia, Some("CN-22"), Some("Changchun"), (43.88, 125.3228)),
        ("2001:480:10::1", Some("US"), NorthAmerica, Some("US-CA"), Some("San Diego"), (32.7203, -117.1552)),
        ("2001:218::", Some("JP"), Asia, None, None, (35.68536, 139.75309)),
        ("67.43.156.1", Some("BT"), Asia, None, None, (27.5, 90.5)),
        ("2a02:d500::1", None, Europe, None, None, (48.69096, 9.14062)),
    ];
    for name in ["GeoIP2-City-Test.mmdb", "GeoLite2-City-Test.mmdb"] {
        let database = open(name);
        for &(address, country, continent, region, city, (lat, lon)) in cases {
            let location = found(&database, address);
            assert_place(&location, country, continent, region, city);
            assert_eq!(location.coordinates.map(|c| (c.lat(), c.lon())), Some((lat, lon)), "{address}");
            assert_eq!((location.asn, location.as_organization), (None, None));
        }
        let london = found(&database, "81.2.69.142");
        assert_eq!(london.region_name.as_deref(), Some("England"));
    }
}

#[test]
fn countries() {
    let database = open("GeoIP2-Country-Test.mmdb");
    for (address, country, continent) in [
        ("81.2.69.142", Some("GB"), Continent::Europe),
        ("::ffff:81.2.69.142", Some("GB"), Continent::Europe),
        ("2001:218::", Some("JP"), Continent::Asia),
        ("217.65.48.1", Some("GI"), Continent::Europe),
        ("202.196.224.1", Some("PH"), Continent::Asia),
        ("50.114.0.1", Some("US"), Continent::NorthAmerica),
        ("2a02:d500::1", None, Continent::Europe),
    ] {
        let location = found(&database, address);
        assert_place(&location, country, continent, None, None);
        assert_eq!(location.coordinates, None);
    }
}

#[test]
fn autonomous_systems() {
    let database = open("GeoLite2-ASN-Test.mmdb");
    for (address, asn, organization) in [
        ("1.128.0.1", 1221, Some("Telstra Pty Ltd")),
        ("::ffff:1.128.0.1", 1221, Some("Telstra Pty Ltd")),
        ("2600:6000::1", 237, Some("Merit Network Inc.")),
        ("89.160.20.112", 29518, Some("Bredband2 AB")),
        ("67.43.156.1", 35908, None),
    ] {
        let location = found(&database, address);
        assert_eq!((location.asn, location.as_organization.as_deref()), (Some(asn), organization));
        assert_eq!(location.country, None);
    }
}

#[test]
fn the_unknown_has_a_reason() {
    let database = open("GeoIP2-City-Test.mmdb");
    for (address, why) in [
        ("10.0.0.1", Why::Private),
        ("127.0.0.1", Why::Private),
        ("::1", Why::Private),
        ("100.64.3.2", Why::Private),
        ("198.51.100.1", Why::Reserved),
        ("2001:db8::1", Why::Reserved),
        ("8.8.8.8", Why::NotInDatabase),
        ("214.1.1.1", Why::NotInDatabase), // a record that says nothing of a place
    ] {
        assert_eq!(database.lookup(ip(address)).unwrap(), Answer::Unknown(why), "{address}");
    }
}

#[test]
fn it_says_what_it_is() {
    let about = open("GeoIP2-City-Test.mmdb").about();
    assert_eq!(about.database_type, "GeoIP2-City");
    assert_eq!(about.languages, ["en", "zh"]);
    assert_eq!((about.build_epoch, about.built_on()), (1_770_245_369, (2026, 2, 4)));
    assert_eq!((about.ip_version, about.bytes, about.mapped), (6, 22_569, false));
    let text = about.to_string();
    assert!(text.contains("GeoIP2-City, built 2026-02-04, IPv4 and IPv6, 0.0 MB, languages en zh"), "{text}");
}

#[test]
fn what_is_no_database_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let good = std::fs::read(path("GeoIP2-City-Test.mmdb")).unwrap();
    let error = |path: &Path| Mmdb::open(path).unwrap_err();

    let missing = error(&folder.path().join("none.mmdb"));
    assert!(matches!(&missing, GeoError::Open { .. }), "{missing}");
    assert!(missing.to_string().contains("No such file"), "{missing}");
    assert!(error(folder.path()).to_string().ends_with("it is no file"));

    for (name, bytes) in [("empty", &[][..]), ("text", b"hello"), ("half", &good[..good.len() / 2])] {
        let error = error(&write(name, bytes));
        assert!(matches!(error, GeoError::NotADatabase { .. }), "{name}: {error}");
    }
    // Its end is there, its middle is not.
    let mut hole = good[..4_000].to_vec();
    hole.extend_from_slice(&good[good.len() - 1_000..]);
    let error = error(&write("hole", &hole));
    assert!(matches!(error, GeoError::Damaged { .. }), "{error}");

    let options = |size_max| {
        let mut options = MmdbOptions::default();
        options.size_max = size_max;
        options
    };
    let error = Mmdb::open_with(path("GeoIP2-City-Test.mmdb"), options(22_568)).unwrap_err();
    assert!(matches!(error, GeoError::TooLarge { bytes: 22_569, max: 22_568, .. }), "{error}");
    Mmdb::open_with(path("GeoIP2-City-Test.mmdb"), options(22_569)).unwrap();
}

#[test]
fn a_new_file_takes_over_and_a_bad_one_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("geo.mmdb");
    let rename_over = |from: &Path| {
        let new = folder.path().join("new");
        std::fs::copy(from, &new).unwrap();
        std::fs::rename(&new, &file).unwrap();
    };
    rename_over(&path("GeoIP2-Country-Test.mmdb"));
    let database = Mmdb::open(&file).unwrap();
    let handle = database.clone();
    assert_eq!(found(&handle, "81.2.69.142").city, None);

    rename_over(&path("GeoIP2-City-Test.mmdb"));
    assert_eq!(database.reload().unwrap().database_type, "GeoIP2-City");
    assert_eq!(found(&handle, "81.2.69.142").city.as_deref(), Some("London"));
    assert_eq!(handle.generation(), 1);

    std::fs::write(&file, b"oops").unwrap();
    database.reload().unwrap_err();
    database.replace(folder.path().join("none")).unwrap_err();
    assert_eq!(found(&handle, "81.2.69.142").city.as_deref(), Some("London"));
    assert_eq!((handle.generation(), handle.about().database_type.as_str()), (1, "GeoIP2-City"));

    database.replace(path("GeoLite2-ASN-Test.mmdb")).unwrap();
    assert_eq!(found(&handle, "1.128.0.1").asn, Some(1221));

    let in_memory = Mmdb::from_bytes("mine", std::fs::read(path("GeoLite2-ASN-Test.mmdb")).unwrap()).unwrap();
    let error = in_memory.reload().unwrap_err();
    assert_eq!(error, GeoError::NoFile { source_name: "mine".to_owned() });
}

#[cfg(feature = "mmap")]
#[test]
fn a_mapped_file_answers_the_same() {
    let mut options = MmdbOptions::default();
    options.mapped = true;
    let mapped = Mmdb::open_with(path("GeoIP2-City-Test.mmdb"), options).unwrap();
    assert!(mapped.about().mapped);
    assert_eq!(found(&mapped, "81.2.69.142"), found(&open("GeoIP2-City-Test.mmdb"), "81.2.69.142"));
    assert!(matches!(Mmdb::open_with(path("none"), options), Err(GeoError::Open { .. })));
    let empty = tempfile::NamedTempFile::new().unwrap();
    assert!(matches!(Mmdb::open_with(empty.path(), options), Err(GeoError::NotADatabase { bytes: 0, .. })));
}

#[cfg(not(feature = "mmap"))]
#[test]
fn mapping_needs_its_feature() {
    let mut options = MmdbOptions::default();
    options.mapped = true;
    let error = Mmdb::open_with(path("GeoIP2-City-Test.mmdb"), options).unwrap_err();
    assert!(matches!(error, GeoError::FeatureOff { feature: "mmap", .. }), "{error}");
}

#[test]
fn a_damaged_database_is_refused_or_answers_but_never_panics() {
    const SEED: u64 = 20_261_124;
    println!("seed {SEED}");
    let mut rng = fastrand::Rng::with_seed(SEED);
    let addresses =
        ["81.2.69.142", "89.160.20.112", "1.128.0.1", "2001:480:10::1", "2a02:d500::1", "2600:6000::1"];
    let (mut refused, mut damaged) = (0, 0);
    for name in ["GeoIP2-City-Test.mmdb", "GeoLite2-ASN-Test.mmdb"] {
        let good = std::fs::read(path(name)).unwrap();
        for _ in 0..1_000 {
            let mut bytes = good.clone();
            for _ in 0..rng.usize(1..200) {
                let at = rng.usize(..bytes.len());
                bytes[at] = rng.u8(..);
            }
            match Mmdb::from_bytes(name, bytes) {
                Err(_) => refused += 1,
                Ok(database) => {
                    damaged += addresses.iter().filter(|a| database.lookup(ip(a)).is_err()).count();
                }
            }
        }
    }
    assert!(refused > 100 && damaged > 0, "{refused} {damaged}: the damage was too small to show anything");
}

#[test]
fn files_are_replaced_while_look_ups_go_on() {
    use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("geo.mmdb");
    std::fs::copy(path("GeoIP2-Country-Test.mmdb"), &file).unwrap();
    let database = Mmdb::open(&file).unwrap();
    let (done, countries, cities) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    std::thread::scope(|threads| {
        for _ in 0..2 {
            threads.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    let location = found(&database, "81.2.69.142");
                    assert_eq!(location.country.map(lb_geo::Country::code), Some("GB"));
                    let seen = if location.city.is_some() { &cities } else { &countries };
                    seen.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut step = 0;
        while step < 50 || countries.load(Ordering::Relaxed) == 0 || cities.load(Ordering::Relaxed) == 0 {
            let new = folder.path().join("new");
            match step % 3 {
                0 => std::fs::copy(path("GeoIP2-City-Test.mmdb"), &new).map(drop).unwrap(),
                1 => std::fs::copy(path("GeoIP2-Country-Test.mmdb"), &new).map(drop).unwrap(),
                _ => std::fs::write(&new, b"no database").unwrap(),
            }
            std::fs::rename(&new, &file).unwrap();
            assert_eq!(database.reload().is_ok(), step % 3 != 2);
            step += 1;
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn the_fingerprint_is_the_database_s_own() {
    let (city, same) = (open("GeoIP2-City-Test.mmdb"), open("GeoIP2-City-Test.mmdb"));
    let before = city.fingerprint();
    assert_eq!(before, same.fingerprint());
    city.replace(path("GeoLite2-City-Test.mmdb")).unwrap();
    assert_ne!(before, city.fingerprint());
}
