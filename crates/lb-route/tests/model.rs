//! The router against a list of closures' worth of naive code: each route asked in turn, each condition read off its setting.

use lb_route::{IpNet, PathMatch, Route, Router, Unreachable, ValueMatch, normalise};
use lb_types::{HeaderSource, RequestInfo};
use proptest::prelude::*;
use std::net::IpAddr;

/// A request that owns what it says.
#[derive(Clone, Debug)]
struct Request {
    client_ip: Option<IpAddr>,
    method: &'static str,
    host: &'static str,
    path: String,
    query: Vec<(&'static str, &'static str)>,
    headers: Vec<(&'static str, &'static str)>,
}

impl HeaderSource for Request {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers[..].header(name)
    }

    fn each<'a>(&'a self, name: &str, see: &mut dyn FnMut(&'a [u8])) {
        self.headers[..].each(name, see);
    }
}

fn host_fits(pattern: &str, host: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some("") => true,
        Some(end) => host.len() > end.len() && host.ends_with(end),
        None => pattern == host,
    }
}

/// The parameters, if the segments fit; `exact`: to the last.
fn segments_fit(pattern: &str, path: &str, exact: bool) -> Option<Vec<(String, String)>> {
    let mut parameters = Vec::new();
    let mut rest: Vec<&str> = path[1..].split('/').collect();
    let pattern = if exact { pattern } else { pattern.strip_suffix('/').unwrap_or(pattern) };
    let wanted: Vec<&str> = if pattern.is_empty() { vec![] } else { pattern[1..].split('/').collect() };
    for segment in wanted {
        if let Some(name) = segment.strip_prefix("{*") {
            let tail = rest.join("/");
            parameters.push((name.trim_end_matches('}').to_owned(), tail.clone()));
            return (!tail.is_empty()).then_some(parameters);
        }
        if rest.is_empty() {
            return None;
        }
        let found = rest.remove(0);
        if let Some(name) = segment.strip_prefix('{') {
            if found.is_empty() {
                return None;
            }
            parameters.push((name.trim_end_matches('}').to_owned(), found.to_owned()));
        } else if segment != found {
            return None;
        }
    }
    (!exact || rest.is_empty()).then_some(parameters)
}

fn regex_fits(pattern: &str, text: &str) -> bool {
    regex::Regex::new(&format!(r"\A(?:{pattern})\z")).unwrap().is_match(text)
}

fn value_fits(wanted: &ValueMatch, values: &[&str]) -> bool {
    match wanted {
        ValueMatch::Exact(value) => values.contains(&&**value),
        ValueMatch::Present => !values.is_empty(),
        ValueMatch::Absent => values.is_empty(),
        ValueMatch::Regex(pattern) => values.iter().any(|value| regex_fits(pattern, value)),
        _ => unreachable!("all that there are"),
    }
}

/// The parameters, if the route takes the request, whose path is normal.
fn fits(route: &Route, request: &Request, path: &str) -> Option<Vec<(String, String)>> {
    let values = |of: &[(&'static str, &'static str)], name: &str| -> Vec<&'static str> {
        of.iter().filter(|(known, _)| *known == name).map(|(_, value)| *value).collect()
    };
    let others = (route.hosts.is_empty() || route.hosts.iter().any(|h| host_fits(h, request.host)))
        && (route.methods.is_empty() || route.methods.iter().any(|m| m == request.method))
        && (route.clients.is_empty()
            || request.client_ip.is_some_and(|ip| route.clients.iter().any(|net| net.contains(&ip))))
        && route.headers.iter().all(|(name, wanted)| value_fits(wanted, &values(&request.headers, name)))
        && route.query.iter().all(|(name, wanted)| value_fits(wanted, &values(&request.query, name)));
    if !others {
        return None;
    }
    match &route.path {
        PathMatch::Any => Some(vec![]),
        PathMatch::Exact(text) if text == "*" || path == "*" => (text == path).then(Vec::new),
        _ if path == "*" => None,
        PathMatch::Exact(text) => segments_fit(text, path, true),
        PathMatch::Prefix(text) => segments_fit(text, path, false),
        PathMatch::Regex(pattern) => regex_fits(pattern, path).then(Vec::new),
        _ => unreachable!("all that there are"),
    }
}

fn pick<T: Clone + std::fmt::Debug + 'static>(of: &[T]) -> impl Strategy<Value = T> + use<T> {
    prop::sample::select(of.to_vec())
}

/// Two or three of everything: then most routes have something to do with most requests.
fn path_match() -> impl Strategy<Value = PathMatch> {
    let segments = || {
        prop::collection::vec(pick(&["a", "b", "c", "{x}", "%2F"]), 0..4).prop_map(|list| {
            list.iter()
                .enumerate()
                .map(|(i, s)| match *s {
                    "{x}" => format!("/{{x{i}}}"),
                    text => format!("/{text}"),
                })
                .collect::<String>()
        })
    };
    let end = || pick(&["", "/", "/{*rest}"]);
    prop_oneof![
        2 => Just(PathMatch::Any),
        1 => Just(PathMatch::exact("*")),
        6 => (segments(), end()).prop_map(|(path, end)| PathMatch::exact(if path.is_empty() && end.is_empty() {
            "/".to_owned()
        } else {
            format!("{path}{end}")
        })),
        6 => (segments(), end()).prop_map(|(path, end)| PathMatch::prefix(if path.is_empty() && end.is_empty() {
            "/".to_owned()
        } else {
            format!("{path}{end}")
        })),
        3 => pick(&["/a/.*", "/a/b/?", "/[ab]/c", "/a/b|/b/a", ".*", "/a/(b/)*c", "/b/c?", "/a/b", "/a/+b/"]).prop_map(PathMatch::regex),
    ]
}

