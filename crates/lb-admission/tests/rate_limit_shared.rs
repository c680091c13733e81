//! Limits that nodes share: over a store in memory under virtual time, and over a real `redis-server`.

#[path = "../../lb-store/tests/common/until.rs"]
mod until;

use lb_admission::rate_limit::{LimitKey, OnStoreFailure, RateLimit, SharedLimiter};
use lb_store::{AwaySettings, MemorySettings, MemoryStore, RedisSettings, RedisStore, RedisUrl, Resilient};
use lb_testkit::RedisServer;
use lb_types::store::{RateAnswer, RateQuota};
use lb_types::{Clock, ManualClock, Nanos, RequestInfo, Store, StoreError, StoreFuture, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::runtime::Handle;
use until::until;

const SECOND: Duration = Duration::from_secs(1);
/// The machine may be busy: what is not about time has plenty.
const PATIENT: Duration = Duration::from_secs(10);

/// A store in memory that can be away, and counts what it is asked. A limiter asks for rates and nothing else.
struct Flaky {
    inner: MemoryStore,
    away: AtomicBool,
    calls: AtomicU64,
}

impl Store for Flaky {
    fn get<'a>(&'a self, _: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        unreachable!()
    }
    fn set<'a>(&'a self, _: &'a str, _: &'a [u8], _: Duration) -> StoreFuture<'a, ()> {
        unreachable!()
    }
    fn set_if_absent<'a>(&'a self, _: &'a str, _: &'a [u8], _: Duration) -> StoreFuture<'a, bool> {
        unreachable!()
    }
    fn compare_and_set<'a>(
        &'a self,
        _: &'a str,
        _: Option<&'a [u8]>,
        _: &'a [u8],
        _: Duration,
    ) -> StoreFuture<'a, bool> {
        unreachable!()
    }
    fn delete<'a>(&'a self, _: &'a str) -> StoreFuture<'a, bool> {
        unreachable!()
    }
    fn touch<'a>(&'a self, _: &'a str, _: Duration) -> StoreFuture<'a, bool> {
        unreachable!()
    }
    fn rate<'a>(&'a self, key: &'a str, quota: RateQuota, cost: u32) -> StoreFuture<'a, RateAnswer> {
        Box::pin(async move {
            self.calls.fetch_add(1, SeqCst);
            if self.away.load(SeqCst) {
                return Err(StoreError::Unavailable { reason: "by script".into() });
            }
            self.inner.rate(key, quota, cost).await
        })
    }
}

/// The store's clock starts elsewhere than the nodes'.
struct World {
    store: Arc<Flaky>,
    clock: Arc<ManualClock>,
}

impl World {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Nanos::from_secs(1_000_000)));
        let inner = MemoryStore::new(MemorySettings::new(), clock.clone()).unwrap();
        let store = Flaky { inner, away: AtomicBool::new(false), calls: AtomicU64::new(0) };
        Self { store: Arc::new(store), clock }
    }

    fn node(&self, settings: RateLimit, seed: u64) -> SharedLimiter {
        SharedLimiter::new(settings, self.store.clone(), seed).unwrap()
    }

    /// The nodes' time.
    fn now(&self, skew: Duration) -> Nanos {
        self.clock.now() - Nanos::from_secs(999_000) + skew.into()
    }
}

fn one_a_second() -> RateLimit {
    RateLimit::new(1, SECOND).burst(4)
}

#[tokio::test]
async fn the_vectors_over_two_nodes_whose_clocks_differ() {
    let world = World::new();
    let nodes = [world.node(one_a_second(), 1), world.node(one_a_second(), 2)];
    let mut turn = 0;
    let mut at = async |ms: u64| {
        world.clock.advance(Nanos(1_000_000_000_000_000) + Nanos::from_millis(ms) - world.clock.now());
        turn += 1;
        // One of them is ten minutes fast.
        let skew = SECOND * (turn as u32 % 2) * 600;
        nodes[turn % 2].check_key(b"k", world.now(skew)).await
    };
    for remaining in [4, 3, 2, 1, 0] {
        let decision = at(0).await;
        assert_eq!((decision.allowed, decision.remaining), (true, remaining));
    }
    for _ in 0..4 {
        // By the store, and then by each node's memory: the same.
        let limited = at(0).await;
        assert_eq!((limited.allowed, limited.remaining), (false, 0));
        assert_eq!((limited.retry_after, limited.reset), (Some(SECOND), SECOND * 5));
    }
    for (ms, remaining) in [(3_000, 2), (3_100, 1), (4_000, 1), (8_000, 4)] {
        assert_eq!(at(ms).await.remaining, remaining, "{ms}");
    }
}

