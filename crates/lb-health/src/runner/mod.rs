//! The tokio shell: [`HealthChecker`] carries results from checks to the pure parts, and verdicts from them to whoever
//! wants to know.
//!
//! It lacks passive detection (looking at real traffic) and shared verdicts among several processes.

mod builder;
mod publish;
mod registry;

pub use crate::scheduler::RunningChecker;
pub use builder::HealthCheckerBuilder;
pub(crate) use builder::unix_ms;

use crate::check::{CheckError, Report};
use crate::scheduler::{self, Line, NotStarted, Scheduled, Ticket};
use crate::track::Counted;
use crate::{HealthCheck, HealthCheckError};
use builder::{Factory, WallClock};
use lb_types::{Backend, BackendId, HealthEvent, HealthSink, HealthStatus};
use publish::Publisher;
use registry::{Job, Ready, Registry};
use std::collections::{BTreeMap, HashSet};
use std::convert::Infallible;
use std::fmt;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;
use tokio::sync::broadcast;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// How many events the stream keeps for a reader that is behind.
pub const EVENTS_CAPACITY: usize = 1024;

/// Checks a set of backends, keeps their statuses and tells their verdicts. A cheap handle: clones are the same checker.
///
/// It is at rest until [`start`](Self::start)ed (or [`run`](Self::run)); checks by hand work either way. Every method may be called
/// from anywhere, a sink and a callback included; those that are `async` need a tokio runtime with time (and I/O) enabled.
#[derive(Clone)]
pub struct HealthChecker(Arc<Inner>);

struct Inner {
    settings: HealthCheck,
    factory: Arc<Factory>,
    wall_clock: Arc<WallClock>,
    registry: Registry,
    publisher: Publisher,
    line: Line,
}

impl HealthChecker {
    /// A checker without backends, at rest. `sink` takes the verdicts ([`NoSink`] if nobody wants them that way).
    ///
    /// # Errors
    /// [`HealthCheckError::BadSetting`], as [`HealthCheck::validate`].
    pub fn new(settings: HealthCheck, sink: Arc<dyn HealthSink>) -> Result<Self, HealthCheckError> {
        Self::builder(settings, sink).build()
    }

    /// As [`new`](Self::new), with more to choose.
    pub fn builder(settings: HealthCheck, sink: Arc<dyn HealthSink>) -> HealthCheckerBuilder {
        HealthCheckerBuilder::new(settings, sink)
    }

    /// Makes `backends` the set under check: all of it, or on an error nothing. Tell a pool of new backends first, since sinks
    /// ignore ids that they do not know.
    ///
    /// - A new id counts as healthy until its first check, which is due within a second and decides alone.
    /// - An id that stays keeps its status and counts; if its override changed, its next check is due within a second.
    /// - An id with another URL starts anew, as a new one does.
    /// - A `disabled` backend is not checked and keeps its last status; once enabled again, its next check decides alone.
    /// - A backend whose override says `enabled = false` is not checked and counts as healthy.
    /// - An id that is gone is forgotten; nothing is told of it.
    ///
    /// An unhealthy backend that counts as healthy again by one of these rules is told to the sink and as an event.
    ///
    /// # Errors
    /// [`HealthCheckError::DuplicateBackend`], or [`HealthCheckError::Backend`] when one cannot be checked by these settings.
    pub fn set_backends(&self, backends: Vec<Backend>) -> Result<(), HealthCheckError> {
        let inner = &*self.0;
        let mut ids = HashSet::new();
        if let Some(twice) = backends.iter().find(|b| !ids.insert(&b.id)) {
            return Err(HealthCheckError::DuplicateBackend { id: twice.id.clone() });
        }
        let ready = |backend: Backend| {
            let ready = match inner.settings.plan(&backend)? {
                Some(plan) => {
                    let check = (inner.factory)(&backend, &plan).map_err(|e| e.of(&backend.id))?;
                    (!backend.disabled).then_some(Ready { plan, check })
                }
                None => None,
            };
            Ok((backend, ready))
        };
        let set = backends.into_iter().map(ready).collect::<Result<Vec<_>, HealthCheckError>>()?;
        inner.registry.replace(set, &inner.publisher);
        inner.publisher.flush();
        inner.line.changed.notify_one();
        Ok(())
    }

    /// Starts checking on the current tokio runtime, until the returned guard is dropped or shut down. A stopped checker keeps
    /// its backends and statuses, and may be started again.
    ///
    /// # Errors
    /// [`HealthCheckError::NoRuntime`] outside a runtime, [`HealthCheckError::AlreadyRunning`] if it is.
    pub fn start(&self) -> Result<RunningChecker, HealthCheckError> {
        Ok(scheduler::start(&self.0)?)
    }

    /// Checks as long as the future is polled; drop it to stop. For programs that keep their tasks themselves.
    ///
    /// # Errors
    /// [`HealthCheckError::AlreadyRunning`], at once.
    pub async fn run(&self) -> Result<Infallible, HealthCheckError> {
        Ok(scheduler::run(&self.0).await?)
    }

