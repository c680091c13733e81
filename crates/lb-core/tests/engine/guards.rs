//! What stands before a backend (a breaker, here held in the test's hand), and ejections: who is let pass, and when they come back.

use crate::common::*;
use lb_core::{Algorithm, PickContext, PoolSettings, SelectError, SlowStart};
use lb_types::{Clock, Exclusion, FailureKind, HealthSink, Nanos, Outcome, Stance};
use std::time::Duration;

const HELD: Stance = Stance::Refusing { until: None };

fn world(algorithm: Algorithm, n: usize) -> World {
    World::guarded(PoolSettings::new(algorithm), backends(&vec![1; n]))
}

fn exclusion(w: &World, i: usize) -> Option<Exclusion> {
    w.pool.snapshot().get(&id(i)).unwrap().exclusion()
}

#[test]
fn every_pass_is_settled_once_with_the_outcome() {
    let mut w = world(Algorithm::RoundRobin, 1);
    let guard = w.guard(&id(0));
    let failure = Outcome::Failure { kind: FailureKind::Reset, after: MS(3) };
    w.lease().complete(OK);
    w.lease().complete(failure);
    let held = w.lease();
    w.clock.advance(Duration::from_millis(9));
    assert_eq!(guard.under_way(), 1);
    drop(held);
    assert_eq!(guard.settled(), [OK, failure, Outcome::Cancelled { after: MS(9) }]);
    assert_eq!(guard.under_way(), 0);
}

#[test]
fn whom_the_gate_turns_away_gives_his_pass_back() {
    let settings = with(PoolSettings::new(Algorithm::Random), |s| s.max_connections = Some(1));
    let mut w = World::guarded(settings, backends(&[1]));
    let _one = w.lease();
    let mut cx = w.cx();
    assert!(w.pool.acquire(&mut cx).is_err());
    assert_eq!(w.guard(&id(0)).under_way(), 1);
}

#[test]
fn a_refusing_guard_is_obeyed_at_once_under_every_algorithm() {
    for algorithm in Algorithm::all() {
        // Enough for the load tree, too.
        for n in [2, 40] {
            let mut w = world(algorithm.clone(), n);
            w.set_stance(&id(1), HELD);
            let counts = w.counts(200);
            assert_eq!(counts.get("b"), None, "{} of {n}", algorithm.name());
            assert_eq!(exclusion(&w, 1), Some(Exclusion::BreakerOpen));
            w.set_stance(&id(1), Stance::Clear);
            let counts = w.counts(4_000);
            assert!(counts.contains_key("b"), "{} of {n}", algorithm.name());
        }
    }
}

/// The snapshot knows nothing yet: the live half holds.
#[test]
fn a_guard_that_has_just_closed_is_obeyed_before_the_snapshot_knows() {
    for algorithm in Algorithm::all() {
        let mut w = world(algorithm.clone(), 3);
        w.guard(&id(0)).set(HELD);
        assert_eq!(w.counts(100).get("a"), None, "{}", algorithm.name());
    }
}

#[test]
fn probes_are_let_pass_up_to_their_number() {
    for algorithm in Algorithm::all() {
        for n in [1, 3, 40] {
            let mut w = world(algorithm.clone(), n);
            let guard = w.guard(&id(0));
            guard.probe(2);
            w.pool.guard_changed(&id(0));
            let held: Vec<_> = (0..60 * n)
                .filter_map(|_| {
                    let mut cx = w.cx();
                    w.pool.acquire(&mut cx).ok()
                })
                .collect();
            let probes = held.iter().filter(|l| *l.backend().id() == id(0)).count();
            assert_eq!((probes, guard.under_way()), (2, 2), "{} of {n}", algorithm.name());
            assert_eq!(
                held.len(),
                if n == 1 { 2 } else { 60 * n },
                "nobody was refused while another was usable"
            );
            let (probe, others): (Vec<_>, Vec<_>) =
                held.into_iter().partition(|l| *l.backend().id() == id(0));
            assert_eq!(w.pool.snapshot().get(&id(0)).unwrap().exclusion(), Some(Exclusion::BreakerOpen));
            drop(probe);
            assert_eq!(
                w.pool.snapshot().get(&id(0)).unwrap().exclusion(),
                None,
                "{} of {n}",
                algorithm.name()
            );
            let again = (0..60 * n).map(|_| w.lease()).any(|l| *l.backend().id() == id(0));
            assert!(again, "{} of {n}", algorithm.name());
            drop(others);
        }
    }
}

