//! Tells results and verdicts to everyone who wants them: a result goes to the sink; a verdict to the sink first, then to callbacks,
//! then to the event stream.
//!
//! One at a time and in order for each backend, a result before the verdict that it brings: a notice is put in the outbox in the same
//! step as the result is counted. A sink or callback may itself call the checker, and one that panics costs its own call alone.
//!
//! Bound: at most one verdict and [`RESULTS_MAX`] results a backend wait. While a callback dawdles, a newer verdict takes the place of
//! the waiting one, and the oldest result gives way.

use crate::outbox::Outbox;
use lb_types::{BackendId, HealthEvent, HealthSink};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, PoisonError, RwLock};
use tokio::sync::broadcast;

pub(super) type Callback = Arc<dyn Fn(&HealthEvent) + Send + Sync>;

/// The most results of one backend that wait for a sink or callback that dawdles.
const RESULTS_MAX: usize = 16;

/// What there is to tell of one backend: a result, the verdict that it brings, or a verdict without a result (it moved, or shall not be
/// checked any more).
struct Notice {
    id: BackendId,
    passed: Option<bool>,
    verdict: Option<HealthEvent>,
}

pub(super) struct Publisher {
    sink: Arc<dyn HealthSink>,
    callbacks: RwLock<Vec<Callback>>,
    stream: broadcast::Sender<HealthEvent>,
    outbox: Outbox<Notice>,
}

impl Publisher {
    pub(super) fn new(sink: Arc<dyn HealthSink>, events_capacity: usize) -> Self {
        Self {
            sink,
            callbacks: RwLock::default(),
            stream: broadcast::Sender::new(events_capacity),
            outbox: Outbox::default(),
        }
    }

