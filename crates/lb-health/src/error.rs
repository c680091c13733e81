//! What can be wrong with settings, with a set of backends, or with what is asked of a checker.
//!
//! What can go wrong in one check is another matter: see `check::CheckError`.

use lb_types::BackendId;
use std::path::PathBuf;

/// A health checker refuses what it was told or asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HealthCheckError {
    /// A setting has a value that it cannot have.
    #[error("health_check.{field} = {value}: {reason}")]
    BadSetting {
        /// The setting's name, as in the config file.
        field: &'static str,
        /// The value, as text.
        value: String,
        /// What would be right.
        reason: &'static str,
    },
    /// The pattern of `expected_body` is no regular expression, or too large a one.
    #[error("health_check.expected_body: \"{pattern}\" is no good regular expression: {reason}")]
    BadRegex {
        /// The pattern, at most 80 characters of it.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// One backend, with its override, cannot be checked.
    #[error("backend \"{id}\": {error}")]
    Backend {
        /// Which backend.
        id: BackendId,
        /// Why.
        #[source]
        error: Box<HealthCheckError>,
    },
    /// The file of `tls.ca` cannot be used.
    #[error("health_check.tls.ca = {path:?}: {reason}")]
    BadCa {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The crate was compiled without what the settings ask for.
    #[error("{what} need the cargo feature \"{feature}\" of lb-health, which this build has not")]
    FeatureOff {
        /// What was asked for.
        what: &'static str,
        /// The feature that has it.
        feature: &'static str,
    },
    /// Two backends of one set have the same id.
    #[error("backend \"{id}\" is there twice")]
    DuplicateBackend {
        /// The id.
        id: BackendId,
    },
    /// No backend has this id.
    #[error("no backend has the id \"{id}\"")]
    UnknownBackend {
        /// The id.
        id: BackendId,
    },
    /// The backend is disabled, or its override says `enabled = false`.
    #[error("backend \"{id}\" is not checked: it is disabled, or its health_check has enabled = false")]
    NotChecked {
        /// The id.
        id: BackendId,
    },
    /// The backend was removed, moved or told to be checked otherwise while the check ran, so its result does not count.
    #[error("backend \"{id}\" changed while it was checked; the result does not count")]
    Changed {
        /// The id.
        id: BackendId,
    },
    /// The checker's scheduler runs already: a second one would check everything twice.
    #[error("this health checker is running already")]
    AlreadyRunning,
    /// `start` was called outside a tokio runtime.
    #[error("a health checker starts inside a tokio runtime only")]
    NoRuntime,
}

impl HealthCheckError {
    pub(crate) fn of(self, id: &BackendId) -> Self {
        Self::Backend { id: id.clone(), error: Box::new(self) }
    }
}

/// A [`HealthCheckError::BadSetting`].
pub(crate) fn bad(field: &'static str, value: impl Into<String>, reason: &'static str) -> HealthCheckError {
    HealthCheckError::BadSetting { field, value: value.into(), reason }
}
