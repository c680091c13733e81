//! The limit over simulated backends: `cargo run --release -p lb-admission --example concurrency_sim`.
//!
//! The first table: where the limit comes to rest for backends of some slots and service times under some loads (1: all that
//! the backend bears). The second: how it follows a backend that changes. The last line: what a report costs.

#[path = "../tests/support/backend.rs"]
mod backend;

use backend::{Phase, run};
use lb_admission::concurrency::{AdaptiveConcurrency, Limiter};
use lb_types::{Clock, Nanos, SystemClock};
use std::hint::black_box;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = AdaptiveConcurrency::new();
    println!("{settings:?}\n");
    println!("slots  service  load    least   mean   most  mean/slots  latency/service  use of slots");
    for slots in [4, 10, 20, 50, 200] {
        for service_s in [0.001, 0.01, 0.1, 0.5] {
            for load in [0.5, 1.0, 1.5, 3.0] {
                let seconds = if service_s > 0.01 { 300 } else { 100 };
                let seen = run(settings, &[Phase { from_s: 0.0, load, slots, service_s }], seconds, 42);
                let tail = &seen[seen.len() / 2..];
                let mean =
                    |of: fn(&backend::Second) -> f64| tail.iter().map(of).sum::<f64>() / tail.len() as f64;
                let limits = || tail.iter().map(|second| second.limit);
                let limit = mean(|second| second.limit.into());
                println!(
                    "{slots:>5} {:>5.0} ms {load:>5.1} {:>8} {limit:>6.1} {:>6} {:>11.2} {:>16.2} {:>12.2}",
                    service_s * 1e3,
                    limits().min().unwrap_or(0),
                    limits().max().unwrap_or(0),
                    limit / slots as f64,
                    mean(|second| second.latency_s) / service_s,
                    mean(|second| second.answered.into()) * service_s / slots as f64,
                );
            }
        }
    }

    println!(
        "\nlimit at second:         10    30    59 |   61    63    65    70    80    99 |  101   103   110   130   159"
    );
    let start = Phase { from_s: 0.0, load: 1.5, slots: 40, service_s: 0.02 };
    for (name, there, back) in [
        ("slots 40 -> 20 -> 40", Phase { slots: 20, load: 3.0, ..start }, start),
        ("service 20 -> 60 -> 20", Phase { service_s: 0.06, ..start }, start),
        ("load 1.5 -> 0.3 -> 1.5", Phase { load: 0.3, ..start }, start),
        ("load 1.5 -> 4 -> 1.5", Phase { load: 4.0, ..start }, start),
    ] {
        let phases = [start, Phase { from_s: 60.0, ..there }, Phase { from_s: 100.0, ..back }];
        let seen = run(settings, &phases, 160, 42);
        print!("{name:<22}");
        for (i, at) in [10, 30, 59, 61, 63, 65, 70, 80, 99, 101, 103, 110, 130, 159].into_iter().enumerate() {
            print!("{}{:>5} ", if [3, 9].contains(&i) { "|" } else { "" }, seen[at].limit);
        }
        println!();
    }

    let (limiter, clock) = (Limiter::new(settings, Nanos::ZERO)?, SystemClock::new());
    let rounds = (0..50u64).map(|round| {
        let began = clock.now();
        for i in 0..100_000 {
            let now = Nanos((round * 100_000 + i) * 10_000); // 100 000 a second
            black_box(black_box(&limiter).record(Nanos::from_millis(5), black_box(15), false, now));
        }
        (clock.now() - began).0 as f64 / 100_000.0
    });
    println!("\na report: {:.1} ns", rounds.fold(f64::INFINITY, f64::min));
    Ok(())
}
