//! The breaker in a tower stack, over `service_fn`.

#![cfg(not(loom))]

use lb_breaker::tower::BreakerLayer;
use lb_breaker::{Breaker, BreakerSettings, CallError, State, Verdict};
use lb_types::{Clock, ManualClock};
use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tower::{Layer, Service, ServiceExt, service_fn};

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

fn now<F: Future>(future: F) -> F::Output {
    match poll(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits for something"),
    }
}

fn one() -> (Arc<Breaker>, Arc<ManualClock>) {
    let settings = BreakerSettings::new().failure_threshold(1).success_threshold(1);
    (Arc::new(Breaker::new(settings).unwrap()), Arc::new(ManualClock::default()))
}

#[test]
fn errors_open_it_and_a_refused_call_does_not_reach_the_service() {
    let (breaker, clock) = one();
    let reached = Arc::new(AtomicUsize::new(0));
    let inner = {
        let reached = reached.clone();
        service_fn(move |ok: bool| {
            reached.fetch_add(1, Ordering::SeqCst);
            async move { if ok { Ok("fine") } else { Err("broken") } }
        })
    };
    let service = BreakerLayer::new(breaker.clone(), clock.clone()).layer(inner);
    let ask = |ok| now(service.clone().oneshot(ok));
    assert_eq!(ask(true), Ok("fine"));
    assert_eq!(ask(false), Err(CallError::Inner("broken")));
    assert!(matches!(ask(true), Err(CallError::Open(open)) if open.retry_after.is_some()));
    assert_eq!(reached.load(Ordering::SeqCst), 2);
    clock.advance(Duration::from_secs(60));
    assert_eq!(ask(true), Ok("fine"));
    assert_eq!(service.breaker().state(clock.now()), State::Closed);
}

#[test]
fn the_classifier_sees_the_response() {
    let (breaker, clock) = one();
    let inner = service_fn(async |status: u16| Ok::<u16, Infallible>(status));
    let by_status = |result: &Result<u16, Infallible>| match result {
        Ok(500..) => Verdict::Failure,
        _ => Verdict::Success,
    };
    let service = BreakerLayer::new(breaker.clone(), clock).classifier(by_status).layer(inner);
    assert_eq!(now(service.clone().oneshot(404)), Ok(404));
    assert_eq!(now(service.clone().oneshot(500)), Ok(500), "the response itself passes");
    assert!(now(service.oneshot(200)).is_err());
}

#[test]
fn a_response_nobody_waits_for_gives_its_probe_back() {
    let (breaker, clock) = one();
    breaker.try_acquire(clock.now()).unwrap().failure(clock.now());
    clock.advance(Duration::from_secs(60));
    let inner = service_fn(|()| std::future::pending::<Result<(), Infallible>>());
    let mut service = BreakerLayer::new(breaker.clone(), clock.clone()).layer(inner);
    let mut response = Box::pin(service.call(()));
    assert!(poll(response.as_mut()).is_pending());
    assert!(matches!(now(service.call(())), Err(CallError::Open(_))));
    drop(response);
    assert_eq!(breaker.status(clock.now()).probes, 0);
}

#[test]
fn readiness_is_the_inner_services() {
    struct Busy;
    impl Service<()> for Busy {
        type Response = ();
        type Error = &'static str;
        type Future = std::future::Ready<Result<(), &'static str>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), &'static str>> {
            Poll::Ready(Err("closed"))
        }
        fn call(&mut self, (): ()) -> Self::Future {
            std::future::ready(Ok(()))
        }
    }
    let (breaker, clock) = one();
    let mut service = BreakerLayer::new(breaker, clock).layer(Busy);
    let ready = service.poll_ready(&mut Context::from_waker(Waker::noop()));
    assert_eq!(ready, Poll::Ready(Err(CallError::Inner("closed"))));
}
