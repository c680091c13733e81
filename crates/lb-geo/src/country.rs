//! Countries by their ISO 3166-1 codes, with the continent and the middle of each.
//!
//! The table (250 rows, 16 KB) is in `country/table.rs`, with where it comes from.

mod table;

use crate::{Continent, Coordinates};
use std::fmt;
use std::str::FromStr;
use table::{COUNTRIES, Row};

/// Marks letters that are no country in [`INDEX`].
const NONE: u8 = u8::MAX;

/// The row of each pair of letters: a look-up is one load.
const INDEX: [[u8; 26]; 26] = {
    assert!(COUNTRIES.len() < NONE as usize);
    let mut index = [[NONE; 26]; 26];
    let mut at = 0;
    while at < COUNTRIES.len() {
        let code = COUNTRIES[at].code.as_bytes();
        index[(code[0] - b'A') as usize][(code[1] - b'A') as usize] = at as u8;
        at += 1;
    }
    index
};

/// A country, dependency or area that ISO 3166-1 gives two letters to; and `XK`, which the standard leaves to its users and all
/// databases use for Kosovo.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Country(u8);

impl Country {
    /// Every country, by code.
    pub fn all() -> impl Iterator<Item = Self> {
        (0..COUNTRIES.len()).map(|at| Self(at as u8)) // the table has less than 255 rows, see INDEX
    }

    /// By the two letters, in any case. None if they are no country's.
    pub fn from_code(code: &str) -> Option<Self> {
        let &[a, b] = code.as_bytes() else { return None };
        let place = |letter: u8| usize::from(letter.to_ascii_uppercase().wrapping_sub(b'A'));
        let at = *INDEX.get(place(a))?.get(place(b))?;
        (at != NONE).then_some(Self(at))
    }

    /// The two letters, in upper case.
    pub fn code(self) -> &'static str {
        self.row().code
    }

    /// A usual English name.
    pub fn name(self) -> &'static str {
        self.row().name
    }

    /// The continent that it is counted to; of a country on two, the one that databases say (Russia: Europe, Turkey: Asia).
    pub fn continent(self) -> Continent {
        self.row().continent
    }

    /// About the middle of its land: what stands in for a client's coordinates where only the country is known. In a large
    /// country that can be 3000 km from where a client is.
    pub fn centroid(self) -> Coordinates {
        let row = self.row();
        Coordinates::new_const(row.lat, row.lon)
    }

    fn row(self) -> &'static Row {
        &COUNTRIES[usize::from(self.0)]
    }
}

impl fmt::Display for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

impl fmt::Debug for Country {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// A text that is no country's code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownCountry {
    /// The text, at most 40 characters of it.
    pub text: String,
    /// The country that was meant, perhaps.
    pub suggestion: Option<Country>,
}

impl fmt::Display for UnknownCountry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" is no country's ISO 3166-1 alpha-2 code", self.text)?;
        match self.suggestion {
            Some(country) => write!(f, ": did you mean \"{country}\" ({})?", country.name()),
            None => Ok(()),
        }
    }
}

impl std::error::Error for UnknownCountry {}

impl FromStr for Country {
    type Err = UnknownCountry;

    /// The two letters, in any case. A name or three letters are refused, with the two letters as a suggestion: a file says
    /// one thing one way.
    fn from_str(text: &str) -> Result<Self, UnknownCountry> {
        Self::from_code(text).ok_or_else(|| {
            let text: String = text.chars().take(40).collect();
            UnknownCountry { suggestion: meant(&text), text }
        })
    }
}

/// Codes that are common and not ISO's alpha-2.
const COMMON: [(&str, &str); 4] = [("UK", "GB"), ("EL", "GR"), ("ENGLAND", "GB"), ("HOLLAND", "NL")];

/// What may be meant by a text that is no code: a common one, three letters, or about a name.
fn meant(text: &str) -> Option<Country> {
    let common = COMMON.iter().find(|(other, _)| text.eq_ignore_ascii_case(other));
    if let Some((_, code)) = common {
        return Country::from_code(code);
    }
    let by_alpha3 = Country::all().find(|c| text.eq_ignore_ascii_case(c.row().alpha3));
    if by_alpha3.is_some() || text.len() < 4 {
        return by_alpha3;
    }
    let likeness = |c: Country| strsim::jaro_winkler(&c.name().to_lowercase(), &text.to_lowercase());
    let (country, best) = Country::all().map(|c| (c, likeness(c))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (best > 0.85).then_some(country) // lets through a slip or two, and not another country's name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_found_by_its_code_and_sound() {
        assert_eq!(Country::all().count(), 250);
        assert!(COUNTRIES.is_sorted_by(|a, b| a.code < b.code));
        for country in Country::all() {
            assert_eq!(country.code().parse(), Ok(country));
            assert_eq!(Country::from_code(&country.code().to_lowercase()), Some(country));
            let centroid = country.centroid();
            assert_eq!(Coordinates::new(centroid.lat(), centroid.lon()), Ok(centroid), "{country}");
            assert!(country.name().is_ascii() && country.row().alpha3.len() == 3, "{country}");
        }
    }

    #[test]
    fn what_is_no_code_is_refused_with_what_may_be_meant() {
        for (text, suggestion) in [
            ("UK", Some("GB")),
            ("usa", Some("US")),
            ("DEU", Some("DE")),
            ("Germany", Some("DE")),
            ("germny", Some("DE")),
            ("Swizerland", Some("CH")),
            ("ZZ", None),
            ("", None),
            ("[]", None),
            ("é", None),
            ("no such country", None),
        ] {
            let error = text.parse::<Country>().unwrap_err();
            assert_eq!(error.suggestion.map(Country::code), suggestion, "{text}");
        }
        assert_eq!(
            "UK".parse::<Country>().unwrap_err().to_string(),
            "\"UK\" is no country's ISO 3166-1 alpha-2 code: did you mean \"GB\" (United Kingdom)?"
        );
    }
}
