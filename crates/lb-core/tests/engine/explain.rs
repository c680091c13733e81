//! An explanation is the pick's own function: it always agrees with the pick, and its reasons are the true ones.

use crate::common::*;
use crate::eligibility::{build, case, cases, overlooked, reason};
use lb_core::{Algorithm, Locality, PoolSettings};
use lb_types::{Exclusion, HealthSink};
use proptest::prelude::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn it_always_agrees_with_the_pick(
        (algorithm, cases) in cases(),
        locality: bool,
        regions in 0usize..4,
        region in prop::option::of(0u16..4),
        alike in prop::option::of(any::<u64>()),
        panic_threshold in prop_oneof![Just(0u8), 0u8..=100],
        traffic in 0usize..40,
        seed: u64,
    ) {
        let locality = locality.then(|| Locality { zone: "here".to_owned() });
        let algorithm = Algorithm::all()[algorithm].clone();
        let settings = with(PoolSettings::new(algorithm), |s| {
            s.locality = locality;
            s.panic_threshold = panic_threshold;
            s.regions = (regions > 0).then(|| in_turn(cases.len(), regions));
        });
        let Some((mut w, mut held)) = build(settings, &cases) else { return Ok(()) };
        w.seed = seed >> 1;
        // Some report, a few or many; which matters to `adaptive` alone.
        let reports = |i: usize| seed.rotate_left(i as u32) & 3 <= seed >> 62;
        for _ in 0..2 {
            (0..cases.len()).filter(|&i| reports(i)).for_each(|i| w.report(i, 1.0 + i as f64));
            w.clock.advance(MS(10_000));
        }
        for _ in 0..traffic {
            let mut cx = w.cx();
            held.extend(w.pool.acquire(&mut cx).ok());
        }
        for _ in 0..6 {
            let mut cx = w.cx();
            (cx.region, cx.alike) = (region, alike);
            for (i, c) in cases.iter().enumerate() {
                let snapshot = w.pool.snapshot();
                let state = snapshot.get(&id(i)).unwrap().state();
                if c.tried { cx.tried(state) }
                if c.excluded { cx.exclude(state) }
            }
            let said = w.pool.explain(&cx);
            prop_assert_eq!(&w.pool.explain(&cx), &said, "asking changes nothing");
            let got = w.pool.acquire(&mut cx.clone());
            prop_assert_eq!(said.picked.as_ref(), got.as_ref().ok().map(|l| l.backend().id()));
            prop_assert_eq!(said.error, got.as_ref().err().map(ToString::to_string));
            prop_assert_eq!(said.candidates.len(), cases.len());
            if let Some(p) = &said.picked {
                let c = said.candidates.iter().find(|c| c.id == *p).unwrap();
                prop_assert_eq!(c.excluded, None);
            }
            held.extend(got.ok());
        }
    }

    /// One level, so that each backend's reason follows from its own case.
    #[test]
    fn its_reasons_are_the_true_ones(algorithm in 0usize..Algorithm::all().len(), mut cases in prop::collection::vec(case(), 1..20)) {
        for c in &mut cases {
            (c.weight, c.backup, c.priority) = (c.weight.min(2), false, 0);
        }
        let Some((mut w, _held)) = build(PoolSettings::new(Algorithm::all()[algorithm].clone()), &cases) else { return Ok(()) };
        let mut cx = w.cx();
        for (i, c) in cases.iter().enumerate() {
            let snapshot = w.pool.snapshot();
            let state = snapshot.get(&id(i)).unwrap().state();
            if c.tried { cx.tried(state) }
            if c.excluded { cx.exclude(state) }
        }
        let said = w.pool.explain(&cx);
        let overlooked = overlooked(&cases);
        let somebody = cases.iter().any(|c| matches!(reason(c, overlooked), None | Some(Exclusion::ConnectionLimit)));
        prop_assert_eq!(said.ignores_ejections, overlooked == Some(Exclusion::Ejected));
        prop_assert_eq!(said.panic, overlooked == Some(Exclusion::Unhealthy) && somebody);
        for (c, shown) in cases.iter().zip(&said.candidates) {
            if said.picked.as_ref() == Some(&shown.id) {
                continue;
            }
            let wanted = reason(c, overlooked)
                .or_else(|| c.excluded.then_some(Exclusion::Excluded))
                .or_else(|| c.tried.then_some(Exclusion::AlreadyTried));
            prop_assert_eq!(shown.excluded, wanted, "{:?}", c);
        }
    }
}

#[test]
fn levels_that_were_not_asked_say_so() {
    let mut all = backends(&[1; 3]);
    all[1].priority = 1;
    all[2].backup = true;
    let mut w = World::new(PoolSettings::default(), all);
    let cx = w.cx();
    let said = w.pool.explain(&cx);
    let reasons: Vec<_> = said.candidates.iter().map(|c| c.excluded).collect();
    assert_eq!(reasons, [None, Some(Exclusion::OtherPriority), Some(Exclusion::Backup)]);
}

#[test]
fn over_its_bounded_share_is_a_reason() {
    for algorithm in bounded(110) {
        let w = World::of(algorithm.clone(), &[1; 4]);
        let mut cx = lb_core::PickContext::new(w.pool.now(), 1);
        cx.key = w.pool.key_of(b"hot");
        let first = w.pool.acquire(&mut cx.clone()).unwrap();
        let said = w.pool.explain(&cx);
        let c = said.candidates.iter().find(|c| c.id == *first.backend().id()).unwrap();
        assert_eq!(c.excluded, Some(Exclusion::OverLoaded), "{}: {said}", algorithm.name());
        assert!(said.picked.is_some_and(|p| p != *first.backend().id()));
    }
}

#[test]
fn it_reads_well() {
    let mut w = World::of(Algorithm::LeastConnections, &[1, 2, 1]);
    w.pool.set_healthy(&id(2), false);
    let _held = w.lease_on(&id(0));
    let cx = w.cx();
    let text = "least-connections (generation 1)\
        \n  a  weight 1  in flight 1  score 2.0000\
        \n→ b  weight 2  in flight 0  score 0.5000\
        \n  c  weight 1  in flight 0  excluded: unhealthy";
    assert_eq!(w.pool.explain(&cx).to_string(), text);
}
