//! Walks a [`Node`] tree by the schema: takes a key, expects a type, records what is wrong and goes on.
//!
//! A [`Reader`] stands at one table. Making it reports the table's unknown and planned keys; its [`Field`]s then give
//! typed values, each `None` where the key is absent *or* wrong (and recorded), so that the resolver can go on with
//! the default and find further errors.

mod items;

use crate::diagnostic::{Recorded, Sink};
use crate::node::{Entry, Node, Span, Value, shorten};
use crate::schema::{self, Key, Kind, Section, Status};
use crate::text;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// One table of the file.
pub(crate) struct Reader<'a> {
    pub(crate) sink: &'a Sink<'a>,
    section: &'static Section,
    entries: &'a [Entry],
    /// Where to point when something is missing.
    pub(crate) span: Span,
}

impl<'a> Reader<'a> {
    /// Reads a table, or records that it is none. `what` names it in the message.
    pub(crate) fn new(
        sink: &'a Sink<'a>,
        section: &'static Section,
        node: &'a Node,
        span: Span,
        what: &str,
    ) -> Option<Self> {
        let Value::Table(entries) = &node.value else {
            sink.error(node.span, format!("{what} must be a table, not {}", node.describe(sink.text())));
            return None;
        };
        for e in entries {
            match section.key(&e.key).map(|k| &k.status) {
                Some(Status::Built(_) | Status::Section) => {}
                Some(Status::Planned(capability)) => {
                    let message = format!("key `{}` is not built yet (planned: {capability})", e.key);
                    sink.error(e.key_span, message);
                }
                None => {
                    let help = if sink.is_full() { None } else { schema::suggest(section, &e.key) };
                    sink.error(e.key_span, format!("unknown key `{}`", shorten(&e.key))).maybe_help(help);
                }
            }
        }
        Some(Self { sink, section, entries, span })
    }

    /// A key of this table.
    pub(crate) fn field(&self, name: &str) -> Field<'a> {
        let key = self.section.key(name).filter(|k| k.is_built());
        let key = key.expect("the resolver asks only for built keys of its section");
        let entry = self.entries.iter().find(|e| e.key == name);
        Field { sink: self.sink, key, entry, owner: self.span }
    }

    /// Is this key there, whether or not the section has such a key?
    pub(crate) fn mentions(&self, name: &str) -> bool {
        self.entries.iter().any(|e| e.key == name)
    }

    /// `enabled`, true where it is absent or wrong.
    pub(crate) fn enabled(&self) -> bool {
        self.field("enabled").boolean().unwrap_or(true)
    }

    /// Records an error at each of these keys that is there.
    pub(crate) fn refuse(&self, names: &[&str], why: impl Fn(&str) -> String) {
        for name in names {
            if let Some(entry) = self.field(name).entry {
                self.sink.error(entry.key_span, why(name));
            }
        }
    }
}

/// One key of a table, there or not.
pub(crate) struct Field<'a> {
    pub(crate) sink: &'a Sink<'a>,
    key: &'static Key,
    entry: Option<&'a Entry>,
    owner: Span,
}

