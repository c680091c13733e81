//! Which headers pass, and which the proxy sets.
//!
//! Hop-by-hop headers never pass (RFC 9110 §7.6.1): the fixed list and what `Connection` names, but for those that a client must not be
//! able to take from under a backend (framing, host, credentials, forwarding). To the backend the proxy sets
//! `X-Forwarded-For`, `-Host`, `-Proto`, `X-Real-IP` and `Via`. What a client says in the first four or in `Forwarded` is
//! replaced or removed, unless it is a trusted proxy: then [`trust`](crate::trust) says what of it goes on.
//!
//! Backends shall see the chain that is believed. Where trusted proxies write `X-Forwarded-For`, the peer is appended to it and `Forwarded` is
//! removed: that one they pass on as a client wrote it. Where they write `Forwarded`, the peer is appended to that one, and
//! `X-Forwarded-For` is made of what was believed: the client and the peer.

use crate::proxy::Client;
use crate::trust::Told;
use http::header::{self, Entry, HeaderMap, HeaderName, HeaderValue};
use lb_balancer::session::{Stripped, strip};
use lb_geo::ClientAddress;
use lb_types::Nanos;

pub(crate) const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
pub(crate) const X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
pub(crate) const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
pub(crate) const X_SERVICE: HeaderName = HeaderName::from_static("x-service");
pub(crate) const X_BACKEND: HeaderName = HeaderName::from_static("x-backend");
pub(crate) const X_BACKEND_SERVER: HeaderName = HeaderName::from_static("x-backend-server");
pub(crate) const X_LOAD_BALANCED: HeaderName = HeaderName::from_static("x-load-balanced");
const X_BACKEND_RESPONSE_TIME: HeaderName = HeaderName::from_static("x-backend-response-time");
const X_RESPONSE_TIME: HeaderName = HeaderName::from_static("x-response-time");
const X_REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
const HTTP2_SETTINGS: HeaderName = HeaderName::from_static("http2-settings");

/// What `Connection` cannot name away.
fn is_protected(name: &HeaderName) -> bool {
    [
        &header::HOST,
        &header::CONTENT_LENGTH,
        &header::COOKIE,
        &header::AUTHORIZATION,
        &X_FORWARDED_FOR,
        &X_FORWARDED_HOST,
        &X_FORWARDED_PROTO,
        &X_REAL_IP,
        &header::FORWARDED,
        &header::VIA,
    ]
    .contains(&name)
}

/// Goes from hop to hop, whatever `Connection` says. The body's framing is made anew by whoever writes the message.
#[inline]
fn is_hop_by_hop(name: &HeaderName) -> bool {
    name == header::CONNECTION
        || name == header::TRANSFER_ENCODING
        || name == header::UPGRADE
        || name == header::PROXY_AUTHENTICATE
        || name == header::PROXY_AUTHORIZATION
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
        || *name == HTTP2_SETTINGS
}

/// Removes the hop-by-hop headers. One look at each header where there are none, which is most often. Gives what `Keep-Alive` said.
fn strip_hop_by_hop(headers: &mut HeaderMap) -> Option<Nanos> {
    let mut kept_for = None;
    while let Some(name) = headers.keys().find(|n| is_hop_by_hop(n)) {
        let name = name.clone();
        if name == header::CONNECTION {
            strip_connection(headers);
        } else {
            let value = headers.remove(&name);
            if name == KEEP_ALIVE {
                kept_for = value.as_ref().and_then(keep_alive_timeout);
            }
        }
    }
    kept_for
}

/// How long a peer keeps an idle connection open by its own word (`Keep-Alive: timeout=5, max=100`, RFC 2068 §19.7.1.1), less a second, so
/// that a request does not meet its close.
fn keep_alive_timeout(value: &HeaderValue) -> Option<Nanos> {
    let parameters = value.to_str().ok()?.split(',').filter_map(|p| p.split_once('='));
    let timeout = parameters.into_iter().find(|(name, _)| name.trim().eq_ignore_ascii_case("timeout"))?.1;
    let seconds: u64 = timeout.trim().trim_matches('"').parse().ok()?;
    Some(Nanos::from_secs(if seconds > 1 { seconds - 1 } else { seconds }))
}

/// Removes `Connection` and what it names.
fn strip_connection(headers: &mut HeaderMap) {
    let plain = |v: &HeaderValue| {
        let v = v.as_bytes();
        v.eq_ignore_ascii_case(b"keep-alive") || v.eq_ignore_ascii_case(b"close")
    };
    if !headers.get_all(header::CONNECTION).iter().all(plain) {
        let named: Vec<HeaderName> = headers
            .get_all(header::CONNECTION)
            .iter()
            .filter_map(|v| v.to_str().ok())
            .flat_map(|v| v.split(','))
            .filter_map(|n| n.trim().parse().ok())
            // `Keep-Alive` goes as what it is.
            .filter(|n| !is_protected(n) && *n != KEEP_ALIVE)
            .collect();
        for name in named {
            headers.remove(name);
        }
    }
    headers.remove(header::CONNECTION);
}

