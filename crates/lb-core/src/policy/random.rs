//! `random`: by weight, in O(1), from an alias table (Walker 1977, built after Vose 1991).

use super::{Choice, Policy};
use crate::context::{PickContext, below};
use crate::snapshot::View;

/// For each column: stay below the threshold (of 2³²), or go to the alias.
pub(super) struct Random(Box<[(u32, u32)]>);

impl Random {
    /// O(n). At least one weight must be > 0.
    pub(super) fn new(weights: &[u32]) -> Self {
        let n = weights.len() as u64;
        let sum: u64 = weights.iter().map(|&w| u64::from(w)).sum();
        // In units in which the mean is `sum`: a column is full at `sum`.
        let mut left: Vec<u128> = weights.iter().map(|&w| u128::from(w) * u128::from(n)).collect();
        let full = u128::from(sum);
        let (mut small, mut large): (Vec<usize>, Vec<usize>) =
            (0..weights.len()).partition(|&i| left[i] < full);
        let mut table: Vec<(u32, u32)> = (0..weights.len() as u32).map(|i| (u32::MAX, i)).collect();
        while let (Some(s), Some(&l)) = (small.pop(), large.last()) {
            table[s] = (((left[s] << 32) / full) as u32, l as u32);
            left[l] -= full - left[s];
            if left[l] < full {
                large.pop();
                small.push(l);
            }
        }
        Self(table.into())
    }

    #[inline]
    fn draw(&self, random: u64) -> usize {
        let column = below(random << 32, self.0.len());
        let (threshold, alias) = self.0[column];
        if ((random >> 32) as u32) < threshold { column } else { alias as usize }
    }
}

impl Policy for Random {
    #[inline]
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice> {
        Choice::of(view.at(self.draw(cx.random())).0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn shares_follow_weights(weights in prop::collection::vec(0u32..1_000, 1..20).prop_filter("a weight", |w| w.iter().any(|&w| w > 0))) {
            let table = Random::new(&weights);
            let n = weights.len();
            // The exact share of each, from the table itself.
            let mut share = vec![0.0; n];
            for (i, &(threshold, alias)) in table.0.iter().enumerate() {
                let stays = if alias as usize == i { 1.0 } else { f64::from(threshold) / 2f64.powi(32) };
                share[i] += stays / n as f64;
                share[alias as usize] += (1.0 - stays) / n as f64;
            }
            let sum: u32 = weights.iter().sum();
            for i in 0..n {
                prop_assert!((share[i] - f64::from(weights[i]) / f64::from(sum)).abs() < 1e-6, "{:?} {:?}", weights, share);
            }
        }
    }
}
