//! A future behind the breaker, without a runtime.

#![cfg(not(loom))]

use lb_breaker::{
    Breaker, BreakerSettings, CallError, State, Verdict, call, call_classified, fallback_response,
};
use lb_types::{Clock, ManualClock};
use std::future::pending;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

fn poll<F: Future>(future: std::pin::Pin<&mut F>) -> Poll<F::Output> {
    future.poll(&mut Context::from_waker(Waker::noop()))
}

/// For futures that are ready at once.
fn now<F: Future>(future: F) -> F::Output {
    match poll(pin!(future)) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("the future waits for something"),
    }
}

fn one() -> Breaker {
    Breaker::new(BreakerSettings::new().failure_threshold(1).success_threshold(1)).unwrap()
}

#[test]
fn an_error_counts_and_a_refused_operation_is_not_begun() {
    let (breaker, clock) = (one(), ManualClock::default());
    let result: Result<u8, _> = now(call(&breaker, &clock, async || Err("no")));
    assert_eq!(result, Err(CallError::Inner("no")));
    let result: Result<u8, CallError<&str>> = now(call(&breaker, &clock, async || unreachable!("begun")));
    let answer = match result {
        Err(CallError::Open(open)) => {
            assert_eq!(open.to_string(), "circuit breaker is open for another 60s");
            fallback_response()
        }
        other => panic!("{other:?}"),
    };
    assert_eq!(answer.status, 503);
    clock.advance(Duration::from_secs(60));
    assert_eq!(now(call(&breaker, &clock, async || Ok::<_, &str>(7))), Ok(7));
    assert_eq!(breaker.state(clock.now()), State::Closed);
}

#[test]
fn the_classifier_decides_and_the_result_passes_as_it_is() {
    let (breaker, clock) = (one(), ManualClock::default());
    let by_status = |result: &Result<u16, &str>| match result {
        Ok(500..) => Verdict::Failure,
        Ok(_) => Verdict::Success,
        Err(_) => Verdict::Cancelled,
    };
    let run = |result| now(call_classified(&breaker, &clock, async || result, by_status));
    assert_eq!(run(Err("my own fault")), Err(CallError::Inner("my own fault")));
    assert_eq!(run(Ok(404)), Ok(404));
    assert_eq!(breaker.state(clock.now()), State::Closed);
    assert_eq!(run(Ok(503)), Ok(503));
    assert_eq!(breaker.state(clock.now()), State::Open);
}

#[test]
fn the_time_it_took_is_measured() {
    let settings = BreakerSettings::new().slow_calls(Duration::from_secs(2), 100).minimum_calls(1);
    let (breaker, clock) = (Breaker::new(settings).unwrap(), ManualClock::default());
    let take = |time: Duration| {
        now(call(&breaker, &clock, async || {
            clock.advance(time);
            Ok::<_, ()>(())
        }))
    };
    take(Duration::from_millis(1_999)).unwrap();
    assert_eq!(breaker.state(clock.now()), State::Closed);
    clock.advance(Duration::from_secs(10));
    take(Duration::from_secs(2)).unwrap();
    assert_eq!(breaker.state(clock.now()), State::Open);
}

#[test]
fn a_future_dropped_before_its_end_gives_its_probe_back() {
    let (breaker, clock) = (one(), ManualClock::default());
    breaker.try_acquire(clock.now()).unwrap().failure(clock.now());
    clock.advance(Duration::from_secs(60));
    {
        let mut hung = pin!(call(&breaker, &clock, pending::<Result<(), ()>>));
        assert!(poll(hung.as_mut()).is_pending());
        assert_eq!(breaker.status(clock.now()).probes, 1);
        assert!(breaker.try_acquire(clock.now()).is_err());
    }
    assert_eq!(breaker.status(clock.now()).probes, 0);
    assert!(breaker.try_acquire(clock.now()).is_ok());
}

#[test]
fn a_panic_gives_its_probe_back() {
    let (breaker, clock) = (one(), ManualClock::default());
    breaker.try_acquire(clock.now()).unwrap().failure(clock.now());
    assert!(breaker.early_half_open());
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        now(call(&breaker, &clock, async || -> Result<(), ()> { panic!("in the operation") }))
    }));
    assert!(result.is_err());
    assert_eq!(breaker.status(clock.now()).probes, 0);
}

/// An observer may ask the breaker: it is called under no lock.
#[test]
fn an_observer_may_call_the_breaker() {
    use std::sync::{Arc, OnceLock};
    let cell: Arc<OnceLock<Breaker>> = Arc::default();
    let breaker = Breaker::with_observer(BreakerSettings::new().failure_threshold(1), {
        let cell = cell.clone();
        move |t: lb_breaker::Transition| {
            let breaker = cell.get().expect("set before the first call");
            if t.to == State::Open {
                assert_eq!(breaker.state(lb_types::Nanos::ZERO), State::Open, "the change is done");
                breaker.reset();
            }
        }
    });
    assert!(cell.set(breaker.unwrap()).is_ok());
    let breaker = cell.get().unwrap();
    breaker.try_acquire(lb_types::Nanos::ZERO).unwrap().failure(lb_types::Nanos::ZERO);
    assert_eq!(breaker.state(lb_types::Nanos::ZERO), State::Closed);
}
