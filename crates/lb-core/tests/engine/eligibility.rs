//! Who may get a request: any mix of limits, health, drains, priorities, tried and excluded backends, under every algorithm.

use crate::common::*;
use lb_core::{Algorithm, Lease, PoolSettings, SelectError};
use lb_types::{AgentSink, Backend, BackendId, Exclusion, HealthSink, Stance};
use proptest::prelude::*;

/// One backend's situation.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) weight: u32,
    pub(crate) disabled: bool,
    pub(crate) draining: bool,
    pub(crate) healthy: bool,
    pub(crate) in_subset: bool,
    /// At its connection limit.
    pub(crate) full: bool,
    pub(crate) backup: bool,
    pub(crate) priority: u32,
    pub(crate) zone: bool,
    pub(crate) tried: bool,
    pub(crate) excluded: bool,
    pub(crate) ejected: bool,
    /// Its breaker is open.
    pub(crate) refused: bool,
    /// Its agent says so.
    pub(crate) maintenance: bool,
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.25)
}

pub(crate) fn case() -> impl Strategy<Value = Case> {
    let who =
        (prop_oneof![1 => Just(0u32), 6 => 1u32..6, 1 => Just(u32::MAX)], 0u32..3, any::<bool>(), rarely());
    let state = (prop::bool::weighted(0.1), rarely(), rarely(), rarely(), prop::bool::weighted(0.1));
    let faults = (rarely(), rarely(), prop::bool::weighted(0.1));
    (who, state, (rarely(), rarely()), faults).prop_map(
        |(
            (weight, priority, zone, backup),
            (disabled, draining, unhealthy, full, out),
            (tried, excluded),
            (ejected, refused, maintenance),
        )| Case {
            ejected,
            refused,
            maintenance,
            weight,
            disabled,
            draining,
            healthy: !unhealthy,
            in_subset: !out,
            full,
            backup,
            priority,
            zone,
            tried,
            excluded,
        },
    )
}

/// A ring of a weight of 2³² has millions of points, which an unoptimized build feels: rings get small weights.
pub(crate) fn cases() -> impl Strategy<Value = (usize, Vec<Case>)> {
    (0usize..Algorithm::all().len(), prop::collection::vec(case(), 1..34)).prop_map(|(a, mut cases)| {
        if matches!(Algorithm::all()[a].name(), "ring-hash" | "ip-hash") {
            cases.iter_mut().for_each(|c| c.weight = c.weight.min(3));
        }
        (a, cases)
    })
}

/// Builds that pool, with its limits used up by leases of others.
pub(crate) fn build(settings: PoolSettings, cases: &[Case]) -> Option<(World, Vec<Lease>)> {
    if cases.iter().all(|c| c.weight == 0) {
        return None; // refused as a whole: another test
    }
    let of = |(i, c): (usize, &Case)| -> Backend {
        let b = backend(i, c.weight).backup(c.backup).priority(c.priority);
        let b = b.metadata("zone", if c.zone { "here" } else { "there" });
        let b = b.metadata("version", if c.in_subset { "2" } else { "1" });
        if c.full { b.max_connections(1) } else { b }
    };
    let mut settings = settings;
    settings.subset = [("version".to_owned(), "2".to_owned())].into();
    let mut w = World::guarded(settings, cases.iter().enumerate().map(of).collect());
    let held = (0..cases.len()).filter(|&i| cases[i].full).filter_map(|i| w.lease_on(&id(i))).collect();
    let mut changes = vec![];
    for (i, c) in cases.iter().enumerate() {
        let mut patch = lb_types::BackendPatch::default();
        patch.disabled = Some(c.disabled);
        changes.push(lb_core::Change::Update(id(i), patch));
        changes.push(lb_core::Change::Drain(id(i), c.draining));
        w.pool.set_healthy(&id(i), c.healthy);
        if c.refused {
            w.set_stance(&id(i), Stance::Refusing { until: None });
        }
        if c.maintenance {
            w.pool.agent_report(&id(i), "maint".parse().unwrap());
        }
    }
    w.pool.apply(changes).unwrap();
    let ejected: Vec<_> = cases.iter().enumerate().map(|(i, c)| (id(i), c.ejected)).collect();
    w.pool.set_ejected(&ejected);
    Some((w, held))
}

/// The reason that membership, health and gate give, in the documented order; `overlooked`: what is ignored for want of better ones.
pub(crate) fn reason(c: &Case, overlooked: Option<Exclusion>) -> Option<Exclusion> {
    if c.disabled {
        Some(Exclusion::Disabled)
    } else if c.maintenance {
        Some(Exclusion::Maintenance)
    } else if !c.in_subset {
        Some(Exclusion::NotInSubset)
    } else if c.weight == 0 {
        Some(Exclusion::ZeroWeight)
    } else if c.draining {
        Some(Exclusion::Draining)
    } else if c.refused {
        Some(Exclusion::BreakerOpen)
    } else if !c.healthy && (overlooked != Some(Exclusion::Unhealthy) || c.ejected) {
        Some(Exclusion::Unhealthy)
    } else if c.ejected && overlooked != Some(Exclusion::Ejected) {
        Some(Exclusion::Ejected)
    } else if c.full {
        Some(Exclusion::ConnectionLimit)
    } else {
        None
    }
}

