//! Maglev hashing: a look-up table that each backend fills in its own permuted order (Eisenbud et al., NSDI 2016 §3.4).
//!
//! O(1) a pick. Shares are even to about 1 % with 100 entries a backend; removing one of n backends also moves a small part of the
//! other backends' keys (under 1 % at 65 537 entries for up to 655 backends). Weights as in Envoy: a backend takes part in a
//! round of filling as often as its weight says, relative to the heaviest.

use super::{TableKey, mix};
use crate::context::below;
use std::collections::BTreeMap;
use xxhash_rust::xxh64::xxh64;

/// The smallest table.
const ENTRIES_MIN: usize = 65_537;
/// Entries per backend at least.
const ENTRIES_PER_BACKEND: usize = 100;
/// The largest table (16 MiB): beyond 41 943 backends the entries per backend become fewer.
const ENTRIES_MAX: usize = 4_194_301;
/// How many further choices a key has when its entry's backend is closed; then the engine scans.
const CHOICES: u32 = 32;

#[derive(Debug)]
pub(crate) struct Maglev {
    /// Each entry's member.
    table: Box<[u32]>,
}

/// The least prime that is at least `n`.
fn next_prime(n: usize) -> usize {
    let is_prime = |n: usize| n > 1 && (2..).take_while(|d| d * d <= n).all(|d| !n.is_multiple_of(d));
    (n..).find(|&n| is_prime(n)).unwrap_or(n)
}

impl Maglev {
    pub(super) fn new(members: &[TableKey]) -> Self {
        let wanted = (members.len() * ENTRIES_PER_BACKEND).clamp(ENTRIES_MIN, ENTRIES_MAX);
        Self::with_entries(members, next_prime(wanted))
    }

    /// `entries` must be a prime.
    fn with_entries(members: &[TableKey], entries: usize) -> Self {
        // Each backend's own order of the entries: from `at` in steps of `skip`.
        let mut orders: Vec<(usize, usize)> = members
            .iter()
            .map(|m| {
                let (h1, h2) = (xxh64(m.name.as_bytes(), 0), xxh64(m.name.as_bytes(), 1));
                ((h1 % entries as u64) as usize, (h2 % (entries as u64 - 1)) as usize + 1)
            })
            .collect();
        let mut table = vec![0; entries].into_boxed_slice();
        // A bit an entry: most of the time goes into looking for a free one, and the bits stay in the cache.
        let mut taken = vec![0u64; entries.div_ceil(64)];
        let mut take = |i: usize| {
            let (at, skip) = &mut orders[i];
            while taken[*at / 64] >> (*at % 64) & 1 != 0 {
                *at += *skip;
                if *at >= entries {
                    *at -= entries;
                }
            }
            taken[*at / 64] |= 1 << (*at % 64);
            table[*at] = members[i].member;
        };
        let heaviest = members.iter().map(|m| m.weight).max().unwrap_or(1);
        if members.iter().all(|m| m.weight == heaviest) {
            (0..members.len()).cycle().take(entries).for_each(&mut take);
        } else {
            Rounds::new(members, heaviest).take(entries).for_each(&mut take);
        }
        Self { table }
    }

    #[inline]
    pub(super) fn pick(&self, key: u64, usable: impl Fn(u32) -> bool) -> Option<u32> {
        let mut h = key;
        for _ in 0..CHOICES {
            let member = self.table[below(h, self.table.len())];
            if usable(member) {
                return Some(member);
            }
            h = mix(h.wrapping_add(0x9e37_79b9_7f4a_7c15));
        }
        None
    }
}

/// Whose turn it is to take an entry: backend i takes part in round r (from 1) when r × weight ≥ what it has taken × the heaviest
/// weight. Rounds in which nobody takes part are never visited, however skewed the weights are.
struct Rounds {
    weights: Vec<u64>,
    heaviest: u64,
    taken: Vec<u64>,
    /// Round → who takes part, in the members' order.
    due: BTreeMap<u64, Vec<u32>>,
    now: std::vec::IntoIter<u32>,
}

impl Rounds {
    fn new(members: &[TableKey], heaviest: u32) -> Self {
        Self {
            weights: members.iter().map(|m| u64::from(m.weight)).collect(),
            heaviest: u64::from(heaviest),
            taken: vec![0; members.len()],
            due: BTreeMap::from([(1, (0..members.len() as u32).collect())]),
            now: vec![].into_iter(),
        }
    }
}

impl Iterator for Rounds {
    type Item = usize;

    fn next(&mut self) -> Option<usize> {
        loop {
            if let Some(i) = self.now.next() {
                return Some(i as usize);
            }
            let (round, mut who) = self.due.pop_first()?;
            who.sort_unstable();
            for &i in &who {
                let at = i as usize;
                self.taken[at] += 1;
                let next = (self.taken[at] * self.heaviest).div_ceil(self.weights[at]);
                self.due.entry(next.max(round + 1)).or_default().push(i);
            }
            self.now = who.into_iter();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn members(names: impl IntoIterator<Item = String>, weight: impl Fn(usize) -> u32) -> Vec<TableKey> {
        let named = names.into_iter().enumerate();
        named.map(|(i, n)| TableKey { name: n.into(), weight: weight(i), member: i as u32 }).collect()
    }

    fn port(p: usize) -> String {
        format!("127.0.0.1:{p}")
    }

    #[test]
    fn published_vectors() {
        let t = Maglev::with_entries(&members((90..96).map(port), |_| 1), 7);
        assert_eq!(*t.table, [2, 4, 0, 1, 5, 0, 3]);
        let t = Maglev::with_entries(&members((90..92).map(port), |i| i as u32 + 1), 17);
        assert_eq!(*t.table, [1, 0, 0, 1, 0, 1, 1, 0, 1, 1, 1, 1, 1, 0, 1, 0, 1]);
    }

    #[test]
    fn even_and_stable_at_1_000_backends() {
        let all = members((0..1_000).map(port), |_| 1);
        let count = |t: &Maglev| {
            let mut n = vec![0u32; 1_000];
            t.table.iter().for_each(|&m| n[m as usize] += 1);
            n
        };
        let before = Maglev::with_entries(&all, 65_537);
        let max = *count(&before).iter().max().unwrap();
        assert!(f64::from(max) / 65.537 <= 1.01, "max/mean {}", f64::from(max) / 65.537);
        let mut moved = 0;
        for gone in (0..1_000).step_by(50) {
            let rest: Vec<_> = all.iter().filter(|m| m.member != gone).cloned().collect();
            let after = Maglev::with_entries(&rest, 65_537);
            moved += before.table.iter().zip(&after.table).filter(|(b, a)| **b != gone && b != a).count();
        }
        assert!(
            moved * 1_000 <= 20 * 65_537 * 6,
            "{moved} entries of others in 20 removals: more than 0.6 % each"
        );
    }

    #[test]
    fn weights_give_shares_however_skewed() {
        let t = Maglev::new(&members((0..4).map(port), |i| [1, 10, 100, 1_000_000_000][i]));
        let share = t.table.iter().filter(|&&m| m == 3).count() as f64 / t.table.len() as f64;
        assert!(share > 0.99 && (0..4).all(|i| t.table.contains(&i)), "{share}: each has an entry at least");
    }
}
