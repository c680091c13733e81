//! Active health checks: a pool's, and what one backend has otherwise.

use super::algorithm::is_token;
use super::{set, u32_to_usize};
use crate::node::{Value, shorten};
use crate::reader::{Field, Reader};
use lb_health::{
    CONCURRENT_MAX, CheckKind, HealthCheck, HttpCheck, JITTER_PERCENT_MAX, LONGEST, PATH_BYTES_MAX, SHORTEST,
};
use lb_types::{BackendUrl, HealthCheckOverride};
use std::ops::RangeInclusive;

/// Headers that say how the message is framed or the connection used: `lb-health` refuses them, too.
const OWN_HEADERS: [&str; 6] =
    ["connection", "content-length", "expect", "te", "transfer-encoding", "upgrade"];

/// What backends need to know of their pool's check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PoolCheck {
    /// The pool has none.
    Absent,
    /// It connects only.
    Tcp,
    /// It asks for a path.
    Http,
}

pub(super) fn check(r: &Reader<'_>) -> (Option<HealthCheck>, PoolCheck) {
    let mut check = HealthCheck::default();
    let tcp = kind(&r.field("type"));
    if tcp {
        r.refuse(&["path", "method", "expected_status", "headers"], |key| {
            format!("`{key}` belongs to an http check, and this one is tcp")
        });
        check.kind = CheckKind::Tcp;
    } else {
        check.kind = CheckKind::Http(http(r));
    }
    set(&mut check.interval, r.field("interval").duration_within(SHORTEST..=LONGEST));
    set(&mut check.timeout, r.field("timeout").duration_within(SHORTEST..=LONGEST));
    set(&mut check.unhealthy_threshold, r.field("unhealthy_threshold").integer(1..=1000));
    set(&mut check.healthy_threshold, r.field("healthy_threshold").integer(1..=1000));
    set(&mut check.jitter_percent, r.field("jitter_percent").integer(0..=JITTER_PERCENT_MAX));
    set(
        &mut check.max_concurrent,
        r.field("max_concurrent").integer(1..=CONCURRENT_MAX as u32).map(u32_to_usize),
    );
    (r.enabled().then_some(check), if tcp { PoolCheck::Tcp } else { PoolCheck::Http })
}

/// Whether the check is `tcp`.
fn kind(field: &Field<'_>) -> bool {
    if !field.is_present() {
        return false;
    }
    match field.text() {
        Some("tcp") => true,
        Some(planned @ ("grpc" | "https")) => {
            field.error(format!(
                "health check type `{planned}` is not built yet (planned: further health checks)"
            ));
            false
        }
        Some("http") | None => false,
        Some(other) => {
            field.not_a_choice(other, ["http", "tcp"].into_iter());
            false
        }
    }
}

fn http(r: &Reader<'_>) -> HttpCheck {
    let mut http = HttpCheck::default();
    set(&mut http.path, path(&r.field("path")));
    let method = r.field("method");
    if let Some(m) = method.text() {
        if m == "CONNECT" {
            method.error("method \"CONNECT\" asks for a tunnel, not for an answer");
        } else if is_token(m) && m.bytes().all(|b| !b.is_ascii_lowercase()) {
            m.clone_into(&mut http.method);
        } else {
            let upper = m.to_ascii_uppercase();
            let help = is_token(&upper).then(|| format!("did you mean \"{upper}\"?"));
            method.error(format!("bad HTTP method \"{}\"", shorten(m))).maybe_help(help);
        }
    }
    set(&mut http.expected_status, statuses(&r.field("expected_status")));
    headers(&r.field("headers"), &mut http.headers, r);
    http
}

/// A path with a query if wanted, as it may stand in a request line.
fn path(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    if !text.starts_with('/') {
        let help = format!("did you mean \"/{}\"?", shorten(text));
        field.error(format!("`path` must start with /, not \"{}\"", shorten(text))).help(help);
        return None;
    }
    // RFC 3986 `pchar`, `/` and `?`.
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._~!$&'()*+,;=:@/%?".contains(c);
    if let Some(c) = text.chars().find(|c| !fits(*c)) {
        let message = format!("`path` has the character {c:?}, which may not stand in a request");
        let mut utf8 = [0; 4];
        let escaped: String = c.encode_utf8(&mut utf8).bytes().map(|b| format!("%{b:02X}")).collect();
        field.error(message).help(format!("write it as {escaped}"));
        return None;
    }
    if text.len() > PATH_BYTES_MAX {
        field.error(format!("`path` must have at most {PATH_BYTES_MAX} bytes"));
        return None;
    }
    Some(text.to_owned())
}

