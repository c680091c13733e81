//! What must be right about a request before a backend is picked, and what the balancer sees of it.

use crate::error::ProxyError;
use crate::headers::Seen;
use http::{HeaderMap, Method, Request, Uri, Version, header};
use lb_types::{HeaderSource, RequestInfo};
use std::net::IpAddr;

/// RFC 9112 §3.2 and RFC 9110 §4: what the parser lets through, but two parties could read in two ways.
pub(crate) fn check<B>(request: &Request<B>, seen: &Seen) -> Result<(), ProxyError> {
    let uri = request.uri();
    if request.method() == Method::CONNECT {
        return Err(ProxyError::Method);
    }
    let host = host_header(request.headers(), request.version(), seen.hosts)?;
    if let (Some(authority), Some(host)) = (uri.authority(), host)
        && !authority.as_str().eq_ignore_ascii_case(host)
    {
        return Err(ProxyError::BadRequest("the request target and the Host header disagree"));
    }
    if uri.scheme().is_some_and(|s| s != &http::uri::Scheme::HTTP) {
        return Err(ProxyError::BadRequest("the scheme of the request target is not http"));
    }
    let target = uri.path_and_query().map_or("/", |t| t.as_str());
    let asterisk = target == "*" && request.method() == Method::OPTIONS;
    if !target.starts_with('/') && !asterisk {
        return Err(ProxyError::BadRequest("the request target is not a path"));
    }
    if !target.bytes().all(|b| b.is_ascii_graphic()) {
        return Err(ProxyError::BadRequest("the request target has a character that may not stand in a URL"));
    }
    Ok(())
}

/// Exactly one, and a sane one; HTTP/1.0 may have none.
fn host_header(headers: &HeaderMap, version: Version, count: u32) -> Result<Option<&str>, ProxyError> {
    let host = match (headers.get(header::HOST), count) {
        (Some(host), 1) => host,
        (Some(_), _) => return Err(ProxyError::BadRequest("more than one Host header")),
        (None, _) if version == Version::HTTP_10 => return Ok(None),
        (None, _) => return Err(ProxyError::BadRequest("no Host header")),
    };
    match host.to_str() {
        Ok(h) if is_host(h) => Ok(Some(h)),
        _ => Err(ProxyError::BadRequest("the Host header is malformed")),
    }
}

/// Which bytes a name in `Host` may have: asked for each of every request's, so a table.
static NAME: [bool; 256] = {
    let mut table = [false; 256];
    let mut b = 0;
    while b < 128u8 {
        table[b as usize] = b.is_ascii_alphanumeric()
            || matches!(
                b,
                b'-' | b'.'
                    | b'_'
                    | b'~'
                    | b'!'
                    | b'$'
                    | b'&'
                    | b'\''
                    | b'('
                    | b')'
                    | b'*'
                    | b'+'
                    | b','
                    | b';'
                    | b'='
                    | b'%'
            );
        b += 1;
    }
    table
};

/// `name`, `1.2.3.4` or `[::1]`, with a port or without (RFC 3986 §3.2.2: letters, digits, some signs; no user, path or space).
#[inline]
pub(crate) fn is_host(host: &str) -> bool {
    let (name, port) = match host.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(None) => return false,
        Some(Some((literal, rest))) => {
            let address = literal.bytes().all(|b| b.is_ascii_hexdigit() || b":.".contains(&b));
            match rest.strip_prefix(':') {
                Some(port) if address => ("v6", port),
                None if address && rest.is_empty() => return true,
                _ => return false,
            }
        }
        None => host.split_once(':').unwrap_or((host, "")),
    };
    name.bytes().all(|b| NAME[usize::from(b)]) && port.bytes().all(|b| b.is_ascii_digit())
}

/// The headers as the balancer looks at them.
pub(crate) struct Headers<'a>(pub(crate) &'a HeaderMap);

impl HeaderSource for Headers<'_> {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(header::HeaderValue::as_bytes)
    }

    fn each<'a>(&'a self, name: &str, see: &mut dyn FnMut(&'a [u8])) {
        self.0.get_all(name).iter().for_each(|value| see(value.as_bytes()));
    }
}

