//! What the program runs on: everything resolved, every default filled in.

mod admission;
mod autoscale;
mod compression;
mod gate;
mod geo;
mod kubernetes;
mod mirror;
mod pooling;
mod route;
mod session;
mod split;
mod store;

pub use admission::{Limiting, Queuing};
pub use autoscale::{Autoscale, ScaleDriver};
pub use compression::{Coding, Compression};
pub use gate::{BasicAuth, Cors, ErrorPage, ForwardAuth, Gate, IdTrust, RequestId};
pub use geo::{ClientIpHeader, Geo, GeoCache, GeoDatabase, GeoRegion, PoolGeo, Regional, RegionalBalancer};
pub use kubernetes::{KubernetesApi, KubernetesPods, KubernetesWorkload, PodFamily, PodPort, WorkloadKind};
pub use mirror::Mirror;
pub use pooling::ConnectionPooling;
pub use route::{HeaderChanges, PathRewrite, Route, RouteAction};
pub use session::{Affinity, Caching, Storage};
pub use split::{Split, Sticky};
pub use store::Store;

use crate::ListenAddress;
use lb_admission::concurrency::AdaptiveConcurrency;
use lb_admission::shed::ShedSettings;
use lb_breaker::{Backoff, BreakerSettings, BudgetSettings};
use lb_core::PoolSettings;
use lb_health::outlier::OutlierDetection;
use lb_health::{AgentCheck, HealthCheck};
use lb_types::{Backend, FixedResponse};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

/// A whole configuration. `Default` has every documented default and neither listeners nor pools.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// Worker threads, 1–1024. `None`: one for each CPU that the process may use.
    pub workers: Option<usize>,
    /// Where clients connect, at least one.
    pub listeners: Vec<Listener>,
    /// The admin address. `None`: there is none.
    pub admin: Option<Admin>,
    /// The pools by name: those that requests are sent to, and those that one of them names as regional ones.
    pub pools: BTreeMap<String, Pool>,
    /// The pool that all requests go to; empty with `routes`, which say where.
    pub entry: String,
    /// Where requests go; the first that fits. None: to `entry`.
    pub routes: Vec<Route>,
    /// Traffic that is divided between pools, by name; a route names each.
    pub splits: BTreeMap<String, Split>,
    /// What is right but hardly meant: a line each, with its place in the file.
    pub warnings: Vec<String>,
    /// Networks and addresses of proxies whose word is taken for the client's address, as [`lb_geo::TrustedProxies`] takes them. None:
    /// nobody's.
    pub trusted_proxies: Vec<String>,
    /// The header in which trusted proxies tell the client's address.
    pub client_ip_header: ClientIpHeader,
    /// Pages in place of the proxy's own errors, one at most for a status.
    pub error_pages: Vec<ErrorPage>,
    /// Whether clients among `trusted_proxies` are told why they got an error.
    pub debug_headers: bool,
    /// How requests get ids. `None`: not at all. Usual with routes.
    pub request_id: Option<RequestId>,
    /// Whether backends get `Forwarded`.
    pub forwarded: bool,
    /// Where state is shared, by name; none is called `memory`.
    pub stores: BTreeMap<String, Store>,
    /// How clients' places are found.
    pub geo: Geo,
    /// How long open requests may finish after SIGTERM, default 30 s.
    pub shutdown_grace: Duration,
    /// The program's own log.
    pub log: Log,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            workers: None,
            listeners: Vec::new(),
            admin: None,
            pools: BTreeMap::new(),
            entry: String::new(),
            routes: Vec::new(),
            splits: BTreeMap::new(),
            warnings: Vec::new(),
            trusted_proxies: Vec::new(),
            client_ip_header: ClientIpHeader::default(),
            error_pages: Vec::new(),
            debug_headers: false,
            request_id: None,
            forwarded: false,
            stores: BTreeMap::new(),
            geo: Geo::default(),
            shutdown_grace: Duration::from_secs(30),
            log: Log::default(),
        }
    }
}

