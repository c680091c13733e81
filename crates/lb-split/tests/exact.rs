//! Exactness and whole changes, with threads.

use lb_split::{Percent, Split};
use lb_types::Nanos;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Barrier};
use std::time::Duration;

fn percent(percent: f64) -> Percent {
    Percent::try_from(percent).unwrap()
}

fn split(targets: &[(&str, f64)], sticky: bool) -> Split {
    let targets: Vec<_> = targets.iter().map(|&(name, p)| (name, percent(p))).collect();
    Split::new("checkout", &targets, sticky).unwrap()
}

/// Counts what `threads` threads were given, all together, and looks at the counts after every thousand requests.
fn in_rounds(split: &Split, threads: u64, rounds: u64, look: impl Fn(u64, &[u64]) + Sync) {
    let counts: Vec<AtomicU64> = split.targets().iter().map(|_| AtomicU64::new(0)).collect();
    let barrier = Barrier::new(threads as usize);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            let (counts, barrier, look) = (&counts, &barrier, &look);
            scope.spawn(move || {
                for round in 1..=rounds {
                    for _ in 0..1_000 / threads {
                        counts[split.choose(None, Nanos::ZERO)].fetch_add(1, SeqCst);
                    }
                    barrier.wait();
                    if thread == 0 {
                        look(
                            round * 1_000,
                            &counts.iter().map(|count| count.load(SeqCst)).collect::<Vec<_>>(),
                        );
                    }
                    barrier.wait();
                }
            });
        }
    });
}

#[test]
fn ninety_to_ten_is_exact_over_several_workers() {
    for threads in [1, 2, 4, 8] {
        in_rounds(&split(&[("blue", 90.0), ("green", 10.0)], false), threads, 100, |requests, counts| {
            assert_eq!(counts, [requests * 9 / 10, requests / 10], "{threads} threads");
        });
    }
}

#[test]
fn four_targets_are_within_one_request_over_several_workers() {
    let percents = [33.33, 0.01, 45.6, 21.06];
    let names = ["a", "b", "c", "d"];
    let targets: Vec<_> = names.into_iter().zip(percents).collect();
    in_rounds(&split(&targets, false), 4, 50, |requests, counts| {
        for (i, percent) in percents.into_iter().enumerate() {
            let off = (counts[i] as f64 - requests as f64 * percent / 100.0).abs();
            assert!(off < 5.0 / 6.0 + 1e-6, "{i}: {off} after {requests}");
        }
    });
}

#[test]
fn a_shift_is_exact_at_every_request() {
    let split = split(&[("blue", 100.0), ("green", 0.0)], false);
    split.shift(&[percent(20.0), percent(80.0)], Duration::from_secs(10), "test", Nanos::ZERO).unwrap();
    let (mut green, mut due) = (0.0, 0.0);
    for request in 0..100_000u64 {
        let now = Nanos::from_micros(request * 110);
        due += f64::from(split.percents(now)[1]) / 100.0;
        green += split.choose(None, now) as f64;
        assert!((green - due).abs() <= 0.5 + 1e-6, "{green} of {due} after {request}");
    }
    // The area under the ramp, and what came after it.
    let expected = 0.4 * 10.0 / 11.0 + 0.8 / 11.0;
    assert!((green / 100_000.0 - expected).abs() < 0.001, "{green}");
}

#[test]
fn a_shift_of_everything_is_exact_to_its_end() {
    let split = split(&[("a", 50.0), ("b", 50.0), ("c", 0.0)], false);
    split
        .shift(&[percent(0.0), percent(0.0), percent(100.0)], Duration::from_secs(10), "test", Nanos::ZERO)
        .unwrap();
    let (mut got, mut due) = ([0.0; 3], [0.0; 3]);
    for request in 0..100_000u64 {
        let now = Nanos::from_micros(request * 110);
        got[split.choose(None, now)] += 1.0;
        for (i, percent) in split.percents(now).into_iter().enumerate() {
            due[i] += f64::from(percent) / 100.0;
            assert!(
                (-2.0 - 1e-6..=1.0 + 1e-6).contains(&(got[i] - due[i])),
                "{got:?} of {due:?} after {request}"
            );
        }
    }
}

#[test]
fn clients_never_flap_while_a_side_grows_under_their_feet() {
    let split = Arc::new(split(&[("blue", 100.0), ("green", 0.0)], true));
    let done = AtomicBool::new(false);
    let moved: usize = std::thread::scope(|scope| {
        let readers: Vec<_> = (0..3)
            .map(|reader| {
                let (split, done) = (&split, &done);
                scope.spawn(move || {
                    let mut sides = vec![0; 500];
                    loop {
                        let last = done.load(SeqCst);
                        for (client, side) in sides.iter_mut().enumerate() {
                            let now = split.choose(Some((client * 20 + reader) as u32), Nanos::ZERO);
                            assert!(now >= *side, "client {client} went back");
                            *side = now;
                        }
                        if last {
                            return sides.iter().sum::<usize>();
                        }
                    }
                })
            })
            .collect();
        for p in 1..=80u16 {
            split.canary(Percent::from_hundredths(p * 100).unwrap(), "test", Nanos::ZERO).unwrap();
        }
        done.store(true, SeqCst);
        readers.into_iter().map(|reader| reader.join().unwrap()).sum()
    });
    assert_eq!(moved, 3 * 400);
}

#[test]
fn readers_never_see_half_a_change() {
    // From all to the first to all to the last, and back: whoever saw a mixture could be sent to the one between.
    let split = split(&[("a", 100.0), ("b", 0.0), ("c", 0.0)], true);
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for reader in 0..3u32 {
            let (split, done) = (&split, &done);
            scope.spawn(move || {
                let mut request = 0u32;
                while !done.load(SeqCst) {
                    request = request.wrapping_add(1);
                    let point = request.is_multiple_of(2).then_some((request * 7 + reader) % 10_000);
                    assert_ne!(split.choose(point, Nanos::ZERO), 1);
                    let percents = split.percents(Nanos::ZERO);
                    assert!(percents[0] == Percent::ALL || percents[2] == Percent::ALL, "{percents:?}");
                }
            });
        }
        for change in 0..500 {
            split.switch_to(["c", "a"][change % 2], "test", Nanos::ZERO).unwrap();
        }
        done.store(true, SeqCst);
    });
}
