//! The shedder over injected readings, and against a machine that is a formula.

use super::{Readings, Reason, ShedSettings, Shedder};
use crate::priority::Priority;
use lb_types::Nanos;
use proptest::prelude::*;
use std::time::Duration;

const TICK_MS: u64 = 100;

fn cpu(percent: f64) -> Readings {
    Readings { cpu: Some(percent), ..Readings::default() }
}

fn shedder() -> Shedder {
    Shedder::new(ShedSettings::new()).unwrap()
}

/// Observes the same readings at each tick of `[from_ms, to_ms)`; the pressure at the end.
fn hold(shedder: &Shedder, from_ms: u64, to_ms: u64, readings: &Readings) -> f64 {
    for at in (from_ms..to_ms).step_by(TICK_MS as usize) {
        shedder.observe(Nanos::from_millis(at), readings);
    }
    shedder.status().pressure
}

fn refused(shedder: &Shedder, priority: Priority, of: usize) -> usize {
    (0..of).filter(|_| shedder.admit(priority).is_err()).count()
}

#[test]
fn pressure_over_time() {
    /// Until when (ms) which reading is held, and within which bounds the pressure is then.
    type Step = (u64, f64, f64, f64);
    const CASES: &[(&str, &[Step])] = &[
        ("below the threshold nothing is shed", &[(5_000, 79.9, 0.0, 0.0)]),
        ("at it neither", &[(5_000, 80.0, 0.0, 0.0)]),
        ("the first above it sheds the lowest level", &[(100, 81.0, 1.0, 1.0)]),
        ("a further level within a second of overload", &[(1_100, 80.1, 2.0, 2.1)]),
        (
            "and the last within another, but never all of it",
            &[(2_100, 80.1, 2.95, 2.95), (60_000, 100.0, 2.95, 2.95)],
        ),
        ("faster when it is far above", &[(600, 100.0, 1.9, 2.1)]),
        ("between resume point and threshold it stays", &[(600, 90.0, 1.7, 1.8), (9_000, 72.1, 1.7, 1.8)]),
        (
            "all is back a second after the load is gone",
            &[(9_000, 100.0, 2.95, 2.95), (10_000, 10.0, 0.0, 0.0)],
        ),
        ("but not at once", &[(9_000, 100.0, 2.95, 2.95), (9_500, 10.0, 1.3, 1.6)]),
        ("slowly just below the resume point", &[(1_100, 81.0, 2.0, 2.2), (2_100, 71.0, 1.7, 2.1)]),
        (
            "back above it, the lowest is gone at once",
            &[(100, 81.0, 1.0, 1.0), (300, 20.0, 0.3, 0.7), (400, 81.0, 1.0, 1.0)],
        ),
    ];
    for (name, steps) in CASES {
        let (shedder, mut from) = (shedder(), 0);
        for &(until, percent, low, high) in *steps {
            let pressure = hold(&shedder, from, until, &cpu(percent));
            assert!((low - 1e-9..=high + 1e-9).contains(&pressure), "{name}: {pressure} at {until} ms");
            from = until;
        }
    }
}

#[test]
fn levels_go_lowest_first_and_return_highest_first() {
    let s = shedder();
    let seen = |at, percent| {
        hold(&s, at, at + TICK_MS, &cpu(percent));
        [Priority::HIGH, Priority::NORMAL, Priority::LOW].map(|p| refused(&s, p, 100))
    };
    assert_eq!(seen(0, 50.0), [0, 0, 0]);
    let up: Vec<_> = (1..30).map(|tick| seen(tick * TICK_MS, 84.0)).collect();
    assert_eq!(up[0], [0, 0, 100]);
    assert_eq!(up[28], [95, 100, 100], "somebody always gets through");
    assert!(up.windows(2).all(|w| (0..3).all(|level| w[0][level] <= w[1][level])), "{up:?}");
    let down: Vec<_> = (30..45).map(|tick| seen(tick * TICK_MS, 20.0)).collect();
    assert_eq!(down[14], [0, 0, 0]);
    for shares in up.iter().chain(&down) {
        assert!(shares[0] == 0 || shares[1] == 100, "high only after normal: {shares:?}");
        assert!(shares[1] == 0 || shares[2] == 100, "normal only after low: {shares:?}");
    }
    assert_eq!(s.status().reason, None);
    assert!(s.status().shed[2] > s.status().shed[1] && s.status().shed[1] > s.status().shed[0]);
}

#[test]
fn the_share_is_exact_and_evenly_spread() {
    let s = Shedder::new(ShedSettings::new().levels(1)).unwrap();
    hold(&s, 0, 400, &cpu(80.0 + 1e-9));
    assert!((s.status().pressure - 0.3).abs() < 1e-6, "one level: no jump, or nobody got in");
    let answers: Vec<bool> = (0..1_000).map(|_| s.admit(Priority::HIGH).is_err()).collect();
    for window in answers.windows(10) {
        assert_eq!(window.iter().filter(|&&refused| refused).count(), 3);
    }
}

