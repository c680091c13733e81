//! From a configuration to a running server.
//!
//! | step | what holds after it |
//! |---|---|
//! | [`assemble`] | everything was checked and every address is taken; nothing is served |
//! | [`Assembled::start`] | workers serve on threads of their own; health checks, discovery and the admin API run on the caller's runtime |
//! | [`Running::shutdown`] | not ready → nothing more accepted → open requests finished (or cut) → background work ended |
//!
//! [`Assembled::run`] is the last two with a future between them. It lacks reloading: another configuration is another process.

mod admin;
mod autoscale;
mod error;
mod gate;
mod geo;
mod kubernetes;
mod log;
mod metrics;
mod pool;
mod rollouts;
mod routes;
mod running;
mod splits;
mod stores;

pub use error::AssembleError;
pub use running::{Report, Running};

use admin::Admin;
use geo::Geography;
use lb_balancer::LoadBalancer;
use lb_config::{ClientIpHeader, Config, Listener};
use lb_proxy::{
    ForwardingHeader, ListenAddress, ListenerSettings, ProxySettings, ProxyStats, Server, TrustedPeers,
    TrustedProxies,
};
use pool::Common;
use splits::Splits;
use std::collections::BTreeMap;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use stores::Stores;

/// A server whose addresses are taken, at rest.
#[derive(Debug)]
pub struct Assembled {
    /// The balancers that requests go to, none of them below another.
    entries: Vec<LoadBalancer>,
    /// All pools, by name.
    pools: BTreeMap<String, LoadBalancer>,
    stores: Stores,
    geography: Arc<Geography>,
    splits: Splits,
    server: Server,
    admin: Option<Admin>,
    grace: Duration,
}

/// Builds what `config` describes and takes its addresses.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use edge_lb::config::Config;
///
/// let config = Config::from_flags(&["127.0.0.1:0".parse()?], &["http://127.0.0.1:9001".parse()?])?;
/// let server = edge_lb::assemble(config)?;
/// println!("listening on {}", server.addresses()[0]);
/// let stop = async { /* a signal, say */ };
/// let report = server.run(stop).await?;
/// assert!(report.closed_in_time);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// A configuration that cannot work ([`AssembleError::is_config`]), or an address that cannot be taken.
pub fn assemble(config: Config) -> Result<Assembled, AssembleError> {
    let Config { workers, listeners, admin, pools, shutdown_grace, stores, geo, entry, .. } = config;
    let trusted = trusted(config.trusted_proxies, config.client_ip_header)?;
    let stores = Stores::open(stores)?;
    let geography = Arc::new(Geography::new(geo, stores.clone())?);
    let common = Common { stores: &stores, geography: &geography };
    let mut built = BTreeMap::new();
    let mut over_regions = vec![];
    for (name, mut pool) in pools {
        let settings = pool::proxy_settings(&name, &pool, &common)?;
        match pool.regional.take() {
            Some(regional) => over_regions.push((name, settings, regional)),
            None => {
                let balancer = pool::balancer(&name, pool, &common)?;
                built.insert(name, (balancer, settings));
            }
        }
    }
    for (name, mut settings, regional) in over_regions {
        let (balancer, leaves) = pool::regional(&name, regional, &built, &common)?;
        // Of its own it has no breakers: where those of a region are open, that region's words are given.
        settings.fallback = leaves.iter().find_map(|l| l.fallback.clone());
        settings.leaves = leaves;
        built.insert(name, (balancer, settings));
    }
    let top = |error| AssembleError::Top { error };
    let pages = gate::error_pages(config.error_pages).map_err(top)?;
    let ids = config.request_id.as_ref().map(gate::request_ids).transpose().map_err(top)?;
    for (_, settings) in built.values_mut() {
        settings.trusted.clone_from(&trusted);
        settings.request_ids.clone_from(&ids);
        settings.error_pages.clone_from(&pages);
        settings.debug_headers = config.debug_headers;
        settings.forwarded = config.forwarded;
    }
    let route_names: Vec<String> = config.routes.iter().map(|r| r.name.clone()).collect();
    let splits = Splits::new(config.splits)?;
    let shadows = routes::shadows(&config.routes, &splits);
    let gateway = routes::gateway(&entry, config.routes, &built, &splits, &common)?;
    let route_limits =
        gateway.routes().filter_map(|r| Some((format!("route.{}", r.name), r.rate_limit.clone()?)));
    let route_limits: Vec<_> = route_limits.collect();
    let is_below = |lb: &LoadBalancer| {
        let above = |top: &LoadBalancer| !top.is_same(lb) && top.leaves().iter().any(|leaf| leaf.is_same(lb));
        gateway.balancers().any(above)
    };
    let entries: Vec<LoadBalancer> = gateway.balancers().filter(|lb| !is_below(lb)).cloned().collect();
    let is_used = |lb: &LoadBalancer| is_below(lb) || entries.iter().any(|entry| entry.is_same(lb));
    if let Some((unused, _)) = built.iter().find(|(_, (lb, _))| !is_used(lb)) {
        return Err(AssembleError::UnusedPool { pool: unused.clone() });
    }
    let limit = |(name, (_, s)): (&String, &(LoadBalancer, ProxySettings))| {
        Some((name.clone(), s.rate_limit.clone()?))
    };
    let limits = built.iter().filter_map(limit).chain(route_limits).collect();
    let pools: BTreeMap<_, _> = built.into_iter().map(|(name, (lb, _))| (name, lb)).collect();
    let workers = workers.unwrap_or_else(available_workers);
    let listeners = listeners.into_iter().map(listener).collect::<Result<_, _>>()?;
    let server = Server::bind_gateway(listeners, workers, gateway)?;
    let sources = admin::Sources {
        stats: server.stats(),
        stores: stores.clone(),
        geography: geography.clone(),
        splits: splits.clone(),
        limits,
        routes: route_names,
    };
    // Nobody waits for a shadow pool: it makes no node ready.
    let of_clients: Vec<_> = entries.iter().filter(|lb| !shadows.contains(lb.name())).cloned().collect();
    let admin = admin.map(|a| Admin::bind(a.address, &pools, &of_clients, sources)).transpose()?;
    Ok(Assembled { entries, pools, stores, geography, splits, server, admin, grace: shutdown_grace })
}

