//! Whose requests are counted together.

use foldhash::quality::FixedState;
use lb_types::RequestInfo;
use sha2::{Digest as _, Sha256};
use std::fmt::{self, Write as _};
use std::hash::{BuildHasher as _, Hasher};
use std::net::IpAddr;

/// What tells one client from another.
///
/// A request that lacks it (no address is known, the header is missing) is counted with all others that lack it, as one client: whoever
/// leaves the header out must not go free.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LimitKey {
    /// The client's address (`client-ip`), or the network it is in.
    #[default]
    ClientIp,
    /// A header (`header:X-API-Key`), its name in lower case. The client writes it: one that may choose its own key has no limit, so it
    /// must be a header that something before here has checked or set.
    Header(Box<str>),
    /// The route that serves it (`route`).
    Route,
    /// One for all (`service`).
    Service,
}

impl LimitKey {
    /// Parses `client-ip`, `header:NAME`, `route` or `service`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        match text.split_once(':') {
            None if text == "client-ip" => Some(Self::ClientIp),
            None if text == "route" => Some(Self::Route),
            None if text == "service" => Some(Self::Service),
            Some(("header", name)) if !name.is_empty() => {
                Some(Self::Header(name.to_ascii_lowercase().into()))
            }
            _ => None,
        }
    }

    /// What this request is counted under.
    pub(super) fn of<'a>(
        &self,
        request: &RequestInfo<'a>,
        route: &'a str,
        (ipv4_prefix, ipv6_prefix): (u8, u8),
    ) -> Part<'a> {
        match self {
            Self::ClientIp => match request.client_ip.map(|ip| ip.to_canonical()) {
                Some(IpAddr::V4(ip)) => {
                    let mask = u32::MAX.checked_shl(32 - u32::from(ipv4_prefix)).unwrap_or(0);
                    Part::Ip(IpAddr::V4((ip.to_bits() & mask).into()))
                }
                Some(IpAddr::V6(ip)) => {
                    let mask = u128::MAX.checked_shl(128 - u32::from(ipv6_prefix)).unwrap_or(0);
                    Part::Ip(IpAddr::V6((ip.to_bits() & mask).into()))
                }
                None => Part::Missing,
            },
            Self::Header(name) => request.headers.header(name).map_or(Part::Missing, Part::Bytes),
            Self::Route => Part::Bytes(route.as_bytes()),
            Self::Service => Part::All,
        }
    }
}

impl fmt::Display for LimitKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client-ip"),
            Self::Header(name) => write!(f, "header:{name}"),
            Self::Route => f.write_str("route"),
            Self::Service => f.write_str("service"),
        }
    }
}

/// A key as it was found in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    Missing,
    All,
    Ip(IpAddr),
    Bytes(&'a [u8]),
}

impl Part<'_> {
    fn feed(self, to: &mut impl Hasher) {
        // The first byte keeps the kinds apart.
        match self {
            Self::Missing => to.write_u8(0),
            Self::All => to.write_u8(1),
            Self::Ip(IpAddr::V4(ip)) => to.write_u64(u64::from(ip.to_bits()) << 8 | 2),
            Self::Ip(IpAddr::V6(ip)) => {
                to.write_u128(ip.to_bits());
                to.write_u8(3);
            }
            Self::Bytes(bytes) => {
                to.write(bytes);
                to.write_u8(4);
            }
        }
    }

    /// Its name in a store: addresses can be read there, anything else (it may be a secret) is hashed. The same on every node.
    pub(super) fn write_name(self, to: &mut String) {
        match self {
            Self::Missing => to.push_str("missing"),
            Self::All => to.push_str("all"),
            Self::Ip(ip) => {
                let _ = write!(to, "{ip}"); // a string takes everything
            }
            Self::Bytes(bytes) => {
                // Half of SHA-256: 2⁶⁴ tries for two that are the same, and then they merely share a limit.
                for byte in &Sha256::digest(bytes)[..16] {
                    let _ = write!(to, "{byte:02x}");
                }
            }
        }
    }
}

/// A key's 128-bit hash.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Hashed(pub(super) u64, pub(super) u64);

/// Hashes keys with a seed that clients do not know, so that they cannot make theirs meet another's.
#[derive(Clone, Debug)]
pub(super) struct KeyHasher(FixedState, FixedState);

impl KeyHasher {
    pub(super) fn new(seed: u64) -> Self {
        // Two halves that differ by a constant (2⁶⁴ ÷ golden ratio): both follow from the seed, neither from the other.
        Self(FixedState::with_seed(seed), FixedState::with_seed(seed ^ 0x9E37_79B9_7F4A_7C15))
    }

    pub(super) fn hash(&self, part: Part<'_>) -> Hashed {
        let half = |state: &FixedState| {
            let mut hasher = state.build_hasher();
            part.feed(&mut hasher);
            hasher.finish()
        };
        Hashed(half(&self.0), half(&self.1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_round_trip() {
        for text in ["client-ip", "header:x-api-key", "route", "service"] {
            assert_eq!(LimitKey::parse(text).map(|k| k.to_string()).as_deref(), Some(text));
        }
        assert_eq!(LimitKey::parse("header:X-Key"), Some(LimitKey::Header("x-key".into())));
        for text in ["", "header", "header:", "cookie:x", "Route", "service:x"] {
            assert_eq!(LimitKey::parse(text), None, "{text}");
        }
    }

    fn ip(text: &str, prefixes: (u8, u8)) -> Part<'static> {
        LimitKey::ClientIp.of(&RequestInfo::from_ip(text.parse().unwrap()), "", prefixes)
    }

    #[test]
    fn addresses_are_those_of_their_network() {
        let at = |text: &str| Part::Ip(text.parse().unwrap());
        assert_eq!(ip("10.1.2.3", (32, 64)), at("10.1.2.3"));
        assert_eq!(ip("::ffff:10.1.2.3", (24, 64)), at("10.1.2.0"));
        assert_eq!(ip("10.1.2.3", (0, 0)), at("0.0.0.0"));
        assert_eq!(ip("2001:db8::1:2:3:4", (32, 64)), at("2001:db8::"));
        assert_eq!(ip("2001:db8::1", (32, 128)), at("2001:db8::1"));
        assert_eq!(ip("2001:db8::1", (32, 0)), at("::"));
        assert_eq!(LimitKey::ClientIp.of(&RequestInfo::default(), "", (32, 64)), Part::Missing);
    }

    #[test]
    fn kinds_do_not_meet_and_secrets_are_not_written() {
        let hasher = KeyHasher::new(7);
        let parts = [
            Part::Missing,
            Part::All,
            Part::Bytes(b""),
            Part::Bytes(b"k"),
            Part::Bytes(b"10.0.0.1"),
            ip("10.0.0.1", (32, 64)),
            ip("::10.0.0.1", (32, 128)),
        ];
        let hashes: std::collections::HashSet<_> = parts.iter().map(|&p| hasher.hash(p)).collect();
        assert_eq!(hashes.len(), parts.len());
        assert_ne!(hasher.hash(Part::All), KeyHasher::new(8).hash(Part::All));
        let name = |part: Part<'_>| {
            let mut text = String::new();
            part.write_name(&mut text);
            text
        };
        assert_eq!(name(parts[5]), "10.0.0.1");
        // sha256("secret"), by coreutils.
        assert_eq!(name(Part::Bytes(b"secret")), "2bb80d537b1da3e38bd30361aa855686");
    }
}
