//! The limit over simulated backends. `examples/concurrency_sim.rs` prints more of the same.

#[path = "support/backend.rs"]
mod backend;

use backend::{Phase, run};
use lb_admission::concurrency::AdaptiveConcurrency;

/// The mean limit from one second to another, in multiples of the slots.
fn ratio(phases: &[Phase], from: usize, to: usize, slots: usize, seed: u64) -> f64 {
    let seen = run(AdaptiveConcurrency::new(), phases, to as u64, seed);
    let limits = seen[from..to].iter().map(|second| f64::from(second.limit));
    let ratio = limits.sum::<f64>() / (to - from) as f64 / slots as f64;
    println!("seed {seed}, {phases:?}: {from}..{to} s: limit / slots = {ratio:.2}");
    ratio
}

#[test]
fn it_converges_near_the_slots_of_a_full_backend() {
    for seed in [1] {
        for (slots, service_s, most) in [
            (10, 0.001, 2.0),
            (10, 0.01, 2.0),
            (20, 0.01, 2.0),
            (50, 0.01, 2.0),
            (200, 0.01, 2.0),
            (50, 0.1, 2.5),
        ] {
            for load in [1.5, 3.0] {
                let r = ratio(&[Phase { from_s: 0.0, load, slots, service_s }], 20, 40, slots, seed);
                assert!((0.7..=most).contains(&r), "{slots} slots of {service_s} s at {load}: {r}");
            }
        }
    }
}

const START: Phase = Phase { from_s: 0.0, load: 1.5, slots: 40, service_s: 0.02 };

#[test]
fn it_follows_a_backend_of_half_the_slots() {
    let phases = [START, Phase { from_s: 30.0, slots: 20, load: 3.0, ..START }];
    let r = ratio(&phases, 40, 60, 20, 1);
    assert!((0.7..=2.0).contains(&r), "{r}");
}

#[test]
fn it_stays_at_light_load() {
    let phases = [START, Phase { from_s: 30.0, load: 0.2, ..START }];
    let seen = run(AdaptiveConcurrency::new(), &phases, 60, 1);
    let limits: Vec<u32> = seen[32..].iter().map(|second| second.limit).collect();
    assert!(limits.iter().all(|&limit| limit == limits[0]), "{limits:?}");
}

#[test]
fn a_slower_backend_is_not_pinned_and_nothing_falls_to_the_floor() {
    let phases = [START, Phase { from_s: 30.0, service_s: 0.06, ..START }];
    let seen = run(AdaptiveConcurrency::new(), &phases, 70, 1);
    assert!(seen[5..].iter().all(|second| second.limit > 6), "{seen:?}");
    assert!(seen[50..].iter().all(|second| second.limit >= 28), "0.7 of 40 at least: {seen:?}");
}
