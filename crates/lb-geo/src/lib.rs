//! Where is the client, and which region is near it?
//!
//! Usable alone. Look-ups that need no network take microseconds, lock nothing for long and never fail; time comes in by a
//! clock that is given.
//!
//! ```
//! use lb_geo::{Database, GeoDetector, RegionMap, RegionSettings};
//! # #[cfg(all(feature = "mmdb", feature = "std-clock"))] fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/GeoIP2-City-Test.mmdb");
//! let detector = GeoDetector::builder().database(Database::maxmind(path)).build()?;
//! let regions = RegionMap::new(
//!     &[
//!         RegionSettings::new("us-east").countries(["US", "CA"]).coordinates(38.9, -77.4),
//!         RegionSettings::new("eu-west").continents(["EU"]).coordinates(53.3, -6.3),
//!     ],
//!     Some("us-east"),
//! )?;
//! let answer = detector.detect_location("81.2.69.142".parse()?); // London
//! let decision = regions.region_of(&answer).expect("there is a fallback");
//! assert_eq!(format!("{}: {}", decision.region, decision.why), "eu-west: it has the client's continent");
//! # Ok(()) }
//! # #[cfg(not(all(feature = "mmdb", feature = "std-clock")))] fn main() {}
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`location`] | [`Location`], [`Answer`] and [`Why`] nothing is known, [`Subdivision`]; beside them [`Country`] and [`Continent`] |
//! | [`distance`] | [`Coordinates`] and great circles |
//! | [`special`] | addresses that no database can place |
//! | `mmdb` | `Mmdb`: databases in MaxMind's format (feature `mmdb`; mapped: `mmap`; the built-in one: `geo-data`) |
//! | [`http`] | [`HttpSettings`], `IpInfo` and `IpApi` (feature `http-providers`) |
//! | [`provider`] | [`Provider`] and [`Chain`]; beside them [`Overrides`] |
//! | [`cache`] | [`LocationCache`] and [`MemoryCache`] |
//! | [`store_cache`] | [`StoreCache`]: answers in a store that many processes share |
//! | [`encoding`] | answers as bytes, for such a store |
//! | [`detector`] | [`GeoDetector`] over all of these |
//! | [`region`] | [`RegionMap`]: whose client, and who is near |
//! | [`client_addr`] | [`TrustedProxies`]: whose request it is behind proxies |

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
pub mod store_cache;

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
pub use location::{Answer, BadLocation, BadSubdivision, Location, Subdivision, Why};
#[cfg(feature = "mmdb")]
pub use mmdb::{About, Mmdb, MmdbOptions};
pub use overrides::{OVERRIDES_MAX, Overrides};
pub use provider::{BoxFuture, Chain, Provider};
pub use region::{Away, Decision, Reason, RegionError, RegionMap, RegionSettings};
pub use store_cache::StoreCache;
