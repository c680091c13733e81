//! `session_affinity`: who is recognised by what, and for how long.

use super::known::Known;
use super::{set, u32_to_usize};
use crate::config::Affinity;
use crate::reader::Reader;
use lb_session::cookie::seal::{BACKEND_BYTES_MAX, SECRETS_MAX};
use lb_session::settings::SESSIONS_MAX;
use lb_session::{AffinityKind, CookieOptions, SameSite, Secret, Secure, SessionAffinity};
use lb_types::Backend;

const KINDS: [AffinityKind; 3] = [AffinityKind::IpHash, AffinityKind::Cookie, AffinityKind::Header];

/// A pool's sessions, switched on or off.
pub(super) fn affinity(r: &Reader<'_>, known: &Known<'_>) -> Affinity {
    let mut s = SessionAffinity::default();
    let kind = r.field("type");
    // A wrong type was reported; what stands beside it is not called foreign to it.
    let named = if kind.is_present() { kind.choice(&KINDS.map(|k| (k.as_str(), k))) } else { Some(s.kind) };
    set(&mut s.kind, named);
    let foreign = |keys: &[&str], to: AffinityKind| {
        let Some(named) = named.filter(|named| *named != to) else { return };
        r.refuse(keys, |key| format!("`{key}` belongs to sessions by {to}, and these are by {named}"));
    };
    foreign(&["cookie_name", "cookie_options", "secret"], AffinityKind::Cookie);
    foreign(&["header_name"], AffinityKind::Header);
    set(&mut s.cookie_name, r.field("cookie_name").text().map(str::to_owned));
    set(&mut s.header_name, r.field("header_name").text().map(str::to_owned));
    set(&mut s.ttl, r.field("ttl").duration_or_zero());
    s.max_lifetime = s.max_lifetime.max(Some(s.ttl));
    set(&mut s.max_lifetime, r.field("max_lifetime").duration_or_none());
    set(&mut s.strict, r.field("strict").boolean());
    set(&mut s.max_sessions, r.field("max_sessions").integer(1..=SESSIONS_MAX as u32).map(u32_to_usize));
    if let Some(t) = r.field("cookie_options").table() {
        s.cookie_options = options(&t);
    }
    s.secret = secrets(r, known);
    validate(r, &s);
    let storage = known.storage(&r.field("storage")).unwrap_or_default();
    Affinity { settings: s, storage }
}

fn options(r: &Reader<'_>) -> CookieOptions {
    let mut o = CookieOptions::default();
    set(&mut o.http_only, r.field("http_only").boolean());
    set(&mut o.secure, r.field("secure").boolean().map(|on| if on { Secure::Yes } else { Secure::No }));
    let same_site = ["strict", "lax", "none"].map(|name| (name, SameSite::parse(name)));
    set(&mut o.same_site, r.field("same_site").choice(&same_site).flatten());
    let age = r.field("max_age");
    match age.seconds() {
        Some(seconds) => o.max_age = Some(seconds),
        None => set(&mut o.max_age, age.duration_or_none()),
    }
    set(&mut o.path, r.field("path").text().map(str::to_owned));
    o.domain = r.field("domain").text().map(str::to_owned);
    o
}

fn secrets(r: &Reader<'_>, known: &Known<'_>) -> Vec<Secret> {
    let field = r.field("secret");
    let nodes = field.one_or_more().unwrap_or_default();
    if nodes.len() > SECRETS_MAX {
        field.error(format!("`secret` must have at most {SECRETS_MAX} secrets, not {}", nodes.len()));
    }
    let secret = |node| {
        let made = Secret::new(known.secrets.read(&field, node)?);
        made.map_err(|e| field.sink.error(node.span, format!("`secret` = {}: {}", e.value, e.must))).ok()
    };
    nodes.iter().filter_map(secret).collect()
}

/// Records what the crate finds wrong, at its key.
fn validate(r: &Reader<'_>, s: &SessionAffinity) {
    let Err(e) = s.validate() else { return };
    let options = r.field("cookie_options");
    if !matches!(e.field, "max_age" | "path" | "domain" | "secure") {
        r.field(e.field).bad_setting(&e.value, &e.must);
        return;
    }
    // Only `secure` can be wrong while it is not given: by the cookie's name or `same_site`.
    let missing = |at: &crate::reader::Field<'_>, help: &str| {
        at.error(format!("`secure` {}", e.must)).help(help);
    };
    match options.table() {
        Some(t) if t.field(e.field).is_present() => t.field(e.field).bad_setting(&e.value, &e.must),
        Some(t) if s.cookie_options.same_site == SameSite::None => {
            missing(&t.field("same_site"), "add secure = true");
        }
        Some(_) => missing(&r.field("cookie_name"), "add secure = true to `cookie_options`"),
        None => missing(&r.field("cookie_name"), "add cookie_options = { secure = true }"),
    }
}

/// Records a backend that no cookie can name.
pub(super) fn names_fit(r: &Reader<'_>, affinity: &Affinity, backends: &[Backend]) {
    let long = |b: &&Backend| b.id.as_str().len() > BACKEND_BYTES_MAX;
    if affinity.settings.kind == AffinityKind::Cookie
        && let Some(at) = backends.iter().position(|b| long(&b))
    {
        let message = format!(
            "the `id` of backend {} has more than {BACKEND_BYTES_MAX} bytes, which a cookie cannot carry",
            at + 1
        );
        r.sink.error(r.span, message).help("give it a shorter id");
    }
}
