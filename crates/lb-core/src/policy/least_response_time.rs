//! `least-response-time`: the lowest mean of the last responses × requests in flight per weight. O(candidates).
//!
//! A backend without a sample in the window is *unmeasured*: it gets one request at once (so a new backend is measured, and a slow one
//! is measured again once its samples are older than the window: nobody starves), and no second one before that is answered while a
//! measured backend is there. Failures and clients that gave up count as slow. Ties rotate.

use super::{Choice, Policy};
use crate::context::PickContext;
use crate::snapshot::{Member, View};

pub(super) struct LeastResponseTime;

/// Compared class first: unmeasured and idle, measured, unmeasured with a request under way.
fn rank(m: &Member, cx: &PickContext<'_>) -> (u8, f32) {
    let in_flight = m.state.in_flight();
    let load = (in_flight as f32 + 1.0) / m.weight as f32;
    match m.state.mean_us(cx.now) {
        Some(us) => (1, us.max(1.0) * load),
        None if in_flight == 0 => (0, 0.0),
        None => (2, load),
    }
}

impl Policy for LeastResponseTime {
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice> {
        let n = view.candidates.len();
        let start = view.turn(cx) % n;
        let mut best: Option<((u8, f32), Choice)> = None;
        for i in (start..n).chain(0..start) {
            let (member, m) = view.at(i);
            if !view.is_usable(member, cx) {
                continue;
            }
            let r = rank(m, cx);
            if best.is_none_or(|(least, _)| r < least) {
                // An unmeasured backend is taken only while it is idle: not by two threads from one look.
                best = Some((r, Choice { member, seen: (r.0 == 0).then_some(0) }));
            }
        }
        best.map(|(_, choice)| choice)
    }

    /// Mean (µs) × load; 0 for an unmeasured idle backend, infinite for an unmeasured busy one.
    fn score(&self, view: &View<'_>, member: u32, cx: &PickContext<'_>) -> Option<f64> {
        Some(match rank(&view.members[member as usize], cx) {
            (2, _) => f64::INFINITY,
            (_, score) => f64::from(score),
        })
    }
}
