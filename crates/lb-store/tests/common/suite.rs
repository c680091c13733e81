//! The conformance suite: the behaviours, one by one, and random sequences against a model.
//!
//! Keys are prefixed by the caller's `run`, so that the cases of one server do not meet.

use lb_types::store::{RateQuota, STORE_KEY_BYTES_MAX, STORE_TTL_MAX, STORE_VALUE_BYTES_MAX};
use lb_types::{Store, StoreError};
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;
use proptest::test_runner::{Config, TestRunner};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

pub(crate) const LONG: Duration = Duration::from_secs(600);

/// Everything but expiry, which needs the store's time.
pub(crate) async fn behaves(store: Arc<dyn Store>, run: &str) {
    values_are_kept(&*store, run).await;
    absent_is_absent(&*store, run).await;
    compare_and_set_is_exact(&*store, run).await;
    bounds_hold(&*store, run).await;
    rates_are_kept(&*store, run).await;
    admissions_are_counted_once(&store, run).await;
    one_of_many_wins(&store, run).await;
}

async fn values_are_kept(store: &dyn Store, run: &str) {
    let key = format!("{run}:ключ \r\n\0\"");
    let all_bytes: Vec<u8> = (0..=255).collect();
    for value in [&b""[..], b"v", b"\r\n$-1\r\n", &all_bytes] {
        store.set(&key, value, LONG).await.unwrap();
        assert_eq!(store.get(&key).await.unwrap().as_deref(), Some(value));
    }
    let longest_key = format!("{run}:{}", "k".repeat(STORE_KEY_BYTES_MAX - run.len() - 1));
    let longest_value = vec![7; STORE_VALUE_BYTES_MAX];
    store.set(&longest_key, &longest_value, STORE_TTL_MAX).await.unwrap();
    assert_eq!(store.get(&longest_key).await.unwrap(), Some(longest_value));
    assert!(store.delete(&longest_key).await.unwrap());
}

async fn absent_is_absent(store: &dyn Store, run: &str) {
    let key = format!("{run}:absent");
    assert_eq!(store.get(&key).await.unwrap(), None);
    assert!(!store.delete(&key).await.unwrap());
    assert!(!store.touch(&key, LONG).await.unwrap());
    assert!(store.set_if_absent(&key, b"1", LONG).await.unwrap());
    assert!(!store.set_if_absent(&key, b"2", LONG).await.unwrap());
    assert_eq!(store.get(&key).await.unwrap().as_deref(), Some(&b"1"[..]));
    assert!(store.touch(&key, LONG).await.unwrap());
    assert!(store.delete(&key).await.unwrap());
    assert_eq!(store.get(&key).await.unwrap(), None);
}

async fn compare_and_set_is_exact(store: &dyn Store, run: &str) {
    let key = format!("{run}:cas");
    assert!(!store.compare_and_set(&key, Some(b""), b"x", LONG).await.unwrap(), "absent is not empty");
    assert!(store.compare_and_set(&key, None, b"", LONG).await.unwrap());
    assert!(!store.compare_and_set(&key, None, b"x", LONG).await.unwrap(), "empty is not absent");
    assert!(store.compare_and_set(&key, Some(b""), b"a\0", LONG).await.unwrap());
    assert!(!store.compare_and_set(&key, Some(b"a"), b"x", LONG).await.unwrap());
    assert!(store.compare_and_set(&key, Some(b"a\0"), b"b", LONG).await.unwrap());
    assert_eq!(store.get(&key).await.unwrap().as_deref(), Some(&b"b"[..]));
}

async fn bounds_hold(store: &dyn Store, run: &str) {
    let key = format!("{run}:bounds");
    let (long_key, long_value) = ("k".repeat(STORE_KEY_BYTES_MAX + 1), vec![0; STORE_VALUE_BYTES_MAX + 1]);
    let too_large = |what, bytes, max| StoreError::TooLarge { what, bytes, max };
    let key_error = too_large("key", STORE_KEY_BYTES_MAX + 1, STORE_KEY_BYTES_MAX);
    let value_error = too_large("value", STORE_VALUE_BYTES_MAX + 1, STORE_VALUE_BYTES_MAX);
    assert_eq!(store.get("").await, Err(StoreError::EmptyKey));
    assert_eq!(store.get(&long_key).await, Err(key_error.clone()));
    assert_eq!(store.delete(&long_key).await, Err(key_error.clone()));
    assert_eq!(store.touch(&long_key, LONG).await, Err(key_error));
    assert_eq!(store.set(&key, &long_value, LONG).await, Err(value_error.clone()));
    assert_eq!(store.set_if_absent(&key, &long_value, LONG).await, Err(value_error.clone()));
    assert_eq!(store.compare_and_set(&key, Some(&long_value), b"", LONG).await, Err(value_error.clone()));
    assert_eq!(store.compare_and_set(&key, None, &long_value, LONG).await, Err(value_error));
    for ttl in [Duration::ZERO, Duration::from_micros(999), STORE_TTL_MAX + Duration::from_millis(1)] {
        assert_eq!(store.set(&key, b"", ttl).await, Err(StoreError::BadTtl { ttl }));
        assert_eq!(store.touch(&key, ttl).await, Err(StoreError::BadTtl { ttl }));
    }
    assert_eq!(store.get(&key).await.unwrap(), None);
}

