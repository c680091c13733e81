//! What holds whatever happens.

use crate::world::World;
use lb_health::outlier::{Change, Comparison, FailurePercentage, OutlierDetection, SuccessRate};
use lb_types::Nanos;
use proptest::prelude::*;
use std::time::Duration;

#[derive(Clone, Debug)]
enum Step {
    Wait(u64),
    Request(prop::sample::Index, char, u8),
    Count(prop::sample::Index, u64, u64),
    Health(prop::sample::Index, bool),
    Check(prop::sample::Index),
    Remove(prop::sample::Index),
    Add,
    Random(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let at = any::<prop::sample::Index>;
    prop_oneof![
        6 => (0..20_000u64).prop_map(Step::Wait),
        10 => (at(), prop::sample::select(vec!['S', 'X', '5', '3', 'c', 't']), 1..8u8).prop_map(|(a, h, n)| Step::Request(a, h, n)),
        10 => (at(), 0..300u64, 0..300u64).prop_map(|(a, s, f)| Step::Count(a, s, f)),
        3 => (at(), any::<bool>()).prop_map(|(a, h)| Step::Health(a, h)),
        2 => at().prop_map(Step::Check),
        1 => at().prop_map(Step::Remove),
        1 => Just(Step::Add),
        2 => any::<u64>().prop_map(Step::Random),
    ]
}

fn settings() -> impl Strategy<Value = OutlierDetection> {
    (1u32..4, 0u32..4, 1u8..=100, 0u8..=100, any::<[bool; 3]>(), 1u64..60).prop_map(
        |(failures, gateway, percent, jitter, statistics, base)| {
            let rate = statistics[0].then_some(SuccessRate::default());
            let share = statistics[1].then(|| {
                let mut share = FailurePercentage::default();
                share.minimum_hosts = 1;
                share
            });
            let comparison = statistics[2].then_some(Comparison::default());
            OutlierDetection::new()
                .consecutive(failures, gateway, 0)
                .ejection_time(Duration::from_secs(base), Duration::from_secs(base * 5))
                .max_ejection_percent(percent)
                .jitter_percent(jitter)
                .statistics(rate, share, comparison)
        },
    )
}

/// One step, and everything that was told during it.
fn take(world: &mut World, step: &Step, added: &mut u32) -> Vec<Change> {
    let n = world.backends.len();
    match step {
        Step::Wait(ms) => world.until(world.now + Nanos::from_millis(*ms)),
        Step::Random(random) => world.random = *random,
        Step::Add => {
            *added += 1;
            world.add(&format!("x{added}"));
        }
        _ if n == 0 => {}
        Step::Request(at, how, times) => (0..*times).for_each(|_| world.request(at.index(n), *how)),
        Step::Count(at, succeeded, failed) => world.count(at.index(n), *succeeded, *failed),
        Step::Health(at, healthy) => world.set_healthy(at.index(n), *healthy),
        Step::Check(at) => world.check_passed(at.index(n)),
        Step::Remove(at) => world.remove(at.index(n)),
    }
    world.told.drain(..).collect()
}

proptest! {
    #[test]
    fn bounds_hold_whatever_happens(
        settings in settings(), n in 1u8..12, steps in prop::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(settings.clone(), n);
        let mut added = 0;
        let longest = Nanos::from(settings.max_ejection_time * (100 + u32::from(settings.jitter_percent)) / 100);
        for step in &steps {
            let before = world.usable();
            let began = world.now;
            let changes = take(&mut world, step, &mut added);
            let allowed = (world.backends.len() * usize::from(settings.max_ejection_percent) / 100).max(1);
            let ejections = changes.iter().filter(|c| matches!(c, Change::Ejected(_))).count();
            // One that was removed while ejected leaves the others above the bound, but lets nobody in beyond it.
            prop_assert!(ejections == 0 || world.detector.ejected() <= allowed, "{} of {allowed}", world.detector.ejected());
            // No ejection takes the last usable one.
            prop_assert!(ejections == 0 || world.usable() > 0, "{step:?} left nobody of {before}");
            for change in changes {
                if let Change::Ejected(e) = change {
                    prop_assert!(e.until > began && e.until <= world.now + longest);
                    prop_assert!(e.times >= 1 && e.times <= 5, "{} times", e.times);
                }
            }
            let counted = world.backends.iter().filter(|b| world.detector.is_ejected(&b.id)).count();
            prop_assert!(counted <= world.detector.ejected());
            prop_assert!(world.detector.next(world.now) >= world.now);
        }
        // Every ejection ends by itself.
        world.until(world.now + longest + settings.interval.into());
        prop_assert_eq!(world.detector.ejected(), 0);
    }

    #[test]
    fn the_same_events_have_the_same_answers(
        settings in settings(), n in 1u8..8, steps in prop::collection::vec(step(), 1..60),
    ) {
        let run = || {
            let (mut world, mut added) = (World::new(settings.clone(), n), 0);
            steps.iter().flat_map(|s| take(&mut world, s, &mut added)).collect::<Vec<_>>()
        };
        prop_assert_eq!(run(), run());
    }

    /// Of two backends, the one that fails less is never the one that a comparison ejects.
    #[test]
    fn of_two_the_better_one_is_kept(a in (0u64..500, 0u64..500), b in (0u64..500, 0u64..500)) {
        let only = OutlierDetection::new().statistics(None, None, Some(Comparison::default()));
        let mut world = World::new(only, 2);
        world.count(0, a.0, a.1);
        world.count(1, b.0, b.1);
        world.until(Nanos::from_secs(10));
        let share = |(s, f): (u64, u64)| f as f64 / (s + f).max(1) as f64;
        for change in &world.told {
            let Change::Ejected(e) = change else { continue };
            let (ejected, kept) = if e.id == "a" { (a, b) } else { (b, a) };
            prop_assert!(share(ejected) > share(kept));
        }
        prop_assert!(world.told.len() <= 1);
    }
}
