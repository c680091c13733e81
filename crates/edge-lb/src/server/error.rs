//! Why a configuration does not become a running server.

use lb_admin::AdminError;
use lb_balancer::{BuildError, DiscoverError, StartError};
use lb_proxy::ServeError;

/// A server cannot be assembled or started. Nothing is left behind: addresses that were taken are free again.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AssembleError {
    /// No pool has this name.
    #[error("there is no pool \"{pool}\"")]
    NoPool {
        /// The name.
        pool: String,
    },
    /// A pool that no request would come to: no route leads to it (without routes: it is not the entry), and it is no region of one to
    /// which requests come.
    #[error("no request comes to pool \"{pool}\": several pools need routes")]
    UnusedPool {
        /// The pool's name.
        pool: String,
    },
    /// A store is set wrong.
    #[error("stores.{store}.{error}")]
    Store {
        /// The store's name.
        store: String,
        /// Which setting, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// A kind of store that this version does not know.
    #[error("stores.{store}: this kind of store is not built yet")]
    StoreKind {
        /// The store's name.
        store: String,
    },
    /// No store has this name.
    #[error("there is no store \"{store}\"")]
    UnknownStore {
        /// The name.
        store: String,
    },
    /// A pool's session affinity is set wrong.
    #[error("pool \"{pool}\", session_affinity.{error}")]
    Sessions {
        /// The pool's name.
        pool: String,
        /// Which setting, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// A pool's rate limit is set wrong.
    #[error("pool \"{pool}\", rate_limit.{error}")]
    RateLimit {
        /// The pool's name.
        pool: String,
        /// Which setting, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// Something at the top is set wrong.
    #[error("{error}")]
    Top {
        /// Which setting, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// A split is set wrong.
    #[error("split \"{split}\", {error}")]
    Split {
        /// The split's name.
        split: String,
        /// Which setting, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// No split has this name.
    #[error("there is no split \"{split}\"")]
    NoSplit {
        /// The name.
        split: String,
    },
    /// A route is set wrong.
    #[error("route \"{route}\", {error}")]
    Route {
        /// The route's name; empty if it is about all of them.
        route: String,
        /// Which setting, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// A route does what this version does not know.
    #[error("route \"{route}\": what it does is not built yet")]
    RouteKind {
        /// The route's name.
        route: String,
    },
    /// A kind of geography database that this version does not know.
    #[error("geo.database: this kind of database is not built yet")]
    GeoDatabase,
    /// A geography database cannot be opened, or geography is set wrong.
    #[error("geo: {0}")]
    Geo(#[from] lb_geo::GeoError),
    /// A store on the network needs a tokio runtime to live on.
    #[error("a store on the network needs a tokio runtime")]
    NoRuntime,
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
        /// The pool's name, or `route.NAME`.
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
    /// A pool's driver cannot be made: a setting, or a state file that somebody else has.
    #[error("pool \"{pool}\", autoscale.driver: {error}")]
    ScaleDriver {
        /// The pool's name.
        pool: String,
        /// Why.
        #[source]
        error: lb_autoscale::DriverError,
    },
    /// A kind of driver that this version does not know, or that this system does not bear.
    #[error(
        "pool \"{pool}\": there is no such autoscale.driver here (process and exec are there on Linux alone)"
    )]
    ScaleDriverKind {
        /// The pool's name.
        pool: String,
    },
    /// A kind of discovery that this version does not know.
    #[error("pool \"{pool}\": this kind of discovery is not built yet")]
    DiscoveryKind {
        /// The pool's name.
        pool: String,
    },
    /// A pool's discovery in Kubernetes is set wrong.
    #[error("pool \"{pool}\", discovery.{error}")]
    DiscoverySettings {
        /// The pool's name.
        pool: String,
        /// Which setting, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// This build lacks what a section of a pool asks for.
    #[error(
        "pool \"{pool}\", {section}: this build has no `{feature}`: build edge-lb with this cargo feature"
    )]
    NotInBuild {
        /// The pool's name.
        pool: String,
        /// The section.
        section: &'static str,
        /// The cargo feature that has it.
        feature: &'static str,
    },
    /// A header that agents should speak in, or that should name a request's priority, has no such name.
    #[error("pool \"{pool}\": \"{header}\" is no header name")]
    HeaderName {
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
            // Another process has the state file, or it cannot be written.
            Self::ScaleDriver { error, .. } => matches!(error, lb_autoscale::DriverError::Settings(_)),
            Self::Admin(e) => matches!(e, AdminError::NotLoopback { .. }),
            Self::Serve(_) | Self::Start(_) | Self::NoRuntime => false,
            _ => true,
        }
    }
}
