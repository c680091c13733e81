//! Values that are lists, or a word beside what a key usually takes.

use super::{Field, Reader};
use crate::node::{Node, Value};
use crate::schema::Key;
use std::time::Duration;

impl<'a> Reader<'a> {
    /// Records an error at each key that is there and is none of these.
    pub(crate) fn refuse_all_but(&self, names: &[&str], why: impl Fn(&str) -> String, help: &str) {
        let foreign = |key: &str| self.section.key(key).is_some_and(Key::is_built) && !names.contains(&key);
        for entry in self.entries.iter().filter(|e| foreign(&e.key)) {
            self.sink.error(entry.key_span, why(&entry.key)).help(help);
        }
    }
}

impl<'a> Field<'a> {
    /// The items of a list, or the one value that stands for a list of one.
    pub(crate) fn one_or_more(&self) -> Option<&'a [Node]> {
        let node = self.node()?;
        match &node.value {
            Value::List(items) if items.is_empty() => {
                self.error(format!("`{}` must not be an empty list", self.key.name))
                    .help("leave the key out to get its default");
                None
            }
            Value::List(items) => Some(items),
            _ => Some(std::slice::from_ref(node)),
        }
    }

    /// A table among the values of a key.
    pub(crate) fn table_in(&self, node: &'a Node) -> Option<Reader<'a>> {
        let what = format!("each item of `{}`", self.key.name);
        Reader::new(self.sink, self.section(), node, node.span, &what)
    }

    /// The texts of a list, each with its place; those that are none were recorded.
    pub(crate) fn text_items(&self) -> Vec<(&'a str, &'a Node)> {
        let mut texts = Vec::new();
        for node in self.list().unwrap_or_default() {
            match &node.value {
                Value::Text(text) if !text.is_empty() => texts.push((text.as_str(), node)),
                _ => {
                    let name = self.key.name;
                    self.error_at(node, |found| format!("each item of `{name}` must be a text, not {found}"));
                }
            }
        }
        texts
    }

    /// A duration, or `"none"` for no limit.
    pub(crate) fn duration_or_none(&self) -> Option<Option<Duration>> {
        match self.node()?.value {
            Value::Text(ref text) if text == "none" => Some(None),
            _ => self.duration_or_zero().map(Some),
        }
    }

    /// A number of seconds, where the value is a whole number.
    pub(crate) fn seconds(&self) -> Option<Duration> {
        match self.node()?.value {
            Value::Integer(n) => u64::try_from(n).ok().map(Duration::from_secs),
            _ => None,
        }
    }

    /// Records what another crate finds wrong with the value.
    pub(crate) fn bad_setting(&self, value: &str, must: &str) {
        self.error(format!("`{}` = {value}: {must}", self.key.name));
    }
}
