//! A detector asks in order, remembers for a while, and asks once for all who wait.

use futures_util::FutureExt as _;
use lb_geo::{
    Answer, BoxFuture, Chain, Database, GeoDetector, GeoError, HttpSettings, Location, Overrides, Provider,
    Why,
};
use lb_types::ManualClock;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn country(code: &str) -> Answer {
    Location::of_country(code.parse().unwrap()).into()
}

const UNKNOWN: Answer = Answer::Unknown(Why::NotInDatabase);

/// Says what it is told to, and counts how often it is asked.
#[derive(Clone, Debug)]
struct Scripted(Arc<Script>);

#[derive(Debug)]
struct Script {
    answer: Mutex<Result<Answer, GeoError>>,
    local: bool,
    asked: AtomicUsize,
    generation: AtomicU64,
    gate: tokio::sync::Semaphore,
}

impl Scripted {
    fn new(local: bool, answer: Result<Answer, GeoError>) -> Self {
        Self(Arc::new(Script {
            answer: Mutex::new(answer),
            local,
            asked: AtomicUsize::new(0),
            generation: AtomicU64::new(0),
            gate: tokio::sync::Semaphore::new(1_000_000),
        }))
    }

    fn local(answer: Answer) -> Self {
        Self::new(true, Ok(answer))
    }

    fn remote(answer: Answer) -> Self {
        Self::new(false, Ok(answer))
    }

    fn failing() -> Self {
        Self::new(false, Err(GeoError::Other { provider: "scripted", reason: "told to".to_owned() }))
    }

    fn asked(&self) -> usize {
        self.0.asked.load(Ordering::SeqCst)
    }

    fn say(&self, answer: Answer) {
        *self.0.answer.lock().unwrap() = Ok(answer);
    }
}

impl Provider for Scripted {
    fn name(&self) -> &'static str {
        "scripted"
    }

    fn locate_now(&self, _: IpAddr) -> Option<Answer> {
        self.0.local.then(|| {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            self.0.answer.lock().unwrap().clone().unwrap()
        })
    }

    fn locate(&self, _: IpAddr) -> BoxFuture<'_, Result<Answer, GeoError>> {
        Box::pin(async {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
            let _open = self.0.gate.acquire().await;
            self.0.answer.lock().unwrap().clone()
        })
    }

    fn generation(&self) -> u64 {
        self.0.generation.load(Ordering::SeqCst)
    }
}

fn detector(providers: &[&Scripted], clock: &Arc<ManualClock>) -> GeoDetector {
    let mut builder = GeoDetector::builder().clock(clock.clone()).cache(Duration::from_secs(60), 100);
    for provider in providers {
        builder = builder.database(Database::provider((*provider).clone()));
    }
    builder.negative_ttl(Duration::from_secs(5)).build().unwrap()
}

/// Of a future that need not wait.
fn ready<T>(future: impl Future<Output = T>) -> T {
    future.now_or_never().expect("nothing is waited for")
}

#[test]
fn the_first_that_knows_ends_it() {
    let clock = Arc::default();
    let (first, second, third) =
        (Scripted::local(UNKNOWN), Scripted::local(country("NO")), Scripted::local(country("SE")));
    let detector = detector(&[&first, &second, &third], &clock);
    assert_eq!(detector.detect_location(ip("1.1.1.1")), country("NO"));
    assert_eq!((first.asked(), second.asked(), third.asked()), (1, 1, 0));
}

#[test]
fn what_says_no_place_fills_what_the_next_leaves_open() {
    let mut system = Location::default();
    system.asn = Some(1221);
    let (systems, places) = (Scripted::local(system.clone().into()), Scripted::local(country("AU")));
    let both = detector(&[&systems, &places], &Arc::default()).detect_location(ip("1.128.0.1"));
    let location = both.location().unwrap();
    assert_eq!((location.asn, location.country.map(lb_geo::Country::code)), (Some(1221), Some("AU")));
    // Alone it is what is known.
    assert_eq!(detector(&[&systems], &Arc::default()).detect_location(ip("1.128.0.1")), Answer::from(system));
}

