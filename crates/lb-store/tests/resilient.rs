//! A store that goes away and returns, by script and under virtual time.

use lb_store::{AwaySettings, OnEvent, Resilient, StoreEvent};
use lb_types::store::{RateAnswer, RateQuota};
use lb_types::{Clock, ManualClock, Nanos, Store, StoreError, StoreFuture};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Answers nothing but its name, or that it timed out.
#[derive(Default)]
struct Scripted {
    away: AtomicBool,
    refuses: AtomicBool,
    asked: AtomicU64,
}

const TIMEOUT: StoreError = StoreError::Timeout { limit: Duration::from_millis(20) };

impl Scripted {
    fn answer<'a, T: Send + 'a>(&'a self, value: T) -> StoreFuture<'a, T> {
        Box::pin(async move {
            self.asked.fetch_add(1, SeqCst);
            if self.away.load(SeqCst) {
                return Err(TIMEOUT);
            }
            if self.refuses.load(SeqCst) {
                return Err(StoreError::Refused { reason: "NOPERM".into() });
            }
            Ok(value)
        })
    }
}

impl Store for Scripted {
    fn get<'a>(&'a self, _: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.answer(None)
    }
    fn set<'a>(&'a self, _: &'a str, _: &'a [u8], _: Duration) -> StoreFuture<'a, ()> {
        self.answer(())
    }
    fn set_if_absent<'a>(&'a self, _: &'a str, _: &'a [u8], _: Duration) -> StoreFuture<'a, bool> {
        self.answer(true)
    }
    fn compare_and_set<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a [u8]>,
        _: &'a [u8],
        _: Duration,
    ) -> StoreFuture<'a, bool> {
        self.answer(true)
    }
    fn delete<'a>(&'a self, _: &'a str) -> StoreFuture<'a, bool> {
        self.answer(true)
    }
    fn touch<'a>(&'a self, _: &'a str, _: Duration) -> StoreFuture<'a, bool> {
        self.answer(true)
    }
    fn rate<'a>(&'a self, _: &'a str, quota: RateQuota, cost: u32) -> StoreFuture<'a, RateAnswer> {
        self.answer(quota.step(Nanos::ZERO, cost))
    }
}

struct World {
    store: Resilient<Scripted>,
    clock: Arc<ManualClock>,
    events: Arc<Mutex<Vec<StoreEvent>>>,
}

fn world() -> World {
    let clock = Arc::new(ManualClock::default());
    let events = Arc::new(Mutex::new(vec![]));
    let log = events.clone();
    let on_event: OnEvent = Arc::new(move |event| log.lock().unwrap().push(event.clone()));
    let store = Resilient::new(Scripted::default(), AwaySettings::new(), clock.clone(), 1).unwrap();
    World { store: store.on_event(on_event), clock, events }
}

#[tokio::test]
async fn an_outage_costs_one_timeout_and_is_told_once() {
    let w = world();
    w.store.set("k", b"v", Duration::from_secs(1)).await.unwrap();
    w.store.inner().away.store(true, SeqCst);
    for _ in 0..1_000 {
        assert_eq!(w.store.get("k").await, Err(TIMEOUT));
    }
    assert_eq!(w.store.inner().asked.load(SeqCst), 2, "the call that timed out was the last that was asked");
    let stats = w.store.stats();
    assert_eq!((stats.ok, stats.timeouts, stats.failed_fast, stats.outages), (1, 1, 999, 1));
    assert_eq!(stats.away_since, Some(Nanos::ZERO));

    // A minute of calls every 10 ms: a probe each 1–2 s at most.
    for _ in 0..6_000 {
        w.clock.advance(Duration::from_millis(10));
        assert!(w.store.touch("k", Duration::from_secs(1)).await.is_err());
    }
    let asked = w.store.inner().asked.load(SeqCst);
    assert!((30..80).contains(&asked), "{asked}");

    w.store.inner().away.store(false, SeqCst);
    w.clock.advance(Duration::from_secs(2));
    assert_eq!(w.store.probe().await, Ok(()));
    assert_eq!(w.store.delete("k").await, Ok(true));
    let events = w.events.lock().unwrap().clone();
    let failed_fast = w.store.stats().failed_fast;
    assert_eq!(
        events,
        [StoreEvent::Away { error: TIMEOUT }, StoreEvent::Back { was_away: w.clock.now(), failed_fast }]
    );
    assert_eq!(w.store.stats().away_since, None);
}

#[tokio::test]
async fn a_refusal_is_an_answer() {
    let w = world();
    w.store.inner().refuses.store(true, SeqCst);
    for _ in 0..3 {
        assert!(matches!(w.store.get("k").await, Err(StoreError::Refused { .. })));
    }
    assert_eq!((w.store.stats().errors, w.store.stats().outages), (3, 0));
    assert_eq!(w.events.lock().unwrap().len(), 0);
}

#[tokio::test]
async fn a_probe_that_is_dropped_is_followed_by_another() {
    let w = world();
    w.store.inner().away.store(true, SeqCst);
    w.store.get("k").await.unwrap_err();
    w.store.inner().away.store(false, SeqCst);
    w.clock.advance(Duration::from_millis(100));
    // Begun, and left by its client before it was answered: it is never polled to its end.
    let mut dropped = w.store.get("k");
    let waker = std::task::Waker::noop();
    let _ = dropped.as_mut().poll(&mut std::task::Context::from_waker(waker));
    drop(dropped);
    w.clock.advance(Duration::from_secs(5));
    assert_eq!(w.store.get("k").await, Ok(None));
}
