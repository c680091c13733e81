//! Ketama's ring, as nginx builds it for `hash … consistent`: the same key goes to the same server as there.
//!
//! Each member has 160 points per weight on a ring of 2³² places; a key belongs to the next point. O(log points) a pick.
//! Removing a member moves exactly its own keys, to wherever their next points are.

use super::TableKey;

/// Points per unit of weight.
const POINTS: u64 = 160;
/// The most points of a ring (32 MiB); beyond it each member's points are scaled down, at least one each.
const POINTS_MAX: u64 = 1 << 22;
/// How many points a key walks past closed members before the engine scans.
const STEPS: usize = 4_096;

#[derive(Debug)]
pub(crate) struct Ring {
    /// (place, member), by place.
    points: Box<[(u32, u32)]>,
}

/// Where a key lies: CRC-32 (IEEE), as in nginx.
pub(super) fn point_of(key: &[u8]) -> u64 {
    u64::from(crc32fast::hash(key))
}

impl Ring {
    /// A member's name is `host:port`; a name without a port counts as a whole.
    pub(super) fn new(members: &[TableKey]) -> Self {
        let wanted: u64 = members.iter().map(|m| u64::from(m.weight) * POINTS).sum();
        let points_of = |weight: u32| {
            let points = u128::from(weight) * u128::from(POINTS);
            let all = u128::from(wanted.max(1));
            if wanted <= POINTS_MAX { points } else { (points * u128::from(POINTS_MAX) / all).max(1) }
        };
        let mut points = Vec::with_capacity(wanted.min(POINTS_MAX) as usize);
        for m in members {
            let (host, port) = m.name.rsplit_once(':').unwrap_or((&m.name, ""));
            let mut base = crc32fast::Hasher::new();
            base.update(host.as_bytes());
            base.update(&[0]);
            base.update(port.as_bytes());
            let mut previous = 0u32;
            for _ in 0..points_of(m.weight) {
                let mut h = base.clone();
                h.update(&previous.to_le_bytes());
                previous = h.finalize();
                points.push((previous, m.member));
            }
        }
        points.sort_unstable();
        points.dedup_by_key(|p| p.0);
        Self { points: points.into() }
    }

    #[inline]
    pub(super) fn pick(&self, key: u64, usable: impl Fn(u32) -> bool) -> Option<u32> {
        let place = (key ^ (key >> 32)) as u32;
        let n = self.points.len();
        let first = self.points.partition_point(|p| p.0 < place);
        let mut refused = u32::MAX;
        for step in 0..n.min(STEPS) {
            let at = if first + step < n { first + step } else { first + step - n };
            let member = self.points[at].1;
            if member == refused {
                continue;
            }
            if usable(member) {
                return Some(member);
            }
            refused = member;
        }
        None
    }
}
