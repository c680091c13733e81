//! From the configuration's routes to the proxy's.

use super::pool::{self, Common};
use super::splits::Splits;
use super::{AssembleError, gate};
use http::HeaderName;
use lb_balancer::LoadBalancer;
use lb_config::{Coding, Compression, HeaderChanges, Mirror, PathRewrite, Route, RouteAction};
use lb_proxy::{CompressionSettings, Gateway, HeaderRules, MirrorSettings, ProxySettings, RouteSettings};
use lb_route::{Rewrite, Router, Template};
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// The pools that requests are sent to, and how they are found.
pub(super) fn gateway(
    entry: &str,
    routes: Vec<Route>,
    built: &BTreeMap<String, (LoadBalancer, ProxySettings)>,
    splits: &Splits,
    common: &Common<'_>,
) -> Result<Gateway, AssembleError> {
    let target = |name: &str| {
        let missing = || AssembleError::NoPool { pool: name.to_owned() };
        built.get(name).cloned().ok_or_else(missing)
    };
    if routes.is_empty() {
        let (balancer, settings) = target(entry)?;
        return Ok(Gateway::new(balancer, settings));
    }
    let conditions: Vec<_> = routes.iter().map(|r| r.conditions.clone()).collect();
    let router = Router::build(&conditions).map_err(|e| {
        let name = routes.get(e.route).map(|r| r.name.clone()).unwrap_or_default();
        AssembleError::Route { route: name, error: e.error }
    })?;
    let mut names = HashSet::new();
    let pools: Vec<_> = led_to(&routes, splits)
        .chain(mirrored(&routes))
        .map(str::to_owned)
        .filter(|name| names.insert(name.clone()))
        .collect();
    let mut targets = pools.iter().map(|name| target(name)).collect::<Result<Vec<_>, _>>()?;
    if targets.is_empty() {
        // Nothing is forwarded. A proxy has a pool all the same.
        targets.extend(built.values().next().cloned());
    }
    let settings = routes.into_iter().enumerate().map(|(i, route)| {
        let name = route.name.clone();
        let wrong = |error| AssembleError::Route { route: name.clone(), error };
        settings(route, router.parameters(i), (&targets, splits), common, &wrong)
    });
    let settings = settings.collect::<Result<_, _>>()?;
    Gateway::routed(targets, router, settings)
        .map_err(|error| AssembleError::Route { route: String::new(), error })
}

/// The pools that requests are sent to, in the routes' order.
fn led_to<'a>(routes: &'a [Route], splits: &'a Splits) -> impl Iterator<Item = &'a str> {
    routes
        .iter()
        .flat_map(|r| match &r.action {
            RouteAction::Pool(pool) => std::slice::from_ref(pool),
            RouteAction::Split(split) => splits.splitting(split).map_or(&[][..], |s| s.split().targets()),
            _ => &[],
        })
        .map(String::as_str)
}

/// The pools that copies of requests are sent to.
fn mirrored(routes: &[Route]) -> impl Iterator<Item = &str> {
    routes.iter().filter_map(|r| Some(r.mirror.as_ref()?.pool.as_str()))
}

/// The pools that get nothing but copies: no client waits for them.
pub(super) fn shadows(routes: &[Route], splits: &Splits) -> HashSet<String> {
    let of_clients: HashSet<&str> = led_to(routes, splits).collect();
    mirrored(routes).filter(|pool| !of_clients.contains(pool)).map(str::to_owned).collect()
}

