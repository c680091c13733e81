//! How connections to backends are kept.

use std::time::Duration;

/// A pool's connections to its backends, over all workers.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ConnectionPooling {
    /// Whether connections are kept for further requests, default yes.
    pub enabled: bool,
    /// The most sockets to one backend, default 100.
    pub max_connections: u32,
    /// How long an idle one is kept, default 30 s.
    pub max_idle_time: Duration,
    /// Whether requests speak of connections that persist, default yes.
    pub keep_alive: bool,
    /// How long a backend is trusted to keep an idle one, default 60 s.
    pub keep_alive_timeout: Duration,
    /// After how many exchanges one is closed, default never.
    pub max_requests: Option<u32>,
    /// At which age it is not used again, give or take a tenth, default any.
    pub max_lifetime: Option<Duration>,
    /// How many are kept open to each usable backend before requests ask for them, default 0.
    pub preconnect: u32,
}

impl Default for ConnectionPooling {
    fn default() -> Self {
        Self {
            enabled: true,
            max_connections: 100,
            max_idle_time: Duration::from_secs(30),
            keep_alive: true,
            keep_alive_timeout: Duration::from_secs(60),
            max_requests: None,
            max_lifetime: None,
            preconnect: 0,
        }
    }
}
