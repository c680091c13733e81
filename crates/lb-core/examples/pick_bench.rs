//! What a pick costs: `cargo run --release -p lb-core --example pick_bench [filter]`.
//!
//! One JSON line a figure: nanoseconds of acquire + complete (a context made anew for each, as a caller does) by algorithm, pool
//! size and threads, through the pool itself or through a worker's reader, the best of several runs; then the milliseconds of
//! publishing a change. `rmw` is an uncontended atomic add in the same process, to compare machines by. `filter`: only algorithms
//! with this text in their name, or `publish`.

use lb_core::{Algorithm, Lease, PickContext, Pool, PoolSettings, SelectError};
use lb_types::{Backend, BackendId, Clock, HealthSink, LoadReport, Nanos, Outcome, SystemClock};
use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The time of the first measured pick; later ones follow a nanosecond apart.
const START: Nanos = Nanos::from_secs(60);
const SIZES: [usize; 3] = [3, 100, 10_000];
/// One thread: many short runs, of which some are not disturbed. Several threads: long ones, in which they do meet.
const RUNS: [(usize, Nanos); 2] = [(100, Nanos::from_millis(1)), (7, Nanos::from_millis(40))];

fn backends(n: usize, weight: impl Fn(usize) -> u32) -> Vec<Backend> {
    let url = |i: usize| format!("http://10.{}.{}.{}:8080", i >> 16, (i >> 8) & 255, i & 255);
    let one = |i| Backend::new(format!("b{i}"), url(i).parse().expect("a literal address")).weight(weight(i));
    (0..n).map(one).collect()
}

fn pool(algorithm: Algorithm, n: usize, weight: impl Fn(usize) -> u32) -> Pool {
    let clock = Arc::new(SystemClock::new());
    let pool = Pool::new(PoolSettings::new(algorithm), backends(n, weight), clock).expect("valid settings");
    if let Algorithm::Adaptive(o) = &pool.settings().algorithm {
        // All report, their blackout is over, and the picks of two seconds have counted them.
        let report = LoadReport { cpu_utilization: 0.5, rps_fractional: 100.0, ..LoadReport::default() };
        for now in [Nanos::ZERO, START - Nanos::from_secs(3)] {
            pool.snapshot().members().iter().for_each(|m| m.state().report(&report, now));
        }
        assert!(Nanos::from(o.blackout_period) < START - Nanos::from_secs(3));
        for i in 0..400 {
            let now = START - Nanos::from_millis(2_000 - 5 * i);
            let lease = pool.acquire(&mut PickContext::new(now, i)).expect("a backend is usable");
            lease.complete(Outcome::Success { ttfb: Nanos::from_micros(700) });
        }
    }
    pool
}

fn picks(mut acquire: impl FnMut(&mut PickContext<'_>) -> Result<Lease, SelectError>, n: u64, salt: u64) {
    let mut key = salt;
    for i in 0..n {
        key = key.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut cx = PickContext::new(START + Nanos(i), key);
        cx.key = Some((key ^ (key >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9));
        let lease = acquire(black_box(&mut cx)).expect("a backend is usable");
        lease.complete(Outcome::Success { ttfb: Nanos::from_micros(700) });
    }
}

/// Nanoseconds a pick, with `threads` at it at the same time: each one's own time, averaged.
fn measure(pool: &Pool, reader: bool, threads: usize, clock: &SystemClock) -> f64 {
    let run = |n: u64| {
        let barrier = Barrier::new(threads);
        let took: u64 = std::thread::scope(|s| {
            let one = |t: u64| {
                let (pool, barrier) = (pool.clone(), &barrier);
                s.spawn(move || {
                    barrier.wait();
                    let from = clock.now();
                    if reader {
                        let mut reader = pool.reader();
                        picks(|cx| reader.acquire(cx), n, t << 32);
                    } else {
                        picks(|cx| pool.acquire(cx), n, t << 32);
                    }
                    (clock.now() - from).0
                })
            };
            let all: Vec<_> = (0..threads as u64).map(one).collect();
            all.into_iter().map(|t| t.join().expect("the loop does not panic")).sum()
        });
        took as f64 / threads as f64 / n as f64
    };
    let rough = run(2_000).max(1.0);
    let (runs, length) = RUNS[usize::from(threads > 1)];
    let n = (length.0 as f64 / rough) as u64 + 100;
    (0..runs).map(|_| run(n)).fold(f64::INFINITY, f64::min)
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

fn atomic_add(clock: &SystemClock) -> f64 {
    const N: u64 = 100_000;
    let word = AtomicU64::new(0);
    let run = |_| {
        let from = clock.now();
        for _ in 0..N {
            black_box(&word).fetch_add(1, SeqCst);
        }
        (clock.now() - from).0 as f64 / N as f64
    };
    (0..50).map(run).fold(f64::INFINITY, f64::min)
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
    println!("{{\"rmw\":1,\"ns\":{:.2}}}", atomic_add(&clock));
    for algorithm in Algorithm::all().into_iter().filter(|a| a.name().contains(&filter)) {
        for n in SIZES {
            let weighted = algorithm == Algorithm::WeightedRoundRobin;
            let p = pool(algorithm.clone(), n, |i| if weighted { 1 + (i % 5) as u32 } else { 1 });
            for (reader, threads) in [(false, 1), (true, 1), (false, 2), (true, 2)] {
                let ns = measure(&p, reader, threads, &clock);
                let (policy, via) = (algorithm.name(), if reader { "reader" } else { "pool" });
                println!(
                    "{{\"policy\":\"{policy}\",\"backends\":{n},\"threads\":{threads},\"via\":\"{via}\",\"ns\":{ns:.1}}}"
                );
            }
        }
    }
    if "publish".contains(&filter) {
        publishing(&clock);
    }
}
