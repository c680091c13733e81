//! Why a backend was not picked.

use std::fmt;

/// The reason for which a backend may not take a request. Every exclusion has one, so that "why did this request go
/// there?" has an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Exclusion {
    /// Its active health check fails.
    Unhealthy,
    /// Passive detection took it out for a while.
    Ejected,
    /// It finishes what it has and takes nothing new.
    Draining,
    /// Its drain is over: not even its own sessions come to it any more.
    Drained,
    /// The user disabled it.
    Disabled,
    /// Its agent says that it is in maintenance.
    Maintenance,
    /// Its circuit breaker is open.
    BreakerOpen,
    /// Its weight is 0.
    ZeroWeight,
    /// Its metadata does not match the pool's subset.
    NotInSubset,
    /// It has as many requests in flight as it may.
    ConnectionLimit,
    /// Its free places are for requests that wait in the queue.
    Reserved,
    /// This request failed on it before.
    AlreadyTried,
    /// The caller excluded it.
    Excluded,
    /// It is a backup, and a primary is usable.
    Backup,
    /// It belongs to another priority level than the one this request drew.
    OtherPriority,
    /// It is in another region than the one that serves this request.
    OtherRegion,
    /// It has more than its bounded share of the load (`hash_balance_factor`).
    OverLoaded,
}

impl Exclusion {
    /// Every reason, for tables and documentation.
    pub const ALL: [Self; 17] = [
        Self::Unhealthy,
        Self::Ejected,
        Self::Draining,
        Self::Drained,
        Self::Disabled,
        Self::Maintenance,
        Self::BreakerOpen,
        Self::ZeroWeight,
        Self::NotInSubset,
        Self::ConnectionLimit,
        Self::Reserved,
        Self::AlreadyTried,
        Self::Excluded,
        Self::Backup,
        Self::OtherPriority,
        Self::OtherRegion,
        Self::OverLoaded,
    ];

    /// A short stable name for labels, reports and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unhealthy => "unhealthy",
            Self::Ejected => "ejected",
            Self::Draining => "draining",
            Self::Drained => "drained",
            Self::Disabled => "disabled",
            Self::Maintenance => "maintenance",
            Self::BreakerOpen => "breaker-open",
            Self::ZeroWeight => "zero-weight",
            Self::NotInSubset => "not-in-subset",
            Self::ConnectionLimit => "connection-limit",
            Self::Reserved => "reserved",
            Self::AlreadyTried => "already-tried",
            Self::Excluded => "excluded",
            Self::Backup => "backup",
            Self::OtherPriority => "other-priority",
            Self::OtherRegion => "other-region",
            Self::OverLoaded => "over-loaded",
        }
    }
}

impl fmt::Display for Exclusion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
