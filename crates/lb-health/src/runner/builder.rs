//! How a checker is put together.

use super::publish::Publisher;
use super::registry::Registry;
use super::{EVENTS_CAPACITY, HealthChecker, Inner};
use crate::check::custom::{CustomProbe, HealthReport, boxed};
use crate::check::{Check, Maker};
use crate::scheduler::Line;
use crate::{HealthCheck, HealthCheckError, Plan};
use lb_types::{Backend, HealthSink};
use std::future::Future;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) type Factory = dyn Fn(&Backend, &Plan) -> Result<Arc<dyn Check>, HealthCheckError> + Send + Sync;
pub(super) type WallClock = dyn Fn() -> u64 + Send + Sync;

/// Puts a [`HealthChecker`] together; made by [`HealthChecker::builder`].
#[must_use]
pub struct HealthCheckerBuilder {
    settings: HealthCheck,
    sink: Arc<dyn HealthSink>,
    factory: Arc<Factory>,
    wall_clock: Arc<WallClock>,
    seed: Option<u64>,
}

impl HealthCheckerBuilder {
    pub(super) fn new(settings: HealthCheck, sink: Arc<dyn HealthSink>) -> Self {
        let maker = Maker::default();
        let factory = Arc::new(move |_: &Backend, plan: &Plan| maker.check(plan));
        let wall_clock = Arc::new(unix_ms);
        Self { settings, sink, factory, wall_clock, seed: None }
    }

    /// Makes jitter the same on every run. Without it, it is random.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seed = Some(seed);
        self
    }

    /// Where `last_check` comes from, in Unix milliseconds; by default the operating system's clock.
    pub fn wall_clock(mut self, unix_ms: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        self.wall_clock = Arc::new(unix_ms);
        self
    }

    /// What makes the checks, once for each backend and each of its changes; by default a [`Maker`], which a factory may
    /// ask for what it does not do otherwise.
    pub fn check_with(
        mut self,
        factory: impl Fn(&Backend, &Plan) -> Result<Arc<dyn Check>, HealthCheckError> + Send + Sync + 'static,
    ) -> Self {
        self.factory = Arc::new(factory);
        self
    }

    /// Checks every backend by a function of it, instead of what the settings' `kind` says; schedule, time limit, thresholds and
    /// `enabled` stay theirs. What it does with the backend's URL, `health_check` and metadata is its own business.
    ///
    /// ```
    /// use lb_health::{HealthCheck, HealthChecker, HealthReport, NoSink};
    /// use std::sync::Arc;
    ///
    /// # async fn queue_length(_: &lb_types::BackendUrl) -> u32 { 3 }
    /// let checker = HealthChecker::builder(HealthCheck::default(), Arc::new(NoSink))
    ///     .custom(|backend| async move {
    ///         match queue_length(&backend.url).await {
    ///             n @ ..100 => HealthReport::healthy().details(format!("{n} jobs waiting")),
    ///             n => HealthReport::unhealthy(format!("{n} jobs waiting")),
    ///         }
    ///     })
    ///     .build()?;
    /// # Ok::<(), lb_health::HealthCheckError>(())
    /// ```
    pub fn custom<F, T>(self, function: F) -> Self
    where
        F: Fn(Arc<Backend>) -> T + Send + Sync + 'static,
        T: Future<Output = HealthReport> + Send + 'static,
    {
        let function = boxed(function);
        self.check_with(move |backend, _| {
            Ok(Arc::new(CustomProbe::shared(backend.clone(), function.clone())))
        })
    }

    /// The checker, without backends and at rest.
    ///
    /// # Errors
    /// [`HealthCheckError::BadSetting`], as [`HealthCheck::validate`].
    pub fn build(self) -> Result<HealthChecker, HealthCheckError> {
        let Self { settings, sink, factory, wall_clock, seed } = self;
        settings.validate()?;
        Ok(HealthChecker(Arc::new(Inner {
            line: Line::new(settings.max_concurrent, seed),
            settings,
            factory,
            wall_clock,
            registry: Registry::default(),
            publisher: Publisher::new(sink, EVENTS_CAPACITY),
        })))
    }
}

pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
