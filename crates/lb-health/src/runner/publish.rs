//! Tells verdicts to everyone who wants them: the sink first, then callbacks, then the event stream.
//!
//! One verdict at a time and in order for each backend, with no lock held while others' code runs: a verdict is put in an outbox
//! in the same step as it is reached; whoever finds the outbox unattended empties it. So a sink or callback may itself call the
//! checker, and one that panics costs its own call alone.
//!
//! Bound: at most one verdict a backend waits. While a callback dawdles, a newer verdict takes the place of the waiting one.

use lb_types::{BackendId, HealthEvent, HealthSink};
use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use tokio::sync::broadcast;

pub(super) type Callback = Arc<dyn Fn(&HealthEvent) + Send + Sync>;

pub(super) struct Publisher {
    sink: Arc<dyn HealthSink>,
    callbacks: RwLock<Vec<Callback>>,
    stream: broadcast::Sender<HealthEvent>,
    outbox: Mutex<Outbox>,
}

#[derive(Default)]
struct Outbox {
    waiting: VecDeque<(BackendId, HealthEvent)>,
    attended: bool,
}

impl Publisher {
    pub(super) fn new(sink: Arc<dyn HealthSink>, events_capacity: usize) -> Self {
        Self {
            sink,
            callbacks: RwLock::default(),
            stream: broadcast::Sender::new(events_capacity),
            outbox: Mutex::default(),
        }
    }

    pub(super) fn add_callback(&self, callback: Callback) {
        self.callbacks.write().unwrap_or_else(PoisonError::into_inner).push(callback);
    }

    pub(super) fn subscribe(&self) -> broadcast::Receiver<HealthEvent> {
        self.stream.subscribe()
    }

    /// Puts a verdict in the outbox. Call it under the lock that orders the backend's verdicts, and [`flush`](Self::flush)
    /// after that lock is released.
    pub(super) fn put(&self, id: &BackendId, event: HealthEvent) {
        let mut outbox = self.outbox();
        outbox.waiting.retain(|(waiting, _)| waiting != id);
        outbox.waiting.push_back((id.clone(), event));
    }

    /// Drops what waits for a backend that is no more.
    pub(super) fn forget(&self, id: &BackendId) {
        self.outbox().waiting.retain(|(waiting, _)| waiting != id);
    }

    /// Delivers what waits, unless somebody is at it: then he delivers this, too.
    pub(super) fn flush(&self) {
        loop {
            let (id, event) = {
                let mut outbox = self.outbox();
                if outbox.attended {
                    return;
                }
                let Some(next) = outbox.waiting.pop_front() else { return };
                outbox.attended = true;
                next
            };
            self.deliver(&id, event);
            self.outbox().attended = false;
        }
    }

    /// Never unwinds: others' panics were reported by the panic hook and end here, lest the outbox stay attended for ever.
    fn deliver(&self, id: &BackendId, event: HealthEvent) {
        let healthy = matches!(event, HealthEvent::BackendHealthy { .. });
        let _ = catch_unwind(AssertUnwindSafe(|| self.sink.set_healthy(id, healthy)));
        let callbacks = self.callbacks.read().unwrap_or_else(PoisonError::into_inner).clone();
        for callback in callbacks {
            let _ = catch_unwind(AssertUnwindSafe(|| callback(&event)));
        }
        // An error means that nobody listens.
        let _ = self.stream.send(event);
    }

    fn outbox(&self) -> MutexGuard<'_, Outbox> {
        // Each critical section leaves the outbox whole.
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::OnceLock;

    #[derive(Default)]
    struct Log(Mutex<Vec<(String, bool)>>);

    impl HealthSink for Log {
        fn set_healthy(&self, id: &BackendId, healthy: bool) {
            self.0.lock().unwrap().push((id.to_string(), healthy));
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
            p.put(&id, event);
        }
        p.forget(&"b".into());
        p.flush();
        assert_eq!(*log.0.lock().unwrap(), [("c".to_owned(), false), ("a".to_owned(), true)]);
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
                p.put(&id, event);
                p.flush(); // somebody is at it: returns at once
                panic!("a callback's bug");
            }
        }));
        let (id, event) = up("panics");
        p.put(&id, event.clone());
        p.flush();
        assert_eq!(*log.0.lock().unwrap(), [("panics".to_owned(), true), ("nested".to_owned(), false)]);
        assert_eq!(stream.try_recv(), Ok(event));
        assert_eq!(stream.try_recv(), Ok(down("nested").1));
    }
}
