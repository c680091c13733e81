//! [`Router`]: all routes, and the first that takes a request.
//!
//! Exact hosts, wildcards and "any host" have a trie each. A request asks those that fit its host; each may lower the index
//! found so far, and none is asked for what lies above it. So the first route in order wins, wherever it was found.
//!
//! | | costs |
//! |---|---|
//! | a look-up | one hash of the host, one for each label with wildcards, then the walks: O(segments); no allocation if the path is normal (named groups of an expression take one) |
//! | routes with the same path and host, told apart by exact headers or query parameters | one more hash for each name and value |
//! | routes with the same path and host, told apart by methods, networks, `present`, `absent`, regular expressions | each in order until one fits: O(routes), the worst case |
//! | regular expressions on the path | each that begins with the same literal segments, in order, linear in the path |
//!
//! A router is immutable; build another and exchange them.

use crate::candidates::{NONE, Values};
use crate::error::RouteError;
use crate::found::Match;
use crate::host::{HOST_BYTES_MAX, HostPattern};
use crate::path::{PathError, normalise};
use crate::regexes::Regexes;
use crate::route::{Compiled, Route, method_bit};
use crate::trie::{PathWay, Trie};
use crate::values::Place;
use foldhash::fast::FixedState;
use lb_types::{RequestInfo, SettingsError};
use std::collections::HashMap;

/// The most routes that a router may have.
pub const ROUTES_MAX: usize = 100_000;
/// The most hosts that all routes together may name: each is a place in a trie.
pub const HOSTS_MAX: usize = 1_000_000;

/// Routes in their order. See the module.
///
/// ```
/// use lb_route::{Route, Router};
/// use lb_types::RequestInfo;
///
/// let router = Router::build(&[
///     Route::new().host("api.example.com").path("/users/{id}").method("GET"),
///     Route::new().path("/"),
/// ])?;
/// let request = RequestInfo { host: "API.example.com", path: "/a/../users/7/mail", ..RequestInfo::default() };
/// let found = router.find(&request)?.expect("the second takes everything");
/// assert_eq!(found.index(), 0);
/// assert_eq!(found.path(), "/users/7/mail"); // what is forwarded
/// assert_eq!((found.prefix(), found.rest()), ("/users/7", "/mail"));
/// assert_eq!(found.parameter("id"), Some("7"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Router {
    pub(crate) routes: Box<[Compiled]>,
    any: Trie,
    exact: Hosts,
    /// By what follows `*.`.
    below: Hosts,
    /// The most labels of a wildcard's name: longer ends of a host need no look.
    below_labels: usize,
}

type Hosts = HashMap<Box<str>, Trie, FixedState>;

impl Router {
    /// Takes the routes in their order. The index of a [`Match`] is a place in this list.
    ///
    /// # Errors
    /// [`RouteError`]: the first route that cannot be used as it is written, or that is one too many.
    pub fn build(routes: &[Route]) -> Result<Self, RouteError> {
        let mut regexes = Regexes::default();
        let mut hosts = 0;
        let mut compiled = Vec::with_capacity(routes.len().min(ROUTES_MAX));
        for (index, route) in routes.iter().enumerate() {
            let error = |error| RouteError { route: index, error };
            hosts += route.hosts.len();
            if index == ROUTES_MAX || hosts > HOSTS_MAX {
                let must = format!("is more than {ROUTES_MAX} routes or {HOSTS_MAX} hosts");
                return Err(error(SettingsError::new("hosts", &route.hosts, must)));
            }
            compiled.push(Compiled::new(route, &mut regexes).map_err(error)?);
        }
        Ok(Self::index(compiled.into()))
    }

