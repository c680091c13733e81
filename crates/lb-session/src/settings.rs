//! `session_affinity`: what a pool's sessions are like.

use crate::cookie::options::CookieOptions;
use crate::cookie::seal::Secret;
use crate::key::{AffinityKind, check_name};
use lb_types::SettingsError;
use std::time::Duration;

/// The shortest `ttl` and `max_lifetime`: cookies count in seconds.
pub const TTL_MIN: Duration = Duration::from_secs(1);
/// The longest `ttl` and `max_lifetime`, a year.
pub const TTL_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The most that `max_sessions` may be: some 10 GB.
pub const SESSIONS_MAX: usize = 100_000_000;

/// Settings of a [`SessionManager`](crate::SessionManager).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionAffinity {
    /// `type`: what a session is recognised by, default the client's address.
    pub kind: AffinityKind,
    /// Default `LB_SESSION`.
    pub cookie_name: String,
    /// Default `X-Session-ID`.
    pub header_name: String,
    /// A session that is not used for so long is over, default 1 h (1 s – 365 days).
    pub ttl: Duration,
    /// A session is over after so long, however much it is used, default 24 h (`ttl` – 365 days); `None`: never. It is what ends the
    /// sessions on a backend that drains without a grace.
    pub max_lifetime: Option<Duration>,
    /// Attributes of the cookie.
    pub cookie_options: CookieOptions,
    /// A session whose backend cannot be used is answered 503 instead of being moved, default false.
    pub strict: bool,
    /// What cookies are sealed with: the first seals, all open (8 at most). Default none: random for each process, so that cookies
    /// neither outlive a restart nor hold on other nodes.
    pub secret: Vec<Secret>,
    /// The most sessions in the table, cleared ones included, default 1 000 000 (1 – 100 000 000).
    pub max_sessions: usize,
}

impl Default for SessionAffinity {
    fn default() -> Self {
        Self {
            kind: AffinityKind::IpHash,
            cookie_name: "LB_SESSION".into(),
            header_name: "X-Session-ID".into(),
            ttl: Duration::from_secs(60 * 60),
            max_lifetime: Some(Duration::from_secs(24 * 60 * 60)),
            cookie_options: CookieOptions::default(),
            strict: false,
            secret: Vec::new(),
            max_sessions: 1_000_000,
        }
    }
}

impl SessionAffinity {
    /// The defaults: by address.
    pub fn new() -> Self {
        Self::default()
    }

    /// By cookie.
    pub fn cookie() -> Self {
        Self { kind: AffinityKind::Cookie, ..Self::default() }
    }

    /// By this header.
    pub fn header(name: impl Into<String>) -> Self {
        Self { kind: AffinityKind::Header, header_name: name.into(), ..Self::default() }
    }

    /// Another name of the cookie.
    #[must_use]
    pub fn cookie_name(mut self, name: impl Into<String>) -> Self {
        self.cookie_name = name.into();
        self
    }

    /// Other attributes of the cookie.
    #[must_use]
    pub fn cookie_options(mut self, options: CookieOptions) -> Self {
        self.cookie_options = options;
        self
    }

    /// Another idle time.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = ttl;
        self
    }

    /// Another lifetime.
    #[must_use]
    pub fn max_lifetime(mut self, lifetime: Option<Duration>) -> Self {
        self.max_lifetime = lifetime;
        self
    }

    /// 503 instead of a move.
    #[must_use]
    pub fn strict(mut self, strict: bool) -> Self {
        self.strict = strict;
        self
    }

    /// One more secret, behind those that are there.
    #[must_use]
    pub fn secret(mut self, secret: Secret) -> Self {
        self.secret.push(secret);
        self
    }

    /// Another bound of the table.
    #[must_use]
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// Whether every value is within its bounds and they fit together.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.cookie_options.validate(&self.cookie_name)?;
        check_name("header_name", &self.header_name)?;
        if !(TTL_MIN..=TTL_MAX).contains(&self.ttl) {
            return Err(SettingsError::new("ttl", self.ttl, "must be from 1 s to 365 days"));
        }
        if let Some(lifetime) = self.max_lifetime
            && !(self.ttl..=TTL_MAX).contains(&lifetime)
        {
            return Err(SettingsError::new(
                "max_lifetime",
                lifetime,
                format!("must be from ttl = {:?} to 365 days", self.ttl),
            ));
        }
        if !(1..=SESSIONS_MAX).contains(&self.max_sessions) {
            return Err(SettingsError::new(
                "max_sessions",
                self.max_sessions,
                format!("must be from 1 to {SESSIONS_MAX}"),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_values_are_named() {
        let s = Duration::from_secs;
        let new = SessionAffinity::new;
        let cases = [
            (new().ttl(s(0)), "ttl = 0ns: must be from 1 s to 365 days"),
            (
                new().ttl(s(9)).max_lifetime(Some(s(8))),
                "max_lifetime = 8s: must be from ttl = 9s to 365 days",
            ),
            (new().max_sessions(0), "max_sessions = 0: must be from 1 to 100000000"),
        ];
        for (settings, expected) in cases {
            assert_eq!(settings.validate().unwrap_err().to_string(), expected);
        }
        assert_eq!(SessionAffinity::header("a:b").validate().unwrap_err().field, "header_name");
        assert_eq!(SessionAffinity::cookie().cookie_name("").validate().unwrap_err().field, "cookie_name");
        assert_eq!(new().validate(), Ok(()));
        assert_eq!(new().max_lifetime(None).validate(), Ok(()));
    }
}