#[test]
fn the_snapshot_follows_an_open_breaker_and_says_when_it_is_due() {
    let mut w = world(Algorithm::WeightedRoundRobin, 3);
    let until = w.clock.now() + Nanos::from_secs(60);
    w.guard(&id(1)).set(Stance::Refusing { until: Some(until) });
    assert_eq!(w.pool.maintain(), Some(until));
    assert_eq!(w.order(4), "a c a c", "the schedule is made over those that are left");
    w.clock.advance(Duration::from_secs(60));
    assert_eq!(w.pool.maintain(), None);
    assert!(w.order(3).contains('b'));
}

/// Else it would be due from the first time on, for ever.
#[test]
fn a_breaker_that_opened_anew_in_between_is_due_when_it_says_now() {
    let w = world(Algorithm::Random, 2);
    let at = |s| Stance::Refusing { until: Some(w.clock.now() + Nanos::from_secs(s)) };
    w.guard(&id(0)).set(at(60));
    let first = w.pool.maintain();
    w.guard(&id(0)).set(at(90));
    assert_eq!(w.pool.maintain(), first.map(|f| f + Nanos::from_secs(30)));
    let generation = w.pool.snapshot().generation();
    w.clock.advance(Duration::from_secs(70));
    drop(w.pool.acquire(&mut PickContext::new(w.pool.now(), 1)).unwrap());
    assert_eq!(w.pool.snapshot().generation(), generation, "nothing is due yet");
}

/// A program without a runtime need not call `maintain`.
#[test]
fn a_pool_that_nobody_maintains_lets_probes_through_all_the_same() {
    for algorithm in Algorithm::all() {
        let mut w = world(algorithm.clone(), 3);
        let until = w.clock.now() + Nanos::from_secs(60);
        w.guard(&id(1)).set(Stance::Refusing { until: Some(until) });
        w.pool.set_healthy(&id(0), false); // publishes
        assert_eq!(w.counts(20).get("b"), None);
        w.clock.advance(Duration::from_secs(62));
        assert!(w.counts(200).contains_key("b"), "{}", algorithm.name());
    }
}

/// What it took before its breaker opened must not keep the probes away: without them it would stay half-open for as long as the
/// algorithm remembers.
#[test]
fn a_backend_that_was_slow_gets_its_probes_under_every_algorithm() {
    for algorithm in Algorithm::all() {
        let mut w = world(algorithm.clone(), 3);
        for (i, ms) in [5, 900, 5].into_iter().enumerate() {
            for _ in 0..20 {
                w.lease_on(&id(i)).unwrap().complete(Outcome::Success { ttfb: MS(ms) });
            }
        }
        let until = w.clock.now() + MS(1_000);
        w.guard(&id(1)).probe(3);
        w.set_stance(&id(1), Stance::Refusing { until: Some(until) });
        assert_eq!(w.pool.maintain(), Some(until));
        w.clock.advance(Duration::from_secs(1));
        w.pool.maintain();
        assert!(w.counts(60).contains_key("b"), "{}", algorithm.name());
    }
}

#[test]
fn when_only_open_breakers_are_left_nobody_is_called_upon() {
    let mut w = world(Algorithm::P2c, 3);
    w.pool.set_healthy(&id(2), false);
    w.set_stance(&id(0), HELD);
    w.set_stance(&id(1), HELD);
    let mut cx = w.cx();
    let error = w.pool.acquire(&mut cx).unwrap_err();
    assert_eq!(error.to_string(), "no backend is usable: 1 unhealthy, 2 breaker-open");
    assert!(error.is_breaker_open(), "panic ignores health alone, and two backends are healthy");
    assert!(!w.pool.explain(&cx).panic);
    // All that are healthy are gone: panic, but never to an open breaker.
    w.pool.set_healthy(&id(0), false);
    w.pool.set_healthy(&id(1), false);
    assert_eq!(w.counts(9).keys().collect::<Vec<_>>(), ["c"]);
}

