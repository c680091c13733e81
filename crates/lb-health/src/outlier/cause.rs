//! Why a backend was ejected.

use std::fmt;

/// What was seen. [`Cause::as_str`] is its stable name; `Display` says it to a person.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case", tag = "kind"))]
#[non_exhaustive]
pub enum Cause {
    /// Failures of any kind in a row.
    ConsecutiveFailures {
        /// How many.
        count: u32,
    },
    /// Gateway failures in a row: 502, 503, 504, or no answer.
    ConsecutiveGatewayFailures {
        /// How many.
        count: u32,
    },
    /// Failures in a row to connect.
    ConsecutiveConnectFailures {
        /// How many.
        count: u32,
    },
    /// Its success rate was below the pool's threshold.
    SuccessRate {
        /// Its success rate in the last interval, in percent.
        percent: f64,
        /// The pool's threshold: mean − factor × σ, in percent.
        threshold: f64,
    },
    /// It failed more than a fixed share of its requests.
    FailurePercentage {
        /// Its failures in the last interval, in percent.
        percent: f64,
        /// The limit, in percent.
        threshold: f64,
    },
    /// It failed more than the others did, and not by chance.
    Comparison {
        /// Its failures, in percent.
        percent: f64,
        /// The failures of all others together, in percent.
        others: f64,
        /// The chance that a backend like the others fails so often, 0–1.
        chance: f64,
    },
}

impl Cause {
    /// A short stable name for labels, logs and reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ConsecutiveFailures { .. } => "consecutive-failures",
            Self::ConsecutiveGatewayFailures { .. } => "consecutive-gateway-failures",
            Self::ConsecutiveConnectFailures { .. } => "consecutive-connect-failures",
            Self::SuccessRate { .. } => "success-rate",
            Self::FailurePercentage { .. } => "failure-percentage",
            Self::Comparison { .. } => "comparison",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::ConsecutiveFailures { count } => write!(f, "{} in a row", counted(count, "failure")),
            Self::ConsecutiveGatewayFailures { count } => {
                write!(f, "{} in a row (502, 503, 504 or no answer)", counted(count, "gateway failure"))
            }
            Self::ConsecutiveConnectFailures { count } => {
                write!(f, "{} in a row", counted(count, "failed connection"))
            }
            Self::SuccessRate { percent, threshold } => {
                write!(f, "success rate {percent:.1} %, the pool's threshold is {threshold:.1} %")
            }
            Self::FailurePercentage { percent, threshold } => {
                write!(f, "{percent:.1} % of its requests failed, the limit is {threshold:.0} %")
            }
            Self::Comparison { percent, others, chance } => write!(
                f,
                "{percent:.1} % of its requests failed, and {others:.1} % of the other backends' \
                 (by chance in 1 of {:.0} cases)",
                1.0 / chance.max(1e-12) // a trillion says enough
            ),
        }
    }
}

fn counted(count: u32, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_stable_and_reasons_for_people() {
        for (cause, name, reason) in [
            (Cause::ConsecutiveFailures { count: 5 }, "consecutive-failures", "5 failures in a row"),
            (Cause::ConsecutiveFailures { count: 1 }, "consecutive-failures", "1 failure in a row"),
            (
                Cause::ConsecutiveGatewayFailures { count: 3 },
                "consecutive-gateway-failures",
                "3 gateway failures in a row (502, 503, 504 or no answer)",
            ),
            (
                Cause::ConsecutiveConnectFailures { count: 2 },
                "consecutive-connect-failures",
                "2 failed connections in a row",
            ),
            (
                Cause::SuccessRate { percent: 61.24, threshold: 88.0 },
                "success-rate",
                "success rate 61.2 %, the pool's threshold is 88.0 %",
            ),
            (
                Cause::FailurePercentage { percent: 91.0, threshold: 85.0 },
                "failure-percentage",
                "91.0 % of its requests failed, the limit is 85 %",
            ),
            (
                Cause::Comparison { percent: 30.0, others: 1.0, chance: 1e-5 },
                "comparison",
                "30.0 % of its requests failed, and 1.0 % of the other backends' (by chance in 1 of 100000 cases)",
            ),
        ] {
            assert_eq!((cause.as_str(), cause.to_string().as_str()), (name, reason));
        }
        let certain = Cause::Comparison { percent: 100.0, others: 0.0, chance: 0.0 };
        assert!(certain.to_string().ends_with("1 of 1000000000000 cases)"));
    }
}
