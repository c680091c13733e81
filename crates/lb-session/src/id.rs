//! The name of a session, and the moment at which something is asked of it.

use lb_types::Nanos;
use std::fmt;
use std::str::FromStr;

/// The id of a session: 128 bits, as text 32 hexadecimal digits.
///
/// A cookie's id is random, drawn by the caller; a header's or an address's is [derived](crate::key) from its value.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SessionId(pub [u8; 16]);

impl SessionId {
    /// An id from 128 random bits. They must come from a generator that nobody can predict: an id is a name, and cookies are
    /// protected by their seal, but ids also stand in a shared store.
    pub const fn from_random(bits: u128) -> Self {
        Self(bits.to_be_bytes())
    }

    /// A number to hash or to choose by: equal for equal ids on every node.
    pub const fn as_u64(self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.0;
        u64::from_be_bytes([a, b, c, d, e, f, g, h])
    }
}

impl fmt::Display for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text is no session id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a session id has 32 hexadecimal digits")]
pub struct SessionIdError;

impl FromStr for SessionId {
    type Err = SessionIdError;

    fn from_str(text: &str) -> Result<Self, SessionIdError> {
        // `from_str_radix` alone would take a sign.
        if text.len() != 32 || !text.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(SessionIdError);
        }
        u128::from_str_radix(text, 16).map(Self::from_random).map_err(|_| SessionIdError)
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for SessionId {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// One moment by both clocks: what this process counts with, and what cookies and other nodes understand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Moment {
    /// Monotonic, since the clock's origin.
    pub now: Nanos,
    /// Unix time in seconds. Cookies and the store hold it in 32 bits: good until the year 2106.
    pub unix_s: u32,
}

impl Moment {
    /// From a clock's time and the time since 1970. Saturates in the year 2106.
    pub fn new(now: Nanos, since_1970: std::time::Duration) -> Self {
        Self { now, unix_s: u32::try_from(since_1970.as_secs()).unwrap_or(u32::MAX) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_as_text() {
        for bits in [0, 1, u128::MAX, 0x0123_4567_89ab_cdef_0011_2233_4455_6677] {
            let id = SessionId::from_random(bits);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for bad in
            ["", "0", "+0000000000000000000000000000000", &"0".repeat(33), &"g".repeat(32), &"é".repeat(16)]
        {
            assert_eq!(bad.parse::<SessionId>(), Err(SessionIdError), "{bad}");
        }
    }
}
