//! Where an address is: what is known of it, or why nothing is.

use crate::{Continent, Coordinates, Country, UnknownCountry};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest name (of a city, a region, an organisation) that is kept, in bytes; the rest is cut off. The longest names of
/// places have 85 letters.
pub const NAME_BYTES_MAX: usize = 255;

/// What is known of an address. Every field may be missing: a country database knows no cities, and so on.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Location {
    /// The country.
    pub country: Option<Country>,
    /// The continent; the country's, where a source says none itself.
    pub continent: Option<Continent>,
    /// The largest subdivision of the country, by its code: `US-CA`.
    pub region: Option<Subdivision>,
    /// The subdivision's English name, from sources that give no code or both.
    pub region_name: Option<Box<str>>,
    /// The city's English name.
    pub city: Option<Box<str>>,
    /// Where it is, as the source says; see [`position`](Self::position).
    pub coordinates: Option<Coordinates>,
    /// The number of the autonomous system that announces the address.
    pub asn: Option<u32>,
    /// Whose autonomous system that is.
    pub as_organization: Option<Box<str>>,
}

impl Location {
    /// A place of which only the country is known, and so the continent.
    pub fn of_country(country: Country) -> Self {
        Self { country: Some(country), continent: Some(country.continent()), ..Self::default() }
    }

    /// A place of which only the subdivision is known, and so the country and the continent.
    pub fn of_subdivision(region: Subdivision) -> Self {
        Self { region: Some(region), ..Self::of_country(region.country()) }
    }

    /// A place as a caller names it: a country's code; a subdivision's, whole (`US-CA`) or within the country (`CA`); a city's name. What is
    /// not given, or empty, is not known.
    ///
    /// ```
    /// use lb_geo::Location;
    /// let whole = Location::parse(None, Some("US-CA"), Some("Oakland"))?;
    /// assert_eq!(whole, Location::parse(Some("us"), Some("ca"), Some("Oakland"))?);
    /// assert!(Location::parse(None, Some("CA"), None).is_err(), "of which country?");
    /// # Ok::<(), lb_geo::BadLocation>(())
    /// ```
    ///
    /// # Errors
    /// When a code is none, or the subdivision is another country's or lacks one.
    pub fn parse(
        country: Option<&str>,
        region: Option<&str>,
        city: Option<&str>,
    ) -> Result<Self, BadLocation> {
        let given = |text: &&str| !text.is_empty();
        let country: Option<Country> = country.filter(given).map(str::parse).transpose()?;
        let mut location = match (country, region.filter(given)) {
            (Some(country), Some(code)) => {
                let region = Subdivision::new(country, code).ok_or_else(|| BadSubdivision::of(code));
                match (region, code.parse::<Subdivision>()) {
                    (Ok(region), _) => Self::of_subdivision(region),
                    (Err(_), Ok(region)) => return Err(BadLocation::OtherCountry { region, country }),
                    (Err(e), Err(_)) => return Err(e.into()),
                }
            }
            (None, Some(code)) => Self::of_subdivision(code.parse()?),
            (Some(country), None) => Self::of_country(country),
            (None, None) => Self::default(),
        };
        location.city = city.and_then(name_of);
        Ok(location)
    }

    /// With other coordinates.
    #[must_use]
    pub fn at(mut self, coordinates: Coordinates) -> Self {
        self.coordinates = Some(coordinates);
        self
    }

    /// With another city; cut to [`NAME_BYTES_MAX`].
    #[must_use]
    pub fn in_city(mut self, name: &str) -> Self {
        self.city = name_of(name);
        self
    }

    /// The coordinates, or else the middle of the country.
    pub fn position(&self) -> Option<Coordinates> {
        self.coordinates.or_else(|| self.country.map(Country::centroid))
    }

    /// It says where, be it roughly: in which country or continent, or at which coordinates.
    pub fn has_place(&self) -> bool {
        self.country.is_some() || self.continent.is_some() || self.coordinates.is_some()
    }

    /// Nothing at all is known.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The continent of the country, unless there is one.
    pub(crate) fn with_continent(mut self) -> Self {
        self.continent = self.continent.or_else(|| self.country.map(Country::continent));
        self
    }
}

