//! From a pool's configuration to its balancer and to how requests are carried.

use super::AssembleError;
use super::geo::Geography;
use super::stores::Stores;
use lb_balancer::discover::{DnsDiscovery, DnsRecords, FileDiscovery};
use lb_balancer::{Caching, LoadBalancer, SharingSettings};
use lb_config::{
    ConnectionPooling, Discovery, DnsRecord, Format, Limiting, Pool, Queuing, Regional, RetryOn as Condition,
};
use lb_proxy::{
    HedgeSettings, PoolingSettings, ProxySettings, RateLimiting, RetryOn, RetryPolicy, RetrySettings,
};
use lb_types::Backend;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// What all pools have in common.
pub(super) struct Common<'a> {
    pub(super) stores: &'a Stores,
    pub(super) geography: &'a Geography,
}

/// How requests go to the pool's backends.
pub(super) fn proxy_settings(
    name: &str,
    pool: &Pool,
    common: &Common<'_>,
) -> Result<ProxySettings, AssembleError> {
    let wrong = |header: &String| AssembleError::HeaderName { pool: name.to_owned(), header: header.clone() };
    let agent = |header: &String| header.parse().map_err(|_| wrong(header));
    let priority_header = |q: &Queuing| {
        let header = q.priority_header.as_ref()?;
        Some(header.parse().map_err(|_| wrong(header)))
    };
    Ok(ProxySettings {
        connect_timeout: pool.connection_timeout,
        first_byte_timeout: pool.first_byte_timeout,
        idle_timeout: pool.idle_timeout,
        total_timeout: pool.total_timeout,
        retry: Arc::new(retry_policy(name, &pool.retry)?),
        preserve_host: pool.preserve_host,
        pooling: pool.connection_pooling.as_ref().map(pooling).unwrap_or_default(),
        fallback: pool.circuit_breaker.as_ref().map(|b| b.fallback.clone()),
        agent_header: pool.agent_header.as_ref().map(agent).transpose()?,
        priority_header: pool.queuing.as_ref().and_then(priority_header).transpose()?,
        queue_response: pool.queuing.as_ref().map(|q| q.response.clone()),
        rate_limit: pool.rate_limit.as_ref().map(|l| rate_limit(name, l, common)).transpose()?,
        waits_for_usable: !pool.selection_timeout.is_zero(),
        ..ProxySettings::default()
    })
}

/// A limit of this name.
pub(super) fn rate_limit(
    name: &str,
    limiting: &Limiting,
    common: &Common<'_>,
) -> Result<Arc<RateLimiting>, AssembleError> {
    let store = common.stores.of(&limiting.storage)?.map(|opened| opened.store.clone());
    let settings = limiting.settings.clone().name(name);
    let made = RateLimiting::new(settings, store, limiting.headers);
    made.map(Arc::new).map_err(|error| AssembleError::RateLimit { pool: name.to_owned(), error })
}

fn pooling(p: &ConnectionPooling) -> PoolingSettings {
    let mut s = PoolingSettings::new()
        .enabled(p.enabled)
        .max_connections(p.max_connections)
        .max_idle_time(p.max_idle_time)
        .keep_alive(p.keep_alive)
        .keep_alive_timeout(p.keep_alive_timeout)
        .preconnect(p.preconnect);
    (s.max_requests, s.max_lifetime) = (p.max_requests, p.max_lifetime);
    s
}

/// A request has a socket of its own: no backend gets more of them at once than it may have sockets, so that one can always be had.
fn bounded(backend: &mut Backend, sockets: Option<u32>) {
    backend.max_connections = backend.max_connections.map(|own| sockets.map_or(own, |max| own.min(max)));
}

pub(super) fn retry_policy(name: &str, retry: &lb_config::RetryPolicy) -> Result<RetryPolicy, AssembleError> {
    let pool = || name.to_owned();
    let mut on = RetryOn::nothing();
    for condition in &retry.retry_on {
        on = match condition {
            Condition::ConnectFailure => on.connect_failure(),
            Condition::Reset => on.reset(),
            Condition::Timeout => on.timeout(),
            Condition::Status(statuses) => on.statuses(statuses.clone()),
            _ => return Err(AssembleError::RetryOn { pool: pool() }),
        };
    }
    let settings = RetrySettings {
        max_retries: retry.max_retries,
        backoff: retry.backoff,
        budget: retry.budget,
        retry_on: on,
        per_try_timeout: retry.per_try_timeout,
        retry_after_max: retry.retry_after_max,
        replay_buffer: retry.replay_buffer,
        hedge: retry.hedge.map(|h| HedgeSettings { percentile: h.percentile, min_delay: h.min_delay }),
    };
    RetryPolicy::new(settings).map_err(|error| AssembleError::Retry { pool: pool(), error })
}

