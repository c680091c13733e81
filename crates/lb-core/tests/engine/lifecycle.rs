//! What survives a change and what does not; drains, generations, slots, and who is told.

use crate::common::*;
use lb_core::{Algorithm, Change, PickContext, PoolError, PoolSettings, PoolWatcher};
use lb_types::{BackendPatch, HealthSink, Outcome};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

#[derive(Default)]
struct Told(AtomicUsize);

impl PoolWatcher for Told {
    fn changed(&self) {
        self.0.fetch_add(1, SeqCst);
    }

    fn attention(&self) {}
}

impl Told {
    fn take(&self) -> usize {
        self.0.swap(0, SeqCst)
    }
}

fn watched(w: &World) -> Arc<Told> {
    let told = Arc::new(Told::default());
    assert!(w.pool.set_watcher(told.clone()));
    assert!(!w.pool.set_watcher(told.clone()), "once");
    told
}

#[test]
fn a_draining_backend_gets_nobody_new_and_its_last_release_is_told() {
    for algorithm in Algorithm::all() {
        let mut w = World::of(algorithm, &[1, 1]);
        let told = watched(&w);
        let held: Vec<_> = (0..3).map(|_| w.lease_on(&id(0)).unwrap()).collect();
        w.pool.set_draining(&id(0), true).unwrap();
        assert_eq!(told.take(), 1, "the generation");
        assert_eq!(w.counts(60).keys().collect::<Vec<_>>(), ["b"]);
        let state = held[0].backend().clone();
        for (i, lease) in held.into_iter().enumerate() {
            assert_eq!(told.take(), 0);
            lease.complete(OK);
            assert_eq!((told.take(), state.in_flight()), (usize::from(i == 2), 2 - i as u32));
        }
        w.pool.set_draining(&id(0), false).unwrap();
        assert_eq!(w.counts(90).len(), 2);
    }
}

/// A drain acts at once, on readers of an older snapshot, too.
#[test]
fn an_old_snapshot_gets_nobody_into_a_draining_or_removed_backend() {
    let w = World::of(Algorithm::RoundRobin, &[1, 1, 1]);
    let old = w.pool.snapshot_full();
    w.pool.set_draining(&id(0), true).unwrap();
    w.pool.remove_backend(&id(1)).unwrap();
    for seed in 0..30 {
        let lease = old.acquire(&mut PickContext::new(w.pool.now(), seed)).unwrap();
        assert_eq!(*lease.backend().id(), id(2));
    }
}

#[test]
fn each_release_is_told_while_somebody_waits() {
    let mut w = World::of(Algorithm::P2c, &[1]);
    let told = watched(&w);
    w.once();
    assert_eq!(told.take(), 0);
    w.pool.set_waiters(true);
    w.once();
    drop(w.lease());
    assert_eq!(told.take(), 2);
    w.pool.set_waiters(false);
    w.once();
    assert_eq!(told.take(), 0);
}

/// pingora lost in-flight counters when it built its selector anew.
#[test]
fn counters_survive_every_change_but_a_new_address() {
    let mut w = World::of(Algorithm::WeightedRoundRobin, &[1]);
    w.once();
    w.lease().complete(Outcome::Failure { kind: lb_types::FailureKind::Reset, after: MS(1) });
    drop(w.lease());
    let held = w.lease();
    let before = held.backend().stats();
    assert_eq!((before.in_flight, before.succeeded, before.failed, before.cancelled), (1, 1, 1, 1));
    let state = held.backend().clone();
    let same = |w: &World| {
        let now = w.pool.snapshot_full();
        let m = now.get(&id(0)).unwrap();
        assert!(Arc::ptr_eq(m.state(), &state));
        assert_eq!((m.state().stats(), m.state().latency().count()), (before, 1));
    };
    let mut patch = BackendPatch::weight(9);
    patch.metadata = Some([("zone".to_owned(), "z".to_owned())].into());
    patch.max_connections = Some(Some(5));
    w.pool.update_backend(&id(0), patch).unwrap();
    assert_eq!(held.backend().spec().weight, 9, "the state knows what was configured last");
    same(&w);
    for algorithm in Algorithm::all() {
        w.pool.set_settings(PoolSettings::new(algorithm)).unwrap();
        same(&w);
    }
    w.pool.set_healthy(&id(0), false);
    w.pool.set_healthy(&id(0), true);
    w.pool.add_backend(backend(1, 1)).unwrap();
    same(&w);
    let mut patch = BackendPatch::default();
    patch.url = Some("http://127.0.0.1:81".parse().unwrap());
    w.pool.update_backend(&id(0), patch).unwrap();
    let moved = w.pool.snapshot_full();
    let moved = moved.get(&id(0)).unwrap().state();
    assert_ne!(moved.uid(), state.uid());
    assert_eq!((moved.stats(), moved.in_flight()), (lb_core::BackendStats::default(), 0));
    held.complete(OK);
    assert_eq!((state.in_flight(), moved.in_flight()), (0, 0), "a lease ends where it began");
}

