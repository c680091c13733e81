//! Nodes over a real `redis-server`: they agree in races, survive restarts, and go on while it is gone.

#[path = "../../lb-store/tests/common/until.rs"]
mod until;

use lb_session::{
    Moment, SessionAffinity, SessionId, SessionManager, SharedSessions, SharingSettings, Source,
};
use lb_store::{AwaySettings, RedisSettings, RedisStore, RedisUrl, Resilient};
use lb_testkit::RedisServer;
use lb_types::{BackendId, Clock, Nanos, RequestInfo, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::Duration;
use tokio::runtime::Handle;
use until::until;

/// The machine may be busy: what is not about time has plenty.
const PATIENT: Duration = Duration::from_secs(10);
const USERS: usize = 100;

fn store(server: &RedisServer, timeout: Duration) -> Arc<Resilient<RedisStore>> {
    let url = RedisUrl::parse(&server.url()).unwrap();
    let settings = RedisSettings::new(url).timeout(timeout).connect_timeout(PATIENT);
    let redis = RedisStore::new(settings, Handle::current()).unwrap();
    let away = AwaySettings::new().retry(Duration::from_millis(20), Duration::from_millis(100));
    Arc::new(Resilient::new(redis, away, Arc::new(SystemClock::new()), 5).unwrap())
}

fn node(store: &Arc<Resilient<RedisStore>>, timeout: Duration) -> SharedSessions {
    let settings = SessionAffinity::header("X-User");
    let manager = Arc::new(SessionManager::new(settings, "shop", [7; 32]).unwrap());
    let sharing = SharingSettings::new()
        .timeout(timeout)
        .retry_delay(Duration::from_millis(20))
        .sync_interval(Duration::from_secs(1));
    SharedSessions::new(manager, store.clone(), sharing).unwrap()
}

fn at(now: Nanos) -> Moment {
    Moment { now, unix_s: 1_800_000_000 + (now.as_millis() / 1_000) as u32 }
}

/// One request of a user, as the engine would serve it: the backend it goes to.
async fn serve(node: &SharedSessions, user: usize, pick: &str, now: Nanos) -> (BackendId, Source) {
    let name = format!("user {user}");
    let looking_up = {
        let headers = [("x-user", &*name)];
        let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
        node.resolve(&request, || SessionId::from_random(0), at(now))
    };
    let resolved = looking_up.await;
    match resolved.backend() {
        Some(backend) => (backend.clone(), resolved.source),
        None => {
            let session = resolved.session.expect("users have a header");
            (node.assign(session, pick.into(), at(now)).await, Source::Nowhere)
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_agree_in_races_and_a_restart_keeps_sessions() {
    let server = RedisServer::start(&[]);
    // Each node its own connection, as processes have.
    let nodes: Vec<_> = (0..3).map(|_| node(&store(&server, PATIENT), PATIENT)).collect();
    let mut went = vec![];
    for user in 0..USERS {
        let tasks: Vec<_> = nodes
            .iter()
            .enumerate()
            .map(|(n, node)| {
                let node = node.clone();
                tokio::spawn(async move { serve(&node, user, &format!("b{n}"), Nanos::ZERO).await.0 })
            })
            .collect();
        let mut backends = vec![];
        for task in tasks {
            backends.push(task.await.unwrap());
        }
        assert!(backends.iter().all(|b| *b == backends[0]), "user {user}: {backends:?}");
        went.push(backends.swap_remove(0));
    }
    drop(nodes);
    let restarted = node(&store(&server, PATIENT), PATIENT);
    for (user, backend) in went.iter().enumerate() {
        let now = Nanos::from_secs(1);
        assert_eq!(serve(&restarted, user, "other", now).await, (backend.clone(), Source::Store));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_is_killed_and_returns_under_load() {
    let mut server = RedisServer::start(&[]);
    let clock = Arc::new(SystemClock::new());
    let shared_store = store(&server, PATIENT);
    let node = node(&shared_store, PATIENT);
    let writers = tokio::spawn(node.clone().run({
        let clock = clock.clone();
        move || at(clock.now())
    }));
    // Known before: users 0 to 49. Users that come in the outage: 50 to 99.
    let half = USERS / 2;
    let mut went = vec![];
    for user in 0..half {
        went.push(serve(&node, user, &format!("b{user}"), clock.now()).await.0);
    }

    let (stop, served) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let newcomers = Arc::new(AtomicBool::new(false));
    let load: Vec<_> = (0..4)
        .map(|task| {
            let (node, clock, stop, served) = (node.clone(), clock.clone(), stop.clone(), served.clone());
            let newcomers = newcomers.clone();
            tokio::spawn(async move {
                let mut user = task;
                while !stop.load(SeqCst) {
                    let users = if newcomers.load(SeqCst) { USERS } else { half };
                    user = (user + 1) % users;
                    // Whatever the store does, each user stays where he is: another answer is a failed resolve.
                    let (backend, _) = serve(&node, user, &format!("b{user}"), clock.now()).await;
                    assert_eq!(backend, format!("b{user}").as_str());
                    served.fetch_add(1, SeqCst);
                    tokio::task::yield_now().await;
                }
            })
        })
        .collect();
    let more = async |n: u64| {
        let from = served.load(SeqCst);
        until("requests are served", async || served.load(SeqCst) >= from + n).await;
    };

    more(2_000).await;
    server.kill();
    newcomers.store(true, SeqCst);
    more(5_000).await;
    until("the outage is noticed", async || shared_store.stats().away_since.is_some()).await;
    more(5_000).await;
    server.restart();
    until("the store is back", async || shared_store.stats().away_since.is_none()).await;
    until("what waited is written", async || node.stats().queued == 0).await;
    more(2_000).await;
    stop.store(true, SeqCst);
    for task in load {
        task.await.expect("no request failed");
    }
    assert_eq!(shared_store.stats().outages, 1, "told once: {:?}", shared_store.stats());

    // All who came in the outage, and all who were used after it, are in the store again, which had lost everything.
    until("a node that knows nothing follows everybody", async || {
        let other = self::node(&store(&server, PATIENT), PATIENT);
        for user in 0..USERS {
            serve(&node, user, "none", clock.now()).await; // a use, which compares after a second
        }
        let mut known = 0;
        for user in 0..USERS {
            let name = format!("user {user}");
            let headers = [("x-user", &*name)];
            let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
            let resolved = other.resolve(&request, || SessionId::from_random(0), at(clock.now())).await;
            if let Some(backend) = resolved.backend() {
                assert_eq!(*backend, format!("b{user}").as_str(), "affinity returns");
                known += 1;
            }
        }
        known == USERS
    })
    .await;
    writers.abort();
}
