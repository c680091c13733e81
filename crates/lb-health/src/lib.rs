//! Is it up? Active health checks with thresholds, jitter and events.
#[cfg(feature = "runtime")]
pub mod check;
mod error;
pub mod hysteresis;
mod plan;
#[cfg(feature = "runtime")]
pub mod runner;
pub mod schedule;
mod settings;
#[cfg_attr(not(feature = "runtime"), allow(dead_code))] // the runner's, but pure: tested in every build
mod track;
mod validate;

pub use error::HealthCheckError;
pub use plan::{Plan, Target};
#[cfg(feature = "runtime")]
pub use runner::{EVENTS_CAPACITY, HealthChecker, HealthCheckerBuilder, NoSink, RunningChecker};
pub use settings::{CheckKind, HealthCheck, HttpCheck};
pub use validate::{CONCURRENT_MAX, JITTER_PERCENT_MAX, LONGEST, PATH_BYTES_MAX, SHORTEST};
