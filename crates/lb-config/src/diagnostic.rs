//! What is wrong with a file, where, and what to do about it.

use crate::node::Span;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::fmt;
use std::ops::Range;

/// More errors than this are counted, not kept: nobody reads them, and each costs a search for a suggestion.
const DIAGNOSTICS_MAX: usize = 100;

/// A line longer than this many bytes is not shown.
const LINE_SHOWN_MAX: usize = 2_000;

/// One thing that is wrong with a file.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Diagnostic {
    /// What is wrong.
    pub message: String,
    /// Which bytes of the text it is about; empty where something is missing.
    pub span: Range<usize>,
    /// The line, from 1; 0 when it is about the file as a whole (it cannot be read, say).
    pub line: usize,
    /// The column in characters, from 1; 0 when it is about the file as a whole.
    pub column: usize,
    /// What to do about it, where that is known.
    pub help: Option<String>,
}

/// A file that cannot be used, and everything found wrong with it, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConfigError {
    name: String,
    text: String,
    diagnostics: Vec<Diagnostic>,
    /// Errors that were found but not kept.
    more: usize,
}

impl ConfigError {
    /// An error about the file as a whole.
    pub(crate) fn whole(name: &str, message: String, help: Option<String>) -> Self {
        let diagnostic = Diagnostic { message, span: 0..0, line: 0, column: 0, help };
        Self { name: name.to_owned(), text: String::new(), diagnostics: vec![diagnostic], more: 0 }
    }

    /// The errors, in the order of the text; at least one, at most 100.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }

    /// The file's name, as it was given.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The errors with the lines they are about, for a terminal (with ANSI `color`) or a log.
    ///
    /// ```text
    /// error: unknown key `helth_check`
    ///  --> edge-lb.toml:5:1
    ///   |
    /// 5 | helth_check = { path = "/health" }
    ///   | ^^^^^^^^^^^
    ///   |
    ///   = help: did you mean `health_check`?
    /// ```
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let reports = self.diagnostics.iter().map(|d| renderer.render(&[self.group(d)]));
        let mut out = reports.collect::<Vec<_>>().join("\n\n");
        out.push('\n');
        if self.more > 0 {
            out.push_str(&format!("\n… and {} more errors\n", self.more));
        }
        out
    }

    fn group<'a>(&'a self, d: &'a Diagnostic) -> Group<'a> {
        let title = Level::ERROR.primary_title(d.message.as_str());
        let help = d.help.iter().map(|h| Level::HELP.message(h.as_str()));
        let Some((line, at)) = self.excerpt(d) else {
            let mut origin = Origin::path(self.name.as_str());
            if d.line > 0 {
                origin = origin.line(d.line).char_column(d.column);
            }
            return title.element(origin).elements(help);
        };
        let snippet = Snippet::source(line).line_start(d.line).path(self.name.as_str());
        title.element(snippet.annotation(AnnotationKind::Primary.span(at))).elements(help)
    }

    /// The line that a diagnostic is about and the bytes within it, where the line can be shown.
    fn excerpt(&self, d: &Diagnostic) -> Option<(&str, Range<usize>)> {
        if d.line == 0 {
            return None;
        }
        let start = self.text[..d.span.start].rfind('\n').map_or(0, |i| i + 1);
        let end = self.text[d.span.start..].find('\n').map_or(self.text.len(), |i| d.span.start + i);
        let line = self.text[start..end].trim_end_matches('\r');
        let at = (d.span.start - start).min(line.len())..(d.span.end - start).min(line.len());
        (line.len() <= LINE_SHOWN_MAX && !line.is_empty()).then_some((line, at))
    }
}

impl fmt::Display for ConfigError {
    /// One line `file:line:column: error: …` for each error, with a line `  help: …` where help is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, d) in self.diagnostics.iter().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            match d.line {
                0 => write!(f, "{}: error: {}", self.name, d.message)?,
                line => write!(f, "{}:{line}:{}: error: {}", self.name, d.column, d.message)?,
            }
            if let Some(help) = &d.help {
                write!(f, "\n  help: {help}")?;
            }
        }
        if self.more > 0 {
            write!(f, "\n… and {} more errors", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// An error before its line and column are known: where, what, and what to do about it.
type Found = (Span, String, Option<String>);

/// Where parser and resolver put what they find wrong, so that one run reports all of it.
pub(crate) struct Sink<'t> {
    name: &'t str,
    text: &'t str,
    found: RefCell<Vec<Found>>,
    more: Cell<usize>,
    /// Where secrets stand in the text.
    hidden: RefCell<Vec<Span>>,
}

/// The error just recorded, by its place in the list; help can be added to it.
#[derive(Clone, Copy)]
pub(crate) struct Recorded<'s>(Option<(&'s RefCell<Vec<Found>>, usize)>);

