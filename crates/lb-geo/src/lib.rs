//! Where is the client?

mod continent;
mod country;
pub mod distance;
mod error;
pub mod location;
#[cfg(feature = "mmdb")]
pub mod mmdb;
pub mod region;
pub mod special;

pub use continent::{Continent, UnknownContinent};
pub use country::{Country, UnknownCountry};
pub use distance::{Coordinates, OutOfRange};
pub use error::GeoError;
pub use location::{Answer, BadSubdivision, Location, Subdivision, Why};
#[cfg(feature = "mmdb")]
pub use mmdb::{About, Mmdb, MmdbOptions};
pub use region::{Away, Decision, Reason, RegionError, RegionMap, RegionSettings};