/// What one look at a request's headers shows, so that each is not looked for by itself.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// How many `Host` headers.
    pub(crate) hosts: u32,
    /// `Accept` mentions JSON.
    pub(crate) json: bool,
    /// `Expect: 100-continue`.
    pub(crate) expects_continue: bool,
    /// Something that does not pass, or passes only under conditions.
    pub(crate) odd: bool,
}

impl Seen {
    #[inline]
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let mut seen = Self::default();
        for (name, value) in headers {
            if name == header::HOST {
                seen.hosts += 1;
            } else if name == header::ACCEPT {
                seen.json |= memchr::memmem::find(value.as_bytes(), b"json").is_some();
            } else if name == header::EXPECT {
                seen.expects_continue |= value.as_bytes().eq_ignore_ascii_case(b"100-continue");
            } else if is_hop_by_hop(name)
                || name == header::TE
                || name == header::FORWARDED
                || *name == X_FORWARDED_HOST
            {
                seen.odd = true;
            }
        }
        seen
    }
}

/// The peer as the forwarding headers name it: made once a connection.
#[derive(Clone, Debug)]
pub(crate) struct Forwarding {
    /// The address; `unknown` (RFC 7239 §6) for a client without one.
    pub(crate) client: HeaderValue,
    pub(crate) proto: HeaderValue,
}

impl Forwarding {
    pub(crate) fn new(client: Option<std::net::IpAddr>) -> Self {
        let text = client.map_or_else(|| "unknown".to_owned(), |ip| ip.to_canonical().to_string());
        let client = HeaderValue::from_str(&text).unwrap_or(HeaderValue::from_static("unknown"));
        Self { client, proto: HeaderValue::from_static("http") }
    }
}

/// How many headers [`to_backend`] and `Outgoing` add, but for `Forwarded`, which is seldom.
const ADDED: usize = 6;

/// Makes a client's headers fit for a backend. `whose` is what [`Client::address`] said of the request.
#[inline(always)] // for the plain walk: mirrors call it, too
pub(crate) fn to_backend(
    headers: &mut HeaderMap,
    seen: &Seen,
    version: http::Version,
    client: &Client,
    whose: Option<ClientAddress>,
) {
    let told = client.trust.as_deref().zip(whose).map(|(trust, whose)| trust.tell(headers, whose));
    if seen.odd {
        let trailers =
            headers.get(header::TE).is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
        strip_hop_by_hop(headers);
        if !trailers {
            headers.remove(header::TE);
        }
        headers.remove(header::FORWARDED);
        headers.remove(X_FORWARDED_HOST);
    }
    headers.reserve(ADDED);
    let Forwarding { client: peer, proto } = &client.forwarding;
    match told {
        None => {
            headers.insert(X_FORWARDED_FOR, peer.clone());
            headers.insert(X_REAL_IP, peer.clone());
            headers.insert(X_FORWARDED_PROTO, proto.clone());
            if let Some(asked) = headers.get(header::HOST).cloned() {
                headers.insert(X_FORWARDED_HOST, asked);
            }
        }
        Some(told) => set_told(headers, told, proto),
    }
    let via = if version == http::Version::HTTP_10 { "1.0 edge-lb" } else { "1.1 edge-lb" };
    headers.append(header::VIA, HeaderValue::from_static(via));
}

#[inline(never)]
fn set_told(headers: &mut HeaderMap, told: Told, proto: &HeaderValue) {
    headers.insert(X_FORWARDED_FOR, told.forwarded_for);
    headers.insert(X_REAL_IP, told.real_ip);
    headers.insert(X_FORWARDED_PROTO, told.proto.unwrap_or_else(|| proto.clone()));
    if let Some(asked) = told.host.or_else(|| headers.get(header::HOST).cloned()) {
        headers.insert(X_FORWARDED_HOST, asked);
    }
    if let Some(forwarded) = told.forwarded {
        headers.insert(header::FORWARDED, forwarded);
    }
}

