//! Where the server is, who we are to it, and how long we wait.

use lb_types::SettingsError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// The longest key prefix, in bytes.
pub const PREFIX_BYTES_MAX: usize = 128;
/// The longest URL, in bytes.
pub const URL_BYTES_MAX: usize = 2048;
/// The shortest time limit.
pub const TIMEOUT_MIN: Duration = Duration::from_millis(1);
/// The longest time limit: requests wait for the store.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// The highest database number; servers have 16 unless told otherwise.
const DATABASE_MAX: u32 = 65_535;

/// The server's address, and what we say when we come in.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisUrl {
    /// Name or address, IPv6 without its brackets.
    pub host: String,
    /// Default 6379.
    pub port: u16,
    /// `rediss://`.
    pub tls: bool,
    /// The ACL user, if there is one; the server's own default otherwise.
    pub user: Option<String>,
    /// The password, if there is one.
    pub password: Option<String>,
    /// The database, default 0.
    pub database: u32,
}

impl RedisUrl {
    /// Parses `redis://[[user]:password@]host[:port][/database]`, or `rediss://` for TLS. User and password are percent-decoded.
    ///
    /// # Errors
    /// What is wrong; the error shows no password.
    pub fn parse(text: &str) -> Result<Self, SettingsError> {
        // Only parts of the URL that cannot hold a secret are shown: a port may be a password whose @host was forgotten.
        let wrong = |what: &str, must: &str| SettingsError::new("url", what, must);
        if text.len() > URL_BYTES_MAX {
            return Err(wrong("(too long)", "must have 2048 bytes at most"));
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("", text));
        let tls = match scheme {
            "redis" => false,
            "rediss" => true,
            _ => return Err(wrong(scheme, "must start with redis:// or rediss://")),
        };
        if rest.contains(['?', '#']) {
            return Err(wrong("?…", "must have neither ? nor #: percent-encode them in a password"));
        }
        let (login, place) =
            rest.rsplit_once('@').map_or((None, rest), |(login, place)| (Some(login), place));
        let (address, path) = place.split_once('/').unwrap_or((place, ""));
        let (host, port) = match address.strip_prefix('[') {
            Some(v6) => {
                let (host, port) =
                    v6.split_once(']').ok_or_else(|| wrong("[…", "an IPv6 address ends with ]"))?;
                if host.parse::<std::net::Ipv6Addr>().is_err() {
                    return Err(wrong(host, "must be an IPv6 address between [ and ]"));
                }
                (host, port)
            }
            None => address.find(':').map_or((address, ""), |at| address.split_at(at)),
        };
        let name = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':');
        if host.is_empty() || !host.bytes().all(name) {
            return Err(wrong(host, "must have a host: a name or an address"));
        }
        let port = match port {
            "" => 6379,
            port => port
                .strip_prefix(':')
                .and_then(digits::<u16>)
                .filter(|&port| port > 0)
                .ok_or_else(|| wrong(":…", "the port must be from 1 to 65535"))?,
        };
        let database = match path {
            "" => 0,
            path => digits(path)
                .filter(|&n| n <= DATABASE_MAX)
                .ok_or_else(|| wrong("/…", "the path must be a database's number, from 0 to 65535"))?,
        };
        let (user, password) = match login {
            None => (None, None),
            Some(login) => {
                let (user, password) = login
                    .split_once(':')
                    .ok_or_else(|| wrong("…@", "a password stands behind a colon: redis://:password@host"))?;
                let decode = |part: &str| match part {
                    "" => Ok(None),
                    part => percent_decode(part)
                        .map(Some)
                        .ok_or_else(|| wrong("…@", "user and password must be percent-encoded UTF-8")),
                };
                (decode(user)?, decode(password)?)
            }
        };
        if user.is_some() && password.is_none() {
            return Err(wrong("…@", "a user needs a password"));
        }
        Ok(Self { host: host.into(), port, tls, user, password, database })
    }
}

/// A number of digits alone: `parse` would take a sign, too.
fn digits<T: std::str::FromStr>(text: &str) -> Option<T> {
    text.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn percent_decode(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let mut digit = || rest.next().and_then(|b| char::from(b).to_digit(16));
            (digit()? * 16 + digit()?) as u8 // two digits: 255 at most
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

/// Without user and password.
impl fmt::Display for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "rediss" } else { "redis" };
        let (open, close) = if self.host.contains(':') { ("[", "]") } else { ("", "") };
        write!(f, "{scheme}://{open}{}{close}:{}/{}", self.host, self.port, self.database)
    }
}

impl fmt::Debug for RedisUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedisUrl({self}, user {:?})", self.user)
    }
}

/// Settings of a [`RedisStore`](super::RedisStore).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RedisSettings {
    /// Where the server is.
    pub url: RedisUrl,
    /// In front of each key, default `edge-lb:` (128 bytes at most).
    pub key_prefix: String,
    /// For each call, waiting for a connection included; default 20 ms (1 ms – 60 s).
    pub timeout: Duration,
    /// For making a connection, TLS and login included; default 1 s (1 ms – 60 s). It is made beside the calls, which wait for it no
    /// longer than for anything else.
    pub connect_timeout: Duration,
    /// A PEM file of authorities that stand in for Mozilla's; with `rediss://` alone.
    pub ca: Option<PathBuf>,
}

