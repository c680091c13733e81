//! What holds whatever comes, in both modes and for every metric; and that a log replays.

use lb_autoscale::{
    Action, AutoScale, AutoScaler, Instance, Metric, Metrics, Nanos, Phase, Quantile, Quantiles, Target,
};
use proptest::prelude::*;
use std::time::Duration;

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![20 => 0.0..200.0f64, 1 => Just(f64::NAN), 1 => Just(f64::INFINITY), 1 => Just(-1.0), 1 => Just(1e300)]
}

fn instance() -> impl Strategy<Value = Instance> {
    let phase = prop_oneof![1 => Just(Phase::Starting), 1 => Just(Phase::Warming), 5 => Just(Phase::Settled)];
    let max = prop::option::weighted(0.9, 0u64..50);
    (phase, prop::option::weighted(0.8, number()), 0u64..40, max).prop_map(
        |(phase, cpu_percent, in_flight, max_connections)| Instance {
            phase,
            cpu_percent,
            in_flight,
            max_connections,
        },
    )
}

fn metrics() -> impl Strategy<Value = Metrics> {
    let some = || prop::option::weighted(0.8, number());
    let latency = prop::option::of((number(), number(), number()));
    (prop::collection::vec(instance(), 0..12), some(), some(), some(), latency, 0u64..30, 0u64..3).prop_map(
        |(instances, delay, rate, service, latency, queued, parked)| Metrics {
            queued: (queued % 4 > 0).then_some(queued),
            parked,
            queue_delay_ms: delay,
            requests_per_second: rate,
            service_time_ms: service,
            latency: latency.map(|(p50_ms, p95_ms, p99_ms)| Quantiles { p50_ms, p95_ms, p99_ms }),
            ..Metrics::of(instances)
        },
    )
}

