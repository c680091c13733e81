//! The committed reference is the one that the table of keys gives.

use std::path::Path;

#[test]
fn the_committed_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/configuration.md");
    let wanted = lb_config::reference();
    if std::env::var_os("UPDATE_REFERENCE").is_some() {
        std::fs::write(&path, &wanted).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap();
    assert!(
        committed == wanted,
        "docs/configuration.md is not what the schema says: run UPDATE_REFERENCE=1 cargo test -p lb-config --test reference"
    );
}

#[test]
fn every_toml_example_of_the_reference_runs() {
    let reference = lb_config::reference();
    let examples: Vec<_> =
        reference.split("```toml\n").skip(1).map(|t| t.split("```").next().unwrap()).collect();
    assert_eq!(examples.len(), 2);
    for text in examples {
        lb_config::parse(text, lb_config::Format::Toml, "example.toml").unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn every_link_of_the_reference_has_its_heading() {
    let reference = lb_config::reference();
    let slug = |heading: &str| -> String {
        let text = heading.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        text.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect()
    };
    let headings: Vec<_> = reference.lines().filter(|l| l.starts_with('#')).map(slug).collect();
    for target in reference.split("](#").skip(1).map(|t| t.split(')').next().unwrap()) {
        assert!(headings.iter().any(|h| h == target), "no heading for #{target}: {headings:?}");
    }
}

#[test]
fn every_algorithm_is_explained() {
    let reference = lb_config::reference();
    for algorithm in lb_core::settings::Algorithm::all() {
        assert!(reference.contains(&format!("\n| `{}` |", algorithm.name())), "{}", algorithm.name());
    }
}
