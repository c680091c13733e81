//! The table's bound, order and expiry, by hand and against a model.

use super::*;
use proptest::prelude::*;

const S: fn(u64) -> Nanos = Nanos::from_secs;

fn id(n: u8) -> SessionId {
    SessionId::from_random(n.into())
}

fn bound(backend: &str) -> Record {
    Record { backend: Some(backend.into()), created: 0, epoch: 0 }
}

fn put(table: &Table, n: u8, now: Nanos) {
    table.update(id(n), now, |_| Some(bound("a")));
}

fn there(table: &Table, now: Nanos, of: std::ops::Range<u8>) -> Vec<u8> {
    of.filter(|&n| table.peek(id(n), now).is_some()).collect()
}

#[test]
fn the_longest_unused_makes_room() {
    let table = Table::new(4, S(60), 7);
    (0..4).for_each(|n| put(&table, n, S(n.into())));
    assert!(table.look_up(id(0), S(4), None).is_some());
    put(&table, 4, S(5));
    put(&table, 5, S(6));
    assert_eq!(there(&table, S(6), 0..9), [0, 3, 4, 5], "1 and 2 were the oldest");
    let counts = table.counts();
    assert_eq!((counts.active, counts.total, counts.evicted), (4, 6, 2));
}

#[test]
fn idle_sessions_expire_and_used_ones_do_not() {
    let table = Table::new(100, S(60), 7);
    put(&table, 0, S(0));
    put(&table, 1, S(0));
    for now in (0..=180).step_by(60) {
        assert!(table.look_up(id(0), S(now), None).is_some(), "{now}");
    }
    assert_eq!(there(&table, S(60), 0..9), [0, 1], "a look at another time changes nothing");
    assert!(table.look_up(id(1), S(61), None).is_none());
    table.sweep(S(1_000));
    let counts = table.counts();
    assert_eq!((counts.active, counts.expired, counts.evicted), (0, 2, 0));
    assert_eq!(counts.ticks, 1_800, "180 s of the one, 0 of the other");
}

#[test]
fn a_tombstone_is_not_renewed_by_look_ups() {
    let table = Table::new(100, S(60), 7);
    put(&table, 0, S(0));
    table.update(id(0), S(10), |r| r.map(|r| Record { backend: None, ..r.clone() }));
    for now in 11..=70 {
        assert_eq!(table.look_up(id(0), S(now), None).map(|f| f.record.backend), Some(None), "{now}");
    }
    assert!(table.look_up(id(0), S(71), None).is_none());
    assert_eq!((table.counts().active, table.counts().tombstones), (0, 0));
}

#[test]
fn one_caller_is_told_that_a_sync_is_due() {
    let table = Table::new(100, S(60), 7);
    put(&table, 0, S(0));
    let due = |now| table.look_up(id(0), now, Some(S(10))).is_some_and(|f| f.sync_due);
    assert!(due(S(0)), "never compared");
    assert!(!due(S(0)) && !due(S(9)));
    assert!(due(S(10)) && !due(S(10)));
}

#[test]
fn a_big_table_stays_within_its_bound() {
    let table = Table::new(100_000, S(60), 7);
    assert_eq!(table.shards.len(), 32);
    for n in 0..150_000u128 {
        table.update(SessionId::from_random(n), S(0), |_| Some(bound("a")));
    }
    let counts = table.counts();
    assert!((99_000..=100_000).contains(&counts.active), "{counts:?}");
    assert_eq!(counts.active + counts.evicted, 150_000);
    let places: usize = table.shards.iter().map(|s| lock(s).entries.len()).sum();
    assert!(places <= 100_000, "places are used again: {places}");
    let mut seen = std::collections::HashSet::new();
    table.each(S(0), None, |session| seen.insert(session.id));
    assert_eq!(seen.len() as u64, counts.active, "a scan goes through all, each once");
}

#[test]
fn what_is_over_is_not_there_for_a_change_however_much_waits_to_be_cleared_away() {
    let table = Table::new(100, S(60), 7);
    (0..20).for_each(|n| put(&table, n, S(0)));
    let mut seen = None;
    table.update(id(19), S(61), |present| {
        seen = Some(present.cloned());
        None
    });
    assert_eq!(seen, Some(None));
    table.sweep(S(61));
    assert_eq!((table.counts().active, table.counts().expired), (0, 20));
}

#[test]
fn what_follows_a_tombstone_is_another_session() {
    let table = Table::new(100, S(60), 7);
    put(&table, 0, S(0));
    table.update(id(0), S(1), |r| r.map(|r| Record { backend: None, ..r.clone() }));
    assert_eq!(table.counts().total, 1);
    put(&table, 0, S(2));
    put(&table, 0, S(3));
    assert_eq!((table.counts().total, table.counts().active), (2, 1));
}

#[test]
fn a_scan_tells_how_long_a_session_was_not_used() {
    let table = Table::new(100, S(60), 7);
    (0..3).for_each(|n| put(&table, n, S(n.into())));
    table.update(id(0), S(2), |r| r.map(|r| Record { backend: None, ..r.clone() }));
    table.update(id(2), S(2), |_| Some(bound("b")));
    let list = |of: Option<&str>, now| {
        let mut list = vec![];
        table.each(now, of.map(BackendId::from).as_ref(), |s| {
            // It may come back to the table: no lock is held.
            assert!(table.peek(s.id, now).is_some());
            list.push((s.id, s.idle));
            true
        });
        list
    };
    assert_eq!(list(None, S(5)), [(id(1), S(4)), (id(2), S(3))]);
    assert_eq!(list(Some("b"), S(5)), [(id(2), S(3))]);
    assert_eq!(list(None, S(62)), [(id(2), S(60))], "the other is over");
}

proptest! {
    /// Against a list in the order of use.
    #[test]
    fn follows_the_model(ops in prop::collection::vec((0..4u8, 0..8u8, 0..20u64), 1..200)) {
        const MAX: usize = 5;
        let (table, ttl) = (Table::new(MAX, S(60), 3), 60);
        let mut model: Vec<(u8, u64, bool)> = vec![]; // oldest first: id, last use, alive
        let mut now = 0;
        for (op, n, wait) in ops {
            now += wait;
            let at = model.iter().position(|(m, used, _)| *m == n && now - used <= ttl);
            match op {
                0 => {
                    prop_assert_eq!(table.look_up(id(n), S(now), None).map(|f| f.record.backend.is_some()), at.map(|at| model[at].2));
                    if let Some(at) = at && model[at].2 {
                        model.remove(at);
                        model.push((n, now, true));
                    }
                }
                1 | 2 => {
                    let alive = op == 1;
                    table.update(id(n), S(now), |_| Some(Record { backend: alive.then(|| "a".into()), created: 0, epoch: 0 }));
                    model.retain(|(m, used, _)| *m != n && now - used <= ttl);
                    if model.len() == MAX {
                        model.remove(0);
                    }
                    model.push((n, now, alive));
                }
                _ => prop_assert_eq!(table.peek(id(n), S(now)).is_some(), at.is_some()),
            }
            let counts = table.counts();
            let shard = lock(&table.shards[0]);
            prop_assert_eq!(shard.index.len() as u64, counts.active + counts.tombstones);
            prop_assert!(shard.index.len() <= MAX && shard.entries.len() <= MAX);
        }
    }
}
