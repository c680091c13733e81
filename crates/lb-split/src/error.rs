//! Why a change was refused. Then nothing has changed.

use crate::percent::Percent;
use lb_types::SettingsError;

/// A change that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// Percentages or a duration out of their bounds.
    #[error(transparent)]
    Settings(#[from] SettingsError),
    /// No target is called so.
    #[error("split {split} has no target {target:?}")]
    UnknownTarget {
        /// The split's name.
        split: String,
        /// What was asked for.
        target: String,
    },
    /// The canary asks for more than it and the first target have together.
    #[error("canary of {percent}: there is {free} for it; the targets between keep theirs")]
    NoRoom {
        /// What was asked for.
        percent: Percent,
        /// The first target's and the last one's.
        free: Percent,
    },
    /// There is nothing to pause, resume or abort.
    #[error("split {0} is not shifting")]
    NotShifting(String),
    /// It stands still already.
    #[error("the shift of split {0} is paused already")]
    AlreadyPaused(String),
    /// It goes on already.
    #[error("the shift of split {0} is not paused")]
    NotPaused(String),
}

/// A rollout that cannot be begun, extended or aborted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RolloutError {
    /// Of the split's own, or settings that are out of their bounds.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// There is one under way: a split has one at most.
    #[error("split {0} has a rollout under way")]
    UnderWay(String),
    /// There is none under way.
    #[error("split {0} has no rollout under way")]
    None(String),
    /// Somebody changed the new side's share by hand, and with it ended the rollout; the split is left alone.
    #[error("the rollout of split {0} was overtaken by a change by hand, which stays")]
    Overtaken(String),
}
