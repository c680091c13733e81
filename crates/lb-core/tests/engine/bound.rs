//! Requests that belong to a backend: who may come, and who chooses alike on every node.

use crate::common::*;
use crate::eligibility::{Case, build, case, overlooked};
use lb_core::{Algorithm, Bond, PoolSettings, Refusal};
use lb_types::{Exclusion, HealthSink};
use proptest::prelude::*;

/// Why not, by the documented rules; `overlooked`: what is ignored for want of better ones.
fn why_not(c: &Case, bond: Bond, overlooked: Option<Exclusion>) -> Option<Exclusion> {
    let keeps_new_clients_away = || {
        if bond == Bond::Session {
            None
        } else if c.weight == 0 {
            Some(Exclusion::ZeroWeight)
        } else {
            c.draining.then_some(Exclusion::Draining)
        }
    };
    let by_will = [
        (c.disabled, Exclusion::Disabled),
        (c.maintenance, Exclusion::Maintenance),
        (!c.in_subset, Exclusion::NotInSubset),
    ];
    let by_fault = [
        (c.refused, Exclusion::BreakerOpen),
        (!c.healthy, Exclusion::Unhealthy),
        (c.ejected, Exclusion::Ejected),
    ];
    let first = |list: &[(bool, Exclusion)]| list.iter().find(|(holds, _)| *holds).map(|&(_, why)| why);
    let built = first(&by_will).or_else(keeps_new_clients_away).or_else(|| first(&by_fault));
    built.filter(|&why| Some(why) != overlooked).or_else(|| {
        let live = [
            (c.excluded, Exclusion::Excluded),
            (c.tried, Exclusion::AlreadyTried),
            // The guard is asked before the count.
            (c.refused, Exclusion::BreakerOpen),
            (c.full, Exclusion::ConnectionLimit),
        ];
        first(&live)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_bound_request_comes_in_unless_its_backend_is_unusable(mut cases in prop::collection::vec(case(), 1..12), seed: u64) {
        for c in &mut cases {
            // One level, so that what is overlooked is the same for all in it; a backend of weight 0 is in none.
            (c.backup, c.priority) = (false, 0);
            if c.weight == 0 { (c.healthy, c.ejected, c.full) = (true, false, false); }
        }
        let Some((mut w, _held)) = build(PoolSettings::default(), &cases) else { return Ok(()) };
        w.seed = seed >> 1;
        let mut cx = w.cx();
        for (i, c) in cases.iter().enumerate() {
            if c.tried { cx.tried(&w.state(i)) }
            if c.excluded { cx.exclude(&w.state(i)) }
        }
        let overlooked = overlooked(&cases);
        for bond in [Bond::Session, Bond::Preference] {
            for (i, c) in cases.iter().enumerate() {
                let wanted = why_not(c, bond, overlooked).map_or(Ok(()), |why| Err(Refusal::Excluded(why)));
                prop_assert_eq!(w.pool.snapshot().look_at(&id(i), bond, &cx), wanted, "{:?} {:?} {:?}", bond, c, overlooked);
                let before = w.in_flight(&id(i));
                let got = w.pool.acquire_at(&id(i), bond, &cx);
                prop_assert_eq!(got.as_ref().map(|_| ()).map_err(|e| *e), wanted);
                prop_assert_eq!(w.in_flight(&id(i)), before + u32::from(got.is_ok()));
            }
        }
    }
}

#[test]
fn a_drain_keeps_who_is_bound_until_it_is_over() {
    let w = World::of(Algorithm::default(), &[1, 1]);
    let cx = w.pool.acquire_at(&"x".into(), Bond::Session, &lb_core::PickContext::new(w.pool.now(), 1));
    assert_eq!(cx.unwrap_err(), Refusal::Gone);
    let cx = lb_core::PickContext::new(w.pool.now(), 1);
    let come = |bond| w.pool.acquire_at(&id(0), bond, &cx).map(|lease| lease.complete(OK));
    let refused = |why| Err(Refusal::Excluded(why));
    w.pool.set_draining(&id(0), true).unwrap();
    assert_eq!((come(Bond::Session), come(Bond::Preference)), (Ok(()), refused(Exclusion::Draining)));
    w.pool.apply(vec![lb_core::Change::Drained(id(0))]).unwrap();
    assert_eq!(
        (come(Bond::Session), come(Bond::Preference)),
        (refused(Exclusion::Drained), refused(Exclusion::Drained))
    );
    assert_eq!(w.pool.snapshot().get(&id(0)).unwrap().exclusion(), Some(Exclusion::Drained));
    w.pool.set_draining(&id(0), false).unwrap();
    assert_eq!((come(Bond::Session), come(Bond::Preference)), (Ok(()), Ok(())));
}

#[test]
fn a_probe_of_a_half_open_breaker_may_be_a_bound_request() {
    let w = World::guarded(PoolSettings::default(), backends(&[1, 1]));
    let cx = lb_core::PickContext::new(w.pool.now(), 1);
    w.set_stance(&id(0), lb_types::Stance::Refusing { until: None });
    assert_eq!(
        w.pool.acquire_at(&id(0), Bond::Session, &cx).unwrap_err(),
        Refusal::Excluded(Exclusion::BreakerOpen)
    );
    w.guard(&id(0)).probe(1);
    w.pool.guard_changed(&id(0));
    let probe = w.pool.acquire_at(&id(0), Bond::Session, &cx).unwrap();
    assert!(w.pool.acquire_at(&id(0), Bond::Session, &cx).is_err(), "its one permit is taken");
    probe.complete(OK);
    assert_eq!(w.guard(&id(0)).under_way(), 0);
}

/// Nodes know nothing of each other: their backends stand in another order, and they have served other requests.
#[test]
fn nodes_choose_alike_whatever_their_algorithm_and_past() {
    let mut here = World::of(Algorithm::default(), &[3, 1, 1, 2]);
    let mut there =
        World::new(PoolSettings::new(Algorithm::P2c), backends(&[3, 1, 1, 2]).into_iter().rev().collect());
    there.counts(17);
    let pick = |w: &mut World, key: u64| {
        let mut cx = w.cx();
        cx.alike = Some(key.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let lease = w.pool.acquire(&mut cx).unwrap();
        let id = lease.backend().id().to_string();
        lease.complete(OK);
        id
    };
    let mut counts = std::collections::BTreeMap::new();
    let chosen: Vec<_> = (0..7_000).map(|key| pick(&mut here, key)).collect();
    for (key, id) in chosen.iter().enumerate() {
        assert_eq!(pick(&mut there, key as u64), *id);
        *counts.entry(id.clone()).or_insert(0u32) += 1;
    }
    for (id, weight) in [("a", 3), ("b", 1), ("c", 1), ("d", 2)] {
        assert!(counts[id].abs_diff(weight * 1_000) < 150, "{counts:?}");
    }
    // Who goes takes its own clients away, and no others move.
    here.pool.set_healthy(&id(1), false);
    for (key, before) in chosen.iter().enumerate() {
        let now = pick(&mut here, key as u64);
        assert!(if before == "b" { now != "b" } else { now == *before });
    }
}
