//! Whose point belongs to which target, and in which order points move.
//!
//! A table with one entry for each of the 10 000 points: its target before the change, after it, and the part of the way at which it
//! crosses. A look is one read; a change builds a new table (40 kB, some ten microseconds).
//!
//! **Who moves.** Only as many points as shares differ, from targets that shrink to targets that grow: a target that grows gives
//! nobody away, one that keeps its share keeps everybody, one that shrinks takes nobody. Towards a later target the lowest points
//! go first, back to an earlier one the highest, so that of two targets the second always has the points below its
//! share: the same clients on every node and after every restart, as the share alone decides.
//!
//! With three or more targets no table that depends on the shares alone can move so few: let `X(x)` be the points of target
//! X at share x. If whoever keeps its share keeps its points, `X(x)` depends on x only; with A and B alone `B(x)` is what `A(1 − x)`
//! leaves, with A and C alone `C(x)` is that, too, yet B and C may have x each at once. So there the table depends
//! on the changes that were made, and nodes agree if they made the same ones in the same order.

use crate::percent::POINTS;
use crate::spread::{Shares, TARGETS_MAX};

/// Progress of a change is counted in this many parts.
pub(crate) const PARTS: u16 = 10_000;

/// Points that go from one target to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Move {
    giver: u8,
    taker: u8,
    points: u16,
}

/// The moves from some shares to others: at most `TARGETS_MAX − 1`, from the first that shrinks to the first that grows.
pub(crate) fn moves(from: &Shares, to: &Shares) -> Vec<Move> {
    let mut spare: Shares = std::array::from_fn(|i| from[i].saturating_sub(to[i]));
    let mut wanted: Shares = std::array::from_fn(|i| to[i].saturating_sub(from[i]));
    let mut moves = Vec::new();
    for (giver, spare) in spare.iter_mut().enumerate() {
        for (taker, wanted) in wanted.iter_mut().enumerate() {
            let points = (*spare).min(*wanted);
            if points > 0 {
                *spare -= points;
                *wanted -= points;
                moves.push(Move { giver: giver as u8, taker: taker as u8, points });
            }
        }
    }
    moves
}

/// The shares when `parts` of the way are done.
pub(crate) fn shares_at(from: &Shares, moves: &[Move], parts: u16) -> Shares {
    let mut shares = *from;
    for m in moves {
        let moved = moved(m.points, parts);
        shares[usize::from(m.giver)] -= moved;
        shares[usize::from(m.taker)] += moved;
    }
    shares
}

/// Of `points`, those that crossed when `parts` of the way are done.
fn moved(points: u16, parts: u16) -> u16 {
    (u32::from(points) * u32::from(parts) / u32::from(PARTS)) as u16
}

/// The fewest parts at which `points`, of which this is number `n` from 1, has crossed: the inverse of [`moved`].
fn crosses_at(points: u16, n: u16) -> u16 {
    (u32::from(n) * u32::from(PARTS)).div_ceil(u32::from(points)) as u16
}

#[derive(Clone, Copy, Debug)]
struct Cohort {
    before: u8,
    after: u8,
    /// In parts; of no meaning to who stays.
    at: u16,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Cohorts(Box<[Cohort]>);

impl Cohorts {
    /// Nobody moves: the last target has the lowest points, then the one before it.
    pub(crate) fn new(shares: &Shares) -> Self {
        let owners =
            (0..TARGETS_MAX as u8).rev().flat_map(|i| std::iter::repeat_n(i, shares[usize::from(i)].into()));
        Self(owners.map(stays).collect())
    }

    /// Whose the point is when `parts` of the way are done. A point that is too high counts as the highest.
    #[inline]
    pub(crate) fn target(&self, point: u32, parts: u16) -> usize {
        let cohort = &self.0[point.min(u32::from(POINTS) - 1) as usize];
        usize::from(if parts >= cohort.at { cohort.after } else { cohort.before })
    }

    /// As it is at `parts`, then with these moves still to do.
    pub(crate) fn then(&self, parts: u16, moves: &[Move]) -> Self {
        let mut table: Box<[Cohort]> =
            (0..u32::from(POINTS)).map(|point| stays(self.target(point, parts) as u8)).collect();
        for m in moves {
            let mut gone = 0;
            let give = |cohort: &mut Cohort| {
                if gone < m.points && cohort.before == m.giver && cohort.after == m.giver {
                    gone += 1;
                    *cohort = Cohort { before: m.giver, after: m.taker, at: crosses_at(m.points, gone) };
                }
            };
            if m.taker > m.giver {
                table.iter_mut().for_each(give);
            } else {
                table.iter_mut().rev().for_each(give);
            }
        }
        Self(table)
    }
}

fn stays(target: u8) -> Cohort {
    Cohort { before: target, after: target, at: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shares() -> impl Strategy<Value = Shares> {
        prop::array::uniform3(0..=POINTS).prop_map(|mut cuts| {
            cuts.sort_unstable();
            [cuts[0], cuts[1] - cuts[0], cuts[2] - cuts[1], POINTS - cuts[2]]
        })
    }

    fn owners(cohorts: &Cohorts, parts: u16) -> Vec<usize> {
        (0..u32::from(POINTS)).map(|point| cohorts.target(point, parts)).collect()
    }

    fn counts(owners: &[usize]) -> Shares {
        let mut counts = Shares::default();
        owners.iter().for_each(|&owner| counts[owner] += 1);
        counts
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn only_as_many_move_as_must_and_each_once(from in shares(), mid in shares(), to in shares(), mut parts in prop::array::uniform3(0..=PARTS)) {
            // A table with a history, then a change that is looked at on its way.
            let begin = Cohorts::new(&from).then(0, &moves(&from, &mid));
            let moves = moves(&mid, &to);
            let table = begin.then(PARTS, &moves);
            prop_assert_eq!(owners(&table, 0), owners(&begin, PARTS));
            parts.sort_unstable();
            let mut before = owners(&table, 0);
            for parts in parts.into_iter().chain([PARTS]) {
                let now = owners(&table, parts);
                prop_assert_eq!(counts(&now), shares_at(&mid, &moves, parts), "points and shares agree on the way");
                for (&a, &b) in before.iter().zip(&now) {
                    prop_assert!(a == b || (to[a] < mid[a] && to[b] > mid[b]), "from who shrinks to who grows: {a} to {b}");
                }
                before = now;
            }
            prop_assert_eq!(counts(&before), to);
            let moved = owners(&table, 0).iter().zip(&before).filter(|(a, b)| a != b).count();
            let least: u32 = (0..TARGETS_MAX).map(|i| u32::from(to[i].saturating_sub(mid[i]))).sum();
            prop_assert_eq!(moved as u32, least);
        }

        #[test]
        fn of_two_the_second_has_the_points_below_its_share(shares in prop::collection::vec(0..=POINTS, 1..6)) {
            let two = |share: u16| [POINTS - share, share, 0, 0];
            let mut at = 0;
            let mut table = Cohorts::new(&two(0));
            for share in shares {
                table = table.then(PARTS, &moves(&two(at), &two(share)));
                at = share;
                prop_assert!((0..POINTS).all(|p| (table.target(p.into(), PARTS) == 1) == (p < share)));
            }
        }
    }

    #[test]
    fn crossing_is_the_inverse_of_moved() {
        for points in [1, 2, 3, 7, 333, 9_999, 10_000] {
            for n in 1..=points {
                let at = crosses_at(points, n);
                assert!(moved(points, at) >= n && moved(points, at - 1) < n, "{n} of {points}");
            }
        }
    }
}
