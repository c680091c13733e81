//! least-connections: fewest in flight per weight, exactly, whatever changes.

use crate::common::*;
use lb_core::{Algorithm, Change, Lease};
use lb_types::{Backend, BackendPatch, HealthSink};
use proptest::prelude::*;

const LC: Algorithm = Algorithm::LeastConnections;

/// Envoy's two-host least-request could pick the busier one.
#[test]
fn two_host_least_connections_never_picks_the_busier() {
    let mut rng = fastrand::Rng::with_seed(5);
    let mut w = World::of(LC, &[1, 1]);
    let mut held: Vec<Lease> = vec![];
    for _ in 0..20_000 {
        if held.len() < 12 && rng.bool() {
            let (a, b) = (w.in_flight(&id(0)), w.in_flight(&id(1)));
            let lease = w.lease();
            let (mine, other) = if *lease.backend().id() == id(0) { (a, b) } else { (b, a) };
            assert!(mine <= other, "picked the one with {mine}, beside one with {other}");
            held.push(lease);
        } else if !held.is_empty() {
            held.swap_remove(rng.usize(..held.len())).complete(OK);
        }
    }
}

#[test]
fn ties_rotate_over_all_at_any_size() {
    for n in [2, 23, 24, 25, 40, 300] {
        let mut w = World::of(LC, &vec![1; n]);
        let counts = w.counts(3 * n);
        assert!(counts.len() == n && counts.values().all(|&c| c == 3), "{n} backends: {counts:?}");
    }
}

/// With half of the slots closed, the one after the gap must not get all ties.
#[test]
fn ties_rotate_beside_a_gap() {
    let mut w = World::of(LC, &[1; 60]);
    (0..30).for_each(|i| w.pool.set_healthy(&id(i), false));
    let counts = w.counts(90);
    assert!(counts.len() == 30 && counts.values().all(|&c| c == 3), "{counts:?}");
}

#[derive(Clone, Debug)]
enum Step {
    Acquire,
    Complete(prop::sample::Index),
    Limit(prop::sample::Index, Option<u32>),
    Weight(prop::sample::Index, u32),
    Health(prop::sample::Index, bool),
    Drain(prop::sample::Index, bool),
    Add(u32),
    Remove(prop::sample::Index),
}

fn step() -> impl Strategy<Value = Step> {
    let who = any::<prop::sample::Index>;
    prop_oneof![
        30 => Just(Step::Acquire),
        20 => who().prop_map(Step::Complete),
        2 => (who(), prop::option::of(1u32..4)).prop_map(|(i, l)| Step::Limit(i, l)),
        2 => (who(), prop_oneof![0u32..4, Just(u32::MAX), Just(1_000_000)]).prop_map(|(i, w)| Step::Weight(i, w)),
        2 => (who(), any::<bool>()).prop_map(|(i, h)| Step::Health(i, h)),
        2 => (who(), any::<bool>()).prop_map(|(i, d)| Step::Drain(i, d)),
        1 => (0u32..3).prop_map(Step::Add),
        1 => who().prop_map(Step::Remove),
    ]
}

/// The oracle: the least load among those that may be picked; `None`: nobody may.
fn least(w: &World) -> Option<f32> {
    let snapshot = w.pool.snapshot();
    let usable = snapshot.members().iter().filter(|m| m.exclusion().is_none());
    usable.map(load).min_by(f32::total_cmp)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    /// A scan below 24 backends, a tree above: growth across that border, both ways, is among the steps.
    #[test]
    fn each_pick_is_a_least_loaded_one(
        n in prop_oneof![Just(3usize), 20usize..30, Just(100), Just(300)],
        steps in prop::collection::vec(step(), 1..160),
    ) {
        let mut w = World::of(LC, &vec![1; n]);
        let mut held: Vec<Lease> = vec![];
        let mut next = n;
        for step in steps {
            let ids: Vec<_> = w.pool.all_backends().iter().map(|b| b.id.clone()).collect();
            let pick = |i: &prop::sample::Index| ids[i.index(ids.len())].clone();
            match step {
                Step::Acquire => {
                    let wanted = least(&w);
                    let mut cx = w.cx();
                    let (before, got) = (w.pool.snapshot_full(), w.pool.acquire(&mut cx).ok());
                    // An all-unhealthy pool panics: then the look by `Member::exclusion` does not apply.
                    if before.is_panicking() {
                        continue;
                    }
                    prop_assert_eq!(got.is_some(), wanted.is_some());
                    if let (Some(lease), Some(wanted)) = (got, wanted) {
                        let m = before.get(lease.backend().id()).unwrap();
                        let mine = m.state().in_flight() as f32 / m.weight() as f32;
                        prop_assert!(mine <= wanted, "{} with {mine}, the least was {wanted}", m.state().id());
                        held.push(lease);
                    }
                }
                Step::Complete(i) if !held.is_empty() => held.swap_remove(i.index(held.len())).complete(OK),
                Step::Complete(_) => {}
                Step::Limit(i, limit) => {
                    let patch = { let mut p = BackendPatch::default(); p.max_connections = Some(limit); p };
                    w.pool.update_backend(&pick(&i), patch).unwrap();
                }
                // All weights 0 is refused; that is another test's.
                Step::Weight(i, weight) => drop(w.pool.update_backend(&pick(&i), BackendPatch::weight(weight))),
                Step::Health(i, healthy) => w.pool.set_healthy(&pick(&i), healthy),
                Step::Drain(i, draining) => drop(w.pool.set_draining(&pick(&i), draining).unwrap()),
                Step::Add(weight) => {
                    let all = (0..8).map(|_| { next += 1; Change::Add(backend(next, weight)) }).collect();
                    w.pool.apply(all).unwrap();
                }
                Step::Remove(i) => {
                    let from = i.index(ids.len());
                    let gone = ids[from..].iter().take(8).filter(|_| ids.len() > 9);
                    drop(w.pool.apply(gone.cloned().map(Change::Remove).collect()));
                }
            }
        }
        drop(held);
        let total: u32 = w.pool.snapshot().members().iter().map(|m| m.state().in_flight()).sum();
        prop_assert_eq!(total, 0);
    }
}

/// Two levels of which one is scanned and one has the tree: each follows its own.
#[test]
fn the_tree_belongs_to_the_largest_level() {
    let all: Vec<Backend> = (0..70).map(|i| backend(i, 1).priority(u32::from(i >= 30))).collect();
    let mut w = World::new(lb_core::PoolSettings::new(LC), all);
    let _held: Vec<_> = (0..60).map(|_| w.lease()).collect();
    assert!((0..30).all(|i| w.in_flight(&id(i)) == 2) && (30..70).all(|i| w.in_flight(&id(i)) == 0));
    (0..30).for_each(|i| w.pool.set_healthy(&id(i), false));
    let _more: Vec<_> = (0..80).map(|_| w.lease()).collect();
    assert!((30..70).all(|i| w.in_flight(&id(i)) == 2));
}

/// Switching the algorithm to and fro keeps counts, and the tree starts from them.
#[test]
fn the_tree_starts_from_what_is_in_flight() {
    let mut w = World::of(Algorithm::Random, &[1; 64]);
    let _held: Vec<_> = (0..300).map(|_| w.lease()).collect();
    w.pool.set_settings(lb_core::PoolSettings::new(LC)).unwrap();
    for _ in 0..400 {
        let wanted = least(&w).unwrap();
        let lease = w.lease();
        assert!(lease.backend().in_flight() as f32 <= wanted);
        std::mem::forget(lease); // stays in flight
    }
}
