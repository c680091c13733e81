//! What is done to check one backend: the pool's settings, the backend's override, and where the check goes.
//!
//! The one place where overrides are applied, so that a config checker and the runner agree.

use crate::elsewhere::{Nowhere, elsewhere};
use crate::error::bad;
use crate::{CheckKind, HealthCheck, HealthCheckError};
use lb_types::{Address, Backend, BackendUrl, Host, Scheme};

/// How one backend is checked.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Plan {
    /// The pool's settings with the backend's own.
    pub settings: HealthCheck,
    /// Where the check goes.
    pub target: Target,
}

/// Where a check connects and what it calls the host.
///
/// By default the backend's own address. The settings' `host` is connected to instead and named in the `Host` header; their `port`
/// replaces the port; the base path stays. `host` without `port` keeps the backend's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its address and authority count; the base path is the backend's.
    at: BackendUrl,
    base_path: Box<str>,
    tls: bool,
}

impl Target {
    /// What to connect to.
    pub fn address(&self) -> &Address {
        self.at.address()
    }

    /// The host, without brackets: `localhost` for a unix socket.
    pub fn host(&self) -> String {
        match self.at.address() {
            Address::Tcp { host: Host::Ip(ip), .. } => ip.to_string(),
            Address::Tcp { host: Host::Name(name), .. } => name.to_string(),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }

    /// The value of the `Host` header, unless the settings have one: the port is left out where it is the usual one.
    pub fn authority(&self) -> String {
        let usual = if self.tls { Scheme::Https } else { Scheme::Http }.default_port();
        match self.at.address() {
            Address::Tcp { host, port } if *port == usual => host.to_string(),
            Address::Tcp { host, port } => format!("{host}:{port}"),
            Address::Unix(_) => "localhost".to_owned(),
        }
    }

    /// Whether the check speaks TLS.
    pub fn tls(&self) -> bool {
        self.tls
    }

    /// What stands before the path: empty, or starting with `/` and not ending in one.
    pub fn base_path(&self) -> &str {
        &self.base_path
    }
}

impl HealthCheck {
    /// How `backend` is checked by these settings and its own override; `None` when its override says `enabled = false`.
    ///
    /// # Errors
    /// [`HealthCheckError::Backend`] when the settings with the override are out of bounds, or when `host` or `port` gives no address.
    pub fn plan(&self, backend: &Backend) -> Result<Option<Plan>, HealthCheckError> {
        if backend.health_check.as_ref().is_some_and(|o| o.enabled == Some(false)) {
            return Ok(None);
        }
        self.plan_of(backend).map(Some).map_err(|error| error.of(&backend.id))
    }

