//! How clients map to regions, as a user says it, and what can be wrong with that.

use crate::{BadSubdivision, OutOfRange, UnknownContinent, UnknownCountry};

/// One region and the clients that are its own.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RegionSettings {
    /// Its name: 1–255 bytes, no two the same.
    pub name: String,
    /// Countries whose clients are its own, as ISO 3166-1 alpha-2: `US`.
    pub countries: Vec<String>,
    /// Subdivisions whose clients are its own, as ISO 3166-2: `US-CA`. They go before countries.
    pub subdivisions: Vec<String>,
    /// Continents whose clients are its own, where their country is no region's: `EU`.
    pub continents: Vec<String>,
    /// Where it is: degrees north and east. With them it can be the nearest for clients that no rule maps.
    pub coordinates: Option<(f64, f64)>,
}

impl RegionSettings {
    /// A region without rules: it gets clients only as the fallback, or by spill-over.
    pub fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), ..Self::default() }
    }

    /// With these countries.
    #[must_use]
    pub fn countries<S: Into<String>>(mut self, codes: impl IntoIterator<Item = S>) -> Self {
        self.countries = codes.into_iter().map(Into::into).collect();
        self
    }

    /// With these subdivisions.
    #[must_use]
    pub fn subdivisions<S: Into<String>>(mut self, codes: impl IntoIterator<Item = S>) -> Self {
        self.subdivisions = codes.into_iter().map(Into::into).collect();
        self
    }

    /// With these continents.
    #[must_use]
    pub fn continents<S: Into<String>>(mut self, codes: impl IntoIterator<Item = S>) -> Self {
        self.continents = codes.into_iter().map(Into::into).collect();
        self
    }

    /// At these degrees north and east.
    #[must_use]
    pub fn coordinates(mut self, lat: f64, lon: f64) -> Self {
        self.coordinates = Some((lat, lon));
        self
    }
}

/// Regions that make no map.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegionError {
    /// There are more regions than a map may have.
    #[error("geo.regions: {count} regions, at most {max}")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many there may be.
        max: usize,
    },
    /// A name that is empty or too long.
    #[error("geo.regions: a region's name \"{name}\" has to have 1 to 255 bytes")]
    BadName {
        /// The name, at most 40 characters of it.
        name: String,
    },
    /// Two regions have one name.
    #[error("geo.regions: the region \"{name}\" is there twice")]
    DuplicateName {
        /// The name.
        name: String,
    },
    /// A country that is none.
    #[error("geo.regions.{region}.countries: {error}")]
    Country {
        /// The region.
        region: String,
        /// Which text, and what may be meant.
        #[source]
        error: UnknownCountry,
    },
    /// A subdivision that is none.
    #[error("geo.regions.{region}.subdivisions: {error}")]
    Subdivision {
        /// The region.
        region: String,
        /// Which text.
        #[source]
        error: BadSubdivision,
    },
    /// A continent that is none.
    #[error("geo.regions.{region}.continents: {error}")]
    Continent {
        /// The region.
        region: String,
        /// Which text.
        #[source]
        error: UnknownContinent,
    },
    /// Coordinates that are no place.
    #[error("geo.regions.{region}.coordinates: {error}")]
    Coordinates {
        /// The region.
        region: String,
        /// Which one, and its range.
        #[source]
        error: OutOfRange,
    },
    /// Two regions have one country, subdivision or continent.
    #[error("geo.regions: {what} {code} is in two regions, \"{first}\" and \"{second}\"")]
    InTwoRegions {
        /// `country`, `subdivision` or `continent`.
        what: &'static str,
        /// Its code.
        code: String,
        /// The region that has it first.
        first: String,
        /// The other one.
        second: String,
    },
    /// The fallback is none of the regions.
    #[error("geo.fallback_region = \"{name}\": there is no such region{}", hint(.suggestion.as_deref()))]
    UnknownFallback {
        /// The name.
        name: String,
        /// The region that was meant, perhaps.
        suggestion: Option<String>,
    },
}

fn hint(suggestion: Option<&str>) -> String {
    suggestion.map(|name| format!(": did you mean \"{name}\"?")).unwrap_or_default()
}
