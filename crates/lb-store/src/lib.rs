//! Shared state with expiry, behind the one trait [`Store`].
//!
//! ```
//! use lb_store::{MemorySettings, MemoryStore};
//! use lb_types::{ManualClock, Store};
//! use std::{sync::Arc, time::Duration};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Arc::new(ManualClock::default());
//! let store = MemoryStore::new(MemorySettings::new(), clock.clone())?;
//!
//! // Of those who expect the key to be absent, one succeeds.
//! assert!(store.compare_and_set("session:7", None, b"backend-a", Duration::from_secs(60)).await?);
//! assert!(!store.compare_and_set("session:7", None, b"backend-b", Duration::from_secs(60)).await?);
//! assert_eq!(store.get("session:7").await?.as_deref(), Some(&b"backend-a"[..]));
//!
//! clock.advance(Duration::from_secs(60));
//! assert_eq!(store.get("session:7").await?, None);
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`memory`] | [`MemoryStore`]: one process, bounded by entries and bytes |
//! | [`resilient`] | [`Resilient`]: fails at once while a store is away, heals by itself, counts, tells once |
//! | [`away`] | the rules of an outage, pure, and [`AwaySettings`] |
//! | `redis` | `RedisStore`: Redis and Valkey (feature `redis`; `rediss://` with feature `tls`) |

pub mod away;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;
pub mod resilient;

pub use away::AwaySettings;
pub use lb_types::SettingsError;
pub use lb_types::store::{Store, StoreError, StoreFuture};
pub use memory::{MemorySettings, MemoryStore, MemoryUse};
#[cfg(feature = "redis")]
pub use redis::{RedisSettings, RedisStore, RedisUrl};
#[cfg(feature = "tracing")]
pub use resilient::log_events;
pub use resilient::{OnEvent, Resilient, StoreEvent, StoreStats};
