//! What the data plane is told. `Default` is the documented default.

use crate::agent::AgentHeader;
use crate::identity::RequestIds;
use crate::limit::RateLimiting;
use crate::pages::ErrorPages;
use crate::retry::RetryPolicy;
use crate::trust::TrustedPeers;
use crate::upstream::settings::PoolingSettings;
use http::HeaderName;
use lb_types::FixedResponse;
use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// Where clients connect.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddress {
    /// A TCP address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A unix domain socket; a stale socket file is replaced.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(a) => write!(f, "{a}"),
            Self::Unix(p) => write!(f, "unix:{}", p.display()),
        }
    }
}

impl FromStr for ListenAddress {
    type Err = String;

    /// `127.0.0.1:8080`, `[::1]:8080` or `unix:/run/edge-lb.sock`.
    fn from_str(s: &str) -> Result<Self, String> {
        match s.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => Ok(Self::Unix(path.into())),
            Some(_) => Err(format!("\"{s}\": a unix socket needs an absolute path")),
            None => s
                .parse()
                .map(Self::Tcp)
                .map_err(|_| format!("\"{s}\" is not an address such as 127.0.0.1:8080")),
        }
    }
}

/// One listener and the limits of its clients.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerSettings {
    /// Where.
    pub address: ListenAddress,
    /// How long a client may take from connecting, or from the first byte of a later request, to the end of the head; default 10 s.
    pub header_timeout: Duration,
    /// How long a client may send nothing of a body it owes, or take nothing of the response; default 60 s.
    pub body_timeout: Duration,
    /// How long a connection may stay without a request; default 75 s.
    pub idle_timeout: Duration,
    /// The most open connections over all workers; default 10 000. Beyond it nothing is accepted until one closes.
    pub max_connections: usize,
    /// The most headers of a request; default 100. Beyond it: 431.
    pub max_header_count: usize,
    /// The largest head of a request in bytes; default 64 KiB. Beyond it: 431.
    pub max_header_bytes: usize,
    /// The largest body of a request in bytes; default no limit. Beyond it: 413.
    pub max_body_bytes: Option<u64>,
    /// The least bytes a second of a request's body, over the time that the proxy waits for it; default no limit. Below it: 408.
    pub min_body_rate: Option<u64>,
    /// The least bytes a second that a client takes of a response, over the time that it takes none; default no limit. Below it the
    /// connection is closed.
    pub min_send_rate: Option<u64>,
    /// How long a client may be waited for beyond what the rates allow; default 5 s.
    pub rate_grace: Duration,
    /// The most open connections of one address (IPv6: of one /64), over all workers; default no limit. Beyond it new ones are closed at
    /// once; 0 counts as 1. Trusted proxies' are not counted.
    pub max_connections_per_ip: Option<u32>,
}

impl ListenerSettings {
    /// A listener with the defaults.
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

/// How requests are carried to the backends.
#[derive(Clone, Debug)]
pub struct ProxySettings {
    /// How long making a connection may take; default 30 s.
    pub connect_timeout: Duration,
    /// How long a backend may take from the last byte of the request to the head of its response; default 60 s.
    pub first_byte_timeout: Duration,
    /// How long a backend may be silent within a response body; default 60 s.
    pub idle_timeout: Duration,
    /// How long the whole exchange may take, retries included; default no limit.
    pub total_timeout: Option<Duration>,
    /// Whether and when a request is sent again, to another backend where one is usable. Clones share its budget.
    pub retry: Arc<RetryPolicy>,
    /// What a client is told instead of 503 when no backend is usable and the breaker of at least one is open; default: 503 all the
    /// same. Check it with [`FixedResponse::validate`]: what cannot be sent is left out.
    pub fallback: Option<FixedResponse>,
    /// The request header in which trusted proxies name a request's priority, by the levels of the balancer's queue; default none, and all
    /// have the usual one. Strangers' is taken out.
    pub priority_header: Option<HeaderName>,
    /// What a client is told whose request cannot wait in the balancer's queue, or waited too long; default 503 "Service busy, please try
    /// again later". Without a `Retry-After` of its own, one that the queue estimates is added. (What is told when load is shed is the
    /// shedder's setting.)
    pub queue_response: Option<FixedResponse>,
    /// How many requests may come in; default any number.
    pub rate_limit: Option<Arc<RateLimiting>>,
    /// Whether a request for which no backend is usable, for another reason than its limit, waits for one; the balancer says how long.
    pub waits_for_usable: bool,
    /// Pass the client's `Host` on (`true`, the default), or send the backend's own authority.
    pub preserve_host: bool,
    /// The most idle connections kept per backend and worker, where `pooling.max_connections` says nothing; default 128.
    pub max_idle_per_backend: usize,
    /// How connections are kept. Check it with [`PoolingSettings::validate`].
    pub pooling: PoolingSettings,
    /// The response header in which trusted backends may announce weight, drain or maintenance; default none.
    pub agent_header: Option<AgentHeader>,
    /// How requests are carried to each region's backends, where the balancer is `geo-aware`: by [`LoadBalancer::leaves`]; a missing one is
    /// as these. Time-outs of a try, idle connections, `preserve_host` and the agent's header are a region's own; the rest is said here.
    ///
    /// [`LoadBalancer::leaves`]: lb_balancer::LoadBalancer::leaves
    pub leaves: Vec<ProxySettings>,
    /// The proxies in front of this one whose word is taken for whom a request is from; default nobody's. Who connects by a Unix domain
    /// socket is never trusted.
    pub trusted: Option<Arc<TrustedPeers>>,
    /// How requests get ids; default not at all. Of several pools the first's holds.
    pub request_ids: Option<Arc<RequestIds>>,
    /// Pages in place of the proxy's own errors; default none. Of several pools the first's hold.
    pub error_pages: Option<Arc<ErrorPages>>,
    /// Tell clients that are among the trusted proxies why they got an error (`X-Edge-Lb-Reason`); default not. Of several pools the first's holds.
    pub debug_headers: bool,
    /// Whether the backend gets `Forwarded` (RFC 7239) beside the `X-Forwarded-…` headers; default not.
    pub forwarded: bool,
}

impl Default for ProxySettings {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(30),
            first_byte_timeout: Duration::from_secs(60),
            idle_timeout: Duration::from_secs(60),
            total_timeout: None,
            retry: Arc::default(),
            fallback: None,
            priority_header: None,
            queue_response: None,
            rate_limit: None,
            waits_for_usable: false,
            preserve_host: true,
            max_idle_per_backend: 128,
            pooling: PoolingSettings::default(),
            agent_header: None,
            leaves: vec![],
            trusted: None,
            request_ids: None,
            error_pages: None,
            debug_headers: false,
            forwarded: false,
        }
    }
}
