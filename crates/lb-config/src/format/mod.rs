//! The three formats of a configuration file, each parsed into the same [`Node`] tree.

mod json;
mod toml;
mod yaml;

use crate::diagnostic::Sink;
use crate::node::Node;
use std::path::Path;

/// How deep tables and lists may nest. The contract needs six levels.
pub(crate) const DEPTH_MAX: usize = 64;

/// The format of a configuration file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// TOML 1.1.
    Toml,
    /// YAML 1.2, core schema: one document, no tags but `!!str`, no merge keys.
    Yaml,
    /// JSON (RFC 8259), without comments.
    Json,
}

impl Format {
    /// By the file's extension: `.toml`, `.yaml`, `.yml`, `.json`; `None` for any other.
    ///
    /// ```
    /// use lb_config::Format;
    /// assert_eq!(Format::from_path("edge-lb.YML"), Some(Format::Yaml));
    /// assert_eq!(Format::from_path("edge-lb.conf"), None);
    /// ```
    pub fn from_path(path: impl AsRef<Path>) -> Option<Self> {
        match path.as_ref().extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "toml" => Some(Self::Toml),
            "yaml" | "yml" => Some(Self::Yaml),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// The tree of a text, or `None` after its syntax errors were recorded.
pub(crate) fn parse(format: Format, sink: &Sink<'_>) -> Option<Node> {
    match format {
        Format::Toml => toml::parse(sink),
        Format::Yaml => yaml::parse(sink),
        Format::Json => json::parse(sink),
    }
}

/// What is said of a tree that is deeper than [`DEPTH_MAX`].
fn too_deep() -> String {
    format!("tables and lists are nested more than {DEPTH_MAX} deep")
}
