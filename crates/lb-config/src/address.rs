//! Where to listen.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

/// An address that clients connect to.
///
/// ```
/// use lb_config::ListenAddress;
/// assert!("127.0.0.1:8080".parse::<ListenAddress>().is_ok());
/// assert!("unix:/run/edge-lb.sock".parse::<ListenAddress>().is_ok());
/// let error = ":8080".parse::<ListenAddress>().unwrap_err();
/// assert_eq!(error.instead.as_deref(), Some("0.0.0.0:8080"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ListenAddress {
    /// A TCP port on a local address; port 0 takes any free one.
    Tcp(SocketAddr),
    /// A unix domain socket, by its absolute path.
    Unix(PathBuf),
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(a) => a.fmt(f),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no address to listen on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("bad address \"{address}\": {reason}")]
#[non_exhaustive]
pub struct AddressError {
    /// The text.
    pub address: String,
    /// What is wrong with it.
    pub reason: &'static str,
    /// What was probably meant.
    pub instead: Option<String>,
}

impl FromStr for ListenAddress {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        let bad =
            |reason, instead| Err(AddressError { address: crate::node::shorten(text), reason, instead });
        if let Some(path) = text.strip_prefix("unix:") {
            // unix:/path and unix:///path are both in use, as for backends.
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.len() > 1 && path.starts_with('/') && !path.contains('\0') {
                Ok(Self::Unix(path.into()))
            } else {
                bad("unix: needs an absolute path, such as unix:/run/edge-lb.sock", None)
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let good = |t: String| t.parse::<SocketAddr>().is_ok().then_some(t);
        if let Some((_, rest)) = text.split_once("://") {
            return bad("it is an address, not a URL", good(rest.trim_end_matches('/').to_owned()));
        }
        if text.parse::<std::net::IpAddr>().is_ok() {
            let v6 = if text.contains(':') { format!("[{text}]:8080") } else { format!("{text}:8080") };
            return bad("the port is missing", good(v6));
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) => (host, port),
            None if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) => ("", text),
            None => return bad("it must be IP:port, [IPv6]:port or unix:/path", None),
        };
        if port.parse::<u16>().is_err() {
            return bad("the port must be a number from 0 to 65535", None);
        }
        match host {
            "" | "*" => bad("the IP address is missing", good(format!("0.0.0.0:{port}"))),
            "localhost" => bad("a name cannot be listened on", good(format!("127.0.0.1:{port}"))),
            _ => bad(
                "it must be IP:port, [IPv6]:port or unix:/path",
                good(format!("[{}]:{port}", host.trim_matches(['[', ']']))),
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_round_trip() {
        for text in ["127.0.0.1:8080", "[::1]:8080", "0.0.0.0:80", "127.0.0.1:0", "unix:/run/a.sock"] {
            assert_eq!(text.parse::<ListenAddress>().unwrap().to_string(), text);
        }
        assert_eq!("unix:///a".parse(), Ok(ListenAddress::Unix("/a".into())));
    }

    #[test]
    fn bad_addresses_say_why_and_what_instead() {
        for (text, reason, instead) in [
            ("", "it must be IP:port, [IPv6]:port or unix:/path", None),
            ("8080", "the IP address is missing", Some("0.0.0.0:8080")),
            ("*:80", "the IP address is missing", Some("0.0.0.0:80")),
            ("127.0.0.1", "the port is missing", Some("127.0.0.1:8080")),
            ("::1", "the port is missing", Some("[::1]:8080")),
            ("localhost:80", "a name cannot be listened on", Some("127.0.0.1:80")),
            ("127.0.0.1:65536", "the port must be a number from 0 to 65535", None),
            ("127.0.0.1:x", "the port must be a number from 0 to 65535", None),
            ("http://127.0.0.1:80/", "it is an address, not a URL", Some("127.0.0.1:80")),
            ("fe80::1%eth0:80", "it must be IP:port, [IPv6]:port or unix:/path", None),
            ("example.com:80", "it must be IP:port, [IPv6]:port or unix:/path", None),
            ("unix:", "unix: needs an absolute path, such as unix:/run/edge-lb.sock", None),
            ("unix:a.sock", "unix: needs an absolute path, such as unix:/run/edge-lb.sock", None),
        ] {
            let e = text.parse::<ListenAddress>().unwrap_err();
            assert_eq!((e.reason, e.instead.as_deref()), (reason, instead), "{text}");
        }
    }
}
