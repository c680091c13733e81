//! How a balancer is made: setters that cannot fail, and one `build()` that can.

use crate::balancer::{Inner, LoadBalancer, Parts};
#[cfg(feature = "runtime")]
use crate::discover::{Discover, Source};
use crate::error::BuildError;
#[cfg(feature = "faults")]
use crate::faults::{FaultSettings, Faults};
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
    #[cfg(feature = "sessions")]
    session_affinity: Option<lb_session::SessionAffinity>,
    #[cfg(feature = "sessions")]
    session_store: Option<(Arc<dyn lb_types::Store>, lb_session::SharingSettings)>,
    #[cfg(feature = "cache")]
    caching: Option<crate::cache::Caching>,
    #[cfg(feature = "cache")]
    cache_store: Option<(Arc<dyn lb_types::Store>, Duration)>,
    #[cfg(feature = "geo")]
    places: crate::geo::Places,
    #[cfg(feature = "admission")]
    admission: crate::door::Settings,
    #[cfg(feature = "autoscale")]
    pub(crate) scaling: Option<crate::autoscale::Scaled>,
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
            #[cfg(feature = "sessions")]
            session_affinity: None,
            #[cfg(feature = "sessions")]
            session_store: None,
            #[cfg(feature = "cache")]
            caching: None,
            #[cfg(feature = "cache")]
            cache_store: None,
            #[cfg(feature = "geo")]
            places: crate::geo::Places::default(),
            #[cfg(feature = "admission")]
            admission: Default::default(),
            #[cfg(feature = "autoscale")]
            scaling: None,
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

    /// Keeps clients on their backends. Without it each request is picked for by itself.
    #[cfg(feature = "sessions")]
    pub fn session_affinity(mut self, affinity: lb_session::SessionAffinity) -> Self {
        self.session_affinity = Some(affinity);
        self
    }

    /// Puts a store behind the sessions, so that several processes agree and a restart keeps them. It should fail at once while it is away:
    /// see `lb_store::Resilient`.
    #[cfg(feature = "sessions")]
    pub fn session_store(
        mut self,
        store: Arc<dyn lb_types::Store>,
        settings: lb_session::SharingSettings,
    ) -> Self {
        self.session_store = Some((store, settings));
        self
    }

    /// Keeps where a key went for a while. With session affinity it chooses for new sessions.
    #[cfg(feature = "cache")]
    pub fn caching(mut self, caching: crate::cache::Caching) -> Self {
        self.caching = Some(caching);
        self
    }

    /// Puts a store behind the selection cache, which is waited for so long.
    #[cfg(feature = "cache")]
    pub fn cache_store(mut self, store: Arc<dyn lb_types::Store>, timeout: Duration) -> Self {
        self.cache_store = Some((store, timeout));
        self
    }

    /// Lets requests wait while every backend that could serve them is at its limit: see
    /// [`queue_request`](LoadBalancer::queue_request). Without it they are refused.
    #[cfg(feature = "admission")]
    pub fn queuing(mut self, settings: lb_admission::queue::QueueSettings) -> Self {
        self.admission.queuing = Some(settings);
        self
    }

    /// Refuses requests while the machine is overloaded, once the balancer is [started](LoadBalancer::start): it reads the load by itself.
    #[cfg(feature = "admission")]
    pub fn load_shedding(mut self, settings: lb_admission::shed::ShedSettings) -> Self {
        self.admission.load_shedding = Some(settings);
        self
    }

    /// Finds out how many requests each backend bears, and sends it no more at once.
    #[cfg(feature = "admission")]
    pub fn adaptive_concurrency(mut self, settings: lb_admission::concurrency::AdaptiveConcurrency) -> Self {
        self.admission.adaptive_concurrency = Some(settings);
        self
    }

    /// What says where clients are. Regions need it.
    #[cfg(feature = "geo")]
    pub fn geo_detector(mut self, detector: lb_geo::GeoDetector) -> Self {
        self.places.detector = Some(detector);
        self
    }

    /// `geo-based`: a region of the pool, with its backends beside those whose metadata says `region = <its name>`.
    #[cfg(feature = "geo")]
    pub fn region(
        mut self,
        region: lb_geo::RegionSettings,
        backends: impl IntoIterator<Item = lb_types::BackendId>,
    ) -> Self {
        self.places.regions.push((region, backends.into_iter().collect()));
        self
    }

    /// `geo-aware`: a region with a balancer of its own. This one then has neither backends nor settings but these.
    #[cfg(feature = "geo")]
    pub fn regional_balancer(mut self, region: lb_geo::RegionSettings, balancer: LoadBalancer) -> Self {
        self.places.balancers.push((region, balancer));
        self
    }

    /// The region of clients that nothing else maps, and the first resort when a client's own has nobody (`geo-based`), or the last
    /// (`geo-aware`).
    #[cfg(feature = "geo")]
    pub fn fallback_region(mut self, name: impl Into<String>) -> Self {
        self.places.fallback = Some(name.into());
        self
    }

    /// Takes backends also from this source, once the balancer is [started](LoadBalancer::start). Several sources, and backends
    /// given here, add up; an id belongs to whoever had it first.
    #[cfg(feature = "runtime")]
    pub fn discover(mut self, source: impl Into<Box<dyn Discover>>) -> Self {
        self.sources.push(source.into());
        self
    }

    /// Where time comes from; by default the process's monotonic clock. Balancers that work together (regions) need the same.
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
        #[cfg(feature = "geo")]
        if !self.places.balancers.is_empty() {
            return self.build_over_regions();
        }
        #[cfg(feature = "geo")]
        let geo = self.places.geo_based(&self.name, &mut self.settings)?;
        let pool_name = || self.name.clone();
        #[cfg(feature = "runtime")]
        let finds = !self.sources.is_empty();
        #[cfg(not(feature = "runtime"))]
        let finds = false;
        #[cfg(feature = "autoscale")]
        let finds = crate::autoscale::prepare(self.scaling.as_ref(), &mut self.settings) || finds;
        if self.backends.is_empty() && !finds {
            return Err(BuildError::NoBackends { pool: pool_name() });
        }
        #[cfg(feature = "runtime")]
        if self.selection_timeout > SELECTION_TIMEOUT_MAX {
            let (value, max) = (self.selection_timeout, SELECTION_TIMEOUT_MAX);
            return Err(BuildError::SelectionTimeout { pool: pool_name(), value, max });
        }
        #[cfg(feature = "sessions")]
        let sessions = self.session_affinity.take().map(|affinity| {
            let hashes = lb_core::is_hash(&self.settings.algorithm);
            crate::sessions::Sessions::new(affinity, &self.name, self.session_store.take(), hashes)
                .map_err(|error| BuildError::Sessions { pool: pool_name(), error })
        });
        #[cfg(feature = "cache")]
        let cache = self.caching.take().map(|caching| {
            crate::cache::SelectionCache::new(caching, &self.name, self.cache_store.take())
                .map_err(|error| BuildError::Caching { pool: pool_name(), error })
        });
        #[cfg(feature = "sessions")]
        let sessions = sessions.transpose()?;
        #[cfg(feature = "cache")]
        let cache = cache.transpose()?;
        let clock = self.clock.take().unwrap_or_else(|| Arc::new(SystemClock::process()));
        let (settings, backends) = (std::mem::take(&mut self.settings), std::mem::take(&mut self.backends));
        #[cfg(feature = "faults")]
        let fault_settings = FaultSettings {
            breaker: self.circuit_breaker,
            detection: self.outlier_detection.take(),
            #[cfg(feature = "admission")]
            adaptive: self.admission.adaptive_concurrency.take(),
        };
        #[cfg(feature = "faults")]
        let faults = Faults::new(fault_settings, clock.now())
            .map_err(|error| BuildError::Faults { pool: pool_name(), error })?;
        #[cfg(feature = "admission")]
        let admission = std::mem::take(&mut self.admission).build(&self.name, &clock)?;
        #[cfg(feature = "autoscale")]
        let scaling = crate::autoscale::scaling(self.scaling.take(), &self.name, &admission)?;
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
        let parts = Parts {
            #[cfg(feature = "faults")]
            faults,
            #[cfg(feature = "health")]
            checker,
            #[cfg(feature = "health")]
            agents,
            #[cfg(feature = "admission")]
            admission,
            #[cfg(feature = "autoscale")]
            scaling,
            #[cfg(feature = "sessions")]
            sessions,
            #[cfg(feature = "cache")]
            cache,
            #[cfg(feature = "geo")]
            geo,
            #[cfg(feature = "geo")]
            regional: None,
        };
        Ok(self.finish(pool, parts))
    }

    /// A balancer over those of the regions: its own pool stays empty.
    #[cfg(feature = "geo")]
    fn build_over_regions(mut self) -> Result<LoadBalancer, BuildError> {
        if let Some(what) = self.has_of_its_own() {
            return Err(BuildError::OverRegions { pool: self.name, what });
        }
        let regional = std::mem::take(&mut self.places).regional(&self.name)?;
        let clock = self.clock.take().unwrap_or_else(|| Arc::new(SystemClock::process()));
        let pool = Pool::new(PoolSettings::default(), vec![], clock)
            .map_err(|error| BuildError::Pool { pool: self.name.clone(), error })?;
        Ok(self.finish(pool, Parts { regional: Some(regional), ..Parts::default() }))
    }

    /// What only a balancer with backends can have.
    #[cfg(feature = "geo")]
    fn has_of_its_own(&self) -> Option<&'static str> {
        let over = |(_, lb): &(_, LoadBalancer)| lb.inner.regional.is_some();
        let has = [
            (!self.backends.is_empty(), "backends"),
            (!self.sources.is_empty(), "discovery"),
            (self.settings != PoolSettings::default(), "settings"),
            (!self.places.regions.is_empty(), "regions"),
            (self.places.balancers.iter().any(over), "one that is over regional balancers itself"),
        ]
        .into_iter();
        #[cfg(feature = "health")]
        let has = has.chain([
            (self.health_check.is_some(), "a health check"),
            (self.agent_check.is_some(), "an agent check"),
        ]);
        #[cfg(feature = "faults")]
        let has = has.chain([
            (self.circuit_breaker.is_some(), "circuit breakers"),
            (self.outlier_detection.is_some(), "passive detection"),
        ]);
        #[cfg(feature = "sessions")]
        let has = has.chain([(self.session_affinity.is_some(), "session affinity")]);
        #[cfg(feature = "cache")]
        let has = has.chain([(self.caching.is_some(), "a selection cache")]);
        #[cfg(feature = "admission")]
        let has = has.chain([
            (self.admission.queuing.is_some(), "a queue"),
            (self.admission.adaptive_concurrency.is_some(), "adaptive concurrency"),
        ]);
        #[cfg(feature = "autoscale")]
        let has = has.chain([(self.scaling.is_some(), "auto-scaling")]);
        let mut has = has;
        has.find(|(it_has, _)| *it_has).map(|(_, what)| what)
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
        self.finish(pool, Parts::default())
    }

    fn finish(self, pool: Pool, parts: Parts) -> LoadBalancer {
        let inner = Inner {
            name: self.name.into(),
            seed: self.seed.map(AtomicU64::new),
            members: Members::default(),
            requests_told: AtomicU64::new(0),
            #[cfg(feature = "runtime")]
            wait: crate::wait::Waiting::new(
                self.selection_timeout,
                #[cfg(feature = "admission")]
                parts.admission.queue.clone(),
            ),
            #[cfg(feature = "runtime")]
            sources: self.sources.into_iter().map(|s| Arc::new(Source::new(s))).collect(),
            #[cfg(feature = "runtime")]
            is_running: Default::default(),
            #[cfg(feature = "health")]
            health_check: self.health_check,
            parts,
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