#[tokio::test]
async fn a_flood_costs_the_store_one_call_an_admission_and_nobody_waits_longer() {
    let world = World::new();
    let node = world.node(RateLimit::new(10, SECOND), 1);
    let mut admitted_at = vec![];
    for ms in 0..10_000u64 {
        if node.check_key(b"k", world.now(Duration::ZERO)).await.allowed {
            admitted_at.push(ms);
        }
        world.clock.advance(Duration::from_millis(1));
    }
    // Ten at once (one a look), and then at the very moment.
    let expected: Vec<u64> = (0..10).chain((1..100).map(|n| n * 100)).collect();
    assert_eq!(admitted_at, expected);
    let stats = node.stats();
    assert_eq!((stats.allowed, stats.limited), (109, 10_000 - 109));
    assert_eq!(stats.remembered, 10_000 - world.store.calls.load(SeqCst));
    assert!(world.store.calls.load(SeqCst) <= 109 + 100, "one refusal for each that is admitted later");
}

#[tokio::test]
async fn while_the_store_is_away() {
    let world = World::new();
    let node = |choice| world.node(one_a_second().on_store_failure(choice).name(choice.as_str()), 1);
    let admitted = async |node: &SharedLimiter, n: u32| {
        let mut admitted = 0;
        for _ in 0..n {
            admitted += u32::from(node.check_key(b"k", world.now(Duration::ZERO)).await.allowed);
        }
        admitted
    };
    let [local, open, closed] =
        [OnStoreFailure::Local, OnStoreFailure::Open, OnStoreFailure::Closed].map(node);
    let dry = world.node(one_a_second().on_store_failure(OnStoreFailure::Closed).dry_run(true), 1);
    world.store.away.store(true, SeqCst);
    assert_eq!(admitted(&local, 20).await, 5);
    assert_eq!(admitted(&open, 20).await, 20);
    assert_eq!(admitted(&closed, 20).await, 0);
    assert_eq!(admitted(&dry, 20).await, 20);
    assert_eq!((dry.stats().limited, open.stats().allowed), (20, 20));
    assert_eq!(closed.check_key(b"k", Nanos::ZERO).await.retry_after_s(), Some(1));
    for node in [&local, &open, &dry] {
        assert_eq!(node.stats().store_failures, 20);
    }
    // Back: the store's word counts at once, also where this node would have refused.
    world.store.away.store(false, SeqCst);
    for node in [&local, &open, &closed] {
        assert_eq!(admitted(node, 20).await, 5);
    }
}

#[tokio::test]
async fn names_and_keys_are_apart_and_secrets_do_not_reach_the_store() {
    let world = World::new();
    let limit = |name: &str| RateLimit::new(1, SECOND).name(name);
    let by_header = world.node(limit("a").key(LimitKey::parse("header:x-key").unwrap()), 1);
    let by_ip = world.node(limit("a"), 1);
    let other = world.node(limit("b"), 1);
    let now = world.now(Duration::ZERO);
    let ask = async |node: &SharedLimiter| {
        let checking = {
            // Gone before the future is: it holds nothing of the request.
            let headers = [("x-key", "s3cret")];
            let ip = Some([10, 0, 0, 1].into());
            let request = RequestInfo { client_ip: ip, headers: &headers, ..RequestInfo::default() };
            node.check(&request, "api", now)
        };
        checking.await.allowed
    };
    for node in [&by_header, &by_ip, &other] {
        assert!(ask(node).await);
        assert!(!ask(node).await);
    }
    // The second is sha256("s3cret"), its first half.
    for key in ["rate:a:10.0.0.1", "rate:a:1ec1c26b50d5d3c58d9583181af80766", "rate:b:10.0.0.1"] {
        assert!(world.store.inner.get(key).await.unwrap().is_some(), "{key}");
    }
    assert_eq!(world.store.inner.usage().entries, 3);
}

