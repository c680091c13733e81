//! The paths of one host's routes, by segments.
//!
//! A node stands behind some segments. It knows the routes that end there (`exact`), those that go on with anything (`prefix`) or with
//! something (`tail`), its children by their literal segment, and its child behind a parameter. A walk follows both the literal child and
//! the parameter's, since either may have the earlier route; it leaves out what has no route below the least found so far. It visits at
//! most two children a node and no node twice: O(segments) where few routes have parameters at one place, and never more than the nodes
//! that fit.

use crate::candidates::{Candidates, NONE, Values};
use crate::pattern::{Kind, Pattern, Segment};
use crate::values::Condition;
use foldhash::fast::FixedState;
use std::collections::HashMap;

/// What walks through a trie: a request's path, or a route's, to find those that take all of it.
pub(crate) trait Way: Copy {
    /// Is there no further segment?
    fn ends(self) -> bool;
    /// Is there certainly something more?
    fn goes_on(self) -> bool;
    /// The next segment, which is this text or (`None`) any, and the way from there.
    fn step<'a>(self) -> Option<(Option<&'a str>, Self)>
    where
        Self: 'a;
}

/// The path of a request: what is left of it behind a slash, or nothing.
#[derive(Clone, Copy)]
pub(crate) struct PathWay<'p>(Option<&'p str>);

impl<'p> PathWay<'p> {
    /// Of a normalised path, `*` excluded.
    pub(crate) fn new(path: &'p str) -> Self {
        Self(path.strip_prefix('/'))
    }
}

impl Way for PathWay<'_> {
    fn ends(self) -> bool {
        self.0.is_none()
    }

    fn goes_on(self) -> bool {
        self.0.is_some_and(|rest| !rest.is_empty())
    }

    #[inline]
    fn step<'a>(self) -> Option<(Option<&'a str>, Self)>
    where
        Self: 'a,
    {
        let rest = self.0?;
        // Segments are short: a search by words would not pay.
        match rest.bytes().position(|b| b == b'/') {
            Some(at) => Some((Some(&rest[..at]), Self(Some(&rest[at + 1..])))),
            None => Some((Some(rest), Self(None))),
        }
    }
}

/// The path of a route.
#[derive(Clone, Copy)]
pub(crate) struct PatternWay<'p> {
    segments: &'p [Segment],
    kind: Kind,
}

impl<'p> PatternWay<'p> {
    pub(crate) fn new(pattern: &'p Pattern) -> Self {
        Self { segments: &pattern.segments, kind: pattern.kind }
    }
}

impl Way for PatternWay<'_> {
    fn ends(self) -> bool {
        self.segments.is_empty() && self.kind == Kind::Exact
    }

    fn goes_on(self) -> bool {
        match self.segments {
            [] => self.kind == Kind::Tail,
            [Segment::Literal(last)] => !last.is_empty(),
            _ => true,
        }
    }

    fn step<'a>(self) -> Option<(Option<&'a str>, Self)>
    where
        Self: 'a,
    {
        let (first, segments) = self.segments.split_first()?;
        let literal = match first {
            Segment::Literal(text) => Some(&**text),
            Segment::Parameter => None,
        };
        Some((literal, Self { segments, ..self }))
    }
}

#[derive(Debug)]
struct Node {
    /// The least index at and below it.
    least: u32,
    /// 0, where the root is, stands for none.
    parameter: u32,
    literals: HashMap<Box<str>, u32, FixedState>,
    exact: Candidates,
    prefix: Candidates,
    tail: Candidates,
}

impl Node {
    fn new(least: u32) -> Self {
        Self {
            least,
            parameter: 0,
            literals: HashMap::default(),
            exact: Candidates::default(),
            prefix: Candidates::default(),
            tail: Candidates::default(),
        }
    }
}

/// The trie, and the routes that take the path `*`.
#[derive(Debug)]
pub(crate) struct Trie {
    /// The root is the first.
    nodes: Vec<Node>,
    asterisk: Candidates,
}

impl Trie {
    pub(crate) fn new() -> Self {
        Self { nodes: vec![Node::new(NONE)], asterisk: Candidates::default() }
    }

    /// Indices come in ascending order.
    pub(crate) fn insert(&mut self, index: u32, pattern: &Pattern) {
        if matches!(pattern.kind, Kind::Any | Kind::Asterisk) {
            self.asterisk.push(index);
        }
        if pattern.kind == Kind::Asterisk {
            return;
        }
        let mut at = 0;
        self.nodes[at].least = self.nodes[at].least.min(index);
        for segment in &pattern.segments {
            let new = self.nodes.len();
            let id = u32::try_from(new).expect("CONDITIONS_MAX, ROUTES_MAX and SEGMENTS_MAX bound the nodes");
            let node = &mut self.nodes[at];
            let child = match segment {
                Segment::Literal(text) => *node.literals.entry(text.clone()).or_insert(id),
                Segment::Parameter if node.parameter == 0 => {
                    node.parameter = id;
                    id
                }
                Segment::Parameter => node.parameter,
            };
            at = child as usize;
            if at == new {
                self.nodes.push(Node::new(index)); // the first to come has the least
            }
        }
        let node = &mut self.nodes[at];
        match pattern.kind {
            Kind::Exact => node.exact.push(index),
            Kind::Tail => node.tail.push(index),
            Kind::Prefix | Kind::Regex | Kind::Any | Kind::Asterisk => node.prefix.push(index),
        }
    }

    /// All routes are in. `conditions` are those of a route.
    pub(crate) fn finish<'a>(&mut self, conditions: impl Fn(u32) -> &'a [Condition]) {
        self.asterisk.group(&conditions);
        for node in &mut self.nodes {
            for list in [&mut node.exact, &mut node.prefix, &mut node.tail] {
                list.group(&conditions);
            }
        }
    }

    /// Lowers `best` to the least index of a route whose segments take the path and that `fits`.
    pub(crate) fn first(
        &self,
        way: impl Way,
        values: &impl Values,
        best: &mut u32,
        fits: &mut impl FnMut(u32) -> bool,
    ) {
        self.walk(&self.nodes[0], way, values, best, fits);
    }

    /// The same for the path `*`.
    pub(crate) fn first_of_asterisk(
        &self,
        values: &impl Values,
        best: &mut u32,
        fits: &mut impl FnMut(u32) -> bool,
    ) {
        self.asterisk.first(values, best, fits);
    }

    /// Recursion is as deep as the longest pattern: at most [`SEGMENTS_MAX`](crate::SEGMENTS_MAX), or a regular expression's slashes.
    fn walk<F: FnMut(u32) -> bool>(
        &self,
        node: &Node,
        way: impl Way,
        values: &impl Values,
        best: &mut u32,
        fits: &mut F,
    ) {
        if node.least >= *best {
            return;
        }
        // Children first: a route for everything tends to come last, and then need not be asked.
        if let Some((literal, next)) = way.step() {
            if let Some(text) = literal
                && !node.literals.is_empty()
                && let Some(&child) = node.literals.get(text)
            {
                self.walk(&self.nodes[child as usize], next, values, best, fits);
            }
            if node.parameter != 0 && literal != Some("") {
                self.walk(&self.nodes[node.parameter as usize], next, values, best, fits);
            }
        }
        if way.ends() {
            node.exact.first(values, best, fits);
        }
        if way.goes_on() {
            node.tail.first(values, best, fits);
        }
        node.prefix.first(values, best, fits);
    }
}
