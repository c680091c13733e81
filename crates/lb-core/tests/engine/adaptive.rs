//! `adaptive`: shares by what backends report, and rotation while too few do.

use crate::common::*;
use lb_core::{Adaptive, Algorithm, PoolSettings, SelectError};
use lb_types::{HealthSink, LoadReport, Outcome};
use std::collections::BTreeMap;
use std::time::Duration;

fn world(weights: &[u32]) -> World {
    World::of(Algorithm::Adaptive(Adaptive::default()), weights)
}

/// Each backend reports so that A58's formula gives this weight; 0: it says nothing. Then the blackout passes, with another report
/// at its end.
fn reported(w: &World, weights: &[f64]) {
    for _ in 0..2 {
        say(w, weights);
        w.clock.advance(Duration::from_secs(10));
    }
    say(w, weights);
}

fn say(w: &World, weights: &[f64]) {
    for (i, &weight) in weights.iter().enumerate() {
        w.report(i, weight);
    }
}

/// Counts of 6 000 requests one after the other, all of which take 5 ms.
fn shares(w: &mut World) -> BTreeMap<String, f64> {
    let mut counts = BTreeMap::new();
    for i in 0..6_000 {
        let lease = w.lease();
        *counts.entry(lease.backend().id().to_string()).or_insert(0.0) += 1.0 / 6_000.0;
        lease.complete(OK);
        if i % 10 == 0 {
            w.clock.advance(MS(1));
        }
    }
    counts
}

fn assert_shares(w: &mut World, wanted: &[f64]) {
    let got = shares(w);
    for (i, want) in wanted.iter().enumerate() {
        let share = got.get(&name(i)).copied().unwrap_or(0.0);
        assert!((share - want).abs() < 0.03, "{}: {share}, not {want}; {got:?}", name(i));
    }
}

fn rotates(w: &mut World) -> bool {
    let order: Vec<_> = w.order(6).split(' ').map(str::to_owned).collect();
    order[..3] == order[3..] && order[0] != order[1] && order[1] != order[2] && order[0] != order[2]
}

#[test]
fn shares_are_those_of_the_reported_weights() {
    let mut w = world(&[1; 3]);
    reported(&w, &[400.0, 200.0, 200.0]);
    assert_shares(&mut w, &[0.5, 0.25, 0.25]);
}

#[test]
fn configured_weights_multiply_with_the_reported_ones() {
    let mut w = world(&[30, 10, 10]);
    reported(&w, &[100.0, 100.0, 200.0]);
    assert_shares(&mut w, &[0.5, 1.0 / 6.0, 1.0 / 3.0]);
}

#[test]
fn a_backend_that_says_nothing_has_the_mean() {
    let mut w = world(&[1; 3]);
    reported(&w, &[300.0, 100.0, 0.0]);
    assert_shares(&mut w, &[0.5, 1.0 / 6.0, 1.0 / 3.0]);
}

#[test]
fn errors_lower_a_backends_share() {
    let mut w = world(&[1; 2]);
    let report =
        |eps| LoadReport { cpu_utilization: 0.5, rps_fractional: 100.0, eps, ..LoadReport::default() };
    for _ in 0..2 {
        w.state(0).report(&report(0.0), w.pool.now());
        w.state(1).report(&report(50.0), w.pool.now());
        w.clock.advance(Duration::from_secs(10));
    }
    assert_shares(&mut w, &[2.0 / 3.0, 1.0 / 3.0]);
}

/// A wrong report must not take all traffic, nor lose it all.
#[test]
fn a_report_is_trusted_within_bounds() {
    let mut w = world(&[1; 3]);
    reported(&w, &[1e9, 100.0, 100.0]);
    let mean = (1e9 + 200.0) / 3.0;
    let (a, b) = (1e9 / mean, 0.1);
    assert_shares(&mut w, &[a / (a + 2.0 * b), b / (a + 2.0 * b), b / (a + 2.0 * b)]);
}

