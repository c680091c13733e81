//! The backend that was chosen for a request.

use crate::request;
use http::Uri;
use lb_types::{Address, Backend, BackendId, BackendUrl, Host, Scheme};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// The backend that [`LoadBalanceLayer`](crate::LoadBalanceLayer) chose: in the request's extensions. Cheap to clone.
///
/// It counts as in flight until the response has ended, whoever keeps this.
#[derive(Clone, Debug, PartialEq)]
pub struct ChosenBackend(Arc<Backend>);

impl ChosenBackend {
    pub(crate) fn new(backend: Arc<Backend>) -> Self {
        Self(backend)
    }

    /// Its id.
    pub fn id(&self) -> &BackendId {
        &self.0.id
    }

    /// Where it is.
    pub fn url(&self) -> &BackendUrl {
        &self.0.url
    }

    /// What its user says of it.
    pub fn metadata(&self) -> &BTreeMap<String, String> {
        &self.0.metadata
    }

    /// All that is known of it.
    pub fn backend(&self) -> &Backend {
        &self.0
    }

    /// Where to connect to, always with the port: `10.0.0.1:80`, `[::1]:8080`, `name:443`. (The URL's authority, for `Host`, leaves the scheme's own
    /// port out.) `None`: it listens on a Unix socket.
    pub fn host_and_port(&self) -> Option<String> {
        match self.0.url.address() {
            Address::Tcp { host: Host::Ip(ip), port } => Some(SocketAddr::new(*ip, *port).to_string()),
            Address::Tcp { host: Host::Name(name), port } => Some(format!("{name}:{port}")),
            _ => None,
        }
    }

    /// The absolute URI of a request to it: its scheme and authority, its base path, and path and query of `target`. `None`: it listens on a
    /// Unix socket, which no URI can name.
    pub fn uri(&self, target: &Uri) -> Option<Uri> {
        let Address::Tcp { .. } = self.0.url.address() else { return None };
        let scheme = match self.0.url.scheme() {
            Scheme::Http => "http",
            Scheme::Https => "https",
        };
        let target = request::target(target, self.0.url.base_path());
        let path = target.path_and_query().map_or("/", |p| p.as_str());
        Uri::try_from(format!("{scheme}://{}{path}", self.0.url.authority())).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_goes_below_the_base_path() {
        let to = |url: &str, target: &'static str| {
            let chosen = ChosenBackend::new(Arc::new(Backend::new("a", url.parse().unwrap())));
            chosen.uri(&Uri::from_static(target)).map(|uri| uri.to_string())
        };
        assert_eq!(to("http://10.0.0.1:80", "/a?b").as_deref(), Some("http://10.0.0.1/a?b"));
        assert_eq!(to("https://[::1]:8443/v1", "http://x/a").as_deref(), Some("https://[::1]:8443/v1/a"));
        assert_eq!(to("unix:/run/app.sock", "/a"), None);
    }

    #[test]
    fn where_to_connect_to_has_its_port() {
        for (url, at) in [
            ("http://10.0.0.1", Some("10.0.0.1:80")),
            ("https://a.example", Some("a.example:443")),
            ("http://[::1]:8080/base", Some("[::1]:8080")),
            ("unix:/run/app.sock", None),
        ] {
            let chosen = ChosenBackend::new(Arc::new(Backend::new("a", url.parse().unwrap())));
            assert_eq!(chosen.host_and_port().as_deref(), at, "{url}");
        }
    }
}
