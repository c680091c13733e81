//! The load balancer and traffic manager for the edge, as a library.
//!
//! This crate is the front door: it re-exports the `lb-*` crates by feature and, with `server`, turns a configuration into a running
//! proxy. A program that needs one part only may as well depend on that crate.
//!
//! Choosing backends needs no network and no runtime:
//!
//! ```
//! use edge_lb::prelude::*;
//!
//! let lb = LoadBalancer::builder()
//!     .backend(Backend::new("a", "http://127.0.0.1:9001".parse()?).weight(5))
//!     .backend(Backend::new("b", "http://127.0.0.1:9002".parse()?))
//!     .backend(Backend::new("c", "http://127.0.0.1:9003".parse()?))
//!     .algorithm(Algorithm::WeightedRoundRobin)
//!     .build()?;
//!
//! let mut order = String::new();
//! for _ in 0..7 {
//!     let lease = lb.select_backend(&RequestInfo::default(), &SelectOptions::default())?;
//!     order.push_str(lease.backend().id().as_str());
//!     lease.complete(Outcome::Success { ttfb: Nanos::from_millis(3) });
//! }
//! assert_eq!(order, "aabacaa");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | feature | what it adds | where |
//! |---|---|---|
//! | – | backends, algorithms, leases | [`LoadBalancer`], [`core`], [`balancer`], [`types`] |
//! | `health` (default) | active checks by TCP and HTTP, background work | `health`, [`LoadBalancer`]`::start` |
//! | `health-tls`, `health-grpc` | active checks over TLS, by the gRPC health protocol | `health` |
//! | `discovery-dns`, `discovery-file` | backends from DNS, from a watched file | `balancer::discover` |
//! | `discovery-kubernetes` | backends from a Kubernetes service; not in `full` | `balancer::discover::kubernetes` |
//! | `kubernetes` | the same, auto-scaling of deployments and stateful sets, and both in configurations; not in `full` | `autoscale::driver::kubernetes` |
//! | `faults` (default) | circuit breakers before the backends, passive detection | [`LoadBalancer`]`::circuit_breaker`, `on_fault` |
//! | `breaker` | the circuit breaker to use by itself | `breaker` |
//! | `proxy` | the HTTP/1.1 reverse proxy | `proxy` |
//! | `route` | which route takes a request | `route` |
//! | `tower` | the proxy as a `tower` service, gateways included; a layer that chooses backends for a service of your own | `tower` |
//! | `config` | TOML, YAML and JSON with precise errors | `config` |
//! | `geo` | where clients are, regions (`geo-based`, `geo-aware`) | `geo`, [`LoadBalancer`]`::geo_detector` |
//! | `geo-data`, `geo-mmap`, `geo-providers` | the built-in country database, mapped files, ipinfo and ipapi | `geo` |
//! | `admission` | queue, load shedding, adaptive concurrency, rate limits | `admission`, [`LoadBalancer`]`::queue_request` |
//! | `sessions` | session affinity and the selection cache | `session`, [`LoadBalancer`]`::session_manager` |
//! | `split` | which version gets a request: exact splits, shifts, guarded rollouts | `split` |
//! | `store` | Redis and Valkey behind sessions and caches | `store` |
//! | `admin` | health, readiness, pools and Prometheus metrics over HTTP | `admin` |
//! | `server` | from a configuration to a running server; has all of the above but `tower` | `assemble` |
//! | `orca` | the parser of backends' load reports, for [`Algorithm::Adaptive`] without the proxy (which has it) | `core::orca` |
//! | `serde` | serde derives of metrics and statuses | |
//! | `full` | everything but `kubernetes` | |
//!
//! A feature only adds; it never changes what is there without it. Examples: `embed` (choose and account, no network), `admission` (a queue and
//! a rate limit), `regions` (a balancer for each region, and one over them), `proxy` (the proxy inside a server of your own), `gateway` (several pools
//! behind it), `axum_balance` and `hyper_gateway` (choosing backends for an application and for a gateway of your own).

#[cfg(feature = "server")]
mod server;

#[cfg(feature = "admin")]
pub use lb_admin as admin;
#[cfg(feature = "admission")]
pub use lb_admission as admission;
#[cfg(feature = "autoscale")]
pub use lb_autoscale as autoscale;
pub use lb_balancer as balancer;
pub use lb_balancer::core;
#[cfg(feature = "breaker")]
pub use lb_breaker as breaker;
#[cfg(feature = "config")]
pub use lb_config as config;
#[cfg(feature = "geo")]
pub use lb_geo as geo;
#[cfg(any(feature = "health", feature = "faults"))]
pub use lb_health as health;
#[cfg(feature = "proxy")]
pub use lb_proxy as proxy;
#[cfg(feature = "route")]
pub use lb_route as route;
#[cfg(feature = "sessions")]
pub use lb_session as session;
#[cfg(feature = "split")]
pub use lb_split as split;
#[cfg(feature = "store")]
pub use lb_store as store;
pub use lb_types as types;

