//! A percentage in hundredths, so that shares add up exactly.

use lb_types::SettingsError;
use std::fmt;

/// Hundredths of a percent in the whole. Points of clients are below this, too (as `lb_session::cohort::POINTS`).
pub const POINTS: u16 = 10_000;

/// From 0 to 100 percent, in steps of 0.01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(into = "f64"))]
pub struct Percent(u16);

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All.
    pub const ALL: Self = Self(POINTS);

    /// From hundredths of a percent.
    ///
    /// # Errors
    /// More than [`POINTS`].
    pub fn from_hundredths(hundredths: u16) -> Result<Self, SettingsError> {
        if hundredths > POINTS {
            return Err(SettingsError::new("percent", f64::from(hundredths) / 100.0, "must be at most 100"));
        }
        Ok(Self(hundredths))
    }

    /// In hundredths of a percent, up to [`POINTS`].
    pub const fn hundredths(self) -> u16 {
        self.0
    }

    /// Crate-internal: the caller knows that it is at most [`POINTS`].
    pub(crate) const fn of(hundredths: u16) -> Self {
        debug_assert!(hundredths <= POINTS);
        Self(hundredths)
    }
}

impl TryFrom<f64> for Percent {
    type Error = SettingsError;

    /// `12.5` is 12.5 percent. Refuses what is not from 0 to 100 or has a third decimal: rounding would bend a sum of 100.
    fn try_from(percent: f64) -> Result<Self, SettingsError> {
        let must = "must be from 0 to 100, with two decimals at most";
        let hundredths = percent * 100.0;
        // 0.29 × 100 is not 29: what a decimal looks like in binary is forgiven, a third decimal is not.
        let fits = (0.0..=10_000.0).contains(&hundredths) && (hundredths - hundredths.round()).abs() < 1e-6;
        if fits {
            Ok(Self(hundredths.round() as u16))
        } else {
            Err(SettingsError::new("percent", percent, must))
        }
    }
}

impl From<Percent> for f64 {
    fn from(percent: Percent) -> Self {
        Self::from(percent.0) / 100.0
    }
}

impl fmt::Display for Percent {
    /// As short as it goes: `10 %`, `0.5 %`, `33.33 %`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} %", f64::from(*self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_decimals_are_exact_and_a_third_is_refused() {
        for n in 0..=POINTS {
            let p = Percent::try_from(f64::from(n) / 100.0).unwrap();
            assert_eq!((p.hundredths(), Percent::from_hundredths(n)), (n, Ok(p)));
        }
        for wrong in [-0.01, 100.01, 33.333, f64::NAN, f64::INFINITY] {
            assert!(Percent::try_from(wrong).is_err(), "{wrong}");
        }
        assert!(Percent::from_hundredths(10_001).is_err());
        assert_eq!(Percent::of(1_025).to_string(), "10.25 %");
    }
}
