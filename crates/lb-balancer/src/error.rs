//! What a balancer refuses: when it is built, changed, started or asked for a check.

use lb_core::PoolError;

/// A balancer cannot be built from what was given.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Nothing to balance over, now or later.
    #[error("pool \"{pool}\" has no backends and no discovery that could find any")]
    NoBackends {
        /// The pool's name.
        pool: String,
    },
    /// The pool refuses its backends (an id twice, weights that are all 0 …) or its settings.
    #[error("pool \"{pool}\": {error}")]
    Pool {
        /// The pool's name.
        pool: String,
        /// Why.
        #[source]
        error: PoolError,
    },
    /// The health check is out of bounds, or cannot check one of the backends.
    #[cfg(feature = "health")]
    #[error("pool \"{pool}\": {error}")]
    HealthCheck {
        /// The pool's name.
        pool: String,
        /// Why.
        #[source]
        error: lb_health::HealthCheckError,
    },
    /// The agent check is out of bounds, or cannot ask the agent of one of the backends.
    #[cfg(feature = "health")]
    #[error("pool \"{pool}\": {error}")]
    AgentCheck {
        /// The pool's name.
        pool: String,
        /// Why.
        #[source]
        error: lb_health::AgentCheckError,
    },
    /// A setting of the circuit breaker or of passive detection is out of its bounds.
    #[cfg(feature = "faults")]
    #[error("pool \"{pool}\": {error}")]
    Faults {
        /// The pool's name.
        pool: String,
        /// Which, and why.
        #[source]
        error: FaultError,
    },
    /// A setting of session affinity or of its store is out of its bounds.
    #[cfg(feature = "sessions")]
    #[error("pool \"{pool}\": session_affinity.{error}")]
    Sessions {
        /// The pool's name.
        pool: String,
        /// Which, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// A setting of the selection cache is out of its bounds.
    #[cfg(feature = "cache")]
    #[error("pool \"{pool}\": caching.{error}")]
    Caching {
        /// The pool's name.
        pool: String,
        /// Which, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// A setting of queue or load shedding is out of its bounds.
    #[cfg(feature = "admission")]
    #[error("pool \"{pool}\": {section}.{error}")]
    Admission {
        /// The pool's name.
        pool: String,
        /// Of which section it is.
        section: &'static str,
        /// Which, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// A setting of auto-scaling is out of its bounds, or does not fit the pool.
    #[cfg(feature = "autoscale")]
    #[error("pool \"{pool}\": autoscale.{error}")]
    Autoscale {
        /// The pool's name.
        pool: String,
        /// Which, and why.
        #[source]
        error: lb_types::SettingsError,
    },
    /// The regions make no map.
    #[cfg(feature = "geo")]
    #[error("pool \"{pool}\": {error}")]
    Regions {
        /// The pool's name.
        pool: String,
        /// Why.
        #[source]
        error: lb_geo::RegionError,
    },
    /// There are regions, and nothing that says where clients are.
    #[cfg(feature = "geo")]
    #[error("pool \"{pool}\": regions need a geo_detector")]
    NoDetector {
        /// The pool's name.
        pool: String,
    },
    /// A balancer over regional balancers has something that only those can have.
    #[cfg(feature = "geo")]
    #[error("pool \"{pool}\" has regional balancers, and {what}: that belongs to the regional balancers")]
    OverRegions {
        /// The pool's name.
        pool: String,
        /// What it has.
        what: &'static str,
    },
    /// `selection_timeout` is longer than a request could sensibly wait.
    #[error("pool \"{pool}\": selection_timeout = {value:?}: must be at most {max:?}")]
    SelectionTimeout {
        /// The pool's name.
        pool: String,
        /// What was asked for.
        value: std::time::Duration,
        /// The most that is taken.
        max: std::time::Duration,
    },
}

/// A setting of the circuit breaker or of passive detection is out of its bounds.
#[cfg(feature = "faults")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FaultError {
    /// The circuit breaker's.
    #[error("circuit_breaker.{0}")]
    CircuitBreaker(lb_breaker::SettingsError),
    /// Adaptive concurrency's.
    #[cfg(feature = "admission")]
    #[error("adaptive_concurrency.{0}")]
    AdaptiveConcurrency(lb_types::SettingsError),
    /// Passive detection's.
    #[error(transparent)]
    OutlierDetection(lb_health::outlier::SettingsError),
}

/// A change of the backends is refused. Nothing has changed then.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// The pool refuses it.
    #[error(transparent)]
    Pool(#[from] PoolError),
    /// The balancer has its backends from its regions' balancers.
    #[error("this balancer has no backends of its own: change those of its regions")]
    Regional,
    /// A backend could not be checked as the pool's health check asks.
    #[cfg(feature = "health")]
    #[error(transparent)]
    HealthCheck(#[from] lb_health::HealthCheckError),
    /// A backend's agent could not be asked.
    #[cfg(feature = "health")]
    #[error(transparent)]
    AgentCheck(#[from] lb_health::AgentCheckError),
}

/// The background work cannot start.
#[cfg(feature = "runtime")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// There is one set of tasks per balancer.
    #[error("this balancer runs already")]
    AlreadyRunning,
    /// `start` was called outside a tokio runtime.
    #[error("a balancer starts inside a tokio runtime only")]
    NoRuntime,
    /// The health checker refuses to start.
    #[cfg(feature = "health")]
    #[error(transparent)]
    HealthCheck(#[from] lb_health::HealthCheckError),
    /// The agent checker refuses to start.
    #[cfg(feature = "health")]
    #[error(transparent)]
    AgentCheck(#[from] lb_health::AgentCheckError),
}

/// A check by hand is refused.
#[cfg(feature = "health")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckError {
    /// The balancer was built without a health check.
    #[error("this balancer has no health check")]
    NoHealthCheck,
    /// The health checker refuses it.
    #[error(transparent)]
    HealthCheck(#[from] lb_health::HealthCheckError),
}

/// A session cannot be cleared.
#[cfg(feature = "sessions")]
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// The balancer was built without session affinity.
    #[error("this balancer has no session affinity")]
    NoAffinity,
    /// The store was not reached in time. The session is cleared here, and waits to be cleared there.
    #[error("cleared here, and will be everywhere once the store is back: {0}")]
    Store(#[from] lb_types::StoreError),
}
