//! Whatever the bytes: no panic, and what resolves is what the crates below accept.

use lb_config::{Config, Format, parse, parse_backends};
use proptest::prelude::*;
use proptest::sample::Index;

const FORMATS: [(Format, &str); 3] = [
    (Format::Toml, include_str!("../examples/full.toml")),
    (Format::Yaml, include_str!("../examples/full.yaml")),
    (Format::Json, include_str!("../examples/full.json")),
];

/// What people and fuzzers put where something else stood.
const SPLICES: [&str; 24] = [
    "",
    "0",
    "-1",
    "1e999",
    "99999999999999999999999999999999999999999",
    "null",
    "true",
    "\"\"",
    "\"x\"",
    "[]",
    "{}",
    "[[",
    "}}",
    "\n",
    "\u{0}",
    "é",
    "\u{feff}",
    "&a ",
    "*a",
    "!!str ",
    "<<: ",
    "# ",
    "\"\\ud800\"",
    "nan",
];

/// Resolves a text in every way, renders what is wrong, and checks what is right by the crates that will run it.
fn resolve(text: &str, format: Format) {
    let _ = parse_backends(text, format, "p").map_err(|e| (e.to_string(), e.render(true)));
    match parse(text, format, "p") {
        Ok(config) => accepted(&config),
        Err(error) => {
            assert!(!error.diagnostics().is_empty());
            let at: Vec<_> = error.diagnostics().iter().map(|d| d.span.start).collect();
            assert!(at.is_sorted(), "errors stand in the order of the text");
            assert!(!error.to_string().is_empty() && !error.render(true).is_empty());
        }
    }
}

fn accepted(config: &Config) {
    assert!(!config.listeners.is_empty() && config.pools.contains_key(&config.entry));
    for pool in config.pools.values() {
        pool.settings.check().expect("the core takes what was resolved");
        if let Some(affinity) = &pool.session_affinity {
            affinity.settings.validate().expect("the sessions take what was resolved");
        }
        if let Some(check) = &pool.health_check {
            check.validate().expect("the health checker takes what was resolved");
            for backend in &pool.backends {
                check.plan(backend).expect("the health checker takes the backend");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn any_text_resolves_or_is_refused(text in any::<String>(), noise in "[\\[\\]{}:,#&*!|>'\"=. \n\ta-c0-9-]{0,200}") {
        for (format, _) in FORMATS {
            resolve(&text, format);
            resolve(&noise, format);
        }
    }

    #[test]
    fn a_changed_good_file_resolves_or_is_refused(
        which in 0..3_usize,
        changes in prop::collection::vec((any::<Index>(), 0..12_usize, prop::sample::select(SPLICES.to_vec())), 1..4),
    ) {
        let (format, text) = FORMATS[which];
        let mut text = text.to_owned();
        for (at, length, splice) in changes {
            let start = text.floor_char_boundary(at.index(text.len() + 1));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, splice);
        }
        resolve(&text, format);
    }

    #[test]
    fn a_good_file_with_one_value_changed_resolves_or_is_refused(
        at in any::<Index>(),
        splice in prop::sample::select(SPLICES.to_vec()),
    ) {
        let (format, text) = FORMATS[2];
        // Every value of the JSON example stands after a colon.
        let colons: Vec<_> = text.match_indices("\": ").map(|(i, _)| i + 3).collect();
        let start = colons[at.index(colons.len())];
        let end = text[start..].find([',', '\n', '}']).map_or(text.len(), |i| start + i);
        let mut text = text.to_owned();
        text.replace_range(start..end, splice);
        resolve(&text, format);
    }
}

#[test]
fn deep_nesting_is_refused_without_a_stack_overflow() {
    let deep = 50_000;
    for (format, text) in [
        (Format::Toml, format!("a = {}", "[".repeat(deep))),
        (Format::Toml, format!("a = {}{}", "[".repeat(deep), "]".repeat(deep))),
        (Format::Toml, format!("a = {}1{}", "{ a = ".repeat(deep), " }".repeat(deep))),
        (Format::Toml, format!("{}b = 1", "a.".repeat(deep))),
        (Format::Toml, format!("[{}b]", "a.".repeat(deep))),
        (Format::Yaml, "[".repeat(deep)),
        (Format::Yaml, format!("{}1{}", "{a: ".repeat(deep), "}".repeat(deep))),
        (Format::Yaml, (0..2_000).map(|i| format!("{}a:\n", " ".repeat(i))).collect()),
        (Format::Yaml, "- ".repeat(deep)),
        (Format::Json, "[".repeat(deep)),
        (Format::Json, format!("{}1{}", "{\"a\":".repeat(deep), "}".repeat(deep))),
    ] {
        let error = parse(&text, format, "p").expect_err("it is too deep");
        assert!(error.render(false).len() < 100_000);
    }
}

#[test]
fn ten_thousand_backends_are_no_matter() {
    let mut text = "[[listeners]]\naddress = \"127.0.0.1:0\"\n[pools.a]\n".to_owned();
    for i in 0..10_000 {
        text.push_str(&format!(
            "[[pools.a.backends]]\nid = \"b{i}\"\nurl = \"http://10.0.{}.{}:80\"\n",
            i / 250,
            i % 250 + 1
        ));
    }
    let config = parse(&text, Format::Toml, "p").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(config.pools["a"].backends.len(), 10_000);
}
