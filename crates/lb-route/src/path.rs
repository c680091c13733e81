//! The path that is judged: one spelling for all paths that mean the same.
//!
//! A router that matches what the client wrote, in front of a server that reads it otherwise, can be led past its own rules: it sees
//! `/public/%2e%2e/admin` and takes the route of `/public`, the server serves `/admin`. So a path is normalised first, the routes are
//! matched with the result, **and the result is what shall be forwarded**. [`normalise`] does, in this order:
//!
//! 1. Refused: what is no absolute path, controls, blanks, `\`, `?`, `#`, a `%` without two hexadecimal digits, `%00`.
//! 2. Percent-encoded unreserved characters (letters, digits, `-._~`) are decoded, other encodings get capital digits
//!    (RFC 3986 §6.2.2). Whatever else may not stand in a path as it is (`é`, `{`, `"`, …) is percent-encoded, as UTF-8.
//! 3. Slashes in a row are one, as in nginx (Envoy keeps them unless `merge_slashes` is set).
//! 4. Dot segments are resolved (RFC 3986 §5.2.4); one that leads above the root is refused, where the RFC would drop it.
//!
//! An encoded slash (`%2F`, `%5C`) stays encoded and separates nothing, and `;` is a character as any other. Servers that think
//! differently of those would find dot segments in `..%2Fadmin` or `..;/admin`: both are refused. Percent-encoded bytes need not be
//! UTF-8. `*` (of `OPTIONS *`) is left alone.
//!
//! The result consists of RFC 3986 `pchar`s and `/` alone, has no empty segment but perhaps a last one, no `.` and no `..`.
//! Normalising it again changes nothing. One pass; allocates only if something has to change.
//!
//! What it leaves alone is in `docs/routing.md`: twice encoded paths (`%252e`), reserved characters (`%3A` is not `:`), letters' case.

use std::borrow::Cow;

/// The longest path, in bytes, as it came in and normalised: positions in it fit into 16 bits. The `http` crate has the same bound.
pub const PATH_BYTES_MAX: usize = 65_535;

/// Why a path is refused. The client's fault: a proxy answers 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum PathError {
    /// It does not begin with a slash, and is not `*`.
    #[error("the path does not begin with a slash")]
    NotAbsolute,
    /// It is longer than [`PATH_BYTES_MAX`], or would be when normalised or rewritten.
    #[error("the path is longer than {PATH_BYTES_MAX} bytes")]
    TooLong,
    /// It has a control, a blank, `\`, `?` or `#`.
    #[error("the path has a character that no path may have")]
    Character,
    /// A `%` is not followed by two hexadecimal digits.
    #[error("the path's percent-encoding is broken")]
    Encoding,
    /// It has a `%00`.
    #[error("the path has an encoded NUL")]
    Nul,
    /// A `..` leads above the root.
    #[error("the path leads above the root")]
    AboveRoot,
    /// It has a dot segment that only some servers would see: behind an encoded slash, or before a `;`.
    #[error("the path has a hidden dot segment")]
    HiddenDots,
}

/// What a byte may do in a path.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// RFC 3986 `unreserved`: never encoded.
    Unreserved,
    /// The other characters that may stand in a segment: `sub-delims`, `:` and `@`.
    Reserved,
    Slash,
    Percent,
    /// Has to be encoded.
    Foreign,
    Refused,
}

/// Asked for each byte of each request's path, so a table.
static CLASS: [Class; 256] = {
    let mut table = [Class::Foreign; 256];
    let mut b = 0;
    while b < 128 {
        table[b as usize] = match b {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => Class::Unreserved,
            b'!' | b'$' | b'&'..=b',' | b';' | b'=' | b':' | b'@' => Class::Reserved,
            b'/' => Class::Slash,
            b'%' => Class::Percent,
            0..=b' ' | 0x7f | b'\\' | b'?' | b'#' => Class::Refused,
            _ => Class::Foreign,
        };
        b += 1;
    }
    table
};

const fn class(byte: u8) -> Class {
    CLASS[byte as usize]
}

