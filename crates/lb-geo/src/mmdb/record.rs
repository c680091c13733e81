//! One record of a database, whichever schema it has.
//!
//! Three are known, and their fields may be mixed: MaxMind's nested one (`country.iso_code`, `city.names.en`, `subdivisions`), ipinfo's
//! flat one (`country` or `country_code`, `region`, `loc` or `lat` and `lng`, `asn: "AS123"`), and the flat one of ip-location-db
//! (`country_code`, `state1`, `latitude`). A field that is missing, or of a kind that its name does not promise, is taken as unknown: a
//! database may say more than this crate knows, and other things.

use crate::location::{as_number, name_of, place_of};
use crate::{Continent, Coordinates, Country, Location, Subdivision};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use std::fmt;

/// A record as it stands there, with what is of use.
#[derive(Default)]
pub(super) struct Record<'a> {
    country: Field<'a>,
    country_code: Field<'a>,
    continent: Field<'a>,
    continent_code: Field<'a>,
    subdivisions: Field<'a>,
    region: Field<'a>,
    region_code: Field<'a>,
    city: Field<'a>,
    location: Field<'a>,
    loc: Field<'a>,
    latitude: Field<'a>,
    longitude: Field<'a>,
    asn: Field<'a>,
    as_organization: Field<'a>,
}

impl Record<'_> {
    pub(super) fn into_location(self) -> Location {
        let country = [self.country_code.code(), self.country.code()].into_iter().flatten();
        let country = country.filter_map(Country::from_code).next();
        let continent = [self.continent_code.code(), self.continent.code()].into_iter().flatten();
        // Not `region`: it is a name, and "Goa" looks like a code.
        let region = [self.region_code.code(), self.subdivisions.code()];
        let coordinates = self.location.place().or_else(|| self.loc.place()).or_else(|| {
            let (lat, lon) = (self.latitude.number()?, self.longitude.number()?);
            Coordinates::new(lat, lon).ok()
        });
        Location {
            country,
            continent: continent.filter_map(|c| c.parse::<Continent>().ok()).next(),
            region: country
                .and_then(|c| region.into_iter().flatten().find_map(|code| Subdivision::new(c, code))),
            region_name: self.subdivisions.name().or_else(|| self.region.name()).and_then(name_of),
            city: self.city.name().and_then(name_of),
            coordinates,
            asn: self.asn.as_number(),
            as_organization: self.as_organization.name().and_then(name_of),
        }
        .with_continent()
    }
}

impl<'de> Deserialize<'de> for Record<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RecordVisitor)
    }
}

struct RecordVisitor;

impl<'de> Visitor<'de> for RecordVisitor {
    type Value = Record<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Record<'de>, A::Error> {
        let mut record = Record::default();
        while let Some(key) = map.next_key::<&str>()? {
            let field = match key {
                "country" => &mut record.country,
                "country_code" => &mut record.country_code,
                "continent" => &mut record.continent,
                "continent_code" => &mut record.continent_code,
                "subdivisions" => &mut record.subdivisions,
                "region" | "state1" => &mut record.region,
                "region_code" => &mut record.region_code,
                "city" => &mut record.city,
                "location" => &mut record.location,
                "loc" => &mut record.loc,
                "latitude" | "lat" => &mut record.latitude,
                "longitude" | "lng" | "lon" => &mut record.longitude,
                "autonomous_system_number" | "asn" => &mut record.asn,
                // ipinfo's database of autonomous systems says `name`.
                "autonomous_system_organization" | "as_organization" | "as_name" | "name" => {
                    &mut record.as_organization
                }
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            *field = map.next_value()?;
        }
        Ok(record)
    }
}

/// A value of any kind; of a list, the first.
#[derive(Clone, Copy, Default)]
enum Field<'a> {
    #[default]
    Nothing,
    Text(&'a str),
    Number(f64),
    Map {
        code: Option<&'a str>,
        name: Option<&'a str>,
        lat: Option<f64>,
        lon: Option<f64>,
    },
}

impl<'a> Field<'a> {
    /// A text, or a map's `iso_code` or `code`.
    fn code(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Map { code, .. } => code,
            _ => None,
        }
    }

    /// A text, or a map's English name.
    fn name(self) -> Option<&'a str> {
        match self {
            Self::Text(text) => Some(text),
            Self::Map { name, .. } => name,
            _ => None,
        }
    }

    fn number(self) -> Option<f64> {
        match self {
            Self::Number(number) => Some(number),
            Self::Text(text) => text.trim().parse().ok(),
            _ => None,
        }
    }

    /// 123, "123" or "AS123"; 0 is nobody's.
    fn as_number(self) -> Option<u32> {
        match self {
            Self::Number(number)
                if number.fract() == 0.0 && (1.0..=f64::from(u32::MAX)).contains(&number) =>
            {
                Some(number as u32)
            }
            Self::Text(text) => as_number(text),
            _ => None,
        }
    }

    /// A map with latitude and longitude, or "lat,lon".
    fn place(self) -> Option<Coordinates> {
        match self {
            Self::Map { lat: Some(lat), lon: Some(lon), .. } => Coordinates::new(lat, lon).ok(),
            Self::Text(text) => place_of(text),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Field<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(FieldVisitor)
    }
}

