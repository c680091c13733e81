//! How strongly counts speak against "the new side is at most `margin` worse": an e-process that may be looked at any time.
//!
//! **One side.** For `n` requests of which `k` were bad, and a tilt `λ`, Chernoff's statistic is
//! `exp(λ k − n ln(1 + m (e^λ − 1)))`. If each request is bad with probability `p_t`, given all before it, and `m` is the mean of these
//! `p_t` so far, it is at most a nonnegative martingale that begins at 1 (`ln(1 + p (e^λ − 1))` is concave in `p`). So is its mean over
//! a fixed grid of tilts. Positive tilts speak for "worse than `m`", negative ones for "better than `m`".
//!
//! **Two sides.** Each request moves one factor only, so the product of both sides' statistics is at most such a martingale, too, with the
//! new side's at `m + margin` and the old side's at `m`. The old side's `m` is unknown: the evidence is the product's least value over all `m`. By Ville's
//! inequality it ever reaches `1 / α` with a probability of `α` at most if the claim is true at every look.
//!
//! **Assumed:** what is said above, no more. The rate may drift with the time of day, for both sides; neither a fixed sample size, nor large samples, nor a
//! normal distribution is needed. **Not covered:** requests that share a fate beyond that (a client with a broken cookie that retries a hundred times counts as
//! a hundred), and a margin that one side's traffic meets at other times than the other's; the split's constant share within a step sees to that.
//!
//! After Ville (1939); Robbins' method of mixtures (1970); Howard, Ramdas, McAuliffe and Sekhon, *Time-uniform Chernoff bounds via
//! nonnegative supermartingales* (2020); Ramdas, Grünwald, Vovk and Shafer, *Game-theoretic statistics and safe anytime-valid inference* (2023).
//!
//! Cost: one evaluation is 2 × 12 exponentials; most looks need one, a full answer some forty.

/// Tilts from 8 down to 1/256 by halves: from a side that fails always to a difference of a thousandth in millions of requests. A tilt that is off by
/// `√2` gives away less than a fifth of the growth; the mixture costs ln 12 ≈ 2.5 nats a side.
const TILTS: usize = 12;
const LARGEST: f64 = 8.0;

/// Requests of one side, and how many of them were bad.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) requests: u64,
    pub(crate) bad: u64,
}

impl Count {
    fn rate(self) -> f64 {
        self.bad as f64 / self.requests.max(1) as f64
    }

    /// The logarithm of the mixture over the tilts of one sign: convex in `m`, and monotone.
    fn log_mixture(self, sign: f64, m: f64) -> f64 {
        let (n, k) = (self.requests as f64, self.bad as f64);
        let mut logs = [0.0; TILTS];
        let mut tilt = sign * LARGEST;
        for log in &mut logs {
            // A factor of 0 (m = 1, all bad) cannot come: e^λ > 0.
            *log = tilt * k - n * (m * tilt.exp_m1()).ln_1p();
            tilt /= 2.0;
        }
        let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        most + (logs.iter().map(|log| (log - most).exp()).sum::<f64>() / TILTS as f64).ln()
    }
}

/// What is claimed of the rates; the evidence speaks against it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    /// New ≤ old + margin. Evidence against it: the new side is worse.
    Fine,
    /// New ≥ old + margin. Evidence against it: the new side is fine.
    Worse,
}

/// The natural logarithm of the evidence against `claim`, exact to a thousandth or so; or some value below `enough` once that is certain.
/// With `enough` infinite, the first bound does.
pub(crate) fn against(claim: Claim, old: Count, new: Count, margin: f64, enough: f64) -> f64 {
    let sign = if claim == Claim::Fine { 1.0 } else { -1.0 };
    let at = |m: f64| new.log_mixture(sign, m + margin) + old.log_mixture(-sign, m);
    // The least over m: all of these are above it.
    let first = at(old.rate().min(1.0 - margin));
    if first < enough {
        return first;
    }
    minimum(at, 1.0 - margin, enough)
}

/// As [`against`], to the end.
pub(crate) fn log_evidence(claim: Claim, old: Count, new: Count, margin: f64) -> f64 {
    against(claim, old, new, margin, f64::NEG_INFINITY)
}

