//! The one task that starts checks when they are due.
//!
//! A binary heap holds one due instant a backend; checks under way are child tasks, bounded by the permits that checks by
//! hand take from, too. A backend is in the heap or under way, never both, so that its own checks do not overlap. When permits
//! are short, checks start late, in the order in which they were due.

use super::Inner;
use super::registry::{Job, Ticket};
use crate::schedule;
use lb_types::Nanos;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// A check that is over.
struct Done {
    ticket: Ticket,
    start: Nanos,
}

struct Scheduler {
    inner: Arc<Inner>,
    /// Instants are counted from here.
    origin: Instant,
    rng: fastrand::Rng,
    /// Due instant, an ever-growing number that keeps equals in order, and what is due.
    due: BinaryHeap<Reverse<Due>>,
    pushed: u64,
    /// Dropped with the scheduler, and the checks with it.
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

/// Checks until dropped.
pub(super) async fn run(inner: Arc<Inner>) -> std::convert::Infallible {
    let rng = inner.seed.map_or_else(fastrand::Rng::new, fastrand::Rng::with_seed);
    let mut s = Scheduler::new(inner, rng);
    let origin = s.origin;
    s.admit(true);
    let mut permit: Option<OwnedSemaphorePermit> = None;
    loop {
        s.start_due(permit.take());
        let late = s.due.peek().is_some_and(|Reverse(d)| d.at <= s.now());
        let next = s.due.peek().map_or(origin, |Reverse(d)| origin + d.at.as_duration());
        let permits = s.inner.permits.clone();
        tokio::select! {
            biased;
            () = s.inner.changed.notified() => s.admit(false),
            Some(done) = s.under_way.join_next(), if !s.under_way.is_empty() => {
                // An error is a task that the runtime, shutting down, has cancelled: checks' own panics are caught.
                if let Ok(done) = done {
                    s.again(done);
                }
            }
            // `late` after `start_due` means that permits are short.
            one = permits.acquire_owned(), if late => permit = one.ok(),
            () = sleep_until(next), if !late && !s.due.is_empty() => {}
        }
    }
}

impl Scheduler {
    fn new(inner: Arc<Inner>, rng: fastrand::Rng) -> Self {
        let (due, under_way) = (BinaryHeap::new(), JoinSet::new());
        Self { inner, origin: Instant::now(), rng, due, pushed: 0, under_way }
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
        let registry = &self.inner.registry;
        self.due.retain(|Reverse(d)| registry.is_valid(&d.ticket));
        let now = self.now();
        for (id, (generation, interval)) in registry.take_unscheduled(all) {
            let at = schedule::first(now, interval, self.rng.u64(..));
            self.push(at, Ticket { id, generation });
        }
    }

    /// Starts what is due, as far as permits go; `waited_for` is the first to use, if there is one.
    fn start_due(&mut self, mut waited_for: Option<OwnedSemaphorePermit>) {
        let now = self.now();
        while self.due.peek().is_some_and(|Reverse(d)| d.at <= now) {
            let permit = waited_for.take().or_else(|| self.inner.permits.clone().try_acquire_owned().ok());
            let Some(permit) = permit else { return };
            let Some(Reverse(due)) = self.due.pop() else { return };
            if let Some(job) = self.inner.registry.job(&due.ticket) {
                self.under_way.spawn(one(self.inner.clone(), job, permit, now));
            }
        }
    }

    /// Puts a backend whose check is over back in line, unless its ticket became void meanwhile.
    fn again(&mut self, done: Done) {
        if let Some((pace, jitter_percent)) = self.inner.registry.pace(&done.ticket) {
            let at = schedule::next(done.start, self.now(), pace, jitter_percent, self.rng.u64(..));
            self.push(at, done.ticket);
        }
    }
}

async fn one(inner: Arc<Inner>, job: Job, permit: OwnedSemaphorePermit, start: Nanos) -> Done {
    // A result that does not count any more was dropped on arrival.
    let _ = inner.check_once(&job).await;
    drop(permit);
    Done { ticket: job.ticket, start }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{HealthCheck, HealthChecker, NoSink};
    use lb_types::{Backend, BackendUrl};

    #[tokio::test(start_paused = true)]
    async fn heap_holds_one_entry_a_backend_however_often_the_set_changes() {
        let checker = HealthChecker::new(HealthCheck::tcp(), Arc::new(NoSink)).unwrap();
        let mut s = Scheduler::new(checker.0.clone(), fastrand::Rng::with_seed(1));
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
