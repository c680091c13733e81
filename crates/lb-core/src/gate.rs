//! The door of one backend: how many requests are in, how many may be, and whether it is shut.
//!
//! The count and the reasons for being shut share one word, so that "shut, then wait until it is empty" is exact: once a
//! request found the door open and was counted in, whoever shuts the door sees that count. Counting in is one
//! compare-and-set: counting in first and looking afterwards refuses falsely while a racer backs out, and hides from the last
//! one out of a shut gate that it is the last.
//!
//! Modelled with loom in `tests/loom.rs`.

use crate::sync::{AtomicU32, AtomicU64, Ordering::SeqCst};
use lb_types::Exclusion;

/// A reason for which a gate is shut. Several can hold at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Shut {
    /// Finishes what it has.
    Draining = 1 << 32,
    /// Disabled by the user.
    Disabled = 1 << 33,
    /// The guard (a circuit breaker, say) does not let everybody pass: it is to be asked.
    Guarded = 1 << 34,
    /// Its drain is over: who might come to a draining one may not come any more.
    Drained = 1 << 35,
}

/// Reasons for being shut that do not count for one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlooked(u64);

impl Overlooked {
    /// This reason alone.
    pub const fn only(why: Shut) -> Self {
        Self(why as u64)
    }

    /// This reason, too.
    #[must_use]
    pub const fn and(self, why: Shut) -> Self {
        Self(self.0 | why as u64)
    }
}

const IN_FLIGHT: u64 = 0xffff_ffff;

/// See the module's documentation.
#[derive(Debug)]
pub struct Gate {
    /// Low half: requests in flight; high half: [`Shut`] bits.
    word: AtomicU64,
    /// The most requests in flight, the lesser of the two below; 0 = no limit.
    limit: AtomicU32,
    /// What was set; 0 = nothing.
    set: AtomicU32,
    /// What the backend was found to bear; 0 = nothing was found out.
    borne: AtomicU32,
}

impl Default for Gate {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Gate {
    /// An open gate.
    pub fn new(limit: Option<u32>) -> Self {
        let limit = limit.unwrap_or(0);
        Self {
            word: AtomicU64::new(0),
            limit: AtomicU32::new(limit),
            set: AtomicU32::new(limit),
            borne: AtomicU32::new(0),
        }
    }

    /// Counts a request in; gives how many were in before.
    ///
    /// # Errors
    /// The reason why not: shut, or at its limit. Nothing is counted then.
    #[inline]
    pub fn enter(&self) -> Result<u32, Exclusion> {
        let limit = self.limit.load(SeqCst);
        let mut word = self.word.load(SeqCst);
        loop {
            check(word, limit)?;
            match self.word.compare_exchange_weak(word, word + 1, SeqCst, SeqCst) {
                Ok(before) => return Ok(before as u32),
                Err(now) => word = now,
            }
        }
    }

    /// Counts a request in only if exactly `seen` are in: what a policy that promises "the least loaded" needs, so that
    /// two threads cannot both act on one look. `Ok(false)`: the count has changed, look again.
    ///
    /// # Errors
    /// Shut, or at its limit.
    #[inline]
    pub fn enter_at(&self, seen: u32) -> Result<bool, Exclusion> {
        let word = u64::from(seen);
        check(word, self.limit.load(SeqCst))?;
        match self.word.compare_exchange(word, word + 1, SeqCst, SeqCst) {
            Ok(_) => Ok(true),
            Err(now) if now > IN_FLIGHT => Err(reason(now)),
            Err(_) => Ok(false),
        }
    }

    /// Counts in a request for which some reasons do not count (the guard has let it pass, or it belongs to who is here already): as
    /// [`enter`](Self::enter), or with `seen` as [`enter_at`](Self::enter_at).
    #[cold]
    pub fn enter_past(&self, over: Overlooked, seen: Option<u32>) -> Result<bool, Exclusion> {
        let limit = self.limit.load(SeqCst);
        let mut word = self.word.load(SeqCst);
        loop {
            check(word & !over.0, limit)?;
            if seen.is_some_and(|seen| seen != word as u32) {
                return Ok(false);
            }
            match self.word.compare_exchange_weak(word, word + 1, SeqCst, SeqCst) {
                Ok(_) => return Ok(true),
                Err(now) => word = now,
            }
        }
    }

    /// Counts a request out. `true`: the gate is shut and this was the last one in.
    #[inline]
    pub fn leave(&self) -> bool {
        let before = self.word.fetch_sub(1, SeqCst);
        debug_assert!(before & IN_FLIGHT > 0, "a lease is counted out once");
        before > IN_FLIGHT && before & IN_FLIGHT == 1
    }

    /// Why a request would be refused now; `None` = it would be let in. A look, not a promise.
    #[inline]
    pub fn refusal(&self) -> Option<Exclusion> {
        check(self.word.load(SeqCst), self.limit.load(SeqCst)).err()
    }

    /// Why a request would be refused for which some reasons do not count.
    pub fn refusal_past(&self, over: Overlooked) -> Option<Exclusion> {
        check(self.word.load(SeqCst) & !over.0, self.limit.load(SeqCst)).err()
    }