impl RedisSettings {
    /// The defaults, for this server.
    pub fn new(url: RedisUrl) -> Self {
        Self {
            url,
            key_prefix: "edge-lb:".into(),
            timeout: Duration::from_millis(20),
            connect_timeout: Duration::from_secs(1),
            ca: None,
        }
    }

    /// Another prefix.
    #[must_use]
    pub fn key_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.key_prefix = prefix.into();
        self
    }

    /// Another time limit of calls.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Another time limit for making a connection.
    #[must_use]
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// Other authorities than Mozilla's.
    #[must_use]
    pub fn ca(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca = Some(file.into());
        self
    }

    /// Whether every value is within its bounds and they fit together.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self.key_prefix.len() > PREFIX_BYTES_MAX {
            return Err(SettingsError::new("key_prefix", &self.key_prefix, "must have 128 bytes at most"));
        }
        for (field, value) in [("timeout", self.timeout), ("connect_timeout", self.connect_timeout)] {
            if !(TIMEOUT_MIN..=TIMEOUT_MAX).contains(&value) {
                return Err(SettingsError::new(field, value, "must be from 1 ms to 60 s"));
            }
        }
        if self.url.tls && !cfg!(feature = "tls") {
            return Err(SettingsError::new(
                "url",
                "rediss",
                "this build has no TLS for stores (feature `tls` of lb-store)",
            ));
        }
        match &self.ca {
            Some(ca) if !self.url.tls => Err(SettingsError::new("ca", ca, "goes with rediss:// alone")),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read() {
        let parse = |text: &str| RedisUrl::parse(text).unwrap();
        let plain = parse("redis://127.0.0.1");
        assert_eq!((&*plain.host, plain.port, plain.tls, plain.database), ("127.0.0.1", 6379, false, 0));
        assert_eq!((plain.user, plain.password), (None, None));
        let full = parse("rediss://edge:p%40ss%2Fw:rd@cache.example:7000/3");
        assert_eq!((&*full.host, full.port, full.tls, full.database), ("cache.example", 7000, true, 3));
        assert_eq!((full.user.as_deref(), full.password.as_deref()), (Some("edge"), Some("p@ss/w:rd")));
        assert_eq!(full.to_string(), "rediss://cache.example:7000/3");
        assert!(!format!("{full:?}").contains("ss/w"), "{full:?}");
        let v6 = parse("redis://:secret@[::1]:7000/");
        assert_eq!((&*v6.host, v6.port, v6.password.as_deref()), ("::1", 7000, Some("secret")));
        assert_eq!(v6.to_string(), "redis://[::1]:7000/0");
    }

    #[test]
    fn bad_urls_say_why_and_show_no_password() {
        for (text, why) in [
            ("", "must start with"),
            ("http://a", "must start with"),
            ("127.0.0.1:6379", "must start with"),
            ("redis://", "must have a host"),
            ("redis://:s3cret@", "must have a host"),
            ("redis://a b", "must have a host"),
            ("redis://a:0", "port must be"),
            ("redis://a:+1", "port must be"),
            ("redis://a:65536", "port must be"),
            ("redis://[::1", "ends with ]"),
            ("redis://[a]", "must be an IPv6 address"),
            ("redis://a/x", "database's number"),
            ("redis://a/1/2", "database's number"),
            ("redis://a/65536", "database's number"),
            ("redis://s3cret@a", "behind a colon"),
            ("redis://user:@a", "needs a password"),
            ("redis://user:s3cret", "port must be"),
            ("redis://user:1/s3cret", "database's number"),
            ("redis://[s3cret", "ends with ]"),
            ("redis://:s3cret%4@a", "percent-encoded"),
            ("redis://:s3cret%ff@a", "percent-encoded"),
            ("redis://:s3cret?x=1@a", "neither ? nor #"),
            ("redis://:s3cret@a?protocol=resp3", "neither ? nor #"),
        ] {
            let error = RedisUrl::parse(text).unwrap_err().to_string();
            assert!(error.contains(why), "{text}: {error}");
            assert!(!error.contains("s3cret"), "{error}");
        }
    }

    #[test]
    fn bounds_are_named() {
        let new = || RedisSettings::new(RedisUrl::parse("redis://a").unwrap());
        let error = |s: RedisSettings| s.validate().unwrap_err().to_string();
        assert_eq!(new().validate(), Ok(()));
        assert_eq!(error(new().timeout(Duration::ZERO)), "timeout = 0ns: must be from 1 ms to 60 s");
        assert_eq!(new().connect_timeout(Duration::MAX).validate().unwrap_err().field, "connect_timeout");
        assert_eq!(error(new().ca("a.pem")), "ca = \"a.pem\": goes with rediss:// alone");
        assert_eq!(new().key_prefix("x".repeat(129)).validate().unwrap_err().field, "key_prefix");
    }
}
