//! The least loaded of many, exactly, in O(log₁₆ n): a tournament tree over the backends' slots.
//!
//! Each node holds the least key of its children; sixteen children share one cache line, so 10 000 backends are four
//! levels. It is lock-free: every writer reads what it derived its value from again *after* it wrote, and writes again if
//! that has changed (all sequentially consistent). So at quiescence every node is exact, whatever the interleaving; a
//! reader that meets a half-done change picks something slightly stale, which the engine's compare-and-set at the
//! [`gate`](crate::gate) turns into another look. Modelled with loom in `tests/loom.rs`; the scan is its oracle in the tests.

use crate::sync::{AtomicU32, Ordering::SeqCst, fence_for_loom};

/// Children of a node, as a power of two. Two children under loom, so that a small model has levels.
const FAN_BITS: u32 = if cfg!(loom) { 1 } else { 4 };
const FAN: usize = 1 << FAN_BITS;

/// The key of what must not be picked.
pub const CLOSED: u32 = u32::MAX;

/// The load that one more request would make, per weight: `(in flight + 1) / weight` as the bits of an `f32`, which order
/// like the numbers. Exact to 1 in 2²⁴. `weight` > 0.
#[inline]
pub fn key(in_flight: u32, weight: f32) -> u32 {
    ((in_flight as f32 + 1.0) / weight).to_bits()
}

/// See the module's documentation.
#[derive(Debug)]
pub struct LoadTree {
    /// Leaves first, the root's children last.
    levels: Vec<Box<[AtomicU32]>>,
}

impl LoadTree {
    /// A tree for slots `0..capacity`, all closed.
    pub fn new(capacity: usize) -> Self {
        let mut levels = vec![];
        let mut len = capacity.max(1);
        loop {
            levels.push((0..len).map(|_| AtomicU32::new(CLOSED)).collect());
            if len <= FAN {
                return Self { levels };
            }
            len = len.div_ceil(FAN);
        }
    }

    /// How many slots it has room for.
    pub fn capacity(&self) -> usize {
        self.levels[0].len()
    }

    fn children(&self, level: usize, parent: usize) -> &[AtomicU32] {
        let l = &self.levels[level];
        &l[parent * FAN..l.len().min((parent + 1) * FAN)]
    }

    fn least(&self, level: usize, parent: usize) -> u32 {
        self.children(level, parent).iter().map(|c| c.load(SeqCst)).min().unwrap_or(CLOSED)
    }

    /// Carries the present key of a slot upwards. `key` is asked again after each write; slots beyond the capacity are ignored (a
    /// larger tree is being put in place).
    pub fn touch(&self, slot: u32, key: impl Fn() -> u32) {
        let mut at = slot as usize;
        fence_for_loom();
        let Some(leaf) = self.levels[0].get(at) else { return };
        let mut changed = settle(leaf, key);
        for level in 1..self.levels.len() {
            if !changed {
                return; // whoever wrote it carries it upwards
            }
            at /= FAN;
            changed = settle(&self.levels[level][at], || self.least(level - 1, at));
        }
    }

    /// A least loaded slot and its key. Of several, the one that is met first from `start` on, a slot: who lets `start` go
    /// round among the slots that matter gives all that tie the same share. `None`: all are closed.
    pub fn pick(&self, start: u32) -> Option<(u32, u32)> {
        let mut at = 0;
        let mut best = CLOSED;
        // Whether the walk down still leads to `start`; beside that path a subtree is entered from its left.
        let mut on_path = true;
        for level in (0..self.levels.len()).rev() {
            let children = self.children(level, at);
            let towards = start as usize >> (FAN_BITS * level as u32);
            let start = if on_path { towards.saturating_sub(at * FAN) } else { 0 };
            let mut child = 0;
            best = CLOSED;
            for (i, c) in children.iter().enumerate() {
                let k = c.load(SeqCst);
                // the first least one at or after `start`
                if k < best || (k == best && child < start && i >= start) {
                    (best, child) = (k, i);
                }
            }
            if best == CLOSED {
                return None;
            }
            on_path &= child == start;
            at = at * FAN + child;
        }
        Some((at as u32, best))
    }

    /// Is every inner node the least of its children? True whenever no `touch` is under way.
    pub fn is_exact(&self) -> bool {
        (1..self.levels.len()).all(|level| {
            self.levels[level].iter().enumerate().all(|(i, n)| n.load(SeqCst) == self.least(level - 1, i))
        })
    }
}

/// Writes `value()` until what was written is what it is. `true`: this call wrote.
fn settle(node: &AtomicU32, value: impl Fn() -> u32) -> bool {
    let mut wrote = false;
    loop {
        let v = value();
        if node.load(SeqCst) == v {
            return wrote;
        }
        node.store(v, SeqCst);
        fence_for_loom();
        wrote = true;
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn picks_like_a_scan_through_every_change() {
        for n in [1, 2, 15, 16, 17, 255, 300, 5_000] {
            let keys = RefCell::new(vec![CLOSED; n]);
            let tree = LoadTree::new(n);
            let mut rng = fastrand::Rng::with_seed(n as u64);
            for _ in 0..3_000 {
                let slot = rng.usize(..n);
                keys.borrow_mut()[slot] =
                    if rng.u8(..) < 40 { CLOSED } else { key(rng.u32(..9), 1.0 + rng.u32(..3) as f32) };
                tree.touch(slot as u32, || keys.borrow()[slot]);
                assert!(tree.is_exact());
                let least = *keys.borrow().iter().min().unwrap();
                match tree.pick(rng.u32(..n as u32)) {
                    None => assert_eq!(least, CLOSED),
                    Some((slot, k)) => {
                        assert_eq!((k, keys.borrow()[slot as usize]), (least, least), "n = {n}, seed = n");
                    }
                }
            }
        }
    }

    #[test]
    fn ties_go_to_where_the_turn_points() {
        for n in [1, 16, 24, 300, 5_000] {
            let tree = LoadTree::new(n as usize * 3 / 2);
            for slot in 0..n {
                tree.touch(slot, || key(0, 1.0));
            }
            assert!((0..n).all(|start| tree.pick(start) == Some((start, key(0, 1.0)))), "{n} slots");
            tree.touch(0, || key(1, 1.0));
            tree.touch(n / 2, || CLOSED);
            assert!(n < 2 || (0..n).all(|start| ![0, n / 2].contains(&tree.pick(start).unwrap().0)));
        }
    }

    #[test]
    fn keys_order_by_load_per_weight() {
        assert!(key(0, 1.0) < key(1, 1.0) && key(1, 2.0) == key(0, 1.0) && key(2, 2.0) > key(0, 1.0));
        assert!(key(1_000_000, 1.0) < key(1_000_001, 1.0) && key(u32::MAX, 1.0) < CLOSED);
    }
}
