//! When each key's debt ends: a bounded table of 24 bytes a place.
//!
//! Keys are spread over shards, each under its own lock: open addressing with linear probing, and removal by moving back what follows
//! (Knuth 6.4, algorithm R), so that there are no tombstones. A shard starts small and doubles when it is three quarters full, after it
//! has dropped the keys whose debt has ended: they are as if they had never come. That is the only time anything is allocated.
//!
//! The bound is divided among the shards. When a shard has its share, room is made at a hand that goes round: of the next
//! [`LOOKED_AT`] keys all that have ended go, or else the one that ends first. (So one with debt may go while one without is further on;
//! but once round, and all that had ended are gone.) It is keys that are counted and not places: else sparse regions would be emptied. Clients that are being limited have the most debt, so a
//! flood of new keys pushes out itself and not them. A key that was evicted has its burst anew; how many were is counted.
//!
//! A check costs one look-up, and some 8 to 20 places more for a new key in a full shard, whose places are from 3/8 to 3/4 taken.

use super::key::Hashed;
use lb_types::Nanos;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// A shard more for every so many keys, up to [`SHARDS_MAX`].
const SHARD_KEYS: usize = 2048;
/// The most shards.
const SHARDS_MAX: usize = 64;
/// How many keys are looked at to make room. The debt of those that flood differs by little, so a few are enough to tell them apart.
const LOOKED_AT: usize = 8;
/// How many places a shard begins with.
const PLACES_MIN: usize = 16;

#[derive(Debug)]
pub(super) struct Table {
    shards: Box<[Aligned]>,
}

/// Each on cache lines of its own: two, as they are fetched in pairs.
#[derive(Debug)]
#[repr(align(128))]
struct Aligned(Mutex<Shard>);

/// An `ends` of zero marks a free place: no debt ends when time begins.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    key: Hashed,
    ends: Nanos,
}

impl Place {
    const fn is_free(&self) -> bool {
        self.ends.0 == 0
    }
}

#[derive(Debug)]
struct Shard {
    places: Box<[Place]>,
    keys: usize,
    keys_max: usize,
    hand: usize,
    counts: Counts,
}

/// What happened in a table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Counts {
    /// Steps that changed a debt.
    pub(super) changed: u64,
    /// Steps that left it as it was.
    pub(super) left: u64,
    /// Keys that made room before their debt had ended.
    pub(super) evicted: u64,
    /// Keys that are there, those included whose debt has ended.
    pub(super) keys: usize,
}

impl Table {
    /// `keys_max` is 1 or more.
    pub(super) fn new(keys_max: usize) -> Self {
        // Rounded down to a power of two: each shard's share of the keys is SHARD_KEYS or more.
        let shards = 1 << (keys_max / SHARD_KEYS).clamp(1, SHARDS_MAX).ilog2();
        let shard = || Aligned(Mutex::new(Shard::new(keys_max / shards)));
        Self { shards: (0..shards).map(|_| shard()).collect() }
    }

    /// Shows `step` the key's debt, and keeps what it makes of it; `None` leaves it as it is.
    pub(super) fn step<T>(
        &self,
        key: Hashed,
        now: Nanos,
        step: impl FnOnce(Nanos) -> (T, Option<Nanos>),
    ) -> T {
        let mut shard = self.shard(key);
        let at = shard.find(key);
        let (said, debt) = step(shard.places[at].ends - now);
        match debt {
            None => shard.counts.left += 1,
            Some(debt) => {
                shard.counts.changed += 1;
                shard.set(at, key, now, now + debt);
            }
        }
        said
    }

    pub(super) fn counts(&self) -> Counts {
        let mut sum = Counts::default();
        for shard in &self.shards {
            let shard = lock(&shard.0);
            sum.changed += shard.counts.changed;
            sum.left += shard.counts.left;
            sum.evicted += shard.counts.evicted;
            sum.keys += shard.keys;
        }
        sum
    }

    /// The bytes of all places.
    pub(super) fn bytes(&self) -> usize {
        self.shards.iter().map(|shard| lock(&shard.0).places.len() * size_of::<Place>()).sum()
    }

    fn shard(&self, key: Hashed) -> MutexGuard<'_, Shard> {
        // By the high bits; places go by the low ones.
        lock(&self.shards[(key.0 >> 32) as usize & (self.shards.len() - 1)].0)
    }
}

impl Shard {
    fn new(keys_max: usize) -> Self {
        let places = vec![Place::default(); PLACES_MIN].into();
        Self { places, keys: 0, keys_max, hand: 0, counts: Counts::default() }
    }

    fn mask(&self) -> usize {
        self.places.len() - 1 // a power of two
    }

    /// Where the key is, or the free place where it belongs: there always is one.
    fn find(&self, key: Hashed) -> usize {
        let mask = self.mask();
        let mut at = key.0 as usize & mask;
        while !self.places[at].is_free() && self.places[at].key != key {
            at = (at + 1) & mask;
        }
        at
    }

    fn set(&mut self, mut at: usize, key: Hashed, now: Nanos, ends: Nanos) {
        if self.places[at].is_free() {
            if ends == Nanos::ZERO {
                return; // no debt when time begins: nothing to remember
            }
            if self.keys >= self.keys_max {
                self.make_room(now);
                at = self.find(key);
            } else if (self.keys + 1) * 4 > self.places.len() * 3 {
                self.grow(now);
                at = self.find(key);
            }
            self.keys += 1;
        }
        self.places[at] = Place { key, ends };
    }