fn value_match() -> impl Strategy<Value = ValueMatch> {
    prop_oneof![
        6 => pick(&["1", "2", "3"]).prop_map(ValueMatch::exact),
        1 => Just(ValueMatch::Present),
        1 => Just(ValueMatch::Absent),
        1 => pick(&["[12]", "1|3"]).prop_map(ValueMatch::regex),
    ]
}

/// Often none.
fn some<T: Clone + std::fmt::Debug + 'static>(
    of: impl Strategy<Value = T> + 'static,
    most: usize,
) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![2 => Just(Vec::new()), 1 => prop::collection::vec(of, 0..=most)]
}

const HOSTS: [&str; 6] = ["a.x", "b.x", "c.a.x", "x", "*.x", "*.a.x"];
const NETS: [&str; 4] = ["10.0.0.0/8", "10.1.0.0/16", "10.1.2.3/32", "2001:db8::/32"];

fn route() -> impl Strategy<Value = Route> {
    let condition = || (pick(&["p", "q"]).prop_map(str::to_owned), value_match());
    (
        some(pick(&HOSTS).prop_map(str::to_owned), 2),
        path_match(),
        some(pick(&["GET", "POST", "XYZ"]).prop_map(str::to_owned), 2),
        some(condition(), 2),
        some(condition(), 2),
        some(pick(&NETS).prop_map(|net| net.parse::<IpNet>().unwrap()), 2),
    )
        .prop_map(|(hosts, path, methods, headers, query, clients)| {
            let mut route = Route::new();
            (route.hosts, route.path, route.methods) = (hosts, path, methods);
            (route.headers, route.query, route.clients) = (headers, query, clients);
            route
        })
}

fn request() -> impl Strategy<Value = Request> {
    let pairs = || prop::collection::vec((pick(&["p", "q", "r"]), pick(&["1", "2", "3", ""])), 0..4);
    let path = prop_oneof![
        1 => Just("*".to_owned()),
        12 => prop::collection::vec(pick(&["/a", "/b", "/c", "/", "/%2f", "/d", "/.", "/%61"]), 1..6).prop_map(|list| list.concat()),
    ];
    (
        pick(&[
            None,
            Some("10.1.2.3"),
            Some("10.1.9.9"),
            Some("10.9.9.9"),
            Some("2001:db8::1"),
            Some("192.0.2.1"),
        ]),
        pick(&["GET", "POST", "XYZ", "PUT"]),
        pick(&["a.x", "b.x", "c.a.x", "x", "ax", "y", ""]),
        path,
        pairs(),
        pairs(),
    )
        .prop_map(|(ip, method, host, path, query, headers)| Request {
            client_ip: ip.map(|ip: &str| ip.parse().unwrap()),
            method,
            host,
            path,
            query,
            headers,
        })
}

fn check(routes: &[Route], requests: &[Request]) -> Result<(), TestCaseError> {
    let router = Router::build(routes).map_err(|e| TestCaseError::fail(e.to_string()))?;
    let unreachable = router.unreachable();
    for Unreachable { index, by } in &unreachable {
        prop_assert!(by < index);
    }
    for request in requests {
        let query: Vec<String> =
            request.query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let query = query.join("&");
        let info = RequestInfo {
            client_ip: request.client_ip,
            method: request.method,
            host: request.host,
            path: &request.path,
            query: Some(&query),
            headers: request,
        };
        let path = normalise(&request.path).unwrap();
        let naive = routes.iter().map(|route| fits(route, request, &path)).enumerate();
        let fitting: Vec<_> = naive.filter_map(|(index, found)| Some((index, found?))).collect();
        let found = router.find(&info).unwrap();
        let parameters = |found: &lb_route::Match<'_>| {
            found.parameters().map(|(n, v)| (n.to_owned(), v.to_owned())).collect::<Vec<_>>()
        };
        let found = found.as_ref().map(|found| (found.index(), parameters(found)));
        prop_assert_eq!(found.as_ref(), fitting.first(), "{:?}", request);
        // Whoever is hidden takes nothing that the route before it does not take.
        for Unreachable { index, by } in &unreachable {
            let takes = |wanted: usize| fitting.iter().any(|(index, _)| *index == wanted);
            prop_assert!(!takes(*index) || takes(*by), "{index} by {by}: {request:?}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn the_first_that_fits_is_found(
        routes in prop::collection::vec(route(), 0..24),
        requests in prop::collection::vec(request(), 40),
    ) {
        check(&routes, &requests)?;
    }

    /// Lists that are long enough to be grouped by value.
    #[test]
    fn many_routes_of_one_path_are_asked_in_order(
        mut routes in prop::collection::vec(route(), 20..60),
        requests in prop::collection::vec(request(), 40),
    ) {
        for route in &mut routes {
            route.path = PathMatch::prefix("/a");
            route.hosts.clear();
        }
        check(&routes, &requests)?;
    }
}