/// Says in `Forwarded` (RFC 7239) what the `X-Forwarded-…` headers to the backend say: the client, the peer if it is another, and what was asked for.
/// What a trusted proxy says there stands already.
#[cold]
pub(crate) fn add_forwarded(headers: &mut HeaderMap, client: &Client) {
    if headers.contains_key(header::FORWARDED) {
        return;
    }
    let text = |name: &HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let peer = client.forwarding.client.to_str().unwrap_or("unknown");
    let whose = text(&X_REAL_IP).unwrap_or(peer);
    let mut said = format!("for={}", node(whose));
    for (parameter, name) in [("host", &X_FORWARDED_HOST), ("proto", &X_FORWARDED_PROTO)] {
        if let Some(value) = text(name).filter(|value| !value.is_empty()) {
            // A sane host and a scheme have neither quotes nor backslashes.
            let quoted = value.bytes().any(|b| !(b.is_ascii_alphanumeric() || b"-._~!$&'*+%".contains(&b)));
            let (open, close) = if quoted { ("\"", "\"") } else { ("", "") };
            said.push_str(&format!(";{parameter}={open}{value}{close}"));
        }
    }
    if whose != peer {
        said.push_str(&format!(", for={}", node(peer)));
    }
    if let Ok(value) = HeaderValue::from_str(&said) {
        headers.insert(header::FORWARDED, value);
    }
}

/// RFC 7239 §6: an IPv6 address stands in brackets, and so in quotes.
fn node(address: &str) -> std::borrow::Cow<'_, str> {
    if address.contains(':') { format!("\"[{address}]\"").into() } else { address.into() }
}

/// Does a response say twice where it ends? (RFC 9112 §6.3: the sign of an attempt to smuggle a second one.)
pub(crate) fn has_two_lengths(headers: &HeaderMap) -> bool {
    headers.contains_key(header::TRANSFER_ENCODING) && headers.contains_key(header::CONTENT_LENGTH)
}

/// Takes a cookie of ours out of a request: backends see the others, byte by byte as they came.
pub(crate) fn strip_cookie(headers: &mut HeaderMap, name: &str) {
    let Entry::Occupied(lines) = headers.entry(header::COOKIE) else { return };
    let ours = |value: &HeaderValue| strip(value.as_bytes(), name);
    if lines.iter().all(|value| ours(value) == Stripped::Unchanged) {
        return;
    }
    let rest: Vec<HeaderValue> = lines
        .iter()
        .filter_map(|value| match ours(value) {
            Stripped::Unchanged => Some(value.clone()),
            // Bytes that were in a header value are one.
            Stripped::Rest(rest) => HeaderValue::from_bytes(&rest).ok(),
            Stripped::Nothing => None,
        })
        .collect();
    lines.remove_entry_mult();
    for value in rest {
        headers.append(header::COOKIE, value);
    }
}

/// Did the client come by TLS, as the headers to the backend say?
pub(crate) fn came_by_tls(to_backend: &HeaderMap) -> bool {
    to_backend.get(&X_FORWARDED_PROTO).is_some_and(|proto| proto == "https")
}

/// Adds a `Set-Cookie` of ours beside those of the backend.
#[cold]
pub(crate) fn add_cookie(headers: &mut HeaderMap, cookie: &str) {
    // Its parts were looked at when the settings were: it is a header value.
    if let Ok(value) = HeaderValue::from_str(cookie) {
        headers.append(header::SET_COOKIE, value);
    }
}

/// Tells a client who has answered, and how fast: by the backend's own word, else in milliseconds to the head.
#[cold]
pub(crate) fn tell_server(headers: &mut HeaderMap, id: &str, ttfb: Nanos) {
    if let Ok(id) = HeaderValue::from_str(id) {
        headers.insert(X_BACKEND_SERVER, id);
    }
    headers.insert(X_LOAD_BALANCED, HeaderValue::from_static("true"));
    let own = headers.get(&X_RESPONSE_TIME).cloned();
    headers.insert(X_BACKEND_RESPONSE_TIME, own.unwrap_or_else(|| HeaderValue::from(ttfb.as_millis())));
}

