//! Who stands out? Pure functions over counts.
//!
//! **Success rate** (Envoy, gRFC A50): a backend whose share of successes is below mean − factor × σ, σ being the population's.
//! Two properties follow from the formula alone. In a pool of n, a single value lies at most √(n − 1) population standard
//! deviations off the mean: 1.0 for two, 1.73 for four. So with the usual factor of 1.9 it can never eject below five
//! backends; and of n it ejects k that are equally bad only if √((n − k) / k) > 1.9: less than 22 % of them. And as it knows of
//! no chance, in every large enough pool of equal backends somebody is 1.9 σ below the mean all the time.
//!
//! **Comparison**: each backend against all others together, which works for two. The question is: if the backend were like
//! the others, how likely would it get so many of the failures, or more? Given the requests of both sides and the failures
//! in all, that number is hypergeometric, so the answer is exact for any counts however small (Fisher's exact test, one-sided):
//!
//! ```text
//!                   min(K, n)   C(K, i) · C(N − K, n − i)        N, K  requests and failures of all
//! P(X ≥ failed)  =      Σ       ─────────────────────────        n     requests of this backend
//!                   i = failed          C(N, n)
//! ```
//!
//! It is significant if it is at most the `false_alarm_rate` divided by the number of backends tested and of looks at each sweep
//! (Bonferroni). So if all are equally good, or equally bad, the chance that a sweep ejects anything is at most the
//! `false_alarm_rate`, whatever the load and however unevenly it is spread. As many requests make the smallest difference
//! significant, it must also matter: `minimum_difference` and `minimum_ratio`.
//!
//! Terms are computed by logarithms and then by their ratios, from the largest down, until they no longer matter: some
//! √N of them at most. Lacks: dependence between requests. A burst of bad requests that one client sends to one
//! backend looks like a bad backend, as it does to a count of failures in a row.

/// How requests ended: those that count (cancelled ones do not).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Successes.
    pub succeeded: u64,
    /// Failures.
    pub failed: u64,
}

impl Counts {
    /// All of them.
    pub const fn requests(self) -> u64 {
        self.succeeded.saturating_add(self.failed)
    }

    /// The share that failed, 0–1; 0 without requests.
    pub fn failure_share(self) -> f64 {
        self.failed as f64 / self.requests().max(1) as f64
    }

    /// The share that succeeded, 0–1; `None` without requests.
    pub fn success_share(self) -> Option<f64> {
        (self.requests() > 0).then(|| self.succeeded as f64 / self.requests() as f64)
    }

    /// Both together.
    #[must_use]
    pub const fn plus(self, other: Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_add(other.succeeded),
            failed: self.failed.saturating_add(other.failed),
        }
    }

    /// Without a part of it.
    #[must_use]
    pub const fn minus(self, part: Self) -> Self {
        Self {
            succeeded: self.succeeded.saturating_sub(part.succeeded),
            failed: self.failed.saturating_sub(part.failed),
        }
    }
}

/// Mean − `factor` × population standard deviation. `None` for no values.
pub fn success_rate_threshold(rates: &[f64], factor: f64) -> Option<f64> {
    if rates.is_empty() {
        return None;
    }
    let n = rates.len() as f64;
    let mean = rates.iter().sum::<f64>() / n;
    let variance = rates.iter().map(|r| (r - mean).powi(2)).sum::<f64>() / n;
    Some(mean - factor * variance.sqrt())
}

/// The chance that a backend which is like the others fails as often as `own`, or more often; 0–1. See the module's
/// documentation. Counts are exact up to 2⁵³.
///
/// ```
/// use lb_health::outlier::statistics::{Counts, chance};
/// let counts = |succeeded, failed| Counts { succeeded, failed };
/// // Fisher's tea: of 8 cups, 4 of each kind, all 4 told right (one-sided): 1 in 70.
/// assert!((chance(counts(0, 4), counts(4, 0)) - 1.0 / 70.0).abs() < 1e-12);
/// // 15 of 50 against 1 of 50: not by chance. 3 of 50 against 1 of 50: perhaps.
/// assert!(chance(counts(35, 15), counts(49, 1)) < 1e-3);
/// assert!(chance(counts(47, 3), counts(49, 1)) > 0.3);
/// ```
pub fn chance(own: Counts, others: Counts) -> f64 {
    let (failed, requests) = (own.failed as f64, own.requests() as f64);
    let all_failed = failed + others.failed as f64;
    let all = requests + others.requests() as f64;
    let all_good = all - all_failed;
    let least = (requests - all_good).max(0.0);
    if failed <= least {
        return 1.0; // it could not fail less
    }
    // The term of `i` failures, and what the next one above and below it is in proportion.
    let term = |i: f64| {
        (ln_choose(all_failed, i) + ln_choose(all_good, requests - i) - ln_choose(all, requests)).exp()
    };
    let up = |i: f64| (all_failed - i) * (requests - i) / ((i + 1.0) * (all_good - requests + i + 1.0));
    let down = |i: f64| i * (all_good - requests + i) / ((all_failed - i + 1.0) * (requests - i + 1.0));
    let mode = (requests + 1.0) * (all_failed + 1.0) / (all + 2.0);
    // Both ways the terms only fall, so that the sum may end when they no longer matter.
    let chance = if failed > mode {
        falling_sum(failed, term(failed), |i| (i + 1.0, up(i)))
    } else {
        1.0 - falling_sum(failed - 1.0, term(failed - 1.0), |i| (i - 1.0, down(i)))
    };
    chance.clamp(0.0, 1.0)
}

