//! Where a check goes when it does not go to the backend's own address.

use lb_types::{Address, BackendUrl};

/// What is wrong with a `host` or a `port`.
pub(crate) struct Nowhere {
    pub(crate) field: &'static str,
    pub(crate) value: String,
    pub(crate) reason: &'static str,
}

/// The address of `url`, with another host, another port or both: one that is not given is the URL's. Scheme and base path do not
/// count.
pub(crate) fn elsewhere(
    url: &BackendUrl,
    host: Option<&str>,
    port: Option<u16>,
) -> Result<BackendUrl, Nowhere> {
    let nowhere = |field, value: String, reason| Err(Nowhere { field, value, reason });
    if port == Some(0) {
        return nowhere("port", "0".to_owned(), "it must be from 1 to 65535");
    }
    if host.is_none() && port.is_none() {
        return Ok(url.clone());
    }
    let (own_host, own_port) = match url.address() {
        Address::Tcp { host, port } => (Some(host.to_string()), Some(*port)),
        Address::Unix(_) => (None, None),
    };
    let shown = format!("{:?}", host.unwrap_or_default());
    let Some(port) = port.or(own_port) else {
        return nowhere("host", shown, "a backend on a unix socket has no port: give port, too");
    };
    let Some(host) = host.map(str::to_owned).or(own_host) else {
        return nowhere("port", port.to_string(), "a backend on a unix socket has no host: give host, too");
    };
    match BackendUrl::http(&host, port) {
        Ok(at) if at.base_path().is_empty() => Ok(at),
        _ => nowhere("host", shown, "it must be an IP address or a host name, without a port"),
    }
}
