//! What tells clients apart: their address, a cookie of ours, or a header of theirs.
//!
//! An address or a header's value becomes a session id by SHA-256, cut to 128 bits, over pool, kind and value: the same on every node
//! and after a restart, with no secret to share. Who chooses header values can only find two of his own that collide (at the cost of
//! 2⁶⁴ trials); to hit another's he would need 2¹²⁸. The values themselves are kept nowhere.

use crate::SessionId;
use crate::ignored::Ignored;
use lb_types::RequestInfo;
use lb_types::SettingsError;
use sha2::{Digest as _, Sha256};
use std::fmt;
use std::net::IpAddr;

/// The longest header value that identifies a session, in bytes. Longer ones are taken for mistakes.
pub const HEADER_VALUE_BYTES_MAX: usize = 1024;
/// The longest name of a header or cookie, in bytes.
pub const NAME_BYTES_MAX: usize = 128;

/// What a session is recognised by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum AffinityKind {
    /// The client's address. Costs clients nothing, but clients behind one address are one session.
    #[default]
    IpHash,
    /// A sealed cookie that the balancer sets.
    Cookie,
    /// A header that clients send.
    Header,
}

impl AffinityKind {
    /// Parses `ip-hash`, `cookie` or `header`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::IpHash, Self::Cookie, Self::Header].into_iter().find(|kind| kind.as_str() == text)
    }

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::IpHash => "ip-hash",
            Self::Cookie => "cookie",
            Self::Header => "header",
        }
    }
}

impl fmt::Display for AffinityKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The session id of a client's address. An IPv4 address that is mapped into IPv6 is that IPv4 address.
pub fn id_of_ip(pool: &str, ip: IpAddr) -> SessionId {
    match ip.to_canonical() {
        IpAddr::V4(ip) => derive(pool, b"ip", &ip.octets()),
        IpAddr::V6(ip) => derive(pool, b"ip", &ip.octets()),
    }
}

/// The session id of a header's value.
pub fn id_of_header(pool: &str, value: &[u8]) -> SessionId {
    derive(pool, b"header", value)
}

/// The session id that a request carries by itself; `None` if it has none, which is no offence.
///
/// # Errors
/// [`Ignored::TooLong`].
pub(crate) fn derived_id(
    kind: AffinityKind,
    header_name: &str,
    pool: &str,
    request: &RequestInfo<'_>,
) -> Result<Option<SessionId>, Ignored> {
    match kind {
        AffinityKind::IpHash => Ok(request.client_ip.map(|ip| id_of_ip(pool, ip))),
        AffinityKind::Cookie => Ok(None),
        AffinityKind::Header => match request.headers.header(header_name).map(<[u8]>::trim_ascii) {
            None | Some([]) => Ok(None),
            Some(value) if value.len() > HEADER_VALUE_BYTES_MAX => Err(Ignored::TooLong),
            Some(value) => Ok(Some(id_of_header(pool, value))),
        },
    }
}

pub(crate) fn derive(pool: &str, kind: &[u8], value: &[u8]) -> SessionId {
    let mut hash = Sha256::new();
    // Each part behind its length: no two lists of parts read the same.
    for part in [pool.as_bytes(), kind, value] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut id = [0; 16];
    id.copy_from_slice(&digest[..16]);
    SessionId(id)
}

/// RFC 9110 `token`: what names of headers and (RFC 6265) cookies consist of.
pub(crate) fn check_name(field: &'static str, name: &str) -> Result<(), SettingsError> {
    let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
    if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(token) {
        let must = format!("must be 1 to {NAME_BYTES_MAX} letters, digits or any of !#$%&'*+-.^_`|~");
        return Err(SettingsError::new(field, name, must));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_types::HeaderSource;

    fn of(kind: AffinityKind, ip: &str, headers: &[(&str, &str); 1]) -> Result<Option<SessionId>, Ignored> {
        let headers: &dyn HeaderSource = headers;
        let request = RequestInfo { headers, ..RequestInfo::from_ip(ip.parse().unwrap()) };
        derived_id(kind, "x-session-id", "shop", &request)
    }

    #[test]
    fn equal_clients_have_equal_ids() {
        let ip = |ip| of(AffinityKind::IpHash, ip, &[("a", "b")]).unwrap().unwrap();
        assert_eq!(ip("192.0.2.7"), ip("::ffff:192.0.2.7"));
        assert_ne!(ip("192.0.2.7"), ip("192.0.2.8"));
        assert_ne!(ip("2001:db8::1"), ip("2001:db8::2"));
        assert_ne!(id_of_ip("a", [192, 0, 2, 7].into()), id_of_ip("b", [192, 0, 2, 7].into()));
        assert_ne!(id_of_ip("a", [192, 0, 2, 7].into()), id_of_header("a", &[192, 0, 2, 7]));
        // Fixed for ever: nodes of different versions must agree.
        assert_eq!(id_of_header("shop", b"abc").to_string(), "2bdad45b4eac9c5006702c15d7835192");

        let header = |value: &str| of(AffinityKind::Header, "192.0.2.7", &[("X-Session-ID", value)]);
        assert_eq!(header(" abc "), Ok(Some(id_of_header("shop", b"abc"))));
        assert_eq!(header("  "), Ok(None));
        assert_eq!(header(&"x".repeat(1024)).map(|id| id.is_some()), Ok(true));
        assert_eq!(header(&"x".repeat(1025)), Err(Ignored::TooLong));
        assert_eq!(of(AffinityKind::Header, "192.0.2.7", &[("other", "abc")]), Ok(None));
    }

    #[test]
    fn kinds_round_trip_and_names_are_tokens() {
        for text in ["ip-hash", "cookie", "header"] {
            assert_eq!(AffinityKind::parse(text).map(|kind| kind.to_string()).as_deref(), Some(text));
        }
        assert_eq!(AffinityKind::parse("ip"), None);
        for bad in ["", "a b", "a=b", "a;b", "ä", "a\r\nb", &"x".repeat(129)] {
            assert!(check_name("cookie_name", bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_name("cookie_name", "__Host-LB.session"), Ok(()));
    }
}
