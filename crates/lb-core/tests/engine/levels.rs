//! Backups, priorities, zones, subsets and panic: which backends share the traffic at all.

use crate::common::*;
use lb_core::{Algorithm, Locality, PoolSettings};
use lb_types::{Backend, HealthSink};

fn healthy(w: &World, which: impl IntoIterator<Item = usize>, healthy: bool) {
    which.into_iter().for_each(|i| w.pool.set_healthy(&id(i), healthy));
}

/// The share of the first `n` backends, percent of 20 000 requests.
fn share_of_first(w: &mut World, n: usize) -> f64 {
    let counts = w.counts(20_000);
    (0..n).filter_map(|i| counts.get(&name(i))).sum::<usize>() as f64 / 200.0
}

#[test]
fn backups_serve_only_while_no_primary_is_usable() {
    for algorithm in Algorithm::all() {
        let mut all = backends(&[1; 4]);
        all[2].backup = true;
        all[3].backup = true;
        let mut w = World::new(with(PoolSettings::new(algorithm), |s| s.max_connections = Some(1)), all);
        assert!(!w.counts(50).keys().any(|k| ["c", "d"].contains(&k.as_str())));
        healthy(&w, [0], false);
        assert_eq!(w.counts(20).len(), 1);
        let full = w.lease();
        assert!(w.counts(20).keys().all(|k| ["c", "d"].contains(&k.as_str())), "the last primary is full");
        full.complete(OK);
        healthy(&w, [1], false);
        assert!(w.counts(20).keys().all(|k| ["c", "d"].contains(&k.as_str())));
        healthy(&w, [1], true);
        assert_eq!(w.counts(20).keys().collect::<Vec<_>>(), ["b"]);
    }
}

#[test]
fn what_a_priority_cannot_carry_spills_over_in_envoys_proportions() {
    for algorithm in [Algorithm::WeightedRoundRobin, Algorithm::P2c, hash_family()[1].clone()] {
        let all: Vec<Backend> = (0..20).map(|i| backend(i, 1).priority(if i < 10 { 3 } else { 7 })).collect();
        let mut w = World::new(PoolSettings::new(algorithm), all);
        assert_eq!(share_of_first(&mut w, 10), 100.0);
        healthy(&w, 0..2, false);
        assert_eq!(share_of_first(&mut w, 10), 100.0, "80 % healthy × 1.4 carries all");
        healthy(&w, 2..5, false);
        let half = share_of_first(&mut w, 10);
        assert!((half - 70.0).abs() < 2.0, "50 % healthy × 1.4 = 70 %, not {half}");
        healthy(&w, 0..10, false);
        assert_eq!(share_of_first(&mut w, 10), 0.0);
    }
}

#[test]
fn overprovisioning_is_a_setting() {
    let all: Vec<Backend> = (0..20).map(|i| backend(i, 1).priority(u32::from(i >= 10))).collect();
    let mut w = World::new(with(PoolSettings::default(), |s| s.overprovisioning_percent = 100), all);
    healthy(&w, 0..2, false);
    let share = share_of_first(&mut w, 10);
    assert!((share - 80.0).abs() < 2.0, "{share}");
}

#[test]
fn the_own_zone_comes_first_until_it_cannot_carry_the_load() {
    let zone = |i: usize| if i < 5 { "here" } else { "there" };
    let all: Vec<Backend> = (0..10).map(|i| backend(i, 1).metadata("zone", zone(i))).collect();
    let locality = Some(Locality { zone: "here".to_owned() });
    let mut w = World::new(with(PoolSettings::default(), |s| s.locality = locality), all);
    assert_eq!(share_of_first(&mut w, 5), 100.0);
    healthy(&w, 0..3, false);
    let share = share_of_first(&mut w, 5);
    assert!((share - 56.0).abs() < 2.0, "2 of 5 × 1.4 = 56 %, not {share}");
    healthy(&w, 0..5, false);
    assert_eq!(share_of_first(&mut w, 5), 0.0);
}

#[test]
fn a_subset_takes_only_what_matches_all_of_it() {
    let mut all = backends(&[1; 4]);
    all[0] = all[0].clone().metadata("version", "2").metadata("tier", "gold");
    all[1] = all[1].clone().metadata("version", "2");
    all[2] = all[2].clone().metadata("tier", "gold");
    let subset = [("version", "2"), ("tier", "gold")].map(|(k, v)| (k.to_owned(), v.to_owned())).into();
    let mut w = World::new(with(PoolSettings::default(), |s| s.subset = subset), all);
    assert_eq!(w.counts(40).keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn by_default_health_is_ignored_only_when_nobody_is_healthy() {
    for algorithm in Algorithm::all() {
        let mut w = World::of(algorithm, &[1; 4]);
        healthy(&w, 0..3, false);
        assert_eq!(w.counts(40).keys().collect::<Vec<_>>(), ["d"]);
        assert!(!w.pool.snapshot().is_panicking());
        healthy(&w, 3..4, false);
        assert!(w.pool.snapshot().is_panicking());
        assert_eq!(w.counts(240).len(), 4);
        healthy(&w, [1], true);
        assert_eq!(w.counts(40).keys().collect::<Vec<_>>(), ["b"]);
    }
}

#[test]
fn a_panic_threshold_of_50_is_envoys_way() {
    let mut w = World::new(with(PoolSettings::default(), |s| s.panic_threshold = 50), backends(&[1; 10]));
    healthy(&w, 0..5, false);
    assert_eq!(
        (w.counts(100).len(), w.pool.snapshot().is_panicking()),
        (5, false),
        "half is not fewer than half"
    );
    healthy(&w, 5..6, false);
    assert_eq!((w.counts(100).len(), w.pool.snapshot().is_panicking()), (10, true));
}

#[test]
fn panic_never_overrides_disabled_draining_or_weight_zero() {
    for (algorithm, panic_threshold) in Algorithm::all().into_iter().flat_map(|a| [(a.clone(), 0), (a, 90)]) {
        let mut all = backends(&[1, 1, 0, 1, 1]);
        all[0].disabled = true;
        let mut w =
            World::new(with(PoolSettings::new(algorithm), |s| s.panic_threshold = panic_threshold), all);
        w.pool.set_draining(&id(1), true).unwrap();
        healthy(&w, 0..5, false);
        assert!(w.pool.snapshot().is_panicking());
        assert_eq!(w.counts(150).keys().collect::<Vec<_>>(), ["d", "e"]);
    }
}
