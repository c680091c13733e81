//! What an admitted call holds, and how it says what became of it.

use crate::breaker::Breaker;
use crate::word::Era;
use lb_types::Nanos;
use std::borrow::Borrow;
use std::sync::Arc;

/// What became of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Verdict {
    /// It went well.
    Success,
    /// It went wrong in a way that speaks against the other side.
    Failure,
    /// It says nothing: the caller left, or the request itself was at fault.
    Cancelled,
}

/// One admission by [`Breaker::admit`], for one [`Breaker::settle`].
#[derive(Debug)]
#[must_use = "a ticket that is not settled may hold a probe for ever"]
pub struct Ticket(pub(crate) Era);

impl Ticket {
    /// The ticket as a number, for accounts that have room for one; [`from_number`](Self::from_number) makes it a ticket again.
    #[inline]
    pub fn into_number(self) -> u32 {
        self.0.0
    }

    /// The ticket that [`into_number`](Self::into_number) made this of. Once: a ticket that is settled twice gives a permit back that
    /// was not taken.
    #[inline]
    pub fn from_number(number: u32) -> Self {
        Self(Era(number))
    }
}

/// An admitted call on a borrowed breaker ([`Breaker::try_acquire`]).
pub type Permit<'a> = Guard<&'a Breaker>;
/// An admitted call on a shared breaker ([`Breaker::try_acquire_owned`]).
pub type OwnedPermit = Guard<Arc<Breaker>>;

/// A [`Ticket`] that settles itself: dropped without a verdict, it is a cancellation.
#[derive(Debug)]
#[must_use = "dropped at once, it is a cancelled call"]
pub struct Guard<B: Borrow<Breaker>> {
    breaker: B,
    /// `None` once settled.
    ticket: Option<Ticket>,
}

impl<B: Borrow<Breaker>> Guard<B> {
    #[inline]
    pub(crate) fn new(breaker: B, ticket: Ticket) -> Self {
        Self { breaker, ticket: Some(ticket) }
    }

    /// It went well, in `elapsed`.
    #[inline]
    pub fn success(self, now: Nanos, elapsed: Nanos) {
        self.settle(Verdict::Success, now, elapsed);
    }

    /// It failed. (How long that took matters to slow-call rates only: [`Guard::settle`] takes it.)
    #[inline]
    pub fn failure(self, now: Nanos) {
        self.settle(Verdict::Failure, now, Nanos::ZERO);
    }

    /// It says nothing; the same as dropping it.
    #[inline]
    pub fn cancel(self) {}

    /// Any verdict, reached at `now` after `elapsed`.
    #[inline]
    pub fn settle(mut self, verdict: Verdict, now: Nanos, elapsed: Nanos) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.borrow().settle(ticket, verdict, elapsed, now);
        }
    }
}

impl<B: Borrow<Breaker>> Drop for Guard<B> {
    #[inline]
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket.take() {
            // A cancellation needs no time: it only gives a probe's permit back.
            self.breaker.borrow().settle(ticket, Verdict::Cancelled, Nanos::ZERO, Nanos::ZERO);
        }
    }
}
