//! Paths of routes: `path`, `path_exact` and `path_regex`, cut into segments.
//!
//! | written | takes | does not take |
//! |---|---|---|
//! | `path = "/api"` or `"/api/"` | `/api`, `/api/`, `/api/x/y` | `/apis` |
//! | `path_exact = "/api"` | `/api` | `/api/` |
//! | `path_exact = "/users/{id}"` | `/users/7` | `/users/`, `/users/7/x` |
//! | `path = "/users/{id}"` | `/users/7`, `/users/7/x` | `/users/` |
//! | `path = "/files/{*rest}"` (`path_exact` as well) | `/files/a`, `/files/a/b/` | `/files`, `/files/` |
//! | `path_regex = "/v[0-9]+/.*"` | `/v1/x` | `/v1`, `/x/v1/` |
//!
//! A parameter is one whole segment, never empty; a tail is whatever follows, never empty, and stands last. Text between slashes is
//! brought into the spelling of [normalised paths](crate::path), so `/café` is `/caf%C3%A9`; empty segments and dots are refused.

use crate::found::{PARAMETERS_MAX, Span, Spans};
use crate::path::{hides_dots, push_segment};
use crate::regexes::{Regexes, Whole, literal_segments};
use crate::route::PathMatch;
use lb_types::SettingsError;

/// The most segments that a path of a route may have: it bounds how deep a look-up goes.
pub const SEGMENTS_MAX: usize = 64;
/// The longest path of a route, in bytes.
pub const PATTERN_BYTES_MAX: usize = 4_096;
/// The longest name of a parameter, in bytes.
pub const PARAMETER_NAME_BYTES_MAX: usize = 64;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Parameter,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// No condition on the path: `*` as well.
    Any,
    /// `*` alone.
    Asterisk,
    /// The segments and nothing else.
    Exact,
    /// The segments and whatever follows.
    Prefix,
    /// The segments and something more.
    Tail,
    /// The segments, whatever follows, and a regular expression has the last word.
    Regex,
}

#[derive(Clone, Debug)]
pub(crate) struct Pattern {
    pub(crate) kind: Kind,
    pub(crate) segments: Box<[Segment]>,
    pub(crate) regex: Option<Whole>,
    /// Of its parameters, in their order; a tail's is the last.
    pub(crate) names: Box<[Box<str>]>,
}

impl Pattern {
    pub(crate) fn parse(path: &PathMatch, regexes: &mut Regexes) -> Result<Self, SettingsError> {
        let of = |kind| Self { kind, segments: Box::new([]), regex: None, names: Box::new([]) };
        match path {
            PathMatch::Any => Ok(of(Kind::Any)),
            PathMatch::Exact(text) if text == "*" => Ok(of(Kind::Asterisk)),
            PathMatch::Exact(text) => Self::segmented("path_exact", text, Kind::Exact),
            PathMatch::Prefix(text) => Self::segmented("path", text, Kind::Prefix),
            PathMatch::Regex(text) => {
                if !text.is_ascii() {
                    let must = "must be ASCII, as normalised paths are: write é as %C3%A9";
                    return Err(SettingsError::new("path_regex", text, must));
                }
                let regex = regexes.compile("path_regex", text)?;
                let names: Box<[Box<str>]> = regex.regex().capture_names().flatten().map(Box::from).collect();
                let invalid = |must: String| Err(SettingsError::new("path_regex", text, must));
                if names.len() > PARAMETERS_MAX {
                    return invalid(format!("must have at most {PARAMETERS_MAX} named groups"));
                }
                if let Some(bad) = names.iter().find(|name| !is_name(name)) {
                    return invalid(format!("has a group whose name is not {NAME}: {bad:?}"));
                }
                let segments = literal_segments(text).into_iter().map(Segment::Literal).collect();
                Ok(Self { kind: Kind::Regex, segments, regex: Some(regex), names })
            }
        }
    }