/// Makes a backend's headers fit for a client. Gives how long the backend keeps the connection open, if it says so.
pub(crate) fn to_client(headers: &mut HeaderMap) -> Option<Nanos> {
    strip_hop_by_hop(headers)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|&(n, v)| (HeaderName::from_static(n), HeaderValue::from_static(v))).collect()
    }

    fn client(ip: &str) -> Client {
        let limits = crate::proxy::ClientLimits::timeouts(Duration::ZERO, Duration::ZERO);
        Client::new(ip.parse().ok(), None, limits.into())
    }

    #[test]
    fn what_keep_alive_says_is_heard_and_goes() {
        for (said, seconds) in [
            ("timeout=5", Some(4)),
            ("max=100, Timeout = \"30\"", Some(29)),
            ("timeout=1", Some(1)),
            ("timeout=0", Some(0)),
            ("timeout=-1", None),
            ("timeout=5s", None),
            ("max=7", None),
            ("", None),
        ] {
            let mut h = map(&[("connection", "Keep-Alive, X"), ("keep-alive", said)]);
            assert_eq!(to_client(&mut h), seconds.map(Nanos::from_secs), "{said}");
            assert!(h.is_empty(), "{h:?}");
        }
        assert_eq!(to_client(&mut map(&[("etag", "timeout=5")])), None);
    }

    #[test]
    fn hop_by_hop_headers_go() {
        let mut h = map(&[
            ("connection", "close, X-Hop, cookie, content-length, x-forwarded-for"),
            ("x-hop", "1"),
            ("cookie", "a=b"),
            ("content-length", "3"),
            ("keep-alive", "timeout=5"),
            ("te", "gzip"),
            ("upgrade", "h2c"),
            ("http2-settings", "x"),
            ("proxy-authorization", "secret"),
            ("forwarded", "for=1.2.3.4"),
            ("x-forwarded-for", "6.6.6.6"),
            ("x-real-ip", "6.6.6.6"),
            ("host", "site.example"),
        ]);
        let seen = Seen::of(&h);
        to_backend(&mut h, &seen, http::Version::HTTP_11, &client("::ffff:10.0.0.7"), None);
        let mut left: Vec<_> = h.iter().map(|(n, v)| format!("{n}: {}", v.to_str().unwrap())).collect();
        left.sort();
        assert_eq!(
            left,
            [
                "content-length: 3",
                "cookie: a=b",
                "host: site.example",
                "via: 1.1 edge-lb",
                "x-forwarded-for: 10.0.0.7",
                "x-forwarded-host: site.example",
                "x-forwarded-proto: http",
                "x-real-ip: 10.0.0.7",
            ]
        );
    }

    #[test]
    fn our_cookie_goes_and_the_others_stay_as_they_are() {
        let mut h = HeaderMap::new();
        for line in ["a=1; lb=x; b=\"2\"", "lb=y", "c=3"] {
            h.append(header::COOKIE, HeaderValue::from_static(line));
        }
        let before = h.clone();
        strip_cookie(&mut h, "other");
        assert_eq!(h, before);
        strip_cookie(&mut h, "lb");
        assert_eq!(h.get_all(header::COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=\"2\"", "c=3"]);
        let mut only = map(&[("cookie", "lb=x")]);
        strip_cookie(&mut only, "lb");
        assert!(only.is_empty());
        add_cookie(&mut only, "lb=z; Path=/");
        assert_eq!(only[header::SET_COOKIE], "lb=z; Path=/");
    }

    #[test]
    fn forwarded_says_what_the_others_say() {
        let said = |ip: &str, host: &'static str| {
            let mut h = map(&[("host", host), ("forwarded", "for=evil")]);
            let (seen, client) = (Seen::of(&h), client(ip));
            to_backend(&mut h, &seen, http::Version::HTTP_11, &client, client.address(&HeaderMap::new()));
            add_forwarded(&mut h, &client);
            h[header::FORWARDED].to_str().unwrap().to_owned()
        };
        assert_eq!(said("192.0.2.7", "a.example"), "for=192.0.2.7;host=a.example;proto=http");
        assert_eq!(said("2001:db8::1", "a:80"), "for=\"[2001:db8::1]\";host=\"a:80\";proto=http");
        assert_eq!(said("none", "a"), "for=unknown;host=a;proto=http");
        let mut h = map(&[("forwarded", "for=a, for=b"), ("x-real-ip", "192.0.2.9")]);
        add_forwarded(&mut h, &client("10.0.0.1"));
        assert_eq!(h[header::FORWARDED], "for=a, for=b", "a trusted proxy's chain is kept");
        let mut h = map(&[("x-real-ip", "192.0.2.9")]);
        add_forwarded(&mut h, &client("10.0.0.1"));
        assert_eq!(h[header::FORWARDED], "for=192.0.2.9, for=10.0.0.1");
    }

    #[test]
    fn te_trailers_and_earlier_vias_stay() {
        let mut h = map(&[("te", "trailers"), ("via", "1.1 cdn"), ("host", "a")]);
        let seen = Seen::of(&h);
        to_backend(&mut h, &seen, http::Version::HTTP_10, &client("none"), None);
        assert_eq!(h.get_all("via").iter().collect::<Vec<_>>(), ["1.1 cdn", "1.0 edge-lb"]);
        let said = ["te", "host", "x-forwarded-host", "x-forwarded-for"].map(|n| h[n].to_str().unwrap());
        assert_eq!(said, ["trailers", "a", "a", "unknown"]);
    }
}
