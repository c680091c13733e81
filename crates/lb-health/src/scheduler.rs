//! The one task that gives each backend its turn when it is due: a health check, a question to an agent.
//!
//! A binary heap holds one due instant a backend; turns under way are child tasks, bounded by the permits that turns by hand take
//! from, too. A backend is in the heap or under way, never both, so that its own turns do not overlap. When permits are short, turns
//! start late, in the order in which they were due.

use crate::schedule;
use lb_types::{BackendId, Nanos};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep_until};

/// One way of giving one backend its turn. A *generation* names it: every change of it (or a removal) voids the ticket, and what comes of
/// a turn under way with it is dropped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ticket {
    pub(crate) id: BackendId,
    pub(crate) generation: u64,
}

/// A set of backends that have their turns.
pub(crate) trait Scheduled: Send + Sync + 'static {
    /// One turn, made ready.
    type Turn: Send + 'static;

    /// What the scheduler keeps there.
    fn line(&self) -> &Line;

    /// The turn that a ticket stands for, unless it is void.
    fn turn(&self, ticket: &Ticket) -> Option<Self::Turn>;

    /// Does it, and carries what comes of it on.
    fn take(self: Arc<Self>, turn: Self::Turn) -> impl Future<Output = ()> + Send;

    /// Until the next turn after one with this ticket: pace and jitter percent. `None`: it is void.
    fn pace(&self, ticket: &Ticket) -> Option<(Duration, u8)>;

    /// Whether the ticket is still good.
    fn is_valid(&self, ticket: &Ticket) -> bool;

    /// Generations (and intervals) that the scheduler has not been given yet, ordered by id so that a seed replays. With `all`, every
    /// one.
    fn take_unscheduled(&self, all: bool) -> BTreeMap<BackendId, (u64, Duration)>;
}

/// What a scheduler shares with those who change the set.
pub(crate) struct Line {
    /// One for each turn that may be under way.
    pub(crate) permits: Arc<Semaphore>,
    /// The set of backends changed.
    pub(crate) changed: Notify,
    running: AtomicBool,
    seed: Option<u64>,
}

impl Line {
    /// `seed` makes jitter the same on every run.
    pub(crate) fn new(turns_max: usize, seed: Option<u64>) -> Self {
        let permits = Arc::new(Semaphore::new(turns_max));
        Self { permits, changed: Notify::new(), running: AtomicBool::new(false), seed }
    }
}

/// Why a scheduler does not start.
pub(crate) enum NotStarted {
    AlreadyRunning,
    NoRuntime,
}

/// Runs on the current runtime until the guard is dropped.
pub(crate) fn start<S: Scheduled>(of: &Arc<S>) -> Result<RunningChecker, NotStarted> {
    let runtime = tokio::runtime::Handle::try_current().map_err(|_| NotStarted::NoRuntime)?;
    let claim = Claim::new(of)?;
    Ok(RunningChecker(runtime.spawn(async move { turns(claim.0.clone()).await })))
}

/// Runs as long as it is polled.
pub(crate) async fn run<S: Scheduled>(of: &Arc<S>) -> Result<Infallible, NotStarted> {
    let claim = Claim::new(of)?;
    Ok(turns(claim.0.clone()).await)
}

/// The right to run a set's scheduler: there is one.
struct Claim<S: Scheduled>(Arc<S>);

impl<S: Scheduled> Claim<S> {
    fn new(of: &Arc<S>) -> Result<Self, NotStarted> {
        if of.line().running.swap(true, Ordering::AcqRel) {
            return Err(NotStarted::AlreadyRunning);
        }
        Ok(Self(of.clone()))
    }
}

impl<S: Scheduled> Drop for Claim<S> {
    fn drop(&mut self) {
        self.0.line().running.store(false, Ordering::Release);
    }
}

/// A checker at work: drop it, or [`shutdown`](Self::shutdown), and it rests.
#[must_use = "dropping it stops the checker"]
#[derive(Debug)]
pub struct RunningChecker(JoinHandle<Infallible>);

impl RunningChecker {
    /// Stops, and returns when nothing of it runs any more. Checks under way are given up and do not count.
    pub async fn shutdown(mut self) {
        self.0.abort();
        // The error is the cancellation just asked for.
        let _ = (&mut self.0).await;
    }
}

