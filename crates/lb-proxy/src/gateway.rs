//! What a proxy with several pools is told: the pools, and the routes to them.
//!
//! A [`Gateway`] without routes has one pool, which takes everything. With routes a request takes the first that fits (`lb-route` decides);
//! what fits none is answered 404. A pool is named by its balancer's name.

use crate::compress::CompressionSettings;
use crate::gate::GateSettings;
use crate::limit::RateLimiting;
use crate::mirror::{Mirror, MirrorSettings};
use crate::pages::ErrorPages;
use crate::retry::RetryPolicy;
use crate::rules::HeaderRules;
use crate::service::Target;
use crate::settings::ProxySettings;
use crate::split::Splitting;
use lb_admission::Priority;
use lb_balancer::LoadBalancer;
use lb_route::{Rewrite, Router, Template};
use lb_types::{FixedResponse, SettingsError};
use std::sync::Arc;
use std::time::Duration;

/// Where requests of a route go.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum RouteAction {
    /// To the pool whose balancer has this name.
    Pool(String),
    /// To one of the pools that this split has for targets.
    Split(Arc<Splitting>),
    /// Nowhere: the client is sent elsewhere.
    Redirect {
        /// 301, 302, 303, 307 or 308.
        status: u16,
        /// The `Location`. A `?` at its end goes, so that `{path}?{query}` is right without a query, too.
        location: Template,
    },
    /// Nowhere: this is the answer. Check it with [`FixedResponse::validate`].
    Respond(FixedResponse),
}

/// What becomes of the requests of one route. All but name, action, gate and pages is for requests that go to a pool.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RouteSettings {
    /// What `{route}` stands for.
    pub name: String,
    /// Where they go.
    pub action: RouteAction,
    /// The path that the backend gets; default the normalised one that was judged.
    pub rewrite: Option<Rewrite>,
    /// What is changed in the headers to the backend, after everything else.
    pub request_headers: HeaderRules,
    /// What is changed in the headers of every response to the client, the proxy's own included, after everything else.
    pub response_headers: HeaderRules,
    /// How long the whole exchange may take, instead of the pool's.
    pub total_timeout: Option<Duration>,
    /// How many requests may come in; asked before the pool's. Where both tell clients where they stand, this one does.
    pub rate_limit: Option<Arc<RateLimiting>>,
    /// The level in the pool's queue, where no trusted proxy names another.
    pub priority: Option<Priority>,
    /// The largest body of a request in bytes, if the listener's is not smaller. Beyond it: 413.
    pub max_body_bytes: Option<u64>,
    /// Tell the backend the pool and its own id (`X-Service`, `X-Backend`), and the client who has answered and how fast
    /// (`X-Backend-Server`, `X-Load-Balanced`, `X-Backend-Response-Time`).
    pub service_headers: bool,
    /// Compress responses. `None`: they go on as they come.
    pub compression: Option<CompressionSettings>,
    /// Send a copy of requests to another pool, too.
    pub mirror: Option<MirrorSettings>,
    /// Who may come in; asked before everything else.
    pub gate: GateSettings,
    /// Pages in place of the proxy's own errors, before those of [`ProxySettings::error_pages`].
    pub error_pages: Option<Arc<ErrorPages>>,
    /// Whether and when a request is sent again, instead of as the pool says. Its budget is its own.
    pub retry: Option<Arc<RetryPolicy>>,
    /// How long making a connection may take, instead of the pool's.
    pub connect_timeout: Option<Duration>,
    /// How long a backend may take to the head of its response, instead of the pool's.
    pub first_byte_timeout: Option<Duration>,
}

impl RouteSettings {
    /// A route that only does this.
    pub fn new(name: impl Into<String>, action: RouteAction) -> Self {
        Self {
            name: name.into(),
            action,
            rewrite: None,
            request_headers: HeaderRules::default(),
            response_headers: HeaderRules::default(),
            total_timeout: None,
            rate_limit: None,
            priority: None,
            max_body_bytes: None,
            service_headers: false,
            compression: None,
            mirror: None,
            gate: GateSettings::default(),
            error_pages: None,
            retry: None,
            connect_timeout: None,
            first_byte_timeout: None,
        }
    }
}

