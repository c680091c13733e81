//! What a detector is made of.

use super::{Cached, Counters, GeoDetector, Shared};
use crate::cache::{LocationCache, MemoryCache};
use crate::flight::Flights;
use crate::provider::{Chain, Provider};
use crate::{GeoError, HttpSettings, Overrides};
use lb_types::Clock;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

/// The shortest time for which answers can be remembered.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// The longest: databases are published every week or two.
pub const TTL_MAX: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// The most answers that can be remembered: some 2 GB.
pub const CAPACITY_MAX: usize = 10_000_000;

/// Whom a detector asks. Files are opened by [`build`](GeoDetectorBuilder::build).
#[derive(Debug)]
pub struct Database(Kind);

enum Kind {
    File(PathBuf, #[cfg_attr(not(feature = "mmdb"), allow(dead_code))] FileOptions),
    BuiltIn,
    #[cfg(feature = "mmdb")]
    Open(crate::Mmdb),
    IpInfo(HttpSettings),
    IpApi(HttpSettings),
    Provider(Arc<dyn Provider>),
}

#[cfg(feature = "mmdb")]
type FileOptions = crate::MmdbOptions;
/// A build that opens no files has no way to open them otherwise.
#[cfg(not(feature = "mmdb"))]
#[derive(Default)]
struct FileOptions {}

impl fmt::Debug for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path, _) => write!(f, "file {path:?}"),
            Self::BuiltIn => f.write_str("built-in"),
            #[cfg(feature = "mmdb")]
            Self::Open(database) => write!(f, "open {:?}", database.about().source),
            Self::IpInfo(settings) => write!(f, "ipinfo {settings:?}"),
            Self::IpApi(settings) => write!(f, "ipapi {settings:?}"),
            Self::Provider(provider) => f.write_str(provider.name()),
        }
    }
}

impl Database {
    /// A file in MaxMind's format, whoever made it. Feature `mmdb`.
    pub fn maxmind(path: impl Into<PathBuf>) -> Self {
        Self(Kind::File(path.into(), FileOptions::default()))
    }

    /// The same, opened otherwise.
    #[cfg(feature = "mmdb")]
    pub fn maxmind_with(path: impl Into<PathBuf>, options: crate::MmdbOptions) -> Self {
        Self(Kind::File(path.into(), options))
    }

    /// The country database that is compiled in. Feature `geo-data`.
    pub fn built_in() -> Self {
        Self(Kind::BuiltIn)
    }

    /// The HTTP interface of ipinfo.io. Feature `http-providers`.
    pub fn ipinfo(settings: HttpSettings) -> Self {
        Self(Kind::IpInfo(settings))
    }

    /// The HTTP interface of ipapi.co. Feature `http-providers`.
    pub fn ipapi(settings: HttpSettings) -> Self {
        Self(Kind::IpApi(settings))
    }

    /// A provider of one's own.
    pub fn provider(provider: impl Provider) -> Self {
        Self(Kind::Provider(Arc::new(provider)))
    }

    #[cfg(feature = "mmdb")]
    fn open(self) -> Result<Opened, GeoError> {
        match self.0 {
            Kind::File(path, options) => crate::Mmdb::open_with(path, options).map(Opened::Mmdb),
            Kind::Open(database) => Ok(Opened::Mmdb(database)),
            #[cfg(feature = "geo-data")]
            Kind::BuiltIn => crate::Mmdb::built_in().map(Opened::Mmdb),
            other => other.provider().map(Opened::Other),
        }
    }

    #[cfg(not(feature = "mmdb"))]
    fn open(self) -> Result<Arc<dyn Provider>, GeoError> {
        self.0.provider()
    }
}

#[cfg(feature = "mmdb")]
enum Opened {
    Mmdb(crate::Mmdb),
    Other(Arc<dyn Provider>),
}

impl Kind {
    /// What is no file, or cannot be one in this build.
    fn provider(self) -> Result<Arc<dyn Provider>, GeoError> {
        let off = |what, feature| Err(GeoError::FeatureOff { what, feature });
        match self {
            Self::Provider(provider) => Ok(provider),
            #[cfg(feature = "http-providers")]
            Self::IpInfo(settings) => Ok(Arc::new(crate::IpInfo::new(settings)?)),
            #[cfg(feature = "http-providers")]
            Self::IpApi(settings) => Ok(Arc::new(crate::IpApi::new(settings)?)),
            #[cfg(not(feature = "http-providers"))]
            Self::IpInfo(_) | Self::IpApi(_) => off("an HTTP provider of locations", "http-providers"),
            Self::BuiltIn => off("the built-in geo database", "geo-data"),
            #[cfg(feature = "mmdb")]
            Self::Open(database) => Ok(Arc::new(database)),
            Self::File(..) => off("a geo database's file", "mmdb"),
        }
    }
}

#[cfg(feature = "mmdb")]
impl From<crate::Mmdb> for Database {
    /// A database that is open already, and may be replaced through its other handles.
    fn from(database: crate::Mmdb) -> Self {
        Self(Kind::Open(database))
    }
}

