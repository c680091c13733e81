//! Picks that wait.

use crate::support::{backend, builder, ok, pick, until};
use lb_balancer::core::PoolError;
use lb_balancer::{ChangeError, LoadBalancer, SelectOptions, StaticList};
use lb_types::{Exclusion, HealthSink, RequestInfo};
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;
use tokio::time::Instant;

/// One backend with room for one request, and a wait so long that only being told ends it in time.
fn narrow(timeout: Duration) -> LoadBalancer {
    LoadBalancer::builder()
        .backend(backend("a").max_connections(1))
        .selection_timeout(timeout)
        .build()
        .unwrap()
}

fn select(
    lb: &LoadBalancer,
) -> impl Future<Output = Result<lb_balancer::Lease, lb_balancer::SelectError>> + Send + use<> {
    lb.select_backend_async(&RequestInfo::default(), &SelectOptions::default())
}

#[tokio::test(start_paused = true)]
async fn at_once_when_there_is_room_and_a_timeout_when_there_is_none() {
    let lb = narrow(Duration::from_millis(100));
    let start = Instant::now();
    let held = select(&lb).await.unwrap();
    assert_eq!(start.elapsed(), Duration::ZERO);
    let refused = select(&lb).await.unwrap_err();
    assert!(refused.is_at_limit(), "{refused}");
    assert_eq!(start.elapsed(), Duration::from_millis(100));
    held.complete(ok(1));
    drop(select(&lb).await.unwrap());
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_request_wakes_a_waiter() {
    let lb = narrow(Duration::from_secs(60));
    let held = pick(&lb);
    let start = Instant::now();
    let waiter = tokio::spawn(select(&lb));
    tokio::time::sleep(Duration::from_millis(5)).await;
    held.complete(ok(1));
    let lease = waiter.await.unwrap().unwrap();
    assert_eq!((lease.backend().id().as_str(), start.elapsed()), ("a", Duration::from_millis(5)));
}

#[tokio::test(start_paused = true)]
async fn a_recovery_and_a_new_backend_wake_waiters() {
    let lb = LoadBalancer::builder()
        .discover(StaticList::default())
        .selection_timeout(Duration::from_secs(60))
        .build()
        .unwrap();
    let waiter = tokio::spawn(select(&lb));
    tokio::task::yield_now().await;
    lb.add_backend(backend("late")).unwrap();
    assert_eq!(waiter.await.unwrap().unwrap().backend().id(), &"late");

    lb.update_backend(&"late".into(), {
        let mut p = lb_types::BackendPatch::default();
        p.disabled = Some(true);
        p
    })
    .unwrap();
    lb.add_backend(backend("sick")).unwrap();
    lb.pool().set_draining(&"sick".into(), true).unwrap();
    let waiter = tokio::spawn(select(&lb));
    tokio::task::yield_now().await;
    lb.pool().set_healthy(&"sick".into(), false);
    lb.undrain(&"sick".into()).unwrap();
    lb.pool().set_healthy(&"sick".into(), true);
    assert_eq!(waiter.await.unwrap().unwrap().backend().id(), &"sick");
}

#[tokio::test(start_paused = true)]
async fn many_waiters_all_get_their_turn_and_dropped_ones_leave_no_trace() {
    let lb = narrow(Duration::from_secs(60));
    let held = pick(&lb);
    let served = Arc::new(AtomicUsize::new(0));
    let mut waiters = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let (lb, served) = (lb.clone(), served.clone());
        waiters.spawn(async move {
            let lease = select(&lb).await.unwrap();
            assert_eq!(lease.backend().in_flight(), 1, "the limit holds");
            served.fetch_add(1, SeqCst);
            tokio::task::yield_now().await;
            lease.complete(ok(1));
        });
    }
    // These give up before anything is free.
    for _ in 0..10 {
        tokio::select! {
            biased;
            _ = select(&lb) => panic!("nothing is free"),
            () = tokio::time::sleep(Duration::from_millis(1)) => {}
        }
    }
    held.complete(ok(1));
    while let Some(done) = waiters.join_next().await {
        done.unwrap();
    }
    assert_eq!(served.load(SeqCst), 50);
    let m = lb.metrics();
    assert_eq!((m.in_flight, m.requests, m.backends[0].cancelled), (0, 51, 0));
}

#[test]
fn no_wake_up_is_lost_between_threads() {
    // Real time and threads: each round pits the end of a request against the start of a wait.
    let lb = narrow(Duration::from_secs(20));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    for _ in 0..2_000 {
        let held = pick(&lb);
        let gate = Arc::new(Barrier::new(2));
        let other = std::thread::spawn({
            let gate = gate.clone();
            move || {
                gate.wait();
                held.complete(ok(1));
            }
        });
        gate.wait();
        runtime.block_on(select(&lb)).unwrap().complete(ok(1));
        other.join().unwrap();
    }
    assert_eq!(lb.metrics().requests, 4_000);
}

#[tokio::test(start_paused = true)]
async fn excluded_backends_stay_excluded_however_long_the_wait() {
    let lb = builder(&["a", "b"]).selection_timeout(Duration::from_millis(50)).build().unwrap();
    let mut options = SelectOptions::default();
    options.exclude = vec!["a".into(), "b".into()];
    let refused = lb.select_backend_async(&RequestInfo::default(), &options).await.unwrap_err();
    let lb_balancer::SelectError::NoneUsable(counts) = refused else { panic!("{refused}") };
    assert_eq!(counts.of(Exclusion::Excluded), 2);
    options.exclude.pop();
    assert_eq!(lb.select_backend(&RequestInfo::default(), &options).unwrap().backend().id(), &"b");
    assert_eq!(lb.explain(&RequestInfo::default(), &options).picked, Some("b".into()));
    until("nothing in flight", || lb.metrics().in_flight == 0).await;
    assert_eq!(lb.undrain(&"x".into()), Err(ChangeError::Pool(PoolError::UnknownId("x".into()))));
}

#[tokio::test(start_paused = true)]
async fn a_second_balancer_over_the_same_pool_is_not_told_but_looks() {
    let lb = narrow(Duration::from_secs(60));
    let other = LoadBalancer::from(lb.pool().clone());
    let held = pick(&lb);
    let start = Instant::now();
    let waiter = tokio::spawn(select(&other));
    tokio::task::yield_now().await;
    held.complete(ok(1));
    drop(waiter.await.unwrap().unwrap());
    assert!(start.elapsed() <= Duration::from_millis(11), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_retry_waits_with_its_own_context() {
    let lb = LoadBalancer::builder()
        .backends([backend("a"), backend("b").max_connections(1)])
        .selection_timeout(Duration::from_millis(50))
        .build()
        .unwrap();
    let all = lb.pool().snapshot_full();
    let mut cx = lb.selection(&RequestInfo::default(), &SelectOptions::default());
    cx.tried(all.get(&"a".into()).unwrap().state());
    let held = lb.acquire_async(&mut cx).await.unwrap();
    assert_eq!(*held.backend().id(), "b");
    let mut again = lb.selection(&RequestInfo::default(), &SelectOptions::default());
    again.exclude(all.get(&"a".into()).unwrap().state());
    assert!(lb.acquire_async(&mut again).await.unwrap_err().is_at_limit());
    drop(held);
    assert_eq!(*lb.acquire_async(&mut again).await.unwrap().backend().id(), "b");
}
