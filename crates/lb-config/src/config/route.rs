//! Which pool a request goes to, and what becomes of it on the way.

use super::{Compression, ErrorPage, Gate, Limiting, Mirror, RetryPolicy};
use lb_route::Template;
use lb_types::FixedResponse;
use std::time::Duration;

/// One route. All but its name, conditions, action, gate and pages is for requests that go to a pool.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Route {
    /// Its name, or its place in the list, from 1. Unique.
    pub name: String,
    /// What a request has to be like. They were looked at: `lb_route::Router` takes them.
    pub conditions: lb_route::Route,
    /// Where requests go.
    pub action: RouteAction,
    /// The path that the backend gets. `None`: the normalised one that was judged.
    pub rewrite: Option<PathRewrite>,
    /// What is changed in the headers to the backend.
    pub request_headers: HeaderChanges,
    /// What is changed in the headers to the client.
    pub response_headers: HeaderChanges,
    /// The whole exchange, retries included. `None`: as the pool says.
    pub total_timeout: Option<Duration>,
    /// How many requests may come in, beside the pool's own limit. `None`: any number.
    pub rate_limit: Option<Limiting>,
    /// A level of the pool's queue. `None`: the usual one.
    pub priority: Option<String>,
    /// The most bytes of a request's body, if the listener takes as many. `None`: as the listener says.
    pub max_body: Option<u64>,
    /// Whether the backend is told pool and id, and the client who has answered.
    pub service_headers: bool,
    /// Responses are compressed. `None`: they go on as they come.
    pub compression: Option<Compression>,
    /// Copies go to another pool. `None`: nothing is copied.
    pub mirror: Option<Mirror>,
    /// Who may come in.
    pub gate: Gate,
    /// Pages in place of the proxy's own errors, before those of the whole file.
    pub error_pages: Vec<ErrorPage>,
    /// How requests are tried again. `None`: as the pool says.
    pub retry: Option<RetryPolicy>,
    /// How long making a connection may take. `None`: as the pool says.
    pub connection_timeout: Option<Duration>,
    /// How long a backend may take to the head of its response. `None`: as the pool says.
    pub first_byte_timeout: Option<Duration>,
}

/// Where a route's requests go.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum RouteAction {
    /// To the pool of this name.
    Pool(String),
    /// To a target of the split of this name.
    Split(String),
    /// Nowhere: the client is sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The `Location`.
        location: Template,
    },
    /// Nowhere: this is the answer.
    Respond(FixedResponse),
}

/// How a path is changed. It was looked at: `lb_route::Rewrite` takes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathRewrite {
    /// Without the route's prefix.
    StripPrefix,
    /// With this in the prefix's place.
    ReplacePrefix(String),
    /// With `with` in the place of each match of `regex`.
    Regex {
        /// The expression.
        regex: String,
        /// Its replacement.
        with: String,
    },
    /// Another, with the route's parameters.
    Path(String),
}

/// Changes of headers. The names are headers', and none is the proxy's own.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct HeaderChanges {
    /// These have this value alone.
    pub set: Vec<(String, Template)>,
    /// These have this value, too.
    pub add: Vec<(String, Template)>,
    /// These go.
    pub remove: Vec<String>,
}
