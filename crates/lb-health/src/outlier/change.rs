//! What a detector tells: who was ejected, who is back, and how a backend stands.

use super::Cause;
use lb_types::{BackendId, Nanos};
use std::fmt;

/// A backend is ejected from now on.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Ejection {
    /// Which backend.
    pub id: BackendId,
    /// Why.
    pub cause: Cause,
    /// When it ends, unless something ends it earlier.
    pub until: Nanos,
    /// The multiplier of its length: 1 for the first of a row.
    pub times: u32,
}

/// An ejection began or ended.
#[derive(Clone, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case", tag = "change"))]
#[non_exhaustive]
pub enum Change {
    /// It began.
    Ejected(Ejection),
    /// It ended.
    Returned {
        /// Which backend.
        id: BackendId,
        /// Why.
        why: Why,
    },
}

/// Why an ejection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Why {
    /// Its time was over.
    Expired,
    /// An active check passed.
    CheckPassed,
    /// No other backend was usable.
    LastUsable,
    /// The backend is gone from the pool.
    Removed,
}

impl Why {
    /// A short stable name for labels, logs and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Expired => "expired",
            Self::CheckPassed => "check-passed",
            Self::LastUsable => "last-usable",
            Self::Removed => "removed",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// How one backend stands with a detector.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct OutlierStatus {
    /// When its ejection ends; `None`: it is not ejected.
    pub ejected_until: Option<Nanos>,
    /// The multiplier: how many times the base the last ejection lasted, less one for each interval of good conduct since.
    pub times: u32,
    /// How often it was ejected in all.
    pub ejections: u64,
    /// Why it was ejected last; kept when it is back.
    pub cause: Option<Cause>,
    /// Its success rate in the last whole interval, in percent; `None` while it is ejected, and without requests.
    pub success_rate: Option<f64>,
}
