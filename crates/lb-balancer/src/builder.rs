//! How a balancer is made: setters that cannot fail, and one `build()` that can.

use crate::balancer::{Inner, LoadBalancer};
#[cfg(feature = "runtime")]
use crate::discover::{Discover, Source};
use crate::error::BuildError;
#[cfg(feature = "faults")]
use crate::faults::Faults;
use crate::members::Members;
use lb_core::{Algorithm, Pool, PoolSettings};
use lb_types::{Backend, Clock, SystemClock};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
#[cfg(feature = "runtime")]
use std::time::Duration;

/// The longest `selection_timeout`: no client waits longer for a first byte.
#[cfg(feature = "runtime")]
pub const SELECTION_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// Describes a [`LoadBalancer`]; see [`LoadBalancer::builder`].
#[must_use = "a builder does nothing until it is built"]
pub struct LoadBalancerBuilder {
    name: String,
    backends: Vec<Backend>,
    settings: PoolSettings,
    clock: Option<Arc<dyn Clock>>,
    seed: Option<u64>,
    #[cfg(feature = "runtime")]
    selection_timeout: Duration,
    #[cfg(feature = "runtime")]
    sources: Vec<Box<dyn Discover>>,
    #[cfg(feature = "health")]
    health_check: Option<lb_health::HealthCheck>,
    #[cfg(feature = "health")]
    agent_check: Option<lb_health::AgentCheck>,
    #[cfg(feature = "faults")]
    circuit_breaker: Option<lb_breaker::BreakerSettings>,
    #[cfg(feature = "faults")]
    outlier_detection: Option<lb_health::outlier::OutlierDetection>,
}

impl Default for LoadBalancerBuilder {
    fn default() -> Self {
        Self {
            name: "default".to_owned(),
            backends: vec![],
            settings: PoolSettings::default(),
            clock: None,
            seed: None,
            #[cfg(feature = "runtime")]
            selection_timeout: Duration::from_millis(100),
            #[cfg(feature = "runtime")]
            sources: vec![],
            #[cfg(feature = "health")]
            health_check: None,
            #[cfg(feature = "health")]
            agent_check: None,
            #[cfg(feature = "faults")]
            circuit_breaker: None,
            #[cfg(feature = "faults")]
            outlier_detection: None,
        }
    }
}

impl LoadBalancerBuilder {
    /// The pool's name, for messages and metrics; `default` without it.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// Adds a backend.
    pub fn backend(mut self, backend: Backend) -> Self {
        self.backends.push(backend);
        self
    }

    /// Adds backends.
    pub fn backends(mut self, backends: impl IntoIterator<Item = Backend>) -> Self {
        self.backends.extend(backends);
        self
    }

    /// How a backend is chosen; `weighted-round-robin` without it.
    pub fn algorithm(mut self, algorithm: Algorithm) -> Self {
        self.settings.algorithm = algorithm;
        self
    }

    /// All settings of the pool, the algorithm among them.
    pub fn settings(mut self, settings: PoolSettings) -> Self {
        self.settings = settings;
        self
    }

    /// Checks the backends actively, once the balancer is [started](LoadBalancer::start). Without it all count as healthy.
    #[cfg(feature = "health")]
    pub fn health_check(mut self, health_check: lb_health::HealthCheck) -> Self {
        self.health_check = Some(health_check);
        self
    }

    /// Asks each backend's agent, once the balancer is [started](LoadBalancer::start), what traffic it wants: weight, drain, maintenance.
    #[cfg(feature = "health")]
    pub fn agent_check(mut self, agent_check: lb_health::AgentCheck) -> Self {
        self.agent_check = Some(agent_check);
        self
    }

    /// Puts a circuit breaker before each backend. Without it requests go to backends however much they fail.
    #[cfg(feature = "faults")]
    pub fn circuit_breaker(mut self, settings: lb_breaker::BreakerSettings) -> Self {
        self.circuit_breaker = Some(settings);
        self
    }

    /// Ejects for a while the backends that fail what they get (passive detection). Without it nobody is.
    #[cfg(feature = "faults")]
    pub fn outlier_detection(mut self, settings: lb_health::outlier::OutlierDetection) -> Self {
        self.outlier_detection = Some(settings);
        self
    }

    /// Takes backends also from this source, once the balancer is [started](LoadBalancer::start). Several sources, and backends
    /// given here, add up; an id belongs to whoever had it first.
    #[cfg(feature = "runtime")]
    pub fn discover(mut self, source: impl Into<Box<dyn Discover>>) -> Self {
        self.sources.push(source.into());
        self
    }

    /// Where time comes from; by default the operating system's monotonic clock.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// How long [`select_backend_async`](LoadBalancer::select_backend_async) waits for a backend to become usable, default 100 ms,
    /// at most [`SELECTION_TIMEOUT_MAX`]; zero: not at all.
    #[cfg(feature = "runtime")]
    pub fn selection_timeout(mut self, timeout: Duration) -> Self {
        self.selection_timeout = timeout;
        self
    }

