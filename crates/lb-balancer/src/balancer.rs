//! The handle.

use crate::options::SelectOptions;
use lb_core::{Explanation, Lease, PickContext, Pool, SelectError};
use lb_types::RequestInfo;

/// A load balancer: a cheap handle, to clone at will.
#[derive(Clone, Debug)]
pub struct LoadBalancer {
    pool: Pool,
}

impl LoadBalancer {
    /// The pool of backends underneath.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    /// The inputs of one request's picks: time, randomness, the request's key and what the options exclude. Keep it over the
    /// request's retries, and tell it what was [`tried`](PickContext::tried).
    pub fn context(&self, request: &RequestInfo<'_>, options: &SelectOptions) -> PickContext<'static> {
        let mut cx = PickContext::new(self.pool.now(), fastrand::u64(..));
        cx.key = match &options.key {
            Some(key) => self.pool.key_of(key),
            None => self.pool.key(request),
        };
        if !options.exclude.is_empty() {
            let snapshot = self.pool.snapshot();
            for id in &options.exclude {
                if let Some(m) = snapshot.get(id) {
                    cx.exclude(m.state());
                }
            }
        }
        cx
    }

    /// Picks a backend and counts the request in. Synchronous, lock-free, local state only.
    ///
    /// # Errors
    /// When no backend is usable, with the reasons.
    pub fn select_backend(&self, request: &RequestInfo<'_>, options: &SelectOptions) -> Result<Lease, SelectError> {
        self.pool.acquire(&mut self.context(request, options))
    }

    /// Why a request would go where it would go. Counts nothing in.
    pub fn explain(&self, request: &RequestInfo<'_>, options: &SelectOptions) -> Explanation {
        self.pool.explain(&self.context(request, options))
    }
}

impl From<Pool> for LoadBalancer {
    fn from(pool: Pool) -> Self {
        Self { pool }
    }
}