/// A name as it is kept: none of an empty one, and no more than [`NAME_BYTES_MAX`] of a long one.
pub(crate) fn name_of(text: &str) -> Option<Box<str>> {
    let text = text.trim();
    let end = text.floor_char_boundary(NAME_BYTES_MAX);
    (!text.is_empty()).then(|| text[..end].into())
}

/// "lat,lon" in degrees.
#[cfg(any(feature = "mmdb", feature = "http-providers"))]
pub(crate) fn place_of(text: &str) -> Option<Coordinates> {
    let (lat, lon) = text.split_once(',')?;
    Coordinates::new(lat.trim().parse().ok()?, lon.trim().parse().ok()?).ok()
}

/// "AS123" or "123"; 0 is nobody's.
#[cfg(any(feature = "mmdb", feature = "http-providers"))]
pub(crate) fn as_number(text: &str) -> Option<u32> {
    let digits = text.strip_prefix("AS").unwrap_or(text);
    let number = digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse().ok())??;
    (number != 0).then_some(number)
}

/// A country's subdivision by its ISO 3166-2 code: `US-CA`.
///
/// The country is a known one. The one to three letters and digits after it are not looked up: the standard's list of five
/// thousand changes every year.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subdivision {
    country: Country,
    /// Upper case, filled up with zeros.
    code: [u8; 3],
}

impl Subdivision {
    /// `code` within `country`: one to three letters or digits, in any case; or the whole `US-CA`. None of anything else.
    pub fn new(country: Country, code: &str) -> Option<Self> {
        let code = match code.split_once('-') {
            Some((before, after)) => (Country::from_code(before)? == country).then_some(after)?,
            None => code,
        };
        let valid = (1..=3).contains(&code.len()) && code.bytes().all(|b| b.is_ascii_alphanumeric());
        valid.then(|| {
            let mut upper = [0; 3];
            upper[..code.len()].copy_from_slice(code.as_bytes());
            upper.make_ascii_uppercase();
            Self { country, code: upper }
        })
    }

    /// The country.
    pub const fn country(self) -> Country {
        self.country
    }

    /// What stands after the country: `CA`.
    pub fn code(&self) -> &str {
        let end = self.code.iter().position(|&b| b == 0).unwrap_or(self.code.len());
        std::str::from_utf8(&self.code[..end]).expect("letters and digits")
    }
}

impl fmt::Display for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.country, self.code())
    }
}

impl fmt::Debug for Subdivision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no subdivision's code.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "\"{text}\" is no ISO 3166-2 code: it is a country's two letters, a dash and one to three letters or digits, such as US-CA"
)]
pub struct BadSubdivision {
    /// The text, at most 40 characters of it.
    pub text: String,
}

impl BadSubdivision {
    fn of(text: &str) -> Self {
        Self { text: text.chars().take(40).collect() }
    }
}

/// Texts that are no place.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BadLocation {
    /// The country is none.
    #[error("country: {0}")]
    Country(#[from] UnknownCountry),
    /// The subdivision is none, or it is not said of which country.
    #[error("region: {0}")]
    Region(#[from] BadSubdivision),
    /// The subdivision is not the country's.
    #[error("region: {region} is not in the country {country}")]
    OtherCountry {
        /// The subdivision.
        region: Subdivision,
        /// The country that was given with it.
        country: Country,
    },
}

impl FromStr for Subdivision {
    type Err = BadSubdivision;

    /// Such as `US-CA`, in any case.
    fn from_str(text: &str) -> Result<Self, BadSubdivision> {
        text.split_once('-')
            .and_then(|(country, code)| Self::new(Country::from_code(country)?, code))
            .ok_or_else(|| BadSubdivision::of(text))
    }
}

/// What is said of an address. Cheap to clone.
#[derive(Clone, Debug, PartialEq)]
pub enum Answer {
    /// Something is known.
    Found(Arc<Location>),
    /// Nothing is known.
    Unknown(Why),
}

/// Why nothing is known of an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Why {
    /// It is of a network of one's own: private, loopback, link-local or a carrier's (CGNAT).
    Private,
    /// It is nobody's: for documentation, benchmarks, multicast, future use, or unspecified.
    Reserved,
    /// Nobody who was asked knows it.
    NotInDatabase,
}

