//! What a backend's agent says of it.

use crate::common::*;
use lb_core::{Algorithm, Member, PoolSettings, SlowStart};
use lb_types::{AgentSink, Exclusion, HealthSink};
use std::time::Duration;

fn report(w: &World, i: usize, text: &str) {
    w.pool.agent_report(&id(i), text.parse().unwrap());
}

fn weights(w: &World) -> Vec<u32> {
    w.pool.snapshot().members().iter().map(Member::weight).collect()
}

#[test]
fn its_weight_is_a_share_of_the_configured_one() {
    let mut w = World::of(Algorithm::WeightedRoundRobin, &[2, 1]);
    report(&w, 0, "50%");
    assert_eq!(weights(&w), [100, 100]);
    assert_eq!(w.order(4), "a b a b");
    report(&w, 1, "200%");
    assert_eq!(w.counts(30)["b"], 20);
    report(&w, 0, "100%");
    report(&w, 1, "100%");
    assert_eq!(weights(&w), [2, 1]);
    // Rotation knows no configured weights, but the agent's.
    let mut w = World::of(Algorithm::RoundRobin, &[9, 1]);
    report(&w, 0, "25%");
    assert_eq!(w.counts(50)["a"], 10);
}

#[test]
fn it_drains_and_keeps_a_drain_of_the_users_apart() {
    let mut w = World::of(Algorithm::LeastConnections, &[1, 1]);
    for words in ["drain", "0%"] {
        report(&w, 0, words);
        assert_eq!(w.pool.snapshot().get(&id(0)).unwrap().exclusion(), Some(Exclusion::Draining));
        assert!(w.lease_on(&id(0)).is_none(), "{words}: its gate is shut");
        report(&w, 0, "ready 100%");
        assert!(w.lease_on(&id(0)).is_some(), "{words}");
    }
    w.pool.set_draining(&id(0), true).unwrap();
    report(&w, 0, "ready");
    assert!(w.lease_on(&id(0)).is_none(), "who drained it must undrain it");
}

#[test]
fn maintenance_takes_it_out_even_in_panic_and_down_is_unhealthy() {
    let mut w = World::of(Algorithm::Random, &[1, 1]);
    report(&w, 0, "maint");
    assert_eq!(w.pool.snapshot().get(&id(0)).unwrap().exclusion(), Some(Exclusion::Maintenance));
    w.pool.set_healthy(&id(1), false);
    assert_eq!(w.counts(9).keys().collect::<Vec<_>>(), ["b"]);
    report(&w, 0, "ready");
    assert_eq!(w.counts(9).keys().collect::<Vec<_>>(), ["a"]);
    report(&w, 0, "down #disk");
    let snapshot = w.pool.snapshot_full();
    assert!(!snapshot.get(&id(0)).unwrap().is_healthy() && snapshot.is_panicking());
    report(&w, 0, "up");
    assert_eq!(w.counts(9).keys().collect::<Vec<_>>(), ["a"]);
}

#[test]
fn its_limit_counts_before_the_configured_one() {
    let mut w = World::new(PoolSettings::default(), vec![backend(0, 1).max_connections(3)]);
    report(&w, 0, "maxconn:1");
    let _one = w.lease();
    let mut cx = w.cx();
    assert!(w.pool.acquire(&mut cx).unwrap_err().is_at_limit());
}

#[test]
fn the_same_report_again_publishes_nothing_and_an_unknown_id_is_ignored() {
    let w = World::of(Algorithm::Random, &[1]);
    report(&w, 0, "up 80%");
    let generation = w.pool.snapshot().generation();
    report(&w, 0, "80%");
    report(&w, 0, "# nothing new");
    report(&w, 5, "drain");
    assert_eq!(w.pool.snapshot().generation(), generation);
    assert_eq!(w.pool.snapshot().get(&id(0)).unwrap().agent(), "up 80%".parse().unwrap());
}

#[test]
fn it_comes_back_through_slow_start() {
    let slow_start = Some(SlowStart { window: Duration::from_secs(100), ..SlowStart::default() });
    let settings = with(PoolSettings::default(), |s| s.slow_start = slow_start);
    let w = World::new(settings, backends(&[1, 1]));
    report(&w, 0, "maint");
    report(&w, 0, "ready");
    assert_eq!(weights(&w), [10, 100]);
}
