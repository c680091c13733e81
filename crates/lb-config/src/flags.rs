//! The short form: a configuration from `--listen` and `--to`, without a file.

use crate::{Config, ListenAddress, Listener, Pool};
use lb_health::HealthCheck;
use lb_types::{Backend, BackendUrl, Scheme};
use std::collections::HashSet;
use std::time::Duration;

/// How often the backends of the short form are checked.
const CHECK_INTERVAL: Duration = Duration::from_secs(2);

/// Why `--listen` and `--to` make no configuration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FlagsError {
    /// No `--listen`.
    #[error("no address to listen on: give --listen, such as --listen 127.0.0.1:8080")]
    NoListener,
    /// No `--to`.
    #[error("no backend: give --to, such as --to http://127.0.0.1:9001")]
    NoBackend,
    /// The same address twice.
    #[error("--listen {0} is given twice")]
    DuplicateListener(ListenAddress),
    /// Two backends at the same host and port.
    #[error("--to {0} is given twice; a share of the traffic is set by `weight` in a configuration file")]
    DuplicateBackend(BackendUrl),
    /// TLS to backends is not built yet.
    #[error("--to {0}: https backends are not built yet (planned: TLS and further protocols)")]
    Https(BackendUrl),
}

impl Config {
    /// One pool `default` under weighted round robin, whose backends are checked by a TCP connection every 2 s.
    ///
    /// # Errors
    /// When either list is empty or names something twice, or a backend is `https`.
    ///
    /// ```
    /// use lb_config::Config;
    /// let config = Config::from_flags(&["127.0.0.1:8080".parse()?], &["http://127.0.0.1:9001".parse()?])?;
    /// assert_eq!(config.pools["default"].backends[0].id, "127.0.0.1:9001");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_flags(listen: &[ListenAddress], to: &[BackendUrl]) -> Result<Self, FlagsError> {
        if listen.is_empty() {
            return Err(FlagsError::NoListener);
        }
        if to.is_empty() {
            return Err(FlagsError::NoBackend);
        }
        let mut config = Self::default();
        for address in listen {
            let any_port = matches!(address, ListenAddress::Tcp(a) if a.port() == 0);
            if !any_port && config.listeners.iter().any(|l| l.address == *address) {
                return Err(FlagsError::DuplicateListener(address.clone()));
            }
            config.listeners.push(Listener::new(address.clone()));
        }
        let mut ids = HashSet::new();
        let mut pool =
            Pool { health_check: Some(HealthCheck::tcp().interval(CHECK_INTERVAL)), ..Pool::default() };
        for url in to {
            if url.scheme() == Scheme::Https {
                return Err(FlagsError::Https(url.clone()));
            }
            if !ids.insert(url.default_id()) {
                return Err(FlagsError::DuplicateBackend(url.clone()));
            }
            pool.backends.push(Backend::new(url.default_id(), url.clone()));
        }
        config.entry = "default".to_owned();
        config.pools.insert(config.entry.clone(), pool);
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use lb_core::Algorithm;
    use lb_health::CheckKind;

    fn flags(listen: &[&str], to: &[&str]) -> Result<Config, FlagsError> {
        let listen: Vec<_> = listen.iter().map(|l| l.parse().unwrap()).collect();
        let to: Vec<_> = to.iter().map(|t| t.parse().unwrap()).collect();
        Config::from_flags(&listen, &to)
    }

    #[test]
    fn the_short_form_is_a_pool_with_tcp_checks() {
        let config =
            flags(&["127.0.0.1:0", "127.0.0.1:0", "[::1]:80"], &["http://127.0.0.1:1", "unix:/a"]).unwrap();
        assert_eq!(config.listeners.len(), 3);
        assert_eq!(config.entry, "default");
        let pool = &config.pools["default"];
        assert_eq!(pool.settings.algorithm, Algorithm::WeightedRoundRobin);
        let check = pool.health_check.as_ref().unwrap();
        assert_eq!((&check.kind, check.interval), (&CheckKind::Tcp, Duration::from_secs(2)));
        assert_eq!(
            pool.backends.iter().map(|b| b.id.as_str()).collect::<Vec<_>>(),
            ["127.0.0.1:1", "unix:/a"]
        );
    }

    #[test]
    fn bad_flags_are_typed_errors() {
        let url = |t: &str| t.parse::<BackendUrl>().unwrap();
        assert_eq!(flags(&[], &["http://a"]), Err(FlagsError::NoListener));
        assert_eq!(flags(&["[::1]:80"], &[]), Err(FlagsError::NoBackend));
        let twice = flags(&["[::1]:80", "[::1]:80"], &["http://a"]);
        assert_eq!(twice, Err(FlagsError::DuplicateListener("[::1]:80".parse().unwrap())));
        let twice = flags(&["[::1]:80"], &["http://a", "http://a:80/x"]);
        assert_eq!(twice, Err(FlagsError::DuplicateBackend(url("http://a/x"))));
        assert_eq!(flags(&["[::1]:80"], &["https://a"]), Err(FlagsError::Https(url("https://a"))));
    }
}