/// The least value of a convex function over `0..=end`, by golden sections; stops early below `enough`.
fn minimum(at: impl Fn(f64) -> f64, end: f64, enough: f64) -> f64 {
    const GOLDEN: f64 = 0.618_033_988_749_894_9;
    let (mut low, mut high) = (0.0, end);
    let (mut a, mut b) = (high - GOLDEN * (high - low), low + GOLDEN * (high - low));
    let (mut at_a, mut at_b) = (at(a), at(b));
    let mut least = at(low).min(at(high)).min(at_a).min(at_b);
    // 0.618^48 is 1e-10.
    for _ in 0..48 {
        if least < enough {
            break;
        }
        if at_a < at_b {
            (high, b, at_b) = (b, a, at_a);
            a = high - GOLDEN * (high - low);
            at_a = at(a);
        } else {
            (low, a, at_a) = (a, b, at_b);
            b = low + GOLDEN * (high - low);
            at_b = at(b);
        }
        least = least.min(at_a).min(at_b);
    }
    least
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn count(requests: u64, bad: u64) -> Count {
        Count { requests, bad }
    }

    #[test]
    fn nothing_seen_says_nothing() {
        for claim in [Claim::Fine, Claim::Worse] {
            assert!(log_evidence(claim, Count::default(), Count::default(), 0.01).abs() < 1e-9);
        }
    }

    /// The definition, summed over every outcome of a few requests: under the claim the mean of the evidence is at most 1.
    #[test]
    fn the_mean_of_the_evidence_is_at_most_one_where_the_claim_is_true() {
        let binomial = |n: u64, k: u64, p: f64| {
            let choose: f64 = (0..k).map(|i| (n - i) as f64 / (i + 1) as f64).product();
            choose * p.powi(k as i32) * (1.0 - p).powi((n - k) as i32)
        };
        for (claim, margin, p_old, p_new) in [
            (Claim::Fine, 0.0, 0.1, 0.1),
            (Claim::Fine, 0.05, 0.1, 0.15),
            (Claim::Fine, 0.05, 0.5, 0.2),
            (Claim::Worse, 0.05, 0.1, 0.15),
            (Claim::Worse, 0.0, 0.3, 0.6),
        ] {
            let mut mean = 0.0;
            for k_old in 0..=30 {
                for k_new in 0..=12 {
                    let evidence = log_evidence(claim, count(30, k_old), count(12, k_new), margin).exp();
                    mean += binomial(30, k_old, p_old) * binomial(12, k_new, p_new) * evidence;
                }
            }
            assert!((1e-6..=1.0).contains(&mean), "{claim:?} {margin} {p_old} {p_new}: {mean}");
        }
    }

    #[test]
    fn it_grows_where_it_should() {
        let old = count(100_000, 1_000);
        assert!(log_evidence(Claim::Fine, old, count(5_000, 150), 0.005) > 10.0, "3 % against 1 % + 0.5 %");
        assert!(log_evidence(Claim::Fine, old, count(50_000, 500), 0.005) < 0.0);
        assert!(
            log_evidence(Claim::Worse, old, count(50_000, 500), 0.005) > 10.0,
            "equal, with half a percent of margin"
        );
        // A side that only fails is found out after some requests.
        assert!(log_evidence(Claim::Fine, count(200, 0), count(10, 10), 0.005) > 20.0);
        // Extremes are numbers.
        for (old, new) in [(count(9, 9), count(9, 9)), (count(1 << 40, 0), count(1 << 40, 1 << 40))] {
            for claim in [Claim::Fine, Claim::Worse] {
                assert!(log_evidence(claim, old, new, 0.0).is_finite(), "{old:?} {new:?}");
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        /// Golden sections against a fine grid.
        #[test]
        fn the_least_is_the_least(n_old in 0..5_000u64, bad_old in 0.0..1.0, n_new in 0..5_000u64, bad_new in 0.0..1.0, margin in 0.0..0.2) {
            let old = count(n_old, (n_old as f64 * bad_old) as u64);
            let new = count(n_new, (n_new as f64 * bad_new) as u64);
            for (claim, sign) in [(Claim::Fine, 1.0), (Claim::Worse, -1.0)] {
                let found = log_evidence(claim, old, new, margin);
                let of = |m: f64| new.log_mixture(sign, m + margin) + old.log_mixture(-sign, m);
                let grid = (0..=2_000).map(|i| of((1.0 - margin) * f64::from(i) / 2_000.0)).fold(f64::INFINITY, f64::min);
                prop_assert!(found <= grid + 1e-3, "{found} {grid}");
                // The quick answer decides the same.
                for enough in [-1.0, 2.0, 7.0] {
                    prop_assert_eq!(against(claim, old, new, margin, enough) >= enough, found >= enough);
                }
            }
        }
    }
}
