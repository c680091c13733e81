//! Where backends come from, if not from the configuration: the half of discovery that does I/O.
//!
//! A [`Discover`] source yields whole lists; the balancer keeps what the last good one named, changes its pool by the difference,
//! and lets errors change nothing but the [`DiscoveryStatus`]. A source owns the ids it brought: it never changes or removes a backend
//! that was configured, added by hand, or brought by another source. What records and lists amount to is worked out by the pure half,
//! [`lb_core::discover`].

#[cfg(feature = "discovery-dns")]
mod dns;
#[cfg(feature = "discovery-file")]
mod file;
mod follow;
#[cfg(feature = "discovery-kubernetes")]
pub mod kubernetes;

#[cfg(feature = "discovery-dns")]
pub use dns::{DnsDiscovery, DnsRecords, TTL_MAX, TTL_MIN};
#[cfg(feature = "discovery-file")]
pub use file::{FILE_BYTES_MAX, FileDiscovery};
pub use follow::{BACKENDS_MAX, RETRY_MAX, RETRY_MIN};
pub(crate) use follow::{Source, follow};
#[cfg(feature = "discovery-kubernetes")]
pub use kubernetes::{KubernetesDiscovery, KubernetesService};

use lb_types::Backend;
use std::future::Future;
use std::pin::Pin;

/// The future of the next list.
pub type DiscoverFuture<'a> = Pin<Box<dyn Future<Output = Result<Vec<Backend>, DiscoverError>> + Send + 'a>>;

/// A source of backends.
///
/// The first list is wanted at once, each further one when it may have changed; an equal list is no harm. After an error the balancer
/// waits ([`RETRY_MIN`], doubling up to [`RETRY_MAX`] for errors in a row where the source cannot be had, each with jitter) and asks again.
/// The future may be dropped at any time and asked for anew.
pub trait Discover: Send + 'static {
    /// What it is, for statuses and messages: `dns users.internal.`, `file backends.toml`.
    fn describe(&self) -> String;

    /// Waits for the next list: all backends of this source.
    fn next(&mut self) -> DiscoverFuture<'_>;
}

impl<D: Discover> From<D> for Box<dyn Discover> {
    fn from(source: D) -> Self {
        Box::new(source)
    }
}

/// A source has no list to give.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DiscoverError {
    /// What a source is told is wrong; asking again will not help, but it is asked again all the same.
    #[error("{field} = {value:?}: {reason}")]
    Setting {
        /// The setting's name in the configuration file.
        field: &'static str,
        /// Its value.
        value: String,
        /// What it must be.
        reason: String,
    },
    /// DNS gave no answer.
    #[error("looking up {name} ({records}): {error}")]
    Lookup {
        /// The name that was asked for.
        name: String,
        /// `A`, `AAAA` or `SRV`.
        records: &'static str,
        /// What the resolver said.
        error: String,
    },
    /// A file cannot be read, or says nothing sensible.
    #[error("{path}: {error}")]
    File {
        /// The file.
        path: String,
        /// What the operating system or the parser said.
        error: String,
    },
    /// A folder cannot be watched.
    #[error("watching {folder}: {error}")]
    Watch {
        /// The folder.
        folder: String,
        /// What the operating system said.
        error: String,
    },
    /// A Kubernetes API gave no answer, or said no.
    #[error("service {service}: {error}")]
    Kubernetes {
        /// The service that it was asked for, `namespace/name`.
        service: String,
        /// What it said.
        error: String,
    },
    /// The list says something that cannot be.
    #[error("{0}")]
    Content(String),
}

impl DiscoverError {
    /// The source was heard, but said something wrong: it will say so when it has something better, so there is no point in waiting
    /// ever longer.
    fn is_content(&self) -> bool {
        matches!(self, Self::File { .. } | Self::Content(_))
    }
}

/// How a source stands.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DiscoveryStatus {
    /// What it is.
    pub source: String,
    /// How many backends of the pool are from its last good list.
    pub backends: usize,
    /// Good lists so far.
    pub successes: u64,
    /// Errors so far.
    pub failures: u64,
    /// When the last good list came, Unix milliseconds.
    pub last_success: Option<u64>,
    /// When the pool last changed because of it, Unix milliseconds.
    pub last_change: Option<u64>,
    /// What the last error was; `None` once a good list came after it.
    pub last_error: Option<String>,
}

/// A list that never changes.
#[derive(Clone, Debug, Default)]
pub struct StaticList {
    backends: Vec<Backend>,
    given: bool,
}

impl StaticList {
    /// This list, once.
    pub fn new(backends: Vec<Backend>) -> Self {
        Self { backends, given: false }
    }
}

impl Discover for StaticList {
    fn describe(&self) -> String {
        "static list".to_owned()
    }

    fn next(&mut self) -> DiscoverFuture<'_> {
        Box::pin(async {
            if std::mem::replace(&mut self.given, true) {
                std::future::pending::<()>().await;
            }
            Ok(self.backends.clone())
        })
    }
}
