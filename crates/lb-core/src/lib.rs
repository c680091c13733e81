//! Which backend? The balancing engine, without I/O.
//!
//! A [`Pool`] holds backends and their live state, publishes one immutable snapshot of what is eligible, and hands out
//! [`Lease`]s: `acquire` picks a backend by the pool's [`Algorithm`] and counts the request in, atomically; the lease
//! counts it out again, whatever happens. A pick takes no lock, allocates nothing, reads no clock and draws no
//! randomness but from the [`PickContext`] it is given, so that it replays.
//!
//! ```
//! use lb_core::{Algorithm, PickContext, Pool, PoolSettings};
//! use lb_types::{Backend, Nanos, Outcome, SystemClock};
//! use std::sync::Arc;
//!
//! let backends = vec![
//!     Backend::new("a", "http://127.0.0.1:9001".parse()?).weight(5),
//!     Backend::new("b", "http://127.0.0.1:9002".parse()?),
//!     Backend::new("c", "http://127.0.0.1:9003".parse()?),
//! ];
//! let settings = PoolSettings::new(Algorithm::WeightedRoundRobin);
//! let pool = Pool::new(settings, backends, Arc::new(SystemClock::new()))?;
//! let mut order = String::new();
//! for _ in 0..7 {
//!     let lease = pool.acquire(&mut PickContext::new(pool.now(), 1))?;
//!     order.push_str(lease.backend().id().as_str());
//!     lease.complete(Outcome::Success { ttfb: Nanos::from_millis(3) });
//! }
//! assert_eq!(order, "aabacaa");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The walk of one pick through the files: [`pool`] (which snapshot) → `snapshot` (which level, re-picks, the scan when they are
//! used up) → `policy/*` (which candidate) → [`gate`] (count in, or the reason why not) → [`lease`].

mod bond;
mod build;
pub mod context;
pub mod discover;
pub mod error;
pub mod explain;
pub mod gate;
mod groups;
pub mod histogram;
mod latency;
pub mod lease;
mod levels;
pub mod load;
pub mod load_tree;
#[cfg(feature = "orca")]
pub mod orca;
mod policy;
pub mod pool;
mod ramp;
pub mod regions;
pub mod settings;
mod shared;
pub mod snapshot;
pub mod state;
mod sync;
mod writer;

pub use bond::Bond;
pub use build::is_hash;
pub use context::PickContext;
pub use error::{ExclusionCounts, PoolError, Refusal, SelectError};
pub use explain::{Candidate, Explanation, Step};
pub use histogram::{Histogram, HistogramSnapshot};
pub use lease::Lease;
pub use levels::Health;
pub use policy::hash_source;
pub use pool::{Change, Pool, PoolReader};
pub use regions::{Region, Regions};
pub use settings::*;
pub use shared::PoolWatcher;
pub use snapshot::{Member, Snapshot};
pub use state::{BackendState, BackendStats};