fn redis(server: &RedisServer) -> Arc<Resilient<RedisStore>> {
    let url = RedisUrl::parse(&server.url()).unwrap();
    let settings = RedisSettings::new(url).timeout(PATIENT).connect_timeout(PATIENT);
    let store = RedisStore::new(settings, Handle::current()).unwrap();
    let away = AwaySettings::new().retry(Duration::from_millis(20), Duration::from_millis(100));
    Arc::new(Resilient::new(store, away, Arc::new(SystemClock::new()), 5).unwrap())
}

/// What the server's clock says has passed since the first call: by so much the debt of one long interval has shrunk.
async fn passed(store: &dyn Store) -> Duration {
    let hour = SECOND * 3_600;
    let quota = RateQuota::new(hour, 0).unwrap();
    hour - store.rate("clock", quota, 1).await.unwrap().reset
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_together_admit_the_limit() {
    const RATE: u64 = 333;
    // A second's worth: on a busy machine both nodes may be kept from asking for a while, and what they did not ask for is not lost.
    const BURST: u64 = RATE;
    let server = RedisServer::start(&[]);
    let store = redis(&server);
    let clock = Arc::new(SystemClock::new());
    let admitted = Arc::new(AtomicU64::new(0));
    let ended = Arc::new(AtomicBool::new(false));
    let earliest = passed(&*store).await;
    let tasks: Vec<_> = (0..2)
        .map(|n| {
            // Each node its own connection, as processes have.
            let settings = RateLimit::new(RATE, SECOND).burst(BURST);
            let node = SharedLimiter::new(settings, redis(&server), n).unwrap();
            let (clock, admitted, ended) = (clock.clone(), admitted.clone(), ended.clone());
            tokio::spawn(async move {
                while !ended.load(SeqCst) {
                    let allowed = node.check_key(b"k", clock.now()).await.allowed;
                    admitted.fetch_add(u64::from(allowed), SeqCst);
                    tokio::task::yield_now().await;
                }
                node.stats()
            })
        })
        .collect();
    until("it has begun", async || admitted.load(SeqCst) > 0).await;
    let began = passed(&*store).await;
    until("three seconds", async || passed(&*store).await >= began + SECOND * 3).await;
    let ends = passed(&*store).await;
    ended.store(true, SeqCst);
    let mut remembered = 0;
    for task in tasks {
        let stats = task.await.unwrap();
        assert!(stats.allowed > 0 && stats.store_failures == 0, "{stats:?}");
        remembered += stats.remembered;
    }
    // What they might still have had when the time was over.
    let last = SharedLimiter::new(RateLimit::new(RATE, SECOND).burst(BURST), redis(&server), 2).unwrap();
    while last.check_key(b"k", clock.now()).await.allowed {
        admitted.fetch_add(1, SeqCst);
    }
    let latest = passed(&*store).await;
    let bound = |time: Duration| (BURST + 1) as f64 + RATE as f64 * time.as_secs_f64();
    let (least, most) = (0.98 * bound(ends - began), bound(latest - earliest));
    let admitted = admitted.load(SeqCst) as f64;
    println!("{admitted} of {least:.1} to {most:.1}; {remembered} refused from memory");
    assert!((least..=most).contains(&admitted), "{admitted} of {least:.1} to {most:.1}");
    assert!(remembered > 0);
}

#[tokio::test]
async fn a_server_that_is_killed_leaves_the_local_limit() {
    let mut server = RedisServer::start(&[]);
    let limit = RateLimit::new(5, SECOND * 3_600);
    let node = SharedLimiter::new(limit, redis(&server), 1).unwrap();
    let now = Nanos::from_secs(1);
    let admitted = async |key: &[u8]| {
        let mut admitted = 0;
        for _ in 0..20 {
            admitted += u32::from(node.check_key(key, now).await.allowed);
        }
        admitted
    };
    assert_eq!(admitted(b"one").await, 5);
    assert_eq!(node.stats().store_failures, 0);
    server.kill();
    assert_eq!(admitted(b"two").await, 5);
    assert_eq!(node.stats().store_failures, 20);
    server.restart();
    until("it answers again", async || {
        let failures = node.stats().store_failures;
        node.check_key(b"three", now).await;
        node.stats().store_failures == failures
    })
    .await;
    assert_eq!(admitted(b"four").await, 5);
}
