//! The seven continents, by the two letters that databases use for them.

use std::fmt;
use std::str::FromStr;

/// A continent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs)] // the names are what there is to say
pub enum Continent {
    Africa,
    Antarctica,
    Asia,
    Europe,
    NorthAmerica,
    Oceania,
    SouthAmerica,
}

impl Continent {
    /// Every continent, by code.
    pub const ALL: [Self; 7] = [
        Self::Africa,
        Self::Antarctica,
        Self::Asia,
        Self::Europe,
        Self::NorthAmerica,
        Self::Oceania,
        Self::SouthAmerica,
    ];

    /// `AF`, `AN`, `AS`, `EU`, `NA`, `OC` or `SA`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::Africa => "AF",
            Self::Antarctica => "AN",
            Self::Asia => "AS",
            Self::Europe => "EU",
            Self::NorthAmerica => "NA",
            Self::Oceania => "OC",
            Self::SouthAmerica => "SA",
        }
    }

    /// The English name, such as `North America`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Africa => "Africa",
            Self::Antarctica => "Antarctica",
            Self::Asia => "Asia",
            Self::Europe => "Europe",
            Self::NorthAmerica => "North America",
            Self::Oceania => "Oceania",
            Self::SouthAmerica => "South America",
        }
    }
}

impl fmt::Display for Continent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that names no continent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no continent: AF, AN, AS, EU, NA, OC and SA are")]
pub struct UnknownContinent {
    /// The text, at most 40 characters of it.
    pub text: String,
}

impl FromStr for Continent {
    type Err = UnknownContinent;

    /// A code or an English name, in any case.
    fn from_str(text: &str) -> Result<Self, UnknownContinent> {
        let is = |c: &Self| text.eq_ignore_ascii_case(c.code()) || text.eq_ignore_ascii_case(c.name());
        Self::ALL
            .into_iter()
            .find(is)
            .ok_or_else(|| UnknownContinent { text: text.chars().take(40).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::Continent;

    #[test]
    fn codes_and_names_are_read_in_any_case() {
        for continent in Continent::ALL {
            assert_eq!(continent.code().to_lowercase().parse(), Ok(continent));
            assert_eq!(continent.name().to_uppercase().parse(), Ok(continent));
        }
        let error = "XX".parse::<Continent>().unwrap_err();
        assert_eq!(error.to_string(), "\"XX\" is no continent: AF, AN, AS, EU, NA, OC and SA are");
    }
}
