//! Who may come in, and when.

use super::Storage;
use lb_admission::queue::QueueSettings;
use lb_admission::rate_limit::RateLimit;
use lb_types::FixedResponse;

/// A pool's queue.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Queuing {
    /// Bounds, levels, and what overload is.
    pub settings: QueueSettings,
    /// The request header, in lower case, in which trusted proxies name a request's level. `None`: all have the usual one.
    pub priority_header: Option<String>,
    /// What a client is told whose request cannot wait, or waited too long. Without a `Retry-After` of its own, one that the queue
    /// estimates is added.
    pub response: FixedResponse,
}

impl Default for Queuing {
    fn default() -> Self {
        Self {
            settings: QueueSettings::default(),
            priority_header: None,
            response: FixedResponse::new(503, "Service busy, please try again later"),
        }
    }
}

/// A pool's rate limit.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Limiting {
    /// The limit and whose it is.
    pub settings: RateLimit,
    /// Whether clients are told where they stand.
    pub headers: bool,
    /// Where it is counted.
    pub storage: Storage,
}
