//! Geography in a balancer's picks: where the client is, and whose client that makes it.
//!
//! `geo-based` ([`Geo`]): one pool whose backends have regions; the client's region is asked first, then the fallback, then the others.
//! `geo-aware` ([`regional`]): a balancer for each region, the nearest usable one first.

pub(crate) mod regional;

use crate::selection::note;
use crate::{BuildError, LoadBalancer, SelectOptions};
use lb_core::{PoolSettings, Region, Regions, Step};
use lb_geo::{Answer, GeoDetector, RegionMap, RegionSettings};
use lb_types::{BackendId, RequestInfo};
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::time::Duration;

/// How long a request waits for a geography provider that has to be asked. The answer that comes later is remembered all the same.
const LOCATE_WITHIN: Duration = Duration::from_millis(100);

/// What a `geo-based` balancer knows of geography.
#[derive(Debug)]
pub(crate) struct Geo {
    pub(crate) detector: GeoDetector,
    /// Its regions stand in the order of the pool's.
    pub(crate) map: RegionMap,
}

impl Geo {
    /// The client's region, by its place in the pool's list.
    pub(crate) fn region(
        &self,
        request: &RequestInfo<'_>,
        options: &SelectOptions,
        steps: &mut Option<Vec<Step>>,
    ) -> Option<u16> {
        let answer = answer(&self.detector, request, options, steps);
        let decision = answer.as_ref().and_then(|a| self.map.region_of(a));
        note(steps, "region", || match &decision {
            Some(d) => format!("{}: {}", d.region, d.why),
            None => "none is the client's, and there is no fallback".to_owned(),
        });
        decision.and_then(|d| u16::try_from(d.index).ok())
    }
}

/// What a builder was told of regions.
#[derive(Default)]
pub(crate) struct Places {
    pub(crate) detector: Option<GeoDetector>,
    pub(crate) regions: Vec<(RegionSettings, BTreeSet<BackendId>)>,
    pub(crate) balancers: Vec<(RegionSettings, LoadBalancer)>,
    pub(crate) fallback: Option<String>,
}

impl Places {
    /// The regions of one pool, if there are any; they go into its settings.
    pub(crate) fn geo_based(
        &mut self,
        pool: &str,
        settings: &mut PoolSettings,
    ) -> Result<Option<Geo>, BuildError> {
        let (regions, backends): (Vec<_>, Vec<_>) = std::mem::take(&mut self.regions).into_iter().unzip();
        if regions.is_empty() {
            return Ok(None);
        }
        let (map, detector) = self.map(pool, &regions)?;
        let list = regions.into_iter().zip(backends).map(|(r, backends)| Region { name: r.name, backends });
        let fallback = self.fallback.as_deref().and_then(|name| map.index_of(name));
        let fallback = fallback.and_then(|at| u16::try_from(at).ok());
        settings.regions = Some(Regions { list: list.collect(), fallback });
        Ok(Some(Geo { detector, map }))
    }

    /// The regions' balancers.
    pub(crate) fn regional(mut self, pool: &str) -> Result<regional::Regional, BuildError> {
        let (regions, leaves): (Vec<_>, Vec<_>) = std::mem::take(&mut self.balancers).into_iter().unzip();
        let (map, detector) = self.map(pool, &regions)?;
        let fallback = self.fallback.as_deref().and_then(|name| map.index_of(name));
        Ok(regional::Regional { detector, map, leaves: leaves.into(), fallback })
    }

    fn map(
        &mut self,
        pool: &str,
        regions: &[RegionSettings],
    ) -> Result<(RegionMap, GeoDetector), BuildError> {
        let map = RegionMap::new(regions, self.fallback.as_deref())
            .map_err(|error| BuildError::Regions { pool: pool.to_owned(), error })?;
        let detector =
            self.detector.take().ok_or_else(|| BuildError::NoDetector { pool: pool.to_owned() })?;
        Ok((map, detector))
    }
}

/// Where the client is, as far as that can be said at once; `None`: there is no address to go by.
fn answer(
    detector: &GeoDetector,
    request: &RequestInfo<'_>,
    options: &SelectOptions,
    steps: &mut Option<Vec<Step>>,
) -> Option<Answer> {
    if let Some(answer) = &options.location {
        note(steps, "location", || format!("{} (given)", words(answer)));
        return Some(answer.clone());
    }
    let Some(ip) = request.client_ip else {
        note(steps, "location", || "the client has no address".to_owned());
        return None;
    };
    let answer = detector.detect_location(ip);
    note(steps, "location", || format!("{ip}: {}", words(&answer)));
    Some(answer)
}

/// A place from the city up to the continent, or why it is not known.
fn words(answer: &Answer) -> String {
    let place = match answer {
        Answer::Unknown(why) => return format!("unknown: {why}"),
        Answer::Found(place) => place,
    };
    let city = place.city.as_deref().map(str::to_owned);
    let region =
        place.region.map(|r| r.to_string()).or_else(|| place.region_name.as_deref().map(str::to_owned));
    let country = place.country.map(|c| c.to_string());
    let continent = place.continent.map(|c| c.to_string());
    [city, region, country, continent].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

impl LoadBalancer {
    /// What says where clients are; `None`: the balancer does not care.
    pub fn geo_detector(&self) -> Option<&GeoDetector> {
        let of_regional = || self.inner.regional.as_ref().map(|r| &r.detector);
        self.inner.geo.as_ref().map(|g| &g.detector).or_else(of_regional)
    }

    /// `geo-aware`: the pool of each region, by the region's name; `None` otherwise.
    pub fn regional_pools(&self) -> Option<std::collections::BTreeMap<String, String>> {
        let regional = self.inner.regional.as_ref()?;
        let names = regional.map.names().map(str::to_owned);
        Some(names.zip(regional.leaves().iter().map(|lb| lb.name().to_owned())).collect())
    }

    /// Does it take a question to an HTTP provider to know where this client is? Then [`locate`](Self::locate) before the request is
    /// looked at.
    #[inline]
    pub fn must_locate(&self, client: Option<IpAddr>) -> bool {
        match (self.geo_detector(), client) {
            (Some(detector), Some(ip)) => detector.needs_providers(ip),
            _ => false,
        }
    }

    /// Where a client is, for [`SelectOptions::location`]: asks providers, and waits for them 100 ms at most; what they say later is
    /// remembered for the next request. `None`: nobody has said it in time, and the request is looked at with what is known.
    pub async fn locate(&self, client: IpAddr) -> Option<Answer> {
        let asking = tokio::spawn(self.geo_detector()?.detect_owned(client));
        // Late, failed or panicked: nothing is known.
        tokio::time::timeout(LOCATE_WITHIN, asking).await.ok()?.ok()?.ok()
    }
}
