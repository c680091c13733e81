//! nginx's smooth weighted round robin, unrolled into a schedule.
//!
//! The textbook form (add each weight to a current value, take the largest, subtract the sum) costs O(n) a pick and a
//! lock. One cycle of it has Σweight/gcd turns and then repeats, so it is computed once and picked from in O(1).
//! Members of one weight move in lock-step, so a turn costs O(distinct weights) to compute.
//!
//! **Bound.** Up to [`SLOTS`] turns the order is nginx's, exactly. Longer cycles are scaled to [`SLOTS`] turns by largest
//! remainders: a member's share then differs from the exact one by less than 2/[`SLOTS`] (0.003 %) of all traffic. Members
//! whose share is less than one turn are pooled: their common turns, one at least, go round among them by a schedule of
//! their own, so nobody starves, however skewed the weights are.

/// The longest schedule, in turns.
pub(crate) const SLOTS: usize = 1 << 16;
/// Marks an entry that belongs to the pooled light members; the rest of it is its ordinal among those entries.
const LIGHT: u32 = 1 << 31;

/// One cycle of a weighted rotation. See the module's documentation.
#[derive(Debug)]
pub(crate) struct Schedule {
    /// A candidate's position, or [`LIGHT`] and an ordinal.
    entries: Box<[u32]>,
    light: Option<Box<Light>>,
}

/// Members that get less than one turn of [`SLOTS`], sharing some.
#[derive(Debug)]
struct Light {
    /// How many turns of the outer cycle they share.
    turns: usize,
    /// Their positions.
    who: Box<[u32]>,
    schedule: Schedule,
}

impl Schedule {
    /// A schedule over the positions `0..weights.len()`; weights of 0 get no turn. At least one must be > 0.
    ///
    /// O(turns × distinct weights).
    pub(crate) fn new(weights: &[u32]) -> Self {
        let divisor = weights.iter().fold(0, |a, &w| gcd(a, w)).max(1);
        let sum: u64 = weights.iter().map(|&w| u64::from(w / divisor)).sum();
        if sum <= SLOTS as u64 {
            let turns: Vec<_> = weights.iter().enumerate().map(|(i, &w)| (i as u32, w / divisor)).collect();
            return Self { entries: interleave(&turns), light: None };
        }
        Self::scaled(weights, sum, divisor)
    }

    fn scaled(weights: &[u32], sum: u64, divisor: u32) -> Self {
        // More members than slots would make all of them light: then there is a slot for each.
        let slots = SLOTS.max(weights.len().next_power_of_two()) as u64;
        let quota = |w: u32| u128::from(w / divisor) * u128::from(slots);
        let (heavy, light): (Vec<u32>, Vec<u32>) = (0..weights.len() as u32)
            .filter(|&i| weights[i as usize] > 0)
            .partition(|&i| quota(weights[i as usize]) >= u128::from(sum));
        let light_sum: u128 = light.iter().map(|&i| u128::from(weights[i as usize] / divisor)).sum();
        // (who, whole turns, remainder): the light members count as one.
        let mut turns: Vec<(u32, u32, u128)> = heavy
            .iter()
            .map(|&i| (i, quota(weights[i as usize])))
            .chain((!light.is_empty()).then_some((LIGHT, light_sum * u128::from(slots))))
            .map(|(i, q)| (i, (q / u128::from(sum)) as u32, q % u128::from(sum)))
            .collect();
        let given: u64 = turns.iter().map(|t| u64::from(t.1)).sum();
        turns.sort_by_key(|t| (std::cmp::Reverse(t.2), t.0));
        for t in turns.iter_mut().take((slots - given) as usize) {
            t.1 += 1;
        }
        turns.sort_unstable_by_key(|t| t.0);
        if let Some(t) = turns.last_mut().filter(|t| t.0 == LIGHT) {
            t.1 = t.1.max(1);
        }
        let turns: Vec<_> = turns.into_iter().map(|(i, n, _)| (i, n)).collect();
        let mut entries = interleave(&turns);
        let mut ordinal = 0;
        for e in entries.iter_mut().filter(|e| **e == LIGHT) {
            *e |= ordinal;
            ordinal += 1;
        }
        let light = (!light.is_empty()).then(|| {
            let theirs: Vec<_> = light.iter().map(|&i| weights[i as usize]).collect();
            Box::new(Light { turns: ordinal as usize, who: light.into(), schedule: Self::new(&theirs) })
        });
        Self { entries, light }
    }

    /// The position whose turn it is. O(1) up to [`SLOTS`], a few steps beyond.
    #[inline]
    pub(crate) fn at(&self, turn: usize) -> usize {
        let entry = self.entries[turn % self.entries.len()];
        if entry & LIGHT == 0 { entry as usize } else { self.light_at(turn, entry) }
    }

    #[cold]
    fn light_at(&self, turn: usize, entry: u32) -> usize {
        let light = self.light.as_ref().expect("only a schedule with light members has light entries");
        let cycle = turn / self.entries.len();
        let inner = cycle.wrapping_mul(light.turns).wrapping_add((entry & !LIGHT) as usize);
        light.who[light.schedule.at(inner)] as usize
    }