/// Intervals so long that the test's own time does not matter.
async fn rates_are_kept(store: &dyn Store, run: &str) {
    let (key, other) = (format!("{run}:rate"), format!("{run}:rate:other"));
    let quota = RateQuota::new(LONG, 4).unwrap();
    let near = |time: Duration, to: Duration| (to.saturating_sub(LONG / 10)..=to).contains(&time);
    for taken in 1..=5 {
        let answer = store.rate(&key, quota, 1).await.unwrap();
        assert_eq!((answer.allowed, answer.remaining, answer.retry_after), (true, 5 - taken, Duration::ZERO));
        assert!(near(answer.reset, LONG * taken), "{answer:?}");
    }
    for _ in 0..3 {
        let refused = store.rate(&key, quota, 1).await.unwrap();
        assert_eq!((refused.allowed, refused.remaining), (false, 0));
        assert!(near(refused.retry_after, LONG) && near(refused.reset, LONG * 5), "{refused:?}");
    }
    let look = store.rate(&key, quota, 0).await.unwrap();
    assert!(look.allowed && look.remaining == 0 && near(look.reset, LONG * 5), "{look:?}");

    assert_eq!(store.rate(&other, quota, 0).await.unwrap().remaining, 5);
    assert_eq!(store.get(&other).await.unwrap(), None, "who only looked is not remembered");
    assert_eq!(store.rate(&other, quota, 3).await.unwrap().remaining, 2);
    let refused = store.rate(&other, quota, 3).await.unwrap();
    assert!(!refused.allowed && near(refused.retry_after, LONG), "{refused:?}");
    assert_eq!(store.rate(&other, quota, 6).await, Err(StoreError::BadCost { cost: 6, burst: 4 }));

    // A lower quota: no debt is more than its most.
    let lower = RateQuota::new(LONG / 100, 0).unwrap();
    let refused = store.rate(&key, lower, 1).await.unwrap();
    assert_eq!((refused.allowed, refused.retry_after), (false, LONG / 100));

    let foreign = format!("{run}:rate:foreign");
    store.set(&foreign, b"abc", LONG).await.unwrap();
    let answer = store.rate(&foreign, quota, 1).await;
    assert!(matches!(answer, Err(StoreError::Unexpected { .. })), "{answer:?}");

    // The longest there is.
    let longest = RateQuota::new(STORE_TTL_MAX, 0).unwrap();
    let key = format!("{run}:rate:longest");
    assert_eq!(store.rate(&key, longest, 1).await.unwrap().reset, STORE_TTL_MAX);
    let refused = store.rate(&key, longest, 1).await.unwrap();
    assert!(!refused.allowed && near(refused.retry_after, STORE_TTL_MAX), "{refused:?}");
}

async fn admissions_are_counted_once(store: &Arc<dyn Store>, run: &str) {
    let key: Arc<str> = format!("{run}:rate:race").into();
    let quota = RateQuota::new(LONG, 99).unwrap();
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (store, key) = (store.clone(), key.clone());
            tokio::spawn(async move {
                let mut admitted = 0;
                for _ in 0..30 {
                    admitted += u32::from(store.rate(&key, quota, 1).await.unwrap().allowed);
                }
                admitted
            })
        })
        .collect();
    let mut admitted = 0;
    for task in tasks {
        admitted += task.await.unwrap();
    }
    assert_eq!(admitted, 100);
}

