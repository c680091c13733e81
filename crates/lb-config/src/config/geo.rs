//! Where clients are, and which region is theirs.

use super::session::Storage;
use lb_geo::{HttpSettings, Location, RegionSettings};
use lb_types::BackendId;
use std::path::PathBuf;
use std::time::Duration;

/// Which header tells the client's address behind trusted proxies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientIpHeader {
    /// `X-Forwarded-For`.
    #[default]
    XForwardedFor,
    /// `Forwarded` (RFC 7239).
    Forwarded,
}

/// How clients' places are found. `Default`: the built-in database, and a cache in this process.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Geo {
    /// Who is asked, in order; at least one.
    pub databases: Vec<GeoDatabase>,
    /// What is remembered. `None`: nothing.
    pub cache: Option<GeoCache>,
    /// Networks with a place of their own, none twice.
    pub overrides: Vec<(String, Location)>,
}

impl Default for Geo {
    fn default() -> Self {
        Self {
            databases: vec![GeoDatabase::BuiltIn],
            cache: Some(GeoCache::default()),
            overrides: Vec::new(),
        }
    }
}

/// Who knows where an address is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeoDatabase {
    /// The country database that is compiled in.
    BuiltIn,
    /// A file in MaxMind's format.
    MaxMind {
        /// The file; [`load`](crate::load) makes it relative to the configuration file's folder.
        path: PathBuf,
        /// Whether it is mapped into memory rather than read.
        mapped: bool,
    },
    /// The HTTP interface of ipinfo.io. `Debug` does not show its token.
    IpInfo(HttpSettings),
    /// The HTTP interface of ipapi.co. `Debug` does not show its token.
    IpApi(HttpSettings),
}

/// What is remembered of addresses that were looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct GeoCache {
    /// How long a place is remembered, default 1 h.
    pub ttl: Duration,
    /// How long it is remembered that an address is unknown, default 5 min, or `ttl` if that is shorter.
    pub negative_ttl: Duration,
    /// The most addresses that are kept in this process, default 65 536.
    pub capacity: usize,
    /// Where they are kept.
    pub storage: Storage,
}

impl Default for GeoCache {
    fn default() -> Self {
        Self {
            ttl: Duration::from_secs(3600),
            negative_ttl: Duration::from_secs(300),
            capacity: 65_536,
            storage: Storage::Memory,
        }
    }
}

/// The regions of a `geo-based` pool.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct PoolGeo {
    /// At least one; they make an [`lb_geo::RegionMap`].
    pub regions: Vec<GeoRegion>,
    /// The region of clients that no rule maps. `None`: theirs is any backend.
    pub fallback_region: Option<String>,
}

/// A region of a `geo-based` pool.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct GeoRegion {
    /// Its name, and which clients are its own.
    pub settings: RegionSettings,
    /// Its backends, beside those whose `metadata` says `region = …` and that no region lists.
    pub backends: Vec<BackendId>,
}

/// The regions of a `geo-aware` pool.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Regional {
    /// At least one; they make an [`lb_geo::RegionMap`].
    pub balancers: Vec<RegionalBalancer>,
    /// The region of clients that no rule maps.
    pub fallback_region: Option<String>,
}

/// A region of a `geo-aware` pool.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct RegionalBalancer {
    /// Its name, and which clients are its own.
    pub settings: RegionSettings,
    /// Its pool in [`Config::pools`](crate::Config::pools), which is no other region's.
    pub pool: String,
}
