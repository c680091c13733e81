//! Is it up, and what traffic does it want? Active health checks with thresholds, jitter and events; agent checks.
//!
//! A `HealthChecker` checks a set of backends on a schedule or when asked, keeps a status of each, and tells every result and every
//! change of verdict to a sink (a pool, say), the latter also to callbacks and to a stream of events. An `AgentChecker` asks backends'
//! agents and hands on what they say. What they decide by is pure and usable alone.
//!
//! | module | what it holds | needs |
//! |---|---|---|
//! | [`hysteresis`] | rise and fall: results in, verdicts out | – |
//! | [`schedule`] | when the next check is due | – |
//! | [`outlier`] | passive detection: who fails the requests it gets | – |
//! | [`agent`] | what agents say of their backends: settings, `AgentChecker` | `runtime` for the latter |
//! | [`HealthCheck`], [`Plan`] | settings, their bounds, and what one backend makes of them | – |
#![cfg_attr(
    feature = "runtime",
    doc = "| [`check`] | one check: the `Check` trait, TCP, custom, HTTP, gRPC, TLS | `runtime`, `http`, `grpc`, `tls` |"
)]
#![cfg_attr(feature = "runtime", doc = "| [`runner`] | the tokio shell: `HealthChecker` | `runtime` |")]
//!
//! Features: `http` (the default) has HTTP checks; `grpc` has gRPC checks; `tls` lets both speak TLS; `runtime` alone has TCP and custom
//! checks and agents; without any only the pure parts are built, which know no tokio and no clock. `regex` alone lets those refuse a bad
//! pattern. `serde` derives `Serialize` for statuses and events. What a build lacks is refused when it is set.
//!
#![cfg_attr(feature = "runtime", doc = "```")]
#![cfg_attr(not(feature = "runtime"), doc = "```ignore")]
//! use lb_health::{HealthCheck, HealthChecker, NoSink};
//! use lb_types::{Backend, HealthEvent};
//! use std::{sync::Arc, time::Duration};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let listener = std::net::TcpListener::bind("127.0.0.1:0")?; // a backend
//! let url = format!("http://{}", listener.local_addr()?).parse()?;
//!
//! let settings = HealthCheck::tcp().interval(Duration::from_millis(50)).thresholds(2, 1);
//! let checker = HealthChecker::new(settings, Arc::new(NoSink))?;
//! checker.on_event(|event| println!("{event:?}"));
//! checker.set_backends(vec![Backend::new("a", url)])?;
//!
//! // By hand …
//! assert!(checker.check_backend("a").await?.healthy);
//!
//! // … or on schedule, until the guard is dropped.
//! let mut events = checker.events();
//! let running = checker.start()?;
//! drop(listener);
//! assert!(matches!(events.recv().await?, HealthEvent::BackendUnhealthy { id, .. } if id == "a"));
//! running.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! It lacks client certificates, HTTP/2 for HTTP checks, and shared verdicts among several processes.

pub mod agent;
#[cfg(feature = "runtime")]
pub mod check;
mod elsewhere;
mod error;
mod expect;
pub mod hysteresis;
#[cfg(feature = "runtime")]
mod outbox;
pub mod outlier;
mod plan;
#[cfg(feature = "runtime")]
pub mod runner;
pub mod schedule;
#[cfg(feature = "runtime")]
mod scheduler;
mod settings;
#[cfg_attr(not(feature = "runtime"), allow(dead_code))] // the runner's, but pure: tested in every build
mod track;
mod validate;

#[cfg(feature = "runtime")]
pub use agent::AgentChecker;
pub use agent::{AgentCheck, AgentCheckError};
#[cfg(feature = "runtime")]
pub use check::custom::HealthReport;
pub use error::HealthCheckError;
pub use expect::{EXPECTED_BODY_BYTES_MAX, validate_expected_body};
pub use lb_types::ExpectedBody;
pub use plan::{Plan, Target};
#[cfg(feature = "runtime")]
pub use runner::{EVENTS_CAPACITY, HealthChecker, HealthCheckerBuilder, NoSink, RunningChecker};
pub use settings::{CheckKind, GrpcCheck, HealthCheck, HttpCheck, TlsCheck};
pub use validate::{
    CONCURRENT_MAX, JITTER_PERCENT_MAX, LONGEST, OWN_HEADERS, PATH_BYTES_MAX, SERVICE_BYTES_MAX, SHORTEST,
};