/// What is ignored since nobody is eligible: ejections before all; health only if no healthy backend waits for its breaker.
pub(crate) fn overlooked(cases: &[Case]) -> Option<Exclusion> {
    let somebody = |overlooked| {
        cases.iter().any(|c| matches!(reason(c, overlooked), None | Some(Exclusion::ConnectionLimit)))
    };
    let waits = |c: &Case| c.healthy && reason(c, None) == Some(Exclusion::BreakerOpen);
    if somebody(None) {
        None
    } else if somebody(Some(Exclusion::Ejected)) {
        Some(Exclusion::Ejected)
    } else if cases.iter().any(waits) {
        None
    } else {
        Some(Exclusion::Unhealthy)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn never_a_refusal_while_one_is_usable_and_never_a_wrong_one((algorithm, cases) in cases(), seed: u64) {
        let settings = PoolSettings::new(Algorithm::all()[algorithm].clone());
        let Some((mut w, _held)) = build(settings, &cases) else { return Ok(()) };
        w.seed = seed >> 1;
        for _ in 0..2 {
            (0..cases.len()).filter(|i| seed >> i & 1 == 1).for_each(|i| w.report(i, 1.0 + i as f64));
            w.clock.advance(MS(10_000));
        }
        let overlooked = overlooked(&cases);
        let usable = |i: &usize| reason(&cases[*i], overlooked).is_none() && !cases[*i].excluded;
        let fresh: Vec<_> = (0..cases.len()).filter(usable).filter(|&i| !cases[i].tried).collect();
        let any: Vec<_> = (0..cases.len()).filter(usable).collect();
        let best = if fresh.iter().any(|&i| !cases[i].backup) {
            fresh.into_iter().filter(|&i| !cases[i].backup).collect()
        } else if fresh.is_empty() {
            any
        } else {
            fresh
        };
        for _ in 0..8 {
            let mut cx = w.cx();
            for (i, c) in cases.iter().enumerate() {
                let snapshot = w.pool.snapshot();
                let state = snapshot.get(&id(i)).unwrap().state();
                if c.tried { cx.tried(state) }
                if c.excluded { cx.exclude(state) }
            }
            match w.pool.acquire(&mut cx) {
                Ok(lease) => prop_assert!(
                    best.iter().any(|&i| id(i) == *lease.backend().id()),
                    "{} picked, one of {:?} was to be", lease.backend().id(), best
                ),
                Err(e) => prop_assert!(best.is_empty(), "refused ({e}), but {:?} are usable", best),
            }
        }
    }
}

#[test]
fn a_refusal_says_how_many_for_which_reason() {
    let mut all = backends(&[1, 0, 1, 1]);
    all[2].disabled = true;
    let mut w = World::new(with(PoolSettings::default(), |s| s.max_connections = Some(1)), all);
    w.pool.set_healthy(&id(3), false);
    let _one = w.lease();
    let mut cx = w.cx();
    let e = w.pool.acquire(&mut cx).unwrap_err();
    assert_eq!(
        e.to_string(),
        "no backend is usable: 1 unhealthy, 1 disabled, 1 zero-weight, 1 connection-limit"
    );
    assert!(e.is_at_limit());
    let w = World::new(PoolSettings::default(), vec![]);
    let mut cx = lb_core::PickContext::new(w.pool.now(), 1);
    assert_eq!(w.pool.acquire(&mut cx).unwrap_err(), SelectError::NoBackends);
}

#[test]
fn a_retry_goes_through_all_others_first_and_never_to_an_excluded_one() {
    for algorithm in Algorithm::all() {
        let w = World::of(algorithm.clone(), &[1; 12]);
        let mut cx = lb_core::PickContext::new(w.pool.now(), 3);
        cx.exclude(w.pool.snapshot().get(&id(5)).unwrap().state());
        let mut seen: Vec<BackendId> = vec![];
        for _ in 0..11 {
            let lease = w.pool.acquire(&mut cx).unwrap();
            assert!(
                !seen.contains(lease.backend().id()) && *lease.backend().id() != id(5),
                "{}",
                algorithm.name()
            );
            seen.push(lease.backend().id().clone());
            cx.tried(lease.backend());
        }
        let again = w.pool.acquire(&mut cx).unwrap();
        assert!(
            seen.contains(again.backend().id()),
            "{}: all were tried: one of them again",
            algorithm.name()
        );
    }
}
