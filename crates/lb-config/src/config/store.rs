//! Where several processes share state.

use lb_store::{MemorySettings, RedisSettings};

/// A store under `stores`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Store {
    /// In this process.
    Memory(MemorySettings),
    /// A server that speaks Redis's protocol. `Debug` does not show its password.
    Redis(RedisSettings),
}
