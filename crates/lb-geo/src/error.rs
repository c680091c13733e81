//! What can go wrong with a database, a provider, or the settings of a detector.

use std::path::PathBuf;
use std::time::Duration;

/// A detector refuses its settings, or a source of locations fails.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum GeoError {
    /// A setting has a value that it cannot have.
    #[error("geo.{field} = {value}: {reason}")]
    BadSetting {
        /// The setting's name, as in the config file.
        field: &'static str,
        /// The value, as text.
        value: String,
        /// What would be right.
        reason: &'static str,
    },
    /// The crate was compiled without what was asked for.
    #[error("{what} needs the cargo feature \"{feature}\" of lb-geo, which this build has not")]
    FeatureOff {
        /// What was asked for.
        what: &'static str,
        /// The feature that has it.
        feature: &'static str,
    },
    /// A database's file cannot be opened or read.
    #[error("geo database {path:?}: {error}")]
    Open {
        /// The file.
        path: PathBuf,
        /// What the operating system says.
        error: String,
    },
    /// A database's file is larger than it may be.
    #[error("geo database {path:?} has {bytes} bytes, more than the {max} that are allowed")]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The limit.
        max: u64,
    },
    /// Not a file in MaxMind's format, or only the first part of one: what tells them apart stands at the end.
    #[error(
        "geo database \"{source_name}\" is no MaxMind DB file, or its end is cut off: no metadata in its {bytes} bytes"
    )]
    NotADatabase {
        /// The file, or what else it was read from.
        source_name: String,
        /// Its size.
        bytes: u64,
    },
    /// A database whose parts contradict each other, as when a part is missing.
    #[error("geo database \"{source_name}\" is truncated or damaged: {reason}")]
    Damaged {
        /// The file, or what else it was read from.
        source_name: String,
        /// What does not fit.
        reason: String,
    },
    /// A database that was not read from a file was told to read its file again.
    #[error("geo database \"{source_name}\" was not read from a file: there is nothing to load again")]
    NoFile {
        /// What it was read from.
        source_name: String,
    },
    /// A provider cannot be reached.
    #[error("{provider}: cannot connect to {address}: {error}")]
    Connect {
        /// Its name.
        provider: &'static str,
        /// Where it should be.
        address: String,
        /// Why not.
        error: String,
    },
    /// A provider did not answer in time, retries included.
    #[error("{provider}: no answer within {limit:?}")]
    TimedOut {
        /// Its name.
        provider: &'static str,
        /// The time that it had.
        limit: Duration,
    },
    /// A provider answered with a status that is no success.
    #[error("{provider}: answered {status}: {text}")]
    Status {
        /// Its name.
        provider: &'static str,
        /// The HTTP status.
        status: u16,
        /// What its body said, at most 200 characters of it.
        text: String,
    },
    /// A provider said that it was asked too often; it is left alone for a while.
    #[error("{provider}: too many requests; it is asked again in {again_in:?}")]
    RateLimited {
        /// Its name.
        provider: &'static str,
        /// How long it is left alone.
        again_in: Duration,
    },
    /// A provider's answer is not what its interface promises.
    #[error("{provider}: malformed answer: {reason}")]
    Malformed {
        /// Its name.
        provider: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A provider of one's own fails.
    #[error("{provider}: {reason}")]
    Other {
        /// Its name.
        provider: &'static str,
        /// Why.
        reason: String,
    },
}

impl GeoError {
    pub(crate) fn bad(field: &'static str, value: impl std::fmt::Display, reason: &'static str) -> Self {
        Self::BadSetting { field, value: value.to_string(), reason }
    }
}
