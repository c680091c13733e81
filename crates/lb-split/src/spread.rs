//! Requests without a point, spread exactly: error diffusion in one word that all threads share.
//!
//! Each target has a **credit**: what it should have got so far, less what it got. A request adds to each target its share and takes
//! one from the target that gets it. For a fixed set of shares this is the chairman assignment problem, and the rule is Tijdeman's (*The
//! chairman assignment problem*, Discrete Mathematics 32, 1980): of the targets whose credit is at least `1 / (2k − 2)`, the one
//! that would be first to exceed `1 − 1 / (2k − 2)` if it got nothing. Then after every request, in the order in which the word
//! changed, each of `k` targets is at most `1 − 1 / (2k − 2)` off: half a request for two, less than one for any number.
//!
//! Shares that change meanwhile (a shift) keep the lower bound for any number of targets, and for two (where a credit is the other's
//! negative) both; with more, a credit may then be up to `k − 1`. That is why four of them fit into sixteen bits each.
//!
//! A compare-and-set loop of two or three steps; no lock. Deliberately not one word for each worker: each would be exact for itself only.

use crate::percent::POINTS;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The most targets of a split: their credits share one word.
pub const TARGETS_MAX: usize = 4;

/// What each target gets, in hundredths of a percent; their sum is [`POINTS`].
pub(crate) type Shares = [u16; TARGETS_MAX];

/// Credits in units of a ten thousandth of a request; the first in the lowest bits. Alone on its cache line: every request writes it.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(crate) struct Spread(AtomicU64);

impl Spread {
    /// Whose turn it is. `rivals`: how many targets ever have a share while this spread is used.
    pub(crate) fn next(&self, shares: &Shares, rivals: usize) -> usize {
        if rivals <= 1 {
            // All goes to one: nothing to write.
            return shares.iter().position(|&share| share > 0).unwrap_or(0);
        }
        let mut word = self.0.load(Relaxed);
        loop {
            let mut credits = unpack(word);
            let winner = turn(&mut credits, shares, rivals);
            // Relaxed: the word guards nothing but itself.
            match self.0.compare_exchange_weak(word, pack(credits), Relaxed, Relaxed) {
                Ok(_) => return winner,
                Err(changed) => word = changed,
            }
        }
    }
}

/// One request: credits the shares and debits the winner.
fn turn(credits: &mut [i16; TARGETS_MAX], shares: &Shares, rivals: usize) -> usize {
    const ONE: i64 = POINTS as i64;
    for (credit, &share) in credits.iter_mut().zip(shares) {
        *credit = credit.saturating_add_unsigned(share);
    }
    // Both sides of Tijdeman's conditions times 2k − 2, so that all is whole.
    let scale = 2 * rivals as i64 - 2;
    let slack = |i: usize| ONE * (scale - 1) - i64::from(credits[i]) * scale;
    let with_share = || (0..TARGETS_MAX).filter(|&i| shares[i] > 0);
    let winner = with_share()
        .filter(|&i| i64::from(credits[i]) * scale >= ONE)
        // slack / share without the division. Of equals the first.
        .min_by(|&i, &j| (slack(i) * i64::from(shares[j])).cmp(&(slack(j) * i64::from(shares[i]))))
        // Nobody: only after a shift that left credit with a target that gets nothing any more.
        .or_else(|| with_share().max_by_key(|&i| credits[i]))
        .unwrap_or(0);
    credits[winner] = credits[winner].saturating_sub_unsigned(POINTS);
    winner
}

fn pack(credits: [i16; TARGETS_MAX]) -> u64 {
    credits.iter().rev().fold(0, |word, &credit| word << 16 | u64::from(credit as u16))
}

fn unpack(word: u64) -> [i16; TARGETS_MAX] {
    std::array::from_fn(|i| (word >> (16 * i)) as i16)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Shares of all four targets; some of them nothing.
    fn shares() -> impl Strategy<Value = Shares> {
        (1..=TARGETS_MAX, prop::array::uniform3(0..=POINTS)).prop_map(|(k, mut cuts)| {
            cuts[k - 1..].fill(POINTS);
            cuts.sort_unstable();
            [cuts[0], cuts[1] - cuts[0], cuts[2] - cuts[1], POINTS - cuts[2]]
        })
    }

    fn rivals(shares: &Shares) -> usize {
        shares.iter().filter(|&&share| share > 0).count()
    }

    proptest! {
        #[test]
        fn words_hold_what_was_put_in(credits: [i16; TARGETS_MAX]) {
            prop_assert_eq!(unpack(pack(credits)), credits);
        }

        /// Whatever a shift left behind.
        #[test]
        fn who_has_no_share_gets_nothing(mut credits in prop::array::uniform4(-20_000..20_000i16), mut shares in shares(), by in 0..4usize) {
            shares.rotate_left(by);
            let winner = turn(&mut credits, &shares, TARGETS_MAX);
            prop_assert!(shares[winner] > 0, "{winner} of {shares:?}");
        }

        /// Counted apart from the credits: what each target got against what it should have got.
        #[test]
        fn nobody_is_ever_one_request_off(shares in shares()) {
            let k = rivals(&shares);
            let spread = Spread::default();
            let mut got = [0i64; TARGETS_MAX];
            for n in 1..=20_000i64 {
                got[spread.next(&shares, k)] += 1;
                for i in 0..TARGETS_MAX {
                    let off = (n * i64::from(shares[i]) - got[i] * i64::from(POINTS)).abs();
                    let scale = 2 * k as i64 - 2;
                    prop_assert!(off * scale <= i64::from(POINTS) * (scale - 1).max(0), "{shares:?} after {n}: {got:?}");
                }
            }
        }

        #[test]
        fn two_are_within_half_a_request_whatever_changes(first in prop::collection::vec((0..=POINTS, 1..50u32), 1..200)) {
            let spread = Spread::default();
            let mut credit = 0i64;
            for (share, requests) in first {
                for _ in 0..requests {
                    let winner = spread.next(&[share, POINTS - share, 0, 0], 2);
                    prop_assert!([share, POINTS - share][winner] > 0, "who has no share gets nothing");
                    credit += i64::from(share) - if winner == 0 { i64::from(POINTS) } else { 0 };
                    prop_assert!(credit.abs() <= i64::from(POINTS) / 2, "{credit}");
                }
            }
        }

        /// More than two, with shares that change at any time: the credits stay far from where they would saturate.
        #[test]
        fn four_stay_within_their_bits(all in prop::collection::vec((shares(), 1..50u32), 1..100)) {
            let spread = Spread::default();
            let mut debt = [0i64; TARGETS_MAX];
            for (shares, requests) in all {
                // A target without a share may keep a credit; a plan has only one such change, here are many: start anew then.
                if rivals(&shares) < TARGETS_MAX { continue; }
                for _ in 0..requests {
                    let winner = spread.next(&shares, TARGETS_MAX);
                    for i in 0..TARGETS_MAX { debt[i] += i64::from(shares[i]); }
                    debt[winner] -= i64::from(POINTS);
                    prop_assert!(debt.iter().all(|&d| (-i64::from(POINTS)..3 * i64::from(POINTS)).contains(&d)), "{debt:?}");
                    prop_assert_eq!(unpack(spread.0.load(Relaxed)).map(i64::from), debt, "nothing saturated");
                }
            }
        }
    }
}
