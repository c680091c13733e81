//! `docs/configuration.md`, written from the table of keys.

use crate::schema::{self, Default, Key, Kind, Section, Status};
use std::fmt::Write as _;

const INTRO: &str = include_str!("reference/intro.md");
const MINIMAL: &str = include_str!("../examples/minimal.toml");
const FULL: &str = include_str!("../examples/full.toml");

/// The reference of the configuration file, in Markdown: the committed `docs/configuration.md`, which a test compares.
pub fn reference() -> String {
    let mut out = INTRO.replace("{{minimal}}", MINIMAL.trim_end()).replace("{{full}}", FULL.trim_end());
    for section in schema::ROOT.walk() {
        self::section(&mut out, section);
    }
    planned(&mut out);
    out
}

fn section(out: &mut String, section: &Section) {
    let title = if section.path.is_empty() {
        "The top of the file".to_owned()
    } else {
        format!("`{}`", section.path)
    };
    let _ = write!(out, "\n### {title}\n\n");
    if !section.doc.is_empty() {
        let _ = write!(out, "{}\n\n", section.doc);
    }
    out.push_str("| key | takes | default | what it does |\n|---|---|---|---|\n");
    for key in section.keys.iter().filter(|k| k.is_built()) {
        let _ = writeln!(out, "| `{}` | {} | {} | {} |", key.name, takes(key), default(key), key.doc);
    }
}

fn takes(key: &Key) -> String {
    let link = |s: &Section| format!("[`{}`](#{})", s.path, anchor(s.path));
    match key.kind {
        Kind::Value(text) => text.to_owned(),
        Kind::Table(s) => format!("table {}", link(s)),
        Kind::TextOrTable(s) => format!("text, or table {}", link(s)),
        Kind::OneOrMore(s) => format!("text, table {}, or list of these", link(s)),
        Kind::List(s) => format!("list of tables {}", link(s)),
        Kind::Named(s) => format!("tables {}", link(s)),
    }
}

/// The anchor that Markdown viewers make of a heading.
fn anchor(path: &str) -> String {
    path.chars()
        .filter(|c| c.is_alphanumeric() || matches!(c, '_' | '-'))
        .flat_map(char::to_lowercase)
        .collect()
}

fn default(key: &Key) -> String {
    match key.default {
        Default::Required => "**required**".to_owned(),
        Default::Value(v) => format!("`{v}`"),
        Default::Text(t) => t.to_owned(),
    }
}

/// What is refused today, by the capability that will bring it.
fn planned(out: &mut String) {
    out.push_str(
        "\n## Not built yet\n\nThese keys belong to the plan and are refused today, each with a message that says so.\n\n\
         | planned | keys |\n|---|---|\n",
    );
    let mut groups: Vec<(&str, Vec<String>)> = Vec::new();
    for section in schema::ROOT.walk() {
        for key in section.keys {
            let Status::Planned(capability) = key.status else { continue };
            let path = match section.path {
                "" => format!("`{}`", key.name),
                path => format!("`{path}.{}`", key.name),
            };
            match groups.iter_mut().find(|(c, _)| *c == capability) {
                Some((_, keys)) => keys.push(path),
                None => groups.push((capability, vec![path])),
            }
        }
    }
    for (capability, keys) in groups {
        let _ = writeln!(out, "| {capability} | {} |", keys.join(", "));
    }
    out.push_str(
        "\nAlso refused: `https://` backends, and more than one pool but those that a `geo-aware` one names.\n",
    );
}
