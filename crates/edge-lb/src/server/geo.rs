//! Where clients are: from the configuration's databases, overrides and cache to one detector for all pools.

use super::AssembleError;
use super::stores::Stores;
use lb_config::{Geo, GeoDatabase};
use lb_geo::{Database, GeoDetector, Overrides, StoreCache};
use std::sync::Arc;

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
