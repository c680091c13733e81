//! What guards cost on the request path: a pick and its end, without and with breakers and passive detection.
//!
//! ```sh
//! cargo run --release -p lb-balancer --example fault_bench
//! ```

use lb_balancer::{BreakerSettings, LoadBalancer, LoadBalancerBuilder, OutlierDetection, SelectOptions};
use lb_types::{Backend, Nanos, Outcome, RequestInfo, SystemClock};
use std::hint::black_box;
use std::time::Duration;

/// Rounds, of which the quickest counts: others were disturbed.
const ROUNDS: usize = 40;
const PICKS: u32 = 100_000;

fn builder() -> LoadBalancerBuilder {
    let backend = |i: u16| {
        let url = format!("http://127.0.0.1:{}", 9_000 + i).parse().expect("a URL");
        Backend::new(format!("b{i}"), url)
    };
    LoadBalancer::builder().seed(1).backends((0..3).map(backend))
}

/// Nanoseconds of a pick and its end.
fn cost(lb: &LoadBalancer) -> f64 {
    use lb_types::Clock;
    let clock = SystemClock::new();
    let mut selection = lb.selection(&RequestInfo::default(), &SelectOptions::default());
    let mut round = || {
        let start = clock.now();
        for _ in 0..PICKS {
            selection.set_now(selection.now() + Nanos(1_000));
            if let Ok(lease) = lb.acquire(&mut selection) {
                black_box(&lease);
                lease.complete(Outcome::Success { ttfb: Nanos::from_micros(900) });
            }
        }
        (clock.now() - start).0 as f64 / f64::from(PICKS)
    };
    (0..ROUNDS).map(|_| round()).fold(f64::MAX, f64::min)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let breaker = BreakerSettings::new;
    let rates = breaker().failure_rate(50).slow_calls(Duration::from_secs(1), 50);
    let rows = [
        ("no guard", builder()),
        ("circuit_breaker = {}", builder().circuit_breaker(breaker())),
        ("outlier_detection = {}", builder().outlier_detection(OutlierDetection::new())),
        ("both", builder().circuit_breaker(breaker()).outlier_detection(OutlierDetection::new())),
        ("breaker with failure and slow-call rates", builder().circuit_breaker(rates)),
    ];
    println!(
        "a pick and its end, weighted-round-robin over 3 backends, one thread, the quickest of {ROUNDS} rounds"
    );
    let mut base = None;
    for (name, builder) in rows {
        let ns = cost(&builder.build()?);
        let more = ns - *base.get_or_insert(ns);
        println!("{name:42} {ns:6.1} ns   {more:+6.1} ns");
    }
    Ok(())
}
