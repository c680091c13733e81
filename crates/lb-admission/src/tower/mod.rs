//! Layers and services for tower's stacks.

#[cfg(feature = "rate-limit")]
pub mod rate_limit;
