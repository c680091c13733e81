//! The Redis store against a real server: conformance, expiry, login, outages and what heals.

mod common;

use common::suite::{self, LONG};
use common::until::until;
use lb_store::{AwaySettings, RedisSettings, RedisStore, RedisUrl, Resilient, Store, StoreError, StoreEvent};
use lb_testkit::RedisServer;
use lb_types::store::RateQuota;
use lb_types::{Nanos, SystemClock};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::runtime::Handle;

/// The machine may be busy: what is not about time has plenty.
const PATIENT: Duration = Duration::from_secs(10);

fn settings(url: &str) -> RedisSettings {
    RedisSettings::new(RedisUrl::parse(url).unwrap()).timeout(PATIENT).connect_timeout(PATIENT)
}

fn store(url: &str) -> RedisStore {
    RedisStore::new(settings(url), Handle::current()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn conforms() {
    let server = RedisServer::start(&[]);
    suite::behaves(Arc::new(store(&server.url())), "plain").await;
    let wrapped =
        RedisStore::open(settings(&server.url()), Handle::current(), Arc::new(SystemClock::new()), 1);
    suite::behaves(Arc::new(wrapped.unwrap()), "wrapped").await;
}

#[tokio::test]
async fn follows_the_model() {
    let server = RedisServer::start(&[]);
    // Units so long that nothing expires: the server's time cannot be moved.
    suite::follows_the_model(&store(&server.url()), "m", 100, Duration::from_secs(60), None).await;
}

#[tokio::test]
async fn entries_expire_by_the_millisecond() {
    let server = RedisServer::start(&[]);
    let store = store(&server.url());
    store.set("short", b"v", Duration::from_millis(1)).await.unwrap();
    store.set("long", b"v", LONG).await.unwrap();
    store.set("touched", b"v", LONG).await.unwrap();
    assert!(store.touch("touched", Duration::from_millis(1)).await.unwrap());
    assert!(store.compare_and_set("cas", None, b"v", Duration::from_millis(1)).await.unwrap());
    for key in ["short", "touched", "cas"] {
        until(key, async || store.get(key).await.unwrap().is_none()).await;
    }
    assert!(store.get("long").await.unwrap().is_some());
    assert!(store.compare_and_set("short", None, b"w", LONG).await.unwrap());
}

#[tokio::test]
async fn keys_have_the_prefix_and_databases_are_apart() {
    let server = RedisServer::start(&[]);
    let one = store(&server.url());
    let two = RedisStore::new(settings(&server.url()).key_prefix("other:"), Handle::current()).unwrap();
    let three = store(&format!("{}/3", server.url()));
    one.set("k", b"1", LONG).await.unwrap();
    two.set("k", b"2", LONG).await.unwrap();
    assert_eq!(one.get("k").await.unwrap().as_deref(), Some(&b"1"[..]));
    assert_eq!(three.get("k").await.unwrap(), None);
    let mut raw = raw(&server.url()).await;
    let value: String = redis::cmd("GET").arg("edge-lb:k").query_async(&mut raw).await.unwrap();
    assert_eq!(value, "1");
}

/// Another program's connection.
async fn raw(url: &str) -> redis::aio::MultiplexedConnection {
    let client = redis::Client::open(url).unwrap();
    let config = redis::AsyncConnectionConfig::new().set_response_timeout(None).set_connection_timeout(None);
    client.get_multiplexed_async_connection_with_config(&config).await.unwrap()
}

/// The server's clock cannot be moved, but what it has written down can.
#[tokio::test]
async fn a_rate_goes_by_the_servers_clock_to_the_nanosecond() {
    let server = RedisServer::start(&[]);
    let store = store(&server.url());
    let mut raw = raw(&server.url()).await;
    let (s, us): (u64, u64) = redis::cmd("TIME").query_async(&mut raw).await.unwrap();
    let began = Nanos(s * 1_000_000_000 + us * 1_000);
    let quota = RateQuota::per(333_333, Duration::from_secs(3_600), 999).unwrap();
    for _ in 0..1_000 {
        assert!(store.rate("k", quota, 1).await.unwrap().allowed);
    }
    let kept: String = redis::cmd("GET").arg("edge-lb:k").query_async(&mut raw).await.unwrap();
    let (s, ns) = kept.split_once(' ').unwrap();
    let ends = Nanos::from_secs(s.parse().unwrap()) + Nanos(ns.parse().unwrap());
    // The first began at some microsecond, and a thousand intervals of 10 800 011 ns lie behind it, unless the debt ran out in between.
    let first = (ends - began).0 - 1_000 * 10_800_011;
    assert!(first < 10_000_000_000, "{kept}");
    assert_eq!(first % 1_000, 0, "not a nanosecond was lost: {kept}");
    let ttl: u64 = redis::cmd("PTTL").arg("edge-lb:k").query_async(&mut raw).await.unwrap();
    assert!((1..=10_801).contains(&ttl), "{ttl}");

    // A clock that was set back by a year is not a debt of a year.
    let _: () = redis::cmd("SET")
        .arg("edge-lb:back")
        .arg(format!("{} 5", began.0 / 1_000_000_000 + 31_536_000))
        .query_async(&mut raw)
        .await
        .unwrap();
    assert_eq!(store.rate("back", quota, 1).await.unwrap().retry_after, quota.interval());
}

#[tokio::test]
async fn scripts_that_the_server_forgot_are_given_again() {
    let server = RedisServer::start(&[]);
    let store = store(&server.url());
    let mut raw = raw(&server.url()).await;
    for n in 0..3u8 {
        assert!(store.compare_and_set(&format!("k{n}"), None, b"v", LONG).await.unwrap());
        let _: () = redis::cmd("SCRIPT").arg("FLUSH").query_async(&mut raw).await.unwrap();
    }
}

#[tokio::test]
async fn who_may_not_come_in_is_told_so() {
    let server = RedisServer::start(&["--requirepass", "right"]);
    let login = |login: &str| format!("redis://{login}127.0.0.1:{}", server.port());
    for (url, fine) in [
        ("", false),
        (":wrong@", false),
        ("nobody:right@", false),
        (":right@", true),
        ("default:right@", true),
    ] {
        let answer = store(&login(url)).get("k").await;
        match answer {
            Ok(None) if fine => {}
            Err(StoreError::Unauthorized { .. }) if !fine => {}
            other => panic!("{url}: {other:?}"),
        }
    }

    // A user who may not run scripts, nor touch other keys than ours.
    let mut admin = raw(&login(":right@")).await;
    let mut acl = redis::cmd("ACL");
    acl.arg(&["SETUSER", "edge", "on", ">pw", "~edge-lb:*", "+@all", "-@scripting"]);
    let _: () = acl.query_async(&mut admin).await.unwrap();
    let edge = store(&login("edge:pw@"));
    edge.set("k", b"v", LONG).await.unwrap();
    let refused = edge.compare_and_set("k", None, b"v", LONG).await;
    assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
    let elsewhere =
        RedisStore::new(settings(&login("edge:pw@")).key_prefix("x:"), Handle::current()).unwrap();
    assert!(matches!(elsewhere.get("k").await, Err(StoreError::Refused { .. })));
}

#[tokio::test]
async fn what_is_not_ours_is_unexpected() {
    let server = RedisServer::start(&[]);
    let store = store(&server.url());
    let mut raw = raw(&server.url()).await;
    let _: () = redis::cmd("LPUSH").arg("edge-lb:list").arg("x").query_async(&mut raw).await.unwrap();
    let _: () =
        redis::cmd("SET").arg("edge-lb:big").arg(vec![0u8; 65_537]).query_async(&mut raw).await.unwrap();
    for key in ["list", "big"] {
        assert!(matches!(store.get(key).await, Err(StoreError::Unexpected { .. })), "{key}");
    }
}

#[tokio::test]
async fn nobody_there_is_said_at_once() {
    let port = 1; // not one that another test's server may get meanwhile
    let store = store(&format!("redis://:s3cret@127.0.0.1:{port}"));
    let error = store.get("k").await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains(&format!("127.0.0.1:{port}")), "{error}");
    assert!(!format!("{error:?} {store:?}").contains("s3cret"));
}

#[tokio::test]
async fn a_server_that_is_killed_and_returns() {
    let mut server = RedisServer::start(&[]);
    let events = Arc::new(Mutex::new(vec![]));
    let log = events.clone();
    let away = AwaySettings::new().retry(Duration::from_millis(20), Duration::from_millis(100));
    let store = Resilient::new(store(&server.url()), away, Arc::new(SystemClock::new()), 3)
        .unwrap()
        .on_event(Arc::new(move |event| log.lock().unwrap().push(event.clone())));
    store.set("k", b"v", LONG).await.unwrap();

    server.kill();
    until("it is away", async || store.get("k").await.is_err()).await;
    for _ in 0..1_000 {
        assert!(store.get("k").await.unwrap_err().is_away());
    }
    let stats = store.stats();
    assert!(stats.failed_fast > 500, "{stats:?}");
    assert!(stats.away_since.is_some());

    server.restart();
    until("it is back", async || store.get("k").await.is_ok()).await;
    assert_eq!(store.get("k").await, Ok(None), "nothing was saved");
    assert!(store.compare_and_set("k", None, b"w", LONG).await.unwrap(), "it knows no script yet");
    assert_eq!(store.stats().away_since, None);
    let events = events.lock().unwrap();
    assert!(
        matches!(&events[..], [StoreEvent::Away { .. }, StoreEvent::Back { .. }]),
        "told once each: {events:?}"
    );
}

#[tokio::test]
async fn a_server_that_hangs_costs_each_call_its_limit_and_no_more() {
    let server = RedisServer::start(&[]);
    let limit = Duration::from_millis(50);
    let store = RedisStore::new(settings(&server.url()).timeout(limit), Handle::current()).unwrap();
    until("it answers", async || store.get("k").await.is_ok()).await;
    server.signal("STOP");
    let began = tokio::time::Instant::now();
    let calls: Vec<_> = (0..100).map(|_| store.get("k")).collect();
    for call in calls {
        // Each is polled by itself here: the first three take their time, and then the connection is given up.
        let answer = tokio::time::timeout(PATIENT, call).await.expect("a call has a limit");
        assert_eq!(answer, Err(StoreError::Timeout { limit }));
        if began.elapsed() > Duration::from_secs(1) {
            break;
        }
    }
    server.signal("CONT");
    until("it answers again", async || store.get("k").await.is_ok()).await;
}

#[tokio::test]
async fn calls_that_are_dropped_halfway_harm_nobody() {
    let server = RedisServer::start(&[]);
    let store = Arc::new(store(&server.url()));
    for n in 0..200u64 {
        let mut dropped = store.set("k", b"v", LONG);
        let waker = std::task::Waker::noop();
        // The first of these is dropped while the connection is made, the others while they wait for their answers.
        let _ = dropped.as_mut().poll(&mut std::task::Context::from_waker(waker));
        drop(dropped);
        if n % 50 == 1 {
            assert!(store.set_if_absent(&format!("k{n}"), b"w", LONG).await.unwrap());
        }
    }
    assert_eq!(store.get("k1").await.unwrap().as_deref(), Some(&b"w"[..]));
}

#[tokio::test]
async fn a_server_that_takes_connections_and_drops_them_is_not_called_in_a_row() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let taken = Arc::new(std::sync::atomic::AtomicU64::new(0));
    let count = taken.clone();
    tokio::spawn(async move {
        // Lets everybody log in, whatever they say, and leaves.
        while let Ok((mut client, _)) = listener.accept().await {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let mut buffer = [0; 4096];
            let _ = client.read(&mut buffer).await;
            let _ = client.write_all(b"+OK\r\n+OK\r\n").await;
        }
    });
    let store = store(&format!("redis://127.0.0.1:{port}"));
    let began = tokio::time::Instant::now();
    while began.elapsed() < Duration::from_millis(500) {
        assert!(store.get("k").await.unwrap_err().is_away());
        tokio::task::yield_now().await;
    }
    // Waits of 20, 40, 80 … ms: 5 in half a second, or fewer on a busy machine.
    let taken = taken.load(std::sync::atomic::Ordering::SeqCst);
    assert!((1..=8).contains(&taken), "{taken} connections");
}
