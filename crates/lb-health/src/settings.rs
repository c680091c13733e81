//! What a health checker is told. `Default` is the documented default; [`HealthCheck::validate`] says what is out of
//! bounds.

use lb_types::{ExpectedBody, HealthCheckOverride};
use std::path::PathBuf;
use std::time::Duration;

/// Settings of active health checks.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HealthCheck {
    /// What a check does.
    pub kind: CheckKind,
    /// TLS of HTTP and gRPC checks.
    pub tls: TlsCheck,
    /// Where to connect instead of each backend's own host; also the name in the `Host` header. Default: the backend's.
    pub host: Option<String>,
    /// The port to check instead of each backend's own. Default: the backend's.
    pub port: Option<u16>,
    /// From the start of one check to the next, default 30 s; the first is due at a random point within the first interval, at most 1 s in.
    pub interval: Duration,
    /// How long one check may take, default 5 s.
    pub timeout: Duration,
    /// Failures in a row until a healthy backend is unhealthy, default 3.
    pub unhealthy_threshold: u32,
    /// Successes in a row until an unhealthy backend is healthy, default 2.
    pub healthy_threshold: u32,
    /// Each interval is stretched or shortened by up to this percent (0–50), default 10, so that checks do not march in step.
    pub jitter_percent: u8,
    /// The most checks under way at once, default 64.
    pub max_concurrent: usize,
}

impl Default for HealthCheck {
    fn default() -> Self {
        Self {
            kind: CheckKind::Http(HttpCheck::default()),
            tls: TlsCheck::default(),
            host: None,
            port: None,
            interval: Duration::from_secs(30),
            timeout: Duration::from_secs(5),
            unhealthy_threshold: 3,
            healthy_threshold: 2,
            jitter_percent: 10,
            max_concurrent: 64,
        }
    }
}

impl HealthCheck {
    /// A TCP connect check with the other defaults.
    pub fn tcp() -> Self {
        Self { kind: CheckKind::Tcp, ..Self::default() }
    }

    /// An HTTP check of `path` with the other defaults.
    pub fn http(path: impl Into<String>) -> Self {
        Self {
            kind: CheckKind::Http(HttpCheck { path: path.into(), ..HttpCheck::default() }),
            ..Self::default()
        }
    }

    /// A gRPC check of `service` (empty: of the server as a whole) with the other defaults.
    pub fn grpc(service: impl Into<String>) -> Self {
        Self { kind: CheckKind::Grpc(GrpcCheck { service: service.into() }), ..Self::default() }
    }

    /// Another way to speak TLS.
    #[must_use]
    pub fn tls(mut self, tls: TlsCheck) -> Self {
        self.tls = tls;
        self
    }

    /// Another interval.
    #[must_use]
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval;
        self
    }

    /// Another time limit of one check.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Other thresholds: failures in a row until unhealthy, successes in a row until healthy.
    #[must_use]
    pub fn thresholds(mut self, unhealthy: u32, healthy: u32) -> Self {
        self.unhealthy_threshold = unhealthy;
        self.healthy_threshold = healthy;
        self
    }

    /// Another jitter, in percent of the interval (0–50).
    #[must_use]
    pub fn jitter_percent(mut self, percent: u8) -> Self {
        self.jitter_percent = percent;
        self
    }

    /// Another host to check, for all backends that have none of their own for it.
    #[must_use]
    pub fn host(mut self, host: impl Into<String>) -> Self {
        self.host = Some(host.into());
        self
    }

    /// Another port to check, for all backends that have none of their own for it.
    #[must_use]
    pub fn port(mut self, port: u16) -> Self {
        self.port = Some(port);
        self
    }

    /// Another bound on the checks under way at once.
    #[must_use]
    pub fn max_concurrent(mut self, max: usize) -> Self {
        self.max_concurrent = max;
        self
    }

    /// These settings with what one backend has otherwise, but for `enabled`: see [`HealthCheck::plan`].
    #[must_use]
    pub fn with(&self, o: &HealthCheckOverride) -> Self {
        let mut c = self.clone();
        c.host = o.host.clone().or(c.host);
        c.port = o.port.or(c.port);
        c.interval = o.interval.unwrap_or(c.interval);
        c.timeout = o.timeout.unwrap_or(c.timeout);
        c.unhealthy_threshold = o.unhealthy_threshold.unwrap_or(c.unhealthy_threshold);
        c.healthy_threshold = o.healthy_threshold.unwrap_or(c.healthy_threshold);
        if let CheckKind::Http(http) = &mut c.kind {
            http.apply(o);
        }
        c
    }
}

