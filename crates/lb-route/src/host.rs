//! Hosts: `api.example.com`, `*.example.com`, and any.
//!
//! A wildcard stands for one label or more, as in nginx and the Gateway API, so `*.example.com` takes `a.b.example.com` and not
//! `example.com`. Case does not matter, nor one dot at the end. Names beyond ASCII are written as they go over the wire (`xn--…`);
//! addresses are compared as text, `[::1]` with its brackets. Ports are not looked at.

use lb_types::SettingsError;
use std::fmt;

/// The longest host, in bytes: a name's bound (RFC 1035 §2.3.4). A longer one of a request is taken by routes for any host alone.
pub const HOST_BYTES_MAX: usize = 253;

/// Which hosts a route is for; in lower case, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum HostPattern {
    Any,
    Exact(Box<str>),
    /// What follows `*.`.
    Below(Box<str>),
}

impl HostPattern {
    pub(crate) fn parse(text: &str) -> Result<Self, SettingsError> {
        let invalid = |must: &str| Err(SettingsError::new("hosts", text, must));
        if text == "*" {
            return Ok(Self::Any);
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if name.is_empty() || name.len() > HOST_BYTES_MAX {
            return invalid(&format!("must have 1 to {HOST_BYTES_MAX} characters"));
        }
        if let Some(address) = name.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            return match address.parse::<std::net::Ipv6Addr>() {
                Ok(_) => Ok(Self::Exact(name.into())),
                Err(_) => invalid("has brackets, but no IPv6 address in them"),
            };
        }
        if name.contains(':') {
            return invalid("must be without a port (and an IPv6 address in brackets)");
        }
        if !name.is_ascii() {
            return invalid("must be ASCII: write it as it is sent, with xn--");
        }
        let (labels, below) = name.strip_prefix("*.").map_or((&*name, false), |rest| (rest, true));
        let is_label =
            |l: &str| !l.is_empty() && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_');
        if !labels.split('.').all(is_label) {
            return invalid("must be a name, `*.` and a name, or `*`");
        }
        Ok(if below { Self::Below(labels.into()) } else { Self::Exact(labels.into()) })
    }

    /// Has this every host that `other` has?
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Any, _) => true,
            (Self::Exact(a), Self::Exact(b)) => a == b,
            (Self::Below(a), Self::Exact(b)) => is_below(b, a),
            (Self::Below(a), Self::Below(b)) => a == b || is_below(b, a),
            (_, Self::Any) | (Self::Exact(_), Self::Below(_)) => false,
        }
    }
}

fn is_below(name: &str, parent: &str) -> bool {
    // No label is empty, so something stands before the dot.
    name.strip_suffix(parent).is_some_and(|rest| rest.ends_with('.'))
}

/// A list of hosts, checked; an empty one is any host.
pub(crate) fn parse_all(hosts: &[String]) -> Result<Box<[HostPattern]>, SettingsError> {
    if hosts.is_empty() {
        return Ok([HostPattern::Any].into());
    }
    hosts.iter().map(|host| HostPattern::parse(host)).collect()
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(name) => f.write_str(name),
            Self::Below(name) => write!(f, "*.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(text: &str) -> HostPattern {
        HostPattern::parse(text).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn hosts_round_trip_and_mistakes_are_told() {
        for (text, shown) in [
            ("*", "*"),
            ("API.Example.com.", "api.example.com"),
            ("*.Example.com", "*.example.com"),
            ("my_host", "my_host"),
            ("192.0.2.7", "192.0.2.7"),
            ("[2001:DB8::1]", "[2001:db8::1]"),
        ] {
            assert_eq!(host(text).to_string(), shown);
        }
        let long = "a".repeat(254);
        for bad in [
            "",
            ".",
            "*.",
            "a.*.b",
            "**",
            "*a.b",
            "a..b",
            "a b",
            "é.example",
            "a:80",
            "::1",
            "[::1]:80",
            &long,
        ] {
            assert!(HostPattern::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_has() {
        for (a, b, covers) in [
            ("*", "a.b", true),
            ("*", "*.b", true),
            ("*", "*", true),
            ("a.b", "A.b", true),
            ("a.b", "*", false),
            ("a.b", "*.a.b", false),
            ("*.b", "a.b", true),
            ("*.b", "x.a.b", true),
            ("*.b", "b", false),
            ("*.b", "ab", false),
            ("*.b", "*.b", true),
            ("*.b", "*.a.b", true),
            ("*.a.b", "*.b", false),
        ] {
            assert_eq!(host(a).covers(&host(b)), covers, "{a} over {b}");
        }
    }
}
