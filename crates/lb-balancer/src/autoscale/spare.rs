//! Whether the queue's overload control is suspended: those who wait for instances that start are served once they have. Pure.
//!
//! Overload control takes long waits as a sign that waiting is of no use. It is not while instances come. So it is suspended
//!
//! - while the pool has no backend, and then, as long as somebody waits, for the queue's timeout: who parked waits for that;
//! - while instances start or an order for more is under way, and for [`GRACE`] after that, in which the backlog is served;
//! - for the first [`GRACE`] of a press on a pool that may still grow, as the scaler needs a look or two for a decision. A scaler that decides for no more in
//!   that time (its metric does not see the press, or a cooldown holds it) has had its chance.

use lb_types::Nanos;
use std::time::Duration;

/// Long enough for a few looks of the scaler, short enough that a pool at its maximum is soon protected.
const GRACE: Duration = Duration::from_secs(5);

/// What a look sees.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Somebody waits in the queue,
    pub(super) waits: bool,
    /// for so long at most.
    pub(super) timeout: Duration,
    /// The pool has no backend that takes requests.
    pub(super) has_none: bool,
    /// Instances start, or an order for more is under way.
    pub(super) more_come: bool,
    /// Fewer than there may be.
    pub(super) may_grow: bool,
}

/// What is remembered from look to look.
#[derive(Debug, Default)]
pub(super) struct Spare {
    until: Nanos,
}

impl Spare {
    /// Is it suspended until the next look?
    pub(super) fn look(&mut self, now: Nanos, seen: &Seen) -> bool {
        let grace = now + GRACE.into();
        if !seen.waits {
            // Nobody is left who parked.
            self.until = self.until.min(grace);
        }
        let waits_for_more = seen.has_none || seen.more_come;
        if waits_for_more || (seen.may_grow && !seen.waits) {
            self.until = self.until.max(grace);
        }
        if seen.has_none && seen.waits {
            self.until = self.until.max(now + seen.timeout.into());
        }
        waits_for_more || now < self.until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REST: Seen = Seen {
        waits: false,
        timeout: Duration::from_secs(30),
        has_none: false,
        more_come: false,
        may_grow: false,
    };

    fn at(s: u64) -> Nanos {
        Nanos::from_secs(s)
    }

    #[test]
    fn a_pool_at_its_maximum_is_protected() {
        let mut spare = Spare::default();
        assert!(!spare.look(at(1), &REST));
        assert!(!spare.look(at(2), &Seen { waits: true, ..REST }));
    }

    #[test]
    fn a_press_is_borne_for_a_while_and_for_longer_if_more_come() {
        let (rest, press) = (Seen { may_grow: true, ..REST }, Seen { may_grow: true, waits: true, ..REST });
        let mut spare = Spare::default();
        assert!(spare.look(at(1), &rest) && spare.look(at(2), &press) && spare.look(at(5), &press));
        assert!(!spare.look(at(6), &press), "nothing came of it");
        assert!(spare.look(at(7), &Seen { more_come: true, ..press }));
        assert!(spare.look(at(11), &press) && !spare.look(at(12), &press));
    }

    #[test]
    fn who_parks_waits_for_the_timeout() {
        let mut spare = Spare::default();
        assert!(spare.look(at(1), &Seen { has_none: true, waits: true, ..REST }));
        assert!(spare.look(at(30), &Seen { waits: true, ..REST }));
        assert!(!spare.look(at(31), &Seen { waits: true, ..REST }));
        assert!(spare.look(at(40), &Seen { has_none: true, waits: true, ..REST }));
        assert!(spare.look(at(41), &REST), "those who parked were served");
        assert!(!spare.look(at(46), &Seen { waits: true, ..REST }));
    }
}
