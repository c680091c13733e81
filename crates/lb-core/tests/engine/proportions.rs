//! Rotation and shares: exact sequences where one is known, proportions where they are promised, and every weight there is.

use crate::common::*;
use lb_core::{Algorithm, PoolSettings, SlowStart};
use lb_types::{BackendPatch, HealthSink};
use proptest::prelude::*;
use std::time::Duration;

#[test]
fn smooth_sequences_of_nginx() {
    assert_eq!(World::of(Algorithm::WeightedRoundRobin, &[5, 1, 1]).order(14), "a a b a c a a a a b a c a a");
    assert_eq!(World::of(Algorithm::WeightedRoundRobin, &[1, 3, 1]).order(5), "b a b c b");
}

#[test]
fn round_robin_is_strict_and_its_cursor_survives_changes() {
    let mut w = World::of(Algorithm::RoundRobin, &[9, 1, 0, 4]);
    assert_eq!(w.order(6), "a b d a b d", "weights do not matter, but 0");
    w.once(); // the cursor stands at 7
    w.pool.add_backend(backend(4, 1)).unwrap();
    assert_eq!(w.order(4), "e a b d", "7 mod 4 = 3: it goes on from where it stood, not from the start");
    w.pool.set_healthy(&id(1), false);
    assert_eq!(w.order(3), "e a d", "11 mod 3 = 2");
    w.pool.remove_backend(&id(4)).unwrap();
    assert_eq!(w.order(3), "a d a", "14 mod 2 = 0");
    w.pool.update_backend(&id(0), BackendPatch::weight(100)).unwrap();
    assert_eq!(w.order(3), "d a d");
}

#[test]
fn round_robin_knows_no_weights_while_a_backend_ramps_either() {
    let slow_start = Some(SlowStart { window: Duration::from_secs(10), ..SlowStart::default() });
    let settings = with(PoolSettings::new(Algorithm::RoundRobin), |s| s.slow_start = slow_start);
    let mut w = World::new(settings, backends(&[50, 1]));
    w.pool.add_backend(backend(2, 7)).unwrap();
    let counts = w.counts(2_100);
    assert_eq!([counts["a"], counts["b"], counts["c"]], [1_000, 1_000, 100]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn weighted_rotation_is_exact_in_each_cycle(weights in prop::collection::vec(1u32..40, 1..9)) {
        let mut w = World::of(Algorithm::WeightedRoundRobin, &weights);
        let sum: u32 = weights.iter().sum();
        let counts = w.counts(sum as usize);
        for (i, &weight) in weights.iter().enumerate() {
            prop_assert_eq!(counts[&name(i)], weight as usize);
        }
    }

    #[test]
    fn strict_rotation_gives_everyone_the_same(weights in prop::collection::vec(1u32.., 1..20), rounds in 1usize..5) {
        let mut w = World::of(Algorithm::RoundRobin, &weights);
        let counts = w.counts(weights.len() * rounds);
        prop_assert!(counts.len() == weights.len() && counts.values().all(|&c| c == rounds), "{:?}", counts);
    }

    #[test]
    fn held_leases_stand_in_proportion_to_the_weights(weights in prop::collection::vec(1u32..20, 1..40), seed: u64) {
        let mut w = World::of(Algorithm::LeastConnections, &weights);
        w.seed = seed >> 1;
        let sum: u32 = weights.iter().sum();
        let _held: Vec<_> = (0..sum * 3).map(|_| w.lease()).collect();
        for (i, &weight) in weights.iter().enumerate() {
            prop_assert_eq!(w.in_flight(&id(i)), weight * 3, "of {:?}", weights);
        }
    }

    #[test]
    fn drawn_shares_follow_the_weights(weights in prop::collection::vec(1u32..10, 2..7), seed: u64) {
        const N: f64 = 5_000.0;
        for (algorithm, off) in [(Algorithm::Random, 0.0), (hash_family()[3].clone(), 0.0), (hash_family()[1].clone(), 0.02), (hash_family()[2].clone(), 0.35)] {
            let mut w = World::of(algorithm.clone(), &weights);
            w.seed = seed >> 1;
            let counts = w.counts(N as usize);
            let sum: u32 = weights.iter().sum();
            for (i, &weight) in weights.iter().enumerate() {
                let share = f64::from(weight) / f64::from(sum);
                // Six standard deviations, and what the table's own unevenness may add.
                let slack = 6.0 * (share * (1.0 - share) / N).sqrt() + off * share;
                let got = counts.get(&name(i)).map_or(0.0, |&c| c as f64 / N);
                prop_assert!((got - share).abs() < slack, "{}: {got} for {share}", algorithm.name());
            }
        }
    }

    #[test]
    fn equal_backends_are_never_starved(n in 1usize..40, seed: u64) {
        for algorithm in Algorithm::all() {
            let mut w = World::of(algorithm.clone(), &vec![1; n]);
            w.seed = seed >> 1;
            prop_assert_eq!(w.counts(60 * n).len(), n, "{}", algorithm.name());
        }
    }

    #[test]
    fn no_weights_panic_and_zero_gets_nothing(
        weights in prop::collection::vec(prop_oneof![Just(0), Just(1), Just(u32::MAX), 0u32..100, any::<u32>()], 1..30),
        ramping: bool,
        seed: u64,
    ) {
        prop_assume!(weights.iter().any(|&w| w > 0));
        // A ring of such weights has four million points: below.
        for algorithm in Algorithm::all().into_iter().filter(|a| !matches!(a.name(), "ring-hash" | "ip-hash")) {
            let slow_start = ramping.then(SlowStart::default);
            let settings = with(PoolSettings::new(algorithm.clone()), |s| s.slow_start = slow_start);
            let mut w = World::new(settings, backends(&weights));
            w.seed = seed >> 1;
            w.pool.add_backend(backend(99, 3)).unwrap();
            let held: Vec<_> = (0..100).map(|_| w.lease()).collect();
            for lease in &held {
                prop_assert!(lease.backend().spec().weight > 0, "{}", algorithm.name());
            }
        }
    }
}

/// pingora#1006: a weight of 0 panicked a ring.
#[test]
fn rings_stand_any_weights() {
    for weights in [&[0, 1, u32::MAX][..], &[1, 0], &[0, 0, 7]] {
        let mut w = World::of(Algorithm::from_name("ring-hash").unwrap(), weights);
        let counts = w.counts(500);
        assert!(weights.iter().enumerate().all(|(i, &w)| w > 0 || !counts.contains_key(&name(i))));
    }
}

/// tower#696: canary percentages by scaled weights gave 66 % for 99 %.
#[test]
fn a_canary_of_one_percent_gets_one_percent() {
    for algorithm in [Algorithm::WeightedRoundRobin, Algorithm::Random] {
        let counts = World::of(algorithm, &[99, 1]).counts(20_000);
        assert!((140..=260).contains(&counts["b"]), "{counts:?}");
    }
}

#[test]
fn beyond_65_536_turns_shares_stay_within_the_stated_deviation() {
    let weights = [100_000, 33_333, 7, 1];
    let counts = World::of(Algorithm::WeightedRoundRobin, &weights).counts(65_536 * 4);
    let sum = f64::from(weights.iter().sum::<u32>());
    for (i, &w) in weights.iter().enumerate() {
        let (got, want) = (counts[&name(i)] as f64 / (65_536.0 * 4.0), f64::from(w) / sum);
        assert!((got - want).abs() < 2.0 / 65_536.0, "{}: {got}, {want}", name(i));
    }
}
