//! What goes wrong in a task: one sentence that names the thing and the cause.
//!
//! Tasks have one reader, a person at a terminal, and one consequence, exit code 1; a tree of typed variants would have no
//! caller that matches on it. Libraries of the workspace do otherwise (docs/architecture.md).

use std::fmt;

/// A failure in words. Never wraps silently: [`Context`] adds what was being done.
#[derive(Debug)]
pub(crate) struct Error(String);

/// What every task returns.
pub(crate) type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(crate) fn new(message: impl Into<String>) -> Error {
        Error(message.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// `result.context("reading the clock")?`: says what was being done when another error came up.
pub(crate) trait Context<T> {
    fn context(self, doing: impl fmt::Display) -> Result<T>;
}

impl<T, E: fmt::Display> Context<T> for std::result::Result<T, E> {
    fn context(self, doing: impl fmt::Display) -> Result<T> {
        self.map_err(|cause| Error(format!("{doing}: {cause}")))
    }
}

impl<T> Context<T> for Option<T> {
    fn context(self, missing: impl fmt::Display) -> Result<T> {
        self.ok_or_else(|| Error(missing.to_string()))
    }
}
