//! Where the API is, and who asks.

use crate::TIMEOUT_MAX;
use http::Uri;
use lb_types::SettingsError;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a program comes to its API.
#[derive(Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Access {
    /// As [`InCluster`](Self::InCluster) in a pod, as [`Kubeconfig`](Self::Kubeconfig) elsewhere.
    #[default]
    Auto,
    /// By the pod's service account.
    InCluster,
    /// By a kubeconfig.
    Kubeconfig {
        /// Where it is; `None`: as `KUBECONFIG` says, else `~/.kube/config`.
        path: Option<PathBuf>,
        /// Which of its contexts; `None`: the current one.
        context: Option<String>,
    },
    /// By URL.
    Url {
        /// `http` or `https`.
        url: String,
        /// Sent with each request.
        token: Option<String>,
        /// The file with the roots that its certificate is checked by, in PEM; read again every minute. `None`: the system's roots.
        ca_file: Option<PathBuf>,
    },
}

/// A cluster's API.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Cluster {
    /// How it is reached.
    pub access: Access,
    /// How long a request may take, from a new connection to the end of the answer; default 10 s (10 ms – 1 h). A watch may last longer.
    pub timeout: Duration,
}

impl Default for Cluster {
    fn default() -> Self {
        Self::new(Access::Auto)
    }
}

impl Cluster {
    /// Reached like this; the rest as documented.
    pub fn new(access: Access) -> Self {
        Self { access, timeout: Duration::from_secs(10) }
    }

    /// At this URL, without credentials.
    pub fn at(url: impl Into<String>) -> Self {
        Self::new(Access::Url { url: url.into(), token: None, ca_file: None })
    }

    /// Another time limit.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Whether every value is within its bounds. No file is looked at.
    ///
    /// # Errors
    /// The first that is not, by field and value (of the token nothing).
    pub fn validate(&self) -> Result<(), SettingsError> {
        let least = Duration::from_millis(10);
        if !(least..=TIMEOUT_MAX).contains(&self.timeout) {
            let must = format!("must be from {least:?} to {TIMEOUT_MAX:?}");
            return Err(SettingsError::new("timeout", self.timeout, must));
        }
        let Access::Url { url, token, .. } = &self.access else { return Ok(()) };
        parse(url)?;
        if token.as_ref().is_some_and(|t| t.is_empty() || !t.bytes().all(|b| b.is_ascii_graphic())) {
            return Err(SettingsError::new("token", "…", "must be visible ASCII"));
        }
        Ok(())
    }
}

/// A URL of the API.
pub(crate) fn parse(url: &str) -> Result<Uri, SettingsError> {
    let wrong = || SettingsError::new("url", url, "must be a URL of http or https, without a query");
    let uri: Uri = url.parse().map_err(|_| wrong())?;
    let known = matches!(uri.scheme_str(), Some("http" | "https"));
    if known && uri.host().is_some() && uri.query().is_none() { Ok(uri) } else { Err(wrong()) }
}

impl fmt::Debug for Access {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Auto => f.write_str("Auto"),
            Self::InCluster => f.write_str("InCluster"),
            Self::Kubeconfig { path, context } => {
                f.debug_struct("Kubeconfig").field("path", path).field("context", context).finish()
            }
            Self::Url { url, token, ca_file } => f
                .debug_struct("Url")
                .field("url", url)
                .field("has_token", &token.is_some())
                .field("ca_file", ca_file)
                .finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_field_and_value_and_no_secret() {
        let url = |url: &str| Cluster::at(url).validate().map_err(|e| e.to_string());
        assert_eq!(url("https://10.0.0.1:6443"), Ok(()));
        let must = "must be a URL of http or https, without a query";
        for bad in ["", "10.0.0.1", "ftp://a", "http://a?b", "/x"] {
            assert_eq!(url(bad), Err(format!("url = {bad:?}: {must}")), "{bad}");
        }
        let secret = Access::Url { url: "http://a".into(), token: Some("se cret".into()), ca_file: None };
        let cluster = Cluster::new(secret);
        let error = cluster.validate().unwrap_err().to_string();
        assert!(error.starts_with("token = ") && !error.contains("cret"), "{error}");
        assert!(!format!("{cluster:?}").contains("cret"));
        let late = Cluster::default().timeout(Duration::ZERO).validate().unwrap_err().to_string();
        assert_eq!(late, "timeout = 0ns: must be from 10ms to 3600s");
    }
}
