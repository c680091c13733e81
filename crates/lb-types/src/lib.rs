//! The values and traits that every edge-lb crate shares.
//!
//! Nothing here does I/O, reads a clock (but for [`SystemClock`], behind the `std-clock` feature) or draws a random
//! number, so the crates that stand on it alone run under a virtual clock and build for WebAssembly.
//!
//! | module | what it holds |
//! |---|---|
//! | [`id`] | [`BackendId`] |
//! | [`url`] | [`BackendUrl`], its parser and [`UrlError`] |
//! | [`backend`] | [`Backend`], what a user says of one backend, and [`BackendPatch`] |
//! | [`overrides`] | what one backend has otherwise than its pool: [`HealthCheckOverride`], [`AgentOverride`] |
//! | [`health`] | [`HealthSink`], [`HealthEvent`], [`HealthStatus`] |
//! | [`request`] | [`RequestInfo`], what a policy may look at, and [`KeySource`] |
//! | [`response`] | [`FixedResponse`], what clients are told in place of a backend's answer |
//! | [`outcome`] | [`Outcome`] of a request and [`FailureKind`] |
//! | [`time`] | [`Nanos`], [`Clock`], [`ManualClock`] |
//! | [`exclusion`] | [`Exclusion`], why a backend was not picked |
//! | [`guard`] | [`Guard`], what stands before a backend: breaker, passive detection |
//! | [`agent`] | [`AgentReport`], what a backend's agent says of it |
//! | [`load_report`] | [`LoadReport`], what a backend says of its load |
//! | [`settings`] | [`SettingsError`], which setting is wrong |
//! | [`store`] | [`Store`], a key-value store with expiry that several share, and [`StoreError`] |

pub mod agent;
pub mod backend;
pub mod exclusion;
pub mod guard;
pub mod health;
pub mod id;
pub mod load_report;
pub mod outcome;
pub mod overrides;
pub mod request;
pub mod response;
pub mod settings;
pub mod store;
pub mod time;
pub mod url;

pub use agent::{AgentMode, AgentReport, AgentReportError, AgentSink, AgentStatus};
pub use backend::{Backend, BackendPatch};
pub use exclusion::Exclusion;
pub use guard::{Guard, GuardFactory, Pass, Stance};
pub use health::{HealthEvent, HealthSink, HealthStatus};
pub use id::BackendId;
pub use load_report::LoadReport;
pub use outcome::{FailureKind, Outcome};
pub use overrides::{AgentOverride, ExpectedBody, HealthCheckOverride};
pub use request::{HeaderSource, KeySource, NoHeaders, RequestInfo};
pub use response::FixedResponse;
pub use settings::SettingsError;
pub use store::{Store, StoreError, StoreFuture};
#[cfg(feature = "std-clock")]
pub use time::SystemClock;
pub use time::{Clock, ManualClock, Nanos};
pub use url::{Address, BackendUrl, Host, Scheme, UrlError};