#[test]
fn overrides_go_first_and_special_addresses_reach_nobody() {
    let provider = Scripted::local(country("NO"));
    let mut overrides = Overrides::new();
    overrides.add("10.0.0.0/8", Location::of_country("DE".parse().unwrap())).unwrap();
    overrides.add("10.1.0.0/16", Location::of_country("CH".parse().unwrap())).unwrap();
    overrides.add("8.8.8.0/24", Location::of_country("US".parse().unwrap())).unwrap();
    let detector = GeoDetector::builder()
        .database(Database::provider(provider.clone()))
        .overrides(overrides)
        .clock(Arc::<ManualClock>::default())
        .build()
        .unwrap();
    for (address, answer) in [
        ("10.2.3.4", country("DE")),
        ("::ffff:10.1.3.4", country("CH")),
        ("8.8.8.8", country("US")),
        ("192.168.0.1", Answer::Unknown(Why::Private)),
        ("127.0.0.1", Answer::Unknown(Why::Private)),
        ("203.0.113.1", Answer::Unknown(Why::Reserved)),
    ] {
        assert_eq!(detector.detect_location(ip(address)), answer, "{address}");
        assert_eq!(ready(detector.detect_location_async(ip(address))), Ok(answer), "{address}");
    }
    assert_eq!(provider.asked(), 0);
    let statistics = detector.statistics();
    assert_eq!((statistics.lookups, statistics.unknown, statistics.hits, statistics.misses), (12, 6, 0, 0));
}

#[test]
fn answers_are_remembered_and_the_unknown_for_a_shorter_time() {
    let clock = Arc::new(ManualClock::default());
    let provider = Scripted::local(country("NO"));
    let detector = detector(&[&provider], &clock);
    let ask = |address: &str, at: u64, asked: usize| {
        detector.detect_location(ip(address));
        assert_eq!(provider.asked(), asked, "{address} at {at} s");
    };
    ask("1.1.1.1", 0, 1);
    ask("1.1.1.1", 0, 1);
    provider.say(UNKNOWN);
    ask("2.2.2.2", 0, 2);
    clock.advance(Duration::from_secs(4));
    ask("2.2.2.2", 4, 2);
    clock.advance(Duration::from_secs(1));
    ask("2.2.2.2", 5, 3);
    ask("1.1.1.1", 5, 3);
    clock.advance(Duration::from_secs(55));
    ask("1.1.1.1", 60, 4);
    let statistics = detector.statistics();
    assert_eq!((statistics.lookups, statistics.hits, statistics.misses), (7, 3, 4));
    detector.clear_cache();
    ask("1.1.1.1", 60, 5);
}

#[test]
fn a_replaced_database_is_asked_again() {
    let provider = Scripted::local(country("NO"));
    let detector = detector(&[&provider], &Arc::default());
    assert_eq!(detector.detect_location(ip("1.1.1.1")), country("NO"));
    provider.say(country("FI"));
    assert_eq!(detector.detect_location(ip("1.1.1.1")), country("NO"), "it is remembered");
    provider.0.generation.fetch_add(1, Ordering::SeqCst);
    assert_eq!(detector.detect_location(ip("1.1.1.1")), country("FI"));
}

#[test]
fn who_needs_time_is_asked_by_the_asynchronous_look_up_and_remembered_by_both() {
    let (remote, local) = (Scripted::remote(country("NO")), Scripted::local(country("SE")));
    let detector = detector(&[&remote, &local], &Arc::default());
    // The best that can be said at once; not remembered, for the first provider was not asked.
    assert_eq!(detector.detect_location(ip("1.1.1.1")), country("SE"));
    assert_eq!(ready(detector.detect_location_async(ip("1.1.1.1"))), Ok(country("NO")));
    assert_eq!(detector.detect_location(ip("1.1.1.1")), country("NO"));
    assert_eq!(remote.asked(), 1);
}

#[test]
fn a_failure_is_no_answer_and_not_remembered() {
    let (failing, unknown, local) =
        (Scripted::failing(), Scripted::local(UNKNOWN), Scripted::local(country("SE")));
    let alone = detector(&[&failing, &unknown], &Arc::default());
    for errors in 1..=2 {
        let error = ready(alone.detect_location_async(ip("1.1.1.1"))).unwrap_err();
        assert_eq!(error.to_string(), "scripted: told to");
        assert_eq!((failing.asked(), alone.statistics().errors), (errors, errors as u64));
    }
    assert_eq!(alone.detect_location(ip("1.1.1.1")), UNKNOWN);
    // Who stands behind it may know.
    let helped = detector(&[&failing, &local], &Arc::default());
    assert_eq!(ready(helped.detect_location_async(ip("1.1.1.1"))), Ok(country("SE")));
    assert_eq!(helped.statistics().errors, 1);
}