#[cfg(feature = "admission")]
pub use lb_balancer::{AdmissionError, Priority};
pub use lb_balancer::{
    Algorithm, BuildError, Lease, LoadBalancer, LoadBalancerBuilder, PoolSettings, SelectError, SelectOptions,
};
#[cfg(feature = "faults")]
pub use lb_balancer::{BreakerSettings, CircuitBreaker, CircuitBreakers, FaultEvent, OutlierDetection};
#[cfg(feature = "autoscale")]
pub use lb_balancer::{InstanceTemplate, ScaleEvent, ScaleEvents, ScaleSettings, ScaleStatus};
pub use lb_types::{Backend, BackendId, BackendPatch, BackendUrl, Nanos, Outcome, RequestInfo};
#[cfg(feature = "server")]
pub use server::{AssembleError, Assembled, Report, Running, assemble};

/// For tower's stacks, in anyone's tokio runtime.
///
/// - [`ProxyService`](tower::ProxyService) answers requests by way of a [`LoadBalancer`]'s backends; with several pools and routes to them it is made by
///   [`Proxy::gateway`](tower::Proxy::gateway).
/// - [`LoadBalanceLayer`](tower::LoadBalanceLayer) only chooses the backend, and leaves the exchange to the service inside, which finds a
///   [`ChosenBackend`](tower::ChosenBackend) in the request's extensions.
/// - With `admission`: layers for a queue, a rate limit and load shedding.
#[cfg(feature = "tower")]
pub mod tower {
    #[cfg(feature = "admission")]
    pub use lb_admission::tower::{queue::QueueLayer, rate_limit::RateLimitLayer, shed::ShedLayer};
    pub use lb_proxy::{
        BalanceFuture, BalancedBody, ChosenBackend, ClientAddr, Gateway, HeaderRules, LoadBalance,
        LoadBalanceLayer, Proxy, Proxy as ProxyService, ProxyBody, ProxySettings, RateLimiting, RouteAction,
        RouteSettings,
    };
    pub use lb_route::{Rewrite, Route, Router, Template};
}

/// What most programs need: `use edge_lb::prelude::*;`.
pub mod prelude {
    #[cfg(feature = "health")]
    pub use crate::health::HealthCheck;
    #[cfg(feature = "proxy")]
    pub use crate::proxy::{Proxy, ProxySettings};
    pub use crate::{
        Algorithm, Backend, BackendId, BackendPatch, BackendUrl, Lease, LoadBalancer, Nanos, Outcome,
        PoolSettings, RequestInfo, SelectError, SelectOptions,
    };
    #[cfg(feature = "faults")]
    pub use crate::{BreakerSettings, OutlierDetection};
}

/// The version of this crate.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The features that this build has, in alphabetical order.
///
/// ```
/// assert_eq!(edge_lb::features().contains(&"health"), cfg!(feature = "health"));
/// ```
pub fn features() -> Vec<&'static str> {
    let all = [
        ("admin", cfg!(feature = "admin")),
        ("admission", cfg!(feature = "admission")),
        ("autoscale", cfg!(feature = "autoscale")),
        ("breaker", cfg!(feature = "breaker")),
        ("config", cfg!(feature = "config")),
        ("discovery-dns", cfg!(feature = "discovery-dns")),
        ("discovery-file", cfg!(feature = "discovery-file")),
        ("discovery-kubernetes", cfg!(feature = "discovery-kubernetes")),
        ("faults", cfg!(feature = "faults")),
        ("geo", cfg!(feature = "geo")),
        ("geo-data", cfg!(feature = "geo-data")),
        ("geo-mmap", cfg!(feature = "geo-mmap")),
        ("geo-providers", cfg!(feature = "geo-providers")),
        ("health", cfg!(feature = "health")),
        ("health-grpc", cfg!(feature = "health-grpc")),
        ("health-tls", cfg!(feature = "health-tls")),
        ("kubernetes", cfg!(feature = "kubernetes")),
        ("orca", cfg!(feature = "orca")),
        ("proxy", cfg!(feature = "proxy")),
        ("route", cfg!(feature = "route")),
        ("serde", cfg!(feature = "serde")),
        ("server", cfg!(feature = "server")),
        ("sessions", cfg!(feature = "sessions")),
        ("split", cfg!(feature = "split")),
        ("store", cfg!(feature = "store")),
        ("tower", cfg!(feature = "tower")),
    ];
    all.into_iter().filter_map(|(name, built)| built.then_some(name)).collect()
}
