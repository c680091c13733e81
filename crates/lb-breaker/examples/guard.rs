//! A backend that fails for a while, behind a breaker: `cargo run -p lb-breaker --example guard`.
//!
//! Time is a `ManualClock`, so that 72 seconds take none. A program that runs in real time uses `SystemClock` (feature
//! `std-clock` of `lb-types`) and its own runtime's `await`.

use lb_breaker::{Breaker, BreakerSettings, CallError, Transition, call, fallback_response};
use lb_types::{Clock, ManualClock, Nanos};
use std::cell::Cell;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

/// Runs a future that never waits. A real program has a runtime.
fn block_on<F: Future>(future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = BreakerSettings::new().failure_threshold(3).recovery_timeout(Duration::from_secs(20));
    let breaker = Breaker::with_observer(settings, |t: Transition| {
        println!("        breaker: {} -> {} ({})", t.from, t.to, t.reason);
    })?;
    let clock = ManualClock::default();
    let fallback = fallback_response();
    // Sick from 10 s to 40 s.
    let sick = Nanos::from_secs(10)..Nanos::from_secs(40);
    let reached = Cell::new(0);

    block_on(async {
        for _ in 0..24 {
            let result = call(&breaker, &clock, async || {
                reached.set(reached.get() + 1);
                if sick.contains(&clock.now()) { Err("connection refused") } else { Ok("hello") }
            })
            .await;
            let at = clock.now().as_secs_f64();
            match result {
                Ok(answer) => println!("{at:>5.1} s  {answer}"),
                Err(CallError::Inner(error)) => println!("{at:>5.1} s  error: {error}"),
                Err(CallError::Open(_)) => println!("{at:>5.1} s  {} {}", fallback.status, fallback.body),
                Err(other) => println!("{at:>5.1} s  {other}"),
            }
            clock.advance(Duration::from_secs(3));
        }
    });
    println!("24 calls, of which {} reached the backend", reached.get());
    Ok(())
}
