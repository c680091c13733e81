//! `least-connections`: fewest requests in flight per weight, exactly, ties rotating.
//!
//! A scan for few candidates, the pool's [`load tree`](crate::load_tree) for many. Both name the count that they saw, and the
//! engine counts in only while it still holds, so that two threads cannot both take "the least loaded" from one look. (When
//! eight looks in a row were overtaken, the next usable candidate is taken.)

use super::{Choice, Policy};
use crate::context::PickContext;
use crate::load_tree::key;
use crate::snapshot::{Member, View};

/// From this many candidates on the tree is faster than the scan.
pub(crate) const TREE_FROM: usize = 24;

/// O(candidates).
pub(super) struct Scan;

impl Policy for Scan {
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice> {
        let n = view.candidates.len();
        let start = view.turn(cx) % n;
        let mut best: Option<(u32, Choice)> = None;
        for i in (start..n).chain(0..start) {
            let (member, m) = view.at(i);
            if !view.is_usable(member, cx) {
                continue;
            }
            let seen = m.state.in_flight();
            let k = key(seen, m.weight as f32);
            if best.is_none_or(|(least, _)| k < least) {
                best = Some((k, Choice { member, seen: Some(seen) }));
            }
        }
        best.map(|(_, c)| c)
    }

    fn score(&self, view: &View<'_>, member: u32, _: &PickContext<'_>) -> Option<f64> {
        let m = &view.members[member as usize];
        Some(f64::from(f32::from_bits(key(m.state.in_flight(), m.weight as f32))))
    }
}

/// O(log candidates).
pub(super) struct Tree {
    /// By slot: the member's index; `u32::MAX` where the slot is no candidate of this level.
    by_slot: Box<[u32]>,
    /// The candidates' slots: ties rotate over them.
    slots: Box<[u32]>,
}

impl Tree {
    pub(super) fn new(members: &[Member], candidates: &[u32]) -> Self {
        let slots: Box<[u32]> = candidates.iter().map(|&m| members[m as usize].state.slot()).collect();
        let len = slots.iter().max().map_or(0, |&s| s as usize + 1);
        let mut by_slot = vec![u32::MAX; len].into_boxed_slice();
        for (&slot, &m) in slots.iter().zip(candidates) {
            by_slot[slot as usize] = m;
        }
        Self { by_slot, slots }
    }
}

impl Policy for Tree {
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice> {
        let tree = view.shared.tree();
        // The tree knows nothing of what this request has tried; a snapshot older than the tree's has other candidates.
        let (Some(tree), true) = (&*tree, cx.is_fresh()) else { return Scan.pick(view, cx) };
        let (slot, expected) = tree.pick(self.slots[view.turn(cx) % self.slots.len()])?;
        let Some(&member) = self.by_slot.get(slot as usize).filter(|&&m| m != u32::MAX) else {
            return Scan.pick(view, cx);
        };
        let state = &view.members[member as usize].state;
        let seen = state.in_flight();
        if state.load_key() != expected {
            state.touch_tree(); // help the slower writer, so that the next look is right
        }
        Some(Choice { member, seen: Some(seen) })
    }

    fn score(&self, view: &View<'_>, member: u32, cx: &PickContext<'_>) -> Option<f64> {
        Scan.score(view, member, cx)
    }
}
