//! The memory store: the conformance suite under virtual time, its bounds, and what it evicts.

mod common;

use common::suite::{self, LONG};
use lb_store::memory::ENTRY_OVERHEAD_BYTES;
use lb_store::{AwaySettings, MemorySettings, MemoryStore, Resilient};
use lb_types::store::RateQuota;
use lb_types::{ManualClock, Store, StoreError};
use std::sync::Arc;
use std::time::Duration;

fn store(settings: MemorySettings) -> (Arc<MemoryStore>, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (Arc::new(MemoryStore::new(settings, clock.clone()).unwrap()), clock)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    suite::behaves(store(MemorySettings::new()).0, "plain").await;
    let (inner, clock) = store(MemorySettings::new().shards(1));
    let inner = Arc::into_inner(inner).unwrap();
    let wrapped = Resilient::new(inner, AwaySettings::new(), clock, 7).unwrap();
    suite::behaves(Arc::new(wrapped), "wrapped").await;
}

#[tokio::test]
async fn follows_the_model_to_the_millisecond() {
    for shards in [1, 16] {
        let (store, clock) = store(MemorySettings::new().shards(shards));
        let advance = |by: Duration| clock.advance(by);
        suite::follows_the_model(&*store, "m", 500, Duration::from_millis(1), Some(&advance)).await;
    }
}

#[tokio::test]
async fn the_oldest_goes_first_and_a_touch_makes_young() {
    let (store, clock) = store(MemorySettings::new().shards(1).max_entries(3));
    for key in ["a", "b", "c"] {
        store.set(key, b"", LONG).await.unwrap();
    }
    assert!(store.touch("a", LONG).await.unwrap());
    store.set("d", b"", LONG).await.unwrap();
    assert_eq!(store.get("b").await.unwrap(), None, "it was the oldest");
    for key in ["a", "c", "d"] {
        assert!(store.get(key).await.unwrap().is_some(), "{key}");
    }
    assert_eq!((store.usage().entries, store.usage().evicted), (3, 1));

    // What has expired makes room before what is alive, however old.
    store.set("d", b"", Duration::from_secs(1)).await.unwrap();
    clock.advance(Duration::from_secs(2));
    store.set("e", b"", LONG).await.unwrap();
    assert!(store.get("c").await.unwrap().is_some());
    assert_eq!((store.usage().entries, store.usage().evicted), (3, 1));
}

#[tokio::test]
async fn bytes_are_bounded_whatever_is_set() {
    const MAX: usize = 10_000;
    let (store, clock) = store(MemorySettings::new().shards(1).max_bytes(MAX));
    for n in 0..1_000u32 {
        let value = vec![0; (n as usize * 37) % 3_000];
        store
            .set(&format!("key-{}", n % 50), &value, Duration::from_secs(u64::from(n % 7 + 1)))
            .await
            .unwrap();
        clock.advance(Duration::from_millis(100));
        let usage = store.usage();
        assert!(usage.bytes <= MAX, "{usage:?}");
    }
    assert!(store.usage().evicted > 0);
    assert_eq!(
        store.set("k", &[0; MAX], LONG).await,
        Err(StoreError::TooLarge { what: "entry", bytes: 1 + MAX + ENTRY_OVERHEAD_BYTES, max: MAX })
    );
    clock.advance(Duration::from_secs(600));
    for n in 0..60 {
        store.set("k", &[n], LONG).await.unwrap();
    }
    assert_eq!(store.usage().bytes, 1 + 1 + ENTRY_OVERHEAD_BYTES, "nothing that expired stays");
}

#[tokio::test]
async fn a_rate_goes_by_the_stores_clock_and_leaves_nothing_behind() {
    let (store, clock) = store(MemorySettings::new().shards(1));
    // Seven a second: an interval that is no whole number of anything.
    let quota = RateQuota::per(7, Duration::from_secs(1), 6).unwrap();
    let mut admitted = 0;
    for _ in 0..60_000 {
        admitted += u32::from(store.rate("k", quota, 1).await.unwrap().allowed);
        clock.advance(Duration::from_millis(1));
    }
    assert_eq!(admitted, 6 + 60 * 7);
    assert_eq!(store.usage().entries, 1);
    clock.advance(Duration::from_secs(1));
    assert_eq!(store.rate("k", quota, 0).await.unwrap().remaining, 7);
    assert_eq!(store.get("k").await.unwrap(), None);
}

#[test]
fn bad_settings_are_named() {
    let error = |s: MemorySettings| s.validate().unwrap_err().to_string();
    assert_eq!(error(MemorySettings::new().shards(0)), "shards = 0: must be from 1 to 1024");
    assert_eq!(
        error(MemorySettings::new().max_entries(15)),
        "max_entries = 15: must be 1 or more for each of 16 shards"
    );
    assert_eq!(
        error(MemorySettings::new().max_bytes(0)),
        "max_bytes = 0: must be 1 or more for each of 16 shards"
    );
}
