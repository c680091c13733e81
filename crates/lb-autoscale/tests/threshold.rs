//! Threshold mode, tick by tick: the contract as tables.

use lb_autoscale::{
    Action, AutoScale, AutoScaler, Decision, Instance, Metric, Metrics, Nanos, Phase, Quantiles, Reason,
};
use std::time::Duration;

const HOLD: Action = Action::Hold;

/// One instance or more less or more for each tick: when (s), instances, CPU (`None`: missing), what is decided.
type Tick = (u64, u32, Option<f64>, Action);

fn metrics(instances: u32, cpu: Option<f64>) -> Metrics {
    cpu.map_or(Metrics { instances, ..Metrics::default() }, |cpu| Metrics::with_cpu(instances, cpu))
}

fn check(name: &str, settings: AutoScale, ticks: impl IntoIterator<Item = Tick>) {
    let mut scaler = AutoScaler::new(settings).unwrap();
    for (at, instances, cpu, action) in ticks {
        let decision = scaler.evaluate(Nanos::from_secs(at), &metrics(instances, cpu));
        assert_eq!(decision.action, action, "{name} at {at} s: {decision}");
    }
}

/// Every 10 s the same.
fn steady(from: u64, to: u64, instances: u32, cpu: f64) -> impl Iterator<Item = Tick> {
    (from..to).step_by(10).map(move |at| (at, instances, Some(cpu), HOLD))
}

/// As [`AutoScale::new`], but acts on the first sample.
fn eager() -> AutoScale {
    AutoScale::new().known_percent(0)
}

#[test]
fn strictly_above_and_strictly_below() {
    for (cpu, action) in [
        (70.0, HOLD),
        (70.001, Action::Up(1)),
        (100.0, Action::Up(1)),
        (50.0, HOLD),
        (30.0, HOLD),
        (29.999, Action::Down(1)),
        (0.0, Action::Down(1)),
    ] {
        check(&format!("{cpu} %"), eager(), [(0, 5, Some(cpu), action)]);
    }
}

#[test]
fn bounds() {
    for (instances, cpu, action) in [
        (10, Some(99.0), HOLD),          // at the maximum
        (9, Some(99.0), Action::Up(1)),  // below it
        (2, Some(1.0), HOLD),            // at the minimum
        (3, Some(1.0), Action::Down(1)), // above it
        (0, None, Action::Up(2)),        // up to the minimum at once, whatever is known
        (1, Some(1.0), Action::Up(1)),
        (13, Some(99.0), Action::Down(3)), // down to the maximum at once
    ] {
        check(&format!("{instances} at {cpu:?}"), eager(), [(0, instances, cpu, action)]);
    }
}

#[test]
fn the_mean_is_over_the_window() {
    // Five minutes at 60 %, then 100 %: the mean passes 70 % when more than a quarter of the window is at 100 %.
    let settings = AutoScale::new();
    let mut scaler = AutoScaler::new(settings).unwrap();
    let mut first = None;
    for at in (0..600u64).step_by(10) {
        let cpu = if at < 300 { 60.0 } else { 100.0 };
        let decision = scaler.evaluate(Nanos::from_secs(at), &Metrics::with_cpu(5, cpu));
        if decision.action != HOLD && first.is_none() {
            first = Some((at, decision.inputs.mean));
        }
    }
    // 30 samples are in the window: (22·60 + 8·100) / 30 = 70.67; with seven it is 69.3.
    let (at, mean) = first.unwrap();
    assert_eq!(at, 300 + 7 * 10);
    assert!((mean.unwrap() - (22.0 * 60.0 + 8.0 * 100.0) / 30.0).abs() < 1e-9);
}

#[test]
fn a_sample_leaves_the_window_five_minutes_later() {
    check(
        "the high one counts at 299 s, not at 300 s",
        eager(),
        [
            (0, 5, Some(100.0), Action::Up(1)),
            (299, 6, Some(45.0), HOLD), // mean 72.5, cooldown
            (300, 6, Some(45.0), HOLD), // mean 45
        ],
    );
    let mut scaler = AutoScaler::new(eager()).unwrap();
    scaler.evaluate(Nanos::ZERO, &Metrics::with_cpu(5, 100.0));
    let mean = |d: Decision| d.inputs.mean.unwrap();
    assert_eq!(mean(scaler.evaluate(Nanos::from_secs(299), &Metrics::with_cpu(6, 45.0))), 72.5);
    assert_eq!(mean(scaler.evaluate(Nanos::from_secs(300), &Metrics::with_cpu(6, 45.0))), 45.0);
}

