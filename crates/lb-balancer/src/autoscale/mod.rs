//! How many backends there are, by load: [`lb_autoscale`] decides and its driver acts; here a pool's figures are sampled, instances become
//! backends, and those that shall go are drained first.
//!
//! | file | what it holds |
//! |---|---|
//! | `sample` | what the balancer counts, as the scaler's metrics |
//! | `reconcile` | instances × backends × how many → what to do (pure) |
//! | `run` | the loop: one beat a second, and at once when a driver tells something or a request parks |
//! | `spare` | when the queue's overload control is suspended (pure) |
//! | `events` | what is told of it |
//!
//! Backends that the pool was built with stay beside the instances: they serve, and count neither as instances nor as their capacity. With a driver that
//! keeps a list (`process`) instances are its own; with one that keeps none, all backends that discovery found are.
//!
//! **Scale to zero.** Where there is a queue, a request that finds no backend because none was started yet, or the last one just goes, *parks* in it, and
//! the loop looks at once: so one instance is started, however many park. Bounded by the queue's size and deadline.

mod events;
mod reconcile;
mod run;
mod sample;
mod spare;

pub use events::{KeptEvent, ScaleEvent, ScaleEvents};
pub use lb_autoscale::InstanceTemplate;
pub(crate) use run::run;

use crate::{BuildError, LoadBalancer, LoadBalancerBuilder};
use lb_autoscale::driver::retry::WAIT_MAX;
use lb_autoscale::{AutoScale, Decision, Driven, Driver, Metric, Metrics};
use lb_core::{PoolSettings, SelectError};
use lb_types::{BackendId, Exclusion, SettingsError};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How a pool's instances are scaled.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScaleSettings {
    /// How many, and by what.
    pub scale: AutoScale,
    /// How long an instance that goes may finish its requests and sessions, default 30 s (0 – 1 h).
    pub drain_grace: Duration,
    /// An instance whose health check fails for so long is replaced, one at a time, default 60 s (1 s – 1 h); `None`: never. After each the next one waits
    /// for twice as long, until all are healthy.
    pub replace_unhealthy_after: Option<Duration>,
    /// Where is told what happens; the driver's own events come here by [`ScaleEvents::sink`].
    pub events: ScaleEvents,
    /// Who knows the instances' CPU better than their reports and the system do; default nobody.
    pub cpu: Option<CpuSource>,
}

/// Says how much CPU an instance uses: see [`ScaleSettings::cpu_from`].
#[derive(Clone)]
pub struct CpuSource(Arc<Percent>);

type Percent = dyn Fn(&BackendId) -> Option<f64> + Send + Sync;

impl CpuSource {
    fn percent(&self, id: &BackendId) -> Option<f64> {
        (self.0)(id).filter(|percent| percent.is_finite() && *percent >= 0.0)
    }
}

impl fmt::Debug for CpuSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CpuSource")
    }
}

impl ScaleSettings {
    /// So many by that; the rest as documented.
    pub fn new(scale: AutoScale) -> Self {
        Self {
            scale,
            drain_grace: Duration::from_secs(30),
            replace_unhealthy_after: Some(Duration::from_secs(60)),
            events: ScaleEvents::new(),
            cpu: None,
        }
    }

    /// Another grace.
    #[must_use]
    pub fn drain_grace(mut self, grace: Duration) -> Self {
        self.drain_grace = grace;
        self
    }

    /// Another patience with instances whose health check fails; `None`: endless.
    #[must_use]
    pub fn replace_unhealthy_after(mut self, time: Option<Duration>) -> Self {
        self.replace_unhealthy_after = time;
        self
    }

    /// Where is told what happens.
    #[must_use]
    pub fn events(mut self, events: ScaleEvents) -> Self {
        self.events = events;
        self
    }

