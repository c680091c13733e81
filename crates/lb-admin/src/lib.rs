//! Looks and steers: the admin API and the metrics endpoint.
//!
//! An [`AdminServer`] answers on an address of its own, so that looking at the balancer never competes with its traffic for a listener.
//! It looks, and it steers what an operator steers by hand: breakers, drains, checks.
//!
//! | path | answer |
//! |---|---|
//! | `GET /healthz` | `ok` while the process lives |
//! | `GET /readyz` | `ready`, or 503 with the reasons |
//! | `GET /metrics` | Prometheus text format |
//! | `GET /api/v1/pools` | every pool in a few figures |
//! | `GET /api/v1/pools/{pool}` | one pool with its backends and discovery |
//! | `PUT /api/v1/pools/{pool}/backends/{id}/breaker` | forces a breaker, or lets it go |
//! | `POST …/{id}/check` | checks a backend now |
//! | `POST`, `DELETE …/{id}/drain` | drains a backend, or ends that |
//! | `GET /api/v1/pools/{pool}/sessions` | sessions, and what is counted of them |
//! | `DELETE /api/v1/pools/{pool}/sessions/{id}` | forgets where a session goes |
//! | `GET /api/v1/geo/{ip}` | where an address is |
//! | `POST /api/v1/explain` | where a request would go, and why |
//! | `GET /api/v1/splits`, `GET`, `PUT /api/v1/splits/{name}` | splits: shown, set, shifted |
//! | `POST /api/v1/splits/{name}/{order}` | `switch`, `canary`, `pause`, `resume`, `abort` |
//! | `GET /api/v1/rollouts`, `GET`, `POST /api/v1/rollouts/{name}` | guarded rollouts: shown, started, extended, aborted |
//! | `GET /api/v1/health` | every backend's health |
//! | `GET /api/v1/metrics` | every pool's figures |
//! | `GET /api/v1/version` | what runs |
//!
//! Errors are problem documents (RFC 9457). Shapes with examples: `docs/admin-api.md`, which a test compares with the answers.
//!
//! Access: loopback addresses only, until there is a token; and only requests whose `Host` says so, which keeps web pages out that
//! let their own name point here (DNS rebinding). What changes something is refused to pages of another origin. It lacks changes of the
//! configuration, events and the dashboard.
//!
//! ```
//! use lb_admin::{AdminServer, AdminState};
//! use lb_balancer::LoadBalancer;
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let lb = LoadBalancer::builder()
//!     .backend(lb_types::Backend::new("a", "http://127.0.0.1:9001".parse()?))
//!     .build()?;
//! let (ready, is_ready) = tokio::sync::watch::channel(true);
//! let state = AdminState::new([("web".to_owned(), lb)], is_ready);
//! let server = AdminServer::bind("127.0.0.1:0".parse()?, state)?;
//! println!("http://{}/api/v1/pools", server.address());
//! let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
//! let serving = tokio::spawn(server.serve(async { _ = stopped.await }));
//! ready.send(false)?; // the listeners are going: /readyz says 503 from now on
//! drop(stop);
//! serving.await??;
//! # Ok(())
//! # }
//! ```

mod api;
mod autoscale;
mod error;
mod faults;
mod geo;
mod guard;
pub mod metrics;
mod problem;
mod server;
mod sessions;
mod splits;
mod state;
mod steer;
mod views;

pub use error::AdminError;
pub use metrics::{MetricsSource, MetricsWriter};
pub use server::{AdminServer, CONNECTIONS_MAX};
pub use splits::{RolloutReport, SideCount, SplitControl, SplitEntry};
pub use state::AdminState;
