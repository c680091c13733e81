//! Where clients are: from the configuration's databases, overrides and cache to one detector for all pools; and databases that are
//! replaced while it runs.

use super::AssembleError;
use super::stores::Stores;
use lb_config::{Geo, GeoDatabase};
use lb_geo::{Database, GeoDetector, Overrides, StoreCache};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

/// How often the databases' files are looked at: a look at each is a microsecond, and they are replaced once a week.
const LOOK: Duration = Duration::from_secs(2);

/// The files of these databases.
pub(super) fn files(geo: &Geo) -> Vec<PathBuf> {
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

/// Reads the databases again when one of their files has changed, for ever. A bad file leaves the old one, which is told.
pub(super) async fn follow(detector: GeoDetector, files: Vec<PathBuf>) {
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

/// The detector. The built-in database is unpacked when it is first asked.
pub(super) fn detector(geo: Geo, stores: &Stores) -> Result<GeoDetector, AssembleError> {
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
