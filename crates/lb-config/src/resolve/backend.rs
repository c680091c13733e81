//! One backend, and what must hold among those of one pool.

use super::{OfPool, agent, health, set};
use crate::node::shorten;
use crate::reader::Reader;
use lb_health::{AgentCheck, HealthCheck};
use lb_types::{Backend, BackendUrl, Scheme};
use std::collections::HashMap;

/// The checks of the backends' pool.
pub(super) type Checks<'a> = (OfPool<'a, HealthCheck>, OfPool<'a, AgentCheck>);

/// The longest id: it stands in metrics and in paths of the admin API.
const ID_MAX: usize = 256;

/// The backends whose `url` and `id` are right, their ids unique. `pool` is what their pool checks; `place` names what they are in.
pub(super) fn backends(readers: &[Reader<'_>], pool: Checks<'_>, place: &str) -> Vec<Backend> {
    let mut seen = HashMap::new();
    let mut out = Vec::with_capacity(readers.len());
    for r in readers {
        let Some(backend) = backend(r, pool) else { continue };
        if let Some(first) = seen.insert(backend.id.clone(), out.len()) {
            let given = r.field("id").is_present();
            let at = r.field(if given { "id" } else { "url" });
            let id = shorten(backend.id.as_str());
            let help = if given {
                "ids must be unique within a pool"
            } else {
                "the id comes from the url; give one of them an `id`"
            };
            at.error(format!("backend id `{id}` is used twice in {place} (first by backend {})", first + 1))
                .help(help);
        }
        out.push(backend);
    }
    out
}

fn backend(r: &Reader<'_>, pool: Checks<'_>) -> Option<Backend> {
    let url = url(r);
    let id = id(r);
    let weight = r.field("weight").integer(0..=u32::MAX);
    let max_connections = r.field("max_connections").integer(1..=u32::MAX);
    let metadata = r.field("metadata").text_map();
    let checks = r.field("health_check").table();
    if let Some(url) = &url {
        health::reaches(&r.field("url"), url, pool.0, checks.as_ref());
    }
    let checks = checks.map(|c| health::overrides(&c, pool.0));
    let agent = r.field("agent_check").table().map(|c| agent::overrides(&c, pool.1));
    if let Some(url) = &url {
        agent::reaches(&r.field("url"), url, pool.1, agent.as_ref());
    }
    let disabled = r.field("disabled").boolean();
    let backup = r.field("backup").boolean();
    let priority = r.field("priority").integer(0..=127_u32);
    let url = url?;
    let id = if r.field("id").is_present() { id? } else { url.default_id() };
    let mut b = Backend::new(id, url);
    set(&mut b.weight, weight);
    b.max_connections = max_connections;
    set(&mut b.metadata, metadata);
    b.health_check = checks;
    b.agent = agent;
    set(&mut b.disabled, disabled);
    set(&mut b.backup, backup);
    set(&mut b.priority, priority);
    Some(b)
}

fn url(r: &Reader<'_>) -> Option<BackendUrl> {
    let field = r.field("url").required();
    let text = field.text()?;
    match text.parse::<BackendUrl>() {
        Ok(url) if url.scheme() == Scheme::Https => {
            field
                .error("https backends are not built yet (planned: TLS and further protocols)")
                .help("use http:// where the network between is trusted");
            None
        }
        Ok(url) => Some(url),
        Err(e) => {
            let guess = format!("http://{text}");
            let help = (!text.contains("://") && guess.parse::<BackendUrl>().is_ok())
                .then(|| format!("did you mean \"{}\"?", shorten(&guess)));
            field.error(format!("bad backend URL \"{}\": {}", shorten(text), e.reason)).maybe_help(help);
            None
        }
    }
}

fn id(r: &Reader<'_>) -> Option<String> {
    let field = r.field("id");
    let id = field.text()?;
    if id.len() > ID_MAX || id.chars().any(char::is_control) {
        field.error(format!("`id` must have at most {ID_MAX} bytes and no control characters"));
        return None;
    }
    Some(id.to_owned())
}