#[test]
fn a_closed_breaker_comes_back_through_slow_start() {
    let slow_start = Some(SlowStart { window: Duration::from_secs(100), ..SlowStart::default() });
    let settings = with(PoolSettings::default(), |s| s.slow_start = slow_start);
    let mut w = World::guarded(settings, backends(&[1, 1]));
    w.set_stance(&id(1), HELD);
    w.guard(&id(1)).probe(1);
    w.pool.guard_changed(&id(1));
    w.set_stance(&id(1), Stance::Clear);
    let share = w.counts(1_100)["b"];
    assert!((90..=110).contains(&share), "a tenth of the other's: {share}");
}

#[test]
fn an_ejected_backend_gets_nothing_and_comes_back_through_slow_start() {
    let slow_start = Some(SlowStart { window: Duration::from_secs(100), ..SlowStart::default() });
    for algorithm in Algorithm::all() {
        let settings = with(PoolSettings::new(algorithm.clone()), |s| s.slow_start.clone_from(&slow_start));
        let mut w = World::new(settings, backends(&[1, 1, 1]));
        w.pool.set_ejected(&[(id(1), true), ("nobody".into(), true)]);
        assert_eq!(w.counts(90).get("b"), None, "{}", algorithm.name());
        assert_eq!(exclusion(&w, 1), Some(Exclusion::Ejected));
        let generation = w.pool.snapshot().generation();
        w.pool.set_ejected(&[(id(1), true)]);
        assert_eq!(w.pool.snapshot().generation(), generation, "nothing has changed");
        w.pool.set_ejected(&[(id(1), false)]);
        let weights: Vec<_> = w.pool.snapshot().members().iter().map(lb_core::Member::weight).collect();
        let hashes = hash_family().contains(&algorithm);
        assert_eq!(weights, if hashes { [1, 1, 1] } else { [100, 10, 100] }, "{}", algorithm.name());
    }
}

#[test]
fn an_ejection_never_takes_the_last_usable_backend() {
    let mut w = World::of(Algorithm::RoundRobin, &[1, 1, 1]);
    w.pool.set_ejected(&[(id(0), true), (id(1), true)]);
    assert_eq!(w.order(3), "c c c");
    // The last one dies: those whose only fault is their ejection serve.
    w.pool.set_healthy(&id(2), false);
    let mut cx = w.cx();
    let said = w.pool.explain(&cx);
    assert!(said.ignores_ejections && !said.panic, "{said}");
    assert!(said.to_string().contains("ejections are ignored"), "{said}");
    assert_eq!(w.counts(10).keys().collect::<Vec<_>>(), ["a", "b"]);
    let usable = |w: &World| {
        let snapshot = w.pool.snapshot_full();
        snapshot.usable().map(|m| m.state().id().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(usable(&w), ["a", "b"]);
    // And of those the healthy ones only.
    w.pool.set_healthy(&id(0), false);
    assert_eq!(w.counts(10).keys().collect::<Vec<_>>(), ["b"]);
    // Nobody is healthy: panic, which overlooks no ejection.
    w.pool.set_healthy(&id(1), false);
    assert_eq!(w.counts(10).keys().collect::<Vec<_>>(), ["c"]);
    cx = w.cx();
    assert!(w.pool.explain(&cx).panic);
}

#[test]
fn ejected_and_refused_backends_spill_over_to_the_next_level() {
    let mut all = backends(&[1; 4]);
    all[2].priority = 1;
    all[3].priority = 1;
    let mut w = World::guarded(PoolSettings::new(Algorithm::Random), all);
    assert_eq!(w.counts(100).keys().collect::<Vec<_>>(), ["a", "b"]);
    w.pool.set_ejected(&[(id(0), true)]);
    let counts = w.counts(10_000);
    assert!((6_600..7_400).contains(&counts["b"]), "half of a level carries 70 %: {counts:?}");
    w.set_stance(&id(1), HELD);
    assert_eq!(w.counts(100).keys().collect::<Vec<_>>(), ["c", "d"]);
}

#[test]
fn an_empty_pool_is_no_open_breaker() {
    let w = World::guarded(PoolSettings::default(), vec![]);
    let error = w.pool.acquire(&mut PickContext::new(w.pool.now(), 1)).unwrap_err();
    assert_eq!((error, error.is_breaker_open()), (SelectError::NoBackends, false));
}