    pub(super) fn add_callback(&self, callback: Callback) {
        self.callbacks.write().unwrap_or_else(PoisonError::into_inner).push(callback);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<HealthEvent> {
        self.stream.subscribe()
    }

    /// Puts a result in the outbox, with the verdict that it brings. Call it under the lock that orders the backend's results, and
    /// [`flush`](Self::flush) after that lock is released.
    pub(super) fn put_result(&self, id: &BackendId, passed: bool, verdict: Option<HealthEvent>) {
        self.put(Notice { id: id.clone(), passed: Some(passed), verdict });
    }

    /// Puts a verdict without a result in the outbox, as [`put_result`](Self::put_result) does.
    pub(super) fn put_verdict(&self, id: &BackendId, verdict: HealthEvent) {
        self.put(Notice { id: id.clone(), passed: None, verdict: Some(verdict) });
    }

    fn put(&self, notice: Notice) {
        self.outbox.edit(|waiting| {
            let of_it = waiting.iter().filter(|n| n.id == notice.id && n.passed.is_some());
            let results = of_it.count() + usize::from(notice.passed.is_some());
            let mut surplus = results.saturating_sub(RESULTS_MAX);
            waiting.retain_mut(|waiting| {
                if waiting.id == notice.id {
                    if notice.verdict.is_some() {
                        waiting.verdict = None;
                    }
                    if surplus > 0 && waiting.passed.take().is_some() {
                        surplus -= 1;
                    }
                }
                waiting.passed.is_some() || waiting.verdict.is_some()
            });
            waiting.push_back(notice);
        });
    }

    /// Drops what waits for a backend that is no more.
    pub(super) fn forget(&self, id: &BackendId) {
        self.outbox.edit(|waiting| waiting.retain(|notice| notice.id != *id));
    }

    /// Delivers what waits.
    pub(super) fn flush(&self) {
        self.outbox.flush(|notice| self.deliver(notice));
    }

    /// A panic of one listener is not to keep the news from the next.
    fn deliver(&self, Notice { id, passed, verdict }: Notice) {
        if let Some(passed) = passed {
            let _ = catch_unwind(AssertUnwindSafe(|| self.sink.checked(&id, passed)));
        }
        let Some(event) = verdict else { return };
        let healthy = matches!(event, HealthEvent::BackendHealthy { .. });
        let _ = catch_unwind(AssertUnwindSafe(|| self.sink.set_healthy(&id, healthy)));
        let callbacks = self.callbacks.read().unwrap_or_else(PoisonError::into_inner).clone();
        for callback in callbacks {
            let _ = catch_unwind(AssertUnwindSafe(|| callback(&event)));
        }
        // An error means that nobody listens.
        let _ = self.stream.send(event);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Mutex, OnceLock};

    /// What was told: `a+` is a verdict, `a passed` a result.
    #[derive(Default)]
    struct Log(Mutex<Vec<String>>);

    impl Log {
        fn take(&self) -> Vec<String> {
            std::mem::take(&mut *self.0.lock().unwrap())
        }
    }

    impl HealthSink for Log {
        fn set_healthy(&self, id: &BackendId, healthy: bool) {
            self.0.lock().unwrap().push(format!("{id}{}", if healthy { "+" } else { "-" }));
            assert_ne!(id.as_str(), "panics");
        }

        fn checked(&self, id: &BackendId, passed: bool) {
            self.0.lock().unwrap().push(format!("{id} {}", if passed { "passed" } else { "failed" }));
            assert_ne!(id.as_str(), "panics");
        }
    }

    fn up(id: &str) -> (BackendId, HealthEvent) {
        (id.into(), HealthEvent::BackendHealthy { id: id.into() })
    }

    fn down(id: &str) -> (BackendId, HealthEvent) {
        (id.into(), HealthEvent::BackendUnhealthy { id: id.into(), error: "x".into() })
    }

    #[test]
    fn newer_verdict_replaces_a_waiting_one_and_removed_backends_are_forgotten() {
        let log = Arc::new(Log::default());
        let p = Publisher::new(log.clone(), 8);
        for (id, event) in [down("a"), down("b"), down("c"), up("a")] {
            p.put_verdict(&id, event);
        }
        p.forget(&"b".into());
        p.flush();
        assert_eq!(log.take(), ["c-", "a+"]);
    }

    #[test]
    fn every_result_is_told_before_the_verdict_that_it_brings() {
        let log = Arc::new(Log::default());
        let p = Publisher::new(log.clone(), 8);
        let a: BackendId = "a".into();
        p.put_result(&a, false, Some(down("a").1));
        p.put_result(&"b".into(), true, None);
        p.put_result(&a, true, None);
        p.put_result(&a, true, Some(up("a").1));
        p.flush();
        assert_eq!(log.take(), ["a failed", "b passed", "a passed", "a passed", "a+"]);
    }

    #[test]
    fn results_that_wait_are_bounded_and_the_newest_stay() {
        let log = Arc::new(Log::default());
        let p = Publisher::new(log.clone(), 8);
        let a: BackendId = "a".into();
        p.put_result(&a, false, Some(down("a").1));
        for _ in 0..3 * RESULTS_MAX {
            p.put_result(&a, true, None);
        }
        assert_eq!(p.outbox.edit(|waiting| waiting.len()), RESULTS_MAX + 1, "and one for the verdict");
        p.flush();
        let told = log.take();
        assert_eq!(told[0], "a-", "the verdict outlives its result");
        assert_eq!(told[1..], vec!["a passed"; RESULTS_MAX]);
    }

    #[test]
    fn callbacks_may_publish_and_panics_stay_where_they_are() {
        let log = Arc::new(Log::default());
        let p = Arc::new(Publisher::new(log.clone(), 8));
        let mut stream = p.subscribe();
        let once = OnceLock::new();
        let me = Arc::downgrade(&p);
        p.add_callback(Arc::new(move |_| {
            if once.set(()).is_ok() {
                let (id, event) = down("nested");
                let p = me.upgrade().unwrap();
                p.put_verdict(&id, event);
                p.flush(); // somebody is at it: returns at once
                panic!("a callback's bug");
            }
        }));
        let (id, event) = up("panics");
        p.put_result(&id, true, Some(event.clone()));
        p.flush();
        assert_eq!(log.take(), ["panics passed", "panics+", "nested-"]);
        assert_eq!(stream.try_recv(), Ok(event));
        assert_eq!(stream.try_recv(), Ok(down("nested").1));
    }
}
