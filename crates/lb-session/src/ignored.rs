//! Why what a client presented does not count. Never an error: the request is served as a new client's.

use std::fmt;

/// Why a cookie or header was ignored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Ignored {
    /// Longer than anything that was given out; it was not looked into.
    TooLong,
    /// Truncated, of another version, or not encoded as ours are.
    Malformed,
    /// No secret has sealed it: forged, damaged, or sealed before a restart or on a node with other secrets.
    Forged,
    /// Sealed for another pool.
    Foreign,
    /// Older than `ttl`, or its session older than `max_lifetime`.
    Expired,
    /// From the future by more than clocks differ.
    NotYet,
    /// Its session was cleared.
    Cleared,
}

impl Ignored {
    /// Every reason, in the order of the statistics.
    pub const ALL: [Self; 7] = [
        Self::TooLong,
        Self::Malformed,
        Self::Forged,
        Self::Foreign,
        Self::Expired,
        Self::NotYet,
        Self::Cleared,
    ];

    pub(crate) const fn index(self) -> usize {
        self as usize
    }

    /// A short stable name for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::TooLong => "too-long",
            Self::Malformed => "malformed",
            Self::Forged => "forged",
            Self::Foreign => "foreign",
            Self::Expired => "expired",
            Self::NotYet => "not-yet",
            Self::Cleared => "cleared",
        }
    }
}

impl fmt::Display for Ignored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
