//! `ip-hash`, `ring-hash`, `maglev` and `rendezvous`: the same key keeps its backend.
//!
//! A table is built over a level's *members*, never over their health, and lives on while membership and weights stay: a
//! closed winner passes the key on to its next choice, so a health flip rebuilds nothing and moves only its own keys.

mod maglev;
mod rendezvous;
mod ring;

pub(crate) use rendezvous::alike;

use super::{Choice, Policy};
use crate::context::PickContext;
use crate::settings::Algorithm;
use crate::shared::Shared;
use crate::snapshot::View;
use lb_types::{Exclusion, KeySource, RequestInfo};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use xxhash_rust::xxh3::xxh3_64;

/// One member of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableKey {
    /// What the member's places are derived from.
    pub(crate) name: Box<str>,
    /// Its weight, > 0.
    pub(crate) weight: u32,
    /// Its index in the snapshot.
    pub(crate) member: u32,
}

/// A look-up structure over a level's members.
#[derive(Debug)]
pub(crate) enum HashTable {
    Maglev(maglev::Maglev),
    Ring(ring::Ring),
    Rendezvous(rendezvous::Rendezvous),
}

impl HashTable {
    /// Builds the algorithm's table; `None` for an algorithm without one. `members` must not be empty.
    pub(crate) fn build(algorithm: &Algorithm, members: &[TableKey]) -> Option<Self> {
        match algorithm {
            Algorithm::Maglev(_) => Some(Self::Maglev(maglev::Maglev::new(members))),
            Algorithm::RingHash(_) | Algorithm::IpHash(_) => Some(Self::Ring(ring::Ring::new(members))),
            Algorithm::Rendezvous(_) => Some(Self::Rendezvous(rendezvous::Rendezvous::new(members))),
            _ => None,
        }
    }
}

/// The hash of what the algorithm looks at in a request; `None`: the algorithm looks at nothing, or the request does not have it.
pub(crate) fn hash_key(algorithm: &Algorithm, request: &RequestInfo<'_>) -> Option<u64> {
    match algorithm {
        Algorithm::IpHash(o) => {
            let (bytes, n) = masked(request.client_ip?, o.ipv4_prefix, o.ipv6_prefix);
            Some(xxh3_64(&bytes[..n]))
        }
        Algorithm::Maglev(h) | Algorithm::Rendezvous(h) => with_key(&h.key, request, xxh3_64),
        Algorithm::RingHash(h) => with_key(&h.key, request, ring::point_of),
        _ => None,
    }
}

/// The hash of a key that the caller names; `None` if the algorithm does not hash.
pub(crate) fn hash_bytes(algorithm: &Algorithm, key: &[u8]) -> Option<u64> {
    match algorithm {
        Algorithm::IpHash(_) | Algorithm::Maglev(_) | Algorithm::Rendezvous(_) => Some(xxh3_64(key)),
        Algorithm::RingHash(_) => Some(ring::point_of(key)),
        _ => None,
    }
}

/// The hash of what this source finds in a request; `None` if the request does not have it.
pub fn hash_source(source: &KeySource, request: &RequestInfo<'_>) -> Option<u64> {
    with_key(source, request, xxh3_64)
}

fn with_key(source: &KeySource, request: &RequestInfo<'_>, hash: impl Fn(&[u8]) -> u64) -> Option<u64> {
    match source {
        KeySource::ClientIp => {
            let (bytes, n) = masked(request.client_ip?, 32, 128);
            Some(hash(&bytes[..n]))
        }
        KeySource::Header(name) => request.headers.header(name).map(hash),
        KeySource::Cookie(name) => request.cookie(name).map(hash),
        KeySource::Query(name) => request.query_parameter(name).map(|v| hash(v.as_bytes())),
        KeySource::Path => Some(hash(request.path.as_bytes())),
        _ => None,
    }
}

/// The leading bits of an address, the rest cleared, and how many bytes it has. A mapped IPv4 address (::ffff:a.b.c.d) counts as IPv4.
fn masked(ip: IpAddr, v4_prefix: u8, v6_prefix: u8) -> ([u8; 16], usize) {
    let mut bytes = [0; 16];
    match ip.to_canonical() {
        IpAddr::V4(ip) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4_prefix.min(32))).unwrap_or(0);
            bytes[..4].copy_from_slice(&(u32::from(ip) & mask).to_be_bytes());
            (bytes, 4)
        }
        IpAddr::V6(ip) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6_prefix.min(128))).unwrap_or(0);
            bytes.copy_from_slice(&(u128::from(ip) & mask).to_be_bytes());
            (bytes, 16)
        }
    }
}

