//! Where clients are: from the configuration's databases, overrides and cache to one detector for all pools; and databases that are
//! replaced while it runs.

use super::AssembleError;
use super::stores::Stores;
use lb_config::{Geo, GeoDatabase};
use lb_geo::{Database, GeoDetector, Overrides, StoreCache};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

/// How often the databases' files are looked at: a look at each is a microsecond, and they are replaced once a week.
const LOOK: Duration = Duration::from_secs(2);

/// The files of these databases.
fn files(geo: &Geo) -> Vec<PathBuf> {
    let file = |database: &GeoDatabase| match database {
        GeoDatabase::MaxMind { path, .. } => Some(path.clone()),
        _ => None,
    };
    geo.databases.iter().filter_map(file).collect()
}

/// By what a file that was replaced is told from the old one; `None`: there is none now.
fn stamp(file: &Path) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(file).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

/// A bad file leaves the old one, which is told.
async fn follow(detector: GeoDetector, files: Vec<PathBuf>) {
    let stamps = || files.iter().map(|f| stamp(f)).collect::<Vec<_>>();
    let mut read = stamps();
    loop {
        tokio::time::sleep(LOOK).await;
        let now = stamps();
        if now == read {
            continue;
        }
        let again = detector.clone();
        let Ok(results) = tokio::task::spawn_blocking(move || again.reload()).await else { continue };
        for result in results {
            match result {
                Ok(about) => tracing::info!(database = %about.source, "geography database read again"),
                Err(error) => tracing::warn!(%error, "geography database not replaced: the old one stays"),
            }
        }
        read = now;
    }
}

/// What says where clients are, made when somebody first asks: the built-in database takes 8 MB and some 60 ms to unpack.
#[derive(Debug)]
pub(super) struct Geography {
    settings: Geo,
    stores: Stores,
    made: OnceLock<GeoDetector>,
}

impl Geography {
    /// Where something was configured, it is made at once, so that what is wrong with it is known.
    pub(super) fn new(settings: Geo, stores: Stores) -> Result<Self, AssembleError> {
        let is_configured = settings != Geo::default();
        let geography = Self { settings, stores, made: OnceLock::new() };
        if is_configured {
            geography.detector()?;
        }
        Ok(geography)
    }

    pub(super) fn detector(&self) -> Result<&GeoDetector, AssembleError> {
        if let Some(made) = self.made.get() {
            return Ok(made);
        }
        let made = detector(self.settings.clone(), &self.stores)?;
        // Of two who make one at the same time, one is taken.
        Ok(self.made.get_or_init(|| made))
    }

    /// If somebody has asked.
    pub(super) fn made(&self) -> Option<&GeoDetector> {
        self.made.get()
    }

    /// Reads the databases again when one of their files has changed, for ever; at once where there are none.
    pub(super) async fn follow(&self) {
        if let (Some(detector), files) = (self.made.get(), files(&self.settings))
            && !files.is_empty()
        {
            follow(detector.clone(), files).await;
        }
    }
}

fn detector(geo: Geo, stores: &Stores) -> Result<GeoDetector, AssembleError> {
    let mut builder = GeoDetector::builder();
    for database in geo.databases {
        builder = builder.database(match database {
            GeoDatabase::BuiltIn => Database::built_in(),
            GeoDatabase::MaxMind { path, mapped } => {
                let mut options = lb_geo::MmdbOptions::default();
                options.mapped = mapped;
                Database::maxmind_with(path, options)
            }
            GeoDatabase::IpInfo(settings) => Database::ipinfo(settings),
            GeoDatabase::IpApi(settings) => Database::ipapi(settings),
            _ => return Err(AssembleError::GeoDatabase),
        });
    }
    let mut overrides = Overrides::new();
    for (network, location) in geo.overrides {
        overrides.add(&network, location)?;
    }
    builder = builder.overrides(overrides);
    if let Some(cache) = geo.cache {
        builder = builder.cache(cache.ttl, cache.capacity).negative_ttl(cache.negative_ttl);
        if let Some(opened) = stores.of(&cache.storage)? {
            builder = builder.cache_in(Arc::new(StoreCache::new(opened.store.clone(), cache.capacity)));
        }
    }
    Ok(builder.build()?)
}
