//! Layers and services for tower's stacks (feature `tower`).

pub mod queue;
#[cfg(feature = "rate-limit")]
pub mod rate_limit;
pub mod shed;
