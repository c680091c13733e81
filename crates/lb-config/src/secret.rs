//! Secrets: in the file itself, in the environment (`env:NAME`), or in files of their own (`file:PATH`).
//!
//! No message shows one, and where a line of the file is shown, what stands for a secret in it is hidden.

use crate::node::{Node, Value, shorten};
use crate::reader::Field;
use std::ffi::OsString;
use std::fmt;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// The largest file that a secret is read from: 64 KiB.
const FILE_BYTES_MAX: usize = 64 << 10;

type Variable<'e> = dyn Fn(&str) -> Option<OsString> + 'e;

/// Where secrets come from that the file only names.
///
/// ```
/// use lb_config::{Format, Secrets, parse_with};
/// let text = r#"
/// listeners = [{ address = "127.0.0.1:8080" }]
/// pools.web.backends = [{ url = "http://127.0.0.1:9001" }]
/// pools.web.session_affinity = { type = "cookie", secret = "env:LB_SECRET" }
/// "#;
/// let nothing = Secrets::new().variables(|_| None);
/// assert!(parse_with(text, Format::Toml, "a.toml", &nothing).is_err());
/// let secrets = Secrets::new().variables(|name| (name == "LB_SECRET").then(|| "0123456789abcdef".into()));
/// let config = parse_with(text, Format::Toml, "a.toml", &secrets)?;
/// assert_eq!(config.pools["web"].session_affinity.as_ref().map(|a| a.settings.secret.len()), Some(1));
/// # Ok::<(), lb_config::ConfigError>(())
/// ```
pub struct Secrets<'e> {
    folder: PathBuf,
    variable: Box<Variable<'e>>,
}

impl Default for Secrets<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'e> Secrets<'e> {
    /// From the process's environment, and from files relative to the working directory.
    pub fn new() -> Self {
        Self { folder: PathBuf::new(), variable: Box::new(|name| std::env::var_os(name)) }
    }

    /// From files relative to `folder`.
    #[must_use]
    pub fn in_folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = folder.into();
        self
    }

    /// From these variables instead of the process's.
    #[must_use]
    pub fn variables(mut self, variable: impl Fn(&str) -> Option<OsString> + 'e) -> Self {
        self.variable = Box::new(variable);
        self
    }

    /// The secret that a key has or names.
    pub(crate) fn secret(&self, field: &Field<'_>) -> Option<String> {
        self.read(field, field.node()?)
    }

    /// The secret in one value of a key.
    pub(crate) fn read(&self, field: &Field<'_>, node: &Node) -> Option<String> {
        let Value::Text(text) = &node.value else {
            field.sink.hide(node.span);
            let found = match node.value {
                Value::Table(_) => "a table",
                Value::List(_) => "a list",
                _ => "a bare value",
            };
            let message = format!("`{}` must be a text, not {found}", field.name());
            field
                .sink
                .error(node.span, message)
                .help("put it in quotes; or name it: \"env:NAME\", \"file:PATH\"");
            return None;
        };
        let found = if let Some(name) = text.strip_prefix("env:") {
            self.of_variable(name)
        } else if let Some(path) = text.strip_prefix("file:") {
            self.of_file(path)
        } else {
            field.sink.hide(node.span);
            if text.is_empty() { Err(" must not be empty".to_owned()) } else { Ok(text.clone()) }
        };
        found.map_err(|why| field.sink.error(node.span, format!("`{}`{why}", field.name()))).ok()
    }

    /// A file that is no secret, or has several.
    pub(crate) fn file(&self, path: &str, max: usize) -> Result<Vec<u8>, String> {
        let what = format!("the file {}", shorten(path));
        let bytes = read(&self.folder.join(path), max).map_err(|e| format!("{what} cannot be read: {e}"))?;
        if bytes.len() > max { Err(format!("{what} is larger than {} KiB", max >> 10)) } else { Ok(bytes) }
    }

    fn of_variable(&self, name: &str) -> Result<String, String> {
        // What the system's look-up cannot be asked for.
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(format!(": \"env:{}\" names no environment variable", shorten(name)));
        }
        let what = format!("the environment variable {}", shorten(name));
        let value = (self.variable)(name).ok_or_else(|| format!(": {what} is not set"))?;
        let text = value.into_string().map_err(|_| format!(": {what} is not UTF-8 text"))?;
        if text.is_empty() { Err(format!(": {what} is empty")) } else { Ok(text) }
    }

    fn of_file(&self, path: &str) -> Result<String, String> {
        if path.is_empty() {
            return Err(": \"file:\" names no file".to_owned());
        }
        let what = format!("the file {}", shorten(path));
        let bytes = read(&self.folder.join(path), FILE_BYTES_MAX)
            .map_err(|e| format!(": {what} cannot be read: {e}"))?;
        if bytes.len() > FILE_BYTES_MAX {
            return Err(format!(": {what} is larger than {} KiB", FILE_BYTES_MAX >> 10));
        }
        let text = String::from_utf8(bytes).map_err(|_| format!(": {what} is not UTF-8 text"))?;
        let text = text.trim_end_matches(['\r', '\n']);
        if text.is_empty() { Err(format!(": {what} is empty")) } else { Ok(text.to_owned()) }
    }
}

impl fmt::Debug for Secrets<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Secrets").field("folder", &self.folder).finish_non_exhaustive()
    }
}

/// At most one byte more than such a file may have.
fn read(path: &Path, max: usize) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(max as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}
