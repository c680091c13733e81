//! How a Kubernetes API is reached: [`Cluster`] says how, [`Connection`] holds the client.
//!
//! What is asked of it is the matter of those who ask: `lb-autoscale` scales workloads, `lb-balancer` follows the endpoints of a service.
//! Both use this crate, so that a program says only once where its cluster is.
//!
//! The client is made when it is first needed: files are read then, and programs that a kubeconfig names are run then. Every request has a time limit,
//! which its caller sets by [`Connection::timeout`]. TLS is rustls with aws-lc-rs; kube installs it as the process's provider if there is none.
//!
//! It lacks proxies, OIDC and the legacy auth providers of kubeconfigs.

mod cluster;
mod connection;

pub use cluster::{Access, Cluster};
pub use connection::{ApiError, Connection};
pub use kube;
pub use lb_types::SettingsError;

/// The largest time limit of one request.
pub const TIMEOUT_MAX: std::time::Duration = std::time::Duration::from_secs(60 * 60);

/// Is this the name of an object: a DNS label, or several with dots between them (RFC 1123, 253 characters at most)?
pub fn is_name(name: &str) -> bool {
    let label = |l: &str| {
        let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        (1..=63).contains(&l.len()) && l.bytes().all(inner) && !l.starts_with('-') && !l.ends_with('-')
    };
    name.len() <= 253 && name.split('.').all(label)
}

/// Whether `name` may stand in a path of the API.
///
/// # Errors
/// It is no name, by field and value.
pub fn check_name(field: &'static str, name: &str) -> Result<(), SettingsError> {
    if is_name(name) {
        return Ok(());
    }
    Err(SettingsError::new(field, name, "must be a Kubernetes name: lower-case letters, digits, '-' and '.'"))
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn names_are_dns_labels() {
        assert!(["a", "web-1", "a.b", "0"].iter().all(|name| is_name(name)));
        assert!(!["", "A", "a/b", "-a", "a-", "a..b", "a b", "../x"].iter().any(|name| is_name(name)));
        assert!(!is_name(&"a".repeat(64)));
    }
}
