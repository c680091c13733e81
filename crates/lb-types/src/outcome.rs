//! How a request to a backend ended.

use crate::Nanos;

/// The verdict on one request, given when its lease ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The backend answered.
    Success {
        /// From the pick to the first byte of the response.
        ttfb: Nanos,
    },
    /// The backend failed, or answered with a status that counts as a failure.
    Failure {
        /// What went wrong.
        kind: FailureKind,
        /// From the pick to the failure.
        after: Nanos,
    },
    /// The client left, or the caller dropped the lease, before the backend answered in full. Says nothing good of the backend:
    /// a hung one whose clients leave must not look fast.
    Cancelled {
        /// From the pick to the end.
        after: Nanos,
    },
}

impl Outcome {
    /// From the pick to the verdict.
    #[inline]
    pub const fn elapsed(self) -> Nanos {
        match self {
            Self::Success { ttfb } => ttfb,
            Self::Failure { after, .. } | Self::Cancelled { after } => after,
        }
    }
}

/// What went wrong between the balancer and a backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum FailureKind {
    /// No connection could be made (refused, unreachable, connect time-out, TLS failure): nothing was sent.
    Connect,
    /// The connection broke before the response was complete.
    Reset,
    /// The backend did not answer, or went on answering, in time.
    Timeout,
    /// The backend answered with something that is not HTTP.
    Protocol,
    /// The backend answered with a status that counts as a failure (5xx).
    Status(u16),
}

impl FailureKind {
    /// A short stable name for labels and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Status(_) => "status",
        }
    }
}
