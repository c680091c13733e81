//! `LoadBalancer`: the engine, health checks and discovery composed behind one handle.
//!
//! ```
//! use lb_balancer::{LoadBalancer, SelectOptions};
//! use lb_types::{Backend, Nanos, Outcome, RequestInfo};
//!
//! let lb = LoadBalancer::builder()
//!     .backend(Backend::new("a", "http://127.0.0.1:9001".parse()?).weight(3))
//!     .backend(Backend::new("b", "http://127.0.0.1:9002".parse()?))
//!     .build()?;
//!
//! let lease = lb.select_backend(&RequestInfo::default(), &SelectOptions::default())?;
//! println!("→ {}", lease.backend().url());
//! lease.complete(Outcome::Success { ttfb: Nanos::from_millis(3) });
//! assert_eq!(lb.metrics().requests, 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it holds | feature |
//! |---|---|---|
//! | [`balancer`] | the handle | – |
//! | [`selection`] | one request's picks | – |
//! | `door` | the queue, load shedding, adaptive concurrency | `admission` |
//! | [`autoscale`] | how many backends there are, by load | `autoscale` |
//! | `sessions` | the same client, the same backend | `sessions` |
//! | `geo` | regions: `geo-based` and `geo-aware` | `geo` |
//! | [`cache`] | where a key went last | `cache` |
//! | [`builder`] | how it is made | – |
//! | `members` | changes of the set of backends, health checks kept in step | – |
//! | [`metrics`] | what happened | – |
//! | `wait` | picks that wait for a backend to become usable | `runtime` |
//! | [`drain`] | emptying a backend | `runtime` |
//! | [`running`] | the background work | `runtime` |
//! | [`discover`] | where backends come from: DNS, a watched file, Kubernetes, anything | `runtime`, `discovery-dns`, `discovery-file`, `discovery-kubernetes` |
//! | `health` | statuses, checks by hand, events | `health` for checks |
//! | [`faults`] | circuit breakers, passive detection, their events | `faults` |
//!
//! Without any feature nothing here knows tokio. `serde` derives `Serialize` for what is reported.

#[cfg(feature = "autoscale")]
pub mod autoscale;
pub mod balancer;
pub mod builder;
#[cfg(feature = "cache")]
pub mod cache;
#[cfg(feature = "runtime")]
pub mod discover;
#[cfg(feature = "admission")]
mod door;
#[cfg(feature = "runtime")]
pub mod drain;
pub mod error;
#[cfg(feature = "faults")]
pub mod faults;
#[cfg(feature = "geo")]
mod geo;
mod health;
mod members;
pub mod metrics;
pub mod options;
#[cfg(feature = "runtime")]
pub mod running;
pub mod selection;
#[cfg(feature = "sessions")]
mod sessions;
#[cfg(feature = "runtime")]
mod wait;

#[cfg(feature = "autoscale")]
pub use autoscale::{CpuSource, InstanceTemplate, ScaleEvent, ScaleEvents, ScaleSettings, ScaleStatus};
pub use balancer::LoadBalancer;
pub use builder::LoadBalancerBuilder;
#[cfg(feature = "cache")]
pub use cache::{CacheStats, Caching};
#[cfg(feature = "runtime")]
pub use discover::{Discover, DiscoverError, DiscoveryStatus, StaticList};
#[cfg(feature = "admission")]
pub use door::AdmissionError;
#[cfg(feature = "runtime")]
pub use drain::DrainReport;
#[cfg(feature = "health")]
pub use error::CheckError;
#[cfg(feature = "faults")]
pub use error::FaultError;
#[cfg(feature = "sessions")]
pub use error::SessionError;
#[cfg(feature = "runtime")]
pub use error::StartError;
pub use error::{BuildError, ChangeError};
#[cfg(feature = "faults")]
pub use faults::{CircuitBreaker, CircuitBreakers, FaultEvent};
#[cfg(feature = "admission")]
pub use lb_admission::{self as admission, Priority};
#[cfg(feature = "faults")]
pub use lb_breaker::{self as breaker, BreakerSettings};
pub use lb_core::{self as core, Algorithm, Change, Lease, PickContext, PoolSettings, SelectError};
#[cfg(feature = "geo")]
pub use lb_geo::{self as geography, GeoDetector, RegionSettings};
#[cfg(feature = "faults")]
pub use lb_health::outlier::{self, OutlierDetection};
#[cfg(feature = "health")]
pub use lb_health::{self as health_check, AgentCheck, HealthCheck};
#[cfg(feature = "sessions")]
pub use lb_session::{self as session, SessionAffinity, SessionManager, SharingSettings};
pub use metrics::{BackendMetrics, BalancerMetrics};
pub use options::SelectOptions;
#[cfg(feature = "runtime")]
pub use running::Running;
pub use selection::Selection;
