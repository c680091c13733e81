//! No key is accepted and ignored: the table of keys is walked, and each key has to show that it does something, its
//! default that it is the default, each planned key that it is refused.

use lb_config::schema::{Default, Key, Kind, Proof, ROOT, Section, Status};
use lb_config::{Config, ConfigError, Format, parse};
use toml::{Table, Value};

/// The smallest file, with checks so that a backend can have them otherwise, and a store to be named.
const MINIMAL: &str = r#"
[stores.shared]
type = "redis"
url = "redis://127.0.0.1"
[[listeners]]
address = "127.0.0.1:8080"
[pools.main]
health_check = {}
agent_check = { port = 9997 }
backends = [{ url = "http://127.0.0.1:9001" }]
"#;

/// The same for a pool of regions.
const GEO_BASED: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"
[pools.main]
algorithm = "geo-based"
geo = { regions = { main = { backends = ["127.0.0.1:9001"] } } }
backends = [{ url = "http://127.0.0.1:9001" }, { url = "http://127.0.0.1:9002" }]
"#;

/// The same for a pool of pools.
const GEO_AWARE: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"
[pools.main]
algorithm = "geo-aware"
regional_balancers = { main = { pool = "east" } }
[pools.east]
backends = [{ url = "http://127.0.0.1:9001" }]
"#;

/// The same with routes.
const ROUTED: &str = r#"
[stores.shared]
type = "redis"
url = "redis://127.0.0.1"
[[listeners]]
address = "127.0.0.1:8080"
[[routes]]
pool = "main"
[[routes]]
pool = "other"
[[routes]]
pool = "main"
[[routes]]
pool = "third"
[[routes]]
split = "main"
[splits.main]
targets = [{ pool = "main", percent = 90 }, { pool = "other", percent = 10 }]
rollout = { steps = [{ percent = 5, duration = "1m" }, { percent = 50, duration = "1m" }] }
[pools.main]
queuing = {}
backends = [{ url = "http://127.0.0.1:9001" }]
[pools.other]
backends = [{ url = "http://127.0.0.1:9001" }]
[pools.third]
backends = [{ url = "http://127.0.0.1:9001" }]
"#;

/// The same for a pool that scales.
const SCALED: &str = r#"
[[listeners]]
address = "127.0.0.1:8080"
[pools.main]
queuing = {}
max_connections = 100
discovery = { type = "file", path = "a.json" }
autoscale = { driver = { type = "process", command = ["a", "{port}"] } }
"#;

fn table(text: &str) -> Table {
    text.parse().unwrap_or_else(|e| panic!("{text}: {e}"))
}

/// The smallest file with `keys` in a section: those of the top and of the pool are added, any other section is theirs
/// alone.
fn with(section: &Section, keys: &str) -> String {
    let mut file = table(match section.path {
        path if path.starts_with("pools.NAME.regional_balancers") => GEO_AWARE,
        path if path.starts_with("routes") || path.starts_with("splits") => ROUTED,
        path if path.starts_with("pools.NAME.geo") => GEO_BASED,
        path if path.starts_with("pools.NAME.autoscale")
            || path.starts_with("pools.NAME.instance_template") =>
        {
            SCALED
        }
        _ if keys.contains("geo-aware") => GEO_AWARE,
        _ => MINIMAL,
    });
    if section.path.ends_with("cookie_options") {
        let pool = file["pools"]["main"].as_table_mut().expect("it is a table");
        pool.insert("session_affinity".to_owned(), table("type = \"cookie\"").into());
    }
    if section.path.ends_with("discovery.api") {
        let pool = file["pools"]["main"].as_table_mut().expect("it is a table");
        pool.insert("discovery".to_owned(), table("type = \"kubernetes\"\nservice = \"a\"").into());
    }
    if section.path.ends_with("load_shedding") || section.path.ends_with("adaptive_concurrency") {
        let pool = file["pools"]["main"].as_table_mut().expect("it is a table");
        pool.insert("queuing".to_owned(), Table::new().into());
    }
    let elsewhere = section.path == "routes" && keys.starts_with("split =");
    if elsewhere || matches!(section.path, "routes.redirect" | "routes.respond") {
        file["routes"][0].as_table_mut().expect("it is a table").remove("pool");
    }
    let mut place = &mut file;
    for step in section.path.split('.').filter(|s| !s.is_empty()) {
        let step = match step {
            "NAME" => "main",
            "NETWORK" => "10.0.0.0/8",
            "STATUS" => "404",
            step => step,
        };
        place = match place.entry(step).or_insert_with(|| Table::new().into()) {
            Value::Table(t) => t,
            Value::Array(items) => items[0].as_table_mut().expect("lists are of tables"),
            other => panic!("{step} is {other}"),
        };
    }
    if !matches!(section.path, "" | "pools.NAME") && !section.path.ends_with("health_check") {
        // What is below stays: `listeners.timeouts` needs the listener's address.
        let needed = section.keys.iter().any(|k| matches!(k.default, Default::Required));
        if needed {
            place.clear();
        }
    }
    place.extend(table(keys));
    toml::to_string(&file).unwrap()
}

