//! Shared helpers of the end-to-end tests: a configuration in a few words.

pub mod quick;

use lb_testkit::{Backend, Client, EdgeLb, Response};
use std::time::Duration;

/// How long a test waits for what should come at once: only a failure ever takes so long.
pub const SOON: Duration = Duration::from_secs(10);

/// A short time-out to configure: long enough that a busy machine does not trip over it where it should not.
pub const SHORT: Duration = Duration::from_millis(200);

/// A configuration with one listener on 127.0.0.1, port 0, one worker and one pool. Each method adds lines of TOML.
#[derive(Clone, Debug, Default)]
pub struct Setup {
    top: String,
    listener: String,
    admin: bool,
    pool: String,
    backends: String,
}

impl Setup {
    /// These backends, each under its id.
    pub fn new<'a>(backends: impl IntoIterator<Item = &'a Backend>) -> Self {
        backends.into_iter().fold(Self::default(), |setup, backend| setup.backend(backend, ""))
    }

    /// One more backend, with further keys.
    #[must_use]
    pub fn backend(self, backend: &Backend, keys: &str) -> Self {
        self.backend_at(backend.id(), &backend.url(), keys)
    }

    /// One more backend that need not be there, with further keys.
    #[must_use]
    pub fn backend_at(mut self, id: &str, url: &str, keys: &str) -> Self {
        let text = format!("[[pools.main.backends]]\nid = \"{id}\"\nurl = \"{url}\"\n{keys}\n");
        self.backends.push_str(&text);
        self
    }

    /// Keys at the top of the file.
    #[must_use]
    pub fn top(mut self, keys: &str) -> Self {
        self.top.push_str(keys);
        self.top.push('\n');
        self
    }

    /// Keys of the listener.
    #[must_use]
    pub fn listener(mut self, keys: &str) -> Self {
        self.listener.push_str(keys);
        self.listener.push('\n');
        self
    }

    /// Keys of the pool.
    #[must_use]
    pub fn pool(mut self, keys: &str) -> Self {
        self.pool.push_str(keys);
        self.pool.push('\n');
        self
    }

    /// With an admin address.
    #[must_use]
    pub fn admin(mut self) -> Self {
        self.admin = true;
        self
    }

    /// The text of the file.
    pub fn text(&self) -> String {
        let Self { top, listener, pool, backends, .. } = self;
        let workers = if top.contains("workers") { "" } else { "workers = 1\n" };
        let address = if listener.contains("address") { "" } else { "address = \"127.0.0.1:0\"\n" };
        let admin = if self.admin { "[admin]\naddress = \"127.0.0.1:0\"\n" } else { "" };
        format!(
            "{workers}{top}\n[[listeners]]\n{address}{listener}\n{admin}\n[pools.main]\n{pool}\n{backends}"
        )
    }

    /// The binary, running with it.
    ///
    /// # Panics
    /// When it is not ready in time.
    #[track_caller]
    pub fn start(&self) -> EdgeLb {
        EdgeLb::with_config(self.text())
    }
}

/// What the admin address answers; it wants its own name as `Host`.
///
/// # Panics
/// When it does not answer.
pub fn admin(lb: &EdgeLb, method: &str, path: &str) -> Response {
    let mut client = Client::connect(lb.admin()).expect("the admin address listens");
    client.set_host(&lb.admin().to_string());
    client.request(method, path, &[], b"").expect("the admin address answers")
}

/// The sum of a metric's samples whose labels contain all of `labels`.
///
/// # Panics
/// When the admin address does not answer.
pub fn metric(lb: &EdgeLb, name: &str, labels: &[&str]) -> f64 {
    let response = admin(lb, "GET", "/metrics");
    assert_eq!(response.status(), 200);
    let text = response.text();
    let samples = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let named = series.split('{').next() == Some(name);
        (named && labels.iter().all(|l| series.contains(l))).then(|| value.parse::<f64>().unwrap_or(f64::NAN))
    });
    samples.sum()
}

/// How many backends the checks hold for unhealthy, by the admin API.
///
/// # Panics
/// When the admin address does not answer.
pub fn unhealthy(lb: &EdgeLb) -> usize {
    let health = admin(lb, "GET", "/api/v1/health");
    assert_eq!(health.status(), 200);
    health.text().replace(char::is_whitespace, "").matches("\"healthy\":false").count()
}
