//! The algorithms that measure: least-response-time and peak-ewma, under a clock that the tests move.

use crate::common::*;
use lb_core::{Algorithm, LeastResponseTime, PeakEwma, PoolSettings};
use lb_types::HealthSink;
use lb_types::{FailureKind, Nanos, Outcome};
use std::collections::BTreeMap;
use std::time::Duration;

fn lrt() -> Algorithm {
    Algorithm::LeastResponseTime(LeastResponseTime::default())
}

fn ewma() -> Algorithm {
    Algorithm::PeakEwma(PeakEwma::default())
}

fn failed(after: Nanos) -> Outcome {
    Outcome::Failure { kind: FailureKind::Status(500), after }
}

fn answered(ttfb: Nanos) -> Outcome {
    Outcome::Success { ttfb }
}

/// `n` requests, one after the other; each backend ends them as `how` says; the clock moves by each one's time.
fn run(w: &mut World, n: usize, how: impl Fn(&str) -> Outcome) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        let lease = w.lease();
        let id = lease.backend().id().to_string();
        let outcome = how(&id);
        w.clock.advance(match outcome {
            Outcome::Success { ttfb } => ttfb,
            Outcome::Failure { after, .. } | Outcome::Cancelled { after } => after,
        });
        lease.complete(outcome);
        *counts.entry(id).or_default() += 1;
    }
    counts
}

#[test]
fn a_new_backend_is_measured_at_once_and_by_one_request_at_a_time() {
    let mut w = World::of(lrt(), &[1, 1]);
    run(&mut w, 20, |_| answered(MS(5)));
    w.pool.add_backend(backend(2, 1)).unwrap();
    let first = w.lease();
    assert_eq!(*first.backend().id(), id(2));
    let others: Vec<_> = (0..10).map(|_| w.lease()).collect();
    assert!(others.iter().all(|l| *l.backend().id() != id(2)), "no second one before the first is answered");
    first.complete(answered(MS(1)));
    assert_eq!(*w.lease().backend().id(), id(2), "measured and fast");
}

/// traefik#12306: least-time starved an equal server.
#[test]
fn equal_servers_share_equally_under_least_response_time() {
    let mut w = World::of(lrt(), &[1; 4]);
    let counts = run(&mut w, 400, |_| answered(MS(5)));
    assert!(counts.values().all(|&c| c == 100), "{counts:?}");
}

#[test]
fn a_slow_backend_is_measured_again_once_its_samples_left_the_window() {
    let mut w = World::of(lrt(), &[1, 1]);
    let slow_b = |id: &str| answered(if id == "b" { MS(300) } else { MS(3) });
    let counts = run(&mut w, 100, slow_b);
    assert_eq!(counts["b"], 1, "{counts:?}");
    w.clock.advance(Duration::from_secs(61));
    assert!(run(&mut w, 2, |_| answered(MS(3))).contains_key("b"));
    let counts = run(&mut w, 100, |_| answered(MS(3)));
    assert!(counts["b"] >= 49, "it has recovered: {counts:?}");
}

#[test]
fn failing_fast_attracts_no_traffic() {
    for algorithm in [lrt(), ewma()] {
        let mut w = World::of(algorithm.clone(), &[1; 3]);
        let counts =
            run(&mut w, 900, |id| if id == "b" { failed(Nanos::from_micros(200)) } else { answered(MS(20)) });
        let b = counts.get("b").copied().unwrap_or(0);
        assert!(b < 100, "{}: {counts:?}: a third would be the share of a good one", algorithm.name());
    }
}

/// A hung backend whose clients leave must not look fast, not even when it never answered anything.
#[test]
fn a_hung_backend_whose_clients_leave_gets_less_than_its_share() {
    for algorithm in [lrt(), ewma()] {
        let mut w = World::of(algorithm.clone(), &[1; 3]);
        let how = |id: &str| {
            if id == "b" { Outcome::Cancelled { after: MS(2_000) } } else { answered(MS(50)) }
        };
        let counts = run(&mut w, 300, how);
        let b = counts.get("b").copied().unwrap_or(0);
        assert!(b <= 10, "{}: {counts:?}", algorithm.name());
    }
}

