//! What can be wrong with the settings of agent checks, or with a set of backends.

use crate::elsewhere::Nowhere;
use lb_types::BackendId;

/// An agent checker refuses what it was told. What goes wrong with an agent is in its status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AgentCheckError {
    /// A setting has a value that it cannot have.
    #[error("agent_check.{field} = {value}: {reason}")]
    BadSetting {
        /// The setting's name, as in the config file.
        field: &'static str,
        /// The value, as text.
        value: String,
        /// What would be right.
        reason: &'static str,
    },
    /// One backend's agent cannot be asked.
    #[error("backend \"{id}\": {error}")]
    Backend {
        /// Which backend.
        id: BackendId,
        /// Why.
        #[source]
        error: Box<AgentCheckError>,
    },
    /// Two backends of one set have the same id.
    #[error("backend \"{id}\" is there twice")]
    DuplicateBackend {
        /// The id.
        id: BackendId,
    },
    /// The checker runs already: a second scheduler would ask everybody twice.
    #[error("this agent checker is running already")]
    AlreadyRunning,
    /// `start` was called outside a tokio runtime.
    #[error("an agent checker starts inside a tokio runtime only")]
    NoRuntime,
}

impl From<Nowhere> for AgentCheckError {
    fn from(Nowhere { field, value, reason }: Nowhere) -> Self {
        Self::BadSetting { field, value, reason }
    }
}