/// What the balancer sees of a request.
pub(crate) fn info<'a>(
    method: &'a Method,
    uri: &'a Uri,
    headers: &'a Headers<'a>,
    client_ip: Option<IpAddr>,
) -> RequestInfo<'a> {
    let host = headers.0.get(header::HOST).and_then(|h| h.to_str().ok()).unwrap_or_default();
    RequestInfo {
        client_ip,
        method: method.as_str(),
        host: without_port(host),
        path: uri.path(),
        query: uri.query(),
        headers,
    }
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => host,
    }
}

/// Is it in origin form, as nearly all are?
#[inline]
pub(crate) fn is_plain(uri: &Uri) -> bool {
    uri.scheme().is_none() && uri.path_and_query().is_some()
}

/// The target to send: origin form, the backend's base path before it.
pub(crate) fn target(uri: &Uri, base_path: &str) -> Uri {
    if base_path.is_empty() && is_plain(uri) {
        return uri.clone();
    }
    let path = uri.path_and_query().map_or("/", |p| p.as_str());
    let path = if path == "*" { "" } else { path };
    // Both halves were checked: the base path when it was parsed, the target by `check`.
    Uri::try_from(format!("{base_path}{path}")).unwrap_or_else(|_| uri.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(request: &Request<()>) -> Result<(), ProxyError> {
        super::check(request, &Seen::of(request.headers()))
    }

    fn parts(target: &str, hosts: &[&str], version: Version) -> Request<()> {
        let mut r = http::Request::builder().uri(target).version(version);
        for h in hosts {
            r = r.header("host", *h);
        }
        r.body(()).unwrap()
    }

    #[test]
    fn ambiguous_targets_and_hosts_are_refused() {
        let v = Version::HTTP_11;
        for (target, hosts) in
            [("/", &["a"][..]), ("/?q=%20", &["a:80"]), ("http://a/x", &["A"]), ("/", &["[::1]:80"])]
        {
            assert_eq!(check(&parts(target, hosts, v)), Ok(()), "{target} {hosts:?}");
        }
        for (target, hosts) in [
            ("/", &[][..]),
            ("/", &["a", "a"]),
            ("/", &["a b"]),
            ("/", &["u@a"]),
            ("/", &["a:b"]),
            ("/", &["a:80:80"]),
            ("/", &["[::1"]),
            ("/", &["[::1]x"]),
            ("/", &["[::g]:80"]),
            ("/", &["a/b"]),
            ("http://b/", &["a"]),
            ("https://a/", &["a"]),
            ("*", &["a"]),
        ] {
            assert!(
                matches!(check(&parts(target, hosts, v)), Err(ProxyError::BadRequest(_))),
                "{target} {hosts:?}"
            );
        }
        assert_eq!(check(&parts("/", &[], Version::HTTP_10)), Ok(()));
    }

    #[test]
    fn a_host_has_the_characters_of_a_name() {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=%".contains(&b);
        for b in 0..=127u8 {
            let host = format!("a{}b", char::from(b));
            // A colon begins the port, and this one is no number.
            assert_eq!(is_host(&host), allowed(b), "{host:?}");
        }
        assert!(!is_host("ä.example"));
    }

    #[test]
    fn base_paths_come_first() {
        let uri = |s: &str| s.parse::<Uri>().unwrap();
        assert_eq!(target(&uri("/a?b"), ""), "/a?b");
        assert_eq!(target(&uri("/a?b"), "/api"), "/api/a?b");
        assert_eq!(target(&uri("http://h/a"), ""), "/a");
        assert_eq!(target(&uri("http://h"), "/api"), "/api/");
    }

    #[test]
    fn ports_are_cut() {
        assert_eq!(
            [without_port("a:80"), without_port("[::1]:80"), without_port("a"), without_port("[::1]")],
            ["a", "[::1]", "a", "[::1]"]
        );
    }
}