/// Makes a [`GeoDetector`]. Setters never fail; [`build`](Self::build) says what is wrong.
#[derive(Debug)]
pub struct GeoDetectorBuilder {
    databases: Vec<Database>,
    overrides: Overrides,
    ttl: Duration,
    negative_ttl: Option<Duration>,
    capacity: usize,
    cache: Option<Arc<dyn LocationCache>>,
    clock: Option<ClockOf>,
}

struct ClockOf(Arc<dyn Clock>);

impl fmt::Debug for ClockOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a clock")
    }
}

impl Default for GeoDetectorBuilder {
    fn default() -> Self {
        Self {
            databases: Vec::new(),
            overrides: Overrides::new(),
            ttl: Duration::from_secs(3_600),
            negative_ttl: None,
            capacity: 65_536,
            cache: None,
            clock: None,
        }
    }
}

impl GeoDetectorBuilder {
    /// Asks this one, after those that were named before: the first that places an address ends it. See [`Chain`].
    #[must_use]
    pub fn database(mut self, database: impl Into<Database>) -> Self {
        self.databases.push(database.into());
        self
    }

    /// Networks with a place of their own, which are asked first.
    #[must_use]
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Remembers `capacity` answers (default 65 536, at most [`CAPACITY_MAX`]; 0: none) for `ttl` (default 1 h, [`TTL_MIN`] to
    /// [`TTL_MAX`]).
    #[must_use]
    pub fn cache(mut self, ttl: Duration, capacity: usize) -> Self {
        (self.ttl, self.capacity) = (ttl, capacity);
        self
    }

    /// Remembers that an address is unknown for this long, default 5 min, or `ttl` if that is shorter.
    #[must_use]
    pub fn negative_ttl(mut self, ttl: Duration) -> Self {
        self.negative_ttl = Some(ttl);
        self
    }

    /// Remembers there instead of in this process; the capacity is its own.
    #[must_use]
    pub fn cache_in(mut self, cache: Arc<dyn LocationCache>) -> Self {
        self.cache = Some(cache);
        self
    }

    /// Takes the time from there. Default: the operating system's clock (feature `std-clock`).
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(ClockOf(clock));
        self
    }

    /// Opens the databases. It blocks.
    ///
    /// # Errors
    /// When a setting is out of bounds, there is nothing to ask, a file cannot be used, or the build lacks what is asked for.
    pub fn build(self) -> Result<GeoDetector, GeoError> {
        if self.databases.is_empty() && self.overrides.is_empty() {
            return Err(GeoError::bad("database", "none", "name one, or give overrides"));
        }
        let negative_ttl = self.negative_ttl.unwrap_or(self.ttl.min(Duration::from_secs(300)));
        for (field, ttl) in [("cache.ttl", self.ttl), ("cache.negative_ttl", negative_ttl)] {
            if !(TTL_MIN..=TTL_MAX).contains(&ttl) {
                return Err(GeoError::bad(field, format!("{ttl:?}"), "it has to be 1 s to 30 days"));
            }
        }
        if self.capacity > CAPACITY_MAX {
            return Err(GeoError::bad("cache.capacity", self.capacity, "it has to be 10000000 at most"));
        }
        let own = || -> Option<Arc<dyn LocationCache>> {
            (self.capacity > 0).then(|| Arc::new(MemoryCache::new(self.capacity)) as Arc<_>)
        };
        let cache = self.cache.or_else(own);
        let clock = match self.clock {
            Some(ClockOf(clock)) => clock,
            None => system_clock()?,
        };
        #[cfg(feature = "mmdb")]
        let mut databases = Vec::new();
        let mut providers: Vec<Arc<dyn Provider>> = Vec::with_capacity(self.databases.len());
        for database in self.databases {
            #[cfg(feature = "mmdb")]
            match database.open()? {
                Opened::Mmdb(database) => {
                    databases.push(database.clone());
                    providers.push(Arc::new(database));
                }
                Opened::Other(provider) => providers.push(provider),
            }
            #[cfg(not(feature = "mmdb"))]
            providers.push(database.open()?);
        }
        let chain = Chain::new(providers)?;
        let generation = AtomicU64::new(chain.generation());
        if let Some(cache) = &cache {
            cache.sources(chain.fingerprint());
        }
        Ok(GeoDetector {
            shared: Arc::new(Shared {
                overrides: self.overrides,
                cache: cache.map(|cache| Cached { cache, ttl: self.ttl, negative_ttl, generation }),
                local: chain.is_local(),
                chain,
                clock,
                flights: Flights::default(),
                counters: Counters::default(),
                #[cfg(feature = "mmdb")]
                databases,
            }),
        })
    }
}

#[cfg(feature = "std-clock")]
fn system_clock() -> Result<Arc<dyn Clock>, GeoError> {
    Ok(Arc::new(lb_types::SystemClock::process()))
}

#[cfg(not(feature = "std-clock"))]
fn system_clock() -> Result<Arc<dyn Clock>, GeoError> {
    Err(GeoError::FeatureOff { what: "a detector that is given no clock", feature: "std-clock" })
}
