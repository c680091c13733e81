//! The one tree that TOML, YAML and JSON are parsed into: values with the place each stands at.
//!
//! One resolver walks this tree, so the three formats give the same configuration and the same messages.

/// A range of bytes in the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Span {
    pub(crate) start: usize,
    pub(crate) end: usize,
}

impl Span {
    pub(crate) const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }
}

impl From<std::ops::Range<usize>> for Span {
    fn from(r: std::ops::Range<usize>) -> Self {
        Self::new(r.start, r.end)
    }
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) value: Value,
    pub(crate) span: Span,
}

/// What the three formats have in common.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// Saturated where the text says a larger number: every key's range is far smaller.
    Integer(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
    /// TOML's own dates; no key takes one.
    Date,
}

/// One key of a table, in the order of the text.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) key_span: Span,
    pub(crate) node: Node,
}

impl Node {
    /// The value in a message: what the user typed where that is short, else what it is.
    pub(crate) fn describe(&self, text: &str) -> String {
        let typed = || match text.get(self.span.start..self.span.end) {
            Some(t) if !t.is_empty() && t.len() <= 40 => t.to_owned(),
            _ => "this number".to_owned(),
        };
        match &self.value {
            Value::Null => "nothing (null)".to_owned(),
            Value::Bool(b) => b.to_string(),
            Value::Integer(_) | Value::Float(_) => typed(),
            Value::Text(t) => format!("\"{}\"", shorten(t)),
            Value::List(_) => "a list".to_owned(),
            Value::Table(_) => "a table".to_owned(),
            Value::Date => "a date".to_owned(),
        }
    }
}

/// Text for a message: control characters escaped, and cut after 60 characters.
pub(crate) fn shorten(text: &str) -> String {
    let mut out: String = text.chars().take(60).flat_map(char::escape_debug).collect();
    // `escape_debug` also escapes quotes, which need none here.
    out = out.replace("\\'", "'").replace("\\\"", "\"");
    if text.chars().nth(60).is_some() {
        out.push('…');
    }
    out
}

/// A whole number as TOML and YAML write it, saturated at the ends of `i128`.
pub(crate) fn integer(digits: &str, radix: u32) -> Option<i128> {
    use std::num::IntErrorKind as E;
    match i128::from_str_radix(digits, radix) {
        Ok(n) => Some(n),
        Err(e) if *e.kind() == E::PosOverflow => Some(i128::MAX),
        Err(e) if *e.kind() == E::NegOverflow => Some(i128::MIN),
        Err(_) => None,
    }
}
