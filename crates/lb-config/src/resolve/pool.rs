//! A pool: its settings, and what must hold between them and its backends.

use super::algorithm::Choice;
use super::known::Known;
use super::{
    OfPool, admission, agent, algorithm, autoscale, backend, breaker, caching, discovery, geo_pool, health,
    outlier, pooling, retry, session, set, set_duration,
};
use crate::config::Pool;
use crate::node::shorten;
use crate::reader::{Field, Reader};
use lb_core::settings::{Algorithm, Locality, PoolSettings, SlowStart};
use lb_types::Backend;

pub(super) fn pool(name: &str, r: &Reader<'_>, known: &Known<'_>) -> Pool {
    let chosen = r.field("algorithm");
    let choice = algorithm::choice(&chosen);
    // A wrong choice was reported; what stands beside it is not called foreign to it.
    let wrong = choice.is_none() && chosen.is_present();
    if let Some(Choice::GeoAware) = choice {
        return geo_pool::aware(r);
    }
    let based = matches!(choice, Some(Choice::GeoBased));
    if !wrong {
        geo_pool::foreign(r, &chosen, based);
    }
    let mut pool = Pool::default();
    let geo = r.field("geo").table();
    let algorithm = match choice {
        Some(Choice::Among(algorithm)) => Some(algorithm),
        _ => geo.as_ref().and_then(|t| algorithm::within(&t.field("algorithm"))),
    };
    let within = geo.as_ref().is_some_and(|t| t.field("algorithm").is_present());
    let settled = algorithm.is_some() || !(wrong || based && within);
    set(&mut pool.settings.algorithm, algorithm);
    settings(r, &mut pool.settings);
    if settled {
        agreement(r, &pool.settings);
    }
    exchange(r, &mut pool);
    keeping(r, &mut pool, known, settled);
    admission::door(r, &mut pool, known);
    let checks = r.field("health_check");
    pool.circuit_breaker = r.field("circuit_breaker").table().and_then(|t| breaker::breaker(&t));
    pool.outlier_detection = r.field("outlier_detection").table().and_then(|t| outlier::outlier(&t));
    let section = checks.table();
    let check = section.as_ref().map(|c| (health::check(c), c.enabled()));
    let agents = r.field("agent_check");
    let agent = agents.table().map(|a| (agent::check(&a), a.enabled()));
    let of_pool = (
        OfPool::new(&checks, check.as_ref().map(|(check, _)| check)),
        OfPool::new(&agents, agent.as_ref().map(|(agent, _)| agent)),
    );
    let discovery = r.field("discovery");
    // A section that is wrong was meant to find something; one that is switched off was not.
    let mut finds = discovery.is_present();
    if let Some(d) = discovery.table() {
        finds = d.enabled();
        pool.discovery = discovery::discovery(&d, known).filter(|_| finds);
    }
    let list = r.field("backends");
    let readers = list.tables();
    let place = format!("pool `{}`", shorten(name));
    pool.backends = backend::backends(&readers, of_pool, &place);
    pool.health_check = check.filter(|(_, enabled)| *enabled).map(|(check, _)| check);
    pool.agent_check = agent.filter(|(_, enabled)| *enabled).map(|(agent, _)| agent);
    let listed = if list.is_present() { list.len() } else { Some(0) };
    if let Some(t) = &geo {
        if !based && !wrong && t.enabled() {
            let help = "set algorithm = \"geo-based\", and the one within a region as geo.algorithm";
            r.sink.error(t.span, "`geo` goes with algorithm = \"geo-based\"").help(help);
        }
        let regions =
            geo_pool::regions(t, &pool.backends, !finds && listed == Some(pool.backends.len()), &place);
        pool.geo = t.enabled().then_some(regions);
    }
    if let (Some(t), Some(affinity)) = (r.field("session_affinity").table(), &pool.session_affinity) {
        session::names_fit(&t, affinity, &pool.backends);
    }
    let (scaling, makes) = autoscale::autoscale(name, r, &pool, known);
    pool.autoscale = scaling;
    finds |= makes;
    if !finds {
        if listed == Some(0) {
            let help = "add a backend with url = \"http://127.0.0.1:9001\", or `discovery`";
            r.sink.error(list.key_span(), format!("{place} has no backends")).help(help);
        }
        if listed == Some(pool.backends.len()) {
            usable(r, &pool, &place);
            if let (Some(section), Some(check)) = (&section, &pool.health_check) {
                health::tls_is_spoken(section, check, &pool.backends);
            }
            if let Some(check) = &pool.agent_check {
                agent::somebody(&agents, check, &pool.backends);
            }
        }
    }
    pool
}

/// What a pool without discovery needs of its backends.
fn usable(r: &Reader<'_>, pool: &Pool, place: &str) {
    let backends = &pool.backends;
    if !backends.is_empty() && backends.iter().all(|b| b.weight == 0) {
        let message = format!("every backend of {place} has weight 0, so it would take no new requests");
        r.sink.error(r.field("backends").key_span(), message).help("give at least one a weight of 1 or more");
    }
    let subset = &pool.settings.subset;
    let matches = |b: &Backend| subset.iter().all(|(k, v)| b.metadata.get(k) == Some(v));
    if !subset.is_empty() && !backends.is_empty() && !backends.iter().any(matches) {
        let message = format!("no backend of {place} has the metadata that `subset` asks for");
        r.field("subset").error(message);
    }
}

