//! Who goes first when not all can, and who is refused first.

/// The most levels of priority.
pub const LEVELS_MAX: usize = 8;

/// A level of priority: 0 is the highest. What the levels are called is the settings' matter; the usual three have constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(transparent))]
pub struct Priority(u8);

impl Priority {
    /// The first of the usual three.
    pub const HIGH: Self = Self(0);
    /// The second of the usual three, and what a request has of which nothing else is said.
    pub const NORMAL: Self = Self(1);
    /// The last of the usual three.
    pub const LOW: Self = Self(2);

    /// The level at this position, counted from the highest.
    pub const fn level(level: u8) -> Self {
        Self(level)
    }

    /// Its position, counted from the highest; within `levels`: a priority below the lowest counts as the lowest.
    pub const fn index(self, levels: usize) -> usize {
        if (self.0 as usize) < levels { self.0 as usize } else { levels.saturating_sub(1) }
    }
}

impl Default for Priority {
    fn default() -> Self {
        Self::NORMAL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_below_the_lowest_counts_as_the_lowest() {
        assert_eq!(Priority::level(0), Priority::HIGH);
        assert_eq!([0, 1, 2, 7].map(|p| Priority::level(p).index(3)), [0, 1, 2, 2]);
        assert_eq!((Priority::LOW.index(1), Priority::LOW.index(0)), (0, 0));
        assert_eq!(Priority::default(), Priority::NORMAL);
    }
}