    fn plan_of(&self, backend: &Backend) -> Result<Plan, HealthCheckError> {
        let settings = backend.health_check.as_ref().map_or_else(|| self.clone(), |o| self.with(o));
        settings.validate()?;
        let target = target(backend, &settings)?;
        Ok(Plan { settings, target })
    }
}

/// `settings` have the override already.
fn target(backend: &Backend, settings: &HealthCheck) -> Result<Target, HealthCheckError> {
    let url = &backend.url;
    let at = elsewhere(url, settings.host.as_deref(), settings.port)
        .map_err(|Nowhere { field, value, reason }| bad(field, value, reason))?;
    // What a tcp check finds behind the port is no matter to it.
    let speaks = !matches!(settings.kind, CheckKind::Tcp);
    let tls = speaks && settings.tls.enabled.unwrap_or(url.scheme() == Scheme::Https);
    Ok(Target { at, base_path: url.base_path().into(), tls })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::TlsCheck;
    use lb_types::{ExpectedBody, HealthCheckOverride};
    use std::time::Duration;

    fn backend(url: &str, o: HealthCheckOverride) -> Backend {
        Backend::new("b", url.parse().unwrap()).health_check(o)
    }

    fn at(host: Option<&str>, port: Option<u16>) -> HealthCheckOverride {
        HealthCheckOverride { host: host.map(str::to_owned), port, ..Default::default() }
    }

    fn plan(url: &str, o: HealthCheckOverride) -> Result<Option<Plan>, HealthCheckError> {
        HealthCheck::default().plan(&backend(url, o))
    }

    #[test]
    fn overrides_are_applied() {
        let o = HealthCheckOverride {
            path: Some("/ready".into()),
            interval: Some(Duration::from_secs(15)),
            healthy_threshold: Some(7),
            expected_body: Some(ExpectedBody::Contains("up".into())),
            headers: Some(vec![("user-agent".into(), "me".into())]),
            ..Default::default()
        };
        let plan = plan("http://127.0.0.1:1/base", o).unwrap().unwrap();
        let mut wanted = HealthCheck::http("/ready").interval(Duration::from_secs(15)).thresholds(3, 7);
        let CheckKind::Http(http) = &mut wanted.kind else { unreachable!("made so") };
        http.expected_body = Some(ExpectedBody::Contains("up".into()));
        http.headers = vec![("user-agent".into(), "me".into())];
        assert_eq!(plan.settings, wanted);
        assert_eq!(plan.target.base_path(), "/base");
        let off = HealthCheckOverride { enabled: Some(false), ..Default::default() };
        assert_eq!(HealthCheck::default().plan(&backend("https://x", off)), Ok(None));
    }

    #[test]
    fn host_and_port_say_where_the_check_goes() {
        for (url, host, port, authority) in [
            ("http://10.0.0.1:81", None, None, "10.0.0.1:81"),
            ("http://10.0.0.1:81", None, Some(82), "10.0.0.1:82"),
            ("http://[::1]:81", None, Some(80), "[::1]"),
            ("http://10.0.0.1:81", Some("a.internal"), None, "a.internal:81"),
            ("http://10.0.0.1:81", Some("fe80::1"), Some(1), "[fe80::1]:1"),
            ("http://10.0.0.1:81", Some("[fe80::1]"), Some(1), "[fe80::1]:1"),
            ("unix:/a.sock", None, None, "localhost"),
            ("unix:/a.sock", Some("127.0.0.1"), Some(80), "127.0.0.1"),
        ] {
            let target = plan(url, at(host, port)).unwrap().unwrap().target;
            assert_eq!(target.authority(), authority);
        }
    }

    #[test]
    fn the_backends_own_host_and_port_come_before_the_pools() {
        let pool = HealthCheck { host: Some("127.0.0.9".into()), port: Some(99), ..HealthCheck::default() };
        for (url, host, port, authority) in [
            ("http://10.0.0.1:81", None, None, "127.0.0.9:99"),
            ("http://10.0.0.1:81", None, Some(82), "127.0.0.9:82"),
            ("http://10.0.0.1:81", Some("a"), None, "a:99"),
            ("unix:/a.sock", None, None, "127.0.0.9:99"),
        ] {
            let target = pool.plan(&backend(url, at(host, port))).unwrap().unwrap().target;
            assert_eq!(target.authority(), authority);
        }
        let port_alone = HealthCheck { host: None, ..pool };
        let error = port_alone.plan(&backend("unix:/a.sock", at(None, None))).unwrap_err().to_string();
        assert!(error.contains("health_check.port = 99: a backend on a unix socket has no host"), "{error}");
    }

    #[test]
    fn what_cannot_be_checked_is_refused_with_the_backend_and_the_field() {
        for (url, host, port, wanted) in [
            ("http://a", None, Some(0), "health_check.port = 0"),
            ("http://a", Some(""), None, "health_check.host = \"\""),
            ("http://a", Some("a/b"), None, "health_check.host = \"a/b\""),
            ("http://a", Some("a:80"), None, "health_check.host = \"a:80\""),
            ("http://a", Some("u@a"), None, "health_check.host = \"u@a\""),
            ("unix:/a.sock", Some("a"), None, "give port, too"),
            ("unix:/a.sock", None, Some(80), "give host, too"),
        ] {
            let error = plan(url, at(host, port)).unwrap_err().to_string();
            assert!(error.starts_with("backend \"b\": ") && error.contains(wanted), "{error}");
        }
        let head = HealthCheckOverride {
            method: Some("HEAD".into()),
            expected_body: Some(ExpectedBody::Exact("OK".into())),
            ..Default::default()
        };
        let error = plan("http://a", head).unwrap_err().to_string();
        assert!(error.contains("an answer to HEAD has no body"), "{error}");
        let o = HealthCheckOverride { timeout: Some(Duration::ZERO), ..Default::default() };
        let error = plan("http://a", o).unwrap_err().to_string();
        assert!(error.contains("health_check.timeout = 0ns"), "{error}");
    }

    #[test]
    fn tls_is_spoken_where_the_url_or_the_settings_say_so() {
        let (plain, always) = (HealthCheck::default(), HealthCheck::default().tls(TlsCheck::always()));
        let never = HealthCheck::default().tls(TlsCheck { enabled: Some(false), ..TlsCheck::default() });
        for (settings, url, tls, authority) in [
            (&plain, "http://a", false, "a"),
            (&plain, "https://a", true, "a"),
            (&plain, "https://a:80", true, "a:80"),
            (&always, "http://a", true, "a:80"),
            (&always, "http://[::1]:443", true, "[::1]"),
            (&always, "unix:/a", true, "localhost"),
            (&never, "https://a", false, "a:443"),
            (&HealthCheck::grpc(""), "https://a", true, "a"),
            (&HealthCheck::tcp(), "https://a", false, "a:443"),
        ] {
            let target = settings.plan(&Backend::new("b", url.parse().unwrap())).unwrap().unwrap().target;
            assert_eq!((target.tls(), target.authority().as_str()), (tls, authority), "{url}");
            assert!(["a", "::1", "localhost"].contains(&target.host().as_str()));
        }
    }
}
