//! What passive detection costs a request: `cargo run --release -p lb-health --no-default-features --example outlier_bench`.
//!
//! One thread, nothing contended; the least of many rounds, as the machine's other work only ever adds.

use lb_health::outlier::{Detector, OutlierDetection, Streaks, Tally};
use lb_types::{Clock, FailureKind, Nanos, Outcome, SystemClock};
use std::hint::black_box;

const ROUNDS: u32 = 50;

fn measure(name: &str, unit: &str, calls: u32, mut call: impl FnMut()) {
    let clock = SystemClock::new();
    let best = (0..ROUNDS)
        .map(|_| {
            let began = clock.now();
            (0..calls).for_each(|_| call());
            (clock.now() - began).0 as f64 / f64::from(calls)
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<58} {:>9.1} {unit}", if unit == "ns" { best } else { best / 1e3 });
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let success = Outcome::Success { ttfb: Nanos::from_millis(3) };
    let failure = Outcome::Failure { kind: FailureKind::Status(503), after: Nanos::from_millis(3) };
    let settings = OutlierDetection::new();

    measure("the loop alone", "ns", 100_000, || {
        black_box(success);
    });
    let streaks = Streaks::new(&settings);
    measure("record(success)", "ns", 100_000, || {
        black_box(black_box(&streaks).record(black_box(success)).is_some());
    });
    measure("record(failure)", "ns", 100_000, || {
        black_box(black_box(&streaks).record(black_box(failure)).is_some());
    });
    measure("record(failure), record(success)", "ns", 100_000, || {
        black_box(black_box(&streaks).record(black_box(failure)).is_some());
        black_box(black_box(&streaks).record(black_box(success)).is_some());
    });

    for n in [4u64, 1_000] {
        let mut detector = Detector::new(settings.clone(), Nanos::ZERO)?;
        let tally = |i| Tally { id: format!("backend-{i}").into(), succeeded: 0, failed: 0, usable: true };
        let mut tallies: Vec<_> = (0..n).map(tally).collect();
        let mut now = Nanos::ZERO;
        measure(&format!("a whole sweep of {n} backends"), "µs", 100, || {
            now = detector.next(now);
            for t in &mut tallies {
                t.succeeded += 990;
                t.failed += 10;
            }
            black_box(detector.sweep(now, &mut || 0, &tallies));
        });
    }
    Ok(())
}