#[test]
fn one_cooldown_for_both_ways() {
    let up = steady(10, 300, 6, 90.0);
    check(
        "up, then up",
        eager(),
        [(0, 5, Some(90.0), Action::Up(1))].into_iter().chain(up).chain([
            (299, 6, Some(90.0), HOLD),
            (300, 6, Some(90.0), Action::Up(1)),
            (310, 7, Some(90.0), HOLD),
        ]),
    );
    let low = steady(10, 300, 6, 1.0);
    check(
        "up, then down",
        eager(),
        [(0, 5, Some(90.0), Action::Up(1))]
            .into_iter()
            .chain(low)
            .chain([(299, 6, Some(1.0), HOLD), (300, 6, Some(1.0), Action::Down(1))]),
    );
    check(
        "down, then up",
        eager(),
        [
            (0, 5, Some(1.0), Action::Down(1)),
            (10, 4, Some(200.0), HOLD),
            (299, 4, Some(200.0), HOLD),
            (300, 4, Some(200.0), Action::Up(1)),
        ],
    );
}

#[test]
fn time_does_not_run_backwards() {
    let mut scaler = AutoScaler::new(eager()).unwrap();
    assert_eq!(scaler.evaluate(Nanos::from_secs(100), &Metrics::with_cpu(5, 90.0)).action, Action::Up(1));
    let straggler = scaler.evaluate(Nanos::from_secs(10), &Metrics::with_cpu(6, 90.0));
    assert_eq!((straggler.at, straggler.action), (Nanos::from_secs(100), HOLD));
    assert_eq!(straggler.inputs.cooldown_up_left, Nanos::from_secs(300));
}

#[test]
fn cooldowns_of_their_own() {
    let settings = eager()
        .metrics_window(Duration::from_secs(1))
        .cooldowns(Duration::from_secs(20), Duration::from_secs(60));
    check(
        "20 s up, 60 s down, each since the last action",
        settings,
        [
            (0, 5, Some(90.0), Action::Up(1)),
            (19, 6, Some(90.0), HOLD),
            (20, 6, Some(90.0), Action::Up(1)),
            (79, 7, Some(1.0), HOLD),
            (80, 7, Some(1.0), Action::Down(1)),
            (99, 6, Some(90.0), HOLD),
            (100, 6, Some(90.0), Action::Up(1)),
        ],
    );
}

#[test]
fn bounds_neither_wait_for_a_cooldown_nor_start_one() {
    check(
        "an instance dies while it cools down",
        eager(),
        [
            (0, 2, Some(90.0), Action::Up(1)),
            (10, 1, Some(90.0), Action::Up(1)),
            (20, 2, Some(90.0), HOLD),
            (300, 2, Some(90.0), Action::Up(1)),
        ],
    );
    check(
        "nothing was done for load yet",
        eager(),
        [(0, 1, Some(90.0), Action::Up(1)), (10, 2, Some(90.0), Action::Up(1))],
    );
}

#[test]
fn steps() {
    let s = eager().steps(3, 4);
    check("three up", s, [(0, 5, Some(90.0), Action::Up(3))]);
    check("cut at the maximum", s, [(0, 9, Some(90.0), Action::Up(1))]);
    check("four down", s, [(0, 9, Some(10.0), Action::Down(4))]);
    check("cut at the minimum", s, [(0, 4, Some(10.0), Action::Down(2))]);
}

#[test]
fn missing_metrics_never_take_an_instance_away() {
    let d = AutoScale::new();
    check("never any", d, (0..2_000).step_by(10).map(|at| (at, 5, None, HOLD)));
    check("known for less than four of five minutes", d, steady(0, 240, 5, 10.0));
    let known = steady(0, 240, 5, 10.0).chain([(240, 5, Some(10.0), Action::Down(1))]);
    check("known for four of five minutes", d, known);
    let lost = steady(0, 230, 5, 10.0).chain([
        (240, 5, None, HOLD),
        (250, 5, Some(10.0), HOLD),
        (260, 5, Some(10.0), Action::Down(1)),
    ]);
    check("missing at that moment, and that much longer unknown", d, lost);
    // Nobody asked from 100 s on; a quarter of the window is all that the sample after it speaks for.
    let asleep = steady(0, 110, 5, 10.0).chain([(240, 5, Some(10.0), HOLD)]);
    check("nobody looked", d, asleep);
    check("above is above, however little is known", d, [(0, 5, Some(90.0), Action::Up(1))]);
}

