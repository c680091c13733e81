//! Answers as bytes, for a store that many processes share.
//!
//! ```text
//! version (1) | kind (0 found, 1 private, 2 reserved, 3 not in database) | of found: flags, then the fields that are there, in order:
//!   country 2 letters | continent 1 | region length 1 + letters | region name, city, organisation: length 1 + UTF-8
//!   | latitude, longitude as i32 of 1e-7 degrees | AS number u32
//! ```
//!
//! Numbers are little-endian. At most [`ENCODED_BYTES_MAX`]; a city's answer has about 40. Coordinates are kept to a centimetre.
//! Another version is an error, so that a store of an older or newer program is asked again, not misread.

use crate::{Answer, Continent, Coordinates, Country, Location, Subdivision, Why};
use std::sync::Arc;

/// The version that is written, and the one that is read.
pub const VERSION: u8 = 1;
/// No encoded answer is longer, in bytes.
pub const ENCODED_BYTES_MAX: usize = 3 + 2 + 1 + 4 + 3 * 256 + 8 + 4;

/// Steps of coordinates in a degree.
const STEPS: f64 = 1e7;

const COUNTRY: u8 = 1;
const CONTINENT: u8 = 1 << 1;
const REGION: u8 = 1 << 2;
const REGION_NAME: u8 = 1 << 3;
const CITY: u8 = 1 << 4;
const ORGANIZATION: u8 = 1 << 5;
const COORDINATES: u8 = 1 << 6;
const ASN: u8 = 1 << 7;

/// Bytes that are no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// Of another version.
    #[error("an encoded answer of version {version}; this program knows {VERSION}")]
    Version {
        /// The first byte.
        version: u8,
    },
    /// They end too early, or go on too long.
    #[error("an encoded answer that does not end where it should")]
    Length,
    /// A field has a value that it cannot have.
    #[error("an encoded answer whose {field} is none")]
    Field {
        /// Which one.
        field: &'static str,
    },
}

/// As bytes: at most [`ENCODED_BYTES_MAX`].
pub fn encode(answer: &Answer) -> Vec<u8> {
    let location = match answer {
        Answer::Found(location) => location,
        Answer::Unknown(Why::Private) => return vec![VERSION, 1],
        Answer::Unknown(Why::Reserved) => return vec![VERSION, 2],
        Answer::Unknown(Why::NotInDatabase) => return vec![VERSION, 3],
    };
    let mut bytes = Vec::with_capacity(64);
    bytes.extend([VERSION, 0, 0]);
    let mut flags = 0;
    if let Some(country) = location.country {
        flags |= COUNTRY;
        bytes.extend(country.code().as_bytes());
    }
    if let Some(continent) = location.continent {
        flags |= CONTINENT;
        bytes.push(continent as u8);
    }
    if let Some(region) = location.region.filter(|region| Some(region.country()) == location.country) {
        flags |= REGION;
        text(&mut bytes, region.code());
    }
    for (flag, name) in [
        (REGION_NAME, &location.region_name),
        (CITY, &location.city),
        (ORGANIZATION, &location.as_organization),
    ] {
        if let Some(name) = name {
            flags |= flag;
            text(&mut bytes, name);
        }
    }
    if let Some(at) = location.coordinates {
        flags |= COORDINATES;
        // ±180e7 fits in 32 bits.
        bytes.extend(((at.lat() * STEPS).round() as i32).to_le_bytes());
        bytes.extend(((at.lon() * STEPS).round() as i32).to_le_bytes());
    }
    if let Some(asn) = location.asn {
        flags |= ASN;
        bytes.extend(asn.to_le_bytes());
    }
    bytes[2] = flags;
    bytes
}

/// From what [`encode`] wrote.
///
/// # Errors
/// When it is of another version, or not what [`encode`] writes.
pub fn decode(bytes: &[u8]) -> Result<Answer, DecodeError> {
    let mut rest = Rest(bytes);
    let version = rest.byte()?;
    if version != VERSION {
        return Err(DecodeError::Version { version });
    }
    let answer = match rest.byte()? {
        0 => Answer::Found(Arc::new(location(&mut rest)?)),
        1 => Answer::Unknown(Why::Private),
        2 => Answer::Unknown(Why::Reserved),
        3 => Answer::Unknown(Why::NotInDatabase),
        _ => return Err(DecodeError::Field { field: "kind" }),
    };
    if rest.0.is_empty() { Ok(answer) } else { Err(DecodeError::Length) }
}

