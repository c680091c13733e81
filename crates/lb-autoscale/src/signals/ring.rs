//! A sliding window over time in a ring of slices: memory and work do not depend on how much happens in it.
//!
//! A window of `N` slices moves in `N` steps: at any instant it holds the running slice and the `N - 1` before it, which is
//! between `(N - 1)/N` of the period and all of it. What was put in at the very beginning of a slice leaves exactly one period
//! later. A slice that lay unused is empty again when its turn comes, so a gap in time needs no sweeping.

use lb_types::Nanos;

/// The last period of time, as `N` slices that each hold a `T`.
#[derive(Clone, Debug)]
pub(crate) struct Ring<T, const N: usize> {
    width_ns: u64,
    /// The latest slice written. An instant before it counts as in it: time does not run backwards.
    latest: u64,
    /// The number of the slice that a cell holds, and what is in it.
    cells: [Option<(u64, T)>; N],
}

impl<T: Copy + Default, const N: usize> Ring<T, N> {
    pub(crate) fn new(period: Nanos) -> Self {
        // Rounded up: a window is never shorter than (N - 1)/N of what was asked for.
        Self { width_ns: period.0.div_ceil(N as u64).max(1), latest: 0, cells: [None; N] }
    }

    fn number(&self, now: Nanos) -> u64 {
        (now.0 / self.width_ns).max(self.latest)
    }

    /// The slice of this instant, to be written.
    pub(crate) fn at(&mut self, now: Nanos) -> &mut T {
        let number = self.number(now);
        self.latest = number;
        let cell = &mut self.cells[(number % N as u64) as usize];
        if cell.is_none_or(|(held, _)| held != number) {
            *cell = None;
        }
        &mut cell.get_or_insert((number, T::default())).1
    }

    /// The slices of the period that ends now, in no order; those in which nothing was written are left out.
    pub(crate) fn live(&self, now: Nanos) -> impl Iterator<Item = &T> {
        let number = self.number(now);
        self.cells.iter().flatten().filter(move |(held, _)| number - held < N as u64).map(|(_, value)| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_is_put_in_leaves_a_period_later() {
        let mut ring = Ring::<u32, 60>::new(Nanos::from_secs(300));
        *ring.at(Nanos::ZERO) += 1;
        assert_eq!(ring.live(Nanos(300_000_000_000 - 1)).sum::<u32>(), 1);
        assert_eq!(ring.live(Nanos::from_secs(300)).count(), 0);
    }

    #[test]
    fn a_straggler_counts_as_the_latest() {
        let mut ring = Ring::<u32, 4>::new(Nanos(40));
        *ring.at(Nanos(100)) += 1;
        *ring.at(Nanos(7)) += 1;
        assert_eq!(ring.live(Nanos(7)).sum::<u32>(), 2);
        assert_eq!(ring.live(Nanos(140)).sum::<u32>(), 0);
    }

    proptest! {
        /// Against a list of which the entries of the last `N` slices are kept.
        #[test]
        fn as_a_list(period in 1u64..200, steps in prop::collection::vec(0u64..150, 1..100)) {
            let mut ring = Ring::<u64, 5>::new(Nanos(period));
            let width = period.div_ceil(5);
            let (mut now, mut list) = (0u64, Vec::<(u64, u64)>::new());
            for (value, step) in steps.into_iter().enumerate() {
                now += step;
                prop_assert_eq!(
                    ring.live(Nanos(now)).sum::<u64>(),
                    list.iter().filter(|(at, _)| now / width - at / width < 5).map(|(_, v)| v).sum::<u64>()
                );
                *ring.at(Nanos(now)) += value as u64;
                list.push((now, value as u64));
            }
        }
    }
}
