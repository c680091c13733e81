//! Agent checks: a pool's, and what one backend has otherwise.

use super::health::host;
use super::{OfPool, set, u32_to_usize};
use crate::reader::{Field, Reader};
use lb_health::agent::{AGENT_SEND_BYTES_MAX, AgentCheck};
use lb_health::{CONCURRENT_MAX, JITTER_PERCENT_MAX, LONGEST, SHORTEST};
use lb_types::{Address, AgentOverride, Backend, BackendUrl};

/// A pool's agent check, switched on or off.
pub(super) fn check(r: &Reader<'_>) -> AgentCheck {
    let mut check = AgentCheck::default();
    check.port = r.field("port").integer(1..=u16::MAX);
    check.host = host(&r.field("host"));
    set(&mut check.interval, r.field("interval").duration_within(SHORTEST..=LONGEST));
    set(&mut check.timeout, r.field("timeout").duration_within(SHORTEST..=LONGEST));
    set(&mut check.send, send(&r.field("send")));
    set(&mut check.jitter_percent, r.field("jitter_percent").integer(0..=JITTER_PERCENT_MAX));
    set(
        &mut check.max_concurrent,
        r.field("max_concurrent").integer(1..=CONCURRENT_MAX as u32).map(u32_to_usize),
    );
    check
}

fn send(field: &Field<'_>) -> Option<String> {
    let text = field.text_or_empty()?;
    if text.len() > AGENT_SEND_BYTES_MAX {
        field.error(format!("`send` must have at most {AGENT_SEND_BYTES_MAX} bytes"));
        return None;
    }
    Some(text.to_owned())
}

/// What one backend has otherwise than its pool.
pub(super) fn overrides(r: &Reader<'_>, pool: OfPool<'_, AgentCheck>) -> AgentOverride {
    if let OfPool::Absent = pool {
        let message = "this backend's `agent_check` changes nothing: its pool has no `agent_check`";
        r.sink.error(r.span, message).help("add agent_check = { port = 9999 } to the pool");
    }
    let own = AgentOverride {
        enabled: r.field("enabled").boolean(),
        port: r.field("port").integer(1..=u16::MAX),
        host: host(&r.field("host")),
    };
    if let OfPool::Of(AgentCheck { port: None, .. }) = pool
        && own.enabled != Some(false)
        && !r.field("port").is_present()
    {
        let message = "this backend has no agent: neither its `agent_check` nor its pool's has a `port`";
        r.sink.error(r.span, message).help("add port = 9999");
    }
    own
}

/// Records that a backend on a unix socket has no host where its agent could be.
pub(super) fn reaches(
    url: &Field<'_>,
    at: &BackendUrl,
    pool: OfPool<'_, AgentCheck>,
    own: Option<&AgentOverride>,
) {
    let OfPool::Of(check) = pool else { return };
    let off = own.is_some_and(|o| o.enabled == Some(false));
    let port = own.and_then(|o| o.port).or(check.port);
    let host = own.and_then(|o| o.host.as_ref()).or(check.host.as_ref());
    if matches!(at.address(), Address::Unix(_)) && !off && port.is_some() && host.is_none() {
        url.error("a backend on a unix socket has no host where its agent could be")
            .help("give its `agent_check` a `host`, or enabled = false");
    }
}

/// Records that a pool whose backends are all known asks nobody.
pub(super) fn somebody(field: &Field<'_>, check: &AgentCheck, backends: &[Backend]) {
    let own = |b: &Backend| b.agent.as_ref().is_some_and(|a| a.port.is_some());
    if check.port.is_none() && !backends.iter().any(own) {
        let message = "`agent_check` asks nobody: neither it nor a backend has a `port`";
        field.error(message).help("add port = 9999");
    }
}
