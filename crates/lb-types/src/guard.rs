//! What may stand before a backend beside its limits: a circuit breaker, passive detection, an adaptive limit, as an engine sees them.
//!
//! The engine asks a guard as it counts a request in, and tells it how the request ended. What is behind it (a breaker, counters of
//! failures in a row, both) is the business of whoever composes engine and guard.

use crate::{BackendId, Nanos, Outcome};
use std::any::Any;
use std::sync::Arc;

/// One admission by a [`Guard`], for one [`Guard::settle`]. What it says is the guard's own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pass(pub u32);

/// What a guard would say to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stance {
    /// Everybody may pass.
    Clear,
    /// A bounded number of requests may pass to see how they fare: a half-open breaker.
    Probing {
        /// One more may pass now.
        free: bool,
    },
    /// Nobody may pass.
    Refusing {
        /// Until then; `None`: held by hand.
        until: Option<Nanos>,
    },
}

impl Stance {
    /// Whether one request may pass now.
    pub const fn lets_pass(self) -> bool {
        matches!(self, Self::Clear | Self::Probing { free: true })
    }
}

/// Stands before one backend. Called on the request path, from many threads: no locks, no waiting. Who made a guard finds its own
/// type again through [`Any`].
pub trait Guard: Any + Send + Sync {
    /// Lets a request pass, or not (`None`). Every pass comes back to [`settle`](Self::settle), once.
    fn admit(&self, now: Nanos) -> Option<Pass>;

    /// What [`admit`](Self::admit) would say at `now`. A look, not a promise.
    fn stance(&self, now: Nanos) -> Stance;

    /// How the request with this pass ended, and when; `in_flight` counts the backend's requests, this one included. `true`: the
    /// stance or the [limit](Self::limit) may be another one than before.
    fn settle(&self, pass: Pass, outcome: Outcome, in_flight: u32, now: Nanos) -> bool;

    /// How many requests in flight the backend was found to bear; `None`: nothing is known. Beside the limit that is set for it: the
    /// lesser counts.
    fn limit(&self) -> Option<u32> {
        None
    }
}

/// Makes the guard of a backend when it is added (or moves to another address); `None`: it has none.
pub type GuardFactory = dyn Fn(&BackendId) -> Option<Arc<dyn Guard>> + Send + Sync;