fn resolve(section: &Section, keys: &str) -> Result<Config, ConfigError> {
    parse(&with(section, keys), Format::Toml, "test.toml")
}

fn good(section: &Section, keys: &str) -> Config {
    let mut config = resolve(section, keys).unwrap_or_else(|e| panic!("in {} [{keys}]: {e}", section.path));
    // They name lines.
    config.warnings.clear();
    config
}

fn each(mut check: impl FnMut(&'static Section, &'static Key)) {
    for section in ROOT.walk() {
        for key in section.keys {
            check(section, key);
        }
    }
}

#[test]
fn every_built_key_does_something() {
    let mut built = 0;
    each(|section, key| {
        let name = format!("{}.{}", section.path, key.name);
        match &key.status {
            Status::Built(Proof::Changes { before, after }) => {
                assert!(table(after).contains_key(key.name), "{name}: the proof lacks the key");
                assert_ne!(good(section, before), good(section, after), "{name} is ignored");
            }
            Status::Built(Proof::Refused { with }) => {
                assert!(table(with).contains_key(key.name), "{name}: the proof lacks the key");
                let error = resolve(section, with).expect_err(&name).to_string();
                assert!(error.contains(&format!("`{}`", key.name)), "{name}: {error}");
            }
            Status::Planned(_) => return,
            Status::Section => assert!(key.kind.section().is_some(), "{name}: no section"),
            other => panic!("{name}: {other:?}"),
        }
        built += 1;
    });
    assert!(built > 180, "only {built} keys were looked at");
}

#[test]
fn every_default_is_what_holds_without_the_key() {
    let mut defaults = 0;
    each(|section, key| {
        let (Default::Value(value), before) = (&key.default, before(key)) else { return };
        let without: String = before
            .lines()
            .filter(|l| !l.starts_with(&format!("{} =", key.name)))
            .collect::<Vec<_>>()
            .join("\n");
        let with = format!("{without}\n{} = {value}", key.name);
        assert_eq!(good(section, &without), good(section, &with), "{}.{} = {value}", section.path, key.name);
        defaults += 1;
    });
    assert!(defaults > 90, "only {defaults} defaults were looked at");
}

fn before(key: &Key) -> &'static str {
    match key.status {
        Status::Built(Proof::Changes { before, .. }) => before,
        _ => "",
    }
}

#[test]
fn every_required_key_is_missed() {
    each(|section, key| {
        if !matches!(key.default, Default::Required) || !matches!(key.kind, Kind::Value(_)) {
            return;
        }
        let lines = before(key).lines().filter(|l| !l.starts_with(&format!("{} =", key.name)));
        let error = resolve(section, &lines.collect::<Vec<_>>().join("\n")).expect_err(key.name).to_string();
        assert!(error.contains(&format!("missing key `{}`", key.name)), "{}: {error}", section.path);
    });
}

#[test]
fn every_planned_key_is_refused_where_it_stands() {
    let mut planned = 0;
    each(|section, key| {
        let Status::Planned(capability) = key.status else { return };
        let text = with(section, &format!("{}\n{} = 1", required(section), key.name));
        let error = parse(&text, Format::Toml, "test.toml").expect_err(key.name);
        let wanted = format!("key `{}` is not built yet (planned: {capability})", key.name);
        let found = error.diagnostics().iter().find(|d| d.message == wanted);
        let found = found.unwrap_or_else(|| panic!("{}.{}: {error}", section.path, key.name));
        assert_eq!(&text[found.span.clone()], key.name);
        assert_eq!(error.diagnostics().len(), 1, "{error}");
        planned += 1;
    });
    assert!(planned > 6, "only {planned} keys were looked at");
}

/// Keys that make a section complete.
fn required(section: &Section) -> &'static str {
    section.keys.iter().find(|k| matches!(k.default, Default::Required)).map_or("", before)
}

#[test]
fn every_unknown_key_is_refused_in_every_section() {
    for section in ROOT.walk() {
        let text = with(section, &format!("{}\nxyzzy = 1", required(section)));
        let error = parse(&text, Format::Toml, "test.toml").expect_err(section.path);
        assert!(error.to_string().contains("unknown key `xyzzy`"), "{}: {error}", section.path);
    }
}
