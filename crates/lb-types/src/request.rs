//! What a policy may look at in a request.

use std::net::IpAddr;

/// Looks a header up by its lower-case name; the first value if there are several. Implemented by the shells over
/// their own header maps, so that the core needs no HTTP library.
pub trait HeaderSource {
    /// The first value of the header, or `None`.
    fn header(&self, name: &str) -> Option<&[u8]>;

    /// Shows each line of the header to `see`, in their order. HTTP/2 clients may cut `cookie` into several (RFC 9113 §8.2.3).
    ///
    /// As provided it shows the first alone: whoever holds all of them overrides it.
    fn each<'a>(&'a self, name: &str, see: &mut dyn FnMut(&'a [u8])) {
        if let Some(value) = self.header(name) {
            see(value);
        }
    }
}

/// No headers at all.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoHeaders;

impl HeaderSource for NoHeaders {
    fn header(&self, _: &str) -> Option<&[u8]> {
        None
    }
}

/// Names are compared ASCII-case-insensitively.
impl HeaderSource for [(&str, &str)] {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.as_bytes())
    }

    fn each<'a>(&'a self, name: &str, see: &mut dyn FnMut(&'a [u8])) {
        self.iter().filter(|(n, _)| n.eq_ignore_ascii_case(name)).for_each(|(_, v)| see(v.as_bytes()));
    }
}

impl<const N: usize> HeaderSource for [(&str, &str); N] {
    fn header(&self, name: &str) -> Option<&[u8]> {
        self[..].header(name)
    }

    fn each<'a>(&'a self, name: &str, see: &mut dyn FnMut(&'a [u8])) {
        self[..].each(name, see);
    }
}

/// A request as the balancer sees it: borrowed from whoever has it, free to make.
#[derive(Clone, Copy)]
pub struct RequestInfo<'a> {
    /// The client's address, after trusted proxies were taken into account.
    pub client_ip: Option<IpAddr>,
    /// The method, such as `GET`.
    pub method: &'a str,
    /// The host asked for, without its port; empty if unknown.
    pub host: &'a str,
    /// The path, without the query.
    pub path: &'a str,
    /// The query, without its `?`.
    pub query: Option<&'a str>,
    /// The headers.
    pub headers: &'a dyn HeaderSource,
}

impl Default for RequestInfo<'_> {
    /// A `GET /` from nobody.
    fn default() -> Self {
        Self { client_ip: None, method: "GET", host: "", path: "/", query: None, headers: &NoHeaders }
    }
}

impl<'a> RequestInfo<'a> {
    /// A `GET /` from this client.
    pub fn from_ip(client_ip: IpAddr) -> Self {
        Self { client_ip: Some(client_ip), ..Self::default() }
    }

    /// The first value of a cookie, in whichever `cookie` line. Quotes are not removed (RFC 6265 §5.4 sends what it was given).
    pub fn cookie(&self, name: &str) -> Option<&'a [u8]> {
        let value_of = |pair: &'a [u8]| {
            let at = pair.iter().position(|&b| b == b'=')?;
            (pair[..at].trim_ascii() == name.as_bytes()).then(|| pair[at + 1..].trim_ascii())
        };
        let mut found = None;
        self.headers.each("cookie", &mut |line| {
            if found.is_none() {
                found = line.split(|&b| b == b';').find_map(value_of);
            }
        });
        found
    }

    /// The first value of a query parameter, not percent-decoded.
    pub fn query_parameter(&self, name: &str) -> Option<&'a str> {
        self.query?.split('&').find_map(|pair| {
            let (n, v) = pair.split_once('=').unwrap_or((pair, ""));
            (n == name).then_some(v)
        })
    }
}

/// What a hash policy hashes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySource {
    /// The client's address (`client-ip`).
    #[default]
    ClientIp,
    /// A header (`header:X-User-ID`), its name in lower case.
    Header(Box<str>),
    /// A cookie (`cookie:session`).
    Cookie(Box<str>),
    /// A query parameter (`query:user`).
    Query(Box<str>),
    /// The path, without the query (`path`).
    Path,
}

impl KeySource {
    /// Parses `client-ip`, `header:NAME`, `cookie:NAME`, `query:NAME` or `path`; `None` for anything else.
    pub fn parse(text: &str) -> Option<Self> {
        let name = |n: &str| (!n.is_empty()).then(|| Box::from(n));
        match text.split_once(':') {
            None if text == "client-ip" => Some(Self::ClientIp),
            None if text == "path" => Some(Self::Path),
            Some(("header", n)) => name(&n.to_ascii_lowercase()).map(Self::Header),
            Some(("cookie", n)) => name(n).map(Self::Cookie),
            Some(("query", n)) => name(n).map(Self::Query),
            _ => None,
        }
    }
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::ClientIp => f.write_str("client-ip"),
            Self::Header(n) => write!(f, "header:{n}"),
            Self::Cookie(n) => write!(f, "cookie:{n}"),
            Self::Query(n) => write!(f, "query:{n}"),
            Self::Path => f.write_str("path"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_and_query_parameters_are_found() {
        let headers = [("Cookie", "a=1; session = x=y ;b"), ("x", "c=0"), ("cookie", "c=2; a=3")];
        let r = RequestInfo { headers: &headers, query: Some("u=7&flag&u=8"), ..RequestInfo::default() };
        assert_eq!(r.cookie("session"), Some(&b"x=y"[..]));
        assert_eq!(r.cookie("b"), None);
        assert_eq!((r.cookie("c"), r.cookie("a")), (Some(&b"2"[..]), Some(&b"1"[..])), "lines are one list");
        assert_eq!(r.query_parameter("u"), Some("7"));
        assert_eq!(r.query_parameter("flag"), Some(""));
        assert_eq!(r.query_parameter("v"), None);
    }

    #[test]
    fn key_sources_round_trip() {
        for text in ["client-ip", "header:x-user-id", "cookie:Sess", "query:q", "path"] {
            assert_eq!(KeySource::parse(text).map(|k| k.to_string()).as_deref(), Some(text));
        }
        for text in ["", "header", "header:", "body:x", "Path"] {
            assert_eq!(KeySource::parse(text), None, "{text}");
        }
    }
}