/// The bounded-load factor (percent) of an algorithm.
pub(crate) fn balance_factor(algorithm: &Algorithm) -> Option<u32> {
    match algorithm {
        Algorithm::Maglev(h) | Algorithm::RingHash(h) | Algorithm::Rendezvous(h) => h.balance_factor,
        _ => None,
    }
}

/// A mixer for successive choices of one key (the finalizer of MurmurHash3, public domain).
#[inline]
pub(crate) fn mix(mut h: u64) -> u64 {
    h = (h ^ (h >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    h = (h ^ (h >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    h ^ (h >> 33)
}

/// A table with what is asked of a member when a key comes to it.
pub(crate) struct HashPolicy {
    table: Arc<HashTable>,
    /// Bounded load, percent of the fair share.
    balance_factor: Option<u32>,
    /// The candidates' weights, summed.
    weights: u64,
}

impl HashPolicy {
    pub(crate) fn new(table: Arc<HashTable>, balance_factor: Option<u32>, weights: u64) -> Self {
        Self { table, balance_factor, weights }
    }

    /// Is one more request within this member's bounded share of the pool's load?
    #[inline]
    fn within_bound(&self, view: &View<'_>, member: u32) -> bool {
        let Some(factor) = self.balance_factor else { return true };
        let m = &view.members[member as usize];
        u64::from(m.state.in_flight()) < self.bound(view.shared, m.weight, factor)
    }

    /// ⌈factor × (all requests in flight, this one included) × weight share⌉: Mirrokni, Thorup & Zadimoghaddam, "Consistent
    /// Hashing with Bounded Loads", SODA 2018.
    fn bound(&self, shared: &Shared, weight: u32, factor: u32) -> u64 {
        let all = u128::from(shared.total.load(Relaxed)) + 1;
        let share = all * u128::from(factor) * u128::from(weight);
        share.div_ceil(100 * u128::from(self.weights.max(1))) as u64
    }

    /// All that the table tries for this key are over their bound: whoever is within his, by highest random weight, so that the key keeps
    /// its backend here, too. Where nobody is, the bound yields and not the request. O(candidates).
    #[cold]
    fn beyond_reach(&self, key: u64, view: &View<'_>, cx: &PickContext<'_>) -> Option<u32> {
        let draw = |&m: &u32| mix(key ^ mix(view.members[m as usize].state.uid()));
        let usable = view.candidates.iter().copied().filter(|&m| view.is_usable(m, cx));
        let within = usable.filter(|&m| self.within_bound(view, m)).max_by_key(draw);
        within.or_else(|| self.choose(key, |m| view.is_usable(m, cx)))
    }

    fn choose(&self, key: u64, usable: impl Fn(u32) -> bool) -> Option<u32> {
        match &*self.table {
            HashTable::Maglev(t) => t.pick(key, usable),
            HashTable::Ring(t) => t.pick(key, usable),
            HashTable::Rendezvous(t) => t.pick(key, usable),
        }
    }
}

impl Policy for HashPolicy {
    #[inline]
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice> {
        let key = cx.key_or_random();
        let cx = &*cx;
        self.choose(key, |m| view.is_usable(m, cx) && self.within_bound(view, m))
            .or_else(|| self.balance_factor.and_then(|_| self.beyond_reach(key, view, cx)))
            .and_then(Choice::of)
    }

    fn exclusion(&self, view: &View<'_>, member: u32) -> Option<Exclusion> {
        (!self.within_bound(view, member)).then_some(Exclusion::OverLoaded)
    }

    fn score(&self, _: &View<'_>, member: u32, cx: &PickContext<'_>) -> Option<f64> {
        match &*self.table {
            HashTable::Rendezvous(t) => t.score(cx.key?, member),
            HashTable::Maglev(_) | HashTable::Ring(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_keep_a_network_together() {
        let of = |ip: &str, v4, v6| masked(ip.parse().unwrap(), v4, v6);
        assert_eq!(of("10.1.2.3", 24, 64), of("10.1.2.250", 24, 64));
        assert_ne!(of("10.1.2.3", 32, 128), of("10.1.2.250", 32, 128));
        assert_eq!(of("2001:db8::1", 24, 64), of("2001:db8::ffff", 24, 64));
        assert_eq!(of("::ffff:10.1.2.3", 24, 64), of("10.1.2.9", 24, 64));
        assert_eq!(of("1.2.3.4", 0, 0), of("9.9.9.9", 0, 0));
    }
}