struct FieldVisitor;

impl<'de> Visitor<'de> for FieldVisitor {
    type Value = Field<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Field<'de>, E> {
        Ok(Field::Text(text))
    }

    fn visit_str<E>(self, _: &str) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_f64<E>(self, number: f64) -> Result<Field<'de>, E> {
        Ok(Field::Number(number))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Field<'de>, E> {
        Ok(Field::Number(number as f64))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Field<'de>, E> {
        Ok(Field::Number(number as f64))
    }

    fn visit_u128<E>(self, _: u128) -> Result<Field<'de>, E> {
        Ok(Field::Nothing)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Field<'de>, A::Error> {
        let first = list.next_element::<Field<'de>>()?.unwrap_or_default();
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(first)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Field<'de>, A::Error> {
        let (mut code, mut lat, mut lon) = (None, None, None);
        // English, or else the first text that is there.
        let (mut english, mut first) = (None, None);
        while let Some(key) = map.next_key::<&str>()? {
            match key {
                "iso_code" | "code" => code = map.next_value::<Field<'de>>()?.code(),
                "latitude" => lat = map.next_value::<Field<'de>>()?.number(),
                "longitude" => lon = map.next_value::<Field<'de>>()?.number(),
                "en" | "names" => english = map.next_value::<Field<'de>>()?.name(),
                _ if first.is_none() => first = map.next_value::<Field<'de>>()?.name(),
                _ => {
                    map.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(Field::Map { code, name: english.or(first), lat, lon })
    }
}

#[cfg(test)]
mod tests {
    use super::Record;
    use crate::{Continent, Location};

    /// serde_json's strings without escapes are borrowed, as those of a database are.
    fn location(json: &str) -> Location {
        serde_json::from_str::<Record<'_>>(json).unwrap().into_location()
    }

    #[test]
    fn ipinfos_flat_schema() {
        let lite = location(
            r#"{"country": "Germany", "country_code": "DE", "continent": "Europe", "continent_code": "EU",
                "asn": "AS3320", "as_name": "Deutsche Telekom AG", "as_domain": "telekom.de"}"#,
        );
        assert_eq!(lite.country.map(crate::country::Country::code), Some("DE"));
        assert_eq!(lite.continent, Some(Continent::Europe));
        assert_eq!((lite.asn, lite.as_organization.as_deref()), (Some(3320), Some("Deutsche Telekom AG")));

        let standard = location(
            r#"{"city": "Mountain View", "region": "California", "region_code": "CA", "country": "US",
                "lat": "37.4056", "lng": "-122.0775", "postal_code": "94043", "timezone": "America/Los_Angeles"}"#,
        );
        assert_eq!(standard.region.unwrap().to_string(), "US-CA");
        assert_eq!(standard.region_name.as_deref(), Some("California"));
        assert_eq!(standard.city.as_deref(), Some("Mountain View"));
        assert_eq!(standard.coordinates.map(|c| (c.lat(), c.lon())), Some((37.4056, -122.0775)));
        assert_eq!(standard.continent, Some(Continent::NorthAmerica));
    }

    #[test]
    fn the_flat_schema_of_ip_location_db() {
        assert_eq!(location(r#"{"country_code": "GB"}"#), Location::of_country("GB".parse().unwrap()));
        let city = location(
            r#"{"country_code": "NL", "state1": "North Holland", "city": "Amsterdam", "latitude": 52.37, "longitude": 4.89}"#,
        );
        assert_eq!(city.region_name.as_deref(), Some("North Holland"));
        assert_eq!(city.region, None, "a name is no code");
        let goa = location(r#"{"country_code": "IN", "region": "Goa"}"#);
        assert_eq!(
            (goa.region, goa.region_name.as_deref()),
            (None, Some("Goa")),
            "India's code for it is GA"
        );
        assert_eq!(city.coordinates.map(|c| (c.lat(), c.lon())), Some((52.37, 4.89)));
    }

    #[test]
    fn what_is_of_another_kind_is_unknown() {
        for odd in [
            r#"{}"#,
            r#"{"country": {"iso_code": 5}, "city": [], "asn": -1, "location": {"latitude": 200, "longitude": 0}}"#,
            r#"{"country_code": "ZZ", "continent_code": true, "asn": 1.5, "loc": "1;2", "latitude": "x", "longitude": 1}"#,
            r#"{"country": {"iso_code": {"code": []}}, "asn": "AS99999999999", "subdivisions": [5, "x"]}"#,
            r#"{"asn": 0, "city": {"names": 7}, "name": ""}"#,
        ] {
            assert!(location(odd).is_empty(), "{odd}: {:?}", location(odd));
        }
    }

    #[test]
    fn another_language_stands_in_for_english() {
        let city = location(r#"{"city": {"names": {"de": "Wien", "fr": "Vienne"}}}"#);
        assert_eq!(city.city.as_deref(), Some("Wien"));
        let city = location(r#"{"city": {"names": {"de": "Wien", "en": "Vienna", "fr": "Vienne"}}}"#);
        assert_eq!(city.city.as_deref(), Some("Vienna"));
    }
}
