//! Routes: each by itself, then all together.

use super::algorithm::is_token;
use super::http_check::header_fields;
use super::known::Known;
use super::tree::Routed;
use super::{admission, check_name, compression, gate, mirror, response, retry, set};
use crate::config::{Config, HeaderChanges, PathRewrite, RetryPolicy, Route, RouteAction};
use crate::diagnostic::Sink;
use crate::node::{Node, Span, Value, shorten};
use crate::reader::{Field, Reader};
use crate::schema;
use lb_route::{IpNet, PathMatch, Rewrite, Router, Template, ValueMatch};
use lb_types::FixedResponse;
use std::collections::HashSet;
use std::net::IpAddr;
use std::slice;

/// Headers that frame a message or are of one connection.
pub(super) const OWN_HEADERS: [&str; 11] = [
    "connection",
    "content-length",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// The most networks of a list, as the router has it.
const NETWORKS_MAX: usize = 1_024;

/// The routes; pools and stores are known.
pub(super) fn routes(r: &Reader<'_>, sink: &Sink<'_>, known: &Known<'_>, config: &mut Config) -> Routed {
    let field = r.field("routes");
    if !field.is_present() {
        return Routed::No;
    }
    if field.len() == Some(0) {
        field
            .error("`routes` must have at least one route")
            .help("leave the key out: one pool takes everything");
    }
    let tables = field.tables();
    let mut names = HashSet::new();
    let mut places = Vec::with_capacity(tables.len());
    for (i, table) in tables.iter().enumerate() {
        let Some(route) = route(table, i + 1, known, config) else { continue };
        if !names.insert(route.name.clone()) {
            let message = format!("route \"{}\" is there twice", shorten(&route.name));
            sink.error(table.field("name").span(), message)
                .help("a route without a name is called by its place");
        }
        places.push(table.span);
        config.routes.push(route);
    }
    if places.len() != tables.len() || places.is_empty() {
        return Routed::Wrong;
    }
    together(sink, &places, config);
    let is_known = |r: &Route| {
        pools(&r.action, config).iter().all(|p| config.pools.contains_key(*p))
            && r.mirror.as_ref().is_none_or(|m| config.pools.contains_key(&m.pool))
    };
    if config.routes.iter().all(is_known) { Routed::Known } else { Routed::Wrong }
}

/// The pools that a route leads to, right or wrong.
pub(super) fn pools<'a>(action: &'a RouteAction, config: &'a Config) -> Vec<&'a str> {
    match action {
        RouteAction::Pool(pool) => vec![pool],
        // One that is not there leads nowhere that is known.
        RouteAction::Split(split) => match config.splits.get(split) {
            Some(split) => split.targets.iter().map(|(pool, _)| &**pool).collect(),
            None => vec![""],
        },
        _ => vec![],
    }
}

/// What holds of all of them: bounds, and routes that get nothing.
fn together(sink: &Sink<'_>, places: &[Span], config: &mut Config) {
    let conditions: Vec<_> = config.routes.iter().map(|r| r.conditions.clone()).collect();
    match Router::build(&conditions) {
        // What is wrong with one of them by itself was said there.
        Err(e) if conditions.get(e.route).is_some_and(|own| Router::build(slice::from_ref(own)).is_err()) => {
        }
        Err(e) => {
            let place = places.get(e.route).copied().unwrap_or_default();
            sink.error(place, format!("this route is too much: {}", e.error));
        }
        Ok(router) => {
            for found in router.unreachable() {
                let (name, by) = (&config.routes[found.index].name, &config.routes[found.by].name);
                let message =
                    format!("route \"{name}\" gets no requests: route \"{by}\" before it takes them all");
                config.warnings.push(sink.warning(places[found.index], &message));
            }
        }
    }
}

/// `None`: it has no action, which was recorded.
fn route(r: &Reader<'_>, place: usize, known: &Known<'_>, config: &Config) -> Option<Route> {
    let name = r.field("name").text().map(|name| {
        check_name("route", name, r, r.sink);
        if name.len() > 58 {
            r.field("name").error("`name` must have at most 58 bytes");
        }
        name.to_owned()
    });
    let name = name.unwrap_or_else(|| place.to_string());
    let conditions = conditions(r);
    let parameters = parameters(r, &conditions);
    let action = action(r, &parameters, config);
    if action.is_some() && !matches!(action, Some(RouteAction::Pool(_) | RouteAction::Split(_))) {
        let of_pools = [
            "rewrite",
            "headers",
            "timeouts",
            "rate_limit",
            "priority",
            "max_body",
            "service_headers",
            "compression",
            "mirror",
            "retry_policy",
        ];
        r.refuse(&of_pools, |key| format!("`{key}` does nothing without `pool`: nothing is forwarded"));
    }
    let headers = r.field("headers").table();
    let changes = |direction: &str| {
        let table = headers.as_ref().and_then(|t| t.field(direction).table());
        table.map(|t| changes(&t, direction, &parameters)).unwrap_or_default()
    };
    let rate_limit = r.field("rate_limit").table().and_then(|t| {
        let limit_name = format!("route.{name}");
        if config.pools.contains_key(&limit_name) {
            t.sink.error(t.span, format!("the limit's name `{}` is a pool's", shorten(&limit_name)));
        }
        admission::rate_limit(&t, known, true).filter(|_| t.enabled())
    });
    let forwards = matches!(action, Some(RouteAction::Pool(_)) | None);
    let times = r.field("timeouts").table();
    let time = |name: &str| times.as_ref().and_then(|t| t.field(name).duration());
    Some(Route {
        gate: gate::gate(r, known, &conditions.methods, forwards),
        error_pages: gate::error_pages(&r.field("error_pages"), known.secrets),
        retry: retry_policy(r, action.as_ref(), config),
        connection_timeout: time("connect"),
        first_byte_timeout: time("first_byte"),
        request_headers: changes("request"),
        response_headers: changes("response"),
        rewrite: r.field("rewrite").table().and_then(|t| rewrite(&t, &parameters)),
        total_timeout: time("total"),
        rate_limit,
        priority: action.as_ref().and_then(|action| priority(&r.field("priority"), action, config)),
        max_body: r.field("max_body").size(0..=1 << 50),
        service_headers: r.field("service_headers").boolean().unwrap_or(false),
        compression: r.field("compression").table().and_then(|t| compression::compression(&t)),
        mirror: r.field("mirror").table().and_then(|t| mirror::mirror(&t, action.as_ref(), config)),
        action: action?,
        name,
        conditions,
    })
}

fn conditions(r: &Reader<'_>) -> lb_route::Route {
    let texts = |name: &str| -> Vec<String> {
        let field = r.field(name);
        if field.len() == Some(0) {
            field
                .error(format!("`{name}` must not be an empty list"))
                .help("leave the key out: any is right");
        }
        field.text_items().into_iter().map(|(text, _)| text.to_owned()).collect()
    };
    let mut route = lb_route::Route::new();
    (route.hosts, route.methods) = (texts("hosts"), texts("methods"));
    let paths = ["path", "path_exact", "path_regex"].map(|name| r.field(name));
    for second in paths.iter().filter(|f| f.is_present()).skip(1) {
        r.sink.error(second.key_span(), "a route has one of `path`, `path_exact` and `path_regex`");
    }
    let [prefix, exact, regex] = paths;
    set(&mut route.path, prefix.text().map(PathMatch::prefix));
    set(&mut route.path, exact.text().map(PathMatch::exact));
    set(&mut route.path, regex.text().map(PathMatch::regex));
    route.headers = matches(&r.field("match_headers"));
    route.query = matches(&r.field("match_query"));
    let clients = r.field("clients");
    if clients.len() == Some(0) {
        clients.error("`clients` must not be an empty list").help("leave the key out: any is right");
    }
    route.clients = networks(&clients);
    route
}

/// Networks and addresses.
pub(super) fn networks(field: &Field<'_>) -> Vec<IpNet> {
    let items = field.text_items();
    // Conditions are counted by the router.
    if items.len() > NETWORKS_MAX && field.name() != "clients" {
        field.error(format!("`{}` must have at most {NETWORKS_MAX} networks", field.name()));
    }
    let mut networks = Vec::with_capacity(items.len());
    for (text, node) in items {
        match text.parse::<IpNet>().or_else(|e| text.parse::<IpAddr>().map(IpNet::from).map_err(|_| e)) {
            Ok(network) => networks.push(network),
            Err(_) => {
                let help = "a network is written 10.0.0.0/8 or 2001:db8::/32, an address 10.0.0.7";
                let message = |found: &str| format!("bad network {found} in `{}`", field.name());
                field.error_at(node, message).help(help);
            }
        }
    }
    networks
}

/// The route's own retries; a hedge goes by what the pool's histograms hold.
fn retry_policy(r: &Reader<'_>, action: Option<&RouteAction>, config: &Config) -> Option<RetryPolicy> {
    let t = r.field("retry_policy").table()?;
    let policy = retry::policy(&t)?;
    let without = |p: &crate::config::Pool| !p.settings.latency_histograms;
    if let Some(RouteAction::Pool(name)) = action
        && policy.hedge.is_some()
        && config.pools.get(name).is_some_and(without)
    {
        let message = format!("`hedge` needs `latency_histograms` in pool `{}`", shorten(name));
        r.sink.error(t.field("hedge").key_span(), message).help("remove latency_histograms = false there");
    }
    Some(policy)
}

/// Conditions on values, by their names.
fn matches(field: &Field<'_>) -> Vec<(String, ValueMatch)> {
    let Some(node) = field.node() else { return vec![] };
    let Value::Table(entries) = &node.value else {
        field.error_at(node, |found| format!("`{}` must be a table, not {found}", field.name()));
        return vec![];
    };
    let each = entries.iter().filter_map(|e| Some((e.key.clone(), value_match(field, &e.node)?)));
    each.collect()
}

fn value_match(field: &Field<'_>, node: &Node) -> Option<ValueMatch> {
    if let Value::Text(text) = &node.value {
        return Some(ValueMatch::exact(text));
    }
    let r = field.table_in(node)?;
    let given: Vec<_> = ["exact", "regex", "present", "absent"]
        .map(|way| r.field(way))
        .into_iter()
        .filter(Field::is_present)
        .collect();
    let [one] = &given[..] else {
        let message =
            format!("each item of `{}` must have one of exact, regex, present and absent", field.name());
        r.sink.error(node.span, message);
        return None;
    };
    match one.name() {
        "exact" => one.text_or_empty().map(ValueMatch::exact),
        "regex" => one.text().map(ValueMatch::regex),
        way => {
            if one.boolean()? {
                return Some(if way == "present" { ValueMatch::Present } else { ValueMatch::Absent });
            }
            one.error(format!("`{way}` must be true, or left out"));
            None
        }
    }
}

/// The names of the path's parameters. What is wrong with the conditions is recorded.
fn parameters(r: &Reader<'_>, conditions: &lb_route::Route) -> Vec<Box<str>> {
    match Router::build(slice::from_ref(conditions)) {
        Ok(router) => router.parameters(0).to_vec(),
        Err(e) => {
            let key = match e.error.field {
                "headers" => "match_headers",
                "query" => "match_query",
                other => other,
            };
            r.field(key).bad_setting(&e.error.value, &brief(&e.error.must));
            vec![]
        }
    }
}

/// What the `regex` crate draws over several lines, in one.
fn brief(must: &str) -> String {
    match must.split_once(": regex parse error:") {
        Some((what, drawn)) => {
            let why = drawn.lines().last().unwrap_or_default();
            format!("{what}: {}", why.trim_start_matches("error: "))
        }
        None => must.to_owned(),
    }
}

fn action(r: &Reader<'_>, parameters: &[Box<str>], config: &Config) -> Option<RouteAction> {
    let [pool, split, redirect, respond] = ["pool", "split", "redirect", "respond"].map(|name| r.field(name));
    let given = [&pool, &split, &redirect, &respond].into_iter().filter(|f| f.is_present()).count();
    if given != 1 {
        let message = "a route must have one of `pool`, `split`, `redirect` and `respond`";
        r.sink.error(r.span, message).help("add pool = \"NAME\", a pool under `pools`");
        return None;
    }
    if let Some(name) = pool.text() {
        if !config.pools.contains_key(name) {
            let near = schema::nearest(name, config.pools.keys().map(String::as_str));
            let help = near.map_or_else(
                || format!("add [pools.{}] with its backends", shorten(name)),
                |near| format!("did you mean \"{near}\"?"),
            );
            pool.error(format!("`pool`: there is no pool \"{}\"", shorten(name))).help(help);
        }
        return Some(RouteAction::Pool(name.to_owned()));
    }
    if let Some(name) = split.text() {
        if !config.splits.contains_key(name) {
            let near = schema::nearest(name, config.splits.keys().map(String::as_str));
            let help = near.map_or_else(
                || format!("add [splits.{}] with its targets", shorten(name)),
                |near| format!("did you mean \"{near}\"?"),
            );
            split.error(format!("`split`: there is no split \"{}\"", shorten(name))).help(help);
        }
        return Some(RouteAction::Split(name.to_owned()));
    }
    if let Some(t) = redirect.table() {
        let status = t.field("status");
        let code = status.integer(301..=308u16).unwrap_or(302);
        if matches!(code, 304..=306) {
            status.error("`status` must be 301, 302, 303, 307 or 308");
        }
        let location = t.field("location").required();
        let location = location.text().and_then(|text| template(&location, text, parameters))?;
        return Some(RouteAction::Redirect { status: code, location });
    }
    respond
        .is_present()
        .then(|| RouteAction::Respond(response::response(&respond, FixedResponse::new(503, ""))))
}

fn template(field: &Field<'_>, text: &str, parameters: &[Box<str>]) -> Option<Template> {
    let parsed = Template::parse(text, parameters);
    parsed.map_err(|e| field.error(format!("`{}` = \"{}\": {e}", field.name(), shorten(text)))).ok()
}

fn rewrite(r: &Reader<'_>, parameters: &[Box<str>]) -> Option<PathRewrite> {
    let names = ["strip_prefix", "replace_prefix", "regex", "path"];
    let given: Vec<_> = names.map(|way| r.field(way)).into_iter().filter(Field::is_present).collect();
    let [one] = &given[..] else {
        let message = "`rewrite` must have one of `strip_prefix`, `replace_prefix`, `regex` and `path`";
        r.sink.error(r.span, message);
        return None;
    };
    let with = r.field("with");
    if one.name() != "regex" {
        r.refuse(&["with"], |_| "`with` goes with `regex`".to_owned());
    }
    match one.name() {
        "strip_prefix" => {
            if one.boolean()? {
                return Some(PathRewrite::StripPrefix);
            }
            one.error("`strip_prefix` must be true, or left out");
            None
        }
        "replace_prefix" => {
            let text = one.text()?;
            let checked = Rewrite::replace_prefix(text);
            checked.map_err(|e| one.bad_setting(&e.value, &e.must)).ok()?;
            Some(PathRewrite::ReplacePrefix(text.to_owned()))
        }
        "regex" => {
            let (regex, with) = (one.text()?, with.required());
            let text = with.text_or_empty()?;
            let checked = Rewrite::regex(regex, text);
            let at = |field: &str| if field == "with" { &with } else { one };
            checked.map_err(|e| at(e.field).bad_setting(&e.value, &brief(&e.must))).ok()?;
            Some(PathRewrite::Regex { regex: regex.to_owned(), with: text.to_owned() })
        }
        _ => {
            let text = one.text()?;
            let checked = Rewrite::path(text, parameters);
            checked.map_err(|e| one.error(format!("`path` = \"{}\": {e}", shorten(text)))).ok()?;
            Some(PathRewrite::Path(text.to_owned()))
        }
    }
}

fn changes(r: &Reader<'_>, direction: &str, parameters: &[Box<str>]) -> HeaderChanges {
    let values = |name: &str| -> Vec<(String, Template)> {
        let field = r.field(name);
        let fields = header_fields(&field, r, &OWN_HEADERS, "the proxy").unwrap_or_default();
        let each = fields
            .into_iter()
            .filter_map(|(n, text)| Some((n.to_owned(), template(&field, text, parameters)?)));
        each.collect()
    };
    let mut changes = HeaderChanges { set: values("set"), add: values("add"), remove: vec![] };
    if direction == "request" && changes.add.iter().any(|(name, _)| name.eq_ignore_ascii_case("host")) {
        r.field("add").error("a request has one `Host`: `set` changes it");
    }
    let remove = r.field("remove");
    for (name, node) in remove.text_items() {
        if !is_token(name) {
            remove.error_at(node, |found| format!("{found} is no header name"));
        } else if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            remove.error_at(node, |found| format!("header {found} is set by the proxy itself"));
        } else {
            changes.remove.push(name.to_owned());
        }
    }
    changes
}

fn priority(field: &Field<'_>, action: &RouteAction, config: &Config) -> Option<String> {
    let level = field.text()?;
    let mut first = None;
    for name in pools(action, config) {
        let pool = config.pools.get(name)?;
        let Some(queuing) = &pool.queuing else {
            let message = format!("`priority` does nothing: pool `{}` has no `queuing`", shorten(name));
            field.error(message).help("add queuing = {} to the pool");
            return None;
        };
        let Some(at) = queuing.settings.level_named(level) else {
            field.not_a_choice(level, queuing.settings.levels.iter().map(|l| &*l.name));
            return None;
        };
        if *first.get_or_insert(at) != at {
            let message =
                "`priority` must be the same level in each pool of the split, counted from the highest";
            field.error(message);
            return None;
        }
    }
    first.map(|_| level.to_owned())
}
