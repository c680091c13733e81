//! How clients keep their backend: sessions, and the cache of selections.

use lb_session::SessionAffinity;
use lb_types::KeySource;
use std::time::Duration;

/// Where shared state is kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Storage {
    /// In this process alone.
    #[default]
    Memory,
    /// In the store of this name in [`Config::stores`](crate::Config::stores).
    Store(String),
}

/// A pool's sessions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Affinity {
    /// What they are like.
    pub settings: SessionAffinity,
    /// Where they are kept beside this process's own table.
    pub storage: Storage,
}

/// A pool's cache of selections: who has the same key comes to the same backend for a while.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Caching {
    /// How long a selection holds, default 5 min.
    pub ttl: Duration,
    /// Whose it is, default the client's address.
    pub key: KeySource,
    /// The most selections that are kept in this process, default 100 000.
    pub max_entries: usize,
    /// Where they are kept.
    pub storage: Storage,
}

impl Default for Caching {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(300),
            key: KeySource::ClientIp,
            max_entries: 100_000,
            storage: Storage::Memory,
        }
    }
}
