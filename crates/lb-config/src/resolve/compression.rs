//! Compression of a route's responses.

use super::set;
use crate::config::{Coding, Compression};
use crate::node::shorten;
use crate::reader::{Field, Reader};

/// The most types: each response's is looked for among them.
const TYPES_MAX: usize = 100;
const GIB: u64 = 1 << 30;

/// The section; `None`: it is switched off.
pub(super) fn compression(r: &Reader<'_>) -> Option<Compression> {
    let mut c = Compression::default();
    set(&mut c.algorithms, algorithms(&r.field("algorithms")));
    set(&mut c.min_size, r.field("min_size").size(0..=GIB));
    c.types = types(&r.field("types"));
    r.enabled().then_some(c)
}

fn algorithms(field: &Field<'_>) -> Option<Vec<Coding>> {
    const KNOWN: [(&str, Coding); 3] =
        [("zstd", Coding::Zstd), ("br", Coding::Brotli), ("gzip", Coding::Gzip)];
    if field.len() == Some(0) {
        let help = "leave the key out to get its default, or set enabled = false";
        field.error("`algorithms` must have one at least").help(help);
    }
    let mut algorithms = vec![];
    for (name, node) in field.text_items() {
        match KNOWN.iter().find(|(known, _)| *known == name) {
            Some((_, coding)) if algorithms.contains(coding) => {
                field.error_at(node, |found| format!("{found} is twice in `algorithms`"));
            }
            Some((_, coding)) => algorithms.push(*coding),
            None => {
                let recorded = field.error_at(node, |found| {
                    format!("each item of `algorithms` must be one of zstd, br and gzip, not {found}")
                });
                if matches!(name, "brotli" | "zst" | "gz") {
                    recorded.help("they are called as in Accept-Encoding: zstd, br, gzip");
                }
            }
        }
    }
    (!algorithms.is_empty()).then_some(algorithms)
}

fn types(field: &Field<'_>) -> Option<Vec<String>> {
    if let Some(n) = field.len().filter(|n| !(1..=TYPES_MAX).contains(n)) {
        let message = format!("`types` must have 1 to {TYPES_MAX} media types, not {n}");
        field.error(message).help("leave the key out to get its default");
        return None;
    }
    let mut types = vec![];
    for (text, node) in field.text_items() {
        let kind = text.to_ascii_lowercase();
        if !is_type(&kind) {
            field.error_at(node, |_| format!("`types`: \"{}\" is no media type", shorten(text))).help(
                "it is written text/html, or text/* for all of them; parameters such as charset do not count",
            );
        } else if kind == "text/event-stream" || kind.starts_with("application/grpc") {
            let message =
                format!("`types`: {kind} is never compressed: its parts have to arrive as they are sent");
            field.error_at(node, |_| message);
        } else {
            types.push(kind);
        }
    }
    (!types.is_empty()).then_some(types)
}

/// `TYPE/SUBTYPE` or `TYPE/*` (RFC 6838 §4.2).
fn is_type(text: &str) -> bool {
    let is_name =
        |t: &str| !t.is_empty() && t.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&b));
    text.split_once('/').is_some_and(|(kind, sub)| is_name(kind) && (sub == "*" || is_name(sub)))
}
