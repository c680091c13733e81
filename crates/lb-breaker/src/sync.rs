//! Atomics behind an alias, so that loom can explore the interleavings of this crate (`tests/loom.rs`).

#[cfg(not(loom))]
pub(crate) use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

#[cfg(loom)]
pub(crate) use loom::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Tells loom that a store and a later load of another word stay in order: it takes sequentially consistent accesses for
/// acquire and release only, but knows such fences. Without loom the accesses say it themselves.
#[inline(always)]
pub(crate) fn fence_for_loom() {
    #[cfg(loom)]
    loom::sync::atomic::fence(Ordering::SeqCst);
}