    #[cfg(test)]
    fn cycle(&self) -> usize {
        self.entries.len()
    }
}

/// The smooth order of one cycle: who gets how many turns. Ties go to the one that stands first.
fn interleave(turns: &[(u32, u32)]) -> Box<[u32]> {
    struct Class {
        turns: i64,
        current: i64,
        next: usize,
        who: Vec<u32>,
    }
    let mut by_turns = std::collections::BTreeMap::<u32, Vec<u32>>::new();
    for &(who, n) in turns.iter().filter(|t| t.1 > 0) {
        by_turns.entry(n).or_default().push(who);
    }
    let mut classes: Vec<_> = by_turns
        .into_iter()
        .map(|(n, who)| Class { turns: i64::from(n), current: 0, next: 0, who })
        .collect();
    let total: i64 = classes.iter().map(|c| c.turns * c.who.len() as i64).sum();
    (0..total)
        .map(|_| {
            for c in &mut classes {
                c.current += c.turns;
            }
            let best = classes
                .iter_mut()
                .max_by_key(|c| (c.current, std::cmp::Reverse(c.who[c.next])))
                .expect("a turn is taken from somebody");
            let who = best.who[best.next];
            best.next += 1;
            if best.next == best.who.len() {
                // All of the class had their turn: each one's current value has gone down by the total.
                best.next = 0;
                best.current -= total;
            }
            who
        })
        .collect()
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn order(weights: &[u32], n: usize) -> Vec<usize> {
        let s = Schedule::new(weights);
        (0..n).map(|t| s.at(t)).collect()
    }

    /// nginx's algorithm as its source has it.
    fn nginx(weights: &[u32], n: usize) -> Vec<usize> {
        let sum: i64 = weights.iter().map(|&w| i64::from(w)).sum();
        let mut current = vec![0; weights.len()];
        (0..n)
            .map(|_| {
                let mut best = None;
                for (i, &w) in weights.iter().enumerate().filter(|(_, w)| **w > 0) {
                    current[i] += i64::from(w);
                    if best.is_none_or(|b: usize| current[i] > current[b]) {
                        best = Some(i);
                    }
                }
                let best = best.expect("some weight is positive");
                current[best] -= sum;
                best
            })
            .collect()
    }

    #[test]
    fn known_sequences() {
        assert_eq!(order(&[5, 1, 1], 7), [0, 0, 1, 0, 2, 0, 0]);
        assert_eq!(order(&[1, 3, 1], 5), [1, 0, 1, 2, 1]);
        assert_eq!(order(&[0, 2, 0], 3), [1, 1, 1]);
    }

    proptest! {
        #[test]
        fn the_order_is_nginx_s(weights in prop::collection::vec(0u32..12, 1..12).prop_filter("a weight", |w| w.iter().any(|&w| w > 0))) {
            let n = 3 * Schedule::new(&weights).cycle();
            prop_assert_eq!(order(&weights, n), nginx(&weights, n));
        }

        #[test]
        fn long_cycles_keep_their_shares(weights in prop::collection::vec(prop_oneof![1u32..10, 1_000u32..100_000, Just(1_000_000_000)], 2..40)) {
            let s = Schedule::new(&weights);
            let n = s.cycle() * 8;
            let mut counts = vec![0u64; weights.len()];
            for t in 0..n {
                counts[s.at(t)] += 1;
            }
            let sum: f64 = weights.iter().map(|&w| f64::from(w)).sum();
            for (i, &c) in counts.iter().enumerate() {
                let off = (c as f64 / n as f64 - f64::from(weights[i]) / sum).abs();
                prop_assert!(off < 2.0 / SLOTS as f64, "weights {:?}: {} got {} of {}", weights, i, c, n);
            }
        }
    }

    #[test]
    fn skewed_weights_starve_nobody_and_distort_nothing() {
        let mut weights = vec![1; 9_999];
        weights.push(1_000_000_000);
        let s = Schedule::new(&weights);
        let cycles = 10_000;
        let mut counts = vec![0u32; weights.len()];
        // One light turn a cycle: after 10 000 cycles each light member had one.
        let light_turns: Vec<_> = (0..s.cycle()).filter(|&t| s.entries[t] & LIGHT != 0).collect();
        for cycle in 0..cycles {
            for t in &light_turns {
                counts[s.at(cycle * s.cycle() + t)] += 1;
            }
        }
        let light: u32 = counts.iter().sum();
        assert_eq!(light as usize, cycles, "1 of 65 536 turns goes to the light ones: exact would be 0.66");
        assert!(counts[..9_999].iter().all(|&c| (1..=2).contains(&c)));
    }

    #[test]
    fn more_members_than_slots() {
        let weights: Vec<u32> = (0..100_000).map(|i| 1 + i % 3).collect();
        let s = Schedule::new(&weights);
        let mut counts = vec![0u32; weights.len()];
        for t in 0..s.cycle() * 4 {
            counts[s.at(t)] += 1;
        }
        assert!(counts.iter().all(|&c| c > 0));
    }
}
