//! Which region is a client's, and which are near it.
//!
//! The most particular rule decides: the client's subdivision, then its country, its continent, then the nearest region, then the
//! fallback. *Nearest* is among the regions that say where they are; a user who gives no coordinates gets no guess where a
//! fallback was asked for. [`by_distance`](RegionMap::by_distance), the order of spill-over, guesses for the others as well: the middle of
//! their countries.

mod settings;

pub use settings::{RegionError, RegionSettings};

use crate::{Answer, Continent, Coordinates, Country, Subdivision};
use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;

/// The most regions of a map: each is a place on earth with backends of its own.
pub const REGIONS_MAX: usize = 1_000;

/// Regions, and which clients are whose. Immutable.
///
/// ```
/// use lb_geo::{Answer, Location, RegionMap, RegionSettings, Reason};
/// let map = RegionMap::new(
///     &[
///         RegionSettings::new("us-east").countries(["US", "CA"]).coordinates(38.9, -77.4),
///         RegionSettings::new("eu-west").continents(["EU"]).coordinates(53.3, -6.3),
///     ],
///     Some("us-east"),
/// )?;
/// let french = Answer::from(Location::of_country("FR".parse()?));
/// let decision = map.region_of(&french).expect("Europe is eu-west's");
/// assert_eq!((decision.region, decision.why), ("eu-west", Reason::Continent));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug)]
pub struct RegionMap {
    regions: Vec<Region>,
    subdivisions: HashMap<Subdivision, usize, foldhash::fast::FixedState>,
    countries: HashMap<Country, usize, foldhash::fast::FixedState>,
    continents: HashMap<Continent, usize, foldhash::fast::FixedState>,
    fallback: Option<usize>,
}

#[derive(Clone, Debug)]
struct Region {
    name: String,
    /// As the user says.
    coordinates: Option<Coordinates>,
    /// The same, or the middle of what is its own.
    position: Option<Coordinates>,
    /// The same as a point of the unit sphere.
    point: Option<[f64; 3]>,
}

/// The region of a client, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Decision<'a> {
    /// Its name.
    pub region: &'a str,
    /// Its place in the list that the map was made from.
    pub index: usize,
    /// Which rule decided.
    pub why: Reason,
}

/// Which rule gave a client its region.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The region has the client's subdivision.
    Subdivision,
    /// The region has the client's country.
    Country,
    /// The region has the client's continent.
    Continent,
    /// It is the nearest, so many kilometres away, and nothing else applied.
    Nearest {
        /// How far it is.
        km: f64,
    },
    /// It is the fallback, and nothing else applied.
    Fallback,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Subdivision => f.write_str("it has the client's subdivision"),
            Self::Country => f.write_str("it has the client's country"),
            Self::Continent => f.write_str("it has the client's continent"),
            Self::Nearest { km } => write!(f, "it is the nearest, {km:.0} km away"),
            Self::Fallback => f.write_str("it is the fallback"),
        }
    }
}

/// A region and how far it is from a client.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct Away<'a> {
    /// Its name.
    pub region: &'a str,
    /// Its place in the list that the map was made from.
    pub index: usize,
    /// Kilometres; none where it is not known where the region or the client is.
    pub km: Option<f64>,
}

impl RegionMap {
    /// A map of `regions`; clients that no rule maps are `fallback`'s, if there is one.
    ///
    /// # Errors
    /// When a code is none, something is two regions', the fallback is no region, or coordinates are no place.
    pub fn new(regions: &[RegionSettings], fallback: Option<&str>) -> Result<Self, RegionError> {
        if regions.len() > REGIONS_MAX {
            return Err(RegionError::TooMany { count: regions.len(), max: REGIONS_MAX });
        }
        let mut map = Self {
            regions: Vec::with_capacity(regions.len()),
            subdivisions: HashMap::default(),
            countries: HashMap::default(),
            continents: HashMap::default(),
            fallback: None,
        };
        for settings in regions {
            map.add(settings)?;
        }
        map.fallback = fallback.map(|name| map.fallback_index(name)).transpose()?;
        Ok(map)
    }

    fn add(&mut self, settings: &RegionSettings) -> Result<(), RegionError> {
        let (name, index) = (&settings.name, self.regions.len());
        if !(1..=255).contains(&name.len()) {
            return Err(RegionError::BadName { name: name.chars().take(40).collect() });
        }
        if self.index_of(name).is_some() {
            return Err(RegionError::DuplicateName { name: name.clone() });
        }
        let region = || name.clone();
        let coordinates = settings.coordinates.map(|(lat, lon)| Coordinates::new(lat, lon)).transpose();
        let coordinates =
            coordinates.map_err(|error| RegionError::Coordinates { region: region(), error })?;
        let (mut countries, mut continents) = (Vec::new(), Vec::new());
        let regions = &self.regions;
        let taken = |what, code: String, first: usize| RegionError::InTwoRegions {
            what,
            code,
            first: regions[first].name.clone(),
            second: name.clone(),
        };
        for code in &settings.countries {
            let country: Country =
                code.parse().map_err(|error| RegionError::Country { region: region(), error })?;
            claim(&mut self.countries, country, index)
                .map_err(|first| taken("country", country.to_string(), first))?;
            countries.push(country);
        }
        for code in &settings.subdivisions {
            let subdivision: Subdivision =
                code.parse().map_err(|error| RegionError::Subdivision { region: region(), error })?;
            claim(&mut self.subdivisions, subdivision, index)
                .map_err(|first| taken("subdivision", subdivision.to_string(), first))?;
            countries.push(subdivision.country());
        }
        for code in &settings.continents {
            let continent: Continent =
                code.parse().map_err(|error| RegionError::Continent { region: region(), error })?;
            claim(&mut self.continents, continent, index)
                .map_err(|first| taken("continent", continent.to_string(), first))?;
            continents.push(continent);
        }
        let position = coordinates.or_else(|| middle(countries, &continents));
        let point = position.map(Coordinates::on_unit_sphere);
        self.regions.push(Region { name: name.clone(), coordinates, position, point });
        Ok(())
    }