async fn one_of_many_wins(store: &Arc<dyn Store>, run: &str) {
    for round in 0..10 {
        let key: Arc<str> = format!("{run}:race:{round}").into();
        let tasks: Vec<_> = (0..16u8)
            .map(|n| {
                let (store, key) = (store.clone(), key.clone());
                tokio::spawn(async move {
                    if n % 2 == 0 {
                        store.compare_and_set(&key, None, &[n], LONG).await.unwrap()
                    } else {
                        store.set_if_absent(&key, &[n], LONG).await.unwrap()
                    }
                })
            })
            .collect();
        let mut winners = vec![];
        for (n, task) in tasks.into_iter().enumerate() {
            if task.await.unwrap() {
                winners.push(n as u8);
            }
        }
        assert_eq!(store.get(&key).await.unwrap(), Some(winners.clone()), "one winner, and its value");
        assert_eq!(winners.len(), 1);
    }
}

#[derive(Clone, Debug)]
pub(crate) enum Op {
    Get(u8),
    Set(u8, u8, u16),
    SetIfAbsent(u8, u8, u16),
    CompareAndSet(u8, Option<u8>, u8, u16),
    Delete(u8),
    Touch(u8, u16),
    Advance(u16),
}

pub(crate) fn ops() -> impl Strategy<Value = Vec<Op>> {
    // Few keys and values, so that calls meet; times in milliseconds.
    let (key, value, ttl) = (0..3u8, 0..3u8, 1..100u16);
    let op = prop_oneof![
        key.clone().prop_map(Op::Get),
        (key.clone(), value.clone(), ttl.clone()).prop_map(|(k, v, t)| Op::Set(k, v, t)),
        (key.clone(), value.clone(), ttl.clone()).prop_map(|(k, v, t)| Op::SetIfAbsent(k, v, t)),
        (key.clone(), prop::option::of(value.clone()), value, ttl.clone())
            .prop_map(|(k, e, v, t)| Op::CompareAndSet(k, e, v, t)),
        key.clone().prop_map(Op::Delete),
        (key, ttl.clone()).prop_map(|(k, t)| Op::Touch(k, t)),
        ttl.prop_map(Op::Advance),
    ];
    prop::collection::vec(op, 1..60)
}

/// Runs `cases` random sequences. `unit` is what one unit of a time to live lasts; `advance` moves the store's time, if it can be moved.
pub(crate) async fn follows_the_model(
    store: &dyn Store,
    run: &str,
    cases: u32,
    unit: Duration,
    advance: Option<&(dyn Fn(Duration) + Sync)>,
) {
    let mut runner = TestRunner::new_with_rng(
        Config::default(),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    for case in 0..cases {
        let ops = ops().new_tree(&mut runner).unwrap().current();
        let mut model: BTreeMap<u8, (u8, Duration)> = BTreeMap::new();
        let mut now = Duration::ZERO;
        let name = |k: u8| format!("{run}:model:{case}:{k}");
        for (at, op) in ops.iter().enumerate() {
            let context = format!("case {case}, step {at} of {ops:?}");
            model.retain(|_, (_, expires)| *expires > now);
            match *op {
                Op::Get(k) => {
                    let found = store.get(&name(k)).await.unwrap();
                    assert_eq!(found, model.get(&k).map(|(v, _)| vec![*v]), "{context}");
                }
                Op::Set(k, v, t) => {
                    store.set(&name(k), &[v], unit * t.into()).await.unwrap();
                    model.insert(k, (v, now + unit * t.into()));
                }
                Op::SetIfAbsent(k, v, t) => {
                    let set = store.set_if_absent(&name(k), &[v], unit * t.into()).await.unwrap();
                    assert_eq!(set, !model.contains_key(&k), "{context}");
                    model.entry(k).or_insert((v, now + unit * t.into()));
                }
                Op::CompareAndSet(k, e, v, t) => {
                    let expected = e.map(|e| vec![e]);
                    let ttl = unit * t.into();
                    let set = store.compare_and_set(&name(k), expected.as_deref(), &[v], ttl).await.unwrap();
                    assert_eq!(set, model.get(&k).map(|(v, _)| *v) == e, "{context}");
                    if set {
                        model.insert(k, (v, now + ttl));
                    }
                }
                Op::Delete(k) => {
                    let deleted = store.delete(&name(k)).await.unwrap();
                    assert_eq!(deleted, model.remove(&k).is_some(), "{context}");
                }
                Op::Touch(k, t) => {
                    let touched = store.touch(&name(k), unit * t.into()).await.unwrap();
                    assert_eq!(touched, model.contains_key(&k), "{context}");
                    model.entry(k).and_modify(|(_, expires)| *expires = now + unit * t.into());
                }
                Op::Advance(by) => {
                    if let Some(advance) = advance {
                        advance(unit * by.into());
                        now += unit * by.into();
                    }
                }
            }
        }
    }
}
