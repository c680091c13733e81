//! The hash family: who has a key, and who keeps it when something changes.

use crate::common::*;
use lb_core::{Algorithm, Hashing, IpHash, PoolSettings};
use lb_types::{Backend, HealthSink, KeySource, RequestInfo};
use proptest::prelude::*;
use std::net::IpAddr;

/// Real picks of nginx, see `tests/data/README.md`.
const NGINX: &str = include_str!("../data/sample-nginx-upstream.csv");

#[test]
fn ring_hash_agrees_with_all_1_001_picks_of_nginx() {
    let hosts = (1..=9).map(|i| format!("10.0.0.{i}:443"));
    let all =
        hosts.map(|h| Backend::new(h.as_str(), format!("http://{h}").parse().unwrap()).weight(100)).collect();
    let w = World::new(PoolSettings::new(Algorithm::RingHash(Hashing::default())), all);
    let picks: Vec<_> = NGINX.lines().map(|l| l.split_once(',').unwrap()).collect();
    assert_eq!(picks.len(), 1_001);
    for (uri, upstream) in picks {
        assert_eq!(w.of_key(uri.as_bytes()).unwrap(), *upstream, "{uri}");
    }
}

#[test]
fn maglev_with_one_of_100_removed_moves_at_most_2_percent_of_the_others_keys() {
    let w = World::of(Algorithm::from_name("maglev").unwrap(), &[1; 100]);
    let before = w.mapping(20_000);
    for gone in [0, 42, 99] {
        w.pool.remove_backend(&id(gone)).unwrap();
        let after = w.mapping(20_000);
        let others = before.iter().zip(&after).filter(|(b, _)| **b != id(gone));
        let (all, moved) = others.fold((0, 0), |(n, m), (b, a)| (n + 1, m + usize::from(a != b)));
        assert!(moved * 50 <= all, "{moved} of {all} keys of others moved");
        w.pool.add_backend(backend(gone, 1)).unwrap();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn removal_moves_exactly_the_removed_ones_keys(weights in prop::collection::vec(1u32..4, 2..25), gone: prop::sample::Index) {
        let gone = id(gone.index(weights.len()));
        for name in ["ip-hash", "ring-hash", "rendezvous"] {
            let w = World::of(Algorithm::from_name(name).unwrap(), &weights);
            let before = w.mapping(500);
            w.pool.remove_backend(&gone).unwrap();
            for (b, a) in before.iter().zip(w.mapping(500)) {
                prop_assert!(*b == gone || *b == a, "{name}: a key of {b} moved to {a}");
            }
        }
    }

    /// However many are down already, a flip moves the flipped one's keys alone, and its return restores each of them.
    #[test]
    fn a_health_flip_moves_only_the_flipped_ones_keys(
        weights in prop::collection::vec(1u32..4, 2..40),
        down in prop::collection::vec(any::<bool>(), 40),
        flip: prop::sample::Index,
    ) {
        let n = weights.len();
        let flip = flip.index(n);
        prop_assume!((0..n).any(|i| i != flip && !down[i]));
        for algorithm in hash_family() {
            let w = World::of(algorithm.clone(), &weights);
            let all_up = w.mapping(300);
            (0..n).filter(|&i| i != flip && down[i]).for_each(|i| w.pool.set_healthy(&id(i), false));
            let before = w.mapping(300);
            w.pool.set_healthy(&id(flip), false);
            for (b, a) in before.iter().zip(w.mapping(300)) {
                prop_assert!(if *b == id(flip) { a != id(flip) } else { *b == a }, "{}: {b} → {a}", algorithm.name());
            }
            w.pool.set_healthy(&id(flip), true);
            prop_assert_eq!(&w.mapping(300), &before, "{}", algorithm.name());
            (0..n).for_each(|i| w.pool.set_healthy(&id(i), true));
            prop_assert_eq!(&w.mapping(300), &all_up, "{}", algorithm.name());
        }
    }

    /// One hot key, and a bound: nobody holds more than its share of the load × the factor, rounded up.
    #[test]
    fn bounded_load_keeps_its_bound(n in 2usize..20, factor in 101u32..300, requests in 1u64..150, hot in 1u64..4) {
        for algorithm in bounded(factor) {
            prop_assert!(keeps_its_bound(&algorithm, n, factor, requests, hot), "{}", algorithm.name());
        }
    }
}

fn keeps_its_bound(algorithm: &Algorithm, n: usize, factor: u32, requests: u64, hot: u64) -> bool {
    let w = World::of(algorithm.clone(), &vec![1; n]);
    let mut held = vec![];
    (0..requests).all(|r| {
        let mut cx = lb_core::PickContext::new(w.pool.now(), r);
        cx.key = w.pool.key_of(&(r % hot).to_le_bytes());
        let lease = w.pool.acquire(&mut cx).unwrap();
        let bound = (u64::from(factor) * (r + 1)).div_ceil(100 * n as u64);
        let within = u64::from(lease.backend().in_flight()) <= bound;
        held.push(lease);
        within
    })
}

/// Maglev tries a key so often and no more: with a tight bound all that it tried could be over it, while others were not.
#[test]
fn the_bound_holds_beyond_the_tables_reach() {
    for algorithm in bounded(102) {
        assert!(keeps_its_bound(&algorithm, 14, 102, 68, 2), "{}", algorithm.name());
    }
}

/// With 49 of 50 down nearly every key is beyond the table's own choices: the scan must be consistent, too.
#[test]
fn keys_that_the_table_finds_nobody_for_keep_their_backend() {
    let w = World::of(Algorithm::from_name("maglev").unwrap(), &[1; 50]);
    (4..50).for_each(|i| w.pool.set_healthy(&id(i), false));
    let before = w.mapping(3_000);
    w.pool.set_healthy(&id(2), false);
    for (b, a) in before.iter().zip(w.mapping(3_000)) {
        assert!(*b == id(2) || *b == a, "a key of {b} moved to {a}");
    }
}

#[test]
fn each_source_of_keys_is_looked_at() {
    let headers = [("x-user", "u1"), ("cookie", "s=c1")];
    let ip: IpAddr = "192.0.2.7".parse().unwrap();
    let request = RequestInfo {
        client_ip: Some(ip),
        path: "/p",
        query: Some("q=v"),
        headers: &headers,
        ..RequestInfo::default()
    };
    for (source, text) in [("header:X-User", "u1"), ("cookie:s", "c1"), ("query:q", "v"), ("path", "/p")] {
        let key = KeySource::parse(source).unwrap();
        let w = World::of(Algorithm::Maglev(Hashing { key, balance_factor: None }), &[1, 1]);
        assert_eq!(w.pool.key(&request), w.pool.key_of(text.as_bytes()), "{source}");
        assert!(w.pool.key(&request).is_some());
    }
    let w = World::of(Algorithm::Rendezvous(Hashing::default()), &[1]);
    assert_eq!(w.pool.key(&request), w.pool.key_of(&[192, 0, 2, 7]));
    assert_eq!(w.pool.key(&RequestInfo::default()), None, "no address: no key");
    assert_eq!(World::of(Algorithm::P2c, &[1]).pool.key(&request), None);
}

#[test]
fn ip_hash_keeps_a_network_together_if_told_to() {
    let w = World::of(Algorithm::IpHash(IpHash { ipv4_prefix: 24, ipv6_prefix: 64 }), &[1; 9]);
    let key = |ip: &str| w.pool.key(&RequestInfo::from_ip(ip.parse().unwrap()));
    assert_eq!(key("198.51.100.1"), key("198.51.100.200"));
    assert_eq!(key("2001:db8::1"), key("2001:db8::ffff:1"));
    assert_ne!(key("198.51.100.1"), key("198.51.101.1"));
}

#[test]
fn a_request_without_a_key_goes_anywhere_but_stays_there() {
    let w = World::of(Algorithm::Rendezvous(Hashing::default()), &[1; 20]);
    let mut seen = std::collections::BTreeSet::new();
    for seed in 0..200 {
        let mut cx = lb_core::PickContext::new(w.pool.now(), seed);
        let first = w.pool.acquire(&mut cx).unwrap().backend().id().clone();
        assert_eq!(
            w.pool.acquire(&mut cx).unwrap().backend().id(),
            &first,
            "the drawn key stays with the request"
        );
        seen.insert(first);
    }
    assert_eq!(seen.len(), 20);
}
