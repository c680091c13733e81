//! Listeners and the admin address.

use super::{set, set_duration, u32_to_usize};
use crate::ListenAddress;
use crate::config::{Admin, Listener};
use crate::reader::{Field, Reader};
use std::collections::HashSet;
use std::net::SocketAddr;

/// hyper refuses a smaller head buffer.
const HEADER_BYTES_MIN: u64 = 8 * 1024;
const HEADER_BYTES_MAX: u64 = 1024 * 1024;

const BODY_BYTES_MAX: u64 = 1 << 50;
/// The highest rate that can be asked of a client, in bytes a second.
const RATE_MAX: u64 = 1 << 30;

/// Addresses that are taken.
pub(super) type Seen = HashSet<ListenAddress>;

pub(super) fn listeners(readers: &[Reader<'_>], out: &mut Vec<Listener>) -> Seen {
    let mut seen = Seen::new();
    for r in readers {
        let field = r.field("address").required();
        let address = parse(&field);
        if let Some(a) = &address
            && !any_port(a)
            && !seen.insert(a.clone())
        {
            field.error(format!("address \"{a}\" is listened on twice"));
        }
        // A stand-in while further errors are looked for.
        let address = address.unwrap_or(ListenAddress::Tcp(SocketAddr::from(([127, 0, 0, 1], 0))));
        out.push(listener(r, address));
    }
    seen
}

fn any_port(address: &ListenAddress) -> bool {
    matches!(address, ListenAddress::Tcp(a) if a.port() == 0)
}

fn listener(r: &Reader<'_>, address: ListenAddress) -> Listener {
    let mut l = Listener::new(address);
    if let Some(t) = r.field("timeouts").table() {
        set_duration(&mut l.header_timeout, &t, "header");
        set_duration(&mut l.body_timeout, &t, "body");
        set_duration(&mut l.idle_timeout, &t, "idle");
    }
    set(&mut l.max_connections, r.field("max_connections").integer(1..=10_000_000).map(u32_to_usize));
    l.max_connections_per_ip = r.field("max_connections_per_ip").integer(1..=10_000_000);
    if let Some(t) = r.field("limits").table() {
        set(&mut l.max_header_count, t.field("header_count").integer(1..=4096).map(u32_to_usize));
        let bytes = t.field("header_bytes").size(HEADER_BYTES_MIN..=HEADER_BYTES_MAX);
        set(&mut l.max_header_bytes, bytes.and_then(|b| usize::try_from(b).ok()));
        l.max_body_bytes = t.field("body_bytes").size(0..=BODY_BYTES_MAX);
        l.min_body_rate = t.field("min_body_rate").size(1..=RATE_MAX);
        l.min_send_rate = t.field("min_send_rate").size(1..=RATE_MAX);
        let grace = t.field("rate_grace");
        set(&mut l.rate_grace, grace.duration_or_zero());
        if grace.is_present() && l.min_body_rate.is_none() && l.min_send_rate.is_none() {
            let message = "`rate_grace` does nothing without `min_body_rate` or `min_send_rate`";
            r.sink.error(grace.key_span(), message);
        }
    }
    l
}

/// The admin address, which must be loopback: nothing else keeps strangers out until `token` is built.
pub(super) fn admin(r: &Reader<'_>, taken: &Seen) -> Option<Admin> {
    let enabled = r.enabled();
    let field = r.field("address").required();
    let address = parse(&field)?;
    let ListenAddress::Tcp(tcp) = address else {
        field.error("the admin address must be IP:port, not a unix socket");
        return None;
    };
    if !tcp.ip().is_loopback() {
        let message = format!("the admin address {tcp} is not a loopback address");
        field.error(message).help(format!(
            "use 127.0.0.1:{} until key `token`, which protects any other, is built",
            tcp.port()
        ));
    }
    if enabled && taken.contains(&address) {
        field.error(format!("address \"{address}\" is already a listener's"));
    }
    enabled.then(|| Admin::new(tcp))
}

fn parse(field: &Field<'_>) -> Option<ListenAddress> {
    let parsed = field.text()?.parse::<ListenAddress>();
    parsed
        .map_err(|e| {
            let help = e.instead.as_ref().map(|i| format!("did you mean \"{i}\"?"));
            field.error(e.to_string()).maybe_help(help);
        })
        .ok()
}