fn settings() -> impl Strategy<Value = AutoScale> {
    let metric = prop_oneof![
        Just(Metric::Cpu),
        Just(Metric::InFlight),
        Just(Metric::QueueDelay),
        Just(Metric::Requests),
        Just(Metric::Latency(Quantile::P95)),
    ];
    (metric, prop::option::of(1.0..100.0f64), 0u32..4, 4u32..9, 1u32..4, 1u32..4, 0u64..60, 0u8..=100)
        .prop_map(|(metric, target, min, max, up, down, cooldown, known)| {
            let settings = AutoScale::new()
                .instances(min, max)
                .metric(metric)
                .steps(up, down)
                .metrics_window(Duration::from_secs(30))
                .cooldown_period(Duration::from_secs(cooldown))
                .known_percent(known);
            target.map_or(settings, |value| settings.target(Target::new(value)))
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, ..ProptestConfig::default() })]

    #[test]
    fn bounds_steps_cooldowns_and_missing_metrics(
        settings in settings(),
        looks in prop::collection::vec((0u64..20, metrics()), 1..60),
    ) {
        let (min, max) = (settings.min_instances, settings.max_instances);
        let mut scaler = AutoScaler::new(settings).unwrap();
        let mut now = 0;
        let mut last_up: Option<u64> = None;
        for (wait, metrics) in looks {
            now += wait;
            let d = scaler.evaluate(Nanos::from_secs(now), &metrics);
            prop_assert_eq!(d.current, metrics.instances);
            prop_assert!((min..=max).contains(&d.desired) , "{}", d);
            prop_assert!((1..=5).contains(&d.reasons.len()), "{}", d);
            let within = (min..=max).contains(&d.current);
            match d.action {
                Action::Up(n) => {
                    prop_assert_eq!(d.desired, d.current + n);
                    if within {
                        prop_assert!(n <= settings.step_up.unwrap(), "{}", d);
                        last_up = Some(now);
                    } else {
                        prop_assert_eq!(d.desired, min);
                    }
                }
                Action::Down(n) => {
                    prop_assert_eq!(d.desired, d.current - n);
                    if within {
                        prop_assert!(n <= settings.step_down.unwrap(), "{}", d);
                        prop_assert!(d.inputs.observed.is_some(), "nothing is known: {}", d);
                        prop_assert!(d.inputs.known_percent >= f64::from(settings.known_percent), "{}", d);
                        let cooled = last_up.is_none_or(|up| now - up >= settings.cooldown_period.as_secs());
                        prop_assert!(cooled, "{}", d);
                        prop_assert!(d.desired > 0 || metrics.is_idle(), "{}", d);
                    } else {
                        prop_assert_eq!(d.desired, max);
                    }
                }
                Action::Hold => prop_assert_eq!(d.desired, d.current),
            }
        }
    }

    #[test]
    fn the_same_looks_give_the_same_decisions(
        settings in settings(),
        looks in prop::collection::vec((0u64..20, metrics()), 1..40),
    ) {
        let mut one = AutoScaler::new(settings).unwrap();
        let mut other = AutoScaler::new(settings).unwrap();
        let mut now = Nanos::ZERO;
        for (at, (wait, metrics)) in looks.iter().enumerate() {
            now += Nanos::from_secs(*wait);
            if at % 7 == 0 {
                other = other.clone(); // a clone goes on as the original would
            }
            let (one, other) = (one.evaluate(now, metrics), other.evaluate(now, metrics));
            prop_assert_eq!(format!("{one:?}"), format!("{other:?}")); // by text: a NaN is not equal to itself
        }
    }

    /// Against a list of all samples and plain arithmetic.
    #[test]
    fn thresholds_as_a_naive_model(
        looks in prop::collection::vec((1u64..6, 0.0..100.0f64), 1..120),
        cooldown in 0u64..120,
    ) {
        let settings = AutoScale::new()
            .metrics_window(Duration::from_secs(60))
            .cooldown_period(Duration::from_secs(cooldown))
            .known_percent(0);
        let mut scaler = AutoScaler::new(settings).unwrap();
        let (mut now, mut n, mut last, mut samples) = (0, 5u32, None, Vec::new());
        for (wait, cpu) in looks {
            now += wait;
            samples.push((now, cpu));
            samples.retain(|&(at, _)| now - at < 60);
            let mean = samples.iter().map(|s| s.1).sum::<f64>() / samples.len() as f64;
            let may = last.is_none_or(|at| now - at >= cooldown);
            let expected = if mean > 70.0 && may && n < 10 {
                Action::Up(1)
            } else if mean < 30.0 && may && n > 2 {
                Action::Down(1)
            } else {
                Action::Hold
            };
            let d = scaler.evaluate(Nanos::from_secs(now), &Metrics::with_cpu(n, cpu));
            prop_assert_eq!(d.action, expected, "{}", d);
            if d.action != Action::Hold {
                last = Some(now);
            }
            n = d.desired;
        }
    }
}

/// A log of what was observed, read back, gives the decisions that were made.
#[cfg(feature = "serde")]
#[test]
fn a_log_replays() {
    let settings = AutoScale::new().metric(Metric::InFlight).target(Target::new(50.0));
    let mut scaler = AutoScaler::new(settings).unwrap();
    let mut log = Vec::new();
    let mut decisions = Vec::new();
    for at in 0..200u64 {
        let instance = |in_flight| Instance {
            phase: Phase::Settled,
            cpu_percent: (at % 5 > 0).then_some(40.5),
            in_flight,
            max_connections: Some(10),
        };
        let metrics =
            Metrics { requests_per_second: Some(12.5), ..Metrics::of((0..3).map(|_| instance(at % 11))) };
        let decision = scaler.evaluate(Nanos::from_secs(5 * at), &metrics);
        log.push(serde_json::to_string(&metrics).unwrap());
        decisions.push(serde_json::to_string(&decision).unwrap());
    }
    assert!(decisions.iter().any(|decision| decision.contains(r#""action":{"up":"#)), "{}", decisions[7]);
    let mut again = AutoScaler::new(settings).unwrap();
    for (at, (line, decision)) in log.iter().zip(&decisions).enumerate() {
        let metrics: Metrics = serde_json::from_str(line).unwrap();
        let replayed = again.evaluate(Nanos::from_secs(5 * at as u64), &metrics);
        assert_eq!(&serde_json::to_string(&replayed).unwrap(), decision);
    }
}