impl Recorded<'_> {
    /// Says what to do about it.
    pub(crate) fn help(self, help: impl Into<String>) {
        if let Some((found, index)) = self.0
            && let Some((.., slot)) = found.borrow_mut().get_mut(index)
        {
            *slot = Some(help.into());
        }
    }

    /// Says what to do about it, where that is known.
    pub(crate) fn maybe_help(self, help: Option<impl Into<String>>) {
        if let Some(help) = help {
            self.help(help);
        }
    }
}

impl<'t> Sink<'t> {
    pub(crate) fn new(name: &'t str, text: &'t str) -> Self {
        Self { name, text, found: RefCell::default(), more: Cell::default(), hidden: RefCell::default() }
    }

    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    /// Records an error. Beyond a bound it is only counted.
    pub(crate) fn error(&self, span: Span, message: impl Into<String>) -> Recorded<'_> {
        if self.is_full() {
            self.more.set(self.more.get() + 1);
            return Recorded(None);
        }
        let mut found = self.found.borrow_mut();
        found.push((span, message.into(), None));
        Recorded(Some((&self.found, found.len() - 1)))
    }

    /// A line about what is right but hardly meant.
    pub(crate) fn warning(&self, span: Span, message: &str) -> String {
        let (line, column) = position(self.text, span.start);
        format!("{}:{line}:{column}: warning: {message}", self.name)
    }

    /// Keeps a part of the text, a secret, from being shown with the line that it is on.
    pub(crate) fn hide(&self, span: Span) {
        self.hidden.borrow_mut().push(span);
    }

    /// Whether no more errors are kept: searches for suggestions can be left out.
    pub(crate) fn is_full(&self) -> bool {
        self.found.borrow().len() >= DIAGNOSTICS_MAX
    }

    /// `value` if no error was recorded.
    pub(crate) fn finish<T>(self, value: Option<T>) -> Result<T, ConfigError> {
        let mut found = self.found.into_inner();
        match value {
            Some(value) if found.is_empty() => return Ok(value),
            None if found.is_empty() => {
                // A resolver that gives up says why; this line keeps a slip there from being a panic.
                found.push((Span::default(), "the file cannot be used".to_owned(), None));
            }
            _ => {}
        }
        found.sort_by_key(|(span, ..)| span.start);
        // An alias in YAML is resolved wherever it is used; its error is one.
        let mut seen = HashSet::new();
        found.retain(|(span, message, _)| seen.insert((*span, message.clone())));
        let diagnostics = found.into_iter().map(|(span, message, help)| {
            let (start, end) = (floor(self.text, span.start), floor(self.text, span.end));
            let (line, column) = position(self.text, start);
            Diagnostic { message, span: start..end.max(start), line, column, help }
        });
        Err(ConfigError {
            name: self.name.to_owned(),
            diagnostics: diagnostics.collect(),
            text: masked(self.text, &self.hidden.into_inner()),
            more: self.more.into_inner(),
        })
    }
}

/// The text with a star for each byte of the hidden parts, so that every place in it stays where it is.
fn masked(text: &str, hidden: &[Span]) -> String {
    let mut bytes = text.as_bytes().to_vec();
    for span in hidden {
        let (start, end) = (floor(text, span.start), floor(text, span.end));
        for byte in bytes[start..end.max(start)].iter_mut().filter(|b| !matches!(b, b'\n' | b'\r')) {
            *byte = b'*';
        }
    }
    // Whole characters were replaced, so it is text still.
    String::from_utf8(bytes).unwrap_or_default()
}

/// The nearest character boundary at or before a byte.
fn floor(text: &str, at: usize) -> usize {
    text.floor_char_boundary(at.min(text.len()))
}

/// Line and column (in characters) of a byte, from 1.
fn position(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..floor(text, at)];
    let line_start = before.rfind('\n').map_or(0, |i| i + 1);
    (before.bytes().filter(|&b| b == b'\n').count() + 1, before[line_start..].chars().count() + 1)
}