impl Drop for RunningChecker {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A turn that is over.
struct Done {
    ticket: Ticket,
    start: Nanos,
}

struct Scheduler<S> {
    of: Arc<S>,
    /// Instants are counted from here.
    origin: Instant,
    rng: fastrand::Rng,
    /// Due instant, an ever-growing number that keeps equals in order, and what is due.
    due: BinaryHeap<Reverse<Due>>,
    pushed: u64,
    /// Dropped with the scheduler, and the turns with it.
    under_way: JoinSet<Done>,
}

#[derive(PartialEq, Eq)]
struct Due {
    at: Nanos,
    order: u64,
    ticket: Ticket,
}

impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

async fn turns<S: Scheduled>(of: Arc<S>) -> Infallible {
    let mut s = Scheduler::new(of);
    let origin = s.origin;
    s.admit(true);
    let mut permit: Option<OwnedSemaphorePermit> = None;
    loop {
        s.start_due(permit.take());
        let late = s.due.peek().is_some_and(|Reverse(d)| d.at <= s.now());
        let next = s.due.peek().map_or(origin, |Reverse(d)| origin + d.at.as_duration());
        let of = s.of.clone();
        tokio::select! {
            biased;
            () = of.line().changed.notified() => s.admit(false),
            Some(done) = s.under_way.join_next(), if !s.under_way.is_empty() => {
                // An error is a task that the runtime, shutting down, has cancelled: a turn's own panics are caught in it.
                if let Ok(done) = done {
                    s.again(done);
                }
            }
            // `late` after `start_due` means that permits are short.
            one = of.line().permits.clone().acquire_owned(), if late => permit = one.ok(),
            () = sleep_until(next), if !late && !s.due.is_empty() => {}
        }
    }
}

impl<S: Scheduled> Scheduler<S> {
    fn new(of: Arc<S>) -> Self {
        let rng = of.line().seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
        let (due, under_way) = (BinaryHeap::new(), JoinSet::new());
        Self { of, origin: Instant::now(), rng, due, pushed: 0, under_way }
    }

    fn now(&self) -> Nanos {
        self.origin.elapsed().into()
    }

    fn push(&mut self, at: Nanos, ticket: Ticket) {
        self.pushed += 1;
        self.due.push(Reverse(Due { at, order: self.pushed, ticket }));
    }

    /// Takes in what is new and forgets what is void.
    fn admit(&mut self, all: bool) {
        let of = &self.of;
        self.due.retain(|Reverse(d)| of.is_valid(&d.ticket));
        let now = self.now();
        for (id, (generation, interval)) in of.take_unscheduled(all) {
            let at = schedule::first(now, interval, self.rng.u64(..));
            self.push(at, Ticket { id, generation });
        }
    }

    /// Starts what is due, as far as permits go; `waited_for` is the first to use, if there is one.
    fn start_due(&mut self, mut waited_for: Option<OwnedSemaphorePermit>) {
        let now = self.now();
        while self.due.peek().is_some_and(|Reverse(d)| d.at <= now) {
            let permits = &self.of.line().permits;
            let permit = waited_for.take().or_else(|| permits.clone().try_acquire_owned().ok());
            let Some(permit) = permit else { return };
            let Some(Reverse(due)) = self.due.pop() else { return };
            if let Some(turn) = self.of.turn(&due.ticket) {
                let of = self.of.clone();
                self.under_way.spawn(async move {
                    of.take(turn).await;
                    drop(permit);
                    Done { ticket: due.ticket, start: now }
                });
            }
        }
    }

    /// Puts a backend whose turn is over back in line, unless its ticket became void meanwhile.
    fn again(&mut self, done: Done) {
        if let Some((pace, jitter_percent)) = self.of.pace(&done.ticket) {
            let at = schedule::next(done.start, self.now(), pace, jitter_percent, self.rng.u64(..));
            self.push(at, done.ticket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HealthCheck, HealthChecker, NoSink};
    use lb_types::{Backend, BackendUrl};

    #[tokio::test(start_paused = true)]
    async fn heap_holds_one_entry_a_backend_however_often_the_set_changes() {
        let checker = HealthChecker::new(HealthCheck::tcp(), Arc::new(NoSink)).unwrap();
        let mut s = Scheduler::new(checker.inner());
        s.admit(true);
        for port in 1..=1000 {
            let url = BackendUrl::http("127.0.0.1", port).unwrap();
            let kept = BackendUrl::http("127.0.0.1", 1).unwrap();
            checker.set_backends(vec![Backend::new("moves", url), Backend::new("stays", kept)]).unwrap();
            s.admit(false);
            assert_eq!(s.due.len(), 2);
        }
    }
}
