//! Deadlines that cost a store: one coarse timer per worker, one watch per connection.
//!
//! A proxied request has half a dozen deadlines in its life, nearly none of which is ever reached. A timer wheel entry for
//! each costs more than the request's own routing. Here a [`Watch`] holds the one deadline that is in force; moving it later
//! is a store, and the timer looks at it when the time comes for which it was queued. Deadlines are kept to [`TICK`], never early.

use lb_types::{Clock, Nanos};
use std::collections::BTreeMap;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

/// How late a deadline may be noticed.
pub(crate) const TICK: Duration = Duration::from_millis(10);

/// Who is being waited for, and so who is to blame when the deadline passes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Phase {
    /// The client, for a request.
    Idle,
    /// The client, for the rest of a head.
    Head,
    /// The client, for more of a request's body.
    ClientBody,
    /// The client, to take more of a response.
    ClientWrite,
    /// The backend, for a connection.
    Connect,
    /// The backend, for a response's head.
    FirstByte,
    /// The backend, for more of a response's body.
    BackendBody,
    /// Nobody: a retry waits for its time.
    Backoff,
}

/// One connection's (or one request's) deadline.
#[derive(Debug)]
pub(crate) struct Watch {
    deadline: AtomicU64,
    /// No deadline is later than this: the end of the whole exchange.
    cap: AtomicU64,
    phase: AtomicU8,
    due: AtomicBool,
    /// A request is being served.
    active: AtomicBool,
    /// All that was written is with the system.
    flushed: AtomicBool,
    /// All that was read is whole messages.
    between: AtomicBool,
    /// When the connection last went idle, in the order of its worker's connections; 0 = never.
    ticket: AtomicU64,
    /// It has served a request since it was last found idle.
    served: AtomicBool,
    /// Its client is sending what nobody reads: it is to see the answer before the connection goes.
    lingers: AtomicBool,
    /// A connection's driver registers its task: requests need not.
    driven: bool,
    /// For when it is queued: (tick, sequence); `u64::MAX` = not at all.
    queued: AtomicU64,
    sequence: u64,
    waker: Mutex<Option<Waker>>,
    timer: Arc<Timer>,
}

impl Watch {
    /// Sets the deadline: `after` from `now`, but not after the cap.
    #[inline]
    pub(crate) fn arm(self: &Arc<Self>, phase: Phase, now: Nanos, after: Duration) {
        let at = (now + after.into()).0.min(self.cap.load(Relaxed));
        self.phase.store(phase as u8, Relaxed);
        self.deadline.store(at, Relaxed);
        self.due.store(false, Relaxed);
        if at < self.queued.load(Relaxed) {
            self.timer.queue(self, at);
        }
    }

    /// The deadline is now.
    pub(crate) fn expire(&self) {
        self.due.store(true, Relaxed);
    }

    /// Has the deadline passed?
    #[inline]
    pub(crate) fn is_due(&self) -> bool {
        self.due.load(Relaxed)
    }

    pub(crate) fn phase(&self) -> Phase {
        const ALL: [Phase; 8] = [
            Phase::Idle,
            Phase::Head,
            Phase::ClientBody,
            Phase::ClientWrite,
            Phase::Connect,
            Phase::FirstByte,
            Phase::BackendBody,
            Phase::Backoff,
        ];
        ALL[usize::from(self.phase.load(Relaxed)).min(7)]
    }

    /// The request is over: the client may send another within `after`.
    pub(crate) fn rest(self: &Arc<Self>, now: Nanos, after: Duration) {
        self.set_active(false);
        self.set_cap(None);
        self.arm(Phase::Idle, now, after);
    }

