//! Layers and services for tower's stacks (feature `tower`).

pub mod queue;
