//! Two processes with one store.

use super::*;
use crate::{Database, GeoDetector, Location, Provider};
use futures_util::FutureExt as _;
use lb_types::ManualClock;
use lb_types::store::{RateAnswer, RateQuota, StoreError, StoreFuture, check_key, check_ttl, check_value};
use std::collections::BTreeMap;
use std::future::ready;
use std::sync::Mutex;

/// A store in memory that forgets nothing by itself, and fails when told to.
#[derive(Default)]
struct Fake {
    entries: Mutex<BTreeMap<String, (Vec<u8>, Duration)>>,
    away: Mutex<bool>,
    gets: AtomicU64,
}

impl Fake {
    fn up(&self) -> Result<(), StoreError> {
        let away = *self.away.lock().unwrap();
        if away { Err(StoreError::Timeout { limit: Duration::from_secs(1) }) } else { Ok(()) }
    }

    fn keys(&self) -> Vec<String> {
        self.entries.lock().unwrap().keys().cloned().collect()
    }
}

impl Store for Fake {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.gets.fetch_add(1, Ordering::Relaxed);
        let value = self.entries.lock().unwrap().get(key).map(|(value, _)| value.clone());
        Box::pin(ready(check_key(key).and(self.up()).map(|()| value)))
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, ()> {
        let checked = check_key(key).and(check_value(value)).and(check_ttl(ttl)).and(self.up());
        if checked.is_ok() {
            self.entries.lock().unwrap().insert(key.to_owned(), (value.to_owned(), ttl));
        }
        Box::pin(ready(checked))
    }

    fn set_if_absent<'a>(&'a self, _: &'a str, _: &'a [u8], _: Duration) -> StoreFuture<'a, bool> {
        unreachable!("a cache overwrites")
    }

    fn compare_and_set<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a [u8]>,
        _: &'a [u8],
        _: Duration,
    ) -> StoreFuture<'a, bool> {
        unreachable!("a cache overwrites")
    }

    fn delete<'a>(&'a self, _: &'a str) -> StoreFuture<'a, bool> {
        unreachable!("entries go by themselves")
    }

    fn touch<'a>(&'a self, _: &'a str, _: Duration) -> StoreFuture<'a, bool> {
        unreachable!("entries do not live longer by being read")
    }

    fn rate<'a>(&'a self, _: &'a str, _: RateQuota, _: u32) -> StoreFuture<'a, RateAnswer> {
        unreachable!("a cache counts nothing")
    }
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn country(code: &str) -> Answer {
    Location::of_country(code.parse().unwrap()).into()
}

fn now<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("the fake answers at once")
}

const TTL: Duration = Duration::from_secs(3_600);
const START: Nanos = Nanos::ZERO;

#[test]
fn another_process_reads_what_one_has_written() {
    let store = Arc::<Fake>::default();
    let (one, other) = (StoreCache::new(store.clone(), 10), StoreCache::new(store.clone(), 10));
    let at = ip("2001:218::1");
    now(one.put(at, &country("JP"), TTL, START));
    assert_eq!(store.keys(), ["geo:0000000000000000:0:2001:218::"]);
    assert_eq!(store.entries.lock().unwrap().values().next().unwrap().1, TTL);
    assert_eq!(one.get_now(at, START), Some(country("JP")));
    // The other one: not at once, then from the store, then from its memory, for a while.
    assert_eq!(other.get_now(at, START), None);
    assert_eq!(now(other.get(at, START)), Some(country("JP")));
    assert_eq!(now(other.get(at, START)), Some(country("JP")));
    assert_eq!(store.gets.load(Ordering::Relaxed), 1);
    assert_eq!(other.get_now(at, START + FROM_STORE_TTL.into()), None);
    // What is put at once stays in this process.
    one.put_now(ip("1.1.1.1"), &country("AU"), TTL, START);
    assert_eq!((store.keys().len(), one.get_now(ip("1.1.1.1"), START)), (1, Some(country("AU"))));
}

#[test]
fn other_sources_and_other_generations_do_not_mix() {
    let store = Arc::<Fake>::default();
    let (one, other) = (StoreCache::new(store.clone(), 10), StoreCache::new(store.clone(), 10));
    let at = ip("1.1.1.1");
    one.sources(1);
    other.sources(2);
    now(one.put(at, &country("AU"), TTL, START));
    assert_eq!(now(other.get(at, START)), None, "it has another database");
    other.sources(1);
    assert_eq!(now(other.get(at, START)), Some(country("AU")), "it has the same one now");
    other.sources(2);
    assert_eq!(other.get_now(at, START), None);

    one.clear();
    assert_eq!((one.get_now(at, START), now(one.get(at, START))), (None, None));
    now(one.put(at, &country("NZ"), TTL, START));
    other.sources(1);
    assert_eq!(now(other.get(at, START)), Some(country("AU")), "nobody told it to forget");
    other.clear();
    assert_eq!(now(other.get(at, START)), None, "and then it believes nobody's");
}

#[test]
fn a_store_that_fails_is_nothing_remembered() {
    let store = Arc::<Fake>::default();
    let (one, other) = (StoreCache::new(store.clone(), 10), StoreCache::new(store.clone(), 10));
    *store.away.lock().unwrap() = true;
    now(one.put(ip("1.1.1.1"), &country("AU"), TTL, START));
    assert_eq!(now(one.get(ip("1.1.1.1"), START)), Some(country("AU")), "its memory does not need the store");
    assert_eq!(now(other.get(ip("1.1.1.1"), START)), None);
    *store.away.lock().unwrap() = false;
    assert_eq!(now(other.get(ip("1.1.1.1"), START)), None);
    // Nor is what is no answer.
    now(one.put(ip("2.2.2.2"), &country("FR"), TTL, START));
    store.entries.lock().unwrap().values_mut().for_each(|(value, _)| value[0] = 99);
    assert_eq!(now(other.get(ip("2.2.2.2"), START)), None);
}

/// Has to be waited for.
#[derive(Clone, Debug)]
struct Remote(Arc<AtomicU64>);

impl Provider for Remote {
    fn name(&self) -> &'static str {
        "remote"
    }

    fn locate_now(&self, _: IpAddr) -> Option<Answer> {
        None
    }

    fn locate(&self, _: IpAddr) -> BoxFuture<'_, Result<Answer, crate::GeoError>> {
        self.0.fetch_add(1, Ordering::Relaxed);
        Box::pin(ready(Ok(country("NO"))))
    }
}

#[test]
fn of_two_processes_one_asks_the_provider() {
    let (store, remote) = (Arc::<Fake>::default(), Remote(Arc::default()));
    let process = || {
        GeoDetector::builder()
            .database(Database::provider(remote.clone()))
            .cache_in(Arc::new(StoreCache::new(store.clone(), 10)))
            .clock(Arc::<ManualClock>::default())
            .build()
            .unwrap()
    };
    let (one, other) = (process(), process());
    let at = ip("1.1.1.1");
    for detector in [&one, &other] {
        assert!(detector.needs_providers(at));
        assert_eq!(now(detector.detect_location_async(at)), Ok(country("NO")));
        assert!(!detector.needs_providers(at));
        assert_eq!(detector.detect_location(at), country("NO"));
    }
    assert_eq!(remote.0.load(Ordering::Relaxed), 1);
    let counts = |detector: &GeoDetector| (detector.statistics().hits, detector.statistics().misses);
    assert_eq!((counts(&one), counts(&other)), ((1, 1), (2, 0)));
    one.clear_cache();
    now(one.detect_location_async(at)).unwrap();
    assert_eq!(remote.0.load(Ordering::Relaxed), 2);
}
