//! One check of one backend: a trait, and its implementations, one a file.
//!
//! A check neither counts nor decides: it says how it went. Time limit, latency, counting and verdicts are the runner's. A
//! new kind of check is a new implementation of [`Check`], and needs nothing else of the crate to change.

#[cfg(feature = "http")]
mod body;
pub(crate) mod connect;
pub mod custom;
#[cfg(feature = "grpc")]
pub mod grpc;
#[cfg(feature = "http")]
pub mod http;
mod maker;
pub mod tcp;
#[cfg(all(feature = "tls", any(feature = "http", feature = "grpc")))]
mod tls;
#[cfg(any(feature = "http", feature = "grpc"))]
mod wire;

#[cfg(feature = "http")]
pub use body::BODY_BYTES_MAX;
pub use maker::Maker;

use crate::{HealthCheckError, Plan};
use lb_types::Backend;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

/// The future of one check.
pub type CheckFuture<'a> = Pin<Box<dyn Future<Output = Report> + Send + 'a>>;

/// Something that can be done to a backend to see whether it is up.
///
/// Each call is one check, on its own connection. The runner drops the future when the time limit is over, and takes a panic
/// for a failure.
pub trait Check: Send + Sync + 'static {
    /// Checks once.
    fn check(&self) -> CheckFuture<'_>;
}

/// How one check went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Passed, or why not.
    pub result: Result<(), CheckError>,
    /// What was seen, for people (a status line, say); bounded by the check.
    pub details: Option<String>,
    /// How long the backend took to answer, where that is another time than the check as a whole; `None`: the whole time is measured.
    pub latency: Option<Duration>,
}

impl Report {
    /// It passed, and there is no more to say.
    pub const fn passed() -> Self {
        Self { result: Ok(()), details: None, latency: None }
    }

    /// It failed, and there is no more to say.
    pub const fn failed(error: CheckError) -> Self {
        Self { result: Err(error), details: None, latency: None }
    }
}

/// Why a check failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// It was not over in time.
    #[error("no result within {after:?}")]
    Timeout {
        /// The check's `timeout`.
        after: Duration,
    },
    /// The host name has no address.
    #[error("cannot resolve {host}: {error}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        error: String,
    },
    /// No connection could be made.
    #[error("cannot connect to {address}: {error}")]
    Connect {
        /// The address tried last.
        address: String,
        /// What the operating system said.
        error: String,
    },
    /// There was no TLS to be had: the certificate is not good, or what is there speaks no TLS.
    #[error("no TLS with \"{name}\": {error}")]
    Tls {
        /// The name that the certificate should have.
        name: String,
        /// What rustls said.
        error: String,
    },
    /// The answer was no gRPC one within the bounds, or the connection ended before its end.
    #[error("no valid gRPC answer: {error}")]
    Grpc {
        /// What is wrong with it.
        error: String,
    },
    /// The gRPC call failed.
    #[error("gRPC status {status}{}{message}", if message.is_empty() { "" } else { ": " })]
    GrpcStatus {
        /// Its name, such as `UNIMPLEMENTED`.
        status: String,
        /// What the server said of it, at most 128 characters of it.
        message: String,
    },
    /// The gRPC service says that it does not serve.
    #[error("the service is {status}")]
    NotServing {
        /// `NOT_SERVING`, `SERVICE_UNKNOWN` or `UNKNOWN`.
        status: String,
    },
    /// The answer was no HTTP/1 response within the bounds, or the connection ended before its end.
    #[error("no valid HTTP answer: {error}")]
    Http {
        /// What is wrong with it.
        error: String,
    },
    /// The status is none of the expected ones.
    #[error("status {status}, expected {expected}")]
    Status {
        /// The status of the answer.
        status: u16,
        /// The statuses that pass, such as `200-201, 204`.
        expected: String,
    },
    /// The status is right and the body is not.
    #[error("body {found}, expected {expected}")]
    Body {
        /// The start of it, in quotes.
        found: String,
        /// What passes, such as `exactly "OK"`.
        expected: String,
    },
    /// The check itself panicked: a bug in it.
    #[error("the check panicked")]
    Panicked,
    /// What a check that is not of this crate says.
    #[error("{0}")]
    Other(String),
}

/// The check that `plan` asks for. Of many backends a [`Maker`] makes them with less.
///
/// # Errors
/// As [`Maker::check`].
pub fn for_plan(_backend: &Backend, plan: &Plan) -> Result<Arc<dyn Check>, HealthCheckError> {
    Maker::default().check(plan)
}
