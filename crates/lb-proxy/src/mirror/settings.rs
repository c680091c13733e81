//! What a mirror is told, and what it tells.

use crate::error::ProxyError;
use lb_core::HistogramSnapshot;
use lb_types::SettingsError;
use std::time::Duration;

/// Where a route's requests are copied to.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct MirrorSettings {
    /// The pool whose balancer has this name; not the route's own.
    pub pool: String,
    /// Of how many in a hundred, 0–100, in steps of 0.01; default 100. With 0 nothing is copied.
    pub percent: f64,
    /// How many copies may be under way at once, over all workers, at least 1; default 100.
    pub max_in_flight: usize,
    /// How long one may take to the end of its response, more than 0; default 5 s.
    pub timeout: Duration,
}

impl MirrorSettings {
    /// All requests, to this pool.
    pub fn new(pool: impl Into<String>) -> Self {
        Self { pool: pool.into(), percent: 100.0, max_in_flight: 100, timeout: Duration::from_secs(5) }
    }

    /// Whether all of it can be done; whether there is such a pool is found out by [`Gateway::routed`](crate::Gateway::routed).
    ///
    /// # Errors
    /// A value out of its bounds.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !(0.0..=100.0).contains(&self.percent) {
            return Err(SettingsError::new("percent", self.percent, "must be from 0 to 100"));
        }
        if self.percent > 0.0 && self.share() == 0 {
            return Err(SettingsError::new("percent", self.percent, "must be 0, or 0.01 at least"));
        }
        if self.max_in_flight == 0 {
            return Err(SettingsError::new("max_in_flight", 0, "must be at least 1"));
        }
        if self.timeout.is_zero() {
            return Err(SettingsError::new("timeout", "0s", "must be longer than 0"));
        }
        Ok(())
    }

    /// In hundredths of a percent.
    pub(super) fn share(&self) -> u32 {
        (self.percent * 100.0).round() as u32
    }
}

/// What became of a request that was to be mirrored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MirrorResult {
    /// Both answered, with the same status.
    SameStatus,
    /// Both answered, with another status.
    OtherStatus,
    /// The shadow gave no whole response, or no backend of its pool was usable.
    Failed,
    /// The shadow was too slow.
    TimedOut,
    /// Too many copies were under way.
    Dropped,
    /// The shadow answered; the client had left before its own response came.
    Unpaired,
}

impl MirrorResult {
    /// All of them, in the order of [`MirrorStats::results`].
    pub const ALL: [Self; 6] =
        [Self::SameStatus, Self::OtherStatus, Self::Failed, Self::TimedOut, Self::Dropped, Self::Unpaired];

    /// As metrics say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SameStatus => "same_status",
            Self::OtherStatus => "other_status",
            Self::Failed => "failed",
            Self::TimedOut => "timeout",
            Self::Dropped => "dropped",
            Self::Unpaired => "unpaired",
        }
    }

    pub(super) fn of(error: ProxyError) -> Self {
        match error {
            ProxyError::Timeout | ProxyError::ConnectTimeout => Self::TimedOut,
            _ => Self::Failed,
        }
    }
}

/// What one route's mirror has done so far, over all workers.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct MirrorStats {
    /// The route's name.
    pub route: String,
    /// The shadow pool's.
    pub pool: String,
    /// Requests by [`MirrorResult::ALL`]. What is still under way is in none.
    pub results: [u64; 6],
    /// Copies under way.
    pub in_flight: usize,
    /// Times to the heads of the clients' responses, where the shadow answered as well.
    pub primary: HistogramSnapshot,
    /// Times to the heads of the shadow's responses to the same requests.
    pub shadow: HistogramSnapshot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_looked_at() {
        let good = MirrorSettings::new("p");
        let field = |s: MirrorSettings| s.validate().unwrap_err().field;
        for percent in [-1.0, 100.5, f64::NAN, 0.001] {
            assert_eq!(field(MirrorSettings { percent, ..good.clone() }), "percent", "{percent}");
        }
        assert_eq!(field(MirrorSettings { max_in_flight: 0, ..good.clone() }), "max_in_flight");
        assert_eq!(field(MirrorSettings { timeout: Duration::ZERO, ..good.clone() }), "timeout");
    }
}
