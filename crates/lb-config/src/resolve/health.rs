//! Active health checks: a pool's, and what one backend has otherwise.

use super::http_check::{self, Keys};
use super::{OfPool, set, u32_to_usize};
use crate::node::shorten;
use crate::reader::{Field, Reader};
use lb_health::{
    CONCURRENT_MAX, CheckKind, GrpcCheck, HealthCheck, JITTER_PERCENT_MAX, LONGEST, SERVICE_BYTES_MAX,
    SHORTEST, TlsCheck,
};
use lb_types::{Address, Backend, BackendUrl, HealthCheckOverride, Scheme};

/// The types of checks, as the file says them.
const TYPES: [&str; 4] = ["http", "https", "grpc", "tcp"];

/// A pool's check, switched on or off.
pub(super) fn check(r: &Reader<'_>) -> HealthCheck {
    let mut check = HealthCheck::default();
    let kind = r.field("type");
    // A wrong type was reported; what stands beside it is not called foreign to it.
    let name = if kind.is_present() { kind.choice(&TYPES.map(|t| (t, t))) } else { Some("http") };
    let foreign = |keys: &[&str], to: &str| {
        let Some(name) = name else { return };
        r.refuse(keys, |key| format!("`{key}` belongs to {to} check, and this one is {name}"));
    };
    if name != Some("grpc") {
        foreign(&["service"], "a grpc");
    }
    match name {
        Some("tcp") => {
            foreign(&http_check::KEYS, "an http");
            foreign(&["tls"], "an http or grpc");
            check.kind = CheckKind::Tcp;
        }
        Some("grpc") => {
            foreign(&http_check::KEYS, "an http");
            check.kind = CheckKind::Grpc(grpc(r));
            check.tls = tls(r, false);
        }
        _ => {
            let http = http_check::check(http_check::keys(r));
            http_check::no_body_of_head(r, &http.method, http.expected_body.is_some());
            check.kind = CheckKind::Http(http);
            check.tls = tls(r, name == Some("https"));
        }
    }
    check.host = host(&r.field("host"));
    check.port = r.field("port").integer(1..=u16::MAX);
    set(&mut check.interval, r.field("interval").duration_within(SHORTEST..=LONGEST));
    set(&mut check.timeout, r.field("timeout").duration_within(SHORTEST..=LONGEST));
    set(&mut check.unhealthy_threshold, r.field("unhealthy_threshold").integer(1..=1000));
    set(&mut check.healthy_threshold, r.field("healthy_threshold").integer(1..=1000));
    set(&mut check.jitter_percent, r.field("jitter_percent").integer(0..=JITTER_PERCENT_MAX));
    set(
        &mut check.max_concurrent,
        r.field("max_concurrent").integer(1..=CONCURRENT_MAX as u32).map(u32_to_usize),
    );
    check
}

fn grpc(r: &Reader<'_>) -> GrpcCheck {
    let mut grpc = GrpcCheck::default();
    let field = r.field("service");
    if let Some(service) = field.text_or_empty() {
        service.clone_into(&mut grpc.service);
        if grpc.validate().is_err() {
            field.error(format!(
                "`service` must have at most {SERVICE_BYTES_MAX} bytes and no control characters"
            ));
        }
    }
    grpc
}

/// `https`: the check's type says that TLS is spoken.
fn tls(r: &Reader<'_>, https: bool) -> TlsCheck {
    let mut tls = if https { TlsCheck::always() } else { TlsCheck::default() };
    let Some(t) = r.field("tls").table() else { return tls };
    let enabled = t.field("enabled");
    match enabled.boolean() {
        Some(false) if https => {
            enabled.error("a check of type `https` cannot do without TLS").help("use type = \"http\"");
        }
        Some(on) => tls.enabled = Some(on),
        None => {}
    }
    set(&mut tls.verify, t.field("verify").boolean());
    tls.server_name = host(&t.field("server_name"));
    tls.ca = t.field("ca").text().map(Into::into);
    tls
}

