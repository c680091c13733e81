//! What stands in the place of a regular expression's matches: text, and groups as `$1`, `$name`, `${1}` or `${name}`.
//!
//! The syntax is the `regex` crate's (`$$` is a dollar; a name without braces is as long as it can be, so `$1a` is the group `1a`), with
//! one difference: a group that the expression does not have is an error, where the crate would put nothing there.

use crate::path::{PATH_BYTES_MAX, PathError};
use crate::template::Piece;
use lb_types::SettingsError;
use regex::bytes::Regex;

/// The longest replacement, in bytes.
pub(crate) const REPLACEMENT_BYTES_MAX: usize = 1_024;

/// Text, and groups by their number.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Replacement(Box<[Piece<usize>]>);

impl Replacement {
    /// For matches of `regex`.
    pub(crate) fn parse(with: &str, regex: &Regex) -> Result<Self, SettingsError> {
        let invalid = |must: String| SettingsError::new("with", with, must);
        if with.len() > REPLACEMENT_BYTES_MAX {
            return Err(invalid(format!("must have at most {REPLACEMENT_BYTES_MAX} bytes")));
        }
        if with.contains(['?', '#', '\\', ' ']) || with.contains(|c: char| c.is_ascii_control()) {
            return Err(invalid(
                "must have neither `?`, `#`, `\\`, blanks nor controls: no path has them".to_owned(),
            ));
        }
        let mut pieces = Vec::new();
        let mut literal = String::new();
        let mut rest = with;
        while let Some((before, after)) = rest.split_once('$') {
            literal.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                literal.push('$');
                rest = after;
                continue;
            }
            let (name, after) = match after.strip_prefix('{') {
                Some(braced) => {
                    braced.split_once('}').ok_or_else(|| invalid("has `${` without `}`".to_owned()))?
                }
                None => {
                    let end = after.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
                    after.split_at(end.unwrap_or(after.len()))
                }
            };
            let Some(group) = group(name, regex) else {
                return Err(invalid(format!("has `${name}`, which is no group (a dollar itself is `$$`)")));
            };
            if !literal.is_empty() {
                pieces.push(Piece::Text(std::mem::take(&mut literal).into()));
            }
            pieces.push(Piece::Variable(group));
            rest = after;
        }
        literal.push_str(rest);
        if !literal.is_empty() {
            pieces.push(Piece::Text(literal.into()));
        }
        Ok(Self(pieces.into()))
    }

    /// `path`, a normalised one, with this in the place of every match. Never holds more than a path may have and one piece.
    pub(crate) fn replace_all(&self, regex: &Regex, path: &str) -> Result<String, PathError> {
        let mut out = String::with_capacity(path.len());
        let mut at = 0;
        for captures in regex.captures_iter(path.as_bytes()) {
            // A normalised path is ASCII, so no cut goes through a character.
            let group = |number| captures.get(number).map_or("", |m| &path[m.range()]);
            let Some(whole) = captures.get(0) else { continue };
            out.push_str(&path[at..whole.start()]);
            at = whole.end();
            for piece in &self.0 {
                out.push_str(match piece {
                    Piece::Text(text) => text,
                    Piece::Variable(number) => group(*number),
                });
                if out.len() > PATH_BYTES_MAX {
                    return Err(PathError::TooLong);
                }
            }
        }
        out.push_str(&path[at..]);
        Ok(out)
    }
}

/// The number of a group, which is named by it or by its name.
fn group(name: &str, regex: &Regex) -> Option<usize> {
    let by_number = name.parse().ok().filter(|number| *number < regex.captures_len());
    by_number.or_else(|| regex.capture_names().position(|known| known == Some(name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_put_in_and_checked() {
        let regex = Regex::new("(?<a>[a-z])([0-9])?").unwrap();
        let replaced =
            |with: &str| Replacement::parse(with, &regex).map(|r| r.replace_all(&regex, "/x1/y").unwrap());
        for (with, path) in [
            ("", "//"),
            ("$0$0", "/x1x1/yy"),
            ("$2-$a", "/1-x/-y"),
            ("${a}b$$", "/xb$/yb$"),
            ("${2}0", "/10/0"),
            ("$1/", "/x//y/"),
        ] {
            assert_eq!(replaced(with).as_deref(), Ok(path), "{with}");
        }
        let twice = Replacement::parse("$0$0", &regex).unwrap();
        assert_eq!(twice.replace_all(&regex, &"a".repeat(40_000)), Err(PathError::TooLong));
        let long = "a".repeat(1_025);
        for bad in ["$3", "$", "$a1", "${b}", "${a", "a$-", "$é", "a b", "a?b", "a\nb", "\\1", &long] {
            assert_eq!(replaced(bad).expect_err(bad).field, "with");
        }
    }
}