/// An address that clients connect to, with its time-outs and limits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Listener {
    /// Where to listen.
    pub address: ListenAddress,
    /// From the first byte of a request to the end of its head, default 10 s.
    pub header_timeout: Duration,
    /// The longest gap between two parts of a request's body, default 60 s.
    pub body_timeout: Duration,
    /// How long a connection may wait for its next request, default 75 s.
    pub idle_timeout: Duration,
    /// The most client connections open at once, over all workers, default 10 000.
    pub max_connections: usize,
    /// The most header lines of a request, default 100.
    pub max_header_count: usize,
    /// The most bytes of request line and headers together, default 64 KiB, at least 8 KiB.
    pub max_header_bytes: usize,
    /// The most bytes of a request's body, default no limit.
    pub max_body_bytes: Option<u64>,
    /// The least bytes a second that a client sends of a body, default no limit.
    pub min_body_rate: Option<u64>,
    /// The least bytes a second that a client takes of a response, default no limit.
    pub min_send_rate: Option<u64>,
    /// How long a client may be waited for beyond what the rates allow, default 5 s.
    pub rate_grace: Duration,
    /// The most connections open at once from one address, over all workers, default no limit.
    pub max_connections_per_ip: Option<u32>,
}

impl Listener {
    /// A listener with the default time-outs and limits.
    pub fn new(address: ListenAddress) -> Self {
        Self {
            address,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(75),
            max_connections: 10_000,
            max_header_count: 100,
            max_header_bytes: 64 * 1024,
            max_body_bytes: None,
            min_body_rate: None,
            min_send_rate: None,
            rate_grace: Duration::from_secs(5),
            max_connections_per_ip: None,
        }
    }
}

/// The admin address.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Admin {
    /// Where to listen: a loopback address.
    pub address: SocketAddr,
}

impl Admin {
    /// The admin address. From a file it is always loopback; the caller answers for any other.
    pub fn new(address: SocketAddr) -> Self {
        Self { address }
    }
}

/// Backends that serve the same, and how one is chosen.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Pool {
    /// Algorithm and the rules around it.
    pub settings: PoolSettings,
    /// Active health checks. `None`: no checks, every backend counts as healthy.
    pub health_check: Option<HealthCheck>,
    /// Passive detection. `None`: nothing is ejected.
    pub outlier_detection: Option<OutlierDetection>,
    /// Circuit breakers. `None`: there are none.
    pub circuit_breaker: Option<CircuitBreaker>,
    /// Agents that are asked what traffic their backends want. `None`: there are none.
    pub agent_check: Option<AgentCheck>,
    /// Where to find more backends. `None`: only `backends`.
    pub discovery: Option<Discovery>,
    /// The backends that the file lists, their ids unique.
    pub backends: Vec<Backend>,
    /// How long connecting to a backend may take, default 30 s.
    pub connection_timeout: Duration,
    /// From the end of the request to the head of the response, default 60 s.
    pub first_byte_timeout: Duration,
    /// The longest gap between two parts of the response's body, default 60 s.
    pub idle_timeout: Duration,
    /// How connections are kept. `None`: for 30 s, and their number is not bounded.
    pub connection_pooling: Option<ConnectionPooling>,
    /// The whole exchange, retries included, default none.
    pub total_timeout: Option<Duration>,
    /// What is tried again, when and how often.
    pub retry: RetryPolicy,
    /// Whether a backend sees the `Host` that the client sent (the default), or its own authority.
    pub preserve_host: bool,
    /// The response header, in lower case, in which backends may announce weight, drain or maintenance. `None`: there is none.
    pub agent_header: Option<String>,
    /// Sessions. `None`: there are none.
    pub session_affinity: Option<Affinity>,
    /// The cache of selections. `None`: there is none. Never beside sessions or an algorithm that hashes.
    pub caching: Option<Caching>,
    /// The queue before the backends. `None`: who finds none free is refused.
    pub queuing: Option<Queuing>,
    /// When requests are refused because machine or pool are overloaded, and what they are told. `None`: never.
    pub load_shedding: Option<ShedSettings>,
    /// How many requests each backend bears is found out. `None`: it is not.
    pub adaptive_concurrency: Option<AdaptiveConcurrency>,
    /// How many requests may come in. `None`: any number.
    pub rate_limit: Option<Limiting>,
    /// As many backends as the load needs. `None`: those that are listed and found.
    pub autoscale: Option<Autoscale>,
    /// How long a request for which no backend is usable waits for one, default not at all.
    pub selection_timeout: Duration,
    /// `geo-based`: the regions among which the backends are divided; `settings.algorithm` chooses within one. `None`: there are none.
    pub geo: Option<PoolGeo>,
    /// `geo-aware`: the pools that stand below this one, which has no backends. Its `total_timeout` and `retry` hold for all of them;
    /// the rest is each one's own. `None`: it is no such pool.
    pub regional: Option<Regional>,
}

