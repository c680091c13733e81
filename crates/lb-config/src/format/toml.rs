//! TOML, by the `toml` crate's recovering parser: every line with a syntax error is reported, not only the first.

use super::{DEPTH_MAX, too_deep};
use crate::diagnostic::Sink;
use crate::node::{Entry, Node, Span, Value, integer};
use toml::de::{DeTable, DeValue};

/// A text longer than this is parsed up to its first syntax error only: recovering keeps every error in memory, and a
/// large file that is not TOML at all has one at every byte.
const RECOVER_MAX: usize = 1 << 20;

pub(super) fn parse(sink: &Sink<'_>) -> Option<Node> {
    let text = sink.text();
    let (document, mut errors) = if text.len() <= RECOVER_MAX {
        DeTable::parse_recoverable(text)
    } else {
        match DeTable::parse(text) {
            Ok(document) => (document, Vec::new()),
            Err(e) => {
                record(sink, e.span().unwrap_or(0..0).into(), e.message());
                return None;
            }
        }
    };
    if errors.is_empty() {
        let value = table(document.into_inner(), sink, 0)?;
        return Some(Node { value, span: Span::default() });
    }
    errors.sort_by_key(|e| e.span().map_or(0, |s| s.start));
    let mut last = None;
    for e in errors {
        let span = Span::from(e.span().unwrap_or(0..0));
        // One slip often makes the parser stumble several times over the same line.
        let same_line = last.is_some_and(|at| !text.get(at..span.start).unwrap_or_default().contains('\n'));
        if !same_line {
            record(sink, span, e.message());
        }
        last = Some(span.start);
    }
    None
}

fn record(sink: &Sink<'_>, span: Span, message: &str) {
    let word = sink.text().get(span.start..).unwrap_or_default();
    let unquoted = word.starts_with(|c: char| c.is_ascii_alphabetic());
    // The parser takes an unquoted word for the beginning of `nan`, `inf`, `true` …
    if message.starts_with("string values must be quoted")
        || (message.starts_with("invalid float") && unquoted)
    {
        let word = word.split([' ', '\t', '\r', '\n', ',', ']', '}', '#']).next().unwrap_or_default();
        sink.error(span, "text must stand in quotes")
            .help(format!("write \"{}\"", crate::node::shorten(word)));
    } else if message == "duplicate key" {
        let key = sink.text().get(span.start..span.end).unwrap_or_default();
        sink.error(span, format!("key `{}` is given twice", crate::node::shorten(key)));
    } else {
        sink.error(span, message);
    }
}

fn table(table: DeTable<'_>, sink: &Sink<'_>, depth: usize) -> Option<Value> {
    let mut entries = Vec::with_capacity(table.len());
    for (key, value) in table {
        let key_span = key.span().into();
        let node = node(value.span().into(), value.into_inner(), sink, depth + 1)?;
        entries.push(Entry { key: key.into_inner().into_owned(), key_span, node });
    }
    // The parser's map is sorted by name.
    entries.sort_by_key(|e| e.key_span);
    Some(Value::Table(entries))
}

fn node(span: Span, value: DeValue<'_>, sink: &Sink<'_>, depth: usize) -> Option<Node> {
    if depth > DEPTH_MAX {
        sink.error(span, too_deep());
        return None;
    }
    let value = match value {
        DeValue::String(s) => Value::Text(s.into_owned()),
        DeValue::Integer(i) => integer(i.as_str(), i.radix()).map_or(Value::Null, Value::Integer),
        DeValue::Float(f) => Value::Float(f.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(b) => Value::Bool(b),
        DeValue::Datetime(_) => Value::Date,
        DeValue::Array(items) => {
            let items = items.into_iter().map(|i| node(i.span().into(), i.into_inner(), sink, depth + 1));
            Value::List(items.collect::<Option<_>>()?)
        }
        DeValue::Table(t) => table(t, sink, depth)?,
    };
    Some(Node { value, span })
}