    fn remove(&mut self, mut hole: usize) {
        let mask = self.mask();
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            if self.places[at].is_free() {
                break;
            }
            // It may fill the hole unless that lies before the place where it belongs.
            let home = self.places[at].key.0 as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.places[hole] = self.places[at];
                hole = at;
            }
        }
        self.places[hole] = Place::default();
        self.keys -= 1;
    }

    /// Removes at least one key; there is at least one.
    fn make_room(&mut self, now: Nanos) {
        let (keys, looks) = (self.keys, LOOKED_AT.min(self.keys));
        let mut first = Place { ends: Nanos::MAX, ..Place::default() };
        let mut looked = 0;
        while looked < looks {
            let place = self.places[self.hand];
            if !place.is_free() {
                looked += 1;
                if place.ends <= now {
                    self.remove(self.hand); // and look again: another may have moved here
                    continue;
                }
                if place.ends <= first.ends {
                    first = place;
                }
            }
            self.hand = (self.hand + 1) & self.mask();
        }
        if self.keys == keys {
            let at = self.find(first.key);
            self.remove(at);
            self.counts.evicted += 1;
        }
    }

    /// Drops the keys that have ended, and doubles if half of the places are still taken.
    fn grow(&mut self, now: Nanos) {
        let kept: Vec<Place> = self.places.iter().filter(|place| place.ends > now).copied().collect();
        let double = kept.len() * 2 >= self.places.len();
        let places = if double { self.places.len() * 2 } else { self.places.len() };
        self.places = vec![Place::default(); places].into();
        self.keys = kept.len();
        for place in kept {
            let at = self.find(place.key);
            self.places[at] = place;
        }
        self.hand &= self.mask();
    }
}

fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    // Each critical section leaves it whole, but for one that fails to allocate, and it has changed nothing before that.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    /// A key whose home is among the first 16 places, so that they meet.
    fn key(n: u64) -> Hashed {
        Hashed(n * 7 % 16, n)
    }

    fn debt(table: &Table, key: Hashed, now: Nanos) -> Nanos {
        table.step(key, now, |debt| (debt, None))
    }

    proptest! {
        /// Against a map, with a bound that is never reached.
        #[test]
        fn it_is_a_map(ops in prop::collection::vec((0..300u64, 1..200u64, 0..4u64), 1..600)) {
            let table = Table::new(1_000);
            let mut model = HashMap::new();
            let mut now = Nanos(1);
            for (n, owes, later) in ops {
                now += Nanos(later);
                let left = model.get(&n).map_or(Nanos::ZERO, |&ends| ends - now);
                prop_assert_eq!(debt(&table, key(n), now), left);
                table.step(key(n), now, |_| ((), Some(Nanos(owes))));
                model.insert(n, now + Nanos(owes));
            }
            for (&n, &ends) in &model {
                prop_assert_eq!(debt(&table, key(n), now), ends - now);
            }
            prop_assert_eq!(table.counts().evicted, 0);
        }

        /// Never more keys than the bound, and those that are there are right.
        #[test]
        fn it_is_bounded(max in 1..40usize, ops in prop::collection::vec((0..300u64, 1..200u64, 0..4u64), 1..600)) {
            let table = Table::new(max);
            let mut model = HashMap::new();
            let mut now = Nanos(1);
            for (n, owes, later) in ops {
                now += Nanos(later);
                let before = table.counts();
                let others = model.iter().filter(|&(&m, &ends)| m != n && ends > now).count();
                table.step(key(n), now, |_| ((), Some(Nanos(owes))));
                model.insert(n, now + Nanos(owes));
                let after = table.counts();
                prop_assert!(after.keys <= max);
                prop_assert_eq!(debt(&table, key(n), now), Nanos(owes), "who has just come is there");
                prop_assert!(after.evicted <= before.evicted + 1);
                // So many are all looked at.
                let ends_first = max > LOOKED_AT || others >= max;
                prop_assert!(ends_first || after.evicted == before.evicted, "evicted while there was room");
                // What was evicted has no debt any more; nobody has a wrong one, and nobody else is lost.
                let mut lost = 0;
                for (&m, &ends) in &model {
                    let owes = debt(&table, key(m), now);
                    prop_assert!(owes == ends - now || owes == Nanos::ZERO);
                    lost += u64::from(owes != ends - now);
                }
                prop_assert_eq!(lost, after.evicted - before.evicted);
                model.retain(|&m, _| debt(&table, key(m), now) > Nanos::ZERO);
            }
        }
    }

    #[test]
    fn the_most_indebted_stay() {
        let table = Table::new(1_000);
        let spread = |n: u64| Hashed(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n);
        for n in 0..50 {
            table.step(spread(n), Nanos(1), |_| ((), Some(Nanos(1_000))));
        }
        for n in 1_000..100_000 {
            table.step(spread(n), Nanos(1), |_| ((), Some(Nanos(100))));
        }
        assert!((0..50).all(|n| debt(&table, spread(n), Nanos(1)) == Nanos(1_000)));
        let counts = table.counts();
        assert_eq!((counts.keys, counts.evicted), (1_000, 99_000 + 50 - 1_000));
        // Once they have ended, they make room and nobody is evicted.
        for n in 200_000..200_900 {
            table.step(spread(n), Nanos(5_000), |_| ((), Some(Nanos(100))));
        }
        assert_eq!(table.counts().evicted, counts.evicted);
        assert_eq!(table.bytes(), 2_048 * 24);
    }

    #[test]
    fn who_comes_and_goes_takes_no_more_places() {
        let table = Table::new(1_000_000);
        for n in 0..100_000u64 {
            let key = Hashed(n.wrapping_mul(0x9E37_79B9_7F4A_7C15), n);
            table.step(key, Nanos(n * 10 + 1), |_| ((), Some(Nanos(100))));
        }
        assert_eq!(table.bytes(), 64 * PLACES_MIN * 24, "ten at a time in 64 shards");
    }
}
