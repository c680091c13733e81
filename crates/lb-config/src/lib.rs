//! The configuration file: what the user typed, what the program runs on, and precise diagnostics.
//!
//! ```
//! use lb_config::{Format, parse};
//!
//! let text = r#"
//! [[listeners]]
//! address = "127.0.0.1:8080"
//!
//! [pools.web]
//! helth_check = { path = "/health" }
//! backends = [{ url = "http://127.0.0.1:9001" }, { url = "http://127.0.0.1:9002", weight = 2 }]
//! "#;
//! let error = parse(text, Format::Toml, "edge-lb.toml").unwrap_err();
//! assert_eq!(
//!     error.to_string(),
//!     "edge-lb.toml:6:1: error: unknown key `helth_check`\n  help: did you mean `health_check`?",
//! );
//!
//! let config = parse(&text.replace("helth", "health"), Format::Toml, "edge-lb.toml")?;
//! assert_eq!(config.pools["web"].backends[1].weight, 2);
//! # Ok::<(), lb_config::ConfigError>(())
//! ```
//!
//! TOML, YAML and JSON are parsed into one tree of values with their places (`node`); one resolver (`resolve`) walks it
//! by the one table of keys ([`schema`]) and records everything that is wrong, not only the first thing. A key of the
//! contract whose capability is not built yet is refused as such; nothing is accepted and ignored.
//!
//! Bounds: a file has at most [`FILE_BYTES_MAX`] bytes, 64 levels of nesting and (after YAML's aliases were copied)
//! 500 000 values; at most 100 errors are kept.
//!
//! Secrets may stand in the environment or in files of their own ([`Secrets`]); no message shows one.
//!
//! What it lacks: includes, the difference of two configurations.

mod address;
mod config;
mod diagnostic;
mod flags;
mod format;
mod node;
mod reader;
mod reference;
mod resolve;
pub mod schema;
mod secret;
mod text;

pub use address::{AddressError, ListenAddress};
pub use config::{
    Admin, Affinity, Autoscale, BasicAuth, Caching, CircuitBreaker, ClientIpHeader, Coding, Compression,
    Config, ConnectionPooling, Cors, Discovery, DnsRecord, ErrorPage, ForwardAuth, Gate, Geo, GeoCache,
    GeoDatabase, GeoRegion, HeaderChanges, Hedge, IdTrust, KubernetesApi, KubernetesPods, KubernetesWorkload,
    Limiting, Listener, Log, LogFormat, LogLevel, Mirror, PathRewrite, PodFamily, PodPort, Pool, PoolGeo,
    Queuing, Regional, RegionalBalancer, RequestId, RetryOn, RetryPolicy, Route, RouteAction, ScaleDriver,
    Split, Sticky, Storage, Store, WorkloadKind,
};
pub use diagnostic::{ConfigError, Diagnostic};
pub use flags::FlagsError;
pub use format::Format;
pub use reference::reference;
pub use secret::Secrets;

use diagnostic::Sink;
use lb_store::RedisSettings;
use lb_types::Backend;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The largest file that is read: 16 MiB, room for some 100 000 backends.
pub const FILE_BYTES_MAX: usize = 16 << 20;

/// Reads a configuration file, its format by its extension. A relative path in it (of a discovery file, of authorities, of a
/// secret) is taken from the file's own folder, whatever the working directory is.
///
/// # Errors
/// When the file cannot be read or is wrong, with everything that is wrong.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let name = path.display().to_string();
    let whole = |message, help| ConfigError::whole(&name, message, help);
    let format = Format::from_path(path).ok_or_else(|| {
        let help = "name it .toml, .yaml, .yml or .json".to_owned();
        whole("the file's extension does not tell its format".to_owned(), Some(help))
    })?;
    let bytes = read(path).map_err(|e| whole(format!("the file cannot be read: {e}"), None))?;
    let text = String::from_utf8(bytes).map_err(|e| {
        let valid = e.utf8_error().valid_up_to();
        let line = e.as_bytes()[..valid].iter().filter(|&&b| b == b'\n').count() + 1;
        whole(format!("the file is not UTF-8 text: byte {} of it, on line {line}", valid + 1), None)
    })?;
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut config = parse_with(&text, format, &name, &Secrets::new().in_folder(folder))?;
    place_in(folder, &mut config);
    Ok(config)
}

/// Takes relative paths from `folder`.
fn place_in(folder: &Path, config: &mut Config) {
    let place = |path: &mut PathBuf| *path = folder.join(&*path);
    for pool in config.pools.values_mut() {
        match &mut pool.discovery {
            Some(Discovery::File { path }) => place(path),
            Some(Discovery::Kubernetes(pods)) => pods.api.paths().for_each(place),
            _ => {}
        }
        if let Some(Autoscale { driver: ScaleDriver::Kubernetes(workload), .. }) = &mut pool.autoscale {
            workload.api.paths().for_each(place);
        }
        if let Some(ca) = pool.health_check.as_mut().and_then(|check| check.tls.ca.as_mut()) {
            place(ca);
        }
    }
    for store in config.stores.values_mut() {
        if let Store::Redis(RedisSettings { ca: Some(ca), .. }) = store {
            place(ca);
        }
    }
    for database in &mut config.geo.databases {
        if let GeoDatabase::MaxMind { path, .. } = database {
            place(path);
        }
    }
}

/// At most one byte more than a file may have, so that a larger one is noticed and never held.
fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The configuration in a text. `name` is what messages call the file. Secrets come from the process's environment, and from files
/// relative to the working directory.
///
/// # Errors
/// When the text is wrong, with everything that is wrong.
pub fn parse(text: &str, format: Format, name: &str) -> Result<Config, ConfigError> {
    parse_with(text, format, name, &Secrets::new())
}

/// The same, with secrets from elsewhere.
///
/// # Errors
/// When the text is wrong, with everything that is wrong.
pub fn parse_with(
    text: &str,
    format: Format,
    name: &str,
    secrets: &Secrets<'_>,
) -> Result<Config, ConfigError> {
    resolve_with(text, format, name, |root, sink| resolve::config(root, sink, secrets))
}

/// The backends in the text of a file that discovery reads: a list `backends` (in YAML and JSON also the list alone) with
/// the keys of `[[pools.NAME.backends]]`. An empty list is allowed: everything may have gone.
///
/// ```
/// use lb_config::{Format, parse_backends};
/// let backends = parse_backends(r#"[{ "id": "a", "url": "http://10.0.0.1:80" }]"#, Format::Json, "backends.json")?;
/// assert_eq!(backends[0].id, "a");
/// # Ok::<(), lb_config::ConfigError>(())
/// ```
///
/// # Errors
/// When the text is wrong, with everything that is wrong.
pub fn parse_backends(text: &str, format: Format, name: &str) -> Result<Vec<Backend>, ConfigError> {
    resolve_with(text, format, name, resolve::backends)
}

fn resolve_with<T>(
    text: &str,
    format: Format,
    name: &str,
    resolve: impl FnOnce(&node::Node, &Sink<'_>) -> Option<T>,
) -> Result<T, ConfigError> {
    if text.len() > FILE_BYTES_MAX {
        let message = format!("the file is larger than {} MiB", FILE_BYTES_MAX >> 20);
        return Err(ConfigError::whole(name, message, None));
    }
    // Windows editors put a byte order mark first; columns are counted without it.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let sink = Sink::new(name, text);
    let value = format::parse(format, &sink).and_then(|root| resolve(&root, &sink));
    sink.finish(value)
}
