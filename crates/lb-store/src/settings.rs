//! What all settings of this crate have in common: the error that says which is wrong.

/// A setting is out of its bounds, or does not go with another.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} = {value}: {must}")]
pub struct SettingsError {
    /// Its name.
    pub field: &'static str,
    /// What it was; never a password.
    pub value: String,
    /// What would be right.
    pub must: String,
}

pub(crate) fn bad(
    field: &'static str,
    value: impl std::fmt::Debug,
    must: impl Into<String>,
) -> SettingsError {
    SettingsError { field, value: format!("{value:?}"), must: must.into() }
}
