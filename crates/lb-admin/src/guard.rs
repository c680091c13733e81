//! Whom the server answers: only requests whose `Host` is this machine's own.
//!
//! A browser sends the name that it resolved. A page of an attacker whose name resolves to 127.0.0.1 (DNS rebinding) sends that name, and
//! is refused.

use http::header::HOST;
use http::uri::Authority;
use http::{HeaderMap, Uri};
use std::net::IpAddr;

/// Is this request meant for a loopback address or `localhost`? One `Host`, and if the target names a host, that one as well.
pub(crate) fn is_for_us(uri: &Uri, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
    let host = host.to_str().ok().and_then(|h| h.parse::<Authority>().ok());
    host.is_some_and(|h| is_local(&h)) && uri.authority().is_none_or(is_local)
}

/// Does this come from a page of this very server, or from no page at all? Browsers say where a request that may change something comes
/// from, and other programs say nothing.
pub(crate) fn is_same_origin(headers: &HeaderMap) -> bool {
    let text = |name: &str| headers.get(name).map(|v| v.to_str().unwrap_or("?"));
    let site = matches!(text("sec-fetch-site"), None | Some("same-origin" | "none"));
    let origin = text("origin").is_none_or(|origin| {
        // `is_for_us` has seen to it that there is one Host.
        origin
            .strip_prefix("http://")
            .is_some_and(|o| text("host").is_some_and(|h| h.eq_ignore_ascii_case(o)))
    });
    site && origin
}

fn is_local(authority: &Authority) -> bool {
    if authority.as_str().contains('@') {
        return false;
    }
    let host = authority.host();
    let address = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || address.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ask(target: &str, hosts: &[&str]) -> bool {
        let mut headers = HeaderMap::new();
        for h in hosts {
            headers.append(HOST, h.parse().unwrap());
        }
        is_for_us(&target.parse().unwrap(), &headers)
    }

    #[test]
    fn only_pages_of_this_server_give_orders() {
        let headers = |fields: &[(&'static str, &str)]| {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, "127.0.0.1:9900".parse().unwrap());
            for (name, value) in fields {
                headers.insert(*name, value.parse().unwrap());
            }
            headers
        };
        for good in [
            &[][..],
            &[("origin", "http://127.0.0.1:9900")],
            &[("sec-fetch-site", "same-origin"), ("origin", "http://127.0.0.1:9900")],
            &[("sec-fetch-site", "none")],
        ] {
            assert!(is_same_origin(&headers(good)), "{good:?}");
        }
        for bad in [
            &[("origin", "http://evil.example")][..],
            &[("origin", "null")],
            &[("origin", "https://127.0.0.1:9900")],
            &[("origin", "http://127.0.0.1:9901")],
            &[("origin", "http://127.0.0.1:9900.evil.example")],
            &[("sec-fetch-site", "cross-site")],
            &[("sec-fetch-site", "same-site"), ("origin", "http://127.0.0.1:9900")],
        ] {
            assert!(!is_same_origin(&headers(bad)), "{bad:?}");
        }
    }

    #[test]
    fn only_loopback_names_pass() {
        for host in [
            "127.0.0.1:9900",
            "127.0.0.1",
            "127.8.8.8:1",
            "[::1]:9900",
            "[::1]",
            "localhost:9900",
            "LOCALHOST",
        ] {
            assert!(ask("/", &[host]), "{host}");
        }
        for host in [
            "evil.example",
            "evil.example:9900",
            "10.0.0.1",
            "127.0.0.1.evil.example",
            "localhost.evil.example",
            "",
            "a@127.0.0.1",
            "localhost@evil",
        ] {
            assert!(!ask("/", &[host]), "{host}");
        }
        assert!(!ask("/", &[]) && !ask("/", &["127.0.0.1", "127.0.0.1"]));
        assert!(!ask("http://evil.example/", &["127.0.0.1"]) && ask("http://127.0.0.1/", &["127.0.0.1"]));
    }
}
