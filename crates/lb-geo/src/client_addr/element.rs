//! The elements of `X-Forwarded-For` and `Forwarded`, one by one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The elements of a line, the last first; an element is none where its quotes do not match. Empty elements are passed over, as RFC 9110
/// §5.6.1 asks of who reads a list.
pub(super) struct FromTheRight<'a> {
    rest: Option<&'a [u8]>,
    quoted: bool,
    /// There is more to the left than may be read: the leftmost piece is cut.
    cut: bool,
}

/// Reads at most `bytes_left` of the line, counted down. None if nothing may be read any more.
pub(super) fn from_the_right<'a>(
    line: &'a [u8],
    quoted: bool,
    bytes_left: &mut usize,
) -> Option<FromTheRight<'a>> {
    if *bytes_left == 0 {
        return None;
    }
    let cut = line.len() > *bytes_left;
    let line = &line[line.len().saturating_sub(*bytes_left)..];
    *bytes_left -= line.len();
    if cut {
        *bytes_left = 0;
    }
    Some(FromTheRight { rest: Some(line), quoted, cut })
}

impl<'a> Iterator for FromTheRight<'a> {
    type Item = Option<&'a [u8]>;

    fn next(&mut self) -> Option<Option<&'a [u8]>> {
        loop {
            let rest = self.rest?;
            let comma = match last_comma(rest, self.quoted) {
                Ok(comma) => comma,
                Err(Unmatched) => {
                    self.rest = None;
                    return Some(None);
                }
            };
            let element = match comma {
                Some(at) => {
                    self.rest = Some(&rest[..at]);
                    &rest[at + 1..]
                }
                None => {
                    self.rest = None;
                    if self.cut {
                        return Some(None); // its beginning is unknown
                    }
                    rest
                }
            };
            let element = element.trim_ascii();
            if !element.is_empty() {
                return Some(Some(element));
            }
        }
    }
}

/// Quotes that do not match.
struct Unmatched;

/// The last comma that is not within quotes. Read from the right, a quote is one of a pair unless a backslash stands before it; no address
/// needs a backslash, so one anywhere in quotes counts as malformed.
fn last_comma(bytes: &[u8], quoted: bool) -> Result<Option<usize>, Unmatched> {
    let mut within = false;
    for (at, &byte) in bytes.iter().enumerate().rev() {
        match byte {
            b'"' if quoted => within = !within,
            b'\\' if quoted => return Err(Unmatched),
            b',' if !within => return Ok(Some(at)),
            _ => {}
        }
    }
    if within { Err(Unmatched) } else { Ok(None) }
}

/// `192.0.2.1`, `2001:db8::1`; with ports, too, as some proxies write them: `192.0.2.1:47011`, `[2001:db8::1]:47011`, `[2001:db8::1]`.
pub(super) fn of_x_forwarded_for(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    text.parse::<Ipv6Addr>().map(IpAddr::V6).ok().or_else(|| node(text))
}

/// The address of the one `for=` of an element: `for=192.0.2.43;by=203.0.113.43`, `For="[2001:db8:cafe::17]:4711"`.
pub(super) fn of_forwarded(element: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(element).ok()?;
    let mut address = None;
    // A semicolon within quotes cuts a pair in two that are none: such an element is refused, and no address has one.
    for pair in text.split(';') {
        // RFC 7239 §4: no blanks around `=`; around `;` they are forgiven.
        let (name, value) = pair.trim_matches([' ', '\t']).split_once('=')?;
        if !is_token(name) {
            return None;
        }
        let unquoted = value.strip_prefix('"').map(|rest| rest.strip_suffix('"'));
        let value = match unquoted {
            Some(inner) => inner.filter(|inner| !inner.contains('"'))?,
            None => Some(value).filter(|value| is_token(value) || is_bare_node(value))?,
        };
        if name.eq_ignore_ascii_case("for") && address.replace(node(value)?).is_some() {
            return None; // §4: each name once
        }
    }
    address
}

/// An IPv4 address, or an IPv6 address in brackets; with or without a port (digits, or an obfuscated one, which is as good).
fn node(text: &str) -> Option<IpAddr> {
    let (address, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (address, after) = rest.split_once(']')?;
            let port = if after.is_empty() { None } else { Some(after.strip_prefix(':')?) };
            (address.parse::<Ipv6Addr>().ok()?.into(), port)
        }
        None => {
            let (address, port) =
                text.split_once(':').map_or((text, None), |(address, port)| (address, Some(port)));
            (address.parse::<Ipv4Addr>().ok()?.into(), port)
        }
    };
    port.is_none_or(is_port).then_some(address)
}

/// RFC 7239 §6: 1 to 5 digits, or `_` and letters, digits, `.`, `_` and `-`.
fn is_port(text: &str) -> bool {
    match text.strip_prefix('_') {
        Some(name) => {
            !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        }
        None => (1..=5).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit()),
    }
}

/// RFC 9110 §5.6.2.
fn is_token(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// What should have been quoted and often is not: a node with a port, or an IPv6 address; a `host`, too.
fn is_bare_node(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"[]:.-_".contains(&b))
}
