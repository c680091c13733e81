//! Regions: a client's own first, then the fallback, then any; and within a region everything as in a pool of its own.

use crate::common::*;
use lb_core::{Algorithm, PoolSettings, Region, Regions, SelectError};
use lb_types::{BackendPatch, Exclusion, HealthSink};

/// `r0`: a d, `r1`: b e, `r2`: c f; in no region: g. The fallback is `r0`.
fn world(algorithm: Algorithm) -> World {
    let settings = with(PoolSettings::new(algorithm), |s| s.regions = Some(in_turn(7, 3)));
    World::new(settings, backends(&[1; 7]))
}

/// Who serves clients of this region, each once, in order of their names.
fn serving(w: &mut World, region: Option<u16>) -> String {
    let mut who: Vec<_> = (0..60)
        .map(|_| {
            let mut cx = w.cx();
            cx.region = region;
            let lease = w.pool.acquire(&mut cx).unwrap();
            let id = lease.backend().id().to_string();
            lease.complete(OK);
            id
        })
        .collect();
    who.sort_unstable();
    who.dedup();
    who.concat()
}

#[test]
fn own_region_then_fallback_then_any_under_every_algorithm() {
    for algorithm in Algorithm::all() {
        let name = algorithm.name();
        let mut w = world(algorithm);
        let sees = |w: &mut World| [Some(0), Some(1), Some(2), None].map(|r| serving(w, r)).join(" ");
        assert_eq!(sees(&mut w), "ad be cf ad", "{name}");
        w.pool.set_healthy(&id(1), false);
        assert_eq!(sees(&mut w), "ad e cf ad", "{name}: half a region is still the region");
        w.pool.set_healthy(&id(4), false);
        assert_eq!(sees(&mut w), "ad ad cf ad", "{name}: the fallback");
        w.pool.set_healthy(&id(0), false);
        w.pool.set_healthy(&id(3), false);
        assert_eq!(sees(&mut w), "cf cf cf cf", "{name}: any");
        w.pool.set_healthy(&id(2), false);
        w.pool.set_healthy(&id(5), false);
        assert_eq!(sees(&mut w), "g g g g", "{name}: who is in no region comes last");
        assert!(!w.pool.snapshot().is_panicking());
        w.pool.set_healthy(&id(6), false);
        assert_eq!(
            sees(&mut w),
            "ad be cf ad",
            "{name}: panic is for the whole pool, and everybody's own then"
        );
        assert!(w.pool.snapshot().is_panicking());
    }
}

#[test]
fn a_full_region_passes_on_what_it_cannot_take_and_tried_ones_are_last() {
    let settings = with(PoolSettings::default(), |s| {
        s.regions = Some(in_turn(4, 2)); // a c | b | d in none
        s.max_connections = Some(1);
    });
    let mut w = World::new(settings, backends(&[1; 4]));
    let mut cx = w.cx();
    cx.region = Some(1);
    let held: Vec<_> = (0..4).map(|_| w.pool.acquire(&mut cx).unwrap()).collect();
    let order: String = held.iter().map(|l| l.backend().id().to_string()).collect();
    assert!(order == "bacd" || order == "bcad", "{order}");
    let said = w.pool.explain(&cx);
    assert!(said.candidates.iter().all(|c| c.excluded == Some(Exclusion::ConnectionLimit)));
    assert!(w.pool.acquire(&mut cx).unwrap_err().is_at_limit());
    drop(held);
    let own = w.state(1);
    cx.tried(&own);
    assert_ne!(
        w.pool.acquire(&mut cx).unwrap().backend().id(),
        own.id(),
        "another region before a second try"
    );
    (0..4).for_each(|i| cx.tried(&w.state(i)));
    assert_eq!(w.pool.acquire(&mut cx).unwrap().backend().id(), own.id(), "then its own again");
    cx.repeats = false;
    assert!(matches!(w.pool.acquire(&mut cx), Err(SelectError::NoneUsable(_))));
}

#[test]
fn an_explanation_names_the_region() {
    let mut w = world(Algorithm::default());
    let mut cx = w.cx();
    cx.region = Some(1);
    let said = w.pool.explain(&cx);
    assert_eq!((said.algorithm, said.region.as_deref()), ("geo-based", Some("r1")));
    let why: Vec<_> = said.candidates.iter().map(|c| c.excluded.map(Exclusion::as_str)).collect();
    let other = Some("other-region");
    assert_eq!(why, [other, None, other, other, None, other, other]);
}

#[test]
fn backups_and_priorities_are_a_regions_own() {
    let regions = Regions {
        list: vec![
            Region { name: "eu".into(), backends: [id(0), id(1)].into() },
            Region { name: "us".into(), backends: [id(2), id(3)].into() },
        ],
        fallback: None,
    };
    let settings = with(PoolSettings::default(), |s| s.regions = Some(regions));
    let list = vec![backend(0, 1), backend(1, 1).backup(true), backend(2, 1).priority(1), backend(3, 1)];
    let mut w = World::new(settings, list);
    assert_eq!((serving(&mut w, Some(0)), serving(&mut w, Some(1))), ("a".into(), "d".into()));
    w.pool.set_healthy(&id(0), false);
    assert_eq!(serving(&mut w, Some(0)), "b", "its own backup before another region");
    w.pool.set_healthy(&id(3), false);
    assert_eq!(serving(&mut w, Some(1)), "c");
}

#[test]
fn a_backend_that_comes_later_says_where_it_is() {
    let mut w = world(Algorithm::default());
    w.pool.add_backend(backend(7, 1).metadata("region", "r2")).unwrap();
    assert_eq!(serving(&mut w, Some(2)), "cfh");
    let mut patch = BackendPatch::default();
    patch.metadata = Some([("region".into(), "r1".into())].into());
    w.pool.update_backend(&id(7), patch).unwrap();
    assert_eq!((serving(&mut w, Some(2)), serving(&mut w, Some(1))), ("cf".into(), "beh".into()));
}