/// Records that settings of TLS do nothing: neither the check nor a backend says that TLS is spoken. Only where all backends are known.
pub(super) fn tls_is_spoken(r: &Reader<'_>, check: &HealthCheck, backends: &[Backend]) {
    let field = r.field("tls");
    let https = backends.iter().any(|b| b.url.scheme() == Scheme::Https);
    if check.tls != TlsCheck::default() && check.tls.enabled.is_none() && !https {
        field
            .error("`tls` does nothing: no backend is https")
            .help("use type = \"https\", or enabled = true in it");
    }
}

/// What one backend has otherwise than its pool.
pub(super) fn overrides(r: &Reader<'_>, pool: OfPool<'_, HealthCheck>) -> HealthCheckOverride {
    let mut keys = Keys::default();
    match pool {
        OfPool::Absent => {
            let message = "this backend's `health_check` changes nothing: its pool has no `health_check`";
            r.sink.error(r.span, message).help("add health_check = {} to the pool");
        }
        OfPool::Of(HealthCheck { kind: kind @ (CheckKind::Tcp | CheckKind::Grpc(_)), .. }) => {
            let kind = if *kind == CheckKind::Tcp { "tcp" } else { "grpc" };
            r.refuse(&http_check::KEYS, |key| {
                format!("`{key}` belongs to an http check, and the pool's is {kind}")
            });
        }
        _ => {
            keys = http_check::keys(r);
            if let OfPool::Of(HealthCheck { kind: CheckKind::Http(http), .. }) = pool {
                let method = keys.method.as_ref().unwrap_or(&http.method);
                let expects = keys.expected_body.is_some() || http.expected_body.is_some();
                if r.field("method").is_present() || r.field("expected_body").is_present() {
                    http_check::no_body_of_head(r, method, expects);
                }
            }
        }
    }
    HealthCheckOverride {
        enabled: r.field("enabled").boolean(),
        path: keys.path,
        method: keys.method,
        expected_status: keys.expected_status,
        expected_body: keys.expected_body,
        headers: keys.headers,
        interval: r.field("interval").duration_within(SHORTEST..=LONGEST),
        timeout: r.field("timeout").duration_within(SHORTEST..=LONGEST),
        unhealthy_threshold: r.field("unhealthy_threshold").integer(1..=1000),
        healthy_threshold: r.field("healthy_threshold").integer(1..=1000),
        host: host(&r.field("host")),
        port: r.field("port").integer(1..=u16::MAX),
    }
}

/// Records that a check of a backend on a unix socket goes nowhere: half of another address is given, by its pool or (in `own`, its
/// own table) by itself.
pub(super) fn reaches(
    url: &Field<'_>,
    at: &BackendUrl,
    pool: OfPool<'_, HealthCheck>,
    own: Option<&Reader<'_>>,
) {
    let pool = match pool {
        OfPool::Of(check) => (check.host.is_some(), check.port.is_some()),
        OfPool::Unknown | OfPool::Absent => (false, false),
    };
    let own_field = |name| own.map(|r| r.field(name)).filter(Field::is_present);
    let (host, port) = (own_field("host"), own_field("port"));
    let (given, missing) = match (host.is_some() || pool.0, port.is_some() || pool.1) {
        (true, false) => (host, "port"),
        (false, true) => (port, "host"),
        _ => return,
    };
    if !matches!(at.address(), Address::Unix(_)) {
        return;
    }
    let message = format!("a backend on a unix socket has no `{missing}` of its own to check");
    given.as_ref().unwrap_or(url).error(message).help(format!("give `{missing}`, too"));
}

/// An IP address or a name, without a port.
pub(super) fn host(field: &Field<'_>) -> Option<String> {
    let text = field.text()?;
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Some(bare.to_owned());
    }
    // The URL parser knows what a host is; no colon or slash may smuggle in more.
    if !text.contains([':', '/', '@', '[']) && BackendUrl::http(text, 80).is_ok() {
        return Some(text.to_owned());
    }
    let message = format!("bad `{}` \"{}\"", field.name(), shorten(text));
    let help = if field.name() == "host" {
        "it must be an IP address or a name; the port has a key of its own"
    } else {
        "it must be an IP address or a name, without a port"
    };
    field.error(message).help(help);
    None
}
