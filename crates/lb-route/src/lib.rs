//! Which route does this request take?
//!
//! The first in order whose conditions all hold: host, path, method, headers, query parameters, the client's network. No I/O, no HTTP
//! library: it sees a [`RequestInfo`](lb_types::RequestInfo). What a route leads to is the caller's: a [`Match`] says its index.
//!
//! Paths are judged in one spelling ([`normalise`]), and that spelling is what shall be forwarded, so that no server reads a path otherwise
//! than the router did. `docs/routing.md` says what is defined.
//!
//! ```
//! use lb_route::{PathError, Rewrite, Route, Router, Template, Values, ValueMatch};
//! use lb_types::RequestInfo;
//!
//! let router = Router::build(&[
//!     Route::new().path("/api/users").header("x-version", ValueMatch::exact("2")),
//!     Route::new().path("/api"),
//!     Route::new().path("/api/old"),
//! ])?;
//! let headers = [("X-Version", "2")];
//! let request = RequestInfo { path: "/api//users/%37", headers: &headers, ..RequestInfo::default() };
//! let found = router.find(&request)?.expect("the first takes it");
//! assert_eq!((found.index(), found.path()), (0, "/api/users/7"));
//!
//! // To the backend without the prefix, and with a header that says where it came from.
//! assert_eq!(Rewrite::strip_prefix().apply(&found)?, "/7");
//! let template = Template::parse("{method} {path}", router.parameters(0))?;
//! assert_eq!(template.expand(&Values::of(&request, &found)), "GET /api/users/7");
//!
//! // Nobody leaves the root, and the last route is never reached.
//! assert_eq!(router.find(&RequestInfo { path: "/api/../..", ..request }).err(), Some(PathError::AboveRoot));
//! assert_eq!(router.unreachable()[0].index, 2);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`path`] | [`normalise`]: the one spelling of a path, and [`PathError`] |
//! | [`route`] | [`Route`], [`PathMatch`], [`ValueMatch`]: what a user says |
//! | [`host`], [`pattern`], [`values`], [`regexes`] | what hosts, paths, headers and query parameters take; their bounds |
//! | [`router`] | [`Router`]: build, find |
//! | [`found`] | [`Match`]: the route, the path, its prefix and parameters |
//! | [`mod@unreachable`] | [`Unreachable`]: routes that no request gets to |
//! | [`rewrite`] | [`Rewrite`]: the path that the backend gets |
//! | [`template`] | [`Template`]: headers with variables |
//! | [`error`] | [`RouteError`]: which route is wrong, and where |

mod candidates;
mod clients;
pub mod error;
pub mod found;
pub mod host;
mod methods;
mod origin;
pub mod path;
pub mod pattern;
pub mod regexes;
mod replacement;
pub mod rewrite;
pub mod route;
pub mod router;
pub mod template;
mod trie;
pub mod unreachable;
pub mod values;

pub use error::RouteError;
pub use found::{Match, PARAMETERS_MAX};
pub use host::HOST_BYTES_MAX;
pub use ipnet::IpNet;
pub use lb_types::SettingsError;
pub use origin::OriginPattern;
pub use path::{PATH_BYTES_MAX, PathError, normalise};
pub use pattern::SEGMENTS_MAX;
pub use rewrite::Rewrite;
pub use route::{PathMatch, Route, ValueMatch};
pub use router::{ROUTES_MAX, Router};
pub use template::{Template, TemplateError, Values};
pub use unreachable::Unreachable;
