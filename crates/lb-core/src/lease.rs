//! A lease is the accounting of one request.

use crate::state::BackendState;
use lb_types::{Nanos, Outcome, Pass};
use std::sync::Arc;

/// One request on one backend: counted in when it was made, counted out when it is completed or dropped.
///
/// Put it where the request's life ends: into the response body. A bare drop is a cancellation, timed by the pool's clock.
#[derive(Debug)]
#[must_use = "a lease that is dropped at once is a cancelled request"]
pub struct Lease {
    backend: Option<Arc<BackendState>>,
    started: Nanos,
    pass: Pass,
    counted: bool,
}

impl Lease {
    pub(crate) fn new(backend: Arc<BackendState>, started: Nanos, counted: bool, pass: Pass) -> Self {
        Self { backend: Some(backend), started, pass, counted }
    }

    /// The backend that was picked.
    ///
    /// # Panics
    /// Never: a lease has its backend until it is consumed.
    pub fn backend(&self) -> &Arc<BackendState> {
        self.backend.as_ref().expect("a lease has its backend until it is consumed")
    }

    /// When it was picked.
    pub fn started(&self) -> Nanos {
        self.started
    }

    /// Ends the request with a verdict.
    #[inline]
    pub fn complete(mut self, outcome: Outcome) {
        if let Some(b) = self.backend.take() {
            b.left(outcome, self.started, self.counted, self.pass);
        }
    }
}

impl Drop for Lease {
    #[inline]
    fn drop(&mut self) {
        if let Some(b) = self.backend.take() {
            b.abandoned(self.started, self.counted, self.pass);
        }
    }
}
