//! A limit in a tower stack: what is over it never reaches the service.

use lb_admission::rate_limit::{RateLimit, RateLimiter};
use lb_admission::tower::rate_limit::{LimitError, RateLimitLayer};
use lb_types::{ManualClock, Nanos};
use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;
use tower::{Layer as _, Service as _, ServiceExt as _, service_fn};

#[tokio::test]
async fn each_user_has_a_limit_and_the_refused_do_not_reach_the_service() {
    let clock = Arc::new(ManualClock::new(Nanos::from_secs(1)));
    let limiter = Arc::new(RateLimiter::new(RateLimit::new(2, Duration::from_secs(10)), 1).unwrap());
    let served = Arc::new(AtomicU32::new(0));
    let count = served.clone();
    let inner = service_fn(move |user: &'static str| {
        count.fetch_add(1, SeqCst);
        async move { Ok::<_, Infallible>(user.len()) }
    });
    let layer = RateLimitLayer::new(limiter.clone(), clock.clone(), |l: &RateLimiter, user: &&str, now| {
        l.check_key(user.as_bytes(), now)
    });
    let mut service = layer.layer(inner);
    let mut other = service.clone();
    assert_eq!(service.ready().await.unwrap().call("ann").await, Ok(3));
    assert_eq!(other.ready().await.unwrap().call("ann").await, Ok(3));
    let refused = service.ready().await.unwrap().call("ann").await.unwrap_err();
    assert_eq!(refused.to_string(), "Rate limit exceeded");
    let LimitError::Limited(decision) = refused else { panic!("{refused:?}") };
    assert_eq!(decision.retry_after_s(), Some(5));
    assert_eq!(service.ready().await.unwrap().call("bert").await, Ok(4));
    assert_eq!(served.load(SeqCst), 3);
    clock.advance(Duration::from_secs(5));
    assert_eq!(service.ready().await.unwrap().call("ann").await, Ok(3));
    assert_eq!((limiter.stats().allowed, limiter.stats().limited), (4, 1));
}

#[tokio::test]
async fn errors_and_readiness_are_the_services_own() {
    let limiter = Arc::new(RateLimiter::new(RateLimit::default(), 1).unwrap());
    let layer =
        RateLimitLayer::new(limiter, Arc::new(ManualClock::default()), |l: &RateLimiter, (): &(), now| {
            l.check_key(b"k", now)
        });
    let service = layer.layer(service_fn(|()| async { Err::<(), _>("broken") }));
    assert_eq!(service.oneshot(()).await, Err(LimitError::Inner("broken")));
}