fn settings(r: &Reader<'_>, s: &mut PoolSettings) {
    s.max_connections = r.field("max_connections").integer(1..=u32::MAX);
    set(&mut s.panic_threshold, r.field("panic_threshold").integer(0..=100));
    set(&mut s.subset, r.field("subset").text_map());
    set(&mut s.overprovisioning_percent, r.field("overprovisioning_percent").integer(100..=1000));
    set(&mut s.latency_histograms, r.field("latency_histograms").boolean());
    if let Some(t) = r.field("slow_start").table() {
        let mut slow = SlowStart::default();
        set_duration(&mut slow.window, &t, "window");
        set(&mut slow.aggression, t.field("aggression").positive(100.0));
        set(&mut slow.min_weight_percent, t.field("min_weight_percent").integer(1..=100));
        s.slow_start = t.enabled().then_some(slow);
    }
    if let Some(t) = r.field("locality").table() {
        let zone = t.field("zone").required().text();
        let zone = zone.filter(|_| t.enabled());
        s.locality = zone.map(|zone| Locality { zone: zone.to_owned() });
    }
}

/// What an algorithm asks of other keys.
fn agreement(r: &Reader<'_>, s: &PoolSettings) {
    use Algorithm as A;
    let (chosen, name) = (&s.algorithm, s.algorithm.name());
    let slow = r.field("slow_start");
    if lb_core::is_hash(&s.algorithm) && s.slow_start.is_some() {
        let message =
            format!("`slow_start` does nothing with `{name}`, which sends each key where it belongs");
        r.sink.error(slow.key_span(), message).help("remove it, or choose another algorithm");
    }
    let tracking = r.field("connection_tracking");
    if tracking.boolean() == Some(false) {
        let counts = matches!(
            chosen,
            A::LeastConnections | A::P2c | A::LeastResponseTime(_) | A::PeakEwma(_) | A::Adaptive(_)
        );
        let bounded =
            matches!(chosen, A::Maglev(h) | A::RingHash(h) | A::Rendezvous(h) if h.balance_factor.is_some());
        let message = if counts {
            format!("`connection_tracking` cannot be off: `{name}` needs it")
        } else if bounded {
            "`connection_tracking` cannot be off: `hash_balance_factor` needs it".to_owned()
        } else {
            "switching `connection_tracking` off is not built yet".to_owned()
        };
        tracking.error(message).help("remove the key: tracking is always on");
    }
}

/// Headers that a response cannot do without: none of them is an agent's to speak in.
const NOT_AN_AGENTS: [&str; 7] = [
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "location",
    "set-cookie",
    "transfer-encoding",
];

/// The name in lower case.
fn agent_header(field: &Field<'_>) -> Option<String> {
    let name = field.text()?;
    if !algorithm::is_token(name) || name.len() > 256 {
        field.error(format!("\"{}\" is no header name", shorten(name)));
        return None;
    }
    let name = name.to_ascii_lowercase();
    if NOT_AN_AGENTS.contains(&&*name) {
        let message = format!("`agent_header` cannot be {name}: the header is taken out of every response");
        field.error(message).help("use a header of your own, such as X-Agent");
        return None;
    }
    Some(name)
}

/// Time-outs, retries and what is sent on.
fn exchange(r: &Reader<'_>, pool: &mut Pool) {
    set_duration(&mut pool.connection_timeout, r, "connection_timeout");
    if let Some(t) = r.field("timeouts").table() {
        set_duration(&mut pool.first_byte_timeout, &t, "first_byte");
        set_duration(&mut pool.idle_timeout, &t, "idle");
    }
    pool.connection_pooling = r.field("connection_pooling").table().map(|t| pooling::pooling(&t));
    exchange_of_all(r, pool);
    set(&mut pool.preserve_host, r.field("preserve_host").boolean());
    pool.agent_header = agent_header(&r.field("agent_header"));
}

/// What holds for an exchange as a whole, however many pools it tries.
pub(super) fn exchange_of_all(r: &Reader<'_>, pool: &mut Pool) {
    if let Some(t) = r.field("timeouts").table() {
        pool.total_timeout = t.field("total").duration();
    }
    if let Some(t) = r.field("retry_policy").table() {
        set(&mut pool.retry, retry::policy(&t));
        if pool.retry.hedge.is_some() && !pool.settings.latency_histograms {
            let message = "`hedge` needs `latency_histograms`: it goes by what they hold";
            r.sink.error(t.field("hedge").key_span(), message).help("remove latency_histograms = false");
        }
    }
}

/// How clients keep their backend. `settled`: the algorithm is known.
fn keeping(r: &Reader<'_>, pool: &mut Pool, known: &Known<'_>, settled: bool) {
    let section = r.field("session_affinity").table();
    pool.session_affinity = section.and_then(|t| Some(session::affinity(&t, known)).filter(|_| t.enabled()));
    let algorithm = settled.then_some(&pool.settings.algorithm);
    pool.caching = r.field("caching").table().and_then(|t| caching::caching(&t, known, algorithm));
}
