//! Spill-over: how much of the traffic each level gets, by how many of its backends are healthy.
//!
//! Envoy's priority levels: a level is good for `overprovisioning × healthy share` of all traffic, at most for all of it;
//! what one level cannot carry goes to the next. Zones are the same thing one step finer: within a priority, the
//! preferred zone is a level before the other zones. If all levels together cannot carry everything, they share it by what they can.

/// How many of a group of backends may get traffic: of a level, or of a whole pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Backends that may get traffic.
    pub eligible: u32,
    /// Backends that would, were they all healthy.
    pub all: u32,
}

impl Health {
    /// Healthy share, percent.
    pub(crate) fn percent(self) -> u32 {
        (u64::from(self.eligible) * 100).checked_div(u64::from(self.all)).unwrap_or(0) as u32
    }

    /// What the group can carry, percent of all traffic: `overprovisioning × healthy share`, at most 100.
    pub fn capacity(self, overprovisioning_percent: u32) -> u32 {
        let percent = u64::from(self.eligible) * u64::from(overprovisioning_percent);
        percent.checked_div(u64::from(self.all)).unwrap_or(0).min(100) as u32
    }
}

/// What all levels together can carry, percent, at most 100.
pub(crate) fn capacity(levels: &[Health], overprovisioning_percent: u32) -> u32 {
    levels.iter().map(|h| h.capacity(overprovisioning_percent)).sum::<u32>().min(100)
}

/// Each level's share of the traffic, percent; they sum up to 100 unless no level can carry anything.
pub(crate) fn loads(levels: &[Health], overprovisioning_percent: u32) -> Vec<u32> {
    let total = capacity(levels, overprovisioning_percent);
    let mut left = if total == 0 { 0 } else { 100 };
    let mut loads: Vec<u32> = levels
        .iter()
        .map(|h| {
            let share =
                (h.capacity(overprovisioning_percent) * 100).checked_div(total).unwrap_or(0).min(left);
            left -= share;
            share
        })
        .collect();
    // Rounding leaves a percent or two: to the first level that carries anything.
    if let Some(first) = loads.iter_mut().find(|l| **l > 0) {
        *first += left;
    }
    loads
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(levels: &[(u32, u32)]) -> Vec<u32> {
        let h: Vec<_> = levels.iter().map(|&(eligible, all)| Health { eligible, all }).collect();
        loads(&h, 140)
    }

    #[test]
    fn envoys_table() {
        // https://www.envoyproxy.io/docs: priority levels, overprovisioning 1.4
        assert_eq!(of(&[(100, 100), (100, 100)]), [100, 0]);
        assert_eq!(of(&[(72, 100), (72, 100)]), [100, 0]);
        assert_eq!(of(&[(71, 100), (71, 100)]), [99, 1]);
        assert_eq!(of(&[(50, 100), (50, 100)]), [70, 30]);
        assert_eq!(of(&[(25, 100), (100, 100)]), [35, 65]);
        assert_eq!(of(&[(25, 100), (25, 100)]), [50, 50]);
        assert_eq!(of(&[(0, 100), (0, 100)]), [0, 0]);
        assert_eq!(of(&[(0, 0), (5, 5)]), [0, 100]);
    }

    proptest! {
        #[test]
        fn shares_sum_up(levels in prop::collection::vec((0u32..50, 0u32..50), 1..6)) {
            let levels: Vec<_> = levels.into_iter().map(|(a, b)| (a.min(b), a.max(b))).collect();
            let sum: u32 = of(&levels).iter().sum();
            let able = levels.iter().any(|&(e, a)| e * 140 >= a.max(1));
            prop_assert_eq!(sum, if able { 100 } else { 0 });
        }
    }
}
