//! Agent checks: each backend's agent is asked, on a schedule, what traffic the backend wants, and what it says is handed on.
//!
//! The protocol is HAProxy's `agent-check`: connect over TCP, send a text if one is set, read a line (see [`lb_types::agent`] for its
//! words), close. An agent that cannot be reached or says something else changes nothing: what it said before stays in force, and the
//! [`AgentStatus`](lb_types::AgentStatus) says what is wrong. Health is another matter: see [`HealthCheck`](crate::HealthCheck).
//!
//! | part | what it holds |
//! |---|---|
//! | [`AgentCheck`] | settings, their bounds, and where a backend's agent is; pure |
//! | `exchange` | one question and its answer |
//! | `AgentChecker` | the tokio shell, by the scheduler that health checks have (feature `runtime`) |
//!
//! Bounds: a line has [`AGENT_REPORT_BYTES_MAX`](lb_types::agent::AGENT_REPORT_BYTES_MAX) bytes at most; `max_concurrent` agents are
//! asked at once. It lacks TLS, and reports in response headers are the proxy's business.

#[cfg(feature = "runtime")]
mod checker;
mod error;
#[cfg(feature = "runtime")]
mod exchange;
#[cfg(feature = "runtime")]
mod registry;
mod settings;

#[cfg(feature = "runtime")]
pub use checker::AgentChecker;
pub use error::AgentCheckError;
pub use settings::{AGENT_SEND_BYTES_MAX, AgentCheck};
