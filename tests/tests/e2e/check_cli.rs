//! `edge-lb check`: broken files get precise messages.

use edge_lb_tests::SOON;
use lb_testkit::{EdgeLb, Finished};

const GOOD: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"

[pools.web]
algorithm = "round-robin"
health_check = { path = "/up", interval = "2s" }

[[pools.web.backends]]
id = "a"
url = "http://127.0.0.1:9001"

[[pools.web.backends]]
id = "b"
url = "http://127.0.0.1:9002"
"#;

fn check(name: &str, text: &str) -> Finished {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(name);
    std::fs::write(&file, text).unwrap();
    EdgeLb::command(&["check".as_ref(), file.as_os_str()], SOON)
}

#[test]
fn a_good_file_is_ok_in_every_format() {
    let yaml = "
listeners: [{ address: '127.0.0.1:8080' }]
pools:
  web:
    backends:
      - url: http://127.0.0.1:9001
";
    let json = r#"{ "listeners": [{ "address": "127.0.0.1:8080" }],
        "pools": { "web": { "backends": [{ "url": "http://127.0.0.1:9001" }] } } }"#;
    for (name, text) in [("a.toml", GOOD), ("a.yaml", yaml), ("a.yml", yaml), ("a.json", json)] {
        let said = check(name, text);
        assert_eq!(said.code, Some(0), "{name}: {}", said.stderr);
        assert!(said.stdout.contains("ok"), "{name}: {}", said.stdout);
    }
}

#[test]
fn ten_broken_files_give_ten_precise_messages() {
    // What is replaced in the good file, by what, and what the message must say: where, what, and what to do.
    let broken: [(&str, &str, &[&str]); 12] = [
        (
            "health_check",
            "helth_check",
            &[":7:1", "unknown key `helth_check`", "did you mean `health_check`"],
        ),
        ("interval", "intervall", &[":7:", "unknown key `intervall`", "did you mean `interval`"]),
        ("\"round-robin\"", "\"round-robbin\"", &[":6:13", "round-robbin", "did you mean", "round-robin"]),
        ("\"2s\"", "2", &[":7:", "interval", "2", "s\""]),
        ("id = \"b\"", "id = \"a\"", &[":14:", "\"a\""]),
        ("http://127.0.0.1:9002", "127.0.0.1:9002", &[":15:7", "127.0.0.1:9002", "http://"]),
        ("127.0.0.1:8080", "127.0.0.1", &[":3:11", "127.0.0.1", "port"]),
        ("id = \"a\"", "weight = -1", &[":10:", "weight", "-1"]),
        ("algorithm = \"round-robin\"", "tls = {}", &[":6:1", "tls", "not built yet"]),
        ("[[listeners]]", "[[listeners]", &[":2:"]),
        ("address = \"127.0.0.1:8080\"", "", &[":2:", "address"]),
        ("algorithm = \"round-robin\"", "max_connections = \"many\"", &[":6:", "max_connections", "many"]),
    ];
    let mut wrong = Vec::new();
    let mut messages = std::collections::BTreeSet::new();
    for (what, by, must_say) in broken {
        assert!(GOOD.contains(what));
        let said = check("broken.toml", &GOOD.replacen(what, by, 1));
        said.assert_no_panic();
        let missing: Vec<_> = must_say.iter().filter(|part| !said.stderr.contains(**part)).collect();
        if said.code != Some(2) || !missing.is_empty() {
            wrong.push(format!("{by:?}: code {:?}, lacks {missing:?}:\n{}", said.code, said.stderr));
        }
        messages.insert(said.stderr.lines().next().unwrap_or_default().to_owned());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(messages.len(), broken.len(), "each message is its own");
}

#[test]
fn everything_wrong_is_told_at_once() {
    let said =
        check("two.toml", &GOOD.replace("health_check", "helth_check").replace("algorithm", "algoritm"));
    assert_eq!(said.code, Some(2));
    assert!(said.stderr.contains("helth_check") && said.stderr.contains("algoritm"), "{}", said.stderr);
}

#[test]
fn yaml_and_json_errors_have_their_place_too() {
    for (name, text) in [
        ("a.yaml", "listeners:\n  - address: '127.0.0.1:1'\npools:\n  web:\n    bakends: []\n"),
        (
            "a.json",
            "{ \"listeners\": [{ \"address\": \"127.0.0.1:1\" }],\n\n\n\n  \"pools\": { \"web\": { \"bakends\": [] } } }",
        ),
    ] {
        let said = check(name, text);
        assert_eq!(said.code, Some(2));
        assert!(said.stderr.contains(&format!("{name}:5:")), "{}", said.stderr);
        assert!(said.stderr.contains("did you mean `backends`"), "{}", said.stderr);
    }
}

#[test]
fn files_that_are_no_configurations_are_told() {
    for (name, text) in [("empty.toml", ""), ("a.ini", GOOD), ("a.json", "[1, 2"), ("a.yaml", "a: [")] {
        let said = check(name, text);
        said.assert_no_panic();
        assert!(
            said.code == Some(2) && said.stderr.contains(name),
            "{name}: {:?} {}",
            said.code,
            said.stderr
        );
    }
    let folder = tempfile::tempdir().unwrap();
    for path in [folder.path().join("missing.toml"), folder.path().to_owned()] {
        let said = EdgeLb::command(&["check".as_ref(), path.as_os_str()], SOON);
        said.assert_no_panic();
        assert!(said.code == Some(2) && said.stderr.contains(path.to_str().unwrap()), "{}", said.stderr);
    }
}

#[test]
fn one_broken_file_among_several_is_enough() {
    let folder = tempfile::tempdir().unwrap();
    let (good, bad) = (folder.path().join("good.toml"), folder.path().join("bad.toml"));
    std::fs::write(&good, GOOD).unwrap();
    std::fs::write(&bad, "x = 1").unwrap();
    let said = EdgeLb::command(&["check".as_ref(), good.as_os_str(), bad.as_os_str()], SOON);
    assert_eq!(said.code, Some(2));
    assert!(said.stdout.contains("good.toml: ok") && said.stderr.contains("bad.toml"), "{said:?}");
}
