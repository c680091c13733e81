//! Moves the bytes: an HTTP/1.1 reverse proxy over a [`LoadBalancer`](lb_balancer::LoadBalancer).
//!
//! Two ways in, one walk: a [`Server`] (worker threads with their own listeners, timers and upstream connections), and
//! [`Proxy`], a `tower` service (feature `tower`) that runs in anyone's tokio runtime.
//!
//! The walk of one request through the files:
//!
//! | file | what happens |
//! |---|---|
//! | `server/listener` → `server/worker` | a connection is accepted by one worker, where it stays |
//! | `server/socket`, `framing` | its bytes are read; ambiguous framing is poisoned before the parser sees it |
//! | `server/connection` | hyper parses the head and calls the service; deadlines of the client are kept here |
//! | `proxy`, `forward` | the request is checked, a backend is leased, the request sent, the response handed on |
//! | `gateway`, `routing`, `rules` | which of several pools a request goes to, and what its route changes |
//! | `gate/*` | who may come in by a route: addresses, passwords, another server's word; cross-origin requests |
//! | `identity`, `pages` | a request's id; pages in place of errors |
//! | `split` | which of several pools a request of a split goes to, and what came of it there |
//! | `service` | one pool: its balancer, settings and connections |
//! | `attempt`, `outgoing` | one try at one backend; what is kept to send the request again |
//! | `hedge` | a second try beside a slow first |
//! | `retry` | whether and when it is tried again |
//! | `trust` | whose request it is, if a trusted proxy passed it on |
//! | `headers` | hop-by-hop headers go, forwarding headers come |
//! | `door`, `limit` | who may come in now: rate limit, load shedding, the wait for a backend |
//! | `upstream/*`, `engine` | an idle connection is taken or one is made; one exchange on it |
//! | `upload`, `record`, `rate` | the request's body streams, as large and as slow as it may be; what may have to be sent again is kept |
//! | `fallback` | what is answered when breakers are open |
//! | `tower` | the proxy as a service; a layer that chooses a backend and leaves the rest to the service inside |
//! | `load_report`, `agent` | what the backend says of itself is heard and taken out |
//! | `compress/*` | the response is compressed on its way, where its route wants that |
//! | `mirror/*` | a copy of the request goes to another pool, where its route wants that |
//! | `body` | the response streams; the lease and the connection ride in it and are given back at its end |
//!
//! The HTTP/1 engine towards backends is behind `engine` (connect, exchange, body) and can be replaced without touching policy,
//! retries or accounting.

mod agent;
mod attempt;
mod body;
mod compress;
mod door;
mod engine;
mod error;
mod fallback;
mod forward;
mod framing;
mod gate;
mod gateway;
mod headers;
mod hedge;
mod identity;
mod limit;
mod load_report;
mod mirror;
mod outgoing;
mod pages;
mod proxy;
mod rate;
mod record;
mod request;
mod retry;
mod routing;
mod rules;
mod server;
mod service;
mod settings;
mod socket;
mod split;
mod stats;
mod timer;
#[cfg(feature = "tower")]
mod tower;
mod trust;
mod upload;
mod upstream;

#[cfg(feature = "tower")]
pub use self::tower::{
    balance::{BalanceFuture, LoadBalance},
    body::BalancedBody,
    chosen::ChosenBackend,
    layer::LoadBalanceLayer,
};
pub use agent::AgentHeader;
pub use body::{BodyError, ProxyBody};
pub use compress::{Coding, CompressionSettings};
pub use engine::RequestBody;
pub use error::{ProxyError, Side};
pub use gate::{
    AccessList, BasicAuth, BasicAuthSettings, Cors, CorsSettings, ForwardAuth, ForwardAuthSettings,
    GateSettings,
};
pub use gateway::{Gateway, RouteAction, RouteSettings};
pub use identity::{IdTrust, RequestIds};
pub use lb_admission::password::PasswordHash;
pub use lb_geo::TrustedProxies;
pub use limit::{RateLimitStats, RateLimiting};
pub use mirror::{MirrorResult, MirrorSettings, MirrorStats};
pub use pages::{ErrorPage, ErrorPages};
pub use proxy::{ClientAddr, Proxy};
pub use retry::{HedgeSettings, RetryOn, RetryPolicy, RetrySettings};
pub use rules::HeaderRules;
pub use server::{RunningServer, ServeError, Server, ShutdownReport};
pub use settings::{ListenAddress, ListenerSettings, ProxySettings};
pub use split::{Cohort, SideTotals, Splitting};
pub use stats::{ProxyStats, ProxyStatsSnapshot};
pub use trust::{ForwardingHeader, TrustedPeers};
pub use upstream::settings::PoolingSettings;
pub use upstream::shared::UpstreamConnections;
pub use upstream::sockets::CloseReason;
