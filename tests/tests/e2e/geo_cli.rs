//! `edge-lb geo`: where are addresses, by which database, and what are the databases?

use edge_lb_tests::SOON;
use lb_testkit::{EdgeLb, Finished};
use serde_json::{Value, json};

const CITIES: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/lb-geo/tests/data/GeoIP2-City-Test.mmdb");
const SYSTEMS: &str =
    concat!(env!("CARGO_MANIFEST_DIR"), "/../crates/lb-geo/tests/data/GeoLite2-ASN-Test.mmdb");

fn geo(args: &[&str]) -> Finished {
    let said = EdgeLb::command(&[&["geo"], args].concat(), SOON);
    said.assert_no_panic();
    said
}

fn json(said: &Finished) -> Value {
    serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}", said.stdout))
}

#[test]
fn without_a_file_the_built_in_database_answers() {
    let said = geo(&["lookup", "193.0.6.139", "2001:660::1", "10.1.2.3"]);
    assert_eq!((said.code, said.stderr.as_str()), (Some(0), ""));
    for part in [
        "193.0.6.139\n  country      Netherlands (NL)\n  continent    Europe (EU)\n  database     built-in (",
        "2001:660::1\n  country      France (FR)\n",
        "10.1.2.3\n  unknown      it is a private address\n",
    ] {
        assert!(said.stdout.contains(part), "{part}\n---\n{}", said.stdout);
    }
}

#[test]
fn files_are_asked_in_order_and_named() {
    let said = geo(&["lookup", "89.160.20.112", "--database", SYSTEMS, "--database", CITIES]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    let expected = format!(
        "89.160.20.112
  country      Sweden (SE)
  continent    Europe (EU)
  region       Östergötland County (SE-E)
  city         Linköping
  coordinates  58.4167, 15.6167
  network      AS29518 Bredband2 AB
  database     {SYSTEMS} (GeoLite2-ASN), {CITIES} (GeoIP2-City)
"
    );
    assert_eq!(said.stdout, expected);
    // What the first does not place, the second may.
    let said = geo(&["lookup", "193.0.6.139", "--database", CITIES, "--database", "built-in"]);
    assert!(
        said.stdout.contains("Netherlands") && said.stdout.contains("database     built-in"),
        "{}",
        said.stdout
    );
}

#[test]
fn json_has_what_is_known_and_why_nothing_is() {
    let said = geo(&["lookup", "--json", "--database", CITIES, "::ffff:81.2.69.142", "192.0.2.1", "8.8.8.8"]);
    assert_eq!(said.code, Some(0), "unknown is no error: {}", said.stderr);
    let expected = json!([
        {
            "ip": "::ffff:81.2.69.142", "country": "GB", "country_name": "United Kingdom", "continent": "EU",
            "region": "GB-ENG", "region_name": "England", "city": "London", "latitude": 51.5142,
            "longitude": -0.0931, "databases": [CITIES],
        },
        { "ip": "192.0.2.1", "unknown": "reserved", "reason": "it is a reserved address" },
        { "ip": "8.8.8.8", "unknown": "not-in-database", "reason": "it is in no database that was asked" },
    ]);
    assert_eq!(json(&said), expected);
}

#[test]
fn what_is_no_address_is_told_and_the_others_are_answered() {
    let said = geo(&["lookup", "example.com", "193.0.6.139", "10.0.0.256"]);
    assert_eq!(said.code, Some(1));
    for bad in ["\"example.com\" is no IP address", "\"10.0.0.256\" is no IP address"] {
        assert!(said.stderr.contains(bad), "{}", said.stderr);
    }
    assert!(said.stdout.contains("Netherlands"), "{}", said.stdout);
    let said = geo(&["lookup", "--json", "x"]);
    assert_eq!((said.code, json(&said)), (Some(1), json!([])));
}

#[test]
fn a_database_that_cannot_be_used_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let text = folder.path().join("text.mmdb");
    std::fs::write(&text, "hello").unwrap();
    let none = folder.path().join("none.mmdb");
    for (file, why) in [(&text, "is no MaxMind DB file"), (&none, "No such file")] {
        for command in ["lookup 1.1.1.1", "about"] {
            let mut args: Vec<_> = command.split(' ').collect();
            args.extend(["--database", file.to_str().unwrap()]);
            let said = geo(&args);
            assert_eq!((said.code, said.stdout.as_str()), (Some(2), ""));
            assert!(
                said.stderr.contains(file.to_str().unwrap()) && said.stderr.contains(why),
                "{}",
                said.stderr
            );
        }
    }
    assert_eq!(geo(&["lookup"]).code, Some(2));
}

#[test]
fn about_names_source_date_licence_and_attribution() {
    let said = geo(&["--about"]);
    assert_eq!(said.code, Some(0), "{}", said.stderr);
    for part in [
        "built-in\n",
        "  built        2026-06-",
        "licence      CC0-1.0",
        "CC BY 4.0",
        "attribution to nro.net",
    ] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    assert_eq!(geo(&["about"]).stdout, said.stdout);
    let both = geo(&["about", "--database", CITIES, "--database", "built-in"]).stdout;
    assert!(both.contains("  type         GeoIP2-City\n  built        2026-02-04\n"), "{both}");
    assert!(both.ends_with(&said.stdout), "{both}");
}
