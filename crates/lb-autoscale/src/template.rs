//! What a ready instance becomes: a backend by a template.

use crate::driver::Driven;
use lb_types::{Backend, BackendId, BackendUrl, SettingsError};
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// What may be filled in in the URL.
const PLACES: [&str; 3] = ["{id}", "{host}", "{port}"];

/// `instance_template`: how an instance becomes a backend.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct InstanceTemplate {
    /// Its URL, with `{id}`, `{host}` and `{port}` filled in; default `http://{host}:{port}`. It must name `{port}`, which changes with each start.
    pub url: String,
    /// Its weight, default 1 (1 or more).
    pub weight: u32,
    /// The most requests in flight; `None`: the pool's.
    pub max_connections: Option<u32>,
    /// What is said of it.
    pub metadata: BTreeMap<String, String>,
}

impl Default for InstanceTemplate {
    fn default() -> Self {
        Self::new("http://{host}:{port}")
    }
}

impl InstanceTemplate {
    /// This URL, weight 1.
    pub fn new(url: impl Into<String>) -> Self {
        Self { url: url.into(), weight: 1, max_connections: None, metadata: BTreeMap::new() }
    }

    /// Whether each instance gets a URL of its own that can be one.
    ///
    /// # Errors
    /// An unknown place, no `{port}`, no URL, or weight 0.
    pub fn validate(&self) -> Result<(), SettingsError> {
        let wrong = |must: String| Err(SettingsError::new("url", &self.url, must));
        let mut rest = self.url.as_str();
        while let Some((_, after)) = rest.split_once('{') {
            let Some((name, next)) = after.split_once('}') else {
                return wrong("has { without }".to_owned());
            };
            if !PLACES.iter().any(|place| place[1..place.len() - 1] == *name) {
                return wrong(format!("{{{name}}} is none of {}", PLACES.join(" ")));
            }
            rest = next;
        }
        if !self.url.contains("{port}") {
            return wrong("must contain {port}: each instance has one of its own".to_owned());
        }
        if let Err(e) = self.url_of(&"instance-1".into(), SocketAddr::from(([127, 0, 0, 1], 1))) {
            return wrong(e);
        }
        if self.weight == 0 {
            return Err(SettingsError::new("weight", self.weight, "must be 1 or more"));
        }
        Ok(())
    }

    fn url_of(&self, id: &BackendId, address: SocketAddr) -> Result<BackendUrl, String> {
        let host = match address {
            SocketAddr::V4(v4) => v4.ip().to_string(),
            SocketAddr::V6(v6) => format!("[{}]", v6.ip()),
        };
        let port = address.port().to_string();
        let url = self.url.replace("{host}", &host).replace("{port}", &port).replace("{id}", id.as_str());
        url.parse().map_err(|e| format!("{url} is no URL of a backend: {e}"))
    }

    /// The backend that an instance is.
    ///
    /// # Errors
    /// What is filled in makes no URL.
    pub fn backend(&self, instance: &Driven) -> Result<Backend, String> {
        let mut backend = Backend::new(instance.id.clone(), self.url_of(&instance.id, instance.address)?)
            .weight(self.weight);
        backend.max_connections = self.max_connections;
        backend.metadata.clone_from(&self.metadata);
        Ok(backend)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_for_each() {
        let at = |text: &str| text.parse().unwrap();
        let url = |template: &str, address| InstanceTemplate::new(template).url_of(&"web-3".into(), address);
        assert_eq!(
            url("http://127.0.0.1:{port}", at("127.0.0.1:81")).unwrap().to_string(),
            "http://127.0.0.1:81"
        );
        assert_eq!(
            url("http://{host}:{port}/{id}", at("[::1]:81")).unwrap().to_string(),
            "http://[::1]:81/web-3"
        );
    }

    #[test]
    fn errors_name_what_is_wrong() {
        let error = |url: &str| InstanceTemplate::new(url).validate().unwrap_err().to_string();
        assert!(error("http://127.0.0.1:{prot}").ends_with("{prot} is none of {id} {host} {port}"));
        assert!(error("http://127.0.0.1:80").contains("must contain {port}"));
        assert!(error("{port}").contains("is no URL"));
        assert!(error("http://{port").contains("has { without }"));
        assert!(InstanceTemplate { weight: 0, ..InstanceTemplate::default() }.validate().is_err());
        assert_eq!(InstanceTemplate::default().validate(), Ok(()));
    }
}
