//! A world of scripted checks under paused time, and a sink that remembers.

use lb_health::check::{Check, CheckError, CheckFuture, Report};
use lb_health::{HealthCheck, HealthChecker};
use lb_types::{Backend, BackendId, HealthEvent, HealthSink};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::broadcast::Receiver;
use tokio::time::{Instant, sleep};

/// What one check does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Step {
    Pass,
    Fail,
    Panic,
    /// Takes as long, then passes.
    Slow(Duration),
    /// Takes as long, then fails.
    SlowFail(Duration),
}

/// One script a backend id; when it is used up, its last step repeats (none: `Pass`).
#[derive(Default)]
pub(crate) struct World {
    scripts: Mutex<HashMap<BackendId, VecDeque<Step>>>,
    starts: Mutex<Vec<(BackendId, Instant)>>,
    under_way: Mutex<Load>,
}

#[derive(Clone, Copy, Default)]
struct Load {
    now: usize,
    peak: usize,
}

impl World {
    pub(crate) fn script(&self, id: &str, steps: &[Step]) {
        self.scripts.lock().unwrap().insert(id.into(), steps.iter().copied().collect());
    }

    /// When checks of `id` were started, since `origin`.
    pub(crate) fn starts(&self, id: &str, origin: Instant) -> Vec<Duration> {
        let starts = self.starts.lock().unwrap();
        starts.iter().filter(|(i, _)| *i == id).map(|(_, at)| *at - origin).collect()
    }

    /// The most checks under way at once.
    pub(crate) fn peak(&self) -> usize {
        self.under_way.lock().unwrap().peak
    }

    fn next_step(&self, id: &BackendId) -> Step {
        match self.scripts.lock().unwrap().get_mut(id) {
            Some(steps) if steps.len() > 1 => steps.pop_front().unwrap(),
            Some(steps) => steps.front().copied().unwrap_or(Step::Pass),
            None => Step::Pass,
        }
    }
}

struct Scripted {
    id: BackendId,
    world: Arc<World>,
}

impl Check for Scripted {
    fn check(&self) -> CheckFuture<'_> {
        Box::pin(async {
            self.world.starts.lock().unwrap().push((self.id.clone(), Instant::now()));
            let _under_way = UnderWay::enter(&self.world);
            let failed = || Report::failed(CheckError::Other("scripted".into()));
            match self.world.next_step(&self.id) {
                Step::Pass => Report::passed(),
                Step::Fail => failed(),
                Step::Panic => panic!("scripted panic"),
                Step::Slow(time) => {
                    sleep(time).await;
                    Report::passed()
                }
                Step::SlowFail(time) => {
                    sleep(time).await;
                    failed()
                }
            }
        })
    }
}

struct UnderWay<'a>(&'a World);

impl<'a> UnderWay<'a> {
    fn enter(world: &'a World) -> Self {
        let mut load = world.under_way.lock().unwrap();
        load.now += 1;
        load.peak = load.peak.max(load.now);
        Self(world)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.under_way.lock().unwrap().now -= 1;
    }
}

/// Remembers the verdicts that it was told, and in another list everything in order: `a passed`, `a+`.
#[derive(Default)]
pub(crate) struct Told(Mutex<Vec<(BackendId, bool)>>, Mutex<Vec<String>>);

impl Told {
    pub(crate) fn take(&self) -> Vec<(String, bool)> {
        self.0.lock().unwrap().drain(..).map(|(id, healthy)| (id.to_string(), healthy)).collect()
    }

    pub(crate) fn take_all(&self) -> Vec<String> {
        std::mem::take(&mut *self.1.lock().unwrap())
    }
}

impl HealthSink for Told {
    fn set_healthy(&self, id: &BackendId, healthy: bool) {
        self.0.lock().unwrap().push((id.clone(), healthy));
        self.1.lock().unwrap().push(format!("{id}{}", if healthy { "+" } else { "-" }));
    }

    fn checked(&self, id: &BackendId, passed: bool) {
        self.1.lock().unwrap().push(format!("{id} {}", if passed { "passed" } else { "failed" }));
    }
}

pub(crate) struct Scene {
    pub(crate) world: Arc<World>,
    pub(crate) told: Arc<Told>,
    pub(crate) checker: HealthChecker,
}

/// A checker of scripted checks, with a seed and a wall clock that says 1 000 000.
pub(crate) fn scene(settings: HealthCheck, seed: u64) -> Scene {
    let (world, told) = (Arc::new(World::default()), Arc::new(Told::default()));
    let w = world.clone();
    let checker = HealthChecker::builder(settings, told.clone())
        .seed(seed)
        .wall_clock(|| 1_000_000)
        .check_with(move |backend, _| Ok(Arc::new(Scripted { id: backend.id.clone(), world: w.clone() })))
        .build()
        .unwrap();
    Scene { world, told, checker }
}

pub(crate) fn backend(id: &str) -> Backend {
    Backend::new(id, "http://127.0.0.1:1".parse().unwrap())
}

/// The next event, within ten minutes of paused time.
pub(crate) async fn next(events: &mut Receiver<HealthEvent>) -> HealthEvent {
    tokio::time::timeout(Duration::from_secs(600), events.recv()).await.expect("an event in time").unwrap()
}

pub(crate) fn up(id: &str) -> HealthEvent {
    HealthEvent::BackendHealthy { id: id.into() }
}

pub(crate) fn down(id: &str) -> HealthEvent {
    HealthEvent::BackendUnhealthy { id: id.into(), error: "scripted".into() }
}
