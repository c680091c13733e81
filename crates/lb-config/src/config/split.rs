//! Traffic that is divided between pools.

use lb_split::{Percent, RolloutSettings};
use std::time::Duration;

/// One split. It was looked at: `lb_split::Split` takes name and targets.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Split {
    /// Pools, and what each gets at the start: the established one first, the new one last.
    pub targets: Vec<(String, Percent)>,
    /// By what a client stays on its side. `None`: each request is divided by itself.
    pub sticky: Option<Sticky>,
    /// What a rollout that is started takes, if it is told nothing else.
    pub rollout: RolloutSettings,
}

/// By what a client stays on its side of a split.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Sticky {
    /// A cookie of the split's own.
    Cookie {
        /// Its name, default `lb_cohort`.
        name: String,
        /// How long browsers keep it, default 30 days.
        max_age: Duration,
    },
    /// The header of this name.
    Header(String),
    /// The client's address.
    IpHash,
}
