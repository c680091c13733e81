//! Slow start under a clock that the tests move.

use crate::common::*;
use lb_core::{Algorithm, Lease, PoolSettings, SlowStart};
use lb_types::{BackendPatch, HealthSink};
use std::time::Duration;

const WINDOW: Duration = Duration::from_secs(100);

fn world(algorithm: Algorithm, weights: &[u32]) -> World {
    let slow_start = Some(SlowStart { window: WINDOW, ..SlowStart::default() });
    World::new(with(PoolSettings::new(algorithm), |s| s.slow_start = slow_start), backends(weights))
}

/// The share of one backend over 12 000 requests, percent.
fn share(w: &mut World, who: &str) -> f64 {
    w.counts(12_000).get(who).copied().unwrap_or(0) as f64 / 120.0
}

#[test]
fn at_process_start_nobody_ramps() {
    let mut w = world(Algorithm::WeightedRoundRobin, &[1, 1]);
    assert_eq!(w.order(4), "a b a b");
    assert_eq!(w.pool.maintain(), None);
}

/// Discovery's first answer finds an empty pool: its backends are as cold as one another.
#[test]
fn the_first_backends_of_an_empty_pool_do_not_ramp() {
    let w = world(Algorithm::LeastConnections, &[]);
    w.pool.add_backend(backend(0, 1).max_connections(50)).unwrap();
    assert_eq!(w.pool.maintain(), None);
    let held: Vec<_> =
        (0..50).map(|_| w.pool.acquire(&mut lb_core::PickContext::new(w.pool.now(), 1))).collect();
    assert!(held.iter().all(Result::is_ok), "nor does its connection limit");
}

#[test]
fn a_new_backends_share_grows_along_the_ramp() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::WeightedRoundRobin, Algorithm::Random] {
        let mut w = world(algorithm, &[1, 1, 1]);
        w.pool.add_backend(backend(3, 1)).unwrap();
        // (seconds, factor): 10 % at least, then linear.
        for (at, factor) in [(0, 0.1), (5, 0.1), (25, 0.25), (50, 0.5), (90, 0.9), (100, 1.0)] {
            w.clock.advance(
                Duration::from_secs(at)
                    - w.pool.now().as_duration().saturating_sub(Duration::from_secs(1_000)),
            );
            w.pool.maintain();
            let (got, want) = (share(&mut w, "d"), 100.0 * factor / (3.0 + factor));
            assert!((got - want).abs() < 1.5, "after {at} s: {got} %, not {want} %");
        }
        assert_eq!(w.pool.maintain(), None, "nobody ramps any more");
    }
}

#[test]
fn a_recovered_backend_ramps_too() {
    let mut w = world(Algorithm::WeightedRoundRobin, &[2, 2]);
    w.pool.set_healthy(&id(1), false);
    w.pool.set_healthy(&id(1), true);
    let got = share(&mut w, "b");
    assert!((got - 100.0 * 0.1 / 1.1).abs() < 0.5, "{got}");
    assert_eq!(w.pool.maintain(), Some(w.pool.now() + MS(1_000)), "a hundredth of the window on");
}

#[test]
fn least_connections_follows_the_ramp_at_any_size() {
    for n in [4, 60] {
        let mut w = world(Algorithm::LeastConnections, &vec![1; n]);
        w.pool.add_backend(backend(n, 1)).unwrap();
        w.clock.advance(Duration::from_secs(50));
        w.pool.maintain();
        let _held: Vec<Lease> = (0..20 * n + 10).map(|_| w.lease()).collect();
        assert_eq!((w.in_flight(&id(n)), w.in_flight(&id(0))), (10, 20), "half the weight, half the load");
    }
}

#[test]
fn the_connection_limit_ramps_as_the_weight_does() {
    let mut w = world(Algorithm::WeightedRoundRobin, &[1]);
    w.pool.add_backend(backend(1, 1).max_connections(40)).unwrap();
    let limit = |w: &mut World| {
        let held: Vec<_> = std::iter::from_fn(|| w.lease_on(&id(1))).take(100).collect();
        held.len()
    };
    assert_eq!(limit(&mut w), 4);
    w.clock.advance(Duration::from_secs(50));
    w.pool.maintain();
    assert_eq!(limit(&mut w), 20);
    w.clock.advance(Duration::from_secs(50));
    w.pool.maintain();
    assert_eq!(limit(&mut w), 40);
}

/// envoy#26290: who had long finished its ramp was treated as new, or jumped, at the next scale-up.
#[test]
fn the_next_scale_up_brings_no_surge_to_those_that_have_ramped() {
    let mut w = world(Algorithm::WeightedRoundRobin, &[1, 1]);
    w.pool.add_backend(backend(2, 1)).unwrap();
    w.clock.advance(WINDOW);
    // Nobody called `maintain` at the end of the ramp: the next change finds it over all the same.
    w.pool.add_backend(backend(3, 1)).unwrap();
    let counts = w.counts(3_100);
    assert_eq!([&counts["a"], &counts["b"], &counts["c"], &counts["d"]], [&1_000, &1_000, &1_000, &100]);
    w.clock.advance(WINDOW);
    w.pool.maintain();
    assert!(w.counts(400).values().all(|&c| c == 100));
}

/// pingora: a new weight made a backend "new and healthy".
#[test]
fn reweighting_neither_ramps_nor_heals() {
    let mut w = world(Algorithm::WeightedRoundRobin, &[1, 1, 1]);
    w.pool.set_healthy(&id(2), false);
    w.pool.update_backend(&id(1), BackendPatch::weight(3)).unwrap();
    w.pool.update_backend(&id(2), BackendPatch::weight(5)).unwrap();
    let counts = w.counts(400);
    assert_eq!((counts["a"], counts["b"], counts.get("c")), (100, 300, None));
}

#[test]
fn hash_algorithms_do_not_ramp() {
    for algorithm in hash_family() {
        let w = world(algorithm, &[1; 5]);
        w.pool.add_backend(backend(5, 1)).unwrap();
        let cold = w.mapping(200);
        w.clock.advance(WINDOW);
        w.pool.maintain();
        assert_eq!(w.mapping(200), cold, "else keys would move with the clock");
    }
}