#[test]
fn each_resource_sheds_and_the_worst_gives_the_reason() {
    let all = Readings {
        cpu: Some(81.0),
        memory: Some(86.0),
        queue: Some(5_000),
        loop_delay: Some(Duration::from_millis(150)),
        pressure: Some(31.0),
    };
    let none = Readings::default();
    for (readings, reason) in [
        (Readings { cpu: all.cpu, ..none }, Reason::Cpu),
        (Readings { memory: all.memory, ..none }, Reason::Memory),
        (Readings { queue: all.queue, ..none }, Reason::Queue),
        (Readings { loop_delay: all.loop_delay, ..none }, Reason::LoopDelay),
        (Readings { pressure: all.pressure, ..none }, Reason::Pressure),
        (all, Reason::Queue),
    ] {
        let s = Shedder::new(ShedSettings::new().pressure_threshold(30.0)).unwrap();
        hold(&s, 0, 300, &readings);
        assert_eq!(s.admit(Priority::LOW).map_err(|shed| shed.reason), Err(reason));
        assert_eq!(s.status().reason, Some(reason));
        // Only what is looked at sheds.
        let nothing = ShedSettings::new().cpu_threshold(None).memory_threshold(None);
        let blind = Shedder::new(nothing.queue_threshold(None).loop_delay_threshold(None)).unwrap();
        assert_eq!(hold(&blind, 0, 300, &readings), 0.0);
    }
    assert_eq!(Shedder::new(ShedSettings::new()).unwrap().settings().shed_response.status, 503);
}

#[test]
fn missing_readings_neither_shed_nor_clear() {
    let s = shedder();
    let before = hold(&s, 0, 1_000, &cpu(90.0));
    assert_eq!(hold(&s, 1_000, 5_000, &Readings::default()), before);
    assert_eq!(hold(&s, 5_000, 5_100, &cpu(f64::NAN)), before);
    let memory = Readings { memory: Some(10.0), ..Readings::default() };
    assert_eq!(hold(&s, 5_100, 7_000, &memory), 0.0, "what is known says that all is well");
}

#[test]
fn memory_that_does_not_come_back_sheds_in_proportion() {
    let memory = |percent| Readings { memory: Some(percent), ..Readings::default() };
    let s = shedder();
    let a_little = hold(&s, 0, 60_000, &memory(86.0));
    assert!((a_little - (1.0 + 2.0 / 15.0)).abs() < 1e-6, "{a_little}");
    assert_eq!(hold(&s, 60_000, 70_000, &memory(100.0)), 2.95);
    let less = hold(&s, 70_000, 80_000, &memory(92.5));
    assert!((less - 2.0).abs() < 1e-6, "{less}");
}

/// A machine of one CPU: what comes in uses it, and its reading is smoothed over a second as the sampler's is.
fn machine(offered: f64, seconds: u64) -> (Vec<f64>, Vec<f64>) {
    let (s, mut smoothed) = (shedder(), 0.0);
    let alpha = 1.0 - (-(TICK_MS as f64) / 1_000.0).exp();
    let ticks = (0..seconds * 1_000 / TICK_MS).map(|tick| {
        let share = refused(&s, Priority::NORMAL, 1_000) as f64 / 1_000.0;
        let used = (offered * (1.0 - share)).min(1.0) * 100.0;
        smoothed += alpha * (used - smoothed);
        s.observe(Nanos::from_millis(tick * TICK_MS), &cpu(smoothed));
        (smoothed, share)
    });
    ticks.unzip()
}

#[test]
fn traffic_of_one_priority_regulates_itself() {
    for offered in [0.9, 1.1, 1.5, 2.0, 3.0, 5.0] {
        let (readings, shares) = machine(offered, 60);
        let tail = &readings[readings.len() / 3..];
        let mean = tail.iter().sum::<f64>() / tail.len() as f64;
        let (low, high) = tail.iter().fold((100f64, 0f64), |(l, h), &r| (l.min(r), h.max(r)));
        let share = shares[shares.len() / 3..].iter().sum::<f64>() / tail.len() as f64;
        println!("offered {offered}: reading {low:.1}..{high:.1}, mean {mean:.1}; refused {share:.3}");
        assert!((65.0..85.0).contains(&mean), "offered {offered}: mean {mean}");
        assert!(low > 40.0, "offered {offered}: falls to {low}");
        let needed = 1.0 - 0.8 / offered;
        assert!((share - needed).abs() < 0.1, "offered {offered}: {share} of {needed}");
    }
}

proptest! {
    /// Whatever is read, over any window no higher level is refused more than a lower one, but for the carried remainder;
    /// the pressure stays within its bounds, and the counts are those of the answers.
    #[test]
    fn priority_is_never_a_disadvantage(
        levels in 1usize..=8,
        steps in prop::collection::vec((0u64..400, 0f64..110.0, 0usize..2_000, 0usize..40), 1..60),
    ) {
        let s = Shedder::new(ShedSettings::new().levels(levels)).unwrap();
        let (mut now, mut counts) = (0, vec![Vec::new(); levels]);
        for (step, percent, queue, requests) in steps {
            now += step;
            s.observe(Nanos::from_millis(now), &Readings { queue: Some(queue), ..cpu(percent) });
            let pressure = s.status().pressure;
            prop_assert!((0.0..=levels as f64 - 0.05 + 1e-9).contains(&pressure));
            prop_assert_eq!(s.status().reason.is_some(), pressure > 0.0);
            for (level, counts) in counts.iter_mut().enumerate() {
                counts.push(refused(&s, Priority::level(level as u8), requests));
            }
        }
        for (level, counts) in counts.iter().enumerate() {
            prop_assert_eq!(s.status().shed[level], counts.iter().sum::<usize>() as u64);
        }
        for pair in counts.windows(2) {
            for from in 0..pair[0].len() {
                let (mut higher, mut lower) = (0, 0);
                for (h, l) in pair[0][from..].iter().zip(&pair[1][from..]) {
                    (higher, lower) = (higher + h, lower + l);
                    prop_assert!(higher <= lower + 1, "{} of the higher, {} of the lower", higher, lower);
                }
            }
        }
    }
}
