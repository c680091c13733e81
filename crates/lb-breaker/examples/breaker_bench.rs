//! What a breaker costs a call: `cargo run --release -p lb-breaker --example breaker_bench`.
//!
//! One thread, nothing contended; the least of many rounds, as the machine's other work only ever adds. The clock is not
//! counted: a proxy has read it already.

use lb_breaker::{Breaker, BreakerSettings, Nanos, RateWindow, RetryBudget};
use lb_types::{Clock, SystemClock};
use std::hint::black_box;
use std::time::Duration;

const CALLS: u64 = 100_000;
const ROUNDS: u64 = 50;

fn measure(name: &str, mut call: impl FnMut(Nanos)) {
    let clock = SystemClock::new();
    let best = (0..ROUNDS)
        .map(|round| {
            let began = clock.now();
            for i in 0..CALLS {
                // 10 µs from call to call: 100 000 a second.
                call(black_box(Nanos((round * CALLS + i) * 10_000)));
            }
            (clock.now() - began).0 as f64 / CALLS as f64
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<58} {best:>7.1} ns");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    const FAST: Nanos = Nanos::from_millis(3);
    let rates = BreakerSettings::new().failure_rate(50).slow_calls(Duration::from_secs(1), 50);

    measure("the loop alone", |now| {
        black_box(now);
    });
    let breaker = Breaker::new(BreakerSettings::new())?;
    measure("closed: admit + success", |now| {
        if let Ok(permit) = black_box(&breaker).try_acquire(now) {
            permit.success(now, FAST);
        }
    });
    let breaker = Breaker::new(rates)?;
    measure("closed, failure and slow-call rates: admit + success", |now| {
        if let Ok(permit) = black_box(&breaker).try_acquire(now) {
            permit.success(now, FAST);
        }
    });
    let breaker = Breaker::new(rates.rate_window(RateWindow::Calls(100)))?;
    measure("closed, rates of the last 100 calls: admit + success", |now| {
        if let Ok(permit) = black_box(&breaker).try_acquire(now) {
            permit.success(now, FAST);
        }
    });
    // One failure in each monitoring period, so that it stays closed: the cost of a failure, not of a transition.
    let breaker = Breaker::new(BreakerSettings::new().monitoring_period(Duration::from_millis(100)))?;
    measure("closed: admit + failure that does not open it", |now| {
        let now = Nanos(now.0 * 10_000);
        if let Ok(permit) = black_box(&breaker).try_acquire(now) {
            permit.failure(now);
        }
    });
    let breaker = Breaker::new(BreakerSettings::new().failure_threshold(1))?;
    measure("failure that opens it, and a reset", |now| {
        if let Ok(permit) = black_box(&breaker).try_acquire(now) {
            permit.failure(now);
        }
        breaker.reset();
    });
    let breaker = Breaker::new(BreakerSettings::new().failure_threshold(1))?;
    breaker.try_acquire(Nanos::ZERO)?.failure(Nanos::ZERO); // for 60 s, of which the rounds make 50
    measure("open: refusal", |now| {
        black_box(black_box(&breaker).try_acquire(now).is_err());
    });
    let breaker = Breaker::new(BreakerSettings::new().failure_threshold(1).success_threshold(1_000))?;
    breaker.try_acquire(Nanos::ZERO)?.failure(Nanos::ZERO);
    breaker.early_half_open();
    measure("half-open: admit + cancel", |now| {
        drop(black_box(&breaker).try_acquire(now));
    });
    let budget = RetryBudget::new(lb_breaker::BudgetSettings::new())?;
    measure("retry budget: count a request", |now| black_box(&budget).request(now));
    measure("retry budget: withdraw and give back", |now| {
        drop(black_box(&budget).try_retry(now));
    });
    Ok(())
}