/// What a check does.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum CheckKind {
    /// An HTTP/1.1 request whose status is looked at, and its body if one is expected.
    Http(HttpCheck),
    /// A TCP (or unix socket) connection that can be made.
    Tcp,
    /// A question by the gRPC health protocol, `grpc.health.v1.Health/Check`.
    Grpc(GrpcCheck),
}

/// Settings of a gRPC check.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct GrpcCheck {
    /// The service to ask for; empty, the default: the server as a whole.
    pub service: String,
}

/// How HTTP and gRPC checks speak TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsCheck {
    /// Whether they do. `None`, the default: with `https` backends.
    pub enabled: Option<bool>,
    /// Whether the certificate must be good: signed by a known authority, for this name, and in its time. Default `true`; with `false`
    /// any certificate passes.
    pub verify: bool,
    /// The name in the certificate and in SNI. `None`, the default: the host that is checked.
    pub server_name: Option<String>,
    /// A PEM file with the authorities that are known, read when backends are set. `None`, the default: Mozilla's, as compiled in.
    pub ca: Option<PathBuf>,
}

impl Default for TlsCheck {
    fn default() -> Self {
        Self { enabled: None, verify: true, server_name: None, ca: None }
    }
}

impl TlsCheck {
    /// TLS whatever the backend's URL says, with the other defaults.
    pub fn always() -> Self {
        Self { enabled: Some(true), ..Self::default() }
    }

    /// Any certificate passes, for tests and for backends whose certificate is of no account.
    #[must_use]
    pub fn without_verification(mut self) -> Self {
        self.verify = false;
        self
    }

    /// Another name in certificate and SNI.
    #[must_use]
    pub fn server_name(mut self, name: impl Into<String>) -> Self {
        self.server_name = Some(name.into());
        self
    }

    /// Other authorities: those of a PEM file.
    #[must_use]
    pub fn ca(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca = Some(path.into());
        self
    }
}

/// Settings of an HTTP check.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct HttpCheck {
    /// The path to ask for, with a query if wanted; default `/health`. The backend's base path stands before it.
    pub path: String,
    /// `GET` (the default), `HEAD`, `OPTIONS`, `POST` …
    pub method: String,
    /// Statuses that pass, as inclusive ranges; default 200 and 201.
    pub expected_status: Vec<std::ops::RangeInclusive<u16>>,
    /// What the body has to be once the status has passed. `None`, the default: it is not read.
    pub expected_body: Option<ExpectedBody>,
    /// Headers to send; default `User-Agent: LoadBalancer-HealthCheck/1.0`.
    pub headers: Vec<(String, String)>,
}

impl HttpCheck {
    fn apply(&mut self, o: &HealthCheckOverride) {
        fn set<T: Clone>(field: &mut T, value: Option<&T>) {
            if let Some(v) = value {
                field.clone_from(v);
            }
        }
        set(&mut self.path, o.path.as_ref());
        set(&mut self.method, o.method.as_ref());
        set(&mut self.expected_status, o.expected_status.as_ref());
        if o.expected_body.is_some() {
            self.expected_body.clone_from(&o.expected_body);
        }
        if let Some(own) = &o.headers {
            self.headers.retain(|(name, _)| !own.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)));
            self.headers.extend(own.iter().cloned());
        }
    }
}

impl Default for HttpCheck {
    fn default() -> Self {
        Self {
            path: "/health".into(),
            method: "GET".into(),
            expected_status: vec![200..=201],
            expected_body: None,
            headers: vec![("User-Agent".into(), "LoadBalancer-HealthCheck/1.0".into())],
        }
    }
}
