//! `p2c` and `peak-ewma`: the better of two random choices (Mitzenmacher 2001). O(1).

use super::{Choice, Policy};
use crate::context::PickContext;
use crate::snapshot::{Member, View};
use std::time::Duration;

/// What two candidates are compared by, before weights: lower is better.
pub(super) trait Load: Send + Sync {
    fn load(&self, m: &Member, cx: &PickContext<'_>) -> f64;
}

/// Requests in flight, this one included.
pub(super) struct InFlight;

impl Load for InFlight {
    #[inline]
    fn load(&self, m: &Member, _: &PickContext<'_>) -> f64 {
        f64::from(m.state.in_flight()) + 1.0
    }
}

/// Peak EWMA of the latency × requests in flight, this one included. A backend that has not answered yet costs nothing while it
/// is idle, so that it is measured at once (as in Finagle), and the default time a request while it is busy.
pub(super) struct Ewma {
    default_us: f32,
}

impl Ewma {
    pub(super) fn new(default_rtt: Duration) -> Self {
        Self { default_us: default_rtt.as_secs_f32() * 1e6 }
    }

    /// What one request is thought to take, µs; 0 for a backend that is to be measured at once.
    #[inline]
    pub(super) fn of(&self, m: &Member, cx: &PickContext<'_>) -> f64 {
        match m.state.ewma_us(cx.now) {
            // At least 1 µs: among faded averages, the requests in flight decide.
            Some(us) => f64::from(us.max(1.0)),
            None if m.state.in_flight() == 0 => 0.0,
            None => f64::from(self.default_us),
        }
    }
}

impl Load for Ewma {
    fn load(&self, m: &Member, cx: &PickContext<'_>) -> f64 {
        self.of(m, cx) * (f64::from(m.state.in_flight()) + 1.0)
    }
}

pub(super) struct P2c<L>(pub(super) L);

impl<L: Load> Policy for P2c<L> {
    #[inline]
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice> {
        let n = view.candidates.len();
        if n == 1 {
            return Choice::of(view.at(0).0);
        }
        let r = cx.random();
        // Two different positions from one random number: 32 bits each.
        let a = (((r & 0xffff_ffff) * n as u64) >> 32) as usize;
        let b = (((r >> 32) * (n as u64 - 1)) >> 32) as usize;
        let b = b + usize::from(b >= a);
        let ((a, x), (b, y)) = (view.at(a), view.at(b));
        if !view.is_usable(a, cx) {
            return Choice::of(b);
        }
        if !view.is_usable(b, cx) {
            return Choice::of(a);
        }
        // load/weight compared crosswise: no division
        let left = self.0.load(x, cx) * f64::from(y.weight);
        let right = self.0.load(y, cx) * f64::from(x.weight);
        Choice::of(if left <= right { a } else { b })
    }

    fn score(&self, view: &View<'_>, member: u32, cx: &PickContext<'_>) -> Option<f64> {
        let m = &view.members[member as usize];
        Some(self.0.load(m, cx) / f64::from(m.weight))
    }
}
