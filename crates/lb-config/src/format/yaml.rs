//! YAML 1.2, built from the events of `granit-parser` (the parser under serde-saphyr).
//!
//! Plain scalars get their type by the core schema: `yes`, `on` and `010` are what YAML 1.2 says they are, not what
//! YAML 1.1 said. Anchors and aliases work; since an alias copies what it names, the size of the whole tree is
//! bounded ([`NODES_MAX`]), which stops the "billion laughs". Refused: several documents, tags but `!!str`, merge
//! keys (`<<`), keys that are no scalars.

use super::{DEPTH_MAX, too_deep};
use crate::diagnostic::Sink;
use crate::node::{Entry, Node, Span, Value, integer, shorten};
use granit_parser::{Event, Parser, ScalarStyle};
use std::collections::{HashMap, HashSet};

/// The most values in one file after its aliases were copied: fifty for each of 10 000 backends. A text counts once
/// more for every 64 bytes of it, so that this bounds the memory too.
const NODES_MAX: usize = 500_000;

/// What a text counts.
fn weight(text: &str) -> usize {
    1 + text.len() / 64
}

/// A list or table whose end was not seen yet.
struct Open {
    anchor: usize,
    span: Span,
    /// Values in it so far, itself included.
    size: usize,
    content: Content,
}

enum Content {
    List(Vec<Node>),
    Table { entries: Vec<Entry>, seen: HashSet<String>, key: Option<(String, Span)> },
}

struct Builder<'s> {
    sink: &'s Sink<'s>,
    open: Vec<Open>,
    /// What an anchor names, and how many values that is.
    anchors: HashMap<usize, (Node, usize)>,
    root: Option<Node>,
    nodes: usize,
}

/// The parser cannot go on: the reason is recorded.
struct Stop;

pub(super) fn parse(sink: &Sink<'_>) -> Option<Node> {
    let mut options = granit_parser::options! {
        flow_nesting_limit: DEPTH_MAX,
        block_nesting_limit: DEPTH_MAX,
    };
    options.set_emit_comments(false);
    let mut b = Builder { sink, open: Vec::new(), anchors: HashMap::new(), root: None, nodes: 0 };
    for event in Parser::new_from_str_with_options(sink.text(), options) {
        match event {
            Ok((event, span)) => b.event(event, span.byte_range().unwrap_or(0..0).into()).ok()?,
            Err(e) => {
                let at = e.marker().byte_offset().unwrap_or(0);
                sink.error(Span::new(at, at), e.info());
                return None;
            }
        }
    }
    // A file of comments alone is an empty table, as it is in TOML.
    let empty = || Node { value: Value::Table(Vec::new()), span: Span::default() };
    Some(b.root.filter(|n| !matches!(n.value, Value::Null)).unwrap_or_else(empty))
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let forced = match tag.as_deref() {
                    None => false,
                    Some(t) if t.is_yaml_core_schema_tag("str") => true,
                    Some(_) => return Err(self.stop(span, "YAML tags are not supported, but for !!str")),
                };
                let plain = style == ScalarStyle::Plain && !forced;
                let value = if plain { core_schema(&text) } else { Value::Text(text.clone().into_owned()) };
                if self.wants_key() {
                    return self.key(text.into_owned(), span);
                }
                self.add(Node { value, span }, anchor, weight(&text), weight(&text))
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.open(anchor, span, tag.is_some(), Content::List(Vec::new()))
            }
            Event::MappingStart(_, anchor, tag) => {
                let content = Content::Table { entries: Vec::new(), seen: HashSet::new(), key: None };
                self.open(anchor, span, tag.is_some(), content)
            }
            Event::SequenceEnd | Event::MappingEnd => {
                let Some(Open { anchor, span, size, content }) = self.open.pop() else { return Ok(()) };
                let value = match content {
                    Content::List(items) => Value::List(items),
                    Content::Table { entries, .. } => Value::Table(entries),
                };
                self.add(Node { value, span }, anchor, size, 1)
            }
            Event::Alias(anchor) => {
                if self.wants_key() {
                    return Err(self.stop(span, "an alias cannot be a key"));
                }
                // An anchor that is still open names something that contains the alias.
                let Some((node, size)) = self.anchors.get(&anchor) else {
                    return Err(self.stop(span, "this alias stands inside what it names"));
                };
                let size = *size;
                if self.nodes + size > NODES_MAX {
                    return Err(
                        self.stop(span, format!("aliases make the file larger than {NODES_MAX} values"))
                    );
                }
                let node = node.clone();
                self.nodes += size;
                if self.open.len() + depth(&node) > DEPTH_MAX {
                    return Err(self.stop(span, too_deep()));
                }
                self.attach(node, size);
                Ok(())
            }
            Event::DocumentStart(..) if self.root.is_some() => {
                Err(self.stop(span, "the file holds more than one YAML document"))
            }
            _ => Ok(()),
        }
    }

    fn stop(&self, span: Span, message: impl Into<String>) -> Stop {
        self.sink.error(span, message);
        Stop
    }

    /// Whether the next scalar is a key.
    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { content: Content::Table { key: None, .. }, .. }))
    }

    fn key(&mut self, text: String, span: Span) -> Result<(), Stop> {
        if text == "<<" {
            return Err(self.stop(span, "YAML merge keys (<<) are not supported"));
        }
        let weight = weight(&text);
        self.nodes += weight;
        if let Some(Open { content: Content::Table { key, .. }, size, .. }) = self.open.last_mut() {
            *size += weight;
            *key = Some((text, span));
        }
        Ok(())
    }

    fn open(&mut self, anchor: usize, span: Span, tagged: bool, content: Content) -> Result<(), Stop> {
        if tagged {
            return Err(self.stop(span, "YAML tags are not supported, but for !!str"));
        }
        if self.wants_key() {
            return Err(self.stop(span, "a key must be text, not a list or a table"));
        }
        if self.open.len() >= DEPTH_MAX {
            return Err(self.stop(span, too_deep()));
        }
        self.open.push(Open { anchor, span, size: 1, content });
        Ok(())
    }

    /// A value whose end was seen: `size` is what it counts with all that is in it, `new` what was not counted yet.
    fn add(&mut self, node: Node, anchor: usize, size: usize, new: usize) -> Result<(), Stop> {
        self.nodes += new;
        if anchor != 0 {
            // The anchor's own copy counts too.
            self.nodes += size;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        if self.nodes > NODES_MAX {
            return Err(self.stop(node.span, format!("the file holds more than {NODES_MAX} values")));
        }
        self.attach(node, size);
        Ok(())
    }

    fn attach(&mut self, node: Node, size: usize) {
        let Some(top) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        top.size += size;
        match &mut top.content {
            Content::List(items) => items.push(node),
            Content::Table { entries, seen, key } => {
                let Some((key, key_span)) = key.take() else { return };
                if seen.insert(key.clone()) {
                    entries.push(Entry { key, key_span, node });
                } else {
                    self.sink.error(key_span, format!("key `{}` is given twice", shorten(&key)));
                }
            }
        }
    }
}