/// Pools, and the routes to them.
#[derive(Clone, Debug)]
pub struct Gateway {
    /// One at least.
    pub(crate) targets: Vec<Target>,
    pub(crate) routes: Option<Arc<Routes>>,
}

/// The routes, and the places in the list of pools of those that each goes to; a split's in the order of its targets.
#[derive(Debug)]
pub(crate) struct Routes {
    pub(crate) router: Router,
    pub(crate) settings: Vec<(RouteSettings, Box<[usize]>)>,
    /// The mirror of each, if it has one.
    pub(crate) mirrors: Vec<Option<Arc<Mirror>>>,
}

impl Gateway {
    /// One pool, which takes everything.
    pub fn new(balancer: LoadBalancer, settings: ProxySettings) -> Self {
        Self { targets: vec![(balancer, settings)], routes: None }
    }

    /// The routes, in their order; none: everything goes to the one pool.
    pub fn routes(&self) -> impl Iterator<Item = &RouteSettings> {
        self.routes.iter().flat_map(|routes| routes.settings.iter().map(|(route, _)| route))
    }

    /// The pools' balancers.
    pub fn balancers(&self) -> impl Iterator<Item = &LoadBalancer> {
        self.targets.iter().map(|(balancer, _)| balancer)
    }

    /// Pools and the routes to them: `routes` has an entry for each route of the router. The settings' `trusted` is the first pool's.
    ///
    /// # Errors
    /// No pool, two of one name, a route to none of them, more or fewer entries than the router has routes; a redirect's status or a
    /// response that cannot be sent; header rules that do not pass [`HeaderRules::validate`], compression or a mirror that do not pass theirs;
    /// a mirror to no pool, or to the route's own.
    pub fn routed(
        pools: Vec<(LoadBalancer, ProxySettings)>,
        router: Router,
        routes: Vec<RouteSettings>,
    ) -> Result<Self, SettingsError> {
        if pools.is_empty() {
            return Err(SettingsError::new("pools", 0, "must be one at least"));
        }
        let names: Vec<&str> = pools.iter().map(|(lb, _)| lb.name()).collect();
        if let Some(i) = (1..names.len()).find(|&i| names[..i].contains(&names[i])) {
            return Err(SettingsError::new("pools", names[i], "is the name of two"));
        }
        if router.len() != routes.len() {
            return Err(SettingsError::new("routes", routes.len(), format!("must be {}", router.len())));
        }
        let mut settings = Vec::with_capacity(routes.len());
        let mut mirrors = Vec::with_capacity(routes.len());
        let place = |pool: &String| {
            let at = names.iter().position(|name| name == pool);
            at.ok_or_else(|| SettingsError::new("pool", pool, "is no pool's name"))
        };
        for route in routes {
            let pools = match &route.action {
                RouteAction::Pool(pool) => [place(pool)?].into(),
                RouteAction::Split(s) => s.split().targets().iter().map(place).collect::<Result<_, _>>()?,
                RouteAction::Redirect { status: 301..=303 | 307 | 308, .. } => Box::default(),
                RouteAction::Redirect { status, .. } => {
                    return Err(SettingsError::new("status", status, "must be 301, 302, 303, 307 or 308"));
                }
                RouteAction::Respond(response) => {
                    response.validate()?;
                    Box::default()
                }
            };
            route.request_headers.validate()?;
            route.response_headers.validate()?;
            route.compression.as_ref().map_or(Ok(()), CompressionSettings::validate)?;
            mirrors.push(mirror(&route, &pools, &names)?);
            settings.push((route, pools));
        }
        Ok(Self { targets: pools, routes: Some(Arc::new(Routes { router, settings, mirrors })) })
    }
}

/// A route's mirror, its pool found among these; `own` are the route's.
fn mirror(
    route: &RouteSettings,
    own: &[usize],
    pools: &[&str],
) -> Result<Option<Arc<Mirror>>, SettingsError> {
    let Some(settings) = &route.mirror else { return Ok(None) };
    settings.validate()?;
    let wrong = |must: &str| SettingsError::new("mirror", &settings.pool, must);
    let at =
        pools.iter().position(|name| *name == settings.pool).ok_or_else(|| wrong("is no pool's name"))?;
    if own.contains(&at) {
        return Err(wrong("must be another pool than the route's own"));
    }
    Ok(Some(Arc::new(Mirror::new(&route.name, settings, at))))
}