    fn index(routes: Box<[Compiled]>) -> Self {
        let mut any = Trie::new();
        let (mut exact, mut below) = (Hosts::default(), Hosts::default());
        for (index, route) in (0..NONE).zip(&routes) {
            for (at, host) in route.hosts.iter().enumerate() {
                if route.hosts[..at].contains(host) {
                    continue; // written twice
                }
                let trie = match host {
                    HostPattern::Any => &mut any,
                    HostPattern::Exact(name) => exact.entry(name.clone()).or_insert_with(Trie::new),
                    HostPattern::Below(name) => below.entry(name.clone()).or_insert_with(Trie::new),
                };
                trie.insert(index, &route.pattern);
            }
        }
        for trie in exact.values_mut().chain(below.values_mut()).chain([&mut any]) {
            trie.finish(|index| &routes[index as usize].conditions);
        }
        let below_labels = below.keys().map(|name| name.split('.').count()).max().unwrap_or(0);
        Self { routes, any, exact, below, below_labels }
    }

    /// How many routes it has.
    pub fn len(&self) -> usize {
        self.routes.len()
    }

    /// Has it none? Then it finds none.
    pub fn is_empty(&self) -> bool {
        self.routes.is_empty()
    }

    /// The names of a route's parameters, in their order; none if there is no such route.
    pub fn parameters(&self, index: usize) -> &[Box<str>] {
        self.routes.get(index).map_or(&[], |route| &route.pattern.names)
    }

    /// The first route that takes this request, or `None`. The request's path is normalised first.
    ///
    /// # Errors
    /// [`PathError`]: the path is none that anybody may judge; answer 400, whatever routes there are.
    pub fn find<'a>(&'a self, request: &RequestInfo<'a>) -> Result<Option<Match<'a>>, PathError> {
        let path = normalise(request.path)?;
        let values = RequestValues(request);
        let method = method_bit(request);
        let mut best = NONE;
        let mut fits = |index: u32| self.routes[index as usize].holds(request, method, &path);
        self.each_trie(request.host, |trie| {
            if *path == *"*" {
                trie.first_of_asterisk(&values, &mut best, &mut fits);
            } else {
                trie.first(PathWay::new(&path), &values, &mut best, &mut fits);
            }
        });
        let Some(route) = self.routes.get(best as usize) else { return Ok(None) };
        let captured = route.pattern.capture(&path);
        Ok(Some(Match::new(best as usize, path, &route.pattern.names, captured)))
    }

    /// The tries whose hosts have this one, the closest first.
    fn each_trie<'a>(&'a self, host: &str, mut see: impl FnMut(&'a Trie)) {
        let name = host.strip_suffix('.').unwrap_or(host);
        if name.len() <= HOST_BYTES_MAX && !(self.exact.is_empty() && self.below.is_empty()) {
            let mut lower = [0; HOST_BYTES_MAX];
            let name = match name.bytes().any(|b| b.is_ascii_uppercase()) {
                false => name,
                true => {
                    let lower = &mut lower[..name.len()];
                    lower.copy_from_slice(name.as_bytes());
                    lower.make_ascii_lowercase();
                    std::str::from_utf8(lower).unwrap_or_default()
                }
            };
            if let Some(trie) = self.exact.get(name) {
                see(trie);
            }
            self.each_wildcard(name, &mut see);
        }
        see(&self.any);
    }

    /// `name` is a host, in lower case.
    fn each_wildcard<'a>(&'a self, name: &str, see: &mut impl FnMut(&'a Trie)) {
        // A wildcard stands for a label at least, so the dot is not the first character.
        for (at, _) in name.rmatch_indices('.').take(self.below_labels).filter(|(at, _)| *at > 0) {
            if let Some(trie) = self.below.get(&name[at + 1..]) {
                see(trie);
            }
        }
    }

    /// The tries whose hosts have all of this pattern's.
    pub(crate) fn each_trie_over<'a>(&'a self, host: &HostPattern, mut see: impl FnMut(&'a Trie)) {
        match host {
            HostPattern::Any => see(&self.any),
            HostPattern::Exact(name) => self.each_trie(name, see),
            HostPattern::Below(name) => {
                if let Some(trie) = self.below.get(name) {
                    see(trie);
                }
                self.each_wildcard(name, &mut see);
                see(&self.any);
            }
        }
    }
}

struct RequestValues<'r, 'a>(&'r RequestInfo<'a>);

impl Values for RequestValues<'_, '_> {
    fn each(&self, place: &Place, see: &mut dyn FnMut(&[u8])) {
        place.each(self.0, see);
    }
}
