//! The error that says which setting is wrong.

/// A setting is out of its bounds, or does not go with another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {value}: {must}")]
pub struct SettingsError {
    /// Its name, as in the configuration.
    pub field: &'static str,
    /// What it was; of a secret only its length, and never a password.
    pub value: String,
    /// What would be right.
    pub must: String,
}

impl SettingsError {
    /// `value` is shown by its `Debug`.
    pub fn new(field: &'static str, value: impl std::fmt::Debug, must: impl Into<String>) -> Self {
        Self { field, value: format!("{value:?}"), must: must.into() }
    }
}
