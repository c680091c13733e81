//! Nodes over one store in memory, which goes away when the test says so. Time is virtual.

use lb_session::{
    Affinity, Ignored, Moment, Resolved, Secret, SessionAffinity, SessionId, SessionManager, SharedSessions,
    SharingSettings, Source,
};
use lb_store::{MemorySettings, MemoryStore};
use lb_types::store::{RateAnswer, RateQuota};
use lb_types::{BackendId, ManualClock, Nanos, RequestInfo, Store, StoreError, StoreFuture};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;

const START: u32 = 1_800_000_000;

fn at(s: u32) -> Moment {
    Moment { now: Nanos::from_secs(s.into()), unix_s: START + s }
}

fn b(name: &str) -> BackendId {
    name.into()
}

fn id(n: u128) -> SessionId {
    SessionId::from_random(n)
}

/// A store that can be away, or hang.
struct Flaky {
    inner: MemoryStore,
    away: AtomicBool,
    hangs: AtomicBool,
    calls: AtomicU64,
}

impl Flaky {
    fn new() -> Arc<Self> {
        let inner = MemoryStore::new(MemorySettings::new(), Arc::new(ManualClock::default())).unwrap();
        Arc::new(Self { inner, away: false.into(), hangs: false.into(), calls: 0.into() })
    }

    fn ask<'a, T: Send + 'a>(&'a self, call: StoreFuture<'a, T>) -> StoreFuture<'a, T> {
        Box::pin(async move {
            self.calls.fetch_add(1, SeqCst);
            if self.hangs.load(SeqCst) {
                std::future::pending::<()>().await;
            }
            if self.away.load(SeqCst) {
                return Err(StoreError::Unavailable { reason: "by script".into() });
            }
            // Others come in between.
            tokio::task::yield_now().await;
            call.await
        })
    }
}

impl Store for Flaky {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.ask(self.inner.get(key))
    }
    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, ()> {
        self.ask(self.inner.set(key, value, ttl))
    }
    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, bool> {
        self.ask(self.inner.set_if_absent(key, value, ttl))
    }
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.ask(self.inner.compare_and_set(key, expected, new, ttl))
    }
    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        self.ask(self.inner.delete(key))
    }
    fn touch<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, bool> {
        self.ask(self.inner.touch(key, ttl))
    }
    fn rate<'a>(&'a self, key: &'a str, quota: RateQuota, cost: u32) -> StoreFuture<'a, RateAnswer> {
        self.ask(self.inner.rate(key, quota, cost))
    }
}

fn node_with(settings: SessionAffinity, store: &Arc<Flaky>, sharing: SharingSettings) -> SharedSessions {
    let settings = settings.secret(Secret::new([1; 16]).unwrap());
    let manager = SessionManager::new(settings, "shop", [7; 32]).unwrap();
    SharedSessions::new(Arc::new(manager), store.clone(), sharing).unwrap()
}

fn node(settings: SessionAffinity, store: &Arc<Flaky>) -> SharedSessions {
    node_with(settings, store, SharingSettings::new())
}

fn by_header() -> SessionAffinity {
    SessionAffinity::header("X-User")
}

async fn ask(node: &SharedSessions, user: &str, s: u32) -> Resolved {
    let headers = [("x-user", user)];
    node.resolve(&RequestInfo { headers: &headers, ..RequestInfo::default() }, || id(0), at(s)).await
}

async fn ask_with_cookie(node: &SharedSessions, cookie: &str, fresh: u128, s: u32) -> Resolved {
    let headers = [("cookie", cookie)];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    node.resolve(&request, move || id(fresh), at(s)).await
}

fn cookie_of(node: &SharedSessions, n: u128, s: u32) -> String {
    node.manager().set_cookie(id(n), at(s), false).unwrap().split(';').next().unwrap().to_owned()
}

