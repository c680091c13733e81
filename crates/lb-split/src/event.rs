//! What was changed, by whom: a bounded log for audits.

use crate::percent::Percent;
use crate::rollout::RolloutDecision;
use lb_types::Nanos;
use std::collections::VecDeque;

/// The log keeps this many; older ones were given back by the change that made them.
pub const EVENTS_MAX: usize = 128;
/// Of who made a change, this much is kept.
pub const BY_BYTES_MAX: usize = 64;

/// One change of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Event {
    /// From 1, without gaps: whoever misses one knows.
    pub number: u64,
    /// When.
    pub at: Nanos,
    /// Who, up to [`BY_BYTES_MAX`] bytes. Of a shift's end: who began it.
    pub by: String,
    /// The split's name.
    pub split: String,
    /// What.
    pub change: Change,
    /// Each target's percentage at this moment, in the split's order.
    pub from: Vec<Percent>,
    /// Each target's percentage that this change leads to; of a shift, at its end.
    pub to: Vec<Percent>,
}

/// What kind of change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum Change {
    /// Other percentages at once.
    Set,
    /// All to one target at once.
    SwitchedTo {
        /// Its index.
        target: usize,
    },
    /// Another percentage for the last target.
    Canary {
        /// Which.
        percent: Percent,
    },
    /// A guarded rollout began, went on, or ended; with its reason.
    Rollout {
        /// What it decided. Its beginning is an advance.
        decision: RolloutDecision,
    },
    /// A gradual shift began.
    ShiftBegan {
        /// How long it shall take.
        over: Nanos,
    },
    /// The shift stands still.
    Paused,
    /// The shift goes on.
    Resumed,
    /// The shift was given up: everybody is back where they were before it.
    Aborted,
    /// The shift is over.
    ShiftEnded,
}

impl Change {
    /// As a word: `set`, `switch`, `canary`, `rollout`, `shift`, `pause`, `resume`, `abort`, `shift-end`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Set => "set",
            Self::SwitchedTo { .. } => "switch",
            Self::Canary { .. } => "canary",
            Self::Rollout { .. } => "rollout",
            Self::ShiftBegan { .. } => "shift",
            Self::Paused => "pause",
            Self::Resumed => "resume",
            Self::Aborted => "abort",
            Self::ShiftEnded => "shift-end",
        }
    }

    /// What a rollout decided, and why; `None`: somebody did it by hand.
    pub const fn decision(self) -> Option<RolloutDecision> {
        match self {
            Self::Rollout { decision } => Some(decision),
            _ => None,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Log {
    last: u64,
    events: VecDeque<Event>,
}

impl Log {
    /// Numbers the event, keeps it and gives it back.
    pub(crate) fn add(&mut self, mut event: Event) -> Event {
        self.last += 1;
        event.number = self.last;
        event.by.truncate(event.by.floor_char_boundary(BY_BYTES_MAX));
        if self.events.len() == EVENTS_MAX {
            self.events.pop_front();
        }
        self.events.push_back(event.clone());
        event
    }

    pub(crate) fn events(&self) -> Vec<Event> {
        self.events.iter().cloned().collect()
    }

    pub(crate) fn last(&self) -> u64 {
        self.last
    }
}