#[test]
fn fewer_than_two_reports_are_round_robin() {
    let mut w = world(&[1; 3]);
    assert!(rotates(&mut w), "nobody reports");
    reported(&w, &[500.0]);
    assert!(rotates(&mut w), "one alone");
    let cx = w.cx();
    assert!(w.pool.explain(&cx).candidates.iter().all(|c| c.score.is_none()), "rotation compares nothing");
    let mut w = world(&[5, 1, 1]);
    assert_eq!(w.order(7), "a a b a c a a", "with weights, smooth weighted round robin");
}

#[test]
fn a_weight_does_not_count_before_its_blackout_is_over() {
    let mut w = world(&[1; 3]);
    say(&w, &[900.0, 100.0, 100.0]);
    w.clock.advance(Duration::from_millis(9_999));
    say(&w, &[900.0, 100.0, 100.0]);
    assert!(rotates(&mut w));
    w.clock.advance(Duration::from_secs(1));
    assert!(!rotates(&mut w));
}

#[test]
fn a_reporter_that_falls_silent_expires_and_has_a_new_blackout() {
    let mut w = world(&[1; 3]);
    reported(&w, &[900.0, 100.0]);
    assert!(!rotates(&mut w));
    for _ in 0..18 {
        w.clock.advance(Duration::from_secs(10));
        w.report(0, 900.0);
    }
    assert!(rotates(&mut w), "b's report is 180 s old");
    w.report(1, 100.0);
    w.clock.advance(Duration::from_secs(9));
    assert!(rotates(&mut w), "the blackout of b");
    w.clock.advance(Duration::from_secs(2));
    assert!(!rotates(&mut w));
}

#[test]
fn all_silent_for_long_is_round_robin_from_the_first_pick_on() {
    let mut w = world(&[1; 3]);
    reported(&w, &[900.0, 100.0, 100.0]);
    assert!(!rotates(&mut w));
    w.clock.advance(Duration::from_secs(30 * 86_400));
    assert!(rotates(&mut w));
}

#[test]
fn a_recovered_backend_reports_anew() {
    let w = world(&[1; 2]);
    reported(&w, &[900.0, 100.0]);
    w.pool.set_healthy(&id(0), false);
    w.pool.set_healthy(&id(0), true);
    w.report(0, 900.0);
    let now = w.pool.now();
    assert_eq!(
        (w.state(0).reported_weight(now), w.state(1).reported_weight(now).map(f64::round)),
        (None, Some(100.0))
    );
}

/// More members than one pick counts: the picks of a second count them all.
#[test]
fn a_large_pool_is_counted_step_by_step() {
    let mut w = world(&[1; 300]);
    let mut weights = [0.0; 300];
    (weights[7], weights[290]) = (1_000.0, 1_000.0);
    reported(&w, &weights);
    let scored = |w: &mut World| {
        let cx = w.cx();
        w.pool.explain(&cx).candidates[0].score.is_some()
    };
    let mut picks = 0;
    while !scored(&mut w) {
        w.once();
        w.clock.advance(Duration::from_millis(250));
        picks += 1;
        assert!(picks <= 10, "two report, and a second is over");
    }
    for _ in 0..19 {
        w.clock.advance(Duration::from_secs(10));
        w.report(7, 1_000.0);
    }
    w.counts(20);
    for _ in 0..10 {
        w.clock.advance(Duration::from_millis(250));
        w.once();
    }
    assert!(!scored(&mut w), "one is silent");
}

/// A backend that takes requests and answers none has no latency to be judged by: what is in flight must do.
#[test]
fn a_hanging_backend_is_left_alone_soon() {
    let mut w = world(&[1; 3]);
    reported(&w, &[100.0; 3]);
    w.counts(30); // all are measured
    let mut hanging = vec![];
    for _ in 0..5_000 {
        let lease = w.lease();
        if *lease.backend().id() == id(1) {
            hanging.push(lease);
        } else {
            lease.complete(OK);
        }
    }
    assert!(hanging.len() < 40, "{} of 5 000", hanging.len());
}