    fn segmented(field: &'static str, text: &str, kind: Kind) -> Result<Self, SettingsError> {
        let invalid = |must: String| Err(SettingsError::new(field, text, must));
        if text.len() > PATTERN_BYTES_MAX {
            return invalid(format!("must have at most {PATTERN_BYTES_MAX} bytes"));
        }
        let Some(mut rest) = text.strip_prefix('/') else {
            return invalid("must begin with a slash".to_owned());
        };
        let mut pattern = Self { kind, segments: Box::new([]), regex: None, names: Box::new([]) };
        if kind == Kind::Prefix {
            if rest.is_empty() {
                return Ok(pattern);
            }
            rest = rest.strip_suffix('/').unwrap_or(rest);
        }
        let mut segments = Vec::new();
        let mut names: Vec<Box<str>> = Vec::new();
        let written: Vec<&str> = rest.split('/').collect();
        if written.len() > SEGMENTS_MAX {
            return invalid(format!("must have at most {SEGMENTS_MAX} segments"));
        }
        for (at, &segment) in written.iter().enumerate() {
            let last = at + 1 == written.len();
            if !segment.contains(['{', '}']) {
                if segment.is_empty() && !(last && kind == Kind::Exact) {
                    return invalid(
                        "has an empty segment, which no path has: slashes in a row are one".to_owned(),
                    );
                }
                let mut literal = String::new();
                if let Err(error) = push_segment(segment, &mut literal) {
                    return invalid(format!("is no path: {error}"));
                }
                if hides_dots(&literal) {
                    return invalid("has a dot segment, which no path has: they are resolved".to_owned());
                }
                segments.push(Segment::Literal(literal.into()));
                continue;
            }
            let Some(name) = segment.strip_prefix('{').and_then(|s| s.strip_suffix('}')) else {
                return invalid(format!(
                    "has {segment:?}: a parameter is a whole segment; else use path_regex"
                ));
            };
            let tail = name.strip_prefix('*');
            let name = tail.unwrap_or(name);
            if !is_name(name) {
                return invalid(format!("has a parameter whose name is not {NAME}: {name:?}"));
            }
            if names.iter().any(|known| **known == *name) {
                return invalid(format!("has the parameter {name:?} twice"));
            }
            if names.len() == PARAMETERS_MAX {
                return invalid(format!("must have at most {PARAMETERS_MAX} parameters"));
            }
            names.push(name.into());
            match tail {
                Some(_) if last => pattern.kind = Kind::Tail,
                Some(_) => return invalid(format!("has something behind {segment:?}, which takes all")),
                None => segments.push(Segment::Parameter),
            }
        }
        pattern.segments = segments.into();
        pattern.names = names.into();
        Ok(pattern)
    }

    /// Is it one path and no other?
    pub(crate) fn as_literal(&self) -> Option<String> {
        let mut path = String::new();
        for segment in &self.segments {
            let Segment::Literal(text) = segment else { return None };
            path.push('/');
            path.push_str(text);
        }
        (self.kind == Kind::Exact).then_some(path)
    }

    /// How much of a path that it takes its prefix is, and where its parameters are.
    pub(crate) fn capture(&self, path: &str) -> (usize, Spans) {
        let mut spans = Spans::default();
        match self.kind {
            Kind::Any => return (0, spans),
            Kind::Asterisk => return (path.len(), spans),
            Kind::Regex => {
                // Only who named groups pays for looking for them.
                let regex = self.regex.as_ref().map(Whole::regex).filter(|_| !self.names.is_empty());
                if let Some(captures) = regex.and_then(|regex| regex.captures(path.as_bytes())) {
                    for name in &self.names {
                        spans.push(captures.name(name).map_or(Span::NONE, |m| Span::new(m.start(), m.end())));
                    }
                }
                return (path.len(), spans);
            }
            Kind::Exact | Kind::Prefix | Kind::Tail => {}
        }
        let mut at = 0; // at a slash, or the end
        for segment in &self.segments {
            let start = at + 1;
            at = path[start..].find('/').map_or(path.len(), |length| start + length);
            if *segment == Segment::Parameter {
                spans.push(Span::new(start, at));
            }
        }
        if self.kind == Kind::Tail {
            spans.push(Span::new(at + 1, path.len()));
        }
        (at, spans)
    }
}

