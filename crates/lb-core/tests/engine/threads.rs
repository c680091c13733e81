//! The pool's promises under several threads at once. Each loop is bounded by a count, none by time.

use crate::common::*;
use lb_core::{Algorithm, Change, PickContext, PoolSettings};
use lb_types::BackendPatch;
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::SeqCst};

/// Two threads, two backends, one request each: one on each, whoever comes first.
#[test]
fn two_threads_never_sit_on_one_backend_while_the_other_is_idle() {
    let w = World::of(Algorithm::LeastConnections, &[1, 1]);
    let barrier = Barrier::new(2);
    let slots = [AtomicU32::new(9), AtomicU32::new(9)];
    std::thread::scope(|s| {
        for t in 0..2 {
            let (pool, barrier, slots) = (w.pool.clone(), &barrier, &slots);
            s.spawn(move || {
                for round in 0..1_500 {
                    barrier.wait();
                    let lease = pool.acquire(&mut PickContext::new(pool.now(), round)).unwrap();
                    slots[t].store(lease.backend().slot(), SeqCst);
                    barrier.wait();
                    assert_ne!(slots[0].load(SeqCst), slots[1].load(SeqCst), "round {round}");
                    lease.complete(OK);
                }
            });
        }
    });
}

#[test]
fn limits_are_exact_and_below_them_nobody_is_refused() {
    for algorithm in Algorithm::all() {
        let mut all = backends(&[1, 1]);
        // Four threads: b alone has room for all of them; a is full most of the time.
        all[0].max_connections = Some(2);
        all[1].max_connections = Some(4);
        let w = World::new(PoolSettings::new(algorithm.clone()), all);
        let inside = [AtomicU32::new(0), AtomicU32::new(0)];
        std::thread::scope(|s| {
            for t in 0..4u64 {
                let (pool, inside, name) = (w.pool.clone(), &inside, algorithm.name());
                s.spawn(move || {
                    for round in 0..400 {
                        let mut cx = PickContext::new(pool.now(), t << 32 | round);
                        let lease = pool.acquire(&mut cx).unwrap_or_else(|e| panic!("{name}: {e}"));
                        let (slot, max) = (lease.backend().slot() as usize, [2, 4]);
                        assert!(inside[slot].fetch_add(1, SeqCst) < max[slot], "{name}");
                        std::thread::yield_now();
                        inside[slot].fetch_sub(1, SeqCst);
                        lease.complete(OK);
                    }
                });
            }
        });
        assert_eq!((w.in_flight(&id(0)), w.in_flight(&id(1))), (0, 0), "{}", algorithm.name());
    }
}

#[test]
fn after_set_draining_returned_nobody_new_gets_in() {
    for algorithm in [Algorithm::RoundRobin, Algorithm::LeastConnections, hash_family()[1].clone()] {
        let n = if algorithm == Algorithm::LeastConnections { 30 } else { 3 };
        let w = World::of(algorithm, &vec![1; n]);
        let stop = AtomicBool::new(false);
        let drained = AtomicBool::new(false);
        std::thread::scope(|s| {
            for t in 0..2u64 {
                let (pool, stop, drained) = (w.pool.clone(), &stop, &drained);
                s.spawn(move || {
                    let mut round = t << 40;
                    while !stop.load(SeqCst) {
                        round += 1;
                        let after = drained.load(SeqCst);
                        let lease = pool.acquire(&mut PickContext::new(pool.now(), round)).unwrap();
                        assert!(!(after && *lease.backend().id() == id(0)), "let in after the drain");
                        lease.complete(OK);
                        // Keep the flag's meaning: `true` is read only between a drain and the next opening.
                        if after {
                            std::thread::yield_now();
                        }
                    }
                });
            }
            let state = w.pool.snapshot().get(&id(0)).unwrap().state().clone();
            for _ in 0..50 {
                w.pool.set_draining(&id(0), true).unwrap();
                // What is in finishes: a bounded wait, for the threads hold nothing for long.
                let empty = (0..10_000_000).any(|_| {
                    std::thread::yield_now();
                    state.in_flight() == 0
                });
                assert!(empty);
                let before = state.stats().requests();
                (0..50).for_each(|_| std::thread::yield_now());
                assert_eq!(
                    (state.in_flight(), state.stats().requests()),
                    (0, before),
                    "shut and empty: it stays so"
                );
                w.pool.set_draining(&id(0), false).unwrap();
            }
            w.pool.set_draining(&id(0), true).unwrap();
            drained.store(true, SeqCst);
            (0..2_000).for_each(|_| std::thread::yield_now());
            stop.store(true, SeqCst);
        });
    }
}