#[test]
fn a_slow_backend_gets_less_than_it_asks_for() {
    let mut w = world(&[1; 2]);
    reported(&w, &[100.0, 100.0]);
    let mut of_b = 0;
    for _ in 0..2_000 {
        let lease = w.lease();
        let slow = *lease.backend().id() == id(1);
        of_b += u32::from(slow);
        lease.complete(Outcome::Success { ttfb: if slow { MS(50) } else { MS(5) } });
    }
    assert!((100..300).contains(&of_b), "a tenth of the speed: {of_b} of 2 000");
}

#[test]
fn reports_are_for_nothing_under_other_algorithms_and_kept_through_other_settings() {
    let w = World::of(Algorithm::P2c, &[1; 2]);
    assert!(!w.state(0).wants_reports());
    w.report(0, 100.0);
    assert_eq!(w.state(0).reported_weight(w.pool.now()), None);
    let mut w = world(&[1; 2]);
    assert!(w.state(0).wants_reports());
    reported(&w, &[900.0, 100.0]);
    let short = Adaptive { weight_expiration_period: Duration::from_secs(5), ..Adaptive::default() };
    w.pool.set_settings(PoolSettings::new(Algorithm::Adaptive(short))).unwrap();
    assert!(w.state(0).reported_weight(w.pool.now()).is_some());
    w.clock.advance(Duration::from_secs(5));
    assert!(w.state(0).reported_weight(w.pool.now()).is_none());
    assert_eq!(w.order(4), "a b a b");
}

#[test]
fn options_out_of_range_are_refused_by_name() {
    let of = |change: fn(&mut Adaptive)| {
        let mut o = Adaptive::default();
        change(&mut o);
        PoolSettings::new(Algorithm::Adaptive(o)).check().map_err(|e| e.to_string())
    };
    assert_eq!(of(|o| o.blackout_period = Duration::ZERO), Ok(()));
    for (refused, named) in [
        (of(|o| o.error_utilization_penalty = f64::NAN), "error_utilization_penalty"),
        (of(|o| o.error_utilization_penalty = -1.0), "error_utilization_penalty"),
        (of(|o| o.weight_expiration_period = Duration::ZERO), "weight_expiration_period"),
        (of(|o| o.decay = Duration::ZERO), "decay"),
    ] {
        assert!(refused.unwrap_err().contains(named));
    }
}

#[test]
fn tried_and_excluded_backends_are_passed_over() {
    let mut w = world(&[1; 3]);
    reported(&w, &[900.0, 100.0, 100.0]);
    for _ in 0..100 {
        let mut cx = w.cx();
        cx.tried(&w.state(0));
        cx.exclude(&w.state(1));
        assert_eq!(*w.pool.acquire(&mut cx).unwrap().backend().id(), id(2));
        cx.tried(&w.state(2));
        let again = w.pool.acquire(&mut cx).unwrap();
        assert!(*again.backend().id() != id(1));
        (0..3).for_each(|i| cx.exclude(&w.state(i)));
        assert!(matches!(w.pool.acquire(&mut cx), Err(SelectError::NoneUsable(_))));
    }
}

#[test]
fn where_they_are_wanted_reports_are_kept_under_any_algorithm() {
    let w = World::of(Algorithm::P2c, &[1; 2]);
    w.report(0, 100.0);
    assert_eq!(w.state(0).reported_utilization(w.pool.now()), None);
    let mut settings = PoolSettings::new(Algorithm::P2c);
    settings.load_reports = true;
    w.pool.set_settings(settings.clone()).unwrap();
    assert!(w.state(0).wants_reports());
    let report = LoadReport { cpu_utilization: 0.5, ..LoadReport::default() };
    w.state(0).report(&report, w.pool.now());
    assert_eq!(w.state(0).reported_utilization(w.pool.now()), Some(0.5));
    assert_eq!(w.state(1).reported_utilization(w.pool.now()), None);
    settings.load_reports = false;
    w.pool.set_settings(settings).unwrap();
    assert!(!w.state(0).wants_reports());
}
