//! Target mode: up at once to what the demand is for, down to what the window needed at most.

use lb_autoscale::{Action, AutoScale, AutoScaler, Instance, Metric, Metrics, Nanos, Phase, Reason, Target};
use std::time::Duration;

const SEC: fn(u64) -> Nanos = Nanos::from_secs;

/// Hold half of ten connections, 1 to 20 instances.
fn settings() -> AutoScale {
    AutoScale::new()
        .instances(1, 20)
        .metric(Metric::InFlight)
        .target(Target::new(50.0).rise_window(Duration::from_secs(10)))
}

/// So many settled instances with so many requests in flight together, and so many that start.
fn pool(settled: u32, in_flight: u64, starting: u32) -> Metrics {
    let one = |phase, in_flight| Instance { phase, cpu_percent: None, in_flight, max_connections: Some(10) };
    let first = (settled > 0).then(|| one(Phase::Settled, in_flight));
    let others = (1..settled).map(|_| one(Phase::Settled, 0));
    Metrics::of(first.into_iter().chain(others).chain((0..starting).map(|_| one(Phase::Starting, 0))))
}

#[test]
fn up_to_all_that_is_needed_and_not_twice() {
    let mut scaler = AutoScaler::new(settings()).unwrap();
    let decision = scaler.evaluate(SEC(0), &pool(2, 20, 0));
    assert_eq!((decision.action, decision.desired), (Action::Up(2), 4), "{decision}");
    let decision = scaler.evaluate(SEC(5), &pool(2, 20, 2));
    assert_eq!(decision.action, Action::Hold, "those that start count: {decision}");
    let decision = scaler.evaluate(SEC(20), &pool(2, 60, 2));
    assert_eq!(
        decision.desired, 12,
        "no cooldown upwards; the mean over 10 s is of this one alone: {decision}"
    );
}

#[test]
fn a_tenth_above_is_borne() {
    for (in_flight, desired) in [(50, 10), (54, 10), (55, 10), (56, 12)] {
        let mut scaler = AutoScaler::new(settings()).unwrap();
        assert_eq!(scaler.evaluate(SEC(0), &pool(10, in_flight, 0)).desired, desired, "{in_flight}");
    }
}

#[test]
fn a_warming_instance_is_neither_in_the_way_nor_forgotten() {
    let one = |phase, in_flight| Instance { phase, cpu_percent: None, in_flight, max_connections: Some(10) };
    let m = Metrics::of([one(Phase::Settled, 10), one(Phase::Settled, 10), one(Phase::Warming, 1)]);
    let decision = AutoScaler::new(settings()).unwrap().evaluate(SEC(0), &m);
    assert_eq!(decision.desired, 5, "21 in flight, 5 for each: {decision}");
}

#[test]
fn down_to_the_highest_of_the_window_when_it_has_left() {
    let mut scaler = AutoScaler::new(settings()).unwrap();
    let mut went = Vec::new();
    let mut instances = 8;
    for at in (0..=900).step_by(5) {
        // 40 in flight until 300 s, 25 until 400 s, then 10: eight, five and two instances.
        let in_flight = if at <= 300 {
            40
        } else if at <= 400 {
            25
        } else {
            10
        };
        let decision = scaler.evaluate(SEC(at), &pool(instances, in_flight, 0));
        if decision.action != Action::Hold {
            went.push((at, decision.desired));
        }
        instances = decision.desired;
    }
    // The mean of 10 s needs 8, then 7, 6, 5; each is forgotten five minutes later.
    let (whole, last) = (went.first().unwrap(), went.last().unwrap());
    assert!((600..=615).contains(&whole.0) && (700..=715).contains(&last.0), "{went:?}");
    assert!(went.iter().any(|&(at, n)| n == 5 && at <= 615) && last.1 == 2, "{went:?}");
}

#[test]
fn no_turn_downwards_within_the_cooldown() {
    let settings = settings()
        .metrics_window(Duration::from_secs(20))
        .cooldowns(Duration::ZERO, Duration::from_secs(120));
    let mut scaler = AutoScaler::new(settings).unwrap();
    let mut instances = scaler.evaluate(SEC(0), &pool(2, 20, 0)).desired;
    let mut went = Vec::new();
    for at in (5..240).step_by(5) {
        let in_flight = if at <= 120 { 10 } else { 5 };
        let decision = scaler.evaluate(SEC(at), &pool(instances, in_flight, 0));
        if decision.action != Action::Hold {
            went.push((at, decision.desired));
        }
        instances = decision.desired;
    }
    // 120 s after the way up; again when the 20 s of the window and the 10 s of its means are over, which is no turn.
    assert_eq!(went, [(120, 2), (145, 1)]);
}

