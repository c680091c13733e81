//! Which way a request goes: without routes to the one pool, at the cost of a branch; else as the first route says that fits.
//!
//! What is forwarded is the path that was judged, in its one spelling (`lb-route` says why), or what the route makes of it.

mod route;

pub(crate) use route::{Asked, OnAdmission, Route, Routed};

use crate::error::ProxyError;
use crate::gate::Passage;
use crate::gate::cors::preflight_method;
use crate::gateway::Routes;
use crate::mirror::Mirror;
use crate::proxy::Client;
use crate::request::{self, Headers};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::response::Parts;
use http::uri::PathAndQuery;
use http::{Request, Response, StatusCode, Uri};
use lb_geo::ClientAddress;
use lb_route::Match;
use lb_types::RequestInfo;
use route::Action;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The routes as one worker follows them.
pub(crate) struct Routing {
    routes: Arc<Routes>,
    ways: Box<[Route]>,
    /// How many requests each route had.
    requests: Arc<[AtomicU64]>,
    /// Some route answers preflights.
    has_cors: bool,
}

/// Where a request goes.
pub(crate) enum Way<'w> {
    /// To the service with this number.
    Service(usize, Option<Box<Routed<'w>>>),
    /// Nowhere: this is the answer.
    Answer(Box<(Parts, Bytes)>, Option<Box<Routed<'w>>>),
}

impl<'w> Way<'w> {
    /// What the route wants of it.
    #[inline]
    pub(crate) fn routed(&mut self) -> Option<&mut Routed<'w>> {
        match self {
            Self::Service(_, routed) | Self::Answer(_, routed) => routed.as_deref_mut(),
        }
    }
}

impl Routing {
    pub(crate) fn new(routes: Arc<Routes>) -> Self {
        let mut known = vec![];
        let each = routes.settings.iter().zip(&routes.mirrors);
        let ways: Box<[Route]> = each.map(|(s, mirror)| Route::new(s, mirror.as_ref(), &mut known)).collect();
        let requests = ways.iter().map(|_| AtomicU64::default()).collect();
        let has_cors = ways.iter().any(|way| way.gate.as_ref().is_some_and(|gate| gate.cors.is_some()));
        Self { routes, ways, requests, has_cors }
    }

    /// The routes' mirrors.
    pub(crate) fn mirrors(&self) -> impl Iterator<Item = &Arc<Mirror>> {
        self.routes.mirrors.iter().flatten()
    }

    /// This worker's counts of requests, by route.
    pub(crate) fn requests(&self) -> Arc<[AtomicU64]> {
        self.requests.clone()
    }

    /// The way of a request whose target and `Host` are sane. Its path becomes the one to forward.
    pub(crate) fn judge<B>(
        &self,
        request: &mut Request<B>,
        whose: Option<ClientAddress>,
        client: &Client,
        id: Option<&HeaderValue>,
    ) -> Result<Way<'_>, ProxyError> {
        let (way, path) = {
            let headers = Headers(request.headers());
            let info = request::info(request.method(), request.uri(), &headers, whose.map(|w| w.ip));
            let asked_about =
                if self.has_cors { preflight_method(request.method(), headers.0) } else { None };
            let found = match asked_about.and_then(|method| self.answers_preflight(&info, method)) {
                Some(found) => found,
                None => {
                    let found = self.routes.router.find(&info).map_err(ProxyError::Path)?;
                    found.ok_or(ProxyError::NoRoute)?
                }
            };
            let Some(route) = self.ways.get(found.index()) else { return Err(ProxyError::NoRoute) };
            if let Some(requests) = self.requests.get(found.index()) {
                requests.fetch_add(1, Relaxed);
            }
            let told;
            let scheme = if route.is_made() {
                told = client.scheme(headers.0, whose);
                &told
            } else {
                &client.forwarding.proto
            };
            let values = || route.values(&info, &found, headers.0, scheme, id);
            let routed = (!route.is_plain).then(|| {
                let values = values();
                let (request, response) = (route.request.expand(&values), route.response.expand(&values));
                let coding = route.compression.as_ref().and_then(|c| c.choose(headers.0));
                let asks = route.gate.as_ref().is_some_and(|gate| gate.asks());
                let target = asks.then(|| judged(found.path(), info.query));
                let passage = Passage::new(target);
                Box::new(Routed { route, coding, passage, request, response, sided: None })
            });
            let service = match &route.action {
                Action::Redirect(status, location) => {
                    let answer = redirect(*status, location.expand(&values()));
                    return Ok(Way::Answer(Box::new(answer), routed));
                }
                Action::Respond(response) => {
                    let answer = response.response(info.method == "HEAD");
                    return Ok(Way::Answer(Box::new(answer), routed));
                }
                Action::Service(service) => *service,
                // Chosen when it is let in: what a gate refuses is nobody's turn.
                Action::Split(_, _, services) => services[0],
            };
            let path = match &route.rewrite {
                Some(rewrite) => Some(rewrite.apply(&found).map_err(ProxyError::Path)?.into_owned()),
                None if found.path() == info.path => None,
                None => Some(found.into_path().into_owned()),
            };
            (Way::Service(service, routed), path)
        };
        if let Some(path) = path {
            set_path(request.uri_mut(), path)?;
        }
        Ok(way)
    }
}

