//! Where a backend is: `http://host:port/base`, `https://…` or `unix:/path/to.sock`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// How a backend is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP.
    Http,
    /// HTTP over TLS.
    Https,
}

impl Scheme {
    /// `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// 80 or 443.
    pub const fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// A host: a literal address or a name to resolve. Addresses sort before names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    /// An address, needing no resolver.
    Ip(IpAddr),
    /// A DNS name, in lower case.
    Name(Box<str>),
}

impl fmt::Display for Host {
    /// As it stands in a URL: an IPv6 address in brackets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
            Self::Ip(IpAddr::V4(ip)) => write!(f, "{ip}"),
            Self::Name(n) => f.write_str(n),
        }
    }
}

/// What to connect to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// A TCP port.
    Tcp {
        /// The host.
        host: Host,
        /// The port, never 0.
        port: u16,
    },
    /// A unix domain socket.
    Unix(Box<Path>),
}

/// The address of a backend, parsed and checked.
///
/// ```
/// use lb_types::BackendUrl;
/// let url: BackendUrl = "http://[::1]:9001/api/".parse()?;
/// assert_eq!(url.base_path(), "/api");
/// assert_eq!(url.authority(), "[::1]:9001");
/// assert!("ftp://x".parse::<BackendUrl>().is_err());
/// # Ok::<(), lb_types::UrlError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BackendUrl {
    scheme: Scheme,
    address: Address,
    base_path: Box<str>,
}

impl BackendUrl {
    /// Plain HTTP to a host and port.
    ///
    /// # Errors
    /// When the host or the port is no valid one.
    pub fn http(host: &str, port: u16) -> Result<Self, UrlError> {
        let host = if host.parse::<Ipv6Addr>().is_ok() { format!("[{host}]") } else { host.to_owned() };
        format!("http://{host}:{port}").parse()
    }

    /// Plain HTTP over a unix domain socket.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        let address = Address::Unix(path.into().into_boxed_path());
        Self { scheme: Scheme::Http, address, base_path: Box::from("") }
    }

    /// `http` or `https`.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// What to connect to.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// What stands before the request's path: empty, or starting with `/` and not ending in one.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }

    /// The value of a `Host` header for this backend: the port left out where it is the scheme's own; `localhost` for a unix socket.
    pub fn authority(&self) -> String {
        match &self.address {
            Address::Tcp { host, port } if *port == self.scheme.default_port() => host.to_string(),
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }

    /// An id for a backend that the user gave none: the address as text, such as `127.0.0.1:9001`.
    pub fn default_id(&self) -> String {
        match &self.address {
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(path) => format!("unix:{}", path.display()),
        }
    }
}

impl fmt::Display for BackendUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.address {
            Address::Tcp { host, port } => {
                write!(f, "{}://{host}:{port}{}", self.scheme.as_str(), self.base_path)
            }
            Address::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(feature = "serde")]
impl serde::Serialize for BackendUrl {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

/// Why a text is not a backend's URL.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad backend URL \"{url}\": {reason}")]
pub struct UrlError {
    /// The text.
    pub url: String,
    /// What is wrong with it.
    pub reason: UrlErrorReason,
}

/// What is wrong with a URL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UrlErrorReason {
    /// Neither `http://`, `https://` nor `unix:`.
    #[error("it must start with http://, https:// or unix:")]
    Scheme,
    /// No host.
    #[error("it has no host")]
    NoHost,
    /// The host is neither an address nor a name.
    #[error("the host is neither an IP address nor a valid name")]
    Host,
    /// The port is not 1–65535.
    #[error("the port must be a number from 1 to 65535")]
    Port,
    /// `user:password@` is not supported.
    #[error("a user or password in a backend URL is not supported")]
    UserInfo,
    /// A query or a fragment.
    #[error("a query or fragment in a backend URL is not supported")]
    QueryOrFragment,
    /// A character that may not stand in a path.
    #[error("the base path has a character that may not stand in a URL")]
    Path,
    /// `unix:` without a path.
    #[error("unix: needs an absolute path, such as unix:/run/app.sock")]
    UnixPath,
}

impl FromStr for BackendUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        parse(text).map_err(|reason| UrlError { url: text.to_owned(), reason })
    }
}

