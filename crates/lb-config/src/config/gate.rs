//! What stands before a route, pages in place of errors, and requests' ids.

use lb_admission::password::PasswordHash;
use lb_route::IpNet;
use std::time::Duration;

/// What stands before a route. `Default`: nothing.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct Gate {
    /// Whose addresses may come in. None: everybody's.
    pub allow: Vec<IpNet>,
    /// Whose may not, even if they are allowed.
    pub deny: Vec<IpNet>,
    /// Names and passwords. `None`: nobody is asked for them.
    pub basic_auth: Option<BasicAuth>,
    /// A server that is asked. `None`: none is.
    pub forward_auth: Option<ForwardAuth>,
    /// What pages of other origins may do. `None`: as the backend says.
    pub cors: Option<Cors>,
}

/// Names and passwords.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct BasicAuth {
    /// One at least; each name once.
    pub users: Vec<(String, PasswordHash)>,
    /// What the browser shows, default `edge-lb`.
    pub realm: String,
    /// The header in which the backend gets the user's name.
    pub forward_user: Option<String>,
    /// Whether the backend gets the credentials, default not.
    pub forward_credentials: bool,
}

/// A server that is asked whether a request may come in.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ForwardAuth {
    /// Of `http`, without a query.
    pub url: String,
    /// How long the answer may take, default 5 s.
    pub timeout: Duration,
    /// The request's headers that it gets. `None`: all but those of the body and of conditions.
    pub request_headers: Option<Vec<String>>,
    /// Headers of its answer that the backend gets.
    pub response_headers: Vec<String>,
}

/// What pages of other origins may do.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Cors {
    /// One at least; as [`lb_route::OriginPattern`] takes them, or `*`.
    pub origins: Vec<String>,
    /// With which methods.
    pub methods: Vec<String>,
    /// Which request headers they may set. `*`: any.
    pub headers: Vec<String>,
    /// Which response headers they may read, beside those that everybody may.
    pub expose_headers: Vec<String>,
    /// Whether credentials may go along; then no origin is `*`.
    pub credentials: bool,
    /// How long a browser may keep the answer to a preflight. `None`: as it likes.
    pub max_age: Option<Duration>,
}

/// A page in place of an error.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ErrorPage {
    /// `404`, `4xx` …
    pub status: String,
    /// Up to 1 MiB.
    pub body: Vec<u8>,
    /// Its type.
    pub content_type: String,
    /// Whether it takes the place of backends' responses, too.
    pub intercept: bool,
}

/// How requests get ids.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestId {
    /// A header's name.
    pub header: String,
    /// Whose ids are kept.
    pub trust: IdTrust,
}

impl Default for RequestId {
    fn default() -> Self {
        Self { header: "X-Request-Id".to_owned(), trust: IdTrust::default() }
    }
}

/// Whose ids of requests are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum IdTrust {
    /// Those of `trusted_proxies`.
    #[default]
    TrustedProxies,
    /// Everybody's.
    Always,
    /// Nobody's.
    Never,
}
