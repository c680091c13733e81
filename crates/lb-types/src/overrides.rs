//! What one backend has otherwise than its pool, where checks are concerned.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What of its pool's health check one backend has otherwise. `None` keeps the pool's setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HealthCheckOverride {
    /// `false`: this backend is not checked and counts as healthy.
    pub enabled: Option<bool>,
    /// The path to ask for.
    pub path: Option<String>,
    /// The HTTP method.
    pub method: Option<String>,
    /// The statuses that pass, all of them.
    pub expected_status: Option<Vec<RangeInclusive<u16>>>,
    /// What the answer's body has to be.
    pub expected_body: Option<ExpectedBody>,
    /// Headers to send besides the pool's; one of the same name replaces it.
    pub headers: Option<Vec<(String, String)>>,
    /// From the start of one check to the next.
    pub interval: Option<Duration>,
    /// How long one check may take.
    pub timeout: Option<Duration>,
    /// Failures in a row until it is unhealthy.
    pub unhealthy_threshold: Option<u32>,
    /// Successes in a row until it is healthy.
    pub healthy_threshold: Option<u32>,
    /// Another host to check.
    pub host: Option<String>,
    /// Another port to check.
    pub port: Option<u16>,
}

/// What the body of an answer has to be for a check to pass. Bytes are compared; a text stands for its UTF-8.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExpectedBody {
    /// This and no more, down to the last line's end.
    Exact(String),
    /// This stands somewhere in it.
    Contains(String),
    /// This regular expression (the `regex` crate's syntax) matches somewhere in it.
    Regex(String),
}

/// What of its pool's agent check one backend has otherwise. `None` keeps the pool's setting.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentOverride {
    /// `false`: this backend has no agent.
    pub enabled: Option<bool>,
    /// The agent's port.
    pub port: Option<u16>,
    /// The agent's host, where it is not the backend's.
    pub host: Option<String>,
}