    /// The CPU of instances is what `source` says, in percent of what one has (0 or more; anything else is not known). Where it says `None` the instance's
    /// load reports count, else what the system says of the driver's processes. Asked once a second for each instance, on the balancer's task: it should
    /// return what is known and wait for nothing.
    #[must_use]
    pub fn cpu_from(mut self, source: impl Fn(&BackendId) -> Option<f64> + Send + Sync + 'static) -> Self {
        self.cpu = Some(CpuSource(Arc::new(source)));
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.scale.validate()?;
        let within = |field, value: Duration, min: Duration| {
            let fits = (min..=WAIT_MAX).contains(&value);
            let must = || format!("must be from {min:?} to {WAIT_MAX:?}");
            if fits { Ok(()) } else { Err(SettingsError::new(field, value, must())) }
        };
        within("drain_grace", self.drain_grace, Duration::ZERO)?;
        self.replace_unhealthy_after
            .map_or(Ok(()), |after| within("replace_unhealthy_after", after, Duration::from_secs(1)))
    }
}

/// A pool's scaling.
pub(crate) struct Scaling {
    pub(crate) settings: ScaleSettings,
    pub(crate) driver: Arc<dyn Driver>,
    pub(crate) template: InstanceTemplate,
    dry_run: AtomicBool,
    seen: Mutex<Seen>,
}

/// What the loop saw last.
#[derive(Clone, Default)]
struct Seen {
    desired: u32,
    current: u32,
    starting: u32,
    draining: Vec<BackendId>,
    decision: Option<Decision>,
    /// Somebody asked for so many, and the loop has not looked since.
    asked: Option<u32>,
}

impl Scaling {
    pub(crate) fn new(
        settings: ScaleSettings,
        driver: Arc<dyn Driver>,
        template: InstanceTemplate,
        has_queue: bool,
    ) -> Result<Self, SettingsError> {
        settings.validate()?;
        template.validate()?;
        if settings.scale.min_instances == 0 && !has_queue {
            let must = "needs queuing: without it there is nowhere to wait for the first instance";
            return Err(SettingsError::new("min_instances", 0, must));
        }
        let dry_run = AtomicBool::new(settings.scale.dry_run);
        Ok(Self { settings, driver, template, dry_run, seen: Mutex::default() })
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody waits for an instance: look at once.
    pub(crate) fn wake(&self) {
        self.settings.events.wake().notify_one();
    }

    /// Stops all instances of its driver.
    pub(crate) async fn shutdown(&self) {
        if let Err(e) = self.driver.shutdown().await {
            self.settings.events.tell(&ScaleEvent::DriverFailed { error: e.to_string() });
        }
    }
}

/// What a builder was told: how many, who does it, and what an instance becomes.
pub(crate) type Scaled = (ScaleSettings, Arc<dyn Driver>, InstanceTemplate);

/// Asks for what scaling goes by: load reports, where that is CPU. `false`: the pool has no scaling.
pub(crate) fn prepare(scaled: Option<&Scaled>, pool: &mut PoolSettings) -> bool {
    let Some((settings, ..)) = scaled else { return false };
    pool.load_reports |= settings.scale.metric == Metric::Cpu;
    true
}

/// The scaling of a pool that is built.
pub(crate) fn scaling(
    scaled: Option<Scaled>,
    pool: &str,
    admission: &crate::door::Admission,
) -> Result<Option<Box<Scaling>>, BuildError> {
    let Some((settings, driver, template)) = scaled else { return Ok(None) };
    let made = Scaling::new(settings, driver, template, admission.queue.is_some());
    made.map(|scaling| Some(Box::new(scaling)))
        .map_err(|error| BuildError::Autoscale { pool: pool.to_owned(), error })
}

impl LoadBalancerBuilder {
    /// As many backends as the load needs, once the balancer is [started](LoadBalancer::start): `driver` makes instances, and each that is ready becomes a
    /// backend by `template`. Then there need be no other backends. A [shutdown](crate::Running::shutdown) stops the driver's instances, for good.
    pub fn auto_scaler(
        mut self,
        settings: ScaleSettings,
        driver: Arc<dyn Driver>,
        template: InstanceTemplate,
    ) -> Self {
        self.scaling = Some((settings, driver, template));
        self
    }
}

/// How a pool's scaling stands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ScaleStatus {
    /// What it was told.
    pub settings: AutoScale,
    /// The driver's name.
    pub driver: &'static str,
    /// It decides and does not act.
    pub dry_run: bool,
    /// How many there shall be.
    pub desired: u32,
    /// How many there are that do not leave, starting ones included.
    pub current: u32,
    /// Those of them that take no traffic yet.
    pub starting: u32,
    /// Who is drained.
    pub draining: Vec<BackendId>,
    /// The last decision, holds included; `None`: none yet.
    pub decision: Option<Decision>,
    /// The driver's instances; `None`: somebody else keeps them.
    pub instances: Option<Vec<Driven>>,
    /// Decisions for more instances, so far.
    pub ups: u64,
    /// Decisions for fewer.
    pub downs: u64,
    /// Orders that the driver did not carry out.
    pub driver_errors: u64,
    /// What happened of late, oldest first.
    pub events: Vec<KeptEvent>,
}