impl Routing {
    /// The route of the request that a browser wants to make, if it answers preflights: whatever the methods of that route, its preflights
    /// need no route of their own.
    #[cold]
    fn answers_preflight<'a>(&'a self, info: &RequestInfo<'a>, method: &'a str) -> Option<Match<'a>> {
        let wanted = RequestInfo { method, ..*info };
        let found = self.routes.router.find(&wanted).ok()??;
        let gate = self.ways.get(found.index())?.gate.as_ref()?;
        gate.cors.is_some().then_some(found)
    }
}

/// Path and query as they were judged.
#[cold]
fn judged(path: &str, query: Option<&str>) -> Box<str> {
    match query {
        None => path.into(),
        Some(query) => format!("{path}?{query}").into(),
    }
}

/// Another path, the same query: in origin form.
fn set_path(uri: &mut Uri, mut path: String) -> Result<(), ProxyError> {
    if let Some(query) = uri.query() {
        path.push('?');
        path.push_str(query);
    }
    // A normalised path has the characters of one alone, and the query is as it came.
    let target = PathAndQuery::try_from(path).map_err(|_| ProxyError::BadRequest("the path is too long"))?;
    *uri = Uri::from(target);
    Ok(())
}

fn redirect(status: StatusCode, mut location: String) -> (Parts, Bytes) {
    if location.ends_with('?') {
        location.pop();
    }
    let (mut parts, ()) = Response::new(()).into_parts();
    parts.status = status;
    parts.headers.insert(header::CONTENT_LENGTH, HeaderValue::from_static("0"));
    // A template's text has no controls.
    if let Ok(location) = HeaderValue::from_maybe_shared(Bytes::from(location)) {
        parts.headers.insert(header::LOCATION, location);
    }
    (parts, Bytes::new())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gateway::{Gateway, RouteAction, RouteSettings};
    use crate::proxy::ClientLimits;
    use crate::rules::HeaderRules;
    use crate::settings::ProxySettings;
    use http::{HeaderMap, HeaderName};
    use lb_balancer::LoadBalancer;
    use lb_route::{Rewrite, Template};
    use lb_types::{Backend, FixedResponse};
    use std::time::Duration;

    fn pool(name: &str) -> (LoadBalancer, ProxySettings) {
        let backend = Backend::new("a", "http://127.0.0.1:1".parse().unwrap());
        (LoadBalancer::builder().name(name).backend(backend).build().unwrap(), ProxySettings::default())
    }

    fn to(pool: &str) -> RouteSettings {
        RouteSettings::new(pool, RouteAction::Pool(pool.into()))
    }

    fn gateway(routes: Vec<(lb_route::Route, RouteSettings)>) -> Gateway {
        let (conditions, settings): (Vec<_>, Vec<_>) = routes.into_iter().unzip();
        let router = lb_route::Router::build(&conditions).unwrap();
        Gateway::routed(vec![pool("one"), pool("two")], router, settings).unwrap()
    }

    /// Where it goes and with which target: a service's number and its target, or a status and `Location`.
    fn goes(gateway: &Gateway, target: &str) -> String {
        let routing = Routing::new(gateway.routes.clone().unwrap());
        let mut request = Request::get(target).header("host", "h.example:80").body(()).unwrap();
        let limits = ClientLimits::timeouts(Duration::ZERO, Duration::ZERO);
        let client = Client::new("10.0.0.7".parse().ok(), None, limits.into());
        let whose = client.address(request.headers());
        match routing.judge(&mut request, whose, &client, None) {
            Ok(Way::Service(service, _)) => format!("{service} {}", request.uri()),
            Ok(Way::Answer(answer, _)) => {
                let to = answer.0.headers.get(header::LOCATION).map_or("", |to| to.to_str().unwrap());
                format!("{} {to}", answer.0.status.as_u16())
            }
            Err(error) => format!("{error}"),
        }
    }

    #[test]
    fn the_path_that_was_judged_goes_on() {
        let strip = RouteSettings { rewrite: Some(Rewrite::strip_prefix()), ..to("two") };
        let g = gateway(vec![
            (lb_route::Route::new().path("/api"), strip),
            (lb_route::Route::new().path("/public"), to("one")),
        ]);
        for (target, way) in [
            ("/public/x?a=/../b", "0 /public/x?a=/../b"),
            ("/public//x/%2e/y?", "0 /public/x/y?"),
            ("/public/%2E%2e/api/7?q", "1 /7?q"),
            ("/public/a%2fb", "0 /public/a%2Fb"),
            ("http://h.example/public/./x", "0 /public/x"),
            ("/api", "1 /"),
            ("/other", "Service not found"),
            ("/public/../..", "bad request: the path leads above the root"),
            ("/public/..%2fapi", "bad request: the path has a hidden dot segment"),
        ] {
            assert_eq!(goes(&g, target), way, "{target}");
        }
    }

    #[test]
    fn some_are_answered_here() {
        let location = Template::parse("https://{host}{path}?{query}", &[]).unwrap();
        let redirect = RouteAction::Redirect { status: 308, location };
        let respond = RouteAction::Respond(FixedResponse::new(410, "gone"));
        let g = gateway(vec![
            (lb_route::Route::new().path("/old"), RouteSettings::new("old", redirect)),
            (lb_route::Route::new(), RouteSettings::new("rest", respond)),
        ]);
        assert_eq!(goes(&g, "/old//x?a=1"), "308 https://h.example/old/x?a=1");
        assert_eq!(goes(&g, "/old"), "308 https://h.example/old");
        assert_eq!(goes(&g, "/new"), "410 ");
    }

    #[test]
    fn who_asks_for_nothing_is_not_held_up() {
        let set = |name: &'static str, text: &str| {
            vec![(HeaderName::from_static(name), Template::parse(text, &["id".into()]).unwrap())]
        };
        let mut rules = to("one");
        rules.request_headers =
            HeaderRules { set: set("x-id", "{param.id} {scheme}"), ..HeaderRules::default() };
        rules.response_headers = HeaderRules { add: set("x-route", "{route}"), ..HeaderRules::default() };
        let g = gateway(vec![
            (lb_route::Route::new().path("/u/{id}"), rules),
            (lb_route::Route::new(), to("two")),
        ]);
        let routing = Routing::new(g.routes.clone().unwrap());
        let limits = ClientLimits::timeouts(Duration::ZERO, Duration::ZERO);
        let client = Client::new(None, None, limits.into());
        let mut plain = Request::get("/x").body(()).unwrap();
        assert!(matches!(routing.judge(&mut plain, None, &client, None), Ok(Way::Service(1, None))));
        let mut request = Request::get("/u/7").body(()).unwrap();
        let Ok(Way::Service(0, Some(routed))) = routing.judge(&mut request, None, &client, None) else {
            panic!()
        };
        let (mut backend, mut seen) = (HeaderMap::new(), HeaderMap::new());
        routed.to_backend(&mut backend);
        routed.to_client(&mut seen);
        assert_eq!(
            (&backend["x-id"], &seen["x-route"]),
            (&"7 http".parse().unwrap(), &"one".parse().unwrap())
        );
        assert_eq!(routing.requests().iter().map(|n| n.load(Relaxed)).collect::<Vec<_>>(), [1, 1]);
    }

    #[test]
    fn what_does_not_fit_together_is_told() {
        let router = |n: usize| lb_route::Router::build(&vec![lb_route::Route::new(); n]).unwrap();
        let field = |pools, n, routes| Gateway::routed(pools, router(n), routes).unwrap_err().field;
        assert_eq!(field(vec![], 0, vec![]), "pools");
        assert_eq!(field(vec![pool("a"), pool("a")], 0, vec![]), "pools");
        assert_eq!(field(vec![pool("a")], 2, vec![to("a")]), "routes");
        assert_eq!(field(vec![pool("a")], 1, vec![to("b")]), "pool");
        let location = Template::parse("/", &[]).unwrap();
        let wrong = RouteSettings::new("r", RouteAction::Redirect { status: 304, location });
        assert_eq!(field(vec![pool("a")], 1, vec![wrong]), "status");
        let wrong = RouteSettings::new("r", RouteAction::Respond(FixedResponse::new(99, "")));
        assert_eq!(field(vec![pool("a")], 1, vec![wrong]), "status");
        let rules = HeaderRules { remove: vec![header::CONNECTION], ..HeaderRules::default() };
        let wrong = RouteSettings { request_headers: rules, ..to("a") };
        assert_eq!(field(vec![pool("a")], 1, vec![wrong]), "remove");
    }
}