    /// Checks one backend now, beside its schedule; the result counts. Waits while `max_concurrent` checks are under way.
    ///
    /// # Errors
    /// [`HealthCheckError::UnknownBackend`], [`HealthCheckError::NotChecked`], or [`HealthCheckError::Changed`] when it changed while
    /// the check ran. A check that fails is no error: it is in the status.
    pub async fn check_backend(&self, id: impl AsRef<str>) -> Result<HealthStatus, HealthCheckError> {
        let inner = &*self.0;
        let _permit = inner.line.permits.acquire().await.expect("the semaphore is never closed");
        let job = inner.registry.job_of(id.as_ref())?;
        inner.check_once(&job).await.ok_or(HealthCheckError::Changed { id: job.ticket.id })
    }

    /// Checks every backend now, beside its schedule, and waits for all results; they count. Gives all statuses, also of those
    /// that are not checked.
    pub async fn check_all_backends(&self) -> BTreeMap<BackendId, HealthStatus> {
        let mut checks = JoinSet::new();
        for id in self.0.registry.checked_ids() {
            let checker = self.clone();
            checks.spawn(async move { checker.check_backend(&id).await });
        }
        // What went or changed meanwhile has no result that counts.
        while checks.join_next().await.is_some() {}
        self.status()
    }

    /// The status of every backend of the set.
    pub fn status(&self) -> BTreeMap<BackendId, HealthStatus> {
        self.0.registry.statuses()
    }

    /// The status of one backend; `None` if it is not in the set.
    pub fn status_of(&self, id: impl AsRef<str>) -> Option<HealthStatus> {
        self.0.registry.status_of(id.as_ref())
    }

    /// Verdicts from now on, in order. A reader more than [`EVENTS_CAPACITY`] events behind loses the oldest and is told how many
    /// ([`Lagged`](broadcast::error::RecvError::Lagged)); [`status`](Self::status) then says how things stand.
    pub fn events(&self) -> broadcast::Receiver<HealthEvent> {
        self.0.publisher.subscribe()
    }

    /// Calls `callback` with every verdict from now on, for as long as the checker lives: one at a time, on the task that found it,
    /// so it must not block. If it does all the same, a backend's older verdicts give way to newer ones.
    pub fn on_event(&self, callback: impl Fn(&HealthEvent) + Send + Sync + 'static) {
        self.0.publisher.add_callback(Arc::new(callback));
    }

    #[cfg(test)]
    pub(crate) fn inner(&self) -> Arc<impl Scheduled + use<>> {
        self.0.clone()
    }
}

impl fmt::Debug for HealthChecker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HealthChecker").field("settings", &self.0.settings).finish_non_exhaustive()
    }
}

impl Inner {
    /// Makes one check within its time limit and counts the result; `None` if it does not count any more.
    async fn check_once(&self, job: &Job) -> Option<HealthStatus> {
        let start = Instant::now();
        let after = job.timeout;
        let report = match tokio::time::timeout(after, caught(async { job.check.check().await })).await {
            Ok(report) => report,
            Err(_) => Report::failed(CheckError::Timeout { after }),
        };
        let counted = Counted {
            error: report.result.err().map(|e| e.to_string()),
            details: report.details,
            latency: report.latency.unwrap_or_else(|| start.elapsed()),
            at_unix_ms: (self.wall_clock)(),
        };
        let status = self.registry.record(&job.ticket, counted, &self.publisher);
        self.publisher.flush();
        status
    }
}

/// A check that panics has failed; it must not take the scheduler with it.
async fn caught(check: impl Future<Output = Report>) -> Report {
    let mut check = pin!(check);
    poll_fn(|cx| {
        catch_unwind(AssertUnwindSafe(|| check.as_mut().poll(cx)))
            .unwrap_or(Poll::Ready(Report::failed(CheckError::Panicked)))
    })
    .await
}

impl Scheduled for Inner {
    type Turn = Job;

    fn line(&self) -> &Line {
        &self.line
    }

    fn turn(&self, ticket: &Ticket) -> Option<Job> {
        self.registry.job(ticket)
    }

    async fn take(self: Arc<Self>, job: Job) {
        // A result that does not count any more was dropped on arrival.
        let _ = self.check_once(&job).await;
    }

    fn pace(&self, ticket: &Ticket) -> Option<(Duration, u8)> {
        self.registry.pace(ticket)
    }

    fn is_valid(&self, ticket: &Ticket) -> bool {
        self.registry.is_valid(ticket)
    }

    fn take_unscheduled(&self, all: bool) -> BTreeMap<BackendId, (u64, Duration)> {
        self.registry.take_unscheduled(all)
    }
}

impl From<NotStarted> for HealthCheckError {
    fn from(why: NotStarted) -> Self {
        match why {
            NotStarted::AlreadyRunning => Self::AlreadyRunning,
            NotStarted::NoRuntime => Self::NoRuntime,
        }
    }
}

/// A sink for checkers whose statuses and events are all that is wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoSink;

impl HealthSink for NoSink {
    fn set_healthy(&self, _: &BackendId, _: bool) {}
}