/// The one spelling of a path; see the module. Without the query.
///
/// ```
/// use lb_route::{PathError, normalise};
///
/// assert_eq!(normalise("/a//b/./%7Euser/../%e9").as_deref(), Ok("/a/b/%E9"));
/// assert_eq!(normalise("/public/%2e%2e/%2e%2e/etc"), Err(PathError::AboveRoot));
/// ```
///
/// # Errors
/// [`PathError`].
pub fn normalise(path: &str) -> Result<Cow<'_, str>, PathError> {
    if path.len() > PATH_BYTES_MAX {
        return Err(PathError::TooLong);
    }
    if is_normal(path) || path == "*" {
        return Ok(Cow::Borrowed(path));
    }
    rebuild(path).map(Cow::Owned)
}

/// Would [`rebuild`] give back what it got?
fn is_normal(path: &str) -> bool {
    let bytes = path.as_bytes();
    if bytes.first() != Some(&b'/') {
        return false;
    }
    let mut encoded_slash = false;
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match class(byte) {
            Class::Unreserved | Class::Reserved => at += 1,
            Class::Slash => {
                at += 1;
                match bytes.get(at) {
                    Some(b'/') => return false,
                    Some(b'.') if starts_with_dots(&bytes[at..]) => return false,
                    _ => {}
                }
            }
            Class::Percent => match encoded(bytes, at) {
                Some(value)
                    if value != 0
                        && class(value) != Class::Unreserved
                        && !bytes[at + 1].is_ascii_lowercase()
                        && !bytes[at + 2].is_ascii_lowercase() =>
                {
                    encoded_slash |= value == b'/' || value == b'\\';
                    at += 3;
                }
                _ => return false,
            },
            Class::Foreign | Class::Refused => return false,
        }
    }
    !encoded_slash || !path.split('/').any(hides_dots)
}

/// Is the first segment `.` or `..`, or one of those before a `;`?
fn starts_with_dots(segment: &[u8]) -> bool {
    let dots = segment.iter().take_while(|&&b| b == b'.').count();
    dots <= 2 && matches!(segment.get(dots), None | Some(b'/' | b';'))
}

fn rebuild(path: &str) -> Result<String, PathError> {
    let relative = path.strip_prefix('/').ok_or(PathError::NotAbsolute)?;
    // Each segment stands behind its slash; a last slash is put behind them all where there shall be one.
    let mut out = String::with_capacity(path.len());
    let mut ends_with_slash = false;
    for segment in relative.split('/') {
        ends_with_slash = segment.is_empty();
        if ends_with_slash {
            continue;
        }
        let start = out.len();
        out.push('/');
        push_segment(segment, &mut out)?;
        match &out[start + 1..] {
            "." => {
                out.truncate(start);
                ends_with_slash = true;
            }
            ".." => {
                out.truncate(start);
                let parent = out.rfind('/').ok_or(PathError::AboveRoot)?;
                out.truncate(parent);
                ends_with_slash = true;
            }
            segment if hides_dots(segment) => return Err(PathError::HiddenDots),
            _ => {}
        }
    }
    if ends_with_slash {
        out.push('/');
    }
    if out.len() > PATH_BYTES_MAX { Err(PathError::TooLong) } else { Ok(out) }
}

/// One segment in its one spelling, dots and all. Shared with the patterns of routes, which are written in it, too.
pub(crate) fn push_segment(segment: &str, out: &mut String) -> Result<(), PathError> {
    let bytes = segment.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match class(byte) {
            Class::Unreserved | Class::Reserved => out.push(char::from(byte)),
            Class::Slash | Class::Refused => return Err(PathError::Character),
            Class::Foreign => push_encoded(byte, out),
            Class::Percent => {
                match encoded(bytes, at).ok_or(PathError::Encoding)? {
                    0 => return Err(PathError::Nul),
                    value if class(value) == Class::Unreserved => out.push(char::from(value)),
                    value => push_encoded(value, out),
                }
                at += 2;
            }
        }
        at += 1;
    }
    Ok(())
}

fn push_encoded(byte: u8, out: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    out.push('%');
    out.push(char::from(DIGITS[usize::from(byte >> 4)]));
    out.push(char::from(DIGITS[usize::from(byte & 15)]));
}

/// The byte that is encoded at `at`, where the `%` stands.
pub(crate) fn encoded(bytes: &[u8], at: usize) -> Option<u8> {
    let digit = |at: usize| char::from(*bytes.get(at)?).to_digit(16);
    u8::try_from(digit(at + 1)? << 4 | digit(at + 2)?).ok()
}