/// Readers see one generation or the next, never a mix: two weights that are changed together always have one sum.
#[test]
fn readers_never_see_half_a_change() {
    let w = World::of(Algorithm::WeightedRoundRobin, &[1, 9]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        let (pool, stop) = (w.pool.clone(), &stop);
        s.spawn(move || {
            let mut last = 0;
            while !stop.load(SeqCst) {
                let snapshot = pool.snapshot_full();
                assert_eq!(snapshot.members().iter().map(lb_core::Member::weight).sum::<u32>(), 10);
                assert!(snapshot.generation() >= last, "generations count up");
                last = snapshot.generation();
            }
        });
        for i in 0..2_000 {
            let a = 1 + i % 9;
            let both =
                [(0, a), (1, 10 - a)].map(|(b, weight)| Change::Update(id(b), BackendPatch::weight(weight)));
            w.pool.apply(both.into()).unwrap();
        }
        stop.store(true, SeqCst);
    });
}

/// Membership, limits, algorithm and health change under load; at the end every count is back at 0 and least-connections exact.
#[test]
fn nothing_is_lost_while_everything_changes() {
    let w = World::of(Algorithm::LeastConnections, &[1; 40]);
    let stop = AtomicBool::new(false);
    std::thread::scope(|s| {
        for t in 0..3u64 {
            let (pool, stop) = (w.pool.clone(), &stop);
            s.spawn(move || {
                let mut rng = fastrand::Rng::with_seed(t);
                let mut held = vec![];
                while !stop.load(SeqCst) {
                    let lease = pool.acquire(&mut PickContext::new(pool.now(), rng.u64(..)));
                    held.push(lease.expect("40 backends stay"));
                    if held.len() > 20 {
                        held.swap_remove(rng.usize(..held.len())).complete(OK);
                    }
                }
            });
        }
        let mut rng = fastrand::Rng::with_seed(77);
        let bounded = bounded(125);
        for round in 0..120 {
            let fresh = 1_000 + round;
            w.pool.add_backend(backend(fresh, 1 + rng.u32(..3))).unwrap();
            if round >= 5 {
                w.pool.remove_backend(&id(fresh - 5)).unwrap();
            }
            if round % 7 == 0 {
                let algorithm =
                    if rng.bool() { Algorithm::LeastConnections } else { bounded[rng.usize(..3)].clone() };
                w.pool.set_settings(PoolSettings::new(algorithm)).unwrap();
            }
        }
        stop.store(true, SeqCst);
    });
    w.pool.set_settings(PoolSettings::new(Algorithm::LeastConnections)).unwrap();
    let snapshot = w.pool.snapshot_full();
    assert!(snapshot.members().iter().all(|m| m.state().in_flight() == 0));
    let mut w = w;
    let n = snapshot.members().len();
    (0..5).for_each(|i| drop(w.pool.update_backend(&id(1_115 + i), BackendPatch::weight(1))));
    assert_eq!(w.counts(n).len(), n, "all idle: one each");
}

/// A worker's reader follows every change that returned before it picks.
#[test]
fn a_reader_never_lags_behind_a_change_that_returned() {
    let w = World::of(Algorithm::RoundRobin, &[1, 1]);
    let mut reader = w.pool.reader();
    for i in 0..100 {
        w.pool.set_draining(&id(i % 2), true).unwrap();
        for seed in 0..3 {
            let lease = reader.acquire(&mut PickContext::new(w.pool.now(), seed)).unwrap();
            assert_eq!(*lease.backend().id(), id(1 - i % 2));
        }
        assert_eq!(reader.snapshot().generation(), w.pool.snapshot().generation());
        w.pool.set_draining(&id(i % 2), false).unwrap();
    }
}

/// Seen end to end, once in 13 198 requests: a removed backend's gate shut before the snapshot with its successors was published, and
/// a pick between the two found nobody.
#[test]
fn a_pool_whose_backends_are_all_exchanged_refuses_nobody() {
    for algorithm in Algorithm::all() {
        let w = World::of(algorithm.clone(), &[1]);
        let done = AtomicBool::new(false);
        std::thread::scope(|s| {
            for t in 0..2u64 {
                let (pool, done, name) = (w.pool.clone(), &done, algorithm.name());
                s.spawn(move || {
                    for round in 0..200_000u64 {
                        if done.load(SeqCst) {
                            break;
                        }
                        let mut cx = PickContext::new(pool.now(), t << 32 | round);
                        pool.acquire(&mut cx).unwrap_or_else(|e| panic!("{name}: {e}")).complete(OK);
                    }
                });
            }
            for i in 0..48 {
                let (old, new) = (id(i % 2), backend(1 - i % 2, 1));
                // By removal, by drain, by disabling: each in one generation with the successor.
                let away = match i % 3 {
                    0 => vec![Change::Remove(old.clone())],
                    1 => vec![Change::Drain(old.clone(), true)],
                    _ => {
                        let mut off = BackendPatch::default();
                        off.disabled = Some(true);
                        vec![Change::Update(old.clone(), off)]
                    }
                };
                w.pool.apply([vec![Change::Add(new)], away].concat()).unwrap();
                if i % 3 != 0 {
                    w.pool.remove_backend(&old).unwrap();
                }
            }
            done.store(true, SeqCst);
        });
    }
}
