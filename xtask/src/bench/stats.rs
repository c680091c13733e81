//! Figures over several rounds: the median and its range for a table, mean and spread for a comparison of pairs.

/// Median, least and greatest of some values.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Range {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

impl Range {
    /// `None` of no values.
    pub(super) fn of(values: impl IntoIterator<Item = f64>) -> Option<Range> {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) {
            f64::midpoint(sorted[middle - 1], sorted[middle])
        } else {
            sorted[middle]
        };
        Some(Range { median, min, max })
    }
}

/// Mean of some values and how far it may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Mean {
    pub(super) mean: f64,
    /// Standard deviation of the values (n − 1).
    pub(super) deviation: f64,
    /// Half the width of the mean's 95 % interval.
    pub(super) margin: f64,
}

/// Student's t for 95 % and the 14 degrees of freedom of 15 pairs; more pairs need less, so the margin is never too small.
const T_95: f64 = 2.145;

impl Mean {
    /// `None` of fewer than two values: they have no spread.
    #[expect(clippy::cast_precision_loss, reason = "a count of rounds")]
    pub(super) fn of(values: &[f64]) -> Option<Mean> {
        if values.len() < 2 {
            return None;
        }
        let count = values.len() as f64;
        let mean = values.iter().sum::<f64>() / count;
        let variance = values.iter().map(|value| (value - mean).powi(2)).sum::<f64>() / (count - 1.0);
        let deviation = variance.sqrt();
        Some(Mean { mean, deviation, margin: T_95 * deviation / count.sqrt() })
    }
}

#[cfg(test)]
mod tests {
    use super::{Mean, Range};

    #[test]
    fn medians_of_odd_and_even_counts() {
        assert_eq!(Range::of([3.0, 1.0, 2.0]), Some(Range { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Range::of([4.0, 1.0, 2.0, 3.0]), Some(Range { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Range::of([]), None);
    }

    #[test]
    fn spread_is_the_sample_deviation() {
        let mean = Mean::of(&[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0]).expect("eight values");
        assert!((mean.mean - 5.0).abs() < 1e-12);
        assert!((mean.deviation - (32.0_f64 / 7.0).sqrt()).abs() < 1e-12);
        assert!((mean.margin - 2.145 * mean.deviation / 8.0_f64.sqrt()).abs() < 1e-12);
        assert_eq!(Mean::of(&[1.0]), None);
    }
}
