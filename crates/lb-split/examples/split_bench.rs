//! What a split costs a request: `cargo run --release -p lb-split --example split_bench [THREADS]`.
//!
//! The least of many rounds, as the machine's other work only ever adds. The clock and the client's point are not counted.

use lb_split::{Percent, Rollout, RolloutSettings, Split, Window};
use lb_types::{Clock, Nanos, SystemClock};
use std::hint::black_box;
use std::time::Duration;

const CALLS: u64 = 100_000;
const ROUNDS: u64 = 50;

fn measure(name: &str, calls: u64, mut call: impl FnMut(u64)) {
    let clock = SystemClock::new();
    let round = |_| {
        let began = clock.now();
        (0..calls).for_each(&mut call);
        (clock.now() - began).0 as f64 / calls as f64
    };
    let best = (0..ROUNDS).map(round).fold(f64::INFINITY, f64::min);
    println!("{name:<58} {best:>9.1} ns");
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let threads: u64 = std::env::args().nth(1).map_or(Ok(2), |threads| threads.parse())?;
    let percent = |p: f64| Percent::try_from(p);
    let now = Nanos::from_secs(1);
    let two = Split::new("s", &[("a", percent(90.0)?), ("b", percent(10.0)?)], true)?;
    let four = [("a", percent(40.0)?), ("b", percent(30.0)?), ("c", percent(20.0)?), ("d", percent(10.0)?)];
    let four = Split::new("s", &four, true)?;
    let one = Split::new("s", &[("a", percent(100.0)?), ("b", percent(0.0)?)], true)?;
    let shifting = Split::new("s", &[("a", percent(100.0)?), ("b", percent(0.0)?)], true)?;
    shifting.shift(&[percent(0.0)?, percent(100.0)?], Duration::from_secs(10), "bench", Nanos::ZERO)?;

    for (name, split) in
        [("all to one", &one), ("two targets", &two), ("four targets", &four), ("two, in a shift", &shifting)]
    {
        measure(&format!("{name}, no point"), CALLS, |_| {
            black_box(black_box(split).choose(None, black_box(now)));
        });
        measure(&format!("{name}, points"), CALLS, |i| {
            black_box(black_box(split).choose(Some((i * 7_919 % 10_000) as u32), black_box(now)));
        });
    }
    let clock = SystemClock::new();
    let began = clock.now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| (0..CALLS * 10).for_each(|_| _ = black_box(two.choose(None, now))));
        }
    });
    let each = (clock.now() - began).0 as f64 / (CALLS * 10 * threads) as f64;
    println!("{:<58} {each:>9.1} ns", format!("two targets, no point, {threads} threads at once: a request"));
    measure("a canary of another percentage", 100, |i| {
        let hundredths = Percent::from_hundredths((i * 37 % 10_000) as u16);
        black_box(hundredths.map(|percent| two.canary(percent, "bench", now)).is_ok());
    });
    let mut rollout = Rollout::new(RolloutSettings::new(), Nanos::ZERO)?;
    let (old, new) = (
        Window { requests: 100_000, errors: 1_000, timed: 0, slow: 0 },
        Window { requests: 5_000, errors: 50, timed: 0, slow: 0 },
    );
    measure("a rollout's look that holds", 1_000, |_| {
        black_box(rollout.observe(now, black_box(&old), black_box(&new)));
    });
    measure("how its guard stands", 1_000, |_| {
        black_box(rollout.status(black_box(&old), black_box(&new)));
    });
    Ok(())
}