impl Why {
    /// A short stable name: `private`, `reserved`, `not-in-database`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Private => "private",
            Self::Reserved => "reserved",
            Self::NotInDatabase => "not-in-database",
        }
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Private => "it is a private address",
            Self::Reserved => "it is a reserved address",
            Self::NotInDatabase => "it is in no database that was asked",
        })
    }
}

impl Answer {
    /// What is known.
    pub fn location(&self) -> Option<&Location> {
        match self {
            Self::Found(location) => Some(location),
            Self::Unknown(_) => None,
        }
    }

    /// Found, unless `location` says nothing.
    pub(crate) fn of(location: Location) -> Self {
        if location.is_empty() { Self::Unknown(Why::NotInDatabase) } else { Self::Found(Arc::new(location)) }
    }
}

impl From<Location> for Answer {
    fn from(location: Location) -> Self {
        Self::of(location)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn subdivisions_are_read_whole_or_with_their_country() {
        let us = Country::from_code("US").unwrap();
        let california = Subdivision::new(us, "ca").unwrap();
        assert_eq!(california.to_string(), "US-CA");
        assert_eq!((california.country(), california.code()), (us, "CA"));
        assert_eq!("us-ca".parse(), Ok(california));
        assert_eq!(Subdivision::new(us, "US-CA"), Some(california));
        assert_eq!("GB-ENG".parse::<Subdivision>().unwrap().code(), "ENG");
        for bad in ["", "US", "CA", "US-", "US-ABCD", "ZZ-1", "US-é", "US-C-A", "California"] {
            assert!(bad.parse::<Subdivision>().is_err(), "{bad}");
        }
        assert_eq!(Subdivision::new(us, "CA-ON"), None);
    }

    #[test]
    fn the_middle_of_the_country_stands_in_for_coordinates() {
        let iceland = Location::of_country(Country::from_code("IS").unwrap());
        assert_eq!(iceland.position(), Coordinates::new(65.0, -18.0).ok());
        let reykjavik = Coordinates::new(64.15, -21.94).unwrap();
        assert_eq!(iceland.at(reykjavik).position(), Some(reykjavik));
        assert_eq!(Location::default().position(), None);
    }

    #[test]
    fn a_place_is_read_from_what_a_caller_gives() {
        let parse = Location::parse;
        let country = |code: &str| Location::of_country(code.parse().unwrap());
        assert_eq!(parse(None, None, None), Ok(Location::default()));
        assert_eq!(parse(Some(""), Some(""), Some(" ")), Ok(Location::default()));
        assert_eq!(parse(Some("de"), None, None), Ok(country("DE")));
        assert_eq!(parse(Some("DE"), None, Some("Bonn")), Ok(country("DE").in_city("Bonn")));
        let california = Location::of_subdivision("US-CA".parse().unwrap());
        for (country, region) in [(Some("US"), "CA"), (Some("US"), "US-CA"), (None, "us-ca")] {
            assert_eq!(parse(country, Some(region), None).as_ref(), Ok(&california));
        }
        let error = |country, region| parse(country, region, None).unwrap_err().to_string();
        assert!(error(Some("UK"), None).starts_with("country: \"UK\" is no country"));
        assert!(error(None, Some("CA")).starts_with("region: \"CA\" is no ISO 3166-2 code"));
        assert!(error(Some("US"), Some("California")).starts_with("region: \"California\" is no ISO"));
        assert_eq!(error(Some("CA"), Some("US-CA")), "region: US-CA is not in the country CA");
    }

    #[test]
    fn names_are_cut_between_letters() {
        assert_eq!(name_of("  "), None);
        assert_eq!(name_of(" Tokyo ").as_deref(), Some("Tokyo"));
        assert_eq!(name_of(&"é".repeat(200)).map(|name| name.len()), Some(254));
    }

    #[test]
    fn a_location_that_says_nothing_is_no_answer() {
        assert_eq!(Answer::from(Location::default()), Answer::Unknown(Why::NotInDatabase));
    }
}