pub(crate) const NAME: &str = "1 to 64 letters, digits or `_`, no digit first";

pub(crate) fn is_name(name: &str) -> bool {
    name.len() <= PARAMETER_NAME_BYTES_MAX
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
        && name.bytes().next().is_some_and(|b| !b.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(path: &PathMatch) -> Result<Pattern, SettingsError> {
        Pattern::parse(path, &mut Regexes::default())
    }

    #[test]
    fn patterns_are_cut_into_segments() {
        let shown = |path: PathMatch| {
            let pattern = parse(&path).unwrap();
            let segments: Vec<&str> = pattern
                .segments
                .iter()
                .map(|s| if let Segment::Literal(text) = s { &**text } else { "{}" })
                .collect();
            (pattern.kind, segments.join("|"), pattern.names.join("|"))
        };
        let expect = |kind, segments: &str, names: &str| (kind, segments.to_owned(), names.to_owned());
        assert_eq!(shown(PathMatch::prefix("/")), expect(Kind::Prefix, "", ""));
        assert_eq!(shown(PathMatch::prefix("/a/b")), expect(Kind::Prefix, "a|b", ""));
        assert_eq!(shown(PathMatch::prefix("/a/b/")), expect(Kind::Prefix, "a|b", ""));
        assert_eq!(shown(PathMatch::exact("/")), expect(Kind::Exact, "", ""));
        assert_eq!(parse(&PathMatch::exact("/")).unwrap().segments.len(), 1, "one, and empty");
        assert_eq!(shown(PathMatch::exact("/a/")), expect(Kind::Exact, "a|", ""));
        assert_eq!(shown(PathMatch::exact("/é%2f/{id}/{x}")), expect(Kind::Exact, "%C3%A9%2F|{}|{}", "id|x"));
        assert_eq!(shown(PathMatch::exact("/a/{*rest}")), expect(Kind::Tail, "a", "rest"));
        assert_eq!(shown(PathMatch::prefix("/{*rest}")), expect(Kind::Tail, "", "rest"));
        assert_eq!(shown(PathMatch::regex("/a/(?<n>.)")), expect(Kind::Regex, "a", "n"));
        assert_eq!(shown(PathMatch::exact("*")), expect(Kind::Asterisk, "", ""));
    }

    #[test]
    fn mistakes_are_told() {
        for bad in [
            "",
            "a",
            "*",
            "//",
            "/a//b",
            "/a//",
            "/a/../b",
            "/.",
            "/a/..;x",
            "/%2f..",
            "/a b",
            "/a?b",
            "/a%",
            "/%00",
            "/v{id}",
            "/{id}.json",
            "/{id",
            "/id}",
            "/{}",
            "/{*}",
            "/{1a}",
            "/{a-b}",
            "/{a}/{a}",
            "/{*a}/b",
            "/{a}/{b}/{c}/{d}/{e}/{f}/{g}/{h}/{i}",
            &"/a".repeat(65),
            &format!("/{}", "a".repeat(4_096)),
        ] {
            let error = parse(&PathMatch::prefix(bad)).expect_err(bad);
            assert_eq!((error.field, error.value), ("path", format!("{bad:?}")));
        }
        let many: String = (0..9).map(|i| format!("(?<a{i}>.)")).collect();
        for bad in ["(", "(?<a.b>x)", "/é", &many] {
            assert_eq!(parse(&PathMatch::regex(bad)).expect_err(bad).field, "path_regex");
        }
    }
}
