//! Why one who waited, or wanted to, has to go.

use std::time::Duration;

/// Refused by a [`Queue`](super::Queue).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Refused {
    /// So many wait that nobody may join.
    #[error("the queue is full")]
    Full {
        /// When as many as wait now will have been served, at the recent rate: whole seconds, 1 to 60.
        retry_after: Duration,
    },
    /// The queue was full, and somebody of a higher level came.
    #[error("displaced by a request of a higher priority after {waited:?} in the queue")]
    Displaced {
        /// How long it waited.
        waited: Duration,
    },
    /// Its time was over.
    #[error("no place became free within {waited:?}")]
    Timeout {
        /// How long it waited.
        waited: Duration,
    },
    /// Its level is overloaded, and it waited for longer than the target.
    #[error("overloaded: refused after {waited:?} in the queue")]
    Overloaded {
        /// How long it waited.
        waited: Duration,
    },
}

impl Refused {
    /// Its name: `full`, `displaced`, `timeout` or `overload`.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Full { .. } => "full",
            Self::Displaced { .. } => "displaced",
            Self::Timeout { .. } => "timeout",
            Self::Overloaded { .. } => "overload",
        }
    }

    /// How long it waited; zero if it did not join.
    pub const fn waited(&self) -> Duration {
        match *self {
            Self::Full { .. } => Duration::ZERO,
            Self::Displaced { waited } | Self::Timeout { waited } | Self::Overloaded { waited } => waited,
        }
    }
}
