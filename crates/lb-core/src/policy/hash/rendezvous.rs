//! Rendezvous hashing: the key goes to the member with the highest random weight (Thaler & Ravishankar 1998), the
//! weighted form −w / ln(u) after Schindelhauer & Schomaker 2005.
//!
//! O(members) a pick, perfectly even, and nothing to store: removing a member moves exactly its own keys.

use super::super::Choice;
use super::{TableKey, mix};
use crate::context::PickContext;
use crate::snapshot::View;
use xxhash_rust::xxh3::xxh3_64;

#[derive(Debug)]
pub(crate) struct Rendezvous {
    /// (member, hash of its name, weight), by member.
    members: Box<[(u32, u64, f64)]>,
}

impl Rendezvous {
    pub(super) fn new(members: &[TableKey]) -> Self {
        let one = |m: &TableKey| (m.member, xxh3_64(m.name.as_bytes()), f64::from(m.weight));
        Self { members: members.iter().map(one).collect() }
    }

    pub(super) fn score(&self, key: u64, member: u32) -> Option<f64> {
        let at = self.members.binary_search_by_key(&member, |m| m.0).ok()?;
        let (_, hash, weight) = self.members[at];
        Some(draw(key, hash, weight))
    }

    pub(super) fn pick(&self, key: u64, usable: impl Fn(u32) -> bool) -> Option<u32> {
        let mut best = None;
        for &(member, hash, weight) in &self.members {
            let draw = draw(key, hash, weight);
            if best.is_none_or(|(least, _)| draw < least) && usable(member) {
                best = Some((draw, member));
            }
        }
        best.map(|(_, member)| member)
    }
}

/// The member's draw for this key: the lowest wins (ln(u)/w negated, so that lower is better).
fn draw(key: u64, hash: u64, weight: f64) -> f64 {
    // 53 random bits, never 0.
    let u = ((mix(key ^ hash) >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -u.ln() / weight
}

/// The usable candidate with the highest random weight for this key, by ids and configured weights alone, so that nodes agree that know
/// nothing of each other. O(candidates): for the first request of a session.
#[cold]
pub(crate) fn alike(key: u64, view: &View<'_>, cx: &PickContext<'_>) -> Option<Choice> {
    let drawn = |m: u32| {
        let state = view.members[m as usize].state();
        draw(key, xxh3_64(state.id().as_str().as_bytes()), f64::from(state.spec().weight))
    };
    let usable = view.candidates.iter().copied().filter(|&m| view.is_usable(m, cx));
    usable.map(|m| (drawn(m), m)).min_by(|a, b| a.0.total_cmp(&b.0)).and_then(|(_, m)| Choice::of(m))
}