/// The pool with its health checks and its discovery, at rest.
pub(super) fn balancer(
    name: &str,
    mut pool: Pool,
    common: &Common<'_>,
) -> Result<LoadBalancer, AssembleError> {
    let sockets = pool.connection_pooling.as_ref().map(|p| p.max_connections);
    if let Some(max) = sockets {
        pool.settings.max_connections = Some(pool.settings.max_connections.map_or(max, |own| own.min(max)));
        pool.backends.iter_mut().for_each(|b| bounded(b, sockets));
        if let Some(a) = &mut pool.autoscale {
            a.template.max_connections = a.template.max_connections.map(|own| own.min(max));
        }
    }
    let mut builder = LoadBalancer::builder().name(name).settings(pool.settings).backends(pool.backends);
    if let Some(affinity) = pool.session_affinity {
        builder = builder.session_affinity(affinity.settings);
        if let Some(opened) = common.stores.of(&affinity.storage)? {
            let sharing = SharingSettings::new().timeout(opened.timeout);
            builder = builder.session_store(opened.store.clone(), sharing);
        }
    }
    if let Some(c) = pool.caching {
        let mut caching = Caching::default();
        (caching.ttl, caching.key, caching.max_entries) = (c.ttl, c.key, c.max_entries);
        builder = builder.caching(caching);
        if let Some(opened) = common.stores.of(&c.storage)? {
            builder = builder.cache_store(opened.store.clone(), opened.timeout);
        }
    }
    if let Some(geo) = pool.geo {
        builder = builder.geo_detector(common.geography.detector()?.clone());
        for region in geo.regions {
            builder = builder.region(region.settings, region.backends);
        }
        if let Some(fallback) = geo.fallback_region {
            builder = builder.fallback_region(fallback);
        }
    }
    if let Some(queuing) = pool.queuing {
        builder = builder.queuing(queuing.settings);
    }
    if let Some(shedding) = pool.load_shedding {
        builder = builder.load_shedding(shedding);
    }
    if let Some(adaptive) = pool.adaptive_concurrency {
        builder = builder.adaptive_concurrency(adaptive);
    }
    if !pool.selection_timeout.is_zero() {
        builder = builder.selection_timeout(pool.selection_timeout);
    }
    if let Some(check) = pool.health_check {
        builder = builder.health_check(check);
    }
    if let Some(agents) = pool.agent_check {
        builder = builder.agent_check(agents);
    }
    if let Some(breaker) = pool.circuit_breaker {
        builder = builder.circuit_breaker(breaker.settings);
    }
    if let Some(detection) = pool.outlier_detection {
        builder = builder.outlier_detection(detection);
    }
    if let Some(scaling) = pool.autoscale {
        builder = super::autoscale::scaled(name, builder, scaling)?;
    }
    builder = match pool.discovery {
        None => builder,
        Some(Discovery::Dns { name: host, port, record, interval }) => {
            let records = match record {
                DnsRecord::Address => DnsRecords::Address { port },
                DnsRecord::Srv => DnsRecords::Srv,
                _ => return Err(AssembleError::DiscoveryKind { pool: name.to_owned() }),
            };
            let wrong = |error| AssembleError::Discovery { pool: name.to_owned(), error };
            let mut dns = DnsDiscovery::new(&host, records).map_err(wrong)?;
            if let Some(interval) = interval {
                dns = dns.interval(interval);
            }
            builder.discover(dns)
        }
        Some(Discovery::File { path }) => {
            builder.discover(FileDiscovery::new(path, move |text: &str, path: &Path| {
                let mut found = parse_backends(text, path)?;
                found.iter_mut().for_each(|b| bounded(b, sockets));
                Ok::<_, String>(found)
            }))
        }
        Some(Discovery::Kubernetes(pods)) => super::kubernetes::discovered(name, builder, pods)?,
        Some(_) => return Err(AssembleError::DiscoveryKind { pool: name.to_owned() }),
    };
    Ok(builder.build()?)
}

/// A balancer over those of its regions, and how requests go to each region's backends.
pub(super) fn regional(
    name: &str,
    regional: Regional,
    pools: &BTreeMap<String, (LoadBalancer, ProxySettings)>,
    common: &Common<'_>,
) -> Result<(LoadBalancer, Vec<ProxySettings>), AssembleError> {
    let detector = common.geography.detector()?.clone();
    let mut builder = LoadBalancer::builder().name(name).geo_detector(detector);
    let mut leaves = vec![];
    for region in regional.balancers {
        let missing = || AssembleError::NoPool { pool: region.pool.clone() };
        let (balancer, settings) = pools.get(&region.pool).ok_or_else(missing)?;
        builder = builder.regional_balancer(region.settings, balancer.clone());
        leaves.push(settings.clone());
    }
    if let Some(fallback) = regional.fallback_region {
        builder = builder.fallback_region(fallback);
    }
    Ok((builder.build()?, leaves))
}

/// A discovery file's text by the same keys as the configuration's.
fn parse_backends(text: &str, path: &Path) -> Result<Vec<Backend>, String> {
    let format = Format::from_path(path).ok_or("the extension must be .toml, .yaml, .yml or .json")?;
    lb_config::parse_backends(text, format, &path.display().to_string()).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_backend_gets_more_requests_than_it_may_have_sockets() {
        let bounded = |own: Option<u32>, sockets| {
            let mut b = Backend::new("a", "http://127.0.0.1:1".parse().unwrap());
            b.max_connections = own;
            super::bounded(&mut b, sockets);
            b.max_connections
        };
        assert_eq!(bounded(Some(9), Some(5)), Some(5));
        assert_eq!(bounded(Some(3), Some(5)), Some(3));
        assert_eq!(bounded(Some(9), None), Some(9));
        assert_eq!(bounded(None, Some(5)), None, "the pool's own limit, which is bounded, holds");
    }

    #[test]
    fn discovery_files_are_read_by_their_extension() {
        let json = r#"[{ "id": "a", "url": "http://10.0.0.1:80" }]"#;
        let found = parse_backends(json, Path::new("backends.json")).unwrap();
        assert_eq!(found[0].id, "a");
        assert!(
            parse_backends(json, Path::new("backends.toml")).unwrap_err().starts_with("backends.toml:1:")
        );
        assert!(parse_backends(json, Path::new("backends.txt")).unwrap_err().contains(".toml"));
    }
}