/// Runs what waits until the queue is empty; time stands still but for the retries, which are virtual.
async fn drain(node: &SharedSessions, s: u32) {
    let running = tokio::spawn(node.clone().run(move || at(s)));
    let empty = async {
        loop {
            // Virtual: it passes when nobody can do anything more, so those that were taken out of the queue have ended, too.
            tokio::time::sleep(Duration::from_millis(10)).await;
            if node.stats().queued == 0 {
                return;
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(600), empty).await.expect("the queue empties");
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn the_first_assignment_wins_on_all_nodes() {
    let store = Flaky::new();
    let nodes: Vec<_> = (0..4).map(|_| node(by_header(), &store)).collect();
    for user in 0..50 {
        let name = format!("user {user}");
        let session = ask(&nodes[0], &name, 0).await.session.unwrap();
        let tasks: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(n, node)| {
                let node = node.clone();
                tokio::spawn(async move { node.assign(session, format!("b{n}").into(), at(0)).await })
            })
            .collect();
        let mut winners = vec![];
        for task in tasks {
            winners.push(task.await.unwrap());
        }
        assert!(winners.iter().all(|w| *w == winners[0]), "{winners:?}");
        for node in &nodes {
            assert_eq!(ask(node, &name, 1).await.backend(), Some(&winners[0]));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_two_moves_one_wins() {
    let store = Flaky::new();
    let (one, two) = (node(by_header(), &store), node(by_header(), &store));
    let session = ask(&one, "ann", 0).await.session.unwrap();
    one.assign(session, b("a"), at(0)).await;
    assert_eq!(ask(&two, "ann", 0).await.source, Source::Store);
    let (x, y) = tokio::join!(
        one.reassign(session, b("a"), b("x"), at(1)),
        two.reassign(session, b("a"), b("y"), at(1)),
    );
    assert_eq!(x, y);
    for node in [&one, &two] {
        assert_eq!(ask(node, "ann", 2).await.backend(), Some(&x));
    }
}

#[tokio::test(start_paused = true)]
async fn a_restart_keeps_sessions() {
    let store = Flaky::new();
    let before = node(by_header(), &store);
    let session = ask(&before, "ann", 0).await.session.unwrap();
    before.assign(session, b("a"), at(0)).await;
    drop(before);
    let after = node(by_header(), &store);
    let r = ask(&after, "ann", 5).await;
    assert_eq!((r.backend(), r.source), (Some(&b("a")), Source::Store));
    assert_eq!(ask(&after, "ann", 5).await.source, Source::Table, "it is asked once");
    assert_eq!((after.stats().lookups, after.stats().lookup_hits), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn what_is_cleared_on_one_node_is_cleared_on_all() {
    let store = Flaky::new();
    let (one, two, three) = (
        node(SessionAffinity::cookie(), &store),
        node(SessionAffinity::cookie(), &store),
        node(SessionAffinity::cookie(), &store),
    );
    one.assign(id(1), b("a"), at(0)).await;
    let cookie = cookie_of(&one, 1, 0);
    assert_eq!(ask_with_cookie(&two, &cookie, 2, 1).await.backend(), Some(&b("a")));
    drain(&two, 1).await;
    assert_eq!(one.clear_session(id(1), at(2)).await, Ok(true));

    let r = ask_with_cookie(&three, &cookie, 3, 3).await;
    assert_eq!((r.affinity, r.session, r.ignored), (Affinity::Cleared, Some(id(3)), Some(Ignored::Cleared)));
    assert!(r.fresh, "a new session, under an id of its own");

    // The second follows it already: it learns of it when it compares, and not before.
    assert!(ask_with_cookie(&two, &cookie, 4, 5).await.backend().is_some());
    assert!(ask_with_cookie(&two, &cookie, 4, 11).await.backend().is_some());
    drain(&two, 11).await;
    assert_eq!(ask_with_cookie(&two, &cookie, 4, 12).await.affinity, Affinity::Cleared);
}

#[tokio::test(start_paused = true)]
async fn by_header_what_was_cleared_begins_anew_everywhere() {
    let store = Flaky::new();
    let (one, two) = (node(by_header(), &store), node(by_header(), &store));
    let session = ask(&one, "ann", 0).await.session.unwrap();
    one.assign(session, b("a"), at(0)).await;
    one.reassign(session, b("a"), b("b"), at(1)).await;
    assert_eq!(two.clear_session(session, at(2)).await, Ok(true), "known to the store alone");
    assert_eq!(ask(&two, "ann", 3).await.affinity, Affinity::Cleared);
    assert_eq!(two.assign(session, b("c"), at(3)).await, "c");
    ask(&one, "ann", 20).await;
    drain(&one, 20).await;
    assert_eq!(ask(&one, "ann", 21).await.backend(), Some(&b("c")));
}

#[tokio::test(start_paused = true)]
async fn while_the_store_is_away_all_goes_on_and_afterwards_all_agree() {
    let store = Flaky::new();
    let (one, two) = (node(by_header(), &store), node(by_header(), &store));
    store.away.store(true, SeqCst);
    // Each node assigns for itself; the second moves what it has.
    let session = ask(&one, "ann", 0).await.session.unwrap();
    assert_eq!(one.assign(session, b("a"), at(0)).await, "a");
    assert_eq!(two.assign(session, b("b"), at(0)).await, "b");
    assert_eq!(two.reassign(session, b("b"), b("c"), at(1)).await, "c");
    assert_eq!(ask(&one, "ann", 2).await.backend(), Some(&b("a")));
    assert!(one.stats().failed >= 1 && one.stats().queued == 1, "{:?}", one.stats());

    // The writers try in vain, and not all the time.
    let writers = tokio::spawn(one.clone().run(|| at(3)));
    let calls = store.calls.load(SeqCst);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let tries = store.calls.load(SeqCst) - calls;
    // One writer every 250 ms, and each of the other 15 once.
    assert!((40..=56).contains(&tries), "{tries} in 10 s");

    store.away.store(false, SeqCst);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(one.stats().queued, 0);
    writers.abort();
    drain(&two, 14).await;
    assert_eq!(ask(&two, "ann", 14).await.backend(), Some(&b("c")), "a move counts more than an assignment");
    ask(&one, "ann", 14).await;
    drain(&one, 14).await;
    assert_eq!(ask(&one, "ann", 15).await.backend(), Some(&b("c")));
    let third = node(by_header(), &store);
    assert_eq!(ask(&third, "ann", 15).await.backend(), Some(&b("c")));
}

#[tokio::test(start_paused = true)]
async fn a_store_that_hangs_costs_a_request_its_limit() {
    let store = Flaky::new();
    let one = node(by_header(), &store);
    store.hangs.store(true, SeqCst);
    let began = tokio::time::Instant::now();
    let r = ask(&one, "ann", 0).await;
    assert_eq!((r.affinity, began.elapsed()), (Affinity::None, Duration::from_millis(20)));
    assert_eq!(one.assign(r.session.unwrap(), b("a"), at(0)).await, "a");
    assert_eq!(began.elapsed(), Duration::from_millis(40));
    assert_eq!(ask(&one, "ann", 1).await.source, Source::Table);
    assert_eq!(began.elapsed(), Duration::from_millis(40), "what is known here is not asked for");
    let clearing = one.clear_session(r.session.unwrap(), at(1)).await;
    assert_eq!(clearing, Err(StoreError::Timeout { limit: Duration::from_millis(20) }));
    assert_eq!(ask(&one, "ann", 2).await.affinity, Affinity::Cleared, "here it is");
}

#[tokio::test(start_paused = true)]
async fn the_queue_is_bounded_and_what_was_dropped_comes_again() {
    let store = Flaky::new();
    let one = node_with(by_header(), &store, SharingSettings::new().max_queue(10));
    let mut sessions = vec![];
    for user in 0..30 {
        let name = format!("user {user}");
        let session = ask(&one, &name, 0).await.session.unwrap();
        one.assign_now(session, &b("a"), at(0));
        sessions.push(name);
    }
    assert_eq!((one.stats().queued, one.stats().dropped), (10, 20));
    drain(&one, 0).await;
    for (at, name) in sessions.iter().enumerate() {
        let after = node(by_header(), &store);
        assert_eq!(ask(&after, name, 1).await.backend().is_some(), at >= 20, "{name}");
    }
    for names in sessions.chunks(10) {
        for name in names {
            ask(&one, name, 1).await;
        }
        drain(&one, 1).await;
    }
    for name in &sessions {
        assert!(ask(&node(by_header(), &store), name, 2).await.backend().is_some(), "{name}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_life_that_ended_by_age_is_followed_by_a_new_one_everywhere() {
    let store = Flaky::new();
    let settings = || by_header().max_lifetime(Some(Duration::from_secs(3_600)));
    let (one, two) = (node(settings(), &store), node(settings(), &store));
    let session = ask(&one, "ann", 0).await.session.unwrap();
    one.assign(session, b("a"), at(0)).await;
    one.reassign(session, b("a"), b("b"), at(1)).await;
    // The second node knows nothing of the first life but what the store says, which is over.
    let r = ask(&two, "ann", 3_700).await;
    assert_eq!(r.affinity, Affinity::None);
    assert_eq!(two.assign(session, b("c"), at(3_700)).await, "c");
    let third = node(settings(), &store);
    assert_eq!(ask(&third, "ann", 3_701).await.backend(), Some(&b("c")));
    assert_eq!(ask(&one, "ann", 3_701).await.backend(), Some(&b("c")));
}

#[tokio::test(start_paused = true)]
async fn a_change_whose_request_ended_is_written_afterwards() {
    let store = Flaky::new();
    let (one, two) = (node(by_header(), &store), node(by_header(), &store));
    let session = ask(&one, "ann", 0).await.session.unwrap();
    store.hangs.store(true, SeqCst);
    drop(one.assign(session, b("a"), at(0))); // never polled
    let mut moving = Box::pin(one.reassign(session, b("a"), b("c"), at(1)));
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(moving.as_mut().poll(cx).is_pending())).await);
    drop(moving);
    assert_eq!(one.stats().queued, 1);
    let mut clearing = Box::pin(two.clear_session(id(7), at(1)));
    assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(clearing.as_mut().poll(cx).is_pending())).await);
    store.hangs.store(false, SeqCst);
    drop(clearing);
    drain(&one, 1).await;
    assert_eq!(ask(&two, "ann", 2).await.backend(), Some(&b("c")));
}

#[tokio::test(start_paused = true)]
async fn a_clearing_that_was_dropped_from_the_queue_comes_again() {
    let store = Flaky::new();
    let one = node_with(SessionAffinity::cookie(), &store, SharingSettings::new().max_queue(1));
    let two = node(SessionAffinity::cookie(), &store);
    one.assign(id(1), b("a"), at(0)).await;
    let cookie = cookie_of(&one, 1, 0);
    store.away.store(true, SeqCst);
    assert!(one.clear_session(id(1), at(20)).await.is_err());
    one.assign_now(id(2), &b("a"), at(20)); // makes it leave
    store.away.store(false, SeqCst);
    drain(&one, 20).await;
    let r = ask_with_cookie(&one, &cookie, 3, 40).await;
    assert_eq!((r.affinity, r.session), (Affinity::Cleared, Some(id(3))));
    drain(&one, 40).await;
    assert_eq!(ask_with_cookie(&two, &cookie, 4, 41).await.affinity, Affinity::Cleared);
}

#[tokio::test(start_paused = true)]
async fn a_life_that_is_over_does_not_count_more_than_a_new_one_whatever_its_epoch() {
    let store = Flaky::new();
    let settings = || by_header().max_lifetime(Some(Duration::from_secs(3_600)));
    let one = node(settings(), &store);
    let session = ask(&one, "ann", 0).await.session.unwrap();
    one.assign(session, b("a"), at(0)).await;
    one.reassign(session, b("a"), b("b"), at(3_000)).await;
    // The store loses everything; another node begins anew, from epoch 0.
    let store_key = lb_session::record::store_key("shop", session);
    store.delete(&store_key).await.unwrap();
    let two = node(settings(), &store);
    assert_eq!(two.assign(session, b("c"), at(3_700)).await, "c");
    // What is over is not written over it, …
    let headers = [("x-user", "ann")];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    assert_eq!(one.resolve_now(&request, || id(0), at(3_601)).affinity, Affinity::None);
    drain(&one, 3_701).await;
    assert_eq!(one.manager().backend_for_session(session, at(3_701)), Some(b("c")));
    assert_eq!(ask(&node(settings(), &store), "ann", 3_702).await.backend(), Some(&b("c")));
    // … and a look-up takes the new one.
    let late = node(settings(), &store);
    late.manager().assign(session, &b("a"), at(0));
    late.manager().reassign(session, &b("a"), &b("b"), at(3_000));
    assert_eq!(ask(&late, "ann", 3_702).await.backend(), Some(&b("c")));
}

#[tokio::test(start_paused = true)]
async fn looking_up_is_told_beforehand_and_borrows_nothing() {
    fn fresh() -> SessionId {
        id(0)
    }
    let store = Flaky::new();
    let (one, two) = (node(by_header(), &store), node(by_header(), &store));
    let headers = [("x-user", "ann")];
    let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
    let session = one.resolve_now(&request, fresh, at(0)).session.unwrap();
    one.assign(session, b("a"), at(0)).await;
    let known = one.resolve_now(&request, fresh, at(0));
    assert!(!one.needs_look_up(&known));
    let calls = store.calls.load(SeqCst);
    assert_eq!(one.complete(known.clone(), fresh, at(0)).await, known);
    assert_eq!((store.calls.load(SeqCst), one.stats().lookups), (calls, 0));

    let unknown = two.resolve_now(&request, fresh, at(0));
    assert!(two.needs_look_up(&unknown));
    let completing = two.complete(unknown, fresh as fn() -> SessionId, at(0));
    let counted = two.clone();
    drop(two);
    let completed = tokio::spawn(completing).await.unwrap();
    assert_eq!((completed.backend(), completed.source), (Some(&b("a")), Source::Store));
    assert_eq!((counted.stats().lookups, counted.stats().lookup_hits), (1, 1));
    let nobody = counted.resolve_now(&RequestInfo::default(), fresh, at(0));
    assert!(!counted.needs_look_up(&nobody));
}