impl<'a> Field<'a> {
    /// The key.
    pub(crate) fn name(&self) -> &'static str {
        self.key.name
    }

    /// Whether the key is there, right or wrong.
    pub(crate) fn is_present(&self) -> bool {
        self.entry.is_some()
    }

    /// Where the value stands, or where it is missing.
    pub(crate) fn span(&self) -> Span {
        self.entry.map_or(self.owner, |e| e.node.span)
    }

    /// Where the key stands, or where it is missing.
    pub(crate) fn key_span(&self) -> Span {
        self.entry.map_or(self.owner, |e| e.key_span)
    }

    /// Records that the key is missing, if it is.
    pub(crate) fn required(self) -> Self {
        if self.entry.is_none() {
            let recorded = self.sink.error(self.owner, format!("missing key `{}`", self.key.name));
            if let Kind::Value(takes) = self.key.kind {
                recorded.help(format!("it takes {}", takes.replace('`', "")));
            }
        }
        self
    }

    /// Records an error at the value.
    pub(crate) fn error(&self, message: impl Into<String>) -> Recorded<'a> {
        self.sink.error(self.span(), message)
    }

    /// The value, right or wrong.
    pub(crate) fn node(&self) -> Option<&'a Node> {
        self.entry.map(|e| &e.node)
    }

    /// How many items the list or table has, without complaint where it is neither.
    pub(crate) fn len(&self) -> Option<usize> {
        match &self.node()?.value {
            Value::List(items) => Some(items.len()),
            Value::Table(entries) => Some(entries.len()),
            _ => None,
        }
    }

    /// Records an error at a part of the value.
    pub(crate) fn error_at(&self, node: &Node, message: impl FnOnce(&str) -> String) -> Recorded<'a> {
        self.sink.error(node.span, message(&node.describe(self.sink.text())))
    }

    /// Records that the value is not what the key takes.
    fn mismatch(&self, node: &Node, expected: &str) -> Recorded<'a> {
        let found = node.describe(self.sink.text());
        let recorded =
            self.sink.error(node.span, format!("`{}` must be {expected}, not {found}", self.key.name));
        if matches!(node.value, Value::Null) && !matches!(self.key.default, schema::Default::Required) {
            recorded.help("leave the key out to get its default");
        }
        recorded
    }

    /// A text, not empty.
    pub(crate) fn text(&self) -> Option<&'a str> {
        let text = self.text_or_empty()?;
        if text.is_empty() {
            self.error(format!("`{}` must not be empty", self.key.name));
            return None;
        }
        Some(text)
    }

    /// A text, which may be empty.
    pub(crate) fn text_or_empty(&self) -> Option<&'a str> {
        let node = self.node()?;
        match &node.value {
            Value::Text(t) => Some(t),
            _ => {
                let quoted = quoted(node, self.sink.text());
                self.mismatch(node, "a text").maybe_help(quoted.map(|q| format!("put it in quotes: {q}")));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&self) -> Option<bool> {
        let node = self.node()?;
        if let Value::Bool(b) = node.value {
            return Some(b);
        }
        let meant = match &node.value {
            Value::Text(t) => match t.to_ascii_lowercase().as_str() {
                "true" | "yes" | "on" | "1" => Some("write true"),
                "false" | "no" | "off" | "0" => Some("write false"),
                _ => None,
            },
            Value::Integer(0) => Some("write false"),
            Value::Integer(1) => Some("write true"),
            _ => None,
        };
        self.mismatch(node, "true or false").maybe_help(meant);
        None
    }

    /// A whole number within a range.
    pub(crate) fn integer<T: Copy + Display + TryFrom<i128> + Into<i128>>(
        &self,
        range: RangeInclusive<T>,
    ) -> Option<T> {
        let node = self.node()?;
        let (low, high) = ((*range.start()).into(), (*range.end()).into());
        let expected = format!("a whole number from {low} to {high}");
        match &node.value {
            Value::Integer(n) if (low..=high).contains(n) => T::try_from(*n).ok(),
            Value::Text(t) if t.parse::<i128>().is_ok_and(|n| (low..=high).contains(&n)) => {
                self.mismatch(node, &expected).help(format!("write {t}, without quotes"));
                None
            }
            _ => {
                self.mismatch(node, &expected);
                None
            }
        }
    }

    /// A number above zero, up to `max`.
    pub(crate) fn positive(&self, max: f64) -> Option<f64> {
        self.number_that(|n| n > 0.0 && n <= max, || format!("a number above 0, at most {max}"))
    }

    /// A number within a range.
    pub(crate) fn number(&self, range: RangeInclusive<f64>) -> Option<f64> {
        let expected = || format!("a number from {} to {}", range.start(), range.end());
        self.number_that(|n| range.contains(&n), expected)
    }

    fn number_that(&self, fits: impl Fn(f64) -> bool, expected: impl Fn() -> String) -> Option<f64> {
        let node = self.node()?;
        let number = match node.value {
            Value::Integer(n) => Some(n as f64),
            Value::Float(f) => Some(f),
            _ => None,
        };
        let number = number.filter(|n| fits(*n));
        if number.is_none() {
            self.mismatch(node, &expected());
        }
        number
    }

    /// A duration longer than none.
    pub(crate) fn duration(&self) -> Option<Duration> {
        let d = self.duration_or_zero()?;
        if d.is_zero() {
            self.error(format!("`{}` must be longer than 0", self.key.name));
            return None;
        }
        Some(d)
    }

    /// A duration within a range.
    pub(crate) fn duration_within(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        let d = self.duration_or_zero()?;
        if range.contains(&d) {
            return Some(d);
        }
        let (low, high) = (text::show_duration(*range.start()), text::show_duration(*range.end()));
        self.error(format!("`{}` must be from {low} to {high}", self.key.name));
        None
    }

    /// A duration.
    pub(crate) fn duration_or_zero(&self) -> Option<Duration> {
        self.quantity("duration", "a duration such as \"30s\"", text::duration)
    }

    /// A size in bytes within a range.
    pub(crate) fn size(&self, range: RangeInclusive<u64>) -> Option<u64> {
        let bytes = self.quantity("size", "a size such as \"64KiB\"", text::size)?;
        if range.contains(&bytes) {
            return Some(bytes);
        }
        let (low, high) = (text::show_size(*range.start()), text::show_size(*range.end()));
        self.error(format!("`{}` must be from {low} to {high}", self.key.name));
        None
    }

    fn quantity<T>(&self, what: &str, expected: &str, parse: fn(&str) -> Result<T, text::Bad>) -> Option<T> {
        let node = self.node()?;
        let meant = |bad: &text::Bad| bad.instead.as_ref().map(|i| format!("did you mean \"{i}\"?"));
        match &node.value {
            Value::Text(t) => match parse(t) {
                Ok(value) => return Some(value),
                Err(bad) => {
                    let message =
                        format!("bad {what} \"{}\" for `{}`: {}", shorten(t), self.key.name, bad.reason);
                    self.error(message).maybe_help(meant(&bad));
                }
            },
            Value::Integer(n) => {
                let bad = parse(&n.to_string()).err();
                self.mismatch(node, expected).maybe_help(bad.as_ref().and_then(meant));
            }
            _ => {
                self.mismatch(node, expected);
            }
        }
        None
    }

    /// One of several words.
    pub(crate) fn choice<T: Clone>(&self, choices: &[(&str, T)]) -> Option<T> {
        let word = self.text()?;
        let found = choices.iter().find(|(name, _)| *name == word).map(|(_, value)| value.clone());
        if found.is_none() {
            self.not_a_choice(word, choices.iter().map(|(name, _)| *name));
        }
        found
    }

    /// Records that a word is none of those that can stand here.
    pub(crate) fn not_a_choice<'n>(&self, word: &str, names: impl Iterator<Item = &'n str> + Clone) {
        let list = names.clone().collect::<Vec<_>>().join(", ");
        let message = format!("`{}` must be one of {list}, not \"{}\"", self.key.name, shorten(word));
        let nearest = schema::nearest(&word.to_ascii_lowercase(), names);
        self.error(message).maybe_help(nearest.map(|n| format!("did you mean \"{n}\"?")));
    }

    /// The items of a list.
    pub(crate) fn list(&self) -> Option<&'a [Node]> {
        let node = self.node()?;
        if let Value::List(items) = &node.value {
            return Some(items);
        }
        self.mismatch(node, "a list");
        None
    }

    /// A table of texts, with where each key stands.
    pub(crate) fn texts(&self) -> Option<Vec<(&'a str, &'a str, Span)>> {
        let node = self.node()?;
        let Value::Table(entries) = &node.value else {
            self.mismatch(node, "a table of texts");
            return None;
        };
        let mut texts = Vec::with_capacity(entries.len());
        for e in entries {
            if let Value::Text(t) = &e.node.value {
                texts.push((e.key.as_str(), t.as_str(), e.key_span));
            } else {
                let found = e.node.describe(self.sink.text());
                let message = format!("`{}.{}` must be a text, not {found}", self.key.name, shorten(&e.key));
                let quoted = quoted(&e.node, self.sink.text());
                self.sink
                    .error(e.node.span, message)
                    .maybe_help(quoted.map(|q| format!("put it in quotes: {q}")));
            }
        }
        (texts.len() == entries.len()).then_some(texts)
    }

    /// A table of texts as a map.
    pub(crate) fn text_map(&self) -> Option<BTreeMap<String, String>> {
        Some(self.texts()?.into_iter().map(|(k, v, _)| (k.to_owned(), v.to_owned())).collect())
    }

    /// The key's own table.
    pub(crate) fn table(&self) -> Option<Reader<'a>> {
        let e = self.entry?;
        Reader::new(self.sink, self.section(), &e.node, e.key_span, &format!("`{}`", self.key.name))
    }

    /// Whether the value is a text: a short form of the table.
    pub(crate) fn is_text(&self) -> bool {
        matches!(self.node().map(|n| &n.value), Some(Value::Text(_)))
    }

    /// The tables of a list; those that are none were recorded.
    pub(crate) fn tables(&self) -> Vec<Reader<'a>> {
        let what = format!("each item of `{}`", self.key.name);
        let items = self.list().unwrap_or_default().iter();
        items.filter_map(|n| Reader::new(self.sink, self.section(), n, n.span, &what)).collect()
    }

    /// The tables that stand under names of the user's choice; those that are none were recorded.
    pub(crate) fn named_tables(&self) -> Vec<(&'a str, Reader<'a>)> {
        let Some(node) = self.node() else { return Vec::new() };
        let Value::Table(entries) = &node.value else {
            self.mismatch(node, "a table of tables");
            return Vec::new();
        };
        let read = |e: &'a Entry| {
            let what = format!("`{}.{}`", self.key.name, shorten(&e.key));
            Some((e.key.as_str(), Reader::new(self.sink, self.section(), &e.node, e.key_span, &what)?))
        };
        entries.iter().filter_map(read).collect()
    }

    fn section(&self) -> &'static Section {
        self.key.kind.section().expect("the schema gives this key a section")
    }
}

/// A number or boolean as the text that was meant: as it was typed, in quotes.
fn quoted(node: &Node, text: &str) -> Option<String> {
    match node.value {
        Value::Bool(_) | Value::Integer(_) | Value::Float(_) | Value::Date => {
            let typed = text.get(node.span.start..node.span.end).filter(|t| !t.is_empty() && t.len() <= 40);
            typed.map(|t| format!("\"{t}\""))
        }
        _ => None,
    }
}
