//! Emptying backends.

use crate::support::{builder, ok, pick};
use lb_balancer::{ChangeError, SelectOptions, core::PoolError};
use lb_types::{Exclusion, RequestInfo};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test(start_paused = true)]
async fn an_idle_backend_is_empty_at_once_and_gets_nothing_until_undrained() {
    let lb = builder(&["a", "b"]).build().unwrap();
    let report = lb.drain(&"a".into(), Duration::from_secs(30)).await.unwrap();
    assert!(report.is_empty() && report.waited.is_zero() && report.id == "a");
    assert!((0..10).all(|_| *pick(&lb).backend().id() == "b"));
    assert_eq!(lb.metrics().backends[0].exclusion, Some(Exclusion::Draining));
    lb.undrain(&"a".into()).unwrap();
    assert!((0..10).any(|_| *pick(&lb).backend().id() == "a"));
    let unknown = lb.drain(&"x".into(), Duration::ZERO).await;
    assert_eq!(unknown, Err(ChangeError::Pool(PoolError::UnknownId("x".into()))));
}

#[tokio::test(start_paused = true)]
async fn it_resolves_with_the_last_request() {
    let lb = builder(&["a"]).build().unwrap();
    let leases = [pick(&lb), pick(&lb)];
    let start = Instant::now();
    let draining = tokio::spawn({
        let lb = lb.clone();
        async move { lb.drain(&"a".into(), Duration::from_secs(30)).await }
    });
    for lease in leases {
        tokio::time::sleep(Duration::from_millis(7)).await;
        lease.complete(ok(1));
    }
    let report = draining.await.unwrap().unwrap();
    assert_eq!((report.remaining, start.elapsed()), (0, Duration::from_millis(14)));
    assert!(lb.select_backend(&RequestInfo::default(), &SelectOptions::default()).is_err());
}

#[tokio::test(start_paused = true)]
async fn after_the_grace_it_says_how_many_are_left() {
    let lb = builder(&["a"]).build().unwrap();
    let leases = [pick(&lb), pick(&lb)];
    let report = lb.drain(&"a".into(), Duration::from_millis(250)).await.unwrap();
    assert_eq!((report.remaining, report.waited, report.is_empty()), (2, Duration::from_millis(250), false));
    drop(leases);
    assert!(lb.drain(&"a".into(), Duration::ZERO).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn removal_ends_no_request_and_the_drain_still_sees_the_last_one() {
    let lb = builder(&["a", "b"]).build().unwrap();
    let lease = std::iter::repeat_with(|| pick(&lb)).find(|l| *l.backend().id() == "a").unwrap();
    let draining = tokio::spawn({
        let lb = lb.clone();
        async move { lb.drain(&"a".into(), Duration::from_secs(30)).await }
    });
    tokio::task::yield_now().await;
    lb.remove_backend(&"a".into()).unwrap();
    tokio::time::sleep(Duration::from_millis(3)).await;
    lease.complete(ok(1));
    assert_eq!(draining.await.unwrap().unwrap().remaining, 0);
}