    fn fallback_index(&self, name: &str) -> Result<usize, RegionError> {
        self.index_of(name).ok_or_else(|| {
            let near = self.regions.iter().map(|r| (strsim::jaro_winkler(&r.name, name), &r.name));
            let best = near.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.8);
            RegionError::UnknownFallback {
                name: name.chars().take(40).collect(),
                suggestion: best.map(|(_, name)| name.clone()),
            }
        })
    }

    /// The names, in the order of the list that the map was made from.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.regions.iter().map(|region| region.name.as_str())
    }

    /// The place of the region of this name.
    pub fn index_of(&self, name: &str) -> Option<usize> {
        self.names().position(|other| other == name)
    }

    /// The region of a client; none if no rule applies and there is no fallback. It takes no lock and allocates nothing.
    pub fn region_of(&self, answer: &Answer) -> Option<Decision<'_>> {
        let location = answer.location();
        let by_rule = location.and_then(|l| {
            let by_subdivision = || Some((*self.subdivisions.get(&l.region?)?, Reason::Subdivision));
            let by_country = || Some((*self.countries.get(&l.country?)?, Reason::Country));
            let by_continent = || Some((*self.continents.get(&l.continent?)?, Reason::Continent));
            by_subdivision().or_else(by_country).or_else(by_continent)
        });
        let nearest = || {
            let at = location?.position()?;
            let regions = self.regions.iter().enumerate();
            let away = regions.filter_map(|(index, r)| Some((index, r.coordinates?.km_to(at))));
            away.min_by(|a, b| a.1.total_cmp(&b.1)).map(|(index, km)| (index, Reason::Nearest { km }))
        };
        let fallback = || self.fallback.map(|index| (index, Reason::Fallback));
        let (index, why) = by_rule.or_else(nearest).or_else(fallback)?;
        Some(Decision { region: &self.regions[index].name, index, why })
    }

    /// All regions, the nearest first; of equally near ones, and of those of which it is not known how far they are, the map's order.
    /// For spill-over: after the region of [`region_of`](Self::region_of) come the others in this order.
    ///
    /// A client without coordinates is in the middle of its country. A region without is in the middle of its countries, those of its
    /// subdivisions, and those of its continents.
    pub fn by_distance(&self, answer: &Answer) -> Vec<Away<'_>> {
        let at = answer.location().and_then(super::location::Location::position);
        let km = |region: &Region| Some(region.position?.km_to(at?));
        let regions = self.regions.iter().enumerate();
        let mut away: Vec<_> = regions.map(|(index, r)| Away { region: &r.name, index, km: km(r) }).collect();
        away.sort_by(|a, b| a.km.unwrap_or(f64::INFINITY).total_cmp(&b.km.unwrap_or(f64::INFINITY)));
        away
    }

    /// The order in which a request tries regions, as their places in the list: `first` (its own), then the others, the nearest first, as
    /// [`by_distance`](Self::by_distance) has them. `out` is emptied first; nothing is allocated where it has room for all. A `first` that
    /// is no region's place is left out.
    pub fn by_distance_from(&self, first: usize, answer: &Answer, out: &mut Vec<u16>) {
        let at = answer.location().and_then(super::location::Location::position);
        let at = at.map(Coordinates::on_unit_sphere);
        // The square of the straight line through the earth: in the order of distances, and cheap enough to compare by.
        let straight = |index: u16| {
            let (from, to) = (self.regions[usize::from(index)].point?, at?);
            Some(from.iter().zip(to).map(|(a, b)| (a - b) * (a - b)).sum::<f64>())
        };
        let rank = |index: u16| (usize::from(index) != first, straight(index).unwrap_or(f64::INFINITY));
        out.clear();
        out.extend(0..self.regions.len() as u16); // REGIONS_MAX at most
        out.sort_unstable_by(|&a, &b| {
            let ((a_other, a_far), (b_other, b_far)) = (rank(a), rank(b));
            a_other.cmp(&b_other).then(a_far.total_cmp(&b_far)).then(a.cmp(&b))
        });
    }

    /// How far the region at this place of the list is from a client; none if it is not known where one of them is, or there is no such
    /// region.
    pub fn km_between(&self, region: usize, answer: &Answer) -> Option<f64> {
        Some(self.regions.get(region)?.position?.km_to(answer.location()?.position()?))
    }
}

/// `key` becomes `index`'s, unless it is another's: that one is the error. Naming it twice in one region is harmless.
fn claim<K: Eq + Hash>(
    owners: &mut HashMap<K, usize, foldhash::fast::FixedState>,
    key: K,
    index: usize,
) -> Result<(), usize> {
    let owner = *owners.entry(key).or_insert(index);
    if owner == index { Ok(()) } else { Err(owner) }
}

fn middle(mut countries: Vec<Country>, continents: &[Continent]) -> Option<Coordinates> {
    countries.extend(Country::all().filter(|country| continents.contains(&country.continent())));
    countries.sort_unstable();
    countries.dedup();
    Coordinates::mean(countries.into_iter().map(Country::centroid))
}

#[cfg(test)]
mod tests;
