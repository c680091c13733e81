//! What a user says of one route: its conditions, all of which have to hold.

use crate::clients::Clients;
use crate::host::{self, HostPattern};
use crate::methods::{self, Methods};
use crate::pattern::{Kind, Pattern};
use crate::regexes::Regexes;
use crate::values::{Condition, Place};
use ipnet::IpNet;
use lb_types::{RequestInfo, SettingsError};

/// The most entries that any list of one route may have.
pub const CONDITIONS_MAX: usize = 1_024;

/// Which paths a route is for; see [`pattern`](crate::pattern).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum PathMatch {
    /// Every path, and the `*` of `OPTIONS *`.
    #[default]
    Any,
    /// `path_exact`: this path; or `*`.
    Exact(String),
    /// `path`: these segments and whatever follows.
    Prefix(String),
    /// `path_regex`: the whole path matches.
    Regex(String),
}

impl PathMatch {
    /// `path_exact`.
    pub fn exact(path: impl Into<String>) -> Self {
        Self::Exact(path.into())
    }

    /// `path`.
    pub fn prefix(path: impl Into<String>) -> Self {
        Self::Prefix(path.into())
    }

    /// `path_regex`.
    pub fn regex(pattern: impl Into<String>) -> Self {
        Self::Regex(pattern.into())
    }
}

/// What the value of a header or of a query parameter has to be. If there are several, one of them is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ValueMatch {
    /// This, byte by byte.
    Exact(String),
    /// Anything.
    Present,
    /// It is not there.
    Absent,
    /// This regular expression matches the whole.
    Regex(String),
}

impl ValueMatch {
    /// This value.
    pub fn exact(value: impl Into<String>) -> Self {
        Self::Exact(value.into())
    }

    /// What this regular expression matches.
    pub fn regex(pattern: impl Into<String>) -> Self {
        Self::Regex(pattern.into())
    }
}

/// The conditions of one route. `Default` has none: it takes every request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Route {
    /// One of these hosts (`api.example.com`, `*.example.com`, `*`), default any.
    pub hosts: Vec<String>,
    /// The path, default any.
    pub path: PathMatch,
    /// One of these methods, default any.
    pub methods: Vec<String>,
    /// Each of these headers.
    pub headers: Vec<(String, ValueMatch)>,
    /// Each of these query parameters.
    pub query: Vec<(String, ValueMatch)>,
    /// The client's address is in one of these networks, default any.
    pub clients: Vec<IpNet>,
}

impl Route {
    /// A route without conditions.
    pub fn new() -> Self {
        Self::default()
    }

    /// For this host, too.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.hosts.push(host.into());
        self
    }

    /// `path`: for these segments and whatever follows.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = PathMatch::prefix(path);
        self
    }

    /// `path_exact`: for this path.
    #[must_use]
    pub fn path_exact(mut self, path: impl Into<String>) -> Self {
        self.path = PathMatch::exact(path);
        self
    }

    /// `path_regex`: for paths that this matches as a whole.
    #[must_use]
    pub fn path_regex(mut self, pattern: impl Into<String>) -> Self {
        self.path = PathMatch::regex(pattern);
        self
    }

    /// For this method, too.
    #[must_use]
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.methods.push(method.into());
        self
    }

    /// Only with this header.
    #[must_use]
    pub fn header(mut self, name: impl Into<String>, value: ValueMatch) -> Self {
        self.headers.push((name.into(), value));
        self
    }

    /// Only with this query parameter.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: ValueMatch) -> Self {
        self.query.push((name.into(), value));
        self
    }

    /// For clients of this network, too.
    #[must_use]
    pub fn client(mut self, network: IpNet) -> Self {
        self.clients.push(network);
        self
    }
}

/// A route as requests meet it.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) hosts: Box<[HostPattern]>,
    pub(crate) pattern: Pattern,
    methods: Methods,
    /// On headers first.
    pub(crate) conditions: Box<[Condition]>,
    clients: Clients,
}

impl Compiled {
    pub(crate) fn new(route: &Route, regexes: &mut Regexes) -> Result<Self, SettingsError> {
        for (field, length) in [
            ("hosts", route.hosts.len()),
            ("methods", route.methods.len()),
            ("headers", route.headers.len()),
            ("query", route.query.len()),
            ("clients", route.clients.len()),
        ] {
            if length > CONDITIONS_MAX {
                let must = format!("must have at most {CONDITIONS_MAX} entries");
                return Err(SettingsError::new(field, length, must));
            }
        }
        let mut conditions = Vec::with_capacity(route.headers.len() + route.query.len());
        for (name, wanted) in &route.headers {
            conditions.push(Condition::new(Place::header(name)?, wanted, regexes)?);
        }
        for (name, wanted) in &route.query {
            conditions.push(Condition::new(Place::query(name)?, wanted, regexes)?);
        }
        Ok(Self {
            hosts: host::parse_all(&route.hosts)?,
            pattern: Pattern::parse(&route.path, regexes)?,
            methods: Methods::parse(&route.methods)?,
            conditions: conditions.into(),
            clients: Clients::new(&route.clients),
        })
    }

    /// Does the request, whose host and segments fit, fulfil the rest? Cheapest first.
    pub(crate) fn holds(&self, request: &RequestInfo<'_>, method_bit: u16, path: &str) -> bool {
        self.methods.allow(method_bit, request.method)
            && self.clients.allow(request.client_ip)
            && self.pattern.regex.as_ref().is_none_or(|regex| regex.is_match(path.as_bytes()))
            && self.conditions.iter().all(|condition| condition.holds(request))
    }

    /// Does this take every request of `other`'s, given that the trie says so of their segments? May say no where it would.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let hosts = || other.hosts.iter().all(|host| self.hosts.iter().any(|own| own.covers(host)));
        let conditions = || {
            self.conditions.iter().all(|own| other.conditions.iter().any(|theirs| own.follows_from(theirs)))
        };
        self.methods.covers(&other.methods)
            && self.clients.covers(&other.clients)
            && self.path_covers(other)
            && conditions()
            && hosts()
    }

    fn path_covers(&self, other: &Self) -> bool {
        if other.pattern.kind == Kind::Any {
            return self.pattern.kind == Kind::Any;
        }
        let Some(regex) = &self.pattern.regex else { return true };
        other.pattern.regex.as_ref() == Some(regex)
            || other.pattern.as_literal().is_some_and(|path| regex.is_match(path.as_bytes()))
    }
}

/// The bit of a request's method, for [`Compiled::holds`].
pub(crate) fn method_bit(request: &RequestInfo<'_>) -> u16 {
    methods::bit(request.method)
}
