//! `round-robin` and `weighted-round-robin`: a shared cursor over a rotation.

use super::{Choice, Policy, Schedule};
use crate::context::PickContext;
use crate::snapshot::View;

/// Strict rotation over the candidates. O(1). The cursor lives in the pool and survives every change.
pub(super) struct RoundRobin;

impl Policy for RoundRobin {
    #[inline]
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice> {
        Choice::of(view.at(view.turn(cx) % view.candidates.len()).0)
    }
}

/// Smooth weighted rotation: the cursor over an unrolled [`Schedule`]. O(1).
struct Weighted(Schedule);

impl Policy for Weighted {
    #[inline]
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice> {
        Choice::of(view.at(self.0.at(view.turn(cx))).0)
    }
}

/// The rotation for these weights: the plain one when all are equal (the schedule would be the same).
pub(super) fn weighted(weights: &[u32]) -> Box<dyn Policy> {
    match weights {
        [first, rest @ ..] if rest.iter().any(|w| w != first) => Box::new(Weighted(Schedule::new(weights))),
        _ => Box::new(RoundRobin),
    }
}