#[test]
fn a_silent_instance_counts_as_full_on_the_way_down() {
    let one =
        |cpu_percent| Instance { phase: Phase::Settled, cpu_percent, in_flight: 0, max_connections: None };
    let decide = |silent: usize| {
        let spoke = (0..10 - silent).map(|_| one(Some(22.0)));
        let metrics = Metrics::of(spoke.chain((0..silent).map(|_| one(None))));
        AutoScaler::new(eager()).unwrap().evaluate(Nanos::ZERO, &metrics)
    };
    assert_eq!(decide(1).action, Action::Down(1), "(9·22 + 100) / 10 = 29.8");
    assert_eq!(decide(2).action, HOLD, "(8·22 + 200) / 10 = 37.6");
}

#[test]
fn slow_start_does_not_delay_the_next_step_up() {
    let one = |phase, cpu| Instance { phase, cpu_percent: Some(cpu), in_flight: 0, max_connections: None };
    let metrics = Metrics::of([
        one(Phase::Settled, 90.0),
        one(Phase::Settled, 90.0),
        one(Phase::Warming, 5.0),
        one(Phase::Starting, 0.0),
    ]);
    let decision = AutoScaler::new(eager()).unwrap().evaluate(Nanos::ZERO, &metrics);
    assert_eq!(decision.action, Action::Up(1), "the mean of all is 46: {decision}");
}

#[test]
fn a_step_down_that_would_come_back_is_not_taken() {
    let narrow = eager().thresholds(50.0, 60.0).instances(1, 10);
    let decide = |instances, cpu| {
        AutoScaler::new(narrow).unwrap().evaluate(Nanos::ZERO, &Metrics::with_cpu(instances, cpu))
    };
    let flapping = decide(4, 45.0);
    assert_eq!(flapping.action, HOLD, "45 · 4/3 = 60");
    assert!(flapping.reasons.contains(&Reason::WouldFlap { expected: 60.0 }), "{flapping}");
    assert_eq!(decide(5, 45.0).action, Action::Down(1), "45 · 5/4 = 56");
}

#[test]
fn every_metric_has_thresholds() {
    let metrics = Metrics {
        queue_delay_ms: Some(80.0),
        requests_per_second: Some(400.0),
        latency: Some(Quantiles { p50_ms: 10.0, p95_ms: 80.0, p99_ms: 90.0 }),
        ..Metrics::of((0..5).map(|_| Instance {
            phase: Phase::Settled,
            cpu_percent: Some(80.0),
            in_flight: 80,
            max_connections: Some(100),
        }))
    };
    for metric in [
        Metric::Cpu,
        Metric::InFlight,
        Metric::QueueDelay,
        Metric::Requests,
        Metric::Latency(lb_autoscale::Quantile::P95),
    ] {
        let mut scaler = AutoScaler::new(AutoScale::new().metric(metric)).unwrap();
        let decision = scaler.evaluate(Nanos::ZERO, &metrics);
        assert_eq!((decision.action, decision.inputs.mean), (Action::Up(1), Some(80.0)), "{metric:?}");
    }
}

#[test]
fn to_zero_and_back() {
    let settings = AutoScale::new().instances(0, 10);
    let mut scaler = AutoScaler::new(settings).unwrap();
    let idle = |instances| Metrics {
        in_flight: Some(0),
        requests_per_second: Some(0.0),
        ..Metrics::with_cpu(instances, 0.0)
    };
    let busy = Metrics { requests_per_second: Some(0.1), ..idle(1) };
    assert_eq!(scaler.evaluate(Nanos::ZERO, &busy).action, HOLD);
    let mut gone = None;
    for at in (10..=400).step_by(10) {
        let decision = scaler.evaluate(Nanos::from_secs(at), &idle(1));
        if decision.action == Action::Down(1) {
            gone = Some(at);
            break;
        }
        if at >= 240 {
            assert!(decision.reasons.contains(&Reason::NotIdle), "{decision}");
        }
    }
    assert_eq!(gone, Some(300), "when the one request has left the window");

    let parked = scaler.evaluate(Nanos::from_secs(301), &idle(0).parked(3));
    assert_eq!(parked.action, Action::Up(1), "whatever the cooldown: {parked}");
    let none = scaler.evaluate(Nanos::from_secs(302), &idle(0));
    assert_eq!(none.action, HOLD, "{none}");
}

#[test]
fn a_rehearsal_decides_as_the_play_does() {
    let mut play = AutoScaler::new(eager()).unwrap();
    let mut rehearsal = AutoScaler::new(eager().dry_run(true)).unwrap();
    for at in [0, 10, 300] {
        let (now, metrics) = (Nanos::from_secs(at), Metrics::with_cpu(5, 90.0));
        let (real, dry) = (play.evaluate(now, &metrics), rehearsal.evaluate(now, &metrics));
        assert_eq!((real.action, &real.reasons), (dry.action, &dry.reasons));
        assert_eq!(dry.to_do(), None);
        assert_eq!(real.to_do(), (at != 10).then_some(6));
    }
}
