//! What was found: the route, the path that was judged, its parameters.

use std::borrow::Cow;

/// The most parameters that one route may have: they are kept without an allocation.
pub const PARAMETERS_MAX: usize = 8;

/// A part of a path, in bytes. Paths are no longer than 16 bits can say ([`PATH_BYTES_MAX`](crate::PATH_BYTES_MAX)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    start: u16,
    end: u16,
}

impl Span {
    /// Of a group that took no part in the match.
    pub(crate) const NONE: Self = Self { start: 1, end: 0 };

    pub(crate) fn new(start: usize, end: usize) -> Self {
        let short =
            |at: usize| u16::try_from(at).expect("a normalised path is no longer than PATH_BYTES_MAX");
        Self { start: short(start), end: short(end) }
    }

    fn of(self, path: &str) -> Option<&str> {
        path.get(usize::from(self.start)..usize::from(self.end))
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spans {
    spans: [Span; PARAMETERS_MAX],
    length: usize,
}

impl Spans {
    /// More than [`PARAMETERS_MAX`] are no pattern's.
    pub(crate) fn push(&mut self, span: Span) {
        if let Some(place) = self.spans.get_mut(self.length) {
            *place = span;
            self.length += 1;
        }
    }
}

/// The route that a request takes. Borrows from the request and the router; allocates nothing (but for the path, if it had to be
/// changed).
#[derive(Clone, Debug)]
pub struct Match<'a> {
    index: usize,
    path: Cow<'a, str>,
    prefix: usize,
    names: &'a [Box<str>],
    spans: Spans,
}

impl<'a> Match<'a> {
    pub(crate) fn new(
        index: usize,
        path: Cow<'a, str>,
        names: &'a [Box<str>],
        (prefix, spans): (usize, Spans),
    ) -> Self {
        Self { index, path, prefix, names, spans }
    }

    /// The route's place in the list that the router was built of.
    pub fn index(&self) -> usize {
        self.index
    }

    /// The [normalised](crate::normalise) path, which the routes were matched with. It shall be forwarded, unless it is rewritten.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The same, taken out: borrowed if the client's path was normal already.
    pub fn into_path(self) -> Cow<'a, str> {
        self.path
    }

    /// The part of the path that the route names, without a slash at its end: what a rewrite strips or replaces.
    ///
    /// Of `path` the prefix (empty for `/`), before a tail what stands before it, of `path_exact` and `path_regex` the whole path, and
    /// empty if the route has no condition on the path.
    pub fn prefix(&self) -> &str {
        &self.path[..self.prefix]
    }

    /// What follows [`prefix`](Self::prefix): empty, or with a slash first.
    pub fn rest(&self) -> &str {
        &self.path[self.prefix..]
    }

    /// A parameter's value: as it stands in the path, percent-encodings and all. `None` if the route has no such parameter, or the
    /// group of a regular expression took no part.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters().find_map(|(known, value)| (known == name).then_some(value))
    }

    /// All parameters that have a value, by name, in their order.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        let spans = &self.spans.spans[..self.spans.length];
        self.names.iter().zip(spans).filter_map(|(name, span)| Some((&**name, span.of(&self.path)?)))
    }
}
