//! Settings of the exec driver. `Default` is as documented here; [`ExecSettings::validate`] says what is out of bounds.

use crate::driver::retry::{Retry, within};
use crate::driver::template;
use lb_types::SettingsError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

/// What may be filled in.
const PLACES: &[&str] = &["desired", "current", "going", "reason"];
/// What is run.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ExecSettings {
    /// The program and its arguments, with `{desired}`, `{current}`, `{going}` (ids, separated by commas) and `{reason}` filled in. There is
    /// no shell. The same values are in the environment as `EDGE_LB_DESIRED`, `EDGE_LB_CURRENT` and so on. No default.
    pub command: Vec<String>,
    /// More variables of the environment, with the same places.
    pub environment: BTreeMap<String, String>,
    /// The working directory, default our own.
    pub directory: Option<PathBuf>,
    /// How long it may take, default 30 s (10 ms – 1 h).
    pub timeout: Duration,
    /// How often and when it is run again, default 5 tries, 500 ms doubling to 30 s.
    pub retry: Retry,
}

impl ExecSettings {
    /// This command; the rest as documented.
    pub fn new(command: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            command: command.into_iter().map(Into::into).collect(),
            environment: BTreeMap::new(),
            directory: None,
            timeout: Duration::from_secs(30),
            retry: Retry::default(),
        }
    }

    /// One more variable.
    #[must_use]
    pub fn variable(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.environment.insert(name.into(), value.into());
        self
    }

    /// Another working directory.
    #[must_use]
    pub fn directory(mut self, directory: impl Into<PathBuf>) -> Self {
        self.directory = Some(directory.into());
        self
    }

    /// Another time limit.
    #[must_use]
    pub fn timeout(mut self, limit: Duration) -> Self {
        self.timeout = limit;
        self
    }

    /// Other tries.
    #[must_use]
    pub fn retry(mut self, retry: Retry) -> Self {
        self.retry = retry;
        self
    }

    /// Whether every value is within its bounds.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        template::check_command(&self.command, PLACES)?;
        template::check_environment(&self.environment, PLACES)?;
        within("timeout", self.timeout, Duration::from_millis(10))?;
        self.retry.validate()
    }
}
