//! JSON, by `jsonc-parser` with everything that is not RFC 8259 switched off.

use super::{DEPTH_MAX, too_deep};
use crate::diagnostic::Sink;
use crate::node::{Entry, Node, Span, Value, integer};
use jsonc_parser::ast;
use jsonc_parser::common::Ranged;
use std::collections::HashSet;

pub(super) fn parse(sink: &Sink<'_>) -> Option<Node> {
    let strict = jsonc_parser::ParseOptions {
        allow_comments: false,
        allow_loose_object_property_names: false,
        allow_trailing_commas: false,
        allow_missing_commas: false,
        allow_single_quoted_strings: false,
        allow_hexadecimal_numbers: false,
        allow_unary_plus_numbers: false,
        allow_bare_decimal_point_numbers: false,
        allow_non_finite_numbers: false,
        allow_extended_string_escapes: false,
    };
    match jsonc_parser::parse_to_ast(sink.text(), &jsonc_parser::CollectOptions::default(), &strict) {
        Ok(parsed) => match parsed.value {
            Some(value) => node(value, sink, 0),
            None => {
                sink.error(Span::default(), "the file is empty").help("write at least { }");
                None
            }
        },
        Err(e) => {
            let message = e.kind().to_string();
            let mut chars = message.chars();
            let message: String =
                chars.next().map(|c| c.to_ascii_lowercase()).into_iter().chain(chars).collect();
            sink.error(Span::new(e.range().start, e.range().end), message);
            None
        }
    }
}

fn node(value: ast::Value<'_>, sink: &Sink<'_>, depth: usize) -> Option<Node> {
    let span = Span::new(value.range().start, value.range().end);
    if depth > DEPTH_MAX {
        sink.error(span, too_deep());
        return None;
    }
    let value = match value {
        ast::Value::StringLit(s) => Value::Text(s.value.into_owned()),
        ast::Value::NumberLit(n) => integer(n.value, 10)
            .map_or_else(|| Value::Float(n.value.parse().unwrap_or(f64::NAN)), Value::Integer),
        ast::Value::BooleanLit(b) => Value::Bool(b.value),
        ast::Value::NullKeyword(_) => Value::Null,
        ast::Value::Array(a) => {
            Value::List(a.elements.into_iter().map(|v| node(v, sink, depth + 1)).collect::<Option<_>>()?)
        }
        ast::Value::Object(o) => {
            let mut seen = HashSet::new();
            let mut entries = Vec::with_capacity(o.properties.len());
            for property in o.properties {
                let key_span = Span::new(property.name.range().start, property.name.range().end);
                let key = property.name.into_string();
                let node = node(property.value, sink, depth + 1)?;
                if seen.insert(key.clone()) {
                    entries.push(Entry { key, key_span, node });
                } else {
                    sink.error(key_span, format!("key `{}` is given twice", crate::node::shorten(&key)));
                }
            }
            Value::Table(entries)
        }
    };
    Some(Node { value, span })
}
