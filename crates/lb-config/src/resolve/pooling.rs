//! A pool's connections to its backends.

use super::{set, set_duration};
use crate::config::ConnectionPooling;
use crate::reader::Reader;

/// The most sockets to one backend that can be asked for.
const CONNECTIONS_MAX: u32 = 1_000_000;

pub(super) fn pooling(r: &Reader<'_>) -> ConnectionPooling {
    let mut p = ConnectionPooling::default();
    set(&mut p.enabled, r.field("enabled").boolean());
    set(&mut p.max_connections, r.field("max_connections").integer(1..=CONNECTIONS_MAX));
    set_duration(&mut p.max_idle_time, r, "max_idle_time");
    set(&mut p.keep_alive, r.field("keep_alive").boolean());
    set_duration(&mut p.keep_alive_timeout, r, "keep_alive_timeout");
    p.max_requests = r.field("max_requests").integer(1..=u32::MAX);
    p.max_lifetime = r.field("max_lifetime").duration();
    let ahead = r.field("preconnect");
    set(&mut p.preconnect, ahead.integer(0..=p.max_connections));
    let off = [("enabled", p.enabled), ("keep_alive", p.keep_alive)].into_iter().find(|(_, on)| !on);
    if let Some((off, _)) = off {
        let why =
            |key: &str| format!("`{key}` does nothing while `{off}` is false: connections are not kept");
        if p.preconnect > 0 {
            r.sink.error(ahead.key_span(), why("preconnect"));
        }
        r.refuse(&["max_idle_time", "keep_alive_timeout", "max_requests", "max_lifetime"], why);
    }
    p
}
