//! What all backends of a pool share, and what survives every snapshot: the clock, the cursor, the load tree, the total.

use crate::load::Reports;
use crate::load_tree::LoadTree;
use crate::state::BackendState;
use arc_swap::ArcSwapOption;
use lb_types::{Clock, GuardFactory};
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst, fence};
use std::sync::{Arc, OnceLock};

/// Told of what happens in a pool. Called on the request path: it must be quick and must not call back into the pool.
pub trait PoolWatcher: Send + Sync + 'static {
    /// Something changed that a waiting caller may want to look at: a new generation, a drained backend, a limit that grew.
    fn changed(&self);

    /// A request ended: one place became free. Told only while [`crate::Pool::set_waiters`] is on.
    fn freed(&self) {
        self.changed();
    }

    /// [`crate::Pool::maintain`] may have something to do: the pool was changed, or a guard.
    fn attention(&self);
}

/// What the end of a lease has to do beyond counting: one word, read once.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hooks(u32);

impl Hooks {
    /// Latency averages are wanted (an algorithm needs them).
    pub(crate) const LATENCY: u32 = 1;
    /// A load tree is kept.
    pub(crate) const TREE: u32 = 2;
    /// The pool's total in flight is kept (bounded load).
    pub(crate) const TOTAL: u32 = 4;
    /// Histograms are kept.
    pub(crate) const HISTOGRAM: u32 = 8;
    /// Somebody waits for a request to end.
    pub(crate) const WAITERS: u32 = 16;
    /// Load reports are wanted (the algorithm weighs by them).
    pub(crate) const REPORTS: u32 = 32;

    #[inline]
    pub(crate) fn has(self, hook: u32) -> bool {
        self.0 & hook != 0
    }
}

/// Alone on its cache line (and the line that the CPU fetches beside it): every worker writes it on every pick.
#[derive(Debug, Default)]
#[repr(align(128))]
pub(crate) struct Alone<T>(T);

impl<T> std::ops::Deref for Alone<T> {
    type Target = T;
    #[inline]
    fn deref(&self) -> &T {
        &self.0
    }
}

pub(crate) struct Shared {
    pub(crate) clock: Arc<dyn Clock>,
    /// Makes what stands before a backend.
    pub(crate) guards: Option<Arc<GuardFactory>>,
    hooks: AtomicU32,
    pub(crate) decay_ms: AtomicU32,
    pub(crate) window_ms: AtomicU32,
    /// How many of the last responses make a mean.
    pub(crate) samples: AtomicU32,
    /// What a backend without an average is taken to need.
    pub(crate) default_rtt_us: AtomicU32,
    pub(crate) reports: Reports,
    tree: ArcSwapOption<LoadTree>,
    watcher: OnceLock<Arc<dyn PoolWatcher>>,
    /// Where round robin stands.
    pub(crate) cursor: Alone<AtomicUsize>,
    /// Requests in flight over all backends, while [`Hooks::TOTAL`] is set.
    pub(crate) total: Alone<AtomicU32>,
}

impl Shared {
    pub(crate) fn new(clock: Arc<dyn Clock>, guards: Option<Arc<GuardFactory>>) -> Self {
        Self {
            clock,
            guards,
            hooks: AtomicU32::new(0),
            decay_ms: AtomicU32::new(10_000),
            window_ms: AtomicU32::new(60_000),
            samples: AtomicU32::new(10),
            default_rtt_us: AtomicU32::new(30_000),
            reports: Reports::default(),
            tree: ArcSwapOption::empty(),
            watcher: OnceLock::new(),
            cursor: Alone::default(),
            total: Alone::default(),
        }
    }

    #[inline]
    pub(crate) fn hooks(&self) -> Hooks {
        Hooks(self.hooks.load(SeqCst))
    }

    pub(crate) fn set_hook(&self, hook: u32, on: bool) {
        if on {
            self.hooks.fetch_or(hook, SeqCst);
        } else {
            self.hooks.fetch_and(!hook, SeqCst);
        }
    }

    pub(crate) fn set_watcher(&self, watcher: Arc<dyn PoolWatcher>) -> bool {
        self.watcher.set(watcher).is_ok()
    }

    #[cold]
    pub(crate) fn changed(&self) {
        if let Some(w) = self.watcher.get() {
            w.changed();
        }
    }

    #[cold]
    pub(crate) fn freed(&self) {
        if let Some(w) = self.watcher.get() {
            w.freed();
        }
    }

    pub(crate) fn attention(&self) {
        if let Some(w) = self.watcher.get() {
            w.attention();
        }
    }

    /// The load tree of this moment.
    #[inline]
    pub(crate) fn tree(&self) -> arc_swap::Guard<Option<Arc<LoadTree>>> {
        self.tree.load()
    }

    /// Puts `tree` in place. The caller touches every backend afterwards: a lease that ended against the old tree changed its
    /// count before it looked for a tree, so that touch sees it.
    pub(crate) fn set_tree(&self, tree: Option<Arc<LoadTree>>) {
        self.tree.store(tree);
        fence(SeqCst);
    }

    pub(crate) fn touch_tree(&self, backend: &BackendState) {
        fence(SeqCst);
        if let Some(tree) = &*self.tree.load() {
            tree.touch(backend.slot(), || backend.load_key());
        }
    }
}
