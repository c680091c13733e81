//! Regular expressions of routes: each compiled once, bounded, and matched with the whole.
//!
//! The syntax is that of the `regex` crate, which takes time linear in what it is matched with, whatever the expression. They are over
//! bytes, without Unicode: paths are ASCII, headers are bytes, and `\d` is ten digits. A pattern has to match the whole path or value, as
//! in Envoy (nginx and Traefik search for it): one who wants less writes `.*`, and nobody lets more in by forgetting a `$`.

use lb_types::SettingsError;
use regex::bytes::{Regex, RegexBuilder};
use std::collections::HashMap;
use std::sync::Arc;

/// The longest pattern, in bytes.
pub const REGEX_LENGTH_MAX: usize = 1_024;
/// How much memory one may take when compiled, and again while it matches (a cache, of which each thread may have one).
pub const REGEX_BYTES_MAX: usize = 128 * 1_024;
/// How many different ones a router may have. With [`REGEX_BYTES_MAX`] it bounds their memory.
pub const REGEXES_MAX: usize = 2_000;

/// A compiled pattern that matches the whole, or not.
#[derive(Clone, Debug)]
pub(crate) struct Whole {
    /// Shared: a clone of a `Regex` has caches of its own.
    regex: Arc<Regex>,
    pattern: Box<str>,
}

impl Whole {
    pub(crate) fn is_match(&self, text: &[u8]) -> bool {
        self.regex.is_match(text)
    }

    pub(crate) fn regex(&self) -> &Regex {
        &self.regex
    }
}

/// The same pattern: then they match the same.
impl PartialEq for Whole {
    fn eq(&self, other: &Self) -> bool {
        self.pattern == other.pattern
    }
}

/// Compiles the patterns of one router.
#[derive(Default)]
pub(crate) struct Regexes {
    known: HashMap<Box<str>, Whole>,
}

impl Regexes {
    pub(crate) fn compile(&mut self, field: &'static str, pattern: &str) -> Result<Whole, SettingsError> {
        if let Some(known) = self.known.get(pattern) {
            return Ok(known.clone());
        }
        if self.known.len() == REGEXES_MAX {
            let must = format!("is one of more than {REGEXES_MAX} different patterns");
            return Err(SettingsError::new(field, pattern, must));
        }
        // By itself first: `a)|(b` is none, though it would fit between the brackets.
        compile(field, pattern, pattern)?;
        let regex = compile(field, pattern, &format!("^(?:{pattern})$"))?;
        let whole = Whole { regex: Arc::new(regex), pattern: pattern.into() };
        self.known.insert(pattern.into(), whole.clone());
        Ok(whole)
    }
}

/// Compiles `wrapped`, within the bounds; `pattern` is what the user wrote of it.
pub(crate) fn compile(field: &'static str, pattern: &str, wrapped: &str) -> Result<Regex, SettingsError> {
    if pattern.len() > REGEX_LENGTH_MAX {
        let must = format!("must have at most {REGEX_LENGTH_MAX} bytes");
        return Err(SettingsError::new(field, pattern, must));
    }
    let built = RegexBuilder::new(wrapped)
        .unicode(false)
        .size_limit(REGEX_BYTES_MAX)
        .dfa_size_limit(REGEX_BYTES_MAX)
        .build();
    built.map_err(|e| {
        let why = match e {
            regex::Error::CompiledTooBig(_) => {
                format!("takes more than {} KiB when compiled", REGEX_BYTES_MAX / 1_024)
            }
            e => format!("must be a regular expression: {e}"),
        };
        SettingsError::new(field, pattern, why)
    })
}