fn location(rest: &mut Rest<'_>) -> Result<Location, DecodeError> {
    let flags = rest.byte()?;
    let has = |flag| flags & flag != 0;
    let bad = |field| DecodeError::Field { field };
    let mut location = Location::default();
    if has(COUNTRY) {
        let code = std::str::from_utf8(rest.take(2)?).ok();
        location.country = Some(code.and_then(Country::from_code).ok_or(bad("country"))?);
    }
    if has(CONTINENT) {
        let continent = Continent::ALL.get(usize::from(rest.byte()?));
        location.continent = Some(*continent.ok_or(bad("continent"))?);
    }
    if has(REGION) {
        let code = rest.text()?;
        let region = location.country.and_then(|country| Subdivision::new(country, code));
        location.region = Some(region.ok_or(bad("region"))?);
    }
    if has(REGION_NAME) {
        location.region_name = Some(rest.text()?.into());
    }
    if has(CITY) {
        location.city = Some(rest.text()?.into());
    }
    if has(ORGANIZATION) {
        location.as_organization = Some(rest.text()?.into());
    }
    if has(COORDINATES) {
        let (lat, lon) = (rest.number()?, rest.number()?);
        let degrees = |steps: [u8; 4]| f64::from(i32::from_le_bytes(steps)) / STEPS;
        location.coordinates =
            Some(Coordinates::new(degrees(lat), degrees(lon)).map_err(|_| bad("coordinates"))?);
    }
    if has(ASN) {
        location.asn = Some(u32::from_le_bytes(rest.number()?));
    }
    Ok(location)
}

/// A length and so many bytes; a longer text is cut, between letters.
fn text(bytes: &mut Vec<u8>, text: &str) {
    let text = &text[..text.floor_char_boundary(usize::from(u8::MAX))];
    bytes.push(text.len() as u8); // 255 at most
    bytes.extend(text.as_bytes());
}

/// What is not read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Length)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, DecodeError> {
        Ok(self.take(1)?[0])
    }

    fn number(&mut self) -> Result<[u8; 4], DecodeError> {
        Ok(self.take(4)?.try_into().expect("four bytes were taken"))
    }

    fn text(&mut self) -> Result<&'a str, DecodeError> {
        let length = usize::from(self.byte()?);
        std::str::from_utf8(self.take(length)?).map_err(|_| DecodeError::Field { field: "text" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::option::of;
    use proptest::prelude::*;

    fn locations() -> impl Strategy<Value = Location> {
        let name = || of("\\PC{0,80}".prop_map(|s| s.as_str().into()));
        let steps = (-900_000_000i32..=900_000_000, -1_800_000_000i32..=1_800_000_000);
        let place = of(steps.prop_map(|(lat, lon)| {
            Coordinates::new(f64::from(lat) / STEPS, f64::from(lon) / STEPS).unwrap()
        }));
        let country = of(any::<prop::sample::Index>());
        (country, of(0..7usize), of("[A-Z0-9]{1,3}"), name(), name(), name(), place, of(any::<u32>()))
            .prop_map(|(country, continent, region, region_name, city, as_organization, coordinates, asn)| {
                let country = country.and_then(|at| Country::all().nth(at.index(250)));
                Location {
                    country,
                    continent: continent.map(|at| Continent::ALL[at]),
                    region: country.zip(region).and_then(|(c, code)| Subdivision::new(c, &code)),
                    region_name,
                    city,
                    coordinates,
                    asn,
                    as_organization,
                }
            })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(location in locations()) {
            let answer = Answer::Found(Arc::new(location));
            let bytes = encode(&answer);
            prop_assert!(bytes.len() <= ENCODED_BYTES_MAX);
            prop_assert_eq!(decode(&bytes), Ok(answer));
            for end in 0..bytes.len() {
                prop_assert_eq!(decode(&bytes[..end]), Err(DecodeError::Length));
            }
            prop_assert_eq!(decode(&[&bytes[..], &[0]].concat()), Err(DecodeError::Length));
        }

        #[test]
        fn any_bytes_are_an_answer_or_an_error(mut bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
            if let Some(first) = bytes.first_mut() {
                *first = VERSION;
            }
            if let Some(kind) = bytes.get_mut(1) {
                *kind %= 5;
            }
            if let Ok(answer) = decode(&bytes) {
                prop_assert_eq!(decode(&encode(&answer)), Ok(answer));
            }
        }
    }

    #[test]
    fn the_unknown_has_two_bytes_and_other_versions_are_refused() {
        for why in [Why::Private, Why::Reserved, Why::NotInDatabase] {
            let bytes = encode(&Answer::Unknown(why));
            assert_eq!((bytes.len(), decode(&bytes)), (2, Ok(Answer::Unknown(why))));
        }
        assert_eq!(decode(&[2, 1]), Err(DecodeError::Version { version: 2 }));
        assert_eq!(decode(&[1, 9]), Err(DecodeError::Field { field: "kind" }));
    }

    #[test]
    fn the_format_of_version_1_stays() {
        let mut location = Location::of_subdivision("US-CA".parse().unwrap()).in_city("LA");
        location.coordinates = Coordinates::new(34.0, -118.0).ok();
        location.asn = Some(7018);
        let bytes = encode(&location.into());
        assert_eq!(bytes, b"\x01\x00\xd7US\x04\x02CA\x02LA\x00\xfd\x43\x14\x00\xa1\xaa\xb9\x6a\x1b\x00\x00");
    }
}
