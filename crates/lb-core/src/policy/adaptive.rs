//! `adaptive`: shares by what backends report of their load (gRPC A58), corrected by what is seen of them. O(1).
//!
//! Of up to four random candidates (all, where there are no more) one is drawn, with a probability in proportion to
//!
//! ```text
//!        W                                   W = weight / mean weight × reported / mean reported
//! ───────────────                            T = peak EWMA of the time to first byte
//!  T × (1 + f/W)²                            f = requests in flight
//! ```
//!
//! `reported` is the weight of the backend's last report (see [`crate::load`]). Without one that counts it is the mean, as in A58. It counts
//! as a tenth of the mean to ten times the mean: a wrong report must not take all traffic, or lose it all. That of a backend whose last request
//! failed counts as the mean at most. While fewer than two
//! backends of the pool report there is nothing to compare, and the rotation of `weighted-round-robin` takes over, which for equal
//! weights is round robin.
//!
//! Why this formula: at rest, and wherever all are as busy as W says, shares are those of W/T; none of them is ever nothing, so that
//! nobody falls silent for want of traffic. The load counts squared, so that a backend that hangs has ∛N rather than √N of N requests
//! after a while. Failures make T grow (see `latency.rs`). Why drawn, and not the best: reports lag, and all balancers would run to
//! the same best one. With more than four candidates nobody gets more than 4/n of the traffic.

use super::p2c::Ewma;
use super::{Choice, Policy, round_robin};
use crate::context::{PickContext, below};
use crate::load::Reporting;
use crate::settings::Adaptive as Settings;
use crate::snapshot::{Member, View};

/// How many candidates a pick compares.
const FEW: usize = 4;
/// How far a report is trusted: this many times the mean, and its reciprocal.
const TRUST: f64 = 10.0;

pub(super) struct Adaptive {
    latency: Ewma,
    mean_weight: f64,
    rotation: Box<dyn Policy>,
}

impl Adaptive {
    /// Over candidates of these weights. O(n).
    pub(super) fn new(o: &Settings, weights: &[u32]) -> Self {
        let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
        Self {
            latency: Ewma::new(o.default_rtt),
            mean_weight: (sum / weights.len() as f64).max(f64::MIN_POSITIVE),
            rotation: round_robin::weighted(weights),
        }
    }

    /// The reciprocal of a candidate's chances, up to a common factor; 0 for one that is to be measured at once.
    fn cost(&self, m: &Member, reporting: Reporting, cx: &PickContext<'_>) -> f64 {
        let reported = m.state.reported(cx.now).map_or(1.0, |r| {
            let most = if r.doubted { 1.0 } else { TRUST };
            (r.weight / reporting.mean).clamp(1.0 / TRUST, most)
        });
        let weight = f64::from(m.weight) / self.mean_weight * reported;
        let load = 1.0 + f64::from(m.state.in_flight()) / weight;
        self.latency.of(m, cx) * load * load / weight
    }
}

fn reporting(view: &View<'_>, cx: &PickContext<'_>) -> Option<Reporting> {
    let found = view.shared.reports.look(view.members, cx.now, cx.recorder.is_some());
    (found.backends >= 2).then_some(found)
}

impl Policy for Adaptive {
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice> {
        let Some(reporting) = reporting(view, cx) else { return self.rotation.pick(view, cx) };
        let mut drawn = [0; FEW];
        let drawn = few(view.candidates.len(), cx, &mut drawn);
        let mut chances = [0.0; FEW];
        let mut sum = 0.0;
        for (chance, &i) in chances.iter_mut().zip(drawn) {
            let (member, m) = view.at(i);
            if !view.is_usable(member, cx) {
                continue;
            }
            let cost = self.cost(m, reporting, cx);
            if cost == 0.0 {
                return Choice::of(member);
            }
            *chance = 1.0 / cost;
            sum += *chance;
        }
        // 53 random bits: a number from 0 to less than 1.
        let mut point = (cx.random() >> 11) as f64 / (1_u64 << 53) as f64 * sum;
        let mut last = drawn[0]; // where none of them is usable, the engine asks again
        for (&chance, &i) in chances.iter().zip(drawn).filter(|&(&chance, _)| chance > 0.0) {
            last = i;
            if point < chance {
                break;
            }
            point -= chance;
        }
        Choice::of(view.at(last).0)
    }

    /// The cost, in µs; none while the rotation is in charge, which compares nothing.
    fn score(&self, view: &View<'_>, member: u32, cx: &PickContext<'_>) -> Option<f64> {
        let found = view.shared.reports.look(view.members, cx.now, true);
        (found.backends >= 2).then(|| self.cost(&view.members[member as usize], found, cx))
    }
}

/// Up to [`FEW`] different positions of `n`, all sets equally likely (Floyd's algorithm; Bentley 1987).
fn few<'d>(n: usize, cx: &mut PickContext<'_>, drawn: &'d mut [usize; FEW]) -> &'d [usize] {
    if n <= FEW {
        *drawn = std::array::from_fn(|i| i);
        return &drawn[..n];
    }
    for i in 0..FEW {
        let top = n - FEW + i;
        let position = below(cx.random(), top + 1);
        drawn[i] = if drawn[..i].contains(&position) { top } else { position };
    }
    drawn
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_types::Nanos;

    #[test]
    fn every_position_is_drawn_equally_often_and_none_twice() {
        for n in [1, 3, 4, 5, 9] {
            let mut counts = vec![0; n];
            for seed in 0..20_000 {
                let mut cx = PickContext::new(Nanos::ZERO, seed);
                let mut drawn = [0; FEW];
                let drawn = few(n, &mut cx, &mut drawn);
                assert_eq!(drawn.len(), n.min(FEW));
                for (i, &p) in drawn.iter().enumerate() {
                    assert!(!drawn[..i].contains(&p));
                    counts[p] += 1;
                }
            }
            let wanted = 20_000 * n.min(FEW) / n;
            assert!(counts.iter().all(|c| wanted.abs_diff(*c) < wanted / 20), "{n}: {counts:?}");
        }
    }
}