#[tokio::test]
async fn a_herd_asks_once() {
    let remote = Scripted::remote(country("NO"));
    let hold = remote.0.gate.acquire_many(1_000_000).await.unwrap();
    let detector = detector(&[&remote], &Arc::default());
    let herd: Vec<_> = (0..100u32)
        .map(|n| {
            let detector = detector.clone();
            // Addresses of one /64 are one client's.
            let address = IpAddr::V6((0x2001_0218_u128 << 96 | u128::from(n)).into());
            tokio::spawn(async move { detector.detect_location_async(address).await })
        })
        .collect();
    while detector.statistics().joined < 99 {
        tokio::task::yield_now().await;
    }
    herd[0].abort(); // the one that began it leaves; the others go on
    drop(hold);
    for (n, client) in herd.into_iter().enumerate() {
        match client.await {
            Ok(answer) => assert_eq!(answer, Ok(country("NO"))),
            Err(e) => assert!(n == 0 && e.is_cancelled()),
        }
    }
    let statistics = detector.statistics();
    assert_eq!((remote.asked(), statistics.misses, statistics.joined), (1, 1, 99));
    assert_eq!(detector.detect_location(ip("2001:218::9999")), country("NO"));
}

#[test]
fn whether_somebody_has_to_be_waited_for() {
    let at = ip("1.1.1.1");
    let (remote, local) = (Scripted::remote(country("NO")), Scripted::local(country("SE")));
    // Behind a database that places the address nobody is waited for, before it somebody is; until it is remembered.
    assert!(!detector(&[&local, &remote], &Arc::default()).needs_providers(at));
    let clock = Arc::new(ManualClock::default());
    let first = detector(&[&remote, &local], &clock);
    assert!(first.needs_providers(at));
    assert!(!first.needs_providers(ip("10.0.0.1")), "a private address is nobody's to place");
    ready(first.detect_location_async(at)).unwrap();
    assert!(!first.needs_providers(at));
    clock.advance(Duration::from_secs(60));
    assert!(first.needs_providers(at));
    assert_eq!(first.statistics().lookups, 1, "the question is no look-up");
    // Databases of what is no place, and of nothing.
    let mut system = Location::default();
    system.asn = Some(1);
    for answer in [UNKNOWN, system.into()] {
        assert!(detector(&[&Scripted::local(answer), &remote], &Arc::default()).needs_providers(at));
    }
    assert!(!detector(&[&Scripted::local(UNKNOWN)], &Arc::default()).needs_providers(at));
    assert_eq!(remote.asked(), 1);
}

#[tokio::test]
async fn a_look_up_may_be_spawned_and_dropped() {
    let remote = Scripted::remote(country("NO"));
    let hold = remote.0.gate.acquire_many(1_000_000).await.unwrap();
    let detector = detector(&[&remote], &Arc::default());
    let mut dropped = Box::pin(detector.detect_owned(ip("1.1.1.1")));
    assert!((&mut dropped).now_or_never().is_none());
    let spawned = tokio::spawn(detector.detect_owned(ip("1.1.1.1")));
    tokio::task::yield_now().await;
    drop(dropped);
    drop(hold);
    assert_eq!(spawned.await.unwrap(), Ok(country("NO")));
    assert_eq!(remote.asked(), 1);
}

/// A cache that lets a test do something when an answer is about to be put in.
#[derive(Debug)]
struct Watched {
    inner: lb_geo::MemoryCache,
    replace: Scripted,
    detector: Mutex<Option<GeoDetector>>,
}

impl lb_geo::LocationCache for Watched {
    fn get_now(&self, ip: IpAddr, now: lb_geo::Nanos) -> Option<Answer> {
        self.inner.get_now(ip, now)
    }

    fn put_now(&self, ip: IpAddr, answer: &Answer, ttl: Duration, now: lb_geo::Nanos) {
        let detector = self.detector.lock().unwrap().take();
        if let Some(detector) = detector {
            // The database is replaced and somebody else notices, between the look-up and this.
            self.replace.say(country("FI"));
            self.replace.0.generation.fetch_add(1, Ordering::SeqCst);
            detector.detect_location("2.2.2.2".parse().unwrap());
        }
        self.inner.put_now(ip, answer, ttl, now);
    }

    fn clear(&self) {
        self.inner.clear();
    }
}

