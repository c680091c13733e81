//! Shares, rates and percentiles of late: the difference of the counters now and a second or so ago.

use edge_lb::core::HistogramSnapshot;
use std::collections::VecDeque;
use std::time::Duration;

/// Five looks, so a second at four a second.
const LOOKS: usize = 5;

/// The counters of the last looks.
#[derive(Default)]
pub(crate) struct Recent(VecDeque<(Duration, Vec<HistogramSnapshot>)>);

impl Recent {
    /// Takes the counters of all backends `at` this time; gives what came since the oldest look, and how long that is.
    pub(crate) fn add(
        &mut self,
        at: Duration,
        now: Vec<HistogramSnapshot>,
    ) -> (Vec<HistogramSnapshot>, Duration) {
        let came = match self.0.front() {
            None => (now.clone(), at),
            Some((then, before)) => {
                (now.iter().zip(before).map(|(n, b)| n.since(b)).collect(), at.saturating_sub(*then))
            }
        };
        self.0.push_back((at, now));
        if self.0.len() >= LOOKS {
            self.0.pop_front();
        }
        came
    }
}

/// All backends' counters as one.
pub(crate) fn merged(parts: &[HistogramSnapshot]) -> HistogramSnapshot {
    let mut all = HistogramSnapshot::default();
    for part in parts {
        all.merge(part);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_lb::core::Histogram;
    use edge_lb::types::Nanos;

    #[test]
    fn it_counts_what_came_in_the_last_second() {
        let (histogram, mut recent) = (Histogram::default(), Recent::default());
        let mut counts = vec![];
        for look in 0..10_u64 {
            (0..=look).for_each(|_| histogram.record(Nanos::from_millis(1)));
            let (came, since) = recent.add(Duration::from_millis(250 * look), vec![histogram.snapshot()]);
            counts.push((merged(&came).count(), since.as_millis()));
        }
        assert_eq!(counts[..3], [(1, 0), (2, 250), (5, 500)]);
        assert_eq!(counts[9], (7 + 8 + 9 + 10, 1_000));
    }
}