/// Adds headers; one of the same name as a default replaces it.
fn headers(field: &Field<'_>, out: &mut Vec<(String, String)>, r: &Reader<'_>) {
    for (name, value, span) in field.texts().unwrap_or_default() {
        let shown = shorten(name);
        if !is_token(name) {
            r.sink.error(span, format!("\"{shown}\" is no header name"));
        } else if OWN_HEADERS.iter().any(|own| name.eq_ignore_ascii_case(own)) {
            r.sink.error(span, format!("header `{shown}` is set by the check itself"));
        } else if value.bytes().any(|b| b != b'\t' && (b < b' ' || b == 0x7F)) {
            r.sink.error(span, format!("the value of header `{shown}` has a control character"));
        } else {
            out.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
            out.push((name.to_owned(), value.to_owned()));
        }
    }
}

/// Statuses and ranges of them, sorted and merged.
fn statuses(field: &Field<'_>) -> Option<Vec<RangeInclusive<u16>>> {
    let items = field.list()?;
    if items.is_empty() {
        field.error("`expected_status` must have at least one status");
        return None;
    }
    let mut ranges = Vec::with_capacity(items.len());
    for item in items {
        let range = match &item.value {
            Value::Integer(n) => u16::try_from(*n).ok().map(|n| (n, n)),
            Value::Text(t) => match t.split_once('-') {
                Some((low, high)) => low.trim().parse().ok().zip(high.trim().parse().ok()),
                None => t.trim().parse().ok().map(|n| (n, n)),
            },
            _ => None,
        };
        match range {
            // 1xx alone could never pass: such answers are interim.
            Some((low, high)) if low >= 100 && low <= high && (200..=599).contains(&high) => {
                ranges.push((low, high));
            }
            _ => {
                let help = "a status is a number from 200 to 599, a range is text such as \"200-299\"";
                field.error_at(item, |found| format!("bad status {found} in `expected_status`")).help(help);
            }
        }
    }
    ranges.sort_unstable();
    let mut merged: Vec<(u16, u16)> = Vec::with_capacity(ranges.len());
    for (low, high) in ranges {
        match merged.last_mut() {
            Some((_, end)) if low <= *end + 1 => *end = high.max(*end),
            _ => merged.push((low, high)),
        }
    }
    Some(merged.into_iter().map(|(low, high)| low..=high).collect())
}

/// What one backend has otherwise than its pool. `pool` is `None` where the pool is not known (a discovered backend).
pub(super) fn overrides(
    r: &Reader<'_>,
    pool: Option<PoolCheck>,
    url: Option<&BackendUrl>,
) -> HealthCheckOverride {
    if pool == Some(PoolCheck::Absent) {
        let message = "this backend's `health_check` changes nothing: its pool has no `health_check`";
        r.sink.error(r.span, message).help("add health_check = {} to the pool");
    }
    if pool == Some(PoolCheck::Tcp) {
        r.refuse(&["path"], |_| "`path` belongs to an http check, and the pool's is tcp".to_owned());
    }
    let host = r.field("host");
    let port = r.field("port");
    if let Some(url) = url
        && matches!(url.address(), lb_types::Address::Unix(_))
        && port.is_present() != host.is_present()
    {
        let (given, missing) = if port.is_present() { (&port, "host") } else { (&host, "port") };
        given
            .error(format!("a backend on a unix socket has no `{missing}` of its own to check"))
            .help(format!("give `{missing}`, too"));
    }
    HealthCheckOverride {
        enabled: r.field("enabled").boolean(),
        path: path(&r.field("path")),
        interval: r.field("interval").duration_within(SHORTEST..=LONGEST),
        timeout: r.field("timeout").duration_within(SHORTEST..=LONGEST),
        unhealthy_threshold: r.field("unhealthy_threshold").integer(1..=1000),
        healthy_threshold: r.field("healthy_threshold").integer(1..=1000),
        host: check_host(&host),
        port: port.integer(1..=u16::MAX),
    }
}

/// An IP address or a name, without a port.
fn check_host(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Some(bare.to_owned());
    }
    // The URL parser knows what a host is; no colon or slash may smuggle in more.
    if !text.contains([':', '/', '@', '[']) && BackendUrl::http(text, 80).is_ok() {
        return Some(text.to_owned());
    }
    let message = format!("bad `host` \"{}\"", shorten(text));
    field.error(message).help("it must be an IP address or a name; the port has a key of its own");
    None
}