    /// Waits for `future` until the deadline; `None`: it has passed.
    pub(crate) async fn within<F: Future>(&self, future: F) -> Option<F::Output> {
        let mut future = pin!(future);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Some(output));
            }
            self.register_request(cx.waker());
            if self.is_due() { Poll::Ready(None) } else { Poll::Pending }
        })
        .await
    }

    /// Limits every deadline from now on; `None`: no limit.
    #[inline]
    pub(crate) fn set_cap(&self, at: Option<Nanos>) {
        self.cap.store(at.map_or(u64::MAX, |at| at.0), Relaxed);
    }

    /// The limit of every deadline; [`Nanos::MAX`]: there is none.
    pub(crate) fn cap(&self) -> Nanos {
        Nanos(self.cap.load(Relaxed))
    }

    #[inline]
    pub(crate) fn set_active(&self, active: bool) {
        self.active.store(active, Relaxed);
        self.served.store(true, Relaxed);
    }

    /// Was a request served since the last call?
    #[inline]
    pub(crate) fn stay_idle(&self) -> bool {
        let served = self.served.load(Relaxed);
        self.served.store(false, Relaxed);
        served
    }

    #[inline]
    pub(crate) fn set_flushed(&self, flushed: bool) {
        self.flushed.store(flushed, Relaxed);
    }

    #[inline]
    pub(crate) fn set_between(&self, between: bool) {
        self.between.store(between, Relaxed);
    }

    /// Is the connection between two exchanges, with nothing under way in either direction?
    #[inline]
    pub(crate) fn is_idle(&self) -> bool {
        !self.is_active()
            && self.phase() == Phase::Idle
            && self.flushed.load(Relaxed)
            && self.between.load(Relaxed)
    }

    /// The client was answered amid its body.
    pub(crate) fn linger(&self) {
        self.lingers.store(true, Relaxed);
    }

    pub(crate) fn lingers(&self) -> bool {
        self.lingers.load(Relaxed)
    }

    pub(crate) fn ticket(&self) -> u64 {
        self.ticket.load(Relaxed)
    }

    pub(crate) fn set_ticket(&self, ticket: u64) {
        self.ticket.store(ticket, Relaxed);
    }

    pub(crate) fn is_active(&self) -> bool {
        self.active.load(Relaxed)
    }

    /// As [`register`](Self::register), for a request: its connection's driver has done it already, if there is one.
    #[inline]
    pub(crate) fn register_request(&self, waker: &Waker) {
        if !self.driven {
            self.register(waker);
        }
    }

    /// Who is to be woken. Cheap when it is the same task as before.
    #[inline]
    pub(crate) fn register(&self, waker: &Waker) {
        let mut mine = self.waker.lock().unwrap_or_else(PoisonError::into_inner);
        match &*mine {
            Some(w) if w.will_wake(waker) => {}
            _ => *mine = Some(waker.clone()),
        }
    }

    pub(crate) fn wake(&self) {
        if let Some(w) = self.waker.lock().unwrap_or_else(PoisonError::into_inner).take() {
            w.wake();
        }
    }

    pub(crate) fn now(&self) -> Nanos {
        self.timer.now()
    }
}

/// Ends the watch when its connection ends.
#[derive(Debug)]
pub(crate) struct WatchGuard(pub(crate) Arc<Watch>);

impl Drop for WatchGuard {
    fn drop(&mut self) {
        self.0.timer.remove(&self.0);
    }
}

type Queue = BTreeMap<(u64, u64), Arc<Watch>>;

/// A worker's deadlines.
pub(crate) struct Timer {
    clock: Arc<dyn Clock>,
    queue: Mutex<Queue>,
    sequence: AtomicU64,
    /// The task that waits for the first of them runs.
    running: AtomicBool,
    sooner: tokio::sync::Notify,
}

impl std::fmt::Debug for Timer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Timer").finish_non_exhaustive()
    }
}