/// The CPUs that the process may use (affinity and cgroup quota considered); 1 where nobody can tell.
fn available_workers() -> usize {
    std::thread::available_parallelism().map_or(1, Into::into)
}

/// Whose word is taken for the address that they saw.
fn trusted(
    networks: Vec<String>,
    header: ClientIpHeader,
) -> Result<Option<Arc<TrustedPeers>>, AssembleError> {
    if networks.is_empty() {
        return Ok(None);
    }
    let header = match header {
        ClientIpHeader::Forwarded => ForwardingHeader::Forwarded,
        _ => ForwardingHeader::XForwardedFor,
    };
    Ok(Some(Arc::new(TrustedPeers { proxies: TrustedProxies::new(networks)?, header })))
}

fn listener(l: Listener) -> Result<ListenerSettings, AssembleError> {
    let address = match l.address {
        lb_config::ListenAddress::Tcp(address) => ListenAddress::Tcp(address),
        lb_config::ListenAddress::Unix(path) => ListenAddress::Unix(path),
        other => return Err(AssembleError::Listener { address: other.to_string() }),
    };
    Ok(ListenerSettings {
        header_timeout: l.header_timeout,
        body_timeout: l.body_timeout,
        idle_timeout: l.idle_timeout,
        max_connections: l.max_connections,
        max_header_count: l.max_header_count,
        max_header_bytes: l.max_header_bytes,
        max_body_bytes: l.max_body_bytes,
        min_body_rate: l.min_body_rate,
        min_send_rate: l.min_send_rate,
        rate_grace: l.rate_grace,
        max_connections_per_ip: l.max_connections_per_ip,
        ..ListenerSettings::new(address)
    })
}

impl Assembled {
    /// The addresses for clients, in the configuration's order; a port 0 has become the one that was taken.
    pub fn addresses(&self) -> &[ListenAddress] {
        self.server.addresses()
    }

    /// The admin address, if there is one.
    pub fn admin_address(&self) -> Option<SocketAddr> {
        self.admin.as_ref().map(Admin::address)
    }

    /// The pool of this name.
    pub fn balancer(&self, pool: &str) -> Option<&LoadBalancer> {
        self.pools.get(pool)
    }

    /// The split of this name: to look at, and to change.
    pub fn split(&self, name: &str) -> Option<&Arc<lb_split::Split>> {
        self.splits.splitting(name).map(|s| s.split())
    }

    /// The data plane's counters.
    pub fn stats(&self) -> Arc<ProxyStats> {
        self.server.stats()
    }

    /// Serves from now on, until the guard is shut down or dropped. Health checks, discovery and the admin API run on the current
    /// tokio runtime (time and I/O enabled; one thread suffices), requests on threads of their own.
    ///
    /// # Errors
    /// No runtime, or a thread that cannot be started.
    pub fn start(self) -> Result<Running, AssembleError> {
        Running::start(self)
    }

    /// [`start`](Self::start)s, waits for `shutdown`, and [shuts down](Running::shutdown).
    ///
    /// # Errors
    /// As [`start`](Self::start).
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<Report, AssembleError> {
        let running = self.start()?;
        shutdown.await;
        Ok(running.shutdown().await)
    }
}