fn depth(node: &Node) -> usize {
    match &node.value {
        Value::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Table(entries) => 1 + entries.iter().map(|e| depth(&e.node)).max().unwrap_or(0),
        _ => 0,
    }
}

/// The type of a plain scalar (YAML 1.2.2 §10.3.2).
fn core_schema(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        ".nan" | ".NaN" | ".NAN" => return Value::Float(f64::NAN),
        _ => {}
    }
    let (sign, digits) = match text.as_bytes() {
        [b'-', ..] => ("-", &text[1..]),
        [b'+', ..] => ("", &text[1..]),
        _ => ("", text),
    };
    if matches!(digits, ".inf" | ".Inf" | ".INF") {
        return Value::Float(if sign == "-" { f64::NEG_INFINITY } else { f64::INFINITY });
    }
    let all = |d: &str, f: fn(&u8) -> bool| !d.is_empty() && d.as_bytes().iter().all(f);
    let radix = match digits.get(..2) {
        Some("0x") if digits == text && all(&text[2..], u8::is_ascii_hexdigit) => Some((&text[2..], 16)),
        Some("0o") if digits == text && all(&text[2..], |b| (b'0'..=b'7').contains(b)) => {
            Some((&text[2..], 8))
        }
        _ => None,
    };
    if let Some((digits, radix)) = radix {
        return integer(digits, radix).map_or(Value::Null, Value::Integer);
    }
    if all(digits, u8::is_ascii_digit) {
        return integer(&format!("{sign}{digits}"), 10).map_or(Value::Null, Value::Integer);
    }
    let numeric = digits.bytes().all(|b| b.is_ascii_digit() || b".eE+-".contains(&b))
        && digits.bytes().any(|b| b.is_ascii_digit())
        && digits.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    match text.parse::<f64>() {
        Ok(f) if numeric => Value::Float(f),
        _ => Value::Text(text.to_owned()),
    }
}