fn parse(text: &str) -> Result<BackendUrl, UrlErrorReason> {
    use UrlErrorReason as E;
    if let Some(path) = text.strip_prefix("unix:") {
        // unix:/path and unix:///path are both in use.
        let path = path.strip_prefix("//").unwrap_or(path);
        return if path.starts_with('/') && path.len() > 1 && !path.contains('\0') {
            Ok(BackendUrl::unix(path))
        } else {
            Err(E::UnixPath)
        };
    }
    let lower = text.get(..8.min(text.len())).unwrap_or_default().to_ascii_lowercase();
    let (scheme, rest) = if lower.starts_with("http://") {
        (Scheme::Http, &text[7..])
    } else if lower.starts_with("https://") {
        (Scheme::Https, &text[8..])
    } else {
        return Err(E::Scheme);
    };
    if rest.contains(['?', '#']) {
        return Err(E::QueryOrFragment);
    }
    let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
    if authority.contains('@') {
        return Err(E::UserInfo);
    }
    let (host, port) = split_port(authority)?;
    if host.is_empty() {
        return Err(E::NoHost);
    }
    let host = parse_host(host).ok_or(E::Host)?;
    let port = match port {
        None => scheme.default_port(),
        Some(p) if p.bytes().all(|b| b.is_ascii_digit()) => {
            p.parse().ok().filter(|&p: &u16| p != 0).ok_or(E::Port)?
        }
        Some(_) => return Err(E::Port),
    };
    let path = path.trim_end_matches('/');
    if !path.bytes().all(is_path_byte) {
        return Err(E::Path);
    }
    Ok(BackendUrl { scheme, address: Address::Tcp { host, port }, base_path: path.into() })
}

/// `host`, `host:port`, `[v6]`, `[v6]:port`.
fn split_port(authority: &str) -> Result<(&str, Option<&str>), UrlErrorReason> {
    if authority.starts_with('[') {
        let end = authority.find(']').ok_or(UrlErrorReason::Host)?;
        return match &authority[end + 1..] {
            "" => Ok((authority, None)),
            rest => {
                let port = rest.strip_prefix(':').ok_or(UrlErrorReason::Host)?;
                Ok((&authority[..=end], Some(port)))
            }
        };
    }
    Ok(authority.split_once(':').map_or((authority, None), |(h, p)| (h, Some(p))))
}

fn parse_host(host: &str) -> Option<Host> {
    if let Some(v6) = host.strip_prefix('[') {
        return Some(Host::Ip(v6.strip_suffix(']')?.parse::<Ipv6Addr>().ok()?.into()));
    }
    if let Ok(ip) = host.parse::<IpAddr>() {
        return Some(Host::Ip(ip));
    }
    // A name of digits and dots alone is a mistyped address, not a name.
    let name = host.strip_suffix('.').unwrap_or(host);
    let label = |l: &str| {
        (1..=63).contains(&l.len())
            && l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !l.starts_with('-')
            && !l.ends_with('-')
    };
    let valid = name.len() <= 253
        && name.split('.').all(label)
        && !name.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    valid.then(|| Host::Name(host.to_ascii_lowercase().into()))
}

/// RFC 3986 `pchar` and `/`.
fn is_path_byte(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_urls_print_as_they_were_meant() {
        for (text, shown, id) in [
            ("http://127.0.0.1:9001", "http://127.0.0.1:9001", "127.0.0.1:9001"),
            ("HTTP://Example.COM", "http://example.com:80", "example.com:80"),
            ("https://example.com/", "https://example.com:443", "example.com:443"),
            ("http://[::1]:8080/a/b/", "http://[::1]:8080/a/b", "[::1]:8080"),
            ("http://a_b.internal.:81", "http://a_b.internal.:81", "a_b.internal.:81"),
            ("unix:/run/app.sock", "unix:/run/app.sock", "unix:/run/app.sock"),
            ("unix:///run/app.sock", "unix:/run/app.sock", "unix:/run/app.sock"),
        ] {
            let url: BackendUrl = text.parse().unwrap();
            assert_eq!(url.to_string(), shown);
            assert_eq!(url.default_id(), id);
            assert_eq!(url.to_string().parse::<BackendUrl>().as_ref(), Ok(&url));
        }
    }

    #[test]
    fn bad_urls_say_why() {
        use UrlErrorReason as E;
        for (text, reason) in [
            ("", E::Scheme),
            ("127.0.0.1:80", E::Scheme),
            ("ftp://x", E::Scheme),
            ("é://", E::Scheme),
            ("http://", E::NoHost),
            ("http://:80", E::NoHost),
            ("http://x:0", E::Port),
            ("http://x:65536", E::Port),
            ("http://x:+80", E::Port),
            ("http://x:", E::Port),
            ("http://256.1.1.1", E::Host),
            ("http://a..b", E::Host),
            ("http://-a", E::Host),
            ("http://[::1", E::Host),
            ("http://[::1]80", E::Host),
            ("http://[zz]", E::Host),
            ("http://u:p@x", E::UserInfo),
            ("http://x/?q", E::QueryOrFragment),
            ("http://x/#f", E::QueryOrFragment),
            ("http://x/a b", E::Path),
            ("http://x/é", E::Path),
            ("unix:", E::UnixPath),
            ("unix:rel.sock", E::UnixPath),
        ] {
            let err = text.parse::<BackendUrl>().unwrap_err();
            assert_eq!(err.reason, reason, "{text}");
            assert!(err.to_string().contains(text));
        }
    }
}