#[test]
fn a_client_that_leaves_early_does_not_make_a_backend_fast() {
    for algorithm in [lrt(), ewma()] {
        let mut w = World::of(algorithm.clone(), &[1, 1]);
        run(&mut w, 40, |_| answered(MS(40)));
        let on_b = w.lease_on(&id(1)).unwrap();
        on_b.complete(Outcome::Cancelled { after: Nanos::from_micros(10) });
        let counts = run(&mut w, 200, |_| answered(MS(40)));
        assert!(counts["b"] <= 110, "{}: {counts:?}", algorithm.name());
    }
}

#[test]
fn peak_ewma_avoids_the_slow_one_and_forgives_it() {
    let mut w = World::of(ewma(), &[1, 1]);
    let counts = run(&mut w, 300, |id| answered(if id == "b" { MS(400) } else { MS(4) }));
    assert!(counts.get("b").is_none_or(|&b| b < 60), "{counts:?}");
    w.clock.advance(Duration::from_secs(120));
    let counts = run(&mut w, 300, |_| answered(MS(4)));
    assert!(counts["b"] >= 75, "its average faded: {counts:?}");
}

/// A new backend's assumed 30 ms would never be beaten beside honest 5 ms: it must be measured all the same.
#[test]
fn peak_ewma_measures_a_new_backend_beside_fast_ones() {
    let mut w = World::of(ewma(), &[1]);
    run(&mut w, 20, |_| answered(MS(5)));
    w.pool.add_backend(backend(1, 1)).unwrap();
    let counts = run(&mut w, 100, |_| answered(MS(5)));
    assert!(counts.get("b").is_some_and(|&b| b >= 25), "{counts:?}");
}

/// The penalties of its last failures kept a recovered backend without traffic for many seconds (seen in the demo).
#[test]
fn a_recovered_backend_is_measured_anew() {
    for algorithm in [ewma(), Algorithm::from_name("least-response-time").unwrap()] {
        let mut w = World::of(algorithm.clone(), &[1, 1]);
        run(&mut w, 100, |id| if id == "b" { failed(MS(1)) } else { answered(MS(5)) });
        w.pool.set_healthy(&id(1), false);
        w.pool.set_healthy(&id(1), true);
        let counts = run(&mut w, 100, |_| answered(MS(5)));
        assert!(counts.get("b").is_some_and(|&b| b >= 25), "{}: {counts:?}", algorithm.name());
    }
}

#[test]
fn peak_ewma_looks_at_requests_in_flight() {
    let mut w = World::of(ewma(), &[1, 1]);
    run(&mut w, 50, |_| answered(MS(10)));
    let _held: Vec<_> = (0..8).map(|_| w.lease()).collect();
    assert_eq!((w.in_flight(&id(0)), w.in_flight(&id(1))), (4, 4));
}

/// `response_time_samples` holds from the moment it is set, for the backends that are there, too.
#[test]
fn another_number_of_samples_holds_at_once() {
    let mut w = World::of(lrt(), &[1, 1]);
    // a: ten answers of 1 ms; b: nine of 10 ms, then one of 0.1 ms.
    for i in 0..10 {
        w.lease_on(&id(0)).unwrap().complete(answered(MS(1)));
        let b = if i < 9 { MS(10) } else { Nanos::from_micros(100) };
        w.lease_on(&id(1)).unwrap().complete(answered(b));
    }
    assert_eq!(w.once(), "a");
    let one = LeastResponseTime { samples: 1, ..LeastResponseTime::default() };
    w.pool.set_settings(PoolSettings::new(Algorithm::LeastResponseTime(one))).unwrap();
    w.lease_on(&id(1)).unwrap().complete(answered(Nanos::from_micros(100)));
    w.lease_on(&id(0)).unwrap().complete(answered(MS(1)));
    assert_eq!(w.once(), "b", "the last sample alone counts");
}

#[test]
fn weights_count_where_latencies_are_equal() {
    let mut w = World::of(lrt(), &[3, 1]);
    run(&mut w, 20, |_| answered(MS(5)));
    let _held: Vec<_> = (0..8).map(|_| w.lease()).collect();
    assert_eq!((w.in_flight(&id(0)), w.in_flight(&id(1))), (6, 2));
}