#[test]
fn many_changes_are_one_generation_and_a_bad_one_among_them_changes_nothing() {
    let w = World::of(Algorithm::RoundRobin, &[1, 1]);
    let told = watched(&w);
    let changes = vec![
        Change::Add(backend(2, 1)),
        Change::Update(id(0), BackendPatch::weight(4)),
        Change::Remove(id(1)),
        Change::Drain(id(2), true),
    ];
    assert_eq!(w.pool.apply(changes.clone()), Ok(1));
    assert_eq!((w.pool.snapshot().generation(), told.take()), (1, 1));
    let before = w.pool.snapshot_full();
    for (bad, error) in [
        (Change::Remove(id(7)), PoolError::UnknownId(id(7))),
        (Change::Add(backend(0, 1)), PoolError::DuplicateId(id(0))),
        (Change::Add(lb_types::Backend::new("", backend(0, 1).url)), PoolError::EmptyId),
        (Change::Add(backend(5, 1).max_connections(0)), PoolError::NoConnections(id(5))),
    ] {
        let good = Change::Drain(id(0), true);
        assert_eq!(w.pool.apply(vec![good, bad]), Err(error));
    }
    let zero =
        vec![Change::Update(id(0), BackendPatch::weight(0)), Change::Update(id(2), BackendPatch::weight(0))];
    assert_eq!(w.pool.apply(zero), Err(PoolError::AllZeroWeights(2)));
    assert!(Arc::ptr_eq(&before, &w.pool.snapshot_full()), "not even a new generation");
    assert_eq!((told.take(), before.get(&id(0)).unwrap().state().refusal()), (0, None));
}

#[test]
fn bad_pools_are_errors() {
    let new = |settings, all| {
        lb_core::Pool::new(settings, all, Arc::new(lb_types::ManualClock::default()))
            .err()
            .map(|e| e.to_string())
    };
    let of = |all| new(PoolSettings::default(), all).unwrap();
    assert_eq!(
        of(backends(&[0, 0])),
        "all 2 backends have weight 0: at least one needs a weight of 1 or more"
    );
    assert_eq!(of(vec![backend(0, 1), backend(0, 2)]), "backend id \"a\" is used twice");
    assert_eq!(new(PoolSettings::default(), vec![]), None, "discovery may fill it");
    let settings = with(PoolSettings::default(), |s| s.panic_threshold = 101);
    assert_eq!(new(settings, vec![]).unwrap(), "panic_threshold = 101: must be 0 to 100 percent");
}

#[test]
fn a_slot_is_used_again_only_when_nothing_holds_its_state() {
    let mut w = World::of(Algorithm::LeastConnections, &[1; 30]);
    let lease = w.lease_on(&id(3)).unwrap();
    let slot = lease.backend().slot();
    let slots =
        |w: &World| -> Vec<u32> { w.pool.snapshot().members().iter().map(|m| m.state().slot()).collect() };
    for round in 0..20 {
        w.pool.remove_backend(&id(if round == 0 { 3 } else { 100 + round })).unwrap();
        w.pool.add_backend(backend(101 + round, 1)).unwrap();
        assert!(!slots(&w).contains(&slot), "a lease holds it");
    }
    lease.complete(OK);
    for round in 20..24 {
        w.pool.remove_backend(&id(100 + round)).unwrap();
        w.pool.add_backend(backend(101 + round, 1)).unwrap();
    }
    let mut all = slots(&w);
    assert!(all.iter().all(|&s| s < 40), "slots stay dense over many changes: {all:?}");
    all.sort_unstable();
    all.dedup();
    assert_eq!(all.len(), 30, "no two share one");
}

#[test]
fn a_dropped_lease_is_a_cancellation() {
    let mut w = World::of(Algorithm::RoundRobin, &[1]);
    let lease = w.lease();
    let state = lease.backend().clone();
    assert_eq!(lease.started(), w.pool.now());
    drop(lease);
    assert_eq!((state.stats().cancelled, state.stats().requests(), state.in_flight()), (1, 1, 0));
}