fn settings(
    route: Route,
    parameters: &[Box<str>],
    (targets, splits): (&[(LoadBalancer, ProxySettings)], &Splits),
    common: &Common<'_>,
    wrong: &dyn Fn(lb_types::SettingsError) -> AssembleError,
) -> Result<RouteSettings, AssembleError> {
    let mut priority = None;
    let action = match route.action {
        RouteAction::Pool(pool) => {
            priority =
                self::priority(route.priority.as_deref(), std::slice::from_ref(&pool), targets, wrong)?;
            lb_proxy::RouteAction::Pool(pool)
        }
        RouteAction::Split(split) => {
            let Some(splitting) = splits.splitting(&split) else {
                return Err(AssembleError::NoSplit { split });
            };
            priority =
                self::priority(route.priority.as_deref(), splitting.split().targets(), targets, wrong)?;
            lb_proxy::RouteAction::Split(splitting.clone())
        }
        RouteAction::Redirect { status, location } => lb_proxy::RouteAction::Redirect { status, location },
        RouteAction::Respond(response) => lb_proxy::RouteAction::Respond(response),
        _ => return Err(AssembleError::RouteKind { route: route.name }),
    };
    let rewrite = match route.rewrite {
        None => None,
        Some(PathRewrite::StripPrefix) => Some(Rewrite::strip_prefix()),
        Some(PathRewrite::ReplacePrefix(with)) => Some(Rewrite::replace_prefix(&with).map_err(wrong)?),
        Some(PathRewrite::Regex { regex, with }) => Some(Rewrite::regex(&regex, &with).map_err(wrong)?),
        Some(PathRewrite::Path(path)) => {
            let bad = |e: lb_route::TemplateError| {
                wrong(lb_types::SettingsError::new("path", &path, e.to_string()))
            };
            Some(Rewrite::path(&path, parameters).map_err(bad)?)
        }
        Some(_) => return Err(AssembleError::RouteKind { route: route.name }),
    };
    let limit = route.rate_limit.as_ref();
    let limit = limit.map(|l| pool::rate_limit(&format!("route.{}", route.name), l, common)).transpose()?;
    let limit_name = format!("route.{}", route.name);
    let retry = route.retry.as_ref().map(|retry| pool::retry_policy(&limit_name, retry)).transpose()?;
    let mut settings = RouteSettings::new(route.name, action);
    settings.gate = gate::gate(route.gate).map_err(wrong)?;
    settings.error_pages = gate::error_pages(route.error_pages).map_err(wrong)?;
    settings.retry = retry.map(Arc::new);
    settings.connect_timeout = route.connection_timeout;
    settings.first_byte_timeout = route.first_byte_timeout;
    settings.rewrite = rewrite;
    settings.request_headers = rules(route.request_headers, wrong)?;
    settings.response_headers = rules(route.response_headers, wrong)?;
    settings.total_timeout = route.total_timeout;
    settings.rate_limit = limit;
    settings.priority = priority;
    settings.max_body_bytes = route.max_body;
    settings.service_headers = route.service_headers;
    settings.compression = route.compression.map(compression);
    settings.mirror = route.mirror.map(mirror);
    Ok(settings)
}

fn compression(c: Compression) -> CompressionSettings {
    let mut settings = CompressionSettings::default();
    let coding = |coding: &Coding| match coding {
        Coding::Gzip => Some(lb_proxy::Coding::Gzip),
        Coding::Brotli => Some(lb_proxy::Coding::Brotli),
        Coding::Zstd => Some(lb_proxy::Coding::Zstd),
        // There is no other.
        _ => None,
    };
    settings.algorithms = c.algorithms.iter().filter_map(coding).collect();
    settings.min_size = c.min_size;
    if let Some(types) = c.types {
        settings.types = types;
    }
    settings
}

fn mirror(m: Mirror) -> MirrorSettings {
    let mut settings = MirrorSettings::new(m.pool);
    (settings.percent, settings.max_in_flight, settings.timeout) = (m.percent, m.max_in_flight, m.timeout);
    settings
}

/// The level that is called so in the queue of each of the pools; it must be the same.
fn priority(
    level: Option<&str>,
    pools: &[String],
    targets: &[(LoadBalancer, ProxySettings)],
    wrong: &dyn Fn(lb_types::SettingsError) -> AssembleError,
) -> Result<Option<lb_admission::Priority>, AssembleError> {
    let Some(level) = level else { return Ok(None) };
    let mut priority = None;
    for pool in pools {
        let queue = targets.iter().find(|(lb, _)| lb.name() == pool).and_then(|(lb, _)| lb.queue());
        let named = queue.and_then(|q| q.settings().level_named(level));
        if named.is_none() || *priority.get_or_insert(named) != named {
            let must = "must be a level of the pool's queue, the same in each pool of a split";
            return Err(wrong(lb_types::SettingsError::new("priority", level, must)));
        }
    }
    Ok(priority.flatten())
}

fn rules(
    changes: HeaderChanges,
    wrong: &dyn Fn(lb_types::SettingsError) -> AssembleError,
) -> Result<HeaderRules, AssembleError> {
    let name = |text: &str| -> Result<HeaderName, AssembleError> {
        let no_name = |_| wrong(lb_types::SettingsError::new("headers", text, "must be a header's name"));
        text.parse().map_err(no_name)
    };
    let named = |list: Vec<(String, Template)>| -> Result<Vec<_>, AssembleError> {
        list.into_iter().map(|(text, value)| Ok((name(&text)?, value))).collect()
    };
    let mut rules = HeaderRules::default();
    (rules.set, rules.add) = (named(changes.set)?, named(changes.add)?);
    rules.remove = changes.remove.iter().map(|text| name(text)).collect::<Result<_, _>>()?;
    Ok(rules)
}