impl LoadBalancer {
    pub(crate) fn scaling(&self) -> Option<&Scaling> {
        self.inner.scaling.as_deref()
    }

    /// How the pool's scaling stands; `None`: it has none.
    pub fn autoscale_status(&self) -> Option<ScaleStatus> {
        let s = self.scaling()?;
        let Seen { desired, current, starting, draining, decision, .. } = s.seen().clone();
        let (ups, downs, driver_errors) = s.settings.events.counts();
        Some(ScaleStatus {
            settings: s.settings.scale,
            driver: s.driver.name(),
            dry_run: s.dry_run.load(Relaxed),
            desired,
            current,
            starting,
            draining,
            decision,
            instances: s.driver.instances(),
            ups,
            downs,
            driver_errors,
            events: s.settings.events.recent(),
        })
    }

    /// What the scaler saw at its last look; `None`: there is none, or it has not looked yet.
    pub(crate) fn seen_by_scaler(&self) -> Option<Metrics> {
        Some(self.scaling()?.seen().decision.as_ref()?.inputs.metrics)
    }

    /// Decides without acting from now on, or acts again. `false`: the pool has no scaling.
    pub fn set_scaling_dry_run(&self, dry: bool) -> bool {
        let Some(scaling) = self.scaling() else { return false };
        scaling.dry_run.store(dry, Relaxed);
        scaling.wake();
        true
    }

    /// Decides for so many instances by hand, at the next look, which is now: an order as any, with a cooldown after it. In a dry run it is decided and not carried
    /// out. The later of two counts. `by` says who, and is told as an event. `Ok(false)`: the pool has no scaling.
    ///
    /// # Errors
    /// It is not from `min_instances` to `max_instances`.
    pub fn scale_to(&self, desired: u32, by: &str) -> Result<bool, SettingsError> {
        let Some(scaling) = self.scaling() else { return Ok(false) };
        let AutoScale { min_instances: min, max_instances: max, .. } = scaling.settings.scale;
        if !(min..=max).contains(&desired) {
            return Err(SettingsError::new("desired", desired, format!("must be from {min} to {max}")));
        }
        scaling.settings.events.tell(&ScaleEvent::Asked { desired, by: by.to_owned() });
        scaling.seen().asked = Some(desired);
        scaling.wake();
        Ok(true)
    }

    /// Calls back with everything that scaling does, from now on; without scaling nothing ever comes.
    pub fn on_scale(&self, callback: impl Fn(&ScaleEvent) + Send + Sync + 'static) {
        if let Some(scaling) = self.scaling() {
            scaling.settings.events.subscribe(callback);
        }
    }

    /// Is there no backend for this request only because no instance was started yet, or because the last one just goes?
    #[cold]
    pub(crate) fn awaits_instance(&self, error: &SelectError) -> bool {
        let runs = || self.inner.is_running.load(Relaxed);
        self.scaling().is_some()
            && runs()
            && match error {
                SelectError::NoBackends => true,
                SelectError::NoneUsable(counts) => counts.iter().all(|(why, _)| why == Exclusion::Draining),
                _ => false,
            }
    }

    /// Has it no backend because it was scaled to zero, so that the next request brings one?
    pub(crate) fn is_at_zero(&self) -> bool {
        let to_zero = |s: &Scaling| s.settings.scale.min_instances == 0;
        self.scaling().is_some_and(to_zero) && self.pool().snapshot().members().is_empty()
    }
}