    /// Makes random choices (and the jitter of health checks) the same on every run, for tests.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// The balancer, at rest: it picks at once, but checks and discovers only once [started](LoadBalancer::start). Needs no runtime.
    ///
    /// # Errors
    /// Neither backends nor discovery, an id that is empty or there twice, weights that are all 0, a setting or health check out of
    /// its bounds, a backend that cannot be checked.
    pub fn build(mut self) -> Result<LoadBalancer, BuildError> {
        let pool_name = || self.name.clone();
        #[cfg(feature = "runtime")]
        let finds = !self.sources.is_empty();
        #[cfg(not(feature = "runtime"))]
        let finds = false;
        if self.backends.is_empty() && !finds {
            return Err(BuildError::NoBackends { pool: pool_name() });
        }
        #[cfg(feature = "runtime")]
        if self.selection_timeout > SELECTION_TIMEOUT_MAX {
            let (value, max) = (self.selection_timeout, SELECTION_TIMEOUT_MAX);
            return Err(BuildError::SelectionTimeout { pool: pool_name(), value, max });
        }
        let clock = self.clock.take().unwrap_or_else(|| Arc::new(SystemClock::new()));
        let (settings, backends) = (std::mem::take(&mut self.settings), std::mem::take(&mut self.backends));
        #[cfg(feature = "faults")]
        let faults = Faults::new(self.circuit_breaker, self.outlier_detection.take(), clock.now())
            .map_err(|error| BuildError::Faults { pool: pool_name(), error })?;
        #[cfg(feature = "faults")]
        let guards = faults.guards();
        #[cfg(not(feature = "faults"))]
        let guards: Option<Arc<lb_types::GuardFactory>> = None;
        let pool = match guards {
            Some(guards) => Pool::with_guards(settings, backends, clock, guards),
            None => Pool::new(settings, backends, clock),
        };
        let pool = pool.map_err(|error| BuildError::Pool { pool: pool_name(), error })?;
        #[cfg(feature = "health")]
        let checker = match self.health_check.clone() {
            None => None,
            Some(check) => Some(
                self.checker(
                    check,
                    &pool,
                    #[cfg(feature = "faults")]
                    &faults,
                )
                .map_err(|error| BuildError::HealthCheck { pool: pool_name(), error })?,
            ),
        };
        #[cfg(feature = "health")]
        let agents = agents(self.agent_check.take(), &pool)
            .map_err(|error| BuildError::AgentCheck { pool: pool_name(), error })?;
        Ok(self.finish(
            pool,
            #[cfg(feature = "faults")]
            faults,
            #[cfg(feature = "health")]
            (checker, agents),
        ))
    }

    #[cfg(feature = "health")]
    fn checker(
        &self,
        check: lb_health::HealthCheck,
        pool: &Pool,
        #[cfg(feature = "faults")] faults: &Arc<Faults>,
    ) -> Result<lb_health::HealthChecker, lb_health::HealthCheckError> {
        #[cfg(feature = "faults")]
        let sink = Arc::new(crate::faults::CheckSink { pool: pool.clone(), faults: faults.clone() });
        #[cfg(not(feature = "faults"))]
        let sink = Arc::new(pool.clone());
        let mut builder = lb_health::HealthChecker::builder(check, sink);
        if let Some(seed) = self.seed {
            builder = builder.seed(seed);
        }
        let checker = builder.build()?;
        checker.set_backends(crate::members::specs(pool))?;
        Ok(checker)
    }

    /// A balancer over a pool that exists already.
    pub(crate) fn over(self, pool: Pool) -> LoadBalancer {
        self.finish(
            pool,
            #[cfg(feature = "faults")]
            Arc::default(),
            #[cfg(feature = "health")]
            (None, None),
        )
    }

    fn finish(
        self,
        pool: Pool,
        #[cfg(feature = "faults")] faults: Arc<Faults>,
        #[cfg(feature = "health")] (checker, agents): (Option<lb_health::HealthChecker>, Option<Agents>),
    ) -> LoadBalancer {
        let inner = Inner {
            name: self.name.into(),
            seed: self.seed.map(AtomicU64::new),
            members: Members::default(),
            requests_told: AtomicU64::new(0),
            #[cfg(feature = "runtime")]
            wait: crate::wait::Waiting::new(self.selection_timeout),
            #[cfg(feature = "runtime")]
            sources: self.sources.into_iter().map(|s| Arc::new(Source::new(s))).collect(),
            #[cfg(feature = "runtime")]
            is_running: Default::default(),
            #[cfg(feature = "faults")]
            faults,
            #[cfg(feature = "health")]
            checker,
            #[cfg(feature = "health")]
            health_check: self.health_check,
            #[cfg(feature = "health")]
            agents,
        };
        LoadBalancer::assemble(pool, inner)
    }
}

#[cfg(feature = "health")]
type Agents = (lb_health::AgentCheck, lb_health::AgentChecker);

#[cfg(feature = "health")]
fn agents(
    settings: Option<lb_health::AgentCheck>,
    pool: &Pool,
) -> Result<Option<Agents>, lb_health::AgentCheckError> {
    let Some(settings) = settings else { return Ok(None) };
    let checker = lb_health::AgentChecker::new(settings.clone(), Arc::new(pool.clone()))?;
    checker.set_backends(crate::members::specs(pool))?;
    Ok(Some((settings, checker)))
}

impl std::fmt::Debug for LoadBalancerBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadBalancerBuilder")
            .field("name", &self.name)
            .field("backends", &self.backends)
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}
