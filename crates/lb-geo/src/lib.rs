//! Where is the client?

pub mod cache;
pub mod client_addr;
mod continent;
mod country;
pub mod detector;
pub mod distance;
pub mod encoding;
mod error;
mod flight;
pub mod http;
pub mod location;
#[cfg(feature = "mmdb")]
pub mod mmdb;
mod overrides;
mod prefix;
pub mod provider;
pub mod region;
pub mod special;

pub use cache::{LocationCache, MemoryCache};
pub use client_addr::{ClientAddress, TrustedProxies};
pub use continent::{Continent, UnknownContinent};
pub use country::{Country, UnknownCountry};
pub use detector::{Database, GeoDetector, GeoDetectorBuilder, Statistics};
pub use distance::{Coordinates, OutOfRange};
pub use encoding::DecodeError;
pub use error::GeoError;
pub use http::HttpSettings;
#[cfg(feature = "http-providers")]
pub use http::{IpApi, IpInfo};
pub use lb_types::Nanos;
pub use location::{Answer, BadSubdivision, Location, Subdivision, Why};
#[cfg(feature = "mmdb")]
pub use mmdb::{About, Mmdb, MmdbOptions};
pub use overrides::{OVERRIDES_MAX, Overrides};
pub use provider::{BoxFuture, Chain, Provider};
pub use region::{Away, Decision, Reason, RegionError, RegionMap, RegionSettings};