impl Default for Pool {
    /// No backends.
    fn default() -> Self {
        Self {
            settings: PoolSettings::default(),
            health_check: None,
            outlier_detection: None,
            circuit_breaker: None,
            agent_check: None,
            discovery: None,
            backends: Vec::new(),
            connection_timeout: Duration::from_secs(30),
            first_byte_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            connection_pooling: None,
            total_timeout: None,
            retry: RetryPolicy::default(),
            preserve_host: true,
            agent_header: None,
            session_affinity: None,
            caching: None,
            queuing: None,
            load_shedding: None,
            adaptive_concurrency: None,
            rate_limit: None,
            autoscale: None,
            selection_timeout: Duration::ZERO,
            geo: None,
            regional: None,
        }
    }
}

/// A pool's circuit breakers.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct CircuitBreaker {
    /// Each backend's.
    pub settings: BreakerSettings,
    /// What clients are told when no backend may be tried because breakers are open.
    pub fallback: FixedResponse,
}

impl Default for CircuitBreaker {
    fn default() -> Self {
        Self { settings: BreakerSettings::default(), fallback: lb_breaker::fallback_response() }
    }
}

/// What is tried again, when and how often.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RetryPolicy {
    /// How often, beyond the first try, default 3. 0: never, also where the section is off.
    pub max_retries: u32,
    /// What is worth another try.
    pub retry_on: Vec<RetryOn>,
    /// How long to wait before.
    pub backoff: Backoff,
    /// How many retries there may be beside how many requests.
    pub budget: BudgetSettings,
    /// How long one try may take to the head of the response, default none.
    pub per_try_timeout: Option<Duration>,
    /// The longest `Retry-After` that is waited for, default 1 s.
    pub retry_after_max: Duration,
    /// How many bytes of a request's body are kept to be sent again, default 64 KiB.
    pub replay_buffer: usize,
    /// Whether a slow try gets another beside it, default not.
    pub hedge: Option<Hedge>,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_retries: 3,
            retry_on: vec![
                RetryOn::ConnectFailure,
                RetryOn::Reset,
                RetryOn::Timeout,
                RetryOn::Status(502..=504),
            ],
            backoff: Backoff::default(),
            budget: BudgetSettings::default(),
            per_try_timeout: None,
            retry_after_max: Duration::from_secs(1),
            replay_buffer: 64 * 1024,
            hedge: None,
        }
    }
}

/// When a slow try gets another beside it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hedge {
    /// After the time that this percentage of responses take at most, 50–99, default 95.
    pub percentile: u8,
    /// But not before this, default 10 ms.
    pub min_delay: Duration,
}

impl Default for Hedge {
    fn default() -> Self {
        Self { percentile: 95, min_delay: Duration::from_millis(10) }
    }
}

/// A failure that is worth another try.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RetryOn {
    /// No connection could be made.
    ConnectFailure,
    /// The connection broke before the first byte of a response.
    Reset,
    /// No response came in time.
    Timeout,
    /// A response with one of these statuses, within 400–599.
    Status(RangeInclusive<u16>),
}

/// Where to find backends.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Discovery {
    /// From DNS.
    Dns {
        /// The name to resolve.
        name: String,
        /// The port of every backend; 0 with [`DnsRecord::Srv`], whose answers carry ports.
        port: u16,
        /// Which records to ask for.
        record: DnsRecord,
        /// How often to ask. `None`: when the answer's time to live ends.
        interval: Option<Duration>,
    },
    /// From a watched file, read by [`parse_backends`](crate::parse_backends).
    File {
        /// The file; [`load`](crate::load) makes it relative to the configuration file's folder.
        path: PathBuf,
    },
    /// The pods behind a Kubernetes service.
    Kubernetes(KubernetesPods),
}

/// Which DNS records tell the backends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum DnsRecord {
    /// A and AAAA: addresses, with the port from the configuration.
    #[default]
    Address,
    /// SRV: names, ports, weights and priorities.
    Srv,
}

/// The program's own log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Log {
    /// What is logged: this level and those more severe.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
#[allow(missing_docs)] // the names say it
pub enum LogLevel {
    Off,
    Error,
    Warn,
    #[default]
    Info,
    Debug,
    Trace,
}

impl LogLevel {
    /// Every level, the quietest first.
    pub const ALL: [Self; 6] = [Self::Off, Self::Error, Self::Warn, Self::Info, Self::Debug, Self::Trace];

    /// The level as the file says it; `tracing`'s filters take the same words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        }
    }
}

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}
