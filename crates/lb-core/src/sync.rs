//! Atomics behind an alias, so that loom can explore the interleavings of [`crate::gate`] and [`crate::load_tree`].

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};
