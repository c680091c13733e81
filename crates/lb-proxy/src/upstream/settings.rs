//! How connections to backends are kept. `Default` is what holds where nothing is said: pooling without a bound on sockets.

use lb_types::SettingsError;
use std::time::Duration;

/// The most sockets to one backend that can be asked for, and the most that can be opened ahead.
const CONNECTIONS_MAX: u32 = 1_000_000;

/// A pool's connections to its backends, over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PoolingSettings {
    /// Keep connections for further requests, the default. `false`: each request gets its own, which is closed afterwards; the
    /// backend is not told before.
    pub enabled: bool,
    /// The most sockets open to one backend over all workers (1–1 000 000), default no limit. At the limit the oldest idle one,
    /// whichever worker has it, makes room; while none is idle a request waits for one, within `connect_timeout`.
    pub max_connections: Option<u32>,
    /// How long a connection is kept without a request, default 30 s: the operator's thrift. Does not go below `preconnect`.
    pub max_idle_time: Duration,
    /// Speak of connections that persist, the default. `false`: each request says `Connection: close`, and its connection is not kept.
    pub keep_alive: bool,
    /// How long a backend is trusted to keep an idle connection open, default 60 s: later it is not used again. What a backend
    /// announces (`Keep-Alive: timeout=N`) counts where it is shorter, less a second's margin.
    pub keep_alive_timeout: Duration,
    /// A connection is closed after this many exchanges (1 or more), default never.
    pub max_requests: Option<u32>,
    /// A connection is not used again at this age, default any. ±10 % by chance, so that those opened together do not close together.
    pub max_lifetime: Option<Duration>,
    /// Connections kept open to each usable backend, over all workers, before requests ask for them; default 0.
    pub preconnect: u32,
}

impl Default for PoolingSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            max_connections: None,
            max_idle_time: Duration::from_secs(30),
            keep_alive: true,
            keep_alive_timeout: Duration::from_secs(60),
            max_requests: None,
            max_lifetime: None,
            preconnect: 0,
        }
    }
}

impl PoolingSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Keeps connections, or not.
    #[must_use]
    pub fn enabled(mut self, enabled: bool) -> Self {
        self.enabled = enabled;
        self
    }

    /// A bound on the sockets to one backend.
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = Some(max);
        self
    }

    /// Another time to keep an idle connection.
    #[must_use]
    pub fn max_idle_time(mut self, time: Duration) -> Self {
        self.max_idle_time = time;
        self
    }

    /// Says `Connection: close`, or not.
    #[must_use]
    pub fn keep_alive(mut self, keep_alive: bool) -> Self {
        self.keep_alive = keep_alive;
        self
    }

    /// Another time for which backends are trusted to keep an idle connection.
    #[must_use]
    pub fn keep_alive_timeout(mut self, timeout: Duration) -> Self {
        self.keep_alive_timeout = timeout;
        self
    }

    /// A bound on the exchanges of one connection.
    #[must_use]
    pub fn max_requests(mut self, max: u32) -> Self {
        self.max_requests = Some(max);
        self
    }

    /// A bound on a connection's age.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Duration) -> Self {
        self.max_lifetime = Some(lifetime);
        self
    }

    /// Keeps so many connections open to each usable backend.
    #[must_use]
    pub fn preconnect(mut self, connections: u32) -> Self {
        self.preconnect = connections;
        self
    }

    /// Whether a connection is used for more than one request.
    pub(crate) fn reuses(&self) -> bool {
        self.enabled && self.keep_alive
    }

    /// What is out of bounds.
    ///
    /// # Errors
    /// The first setting that is, with its value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let wrong =
            |field, value: &dyn std::fmt::Debug, must: &str| Err(SettingsError::new(field, value, must));
        if let Some(max) = self.max_connections
            && !(1..=CONNECTIONS_MAX).contains(&max)
        {
            return wrong("max_connections", &max, "must be from 1 to 1000000");
        }
        for (field, time) in
            [("max_idle_time", self.max_idle_time), ("keep_alive_timeout", self.keep_alive_timeout)]
        {
            if time.is_zero() {
                return wrong(field, &time, "must be longer than 0");
            }
        }
        if self.max_requests == Some(0) {
            return wrong("max_requests", &0, "must be 1 or more");
        }
        if self.max_lifetime.is_some_and(|t| t.is_zero()) {
            return wrong("max_lifetime", &Duration::ZERO, "must be longer than 0");
        }
        if self.preconnect > self.max_connections.unwrap_or(CONNECTIONS_MAX) {
            return wrong("preconnect", &self.preconnect, "must not be more than max_connections");
        }
        if self.preconnect > 0 && !self.reuses() {
            return wrong("preconnect", &self.preconnect, "does nothing where connections are not kept");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_out_of_bounds_is_named() {
        let ok = PoolingSettings::new;
        assert_eq!(ok().max_connections(5).preconnect(5).validate(), Ok(()));
        for (settings, field) in [
            (ok().max_connections(0), "max_connections"),
            (ok().max_idle_time(Duration::ZERO), "max_idle_time"),
            (ok().keep_alive_timeout(Duration::ZERO), "keep_alive_timeout"),
            (ok().max_requests(0), "max_requests"),
            (ok().max_lifetime(Duration::ZERO), "max_lifetime"),
            (ok().max_connections(4).preconnect(5), "preconnect"),
            (ok().preconnect(1).keep_alive(false), "preconnect"),
            (ok().preconnect(1).enabled(false), "preconnect"),
        ] {
            assert_eq!(settings.validate().unwrap_err().field, field, "{settings:?}");
        }
    }
}