impl Timer {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            clock,
            queue: Mutex::default(),
            sequence: AtomicU64::new(0),
            running: AtomicBool::new(false),
            sooner: tokio::sync::Notify::new(),
        })
    }

    #[inline]
    pub(crate) fn now(&self) -> Nanos {
        self.clock.now()
    }

    /// A watch without a deadline. `driven`: a connection's driver registers its task with it.
    pub(crate) fn watch(self: &Arc<Self>, driven: bool) -> WatchGuard {
        WatchGuard(Arc::new(Watch {
            deadline: AtomicU64::new(u64::MAX),
            cap: AtomicU64::new(u64::MAX),
            phase: AtomicU8::new(Phase::Idle as u8),
            due: AtomicBool::new(false),
            active: AtomicBool::new(false),
            flushed: AtomicBool::new(true),
            between: AtomicBool::new(true),
            ticket: AtomicU64::new(0),
            served: AtomicBool::new(false),
            lingers: AtomicBool::new(false),
            driven,
            queued: AtomicU64::new(u64::MAX),
            sequence: self.sequence.fetch_add(1, Relaxed),
            waker: Mutex::new(None),
            timer: self.clone(),
        }))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn queue(self: &Arc<Self>, watch: &Arc<Watch>, at: u64) {
        let mut q = self.lock();
        q.remove(&(watch.queued.load(Relaxed), watch.sequence));
        let first = q.first_key_value().is_none_or(|(&(t, _), _)| at < t);
        q.insert((at, watch.sequence), watch.clone());
        watch.queued.store(at, Relaxed);
        drop(q);
        if !first {
            return;
        }
        if self.running.swap(true, SeqCst) {
            self.sooner.notify_one();
        } else {
            tokio::spawn(self.clone().run());
        }
    }

    fn remove(&self, watch: &Watch) {
        self.lock().remove(&(watch.queued.load(Relaxed), watch.sequence));
    }

    /// Wakes every watch's task: something beyond its deadline has changed (shutdown).
    pub(crate) fn wake_all(&self) {
        let all: Vec<_> = self.lock().values().cloned().collect();
        for w in all {
            w.wake();
        }
    }

    async fn run(self: Arc<Self>) {
        loop {
            let now = self.now();
            self.fire(now);
            let first = self.lock().first_key_value().map(|(&(t, _), _)| Nanos(t));
            let Some(first) = first else {
                self.running.store(false, SeqCst);
                // Something may have been queued just before that.
                if self.lock().is_empty() || self.running.swap(true, SeqCst) {
                    return;
                }
                continue;
            };
            let wait = (first - now).as_duration() + TICK;
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.sooner.notified() => {}
            }
        }
    }

    /// Looks at every watch whose time has come.
    fn fire(&self, now: Nanos) {
        let mut q = self.lock();
        let mut due = vec![];
        while let Some(entry) = q.first_entry().filter(|e| e.key().0 <= now.0) {
            let watch = entry.remove();
            let at = watch.deadline.load(Relaxed);
            if at <= now.0 {
                watch.queued.store(u64::MAX, Relaxed);
                watch.due.store(true, Relaxed);
                due.push(watch);
            } else {
                // Moved later since it was queued.
                watch.queued.store(at, Relaxed);
                q.insert((at, watch.sequence), watch);
            }
        }
        drop(q);
        for watch in due {
            watch.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// tokio's paused clock, so that time moves only when all tasks wait.
    struct Paused(tokio::time::Instant);
    impl Clock for Paused {
        fn now(&self) -> Nanos {
            self.0.elapsed().into()
        }
    }

    async fn wait(w: &Watch) -> Nanos {
        std::future::poll_fn(|cx| {
            w.register(cx.waker());
            if w.is_due() { std::task::Poll::Ready(w.now()) } else { std::task::Poll::Pending }
        })
        .await
    }

    #[tokio::test(start_paused = true)]
    async fn fires_at_the_latest_deadline_never_early() {
        let timer = Timer::new(Arc::new(Paused(tokio::time::Instant::now())));
        let ms = Duration::from_millis;
        let w = timer.watch(true);
        w.0.arm(Phase::Idle, timer.now(), ms(5_000));
        w.0.arm(Phase::Head, timer.now(), ms(100));
        let at = wait(&w.0).await.as_millis();
        assert!((100..=120).contains(&at), "{at} ms: a sooner deadline is kept");
        w.0.arm(Phase::Idle, timer.now(), ms(1_000));
        tokio::time::sleep(ms(500)).await;
        w.0.arm(Phase::FirstByte, timer.now(), ms(1_000));
        let again = wait(&w.0).await.as_millis();
        assert!(
            (at + 1_500..at + 1_530).contains(&again),
            "{again} ms: a later deadline replaces the earlier"
        );
        assert_eq!(w.0.phase(), Phase::FirstByte);
        w.0.set_cap(Some(timer.now() + Nanos::from_millis(50)));
        w.0.arm(Phase::BackendBody, timer.now(), ms(1_000));
        let capped = wait(&w.0).await.as_millis();
        assert!(capped - again <= 70, "the cap holds");
        drop(w);
        assert!(timer.lock().is_empty(), "a dropped watch leaves nothing behind");
    }
}