#[test]
fn what_an_old_database_said_is_not_kept_when_it_is_replaced_meanwhile() {
    let provider = Scripted::local(country("NO"));
    let inner = lb_geo::MemoryCache::new(100);
    let cache = Arc::new(Watched { inner, replace: provider.clone(), detector: Mutex::default() });
    let detector = GeoDetector::builder()
        .database(Database::provider(provider))
        .cache_in(cache.clone())
        .clock(Arc::<ManualClock>::default())
        .build()
        .unwrap();
    *cache.detector.lock().unwrap() = Some(detector.clone());
    assert_eq!(detector.detect_location(ip("1.1.1.1")), country("NO"));
    assert_eq!(detector.detect_location(ip("1.1.1.1")), country("FI"));
}

#[test]
fn a_chain_is_a_provider() {
    let remote = Scripted::remote(UNKNOWN);
    let chain = Chain::new(vec![Arc::new(remote.clone()), Arc::new(Scripted::local(UNKNOWN))]).unwrap();
    assert_eq!(chain.locate_now(ip("1.1.1.1")), None, "the first has to be waited for");
    assert_eq!(ready(chain.locate(ip("1.1.1.1"))), Ok(UNKNOWN));
    let many: Vec<Arc<dyn Provider>> = (0..17).map(|_| Arc::new(remote.clone()) as Arc<_>).collect();
    assert_eq!(Chain::new(many).unwrap_err().to_string(), "geo.database = 17: at most 16 can be asked");
}

#[test]
fn bad_settings_are_said() {
    let error = |builder: lb_geo::GeoDetectorBuilder| {
        builder.clock(Arc::<ManualClock>::default()).build().unwrap_err().to_string()
    };
    let some = || GeoDetector::builder().database(Database::provider(Scripted::local(UNKNOWN)));
    assert_eq!(error(GeoDetector::builder()), "geo.database = none: name one, or give overrides");
    assert_eq!(
        error(some().cache(Duration::from_millis(999), 1)),
        "geo.cache.ttl = 999ms: it has to be 1 s to 30 days"
    );
    assert!(error(some().negative_ttl(Duration::MAX)).contains("cache.negative_ttl"));
    assert!(error(some().cache(Duration::from_secs(1), 10_000_001)).contains("cache.capacity = 10000001"));
    let no_file = GeoDetector::builder().database(Database::maxmind("none.mmdb"));
    assert!(error(no_file).contains("none.mmdb") || cfg!(not(feature = "mmdb")));
    if cfg!(not(feature = "geo-data")) {
        assert!(error(GeoDetector::builder().database(Database::built_in())).contains("\"geo-data\""));
    }
    if cfg!(not(feature = "http-providers")) {
        let http = GeoDetector::builder().database(Database::ipinfo(HttpSettings::new()));
        assert!(error(http).contains("\"http-providers\""));
    }
    assert!(!format!("{:?}", Database::ipapi(HttpSettings::new().token("s3cret"))).contains("s3cret"));
}

#[cfg(feature = "mmdb")]
#[test]
fn files_are_asked_in_order_and_reloaded() {
    let data = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("geo.mmdb");
    std::fs::copy(format!("{data}GeoIP2-Country-Test.mmdb"), &file).unwrap();
    let detector = GeoDetector::builder()
        .database(Database::maxmind(format!("{data}GeoLite2-ASN-Test.mmdb")))
        .database(Database::maxmind(&file))
        .clock(Arc::<ManualClock>::default())
        .build()
        .unwrap();
    let ask = || detector.detect_location(ip("89.160.20.112")).location().cloned().unwrap();
    let before = ask();
    assert_eq!(
        (before.asn, before.country.map(lb_geo::Country::code), before.city),
        (Some(29518), Some("SE"), None)
    );
    assert_eq!(before.coordinates, None);

    std::fs::copy(format!("{data}GeoIP2-City-Test.mmdb"), folder.path().join("new")).unwrap();
    std::fs::rename(folder.path().join("new"), &file).unwrap();
    assert!(detector.reload().iter().all(Result::is_ok));
    let after = ask();
    assert_eq!(after.city.as_deref(), Some("Linköping"), "and what was remembered is forgotten");
    assert_eq!(after.coordinates, lb_geo::Coordinates::new(58.4167, 15.6167).ok());
    let types: Vec<_> = detector.about().into_iter().map(|about| about.database_type).collect();
    assert_eq!(types, ["GeoLite2-ASN", "GeoIP2-City"]);

    std::fs::write(&file, "broken").unwrap();
    let results = detector.reload();
    assert!(results[0].is_ok() && results[1].is_err());
    assert_eq!(ask(), after);
}
