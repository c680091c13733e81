//! What a pick costs: `cargo run --release -p lb-core --example pick_bench [filter]`.
//!
//! One JSON line a figure: nanoseconds of acquire + complete (a context made anew for each, as a caller does) by algorithm, pool
//! size and threads, the best of several runs; then the milliseconds of publishing a change. `filter`: only algorithms with
//! this text in their name, or `publish`.

use lb_core::{Algorithm, PickContext, Pool, PoolSettings};
use lb_types::{Backend, BackendId, Clock, HealthSink, Nanos, Outcome, SystemClock};
use std::hint::black_box;
use std::sync::{Arc, Barrier};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SIZES: [usize; 3] = [3, 100, 10_000];
const RUNS: usize = 7;
/// How long one run should take.
const RUN: Nanos = Nanos::from_millis(40);

fn backends(n: usize, weight: impl Fn(usize) -> u32) -> Vec<Backend> {
    let url = |i: usize| format!("http://10.{}.{}.{}:8080", i >> 16, (i >> 8) & 255, i & 255);
    let one = |i| Backend::new(format!("b{i}"), url(i).parse().expect("a literal address")).weight(weight(i));
    (0..n).map(one).collect()
}

fn pool(algorithm: Algorithm, n: usize, weight: impl Fn(usize) -> u32) -> Pool {
    let clock = Arc::new(SystemClock::new());
    Pool::new(PoolSettings::new(algorithm), backends(n, weight), clock).expect("valid settings")
}

fn picks(pool: &Pool, n: u64, salt: u64) {
    let mut key = salt;
    for i in 0..n {
        key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut cx = PickContext::new(Nanos(1_000_000 + i), key);
        cx.key = Some((key ^ (key >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9));
        let lease = pool.acquire(black_box(&mut cx)).expect("a backend is usable");
        lease.complete(Outcome::Success { ttfb: Nanos::from_micros(700) });
    }
}

/// Nanoseconds a pick, with `threads` at it at the same time: each one's own time, averaged.
fn measure(pool: &Pool, threads: usize, clock: &SystemClock) -> f64 {
    let run = |n: u64| {
        let barrier = Barrier::new(threads);
        let took: u64 = std::thread::scope(|s| {
            let one = |t: u64| {
                let (pool, barrier) = (pool.clone(), &barrier);
                s.spawn(move || {
                    barrier.wait();
                    let from = clock.now();
                    picks(&pool, n, t << 32);
                    (clock.now() - from).0
                })
            };
            let all: Vec<_> = (0..threads as u64).map(one).collect();
            all.into_iter().map(|t| t.join().expect("the loop does not panic")).sum()
        });
        took as f64 / threads as f64 / n as f64
    };
    let rough = run(2_000).max(1.0);
    let n = (RUN.0 as f64 / rough) as u64 + 100;
    (0..RUNS).map(|_| run(n)).fold(f64::INFINITY, f64::min)
}

/// The median of a few timings, in milliseconds.
fn publish(clock: &SystemClock, change: impl Fn(usize)) -> f64 {
    let mut ms: Vec<f64> = (0..11)
        .map(|i| {
            let from = clock.now();
            change(i);
            (clock.now() - from).as_secs_f64() * 1e3
        })
        .collect();
    ms.sort_by(f64::total_cmp);
    ms[ms.len() / 2]
}

fn publishing(clock: &SystemClock) {
    const N: usize = 10_000;
    let id = |i: usize| BackendId::from(format!("b{i}"));
    let line = |what: &str, policy: &str, ms: f64| {
        println!("{{\"publish\":\"{what}\",\"policy\":\"{policy}\",\"backends\":{N},\"ms\":{ms:.2}}}");
    };
    for algorithm in Algorithm::all() {
        let name = algorithm.name();
        let p = pool(algorithm, N, |_| 1);
        line("health", name, publish(clock, |i| p.set_healthy(&id(77), i % 2 == 1)));
        let membership = |i: usize| {
            let last = Backend::new("last", "http://127.0.0.1:1".parse().expect("a literal address"));
            let done =
                if i.is_multiple_of(2) { p.add_backend(last) } else { p.remove_backend(&"last".into()) };
            done.expect("the id comes and goes in turn");
        };
        line("membership", name, publish(clock, membership));
    }
    let p = pool(Algorithm::WeightedRoundRobin, N, |i| 1 + (i % 10) as u32);
    line(
        "health, weights 1 to 10",
        p.settings().algorithm.name(),
        publish(clock, |i| p.set_healthy(&id(77), i % 2 == 1)),
    );
}

fn main() {
    let filter = std::env::args().nth(1).unwrap_or_default();
    let clock = SystemClock::new();
    for algorithm in Algorithm::all().into_iter().filter(|a| a.name().contains(&filter)) {
        for n in SIZES {
            let weighted = algorithm == Algorithm::WeightedRoundRobin;
            let p = pool(algorithm.clone(), n, |i| if weighted { 1 + (i % 5) as u32 } else { 1 });
            for threads in [1, 2] {
                let ns = measure(&p, threads, &clock);
                let policy = algorithm.name();
                println!("{{\"policy\":\"{policy}\",\"backends\":{n},\"threads\":{threads},\"ns\":{ns:.1}}}");
            }
        }
    }
    if "publish".contains(&filter) {
        publishing(&clock);
    }
}
