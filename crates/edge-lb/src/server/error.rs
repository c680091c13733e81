//! Why a configuration does not become a running server.

use lb_admin::AdminError;
use lb_balancer::{BuildError, DiscoverError, StartError};
use lb_proxy::ServeError;

/// A server cannot be assembled or started. Nothing is left behind: addresses that were taken are free again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// There must be one pool: without routes nobody could say which.
    #[error("there must be one pool, not {count}: routes are not built yet")]
    Pools {
        /// How many there are.
        count: usize,
    },
    /// A kind of listener that this version does not know.
    #[error("{address}: this kind of listener is not built yet")]
    Listener {
        /// Its address.
        address: String,
    },
    /// A pool cannot be built: no backends, an id twice, weights that are all 0, a backend that cannot be checked …
    #[error(transparent)]
    Build(#[from] BuildError),
    /// A pool's discovery is set wrong.
    #[error("pool \"{pool}\", discovery: {error}")]
    Discovery {
        /// The pool's name.
        pool: String,
        /// Why.
        #[source]
        error: DiscoverError,
    },
    /// A retry policy's backoff or budget is out of its bounds.
    #[error("pool \"{pool}\", retry_policy: {error}")]
    Retry {
        /// The pool's name.
        pool: String,
        /// Why.
        #[source]
        error: lb_breaker::SettingsError,
    },
    /// A condition for retries that this version does not know.
    #[error("pool \"{pool}\": a condition of its retry_on is not built yet")]
    RetryOn {
        /// The pool's name.
        pool: String,
    },
    /// A kind of discovery that this version does not know.
    #[error("pool \"{pool}\": this kind of discovery is not built yet")]
    DiscoveryKind {
        /// The pool's name.
        pool: String,
    },
    /// A pool's agents cannot speak in this header.
    #[error("pool \"{pool}\": \"{header}\" is no header name")]
    AgentHeader {
        /// The pool's name.
        pool: String,
        /// What was to be the header.
        header: String,
    },
    /// An address for clients cannot be taken, or a worker cannot be started.
    #[error(transparent)]
    Serve(#[from] ServeError),
    /// The admin address cannot be taken, or may not be.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// The background work cannot be started.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl AssembleError {
    /// Is the configuration wrong (`true`), or is it right but cannot be carried out here and now (a port in use, say)?
    pub fn is_config(&self) -> bool {
        match self {
            Self::Serve(ServeError::NoListeners) => true,
            Self::Admin(e) => matches!(e, AdminError::NotLoopback { .. }),
            Self::Serve(_) | Self::Start(_) => false,
            _ => true,
        }
    }
}