    /// Requests in flight.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.word.load(SeqCst) as u32
    }

    /// Shuts the gate for this reason. From now on nobody is let in.
    pub fn shut(&self, why: Shut) {
        self.word.fetch_or(why as u64, SeqCst);
    }

    /// Takes this reason away; others may remain.
    pub fn reopen(&self, why: Shut) {
        self.word.fetch_and(!(why as u64), SeqCst);
    }

    /// Shuts the gate for as long as `is_shut` says so, or opens it. `is_shut` is asked again after the write, and the write made again
    /// if the answer has changed: whoever writes last has then seen the latest change, so that none is overwritten by an older one.
    pub fn follow(&self, why: Shut, is_shut: impl Fn() -> bool) {
        let mut shut = is_shut();
        loop {
            if shut {
                self.shut(why);
            } else {
                self.reopen(why);
            }
            let now = is_shut();
            if now == shut {
                return;
            }
            shut = now;
        }
    }

    /// Is it shut for this reason?
    pub fn is_shut(&self, why: Shut) -> bool {
        self.word.load(SeqCst) & why as u64 != 0
    }

    /// Sets the most requests in flight. Requests that are in stay in.
    pub fn set_limit(&self, limit: Option<u32>) {
        self.set.store(limit.unwrap_or(0), SeqCst);
        self.follow_limits();
    }

    /// Sets how many requests the backend was found to bear: a limit beside the one that is set. The lesser counts.
    pub fn set_borne(&self, limit: Option<u32>) {
        self.borne.store(limit.unwrap_or(0), SeqCst);
        self.follow_limits();
    }

    /// As [`follow`](Self::follow): whoever writes last has seen the latest of both.
    fn follow_limits(&self) {
        let lesser = || match (self.set.load(SeqCst), self.borne.load(SeqCst)) {
            (0, only) | (only, 0) => only,
            (a, b) => a.min(b),
        };
        let mut limit = lesser();
        loop {
            self.limit.store(limit, SeqCst);
            let now = lesser();
            if now == limit {
                return;
            }
            limit = now;
        }
    }

    /// The most requests in flight.
    pub fn limit(&self) -> Option<u32> {
        Some(self.limit.load(SeqCst)).filter(|&l| l != 0)
    }
}

#[inline]
fn check(word: u64, limit: u32) -> Result<(), Exclusion> {
    if word > IN_FLIGHT {
        return Err(reason(word));
    }
    if limit != 0 && word as u32 >= limit {
        return Err(Exclusion::ConnectionLimit);
    }
    Ok(())
}

#[cold]
fn reason(word: u64) -> Exclusion {
    if word & Shut::Disabled as u64 != 0 {
        Exclusion::Disabled
    } else if word & Shut::Drained as u64 != 0 {
        Exclusion::Drained
    } else if word & Shut::Draining as u64 != 0 {
        Exclusion::Draining
    } else {
        Exclusion::BreakerOpen
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn limit_and_reasons() {
        let g = Gate::new(Some(2));
        assert_eq!((g.enter(), g.enter(), g.enter()), (Ok(0), Ok(1), Err(Exclusion::ConnectionLimit)));
        g.shut(Shut::Draining);
        g.shut(Shut::Guarded);
        assert_eq!(g.refusal(), Some(Exclusion::Draining));
        assert!(!g.leave());
        assert!(g.leave(), "the last one out of a shut gate is told");
        g.reopen(Shut::Draining);
        assert_eq!(g.enter(), Err(Exclusion::BreakerOpen));
        g.reopen(Shut::Guarded);
        g.set_limit(None);
        assert_eq!(g.enter(), Ok(0));
        assert_eq!((g.enter_at(0), g.enter_at(1), g.in_flight()), (Ok(false), Ok(true), 2));
    }

    #[test]
    fn the_lesser_of_two_limits_counts() {
        let g = Gate::new(Some(3));
        let mut limits = vec![g.limit()];
        for change in [Some(2), Some(5), None] {
            g.set_borne(change);
            limits.push(g.limit());
        }
        g.set_borne(Some(4));
        g.set_limit(None);
        limits.push(g.limit());
        assert_eq!(limits, [Some(3), Some(2), Some(3), Some(3), Some(4)]);
    }

    #[test]
    fn what_is_overlooked_is_that_and_nothing_else() {
        let g = Gate::new(Some(1));
        let over = Overlooked::only(Shut::Draining);
        g.shut(Shut::Draining);
        assert_eq!((g.refusal(), g.refusal_past(over)), (Some(Exclusion::Draining), None));
        g.shut(Shut::Drained);
        assert_eq!(g.enter_past(over, None), Err(Exclusion::Drained));
        g.reopen(Shut::Drained);
        g.shut(Shut::Guarded);
        assert_eq!(g.enter_past(over, None), Err(Exclusion::BreakerOpen));
        assert_eq!(g.enter_past(over.and(Shut::Guarded), None), Ok(true));
        assert_eq!(g.enter_past(over.and(Shut::Guarded), None), Err(Exclusion::ConnectionLimit));
        assert!(g.leave(), "it is shut all the same");
    }
}
