//! A watched file of backends: traffic follows it, and a broken one changes nothing.

use edge_lb_tests::{SOON, Setup, admin};
use lb_testkit::{Backend, Client, EdgeLb, Load, eventually};
use std::collections::BTreeSet;
use std::path::Path;

/// Writes as careful tools do: a new file, moved over the old one.
fn replace(file: &Path, text: &str) {
    let fresh = file.with_extension("new");
    std::fs::write(&fresh, text).unwrap();
    std::fs::rename(&fresh, file).unwrap();
}

fn list(backends: &[&Backend]) -> String {
    let items: Vec<_> =
        backends.iter().map(|b| format!(r#"{{ "id": "{}", "url": "{}" }}"#, b.id(), b.url())).collect();
    format!(r#"{{ "backends": [{}] }}"#, items.join(", "))
}

/// Who answers a handful of requests.
fn who(lb: &EdgeLb) -> BTreeSet<String> {
    let mut client = Client::connect(lb.address()).unwrap();
    let answers = (0..6).map(|_| client.request("GET", "/", &[], b"").unwrap().text());
    answers.collect()
}

/// Which of a, b and c the pool has. (Who answers a handful of requests says less: beside a load, round robin may leave one out.)
fn members(lb: &EdgeLb) -> BTreeSet<String> {
    let pool = admin(lb, "GET", "/api/v1/pools/main").text();
    let has = |id: &&str| pool.replace(' ', "").contains(&format!("\"id\":\"{id}\""));
    ["a", "b", "c"].iter().filter(|id| has(id)).map(|&id| id.to_owned()).collect()
}

fn set(ids: &[&str]) -> BTreeSet<String> {
    ids.iter().map(|&id| id.to_owned()).collect()
}

#[test]
fn traffic_follows_the_file_and_a_broken_one_changes_nothing() {
    let [a, b, c] = ["a", "b", "c"].map(Backend::start);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("backends.json");
    std::fs::write(&file, list(&[&a])).unwrap();
    // Relative to the configuration's folder.
    let text =
        Setup::default().admin().pool("discovery = { type = \"file\", path = \"backends.json\" }").text();
    let lb = EdgeLb::options().config(text).folder(folder.path()).start();
    eventually(SOON, "the file's backend is used", || {
        Client::get(lb.address(), "/").is_ok_and(|r| r.text() == "a")
    });

    let load = Load::new(lb.address()).connections(2).requests_each(1_000_000).start();
    replace(&file, &list(&[&b, &c]));
    eventually(SOON, "the pool follows a file moved into place", || members(&lb) == set(&["b", "c"]));
    eventually(SOON, "so does traffic", || who(&lb) == set(&["b", "c"]));

    std::fs::write(&file, list(&[&c])).unwrap();
    eventually(SOON, "the pool follows a file written in place", || members(&lb) == set(&["c"]));
    assert_eq!(who(&lb), set(&["c"]));

    for broken in
        ["{ \"backends\": [", "", r#"{ "backends": [{ "url": "nonsense" }] }"#, r#"{ "bakends": [] }"#]
    {
        let before = lb.stderr().len();
        replace(&file, broken);
        eventually(SOON, "the broken file is told", || lb.stderr()[before..].contains("backends.json"));
        assert_eq!((members(&lb), who(&lb)), (set(&["c"]), set(&["c"])), "after {broken:?}");
    }

    replace(&file, &list(&[&a, &c]));
    eventually(SOON, "a good file is used again", || who(&lb) == set(&["a", "c"]));
    load.stop();
    let report = load.join();
    let total = report.status(200);
    report.assert_all_ok(total);
}

#[test]
fn discovered_backends_stand_beside_those_of_the_configuration() {
    let [a, b] = ["a", "b"].map(Backend::start);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("more.toml");
    std::fs::write(&file, format!("[[backends]]\nid = \"b\"\nurl = \"{}\"\n", b.url())).unwrap();
    let discovery = "discovery = { type = \"file\", path = \"more.toml\" }";
    let lb = EdgeLb::options().config(Setup::new([&a]).pool(discovery).text()).folder(folder.path()).start();
    eventually(SOON, "both are used", || who(&lb) == set(&["a", "b"]));
    replace(&file, "backends = []\n");
    eventually(SOON, "only the configuration's is left", || who(&lb) == set(&["a"]));
}