/// `first` + its neighbour + …, each by its proportion to the one before, until there are none (the proportion is 0) or they
/// are too small to change the sum.
fn falling_sum(mut i: f64, first: f64, neighbour: impl Fn(f64) -> (f64, f64)) -> f64 {
    let (mut sum, mut term) = (0.0, first);
    while term > sum * f64::EPSILON {
        sum += term;
        let (next, proportion) = neighbour(i);
        i = next;
        term *= proportion;
    }
    sum
}

fn ln_choose(n: f64, k: f64) -> f64 {
    ln_factorial(n) - ln_factorial(k) - ln_factorial(n - k)
}

/// ln n!, by Stirling's series to 1/n⁵ (Abramowitz and Stegun 6.1.41). Its first term left out, 1/(1680 n⁷), is below
/// 10⁻¹¹ from n = 17 on; below that the product is taken.
fn ln_factorial(n: f64) -> f64 {
    if n < 17.0 {
        let mut product = 1.0;
        let mut i = 2.0;
        while i <= n {
            product *= i;
            i += 1.0;
        }
        return f64::ln(product);
    }
    let r = 1.0 / n;
    let series = r * (1.0 / 12.0 - r * r * (1.0 / 360.0 - r * r / 1260.0));
    (n + 0.5) * n.ln() - n + 0.5 * std::f64::consts::TAU.ln() + series
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn counts(succeeded: u64, failed: u64) -> Counts {
        Counts { succeeded, failed }
    }

    /// Sums the definition in whole numbers.
    fn exact(own: Counts, others: Counts) -> f64 {
        let choose = |n: u64, k: u64| (0..k).fold(1u128, |c, i| c * u128::from(n - i) / u128::from(i + 1));
        let (n, k, all) = (own.requests(), own.failed + others.failed, own.requests() + others.requests());
        let ways = |i: u64| {
            if i > k || n < i || n - i > all - k { 0 } else { choose(k, i) * choose(all - k, n - i) }
        };
        (own.failed..=n).map(ways).sum::<u128>() as f64 / choose(all, n) as f64
    }

    proptest! {
        #[test]
        fn the_chance_is_what_counting_gives(a in 0u64..40, b in 0u64..40, c in 0u64..20, d in 0u64..20) {
            let (own, others) = (counts(a, b), counts(c, d));
            let (is, should) = (chance(own, others), exact(own, others));
            prop_assert!((is - should).abs() <= 1e-9 * should.max(1e-3), "{is} is not {should}");
        }

        #[test]
        fn it_falls_as_the_failures_rise_and_stays_a_probability(
            requests in 1u64..5_000_000, share in 0.0..1.0f64, others in 1u64..5_000_000, theirs in 0.0..1.0f64,
        ) {
            let part = |n: u64, share: f64| (n as f64 * share) as u64;
            let of = |failed| counts(requests - failed, failed);
            let failed = part(requests, share);
            let their_failed = part(others, theirs);
            let rest = counts(others - their_failed, their_failed);
            let more = chance(of((failed + 1).min(requests)), rest);
            let less = chance(of(failed), rest);
            prop_assert!((0.0..=1.0).contains(&less), "{less}");
            // More failures of its own are more failures in all, too: it must still not look better.
            prop_assert!(more <= less + 1e-6, "{more} > {less}");
        }
    }

    #[test]
    fn extremes_are_no_trouble() {
        assert_eq!(chance(counts(0, 0), counts(0, 0)), 1.0);
        assert_eq!(chance(counts(10, 0), counts(0, 10)), 1.0);
        assert_eq!(chance(counts(0, 10), counts(0, 10)), 1.0, "equally bad");
        assert_eq!(chance(counts(0, 10), counts(0, 0)), 1.0, "nobody to compare with");
        assert!(chance(counts(0, 1 << 40), counts(1 << 40, 0)) < 1e-300);
        let even = chance(counts(1 << 30, 1 << 20), counts(1 << 30, 1 << 20));
        assert!((even - 0.5).abs() < 1e-2, "{even}");
    }

    /// Why `success_rate` needs five: with fewer, no backend can be 1.9 σ from the mean, whatever it does.
    #[test]
    fn the_furthest_that_one_of_n_can_be_is_the_root_of_n_less_one() {
        for n in 2..=10usize {
            let mut rates = vec![1.0; n];
            rates[0] = 0.0; // as far off as can be
            let root = ((n - 1) as f64).sqrt();
            let at = |factor| success_rate_threshold(&rates, factor).unwrap();
            assert!(at(root).abs() < 1e-12, "{n}: {}", at(root));
            assert_eq!(0.0 < at(1.9), n >= 5, "{n} backends");
        }
        assert_eq!(success_rate_threshold(&[], 1.9), None);
    }

    #[test]
    fn factorials_meet_where_the_two_ways_do() {
        let step = ln_factorial(17.0) - ln_factorial(16.0) - 17f64.ln();
        assert!(step.abs() < 1e-11, "{step}");
    }
}
