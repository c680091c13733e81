//! A copy of a route's requests to another pool.

use std::time::Duration;

/// Where copies of requests go.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Mirror {
    /// The shadow pool; not the route's own.
    pub pool: String,
    /// Of how many in a hundred, 0–100; default 100, and 0 where it is switched off.
    pub percent: f64,
    /// How many copies are under way at once; default 100.
    pub max_in_flight: usize,
    /// How long one takes at most, default 5 s.
    pub timeout: Duration,
}
