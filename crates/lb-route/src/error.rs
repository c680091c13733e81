//! The error that says which route is wrong, and where.

use lb_types::SettingsError;

/// A route cannot be used as it is written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("routes[{route}].{error}")]
pub struct RouteError {
    /// Its place in the list, from 0.
    pub route: usize,
    /// The field, its value and what would be right.
    pub error: SettingsError,
}