/// The whole segments that every match of `pattern` begins with: `/api/v[12]/x` has `api`. Rather too few than too many.
pub(crate) fn literal_segments(pattern: &str) -> Vec<Box<str>> {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    // An alternative may begin otherwise, wherever the bar stands.
    let Some(pattern) = pattern.strip_prefix('/').filter(|p| !p.contains('|')) else { return Vec::new() };
    let mut literal = String::new();
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some(escaped @ ('.' | '-' | '/' | '_' | '~')) => literal.push(escaped),
                _ => break,
            },
            // What may be there no time at all.
            '*' | '?' | '{' => {
                // Of `/?` after the first slash, too: then nothing is certain.
                if literal.pop().is_none() {
                    return Vec::new();
                }
                break;
            }
            '+' | '.' | '[' | ']' | '(' | ')' | '}' | '^' | '$' => break,
            c => literal.push(c),
        }
    }
    // The last one may go on behind what is certain.
    let Some((whole, _)) = literal.rsplit_once('/') else { return Vec::new() };
    whole.split('/').map(Box::from).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn concatenated(of: &[&'static str]) -> impl Strategy<Value = String> + use<> {
        prop::collection::vec(prop::sample::select(of.to_vec()), 0..8).prop_map(|parts| parts.concat())
    }

    proptest! {
        /// Whatever a pattern matches lies behind its literal segments: else the trie would hide it.
        #[test]
        fn what_is_matched_begins_with_the_literal_segments(
            pattern in concatenated(&["/", "a", "b", "\\.", "\\/", ".", "*", "+", "?", "{0,1}", "(", ")", "[ab]", "|", "^", "$", "(?i)"]),
            paths in prop::collection::vec(concatenated(&["/", "/", "a", "b", "."]), 20),
        ) {
            let Ok(regex) = Regexes::default().compile("path_regex", &pattern) else { return Ok(()) };
            let certain: String = literal_segments(&pattern).iter().map(|segment| format!("/{segment}")).collect();
            for path in paths.iter().filter(|path| regex.is_match(path.as_bytes())) {
                let is_below = path.strip_prefix(&certain).is_some_and(|rest| rest.starts_with('/'));
                prop_assert!(is_below || certain.is_empty(), "{path} is not below {certain}");
            }
        }
    }

    #[test]
    fn literal_segments_are_certain() {
        for (pattern, segments) in [
            ("/api/v[12]/x", &["api"][..]),
            ("^/api/v1/.*$", &["api", "v1"]),
            ("/api/v1", &["api"]),
            ("/a\\.b/c\\-d/.*", &["a.b", "c-d"]),
            ("/api/*", &[]),
            ("/api/+x", &["api"]),
            ("/api/v1/?", &["api"]),
            ("/api/v1/{0,2}", &["api"]),
            ("/a/b|/c/d", &[]),
            ("(?i)/api/x", &[]),
            ("/?api/x", &[]),
            ("/a\\d/b/", &[]),
            ("/(a)/b/", &[]),
            (".*", &[]),
            ("", &[]),
        ] {
            let found = literal_segments(pattern);
            assert_eq!(found.iter().map(|s| &**s).collect::<Vec<_>>(), segments, "{pattern}");
        }
    }

    #[test]
    fn patterns_match_the_whole_and_are_bounded() {
        let mut regexes = Regexes::default();
        let mut is_match = |pattern: &str, text: &str| {
            regexes.compile("path_regex", pattern).map(|regex| regex.is_match(text.as_bytes()))
        };
        assert_eq!(is_match("a|ab", "ab"), Ok(true));
        assert_eq!(is_match("a|ab", "abc"), Ok(false));
        assert_eq!(is_match("a|b", "xb"), Ok(false), "the bar does not leave the anchors behind");
        assert_eq!(is_match("a", "a\n"), Ok(false));
        assert_eq!(is_match("(?i)é?A", "a"), Ok(true));
        for bad in ["(", "a)|(b", "[", "\\p{L}", "a{100}{100}{100}", &"a".repeat(1_025)] {
            let error = is_match(bad, "").unwrap_err();
            assert_eq!((error.field, error.value), ("path_regex", format!("{bad:?}")));
        }
        assert_eq!(regexes.known.len(), 4, "each is compiled once");
        for i in 4..REGEXES_MAX {
            regexes.known.insert(i.to_string().into(), regexes.known["a"].clone());
        }
        assert!(regexes.compile("path_regex", "one more").is_err());
        assert!(regexes.compile("path_regex", "a").is_ok());
    }
}
