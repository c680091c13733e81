//! Whom a sweep would eject, and why: the statistics applied to one pool. Nothing here ejects.

use super::statistics::{Counts, chance, success_rate_threshold};
use super::{Cause, Comparison, FailurePercentage, SuccessRate};
use lb_types::BackendId;

/// One backend as a sweep sees it: usable, not ejected, and there for a whole interval at least.
#[derive(Clone, Debug)]
pub(super) struct Sample {
    pub(super) id: BackendId,
    /// The sums of the last 1, 2, … intervals; at least one, at most as many as are ever compared.
    pub(super) sums: Vec<Counts>,
}

impl Sample {
    fn last(&self) -> Counts {
        self.sums[0]
    }
}

/// Those below the pool's threshold, the worst first.
pub(super) fn success_rate(samples: &[Sample], s: &SuccessRate) -> Vec<(BackendId, Cause)> {
    let enough = |c: &Counts| c.requests() >= u64::from(s.request_volume);
    let rated: Vec<_> = samples
        .iter()
        .filter(|x| enough(&x.last()))
        .filter_map(|x| Some((&x.id, x.last().success_share()?)))
        .collect();
    if (rated.len() as u64) < u64::from(s.minimum_hosts) {
        return Vec::new();
    }
    let rates: Vec<_> = rated.iter().map(|(_, rate)| *rate).collect();
    let Some(threshold) = success_rate_threshold(&rates, s.stdev_factor) else { return Vec::new() };
    worst_first(rated.into_iter().filter(|(_, rate)| *rate < threshold).map(|(id, rate)| {
        let cause = Cause::SuccessRate { percent: 100.0 * rate, threshold: 100.0 * threshold };
        (id, 1.0 - rate, cause)
    }))
}

/// Those at the limit or above, the worst first.
pub(super) fn failure_percentage(samples: &[Sample], f: &FailurePercentage) -> Vec<(BackendId, Cause)> {
    let enough = |c: &Counts| c.requests() >= u64::from(f.request_volume);
    let rated = samples.iter().filter(|x| enough(&x.last()));
    if (rated.clone().count() as u64) < u64::from(f.minimum_hosts) {
        return Vec::new();
    }
    // In whole numbers: 85 of 100 are 85 %, whatever a division would make of it.
    let at_limit =
        |c: Counts| u128::from(c.failed) * 100 >= u128::from(c.requests()) * u128::from(f.threshold);
    worst_first(rated.filter(|x| at_limit(x.last())).map(|x| {
        let share = x.last().failure_share();
        let cause = Cause::FailurePercentage { percent: 100.0 * share, threshold: f64::from(f.threshold) };
        (&x.id, share, cause)
    }))
}

fn worst_first<'a>(found: impl Iterator<Item = (&'a BackendId, f64, Cause)>) -> Vec<(BackendId, Cause)> {
    let mut found: Vec<_> = found.collect();
    // A stable sort: equals stay in the order of their ids.
    found.sort_by(|a, b| b.1.total_cmp(&a.1));
    found.into_iter().map(|(id, _, cause)| (id.clone(), cause)).collect()
}

/// The one that stands out most against all others, if any does. Ask again without it: it makes the others look better
/// than they are.
///
/// Each backend is compared over the intervals that it has behind it itself, so that one which is new during a bad time of
/// the whole pool is not measured against better times. O(backends × intervals).
pub(super) fn comparison(samples: &[Sample], c: &Comparison) -> Option<(usize, Cause)> {
    let longest = samples.iter().map(|x| x.sums.len()).max()?;
    // What all had in the last 1, 2, … intervals; who has fewer behind it gives what it has.
    let totals: Vec<Counts> = (0..longest)
        .map(|i| {
            samples.iter().map(|x| x.sums[i.min(x.sums.len() - 1)]).fold(Counts::default(), Counts::plus)
        })
        .collect();
    let looks = if c.intervals > 1 { 2.0 } else { 1.0 };
    let mut found: Option<(usize, f64, Cause)> = None;
    let enough = |n: Counts| n.requests() >= u64::from(c.minimum_requests);
    for look in 0..looks as usize {
        let over = |x: &Sample| if look == 0 { 0 } else { x.sums.len() - 1 };
        let pair = |x: &Sample| (x.sums[over(x)], totals[over(x)].minus(x.sums[over(x)]));
        let tested = samples.iter().map(pair).filter(|(own, others)| enough(*own) && enough(*others)).count();
        let significant = c.false_alarm_rate / (looks * tested.max(1) as f64);
        for (i, (own, others)) in samples.iter().map(pair).enumerate() {
            if !enough(own) || !enough(others) || !matters(own, others, c) {
                continue;
            }
            let chance = chance(own, others);
            if chance <= significant && found.as_ref().is_none_or(|(_, least, _)| chance < *least) {
                let (percent, others) = (100.0 * own.failure_share(), 100.0 * others.failure_share());
                found = Some((i, chance, Cause::Comparison { percent, others, chance }));
            }
        }
    }
    found.map(|(i, _, cause)| (i, cause))
}

/// Whether the difference is worth an ejection, chance or not.
fn matters(own: Counts, others: Counts, c: &Comparison) -> bool {
    let (own, others) = (own.failure_share(), others.failure_share());
    own - others >= f64::from(c.minimum_difference) / 100.0 && own >= others * c.minimum_ratio
}
