//! How sessions are shared: limits and intervals; and what is counted of it.

use lb_types::SettingsError;
use std::time::Duration;

/// The most sessions that may wait for the store: some 50 bytes each.
pub const QUEUE_MAX: usize = 10_000_000;
/// The most writers.
pub const WRITERS_MAX: usize = 256;

/// Settings of [`SharedSessions`](super::SharedSessions).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SharingSettings {
    /// For everything that a request asks the store, default 20 ms (1 ms – 10 s). After it the request goes on with what is known here.
    /// With less than the store's own limit a call is left before the store has failed, and only the writers find out that it is away.
    pub timeout: Duration,
    /// A session in use is compared with the store so often, default 10 s (1 s – 1 h): so long a node may follow a session that another
    /// has moved or cleared. Half of `ttl`, if that is less.
    pub sync_interval: Duration,
    /// How many sessions may wait for the store, default 65 536 (1 – 10 000 000); the oldest is dropped and counted, and waits again
    /// when it is used after `sync_interval`.
    pub max_queue: usize,
    /// How many of them are written at a time, default 16 (1 – 256).
    pub writers: usize,
    /// Between tries to write while the store is away, default 250 ms (1 ms – 1 h).
    pub retry_delay: Duration,
}

impl Default for SharingSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_millis(20),
            sync_interval: Duration::from_secs(10),
            max_queue: 65_536,
            writers: 16,
            retry_delay: Duration::from_millis(250),
        }
    }
}

impl SharingSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another limit for what a request asks.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Another interval between comparisons.
    #[must_use]
    pub fn sync_interval(mut self, interval: Duration) -> Self {
        self.sync_interval = interval;
        self
    }

    /// Another bound of the queue.
    #[must_use]
    pub fn max_queue(mut self, sessions: usize) -> Self {
        self.max_queue = sessions;
        self
    }

    /// Another number of writers.
    #[must_use]
    pub fn writers(mut self, writers: usize) -> Self {
        self.writers = writers;
        self
    }

    /// Another wait while the store is away.
    #[must_use]
    pub fn retry_delay(mut self, delay: Duration) -> Self {
        self.retry_delay = delay;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        const MS: Duration = Duration::from_millis(1);
        const S: Duration = Duration::from_secs(1);
        const H: Duration = Duration::from_secs(3600);
        for (field, value, least, most) in [
            ("timeout", self.timeout, MS, 10 * S),
            ("sync_interval", self.sync_interval, S, H),
            ("retry_delay", self.retry_delay, MS, H),
        ] {
            if !(least..=most).contains(&value) {
                return Err(SettingsError::new(field, value, format!("must be from {least:?} to {most:?}")));
            }
        }
        for (field, value, most) in
            [("max_queue", self.max_queue, QUEUE_MAX), ("writers", self.writers, WRITERS_MAX)]
        {
            if !(1..=most).contains(&value) {
                return Err(SettingsError::new(field, value, format!("must be from 1 to {most}")));
            }
        }
        Ok(())
    }
}

/// What became of the exchange with the store so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SharingStats {
    /// Sessions that wait for the store.
    pub queued: usize,
    /// Sessions that waited and had to make room.
    pub dropped: u64,
    /// Comparisons that came to an end.
    pub synced: u64,
    /// Comparisons by which another node's word was taken.
    pub adopted: u64,
    /// Look-ups for requests.
    pub lookups: u64,
    /// Look-ups that found the session.
    pub lookup_hits: u64,
    /// What requests asked for and did not get: the store was away, or not in time.
    pub failed: u64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_named() {
        let error = |s: SharingSettings| s.validate().unwrap_err().to_string();
        let new = SharingSettings::new;
        assert_eq!(new().validate(), Ok(()));
        assert_eq!(error(new().timeout(Duration::ZERO)), "timeout = 0ns: must be from 1ms to 10s");
        assert_eq!(
            error(new().sync_interval(Duration::ZERO)),
            "sync_interval = 0ns: must be from 1s to 3600s"
        );
        assert_eq!(error(new().max_queue(0)), "max_queue = 0: must be from 1 to 10000000");
        assert_eq!(error(new().writers(257)), "writers = 257: must be from 1 to 256");
        assert_eq!(new().retry_delay(Duration::MAX).validate().unwrap_err().field, "retry_delay");
    }
}