#[test]
fn step_limits() {
    let s = settings().steps(3, 2).known_percent(0);
    let decision = AutoScaler::new(s).unwrap().evaluate(SEC(0), &pool(4, 40, 4));
    assert_eq!(decision.action, Action::Hold, "{decision}");
    let decision = AutoScaler::new(s).unwrap().evaluate(SEC(0), &pool(4, 40, 0));
    assert_eq!(decision.action, Action::Up(3), "{decision}");
    assert!(decision.reasons.contains(&Reason::StepLimited { wanted: 4 }), "{decision}");
    let decision = AutoScaler::new(s).unwrap().evaluate(SEC(0), &pool(10, 5, 0));
    assert_eq!(decision.action, Action::Down(2), "{decision}");
    let decision = AutoScaler::new(s).unwrap().evaluate(SEC(0), &pool(10, 900, 0));
    assert_eq!(decision.action, Action::Up(3), "{decision}");
    let decision = AutoScaler::new(settings()).unwrap().evaluate(SEC(0), &pool(10, 900, 0));
    assert_eq!((decision.action, decision.reasons.last()), (Action::Up(10), Some(&Reason::AtMaximum)));
}

#[test]
fn what_is_missing_takes_nothing_away() {
    let mut scaler = AutoScaler::new(settings()).unwrap();
    for at in (0..=300).step_by(5) {
        assert_eq!(scaler.evaluate(SEC(at), &pool(8, 40, 0)).action, Action::Hold, "{at}");
    }
    let blind = Metrics { instances: 8, ..Metrics::default() };
    for at in (305..3_000).step_by(5) {
        assert_eq!(scaler.evaluate(SEC(at), &blind).action, Action::Hold, "{at}");
    }
    // Back again, and low: the window has to be known first.
    for at in (3_000..3_235).step_by(5) {
        assert_eq!(scaler.evaluate(SEC(at), &pool(8, 5, 0)).action, Action::Hold, "{at}");
    }
    assert_eq!(scaler.evaluate(SEC(3_235), &pool(8, 5, 0)).action, Action::Down(7));
}

#[test]
fn instances_that_die_are_replaced() {
    let mut scaler = AutoScaler::new(settings()).unwrap();
    scaler.evaluate(SEC(0), &pool(8, 40, 0));
    assert_eq!(scaler.evaluate(SEC(5), &pool(4, 40, 0)).desired, 8);
}

#[test]
fn half_the_looks_are_not_enough_to_go_down() {
    let mut scaler = AutoScaler::new(settings()).unwrap();
    let (blind, low) = (Metrics { instances: 8, ..Metrics::default() }, pool(8, 5, 0));
    for at in (0..900).step_by(5) {
        let decision = scaler.evaluate(SEC(at), if at % 10 == 0 { &blind } else { &low });
        assert_eq!(decision.action, Action::Hold, "{decision}");
        assert!(decision.inputs.known_percent <= 51.0, "{decision}");
    }
}

#[test]
fn who_waits_long_is_not_kept_waiting() {
    let calm = |at: u64, scaler: &mut AutoScaler| scaler.evaluate(SEC(at), &pool(4, 20, 0));
    let mut scaler = AutoScaler::new(settings()).unwrap();
    (0..10).for_each(|at| assert_eq!(calm(at, &mut scaler).action, Action::Hold));
    let full = Metrics {
        requests_per_second: Some(600.0),
        service_time_ms: Some(100.0),
        ..pool(4, 40, 0).queue(39, None)
    };
    let mut patient = scaler.clone();
    let decision = patient.evaluate(SEC(10), &full);
    assert_eq!(decision.desired, 5, "by the mean, 9 · 4 and once 12: {decision}");
    let decision = scaler.evaluate(SEC(10), &full.queue(40, None));
    assert_eq!(decision.desired, 13, "600/s · 0.1 s = 60 and 40 · 0.1 / 120: {decision}");
    assert!(decision.inputs.highest.unwrap() < 5.0, "a moment is not remembered: {decision}");
}

#[test]
fn a_backlog_that_drains_is_not_taken_for_load() {
    // Ten instances are full with what waited; 100 a second come, which is ten at once.
    let m = Metrics {
        requests_per_second: Some(100.0),
        service_time_ms: Some(100.0),
        ..pool(10, 100, 0).queue(300, None)
    };
    let decision = AutoScaler::new(settings()).unwrap().evaluate(SEC(0), &m);
    assert_eq!((decision.action, decision.inputs.observed), (Action::Hold, Some(10.25 / 5.0)), "{decision}");
}