/// Would somebody who decodes slashes, or cuts segments at `;`, find a dot segment in this one?
pub(crate) fn hides_dots(segment: &str) -> bool {
    let is_dots = |part: &str| matches!(part.split(';').next(), Some("." | ".."));
    segment.split("%2F").flat_map(|part| part.split("%5C")).any(is_dots)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_have_one_spelling() {
        for (path, normal) in [
            ("/", "/"),
            ("/a", "/a"),
            ("/a/", "/a/"),
            ("/a/b.c/-_~", "/a/b.c/-_~"),
            ("/a!$&'()*+,;=:@", "/a!$&'()*+,;=:@"),
            ("*", "*"),
            // Unreserved characters are decoded, digits are capitals, reserved ones stay.
            ("/%61%2D%2e%5f%7E", "/a-._~"),
            ("/%3a%2f%25", "/%3A%2F%25"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/%C3%a9", "/%C3%A9"),
            ("/é", "/%C3%A9"),
            ("/%ff", "/%FF"),
            ("/{id}|\"<>^`[x]", "/%7Bid%7D%7C%22%3C%3E%5E%60%5Bx%5D"),
            // Slashes.
            ("//", "/"),
            ("//a", "/a"),
            ("/a//b///c//", "/a/b/c/"),
            ("/a%2Fb", "/a%2Fb"),
            ("/a%5cb", "/a%5Cb"),
            // Dots.
            ("/.", "/"),
            ("/./", "/"),
            ("/a/.", "/a/"),
            ("/a/./b", "/a/b"),
            ("/a/..", "/"),
            ("/a/../", "/"),
            ("/a/../b", "/b"),
            ("/a/b/../../c", "/c"),
            ("/a/b/..", "/a/"),
            ("/a/%2e%2E/b", "/b"),
            ("/a/.%2e/b", "/b"),
            ("/a//../b", "/b"), // slashes first
            ("/.well-known", "/.well-known"),
            ("/...", "/..."),
            ("/..a/a../.a/a.", "/..a/a../.a/a."),
            ("/a;b=..;c/d", "/a;b=..;c/d"),
        ] {
            assert_eq!(normalise(path).as_deref(), Ok(normal), "{path}");
            assert!(matches!(normalise(normal), Ok(Cow::Borrowed(_))), "{normal} is copied");
        }
    }

    #[test]
    fn what_servers_may_read_otherwise_is_refused() {
        for (path, error) in [
            ("", PathError::NotAbsolute),
            ("a", PathError::NotAbsolute),
            ("**", PathError::NotAbsolute),
            ("http://a/", PathError::NotAbsolute),
            ("/%", PathError::Encoding),
            ("/%4", PathError::Encoding),
            ("/%4/1", PathError::Encoding),
            ("/%zz", PathError::Encoding),
            ("/%%34%31", PathError::Encoding),
            ("/%é", PathError::Encoding),
            ("/%00", PathError::Nul),
            ("/a b", PathError::Character),
            ("/a\\b", PathError::Character),
            ("/a?b", PathError::Character),
            ("/a#b", PathError::Character),
            ("/a\r\nb", PathError::Character),
            ("/a\u{7f}", PathError::Character),
            ("/..", PathError::AboveRoot),
            ("/../a", PathError::AboveRoot),
            ("//..", PathError::AboveRoot),
            ("/a/../../a", PathError::AboveRoot),
            ("/%2e%2e/a", PathError::AboveRoot),
            ("/..;/a", PathError::HiddenDots),
            ("/a/..;x=1/b", PathError::HiddenDots),
            ("/.;/a", PathError::HiddenDots),
            ("/a/..%2fb", PathError::HiddenDots),
            ("/a/%2e%2e%2Fb", PathError::HiddenDots),
            ("/a/b%2F..", PathError::HiddenDots),
            ("/a/b%5C..%5Cc", PathError::HiddenDots),
            ("/a/b%2F..;x%2Fc", PathError::HiddenDots),
        ] {
            assert_eq!(normalise(path), Err(error), "{path}");
        }
    }

    #[test]
    fn length_is_bounded_before_and_after() {
        let long = |c: &str, n: usize| format!("/{}", c.repeat(n));
        assert!(normalise(&long("a", PATH_BYTES_MAX - 1)).is_ok());
        assert_eq!(normalise(&long("a", PATH_BYTES_MAX)), Err(PathError::TooLong));
        assert_eq!(normalise(&long("{", PATH_BYTES_MAX / 2)), Err(PathError::TooLong));
    }
}
