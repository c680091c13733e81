//! The breaker's whole state in one word, so that each transition is one compare-and-set.
//!
//! ```text
//!   63    61 60          40 39                                  0
//!  ┌────────┬──────────────┬─────────────────────────────────────┐
//!  │ kind   │ generation   │ payload                             │
//!  └────────┴──────────────┴─────────────────────────────────────┘
//!  open:      the ms at which probes may begin
//!  half-open: probes under way (20 bits), successes so far (20 bits)
//! ```
//!
//! Every transition takes the next generation. Kind and generation together are the *era*; a call remembers the era in
//! which it began, and a verdict of another era is ignored. A generation comes round after 2 097 152 transitions; a
//! call would have to last through exactly as many to be mistaken.

/// What the breaker does now. Closed is 0, so that the fast path is one shift and one comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Closed,
    ForcedClosed,
    Open,
    ForcedOpen,
    HalfOpen,
}

const PAYLOAD_BITS: u32 = 40;
const PAYLOAD: u64 = (1 << PAYLOAD_BITS) - 1;
const GENERATION_BITS: u32 = 21;
const GENERATION: u32 = (1 << GENERATION_BITS) - 1;
const HALF_BITS: u32 = 20;
const HALF: u64 = (1 << HALF_BITS) - 1;

/// See the module's documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Word(pub(crate) u64);

/// Kind and generation of a [`Word`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Era(pub(crate) u32);

impl Era {
    #[inline]
    pub(crate) fn kind(self) -> Kind {
        match self.0 >> GENERATION_BITS {
            0 => Kind::Closed,
            1 => Kind::ForcedClosed,
            2 => Kind::Open,
            3 => Kind::ForcedOpen,
            _ => Kind::HalfOpen,
        }
    }

    /// 21 bits.
    #[inline]
    pub(crate) fn generation(self) -> u32 {
        self.0 & GENERATION
    }
}

impl Word {
    fn new(kind: Kind, generation: u32, payload: u64) -> Self {
        let era = (kind as u64) << GENERATION_BITS | u64::from(generation & GENERATION);
        Self(era << PAYLOAD_BITS | payload & PAYLOAD)
    }

    #[inline]
    pub(crate) fn era(self) -> Era {
        Era((self.0 >> PAYLOAD_BITS) as u32)
    }

    /// Closed by itself or by force.
    #[inline]
    pub(crate) fn admits_all(self) -> bool {
        self.0 >> (PAYLOAD_BITS + GENERATION_BITS) <= Kind::ForcedClosed as u64
    }

    /// The word after this one: of `kind`, in the next generation, with an empty payload.
    pub(crate) fn next(self, kind: Kind) -> Self {
        Self::new(kind, self.era().generation().wrapping_add(1), 0)
    }

    /// Open until `until_ms` (at most 2^40 - 1: 34 years after the clock's origin).
    pub(crate) fn next_open(self, until_ms: u64) -> Self {
        Self(self.next(Kind::Open).0 | until_ms.min(PAYLOAD))
    }

    /// When an open breaker lets probes begin.
    pub(crate) fn until_ms(self) -> u64 {
        self.0 & PAYLOAD
    }

    /// Probes under way in a half-open breaker.
    pub(crate) fn probes(self) -> u32 {
        (self.0 & HALF) as u32
    }

    /// Successes so far in a half-open breaker.
    pub(crate) fn successes(self) -> u32 {
        (self.0 >> HALF_BITS & HALF) as u32
    }

    /// One more probe under way. The settings keep it far below 20 bits.
    pub(crate) fn with_probe(self) -> Self {
        Self(self.0 + 1)
    }

    /// One probe fewer; `succeeded` counts it among the successes.
    pub(crate) fn without_probe(self, succeeded: bool) -> Self {
        debug_assert!(self.probes() > 0, "a probe's permit is given back once");
        Self(self.0 - 1 + (u64::from(succeeded) << HALF_BITS))
    }
}

/// Whether generation `a` came after `b`, both of 21 bits and less than half a round apart.
#[inline]
pub(crate) fn is_later(a: u32, b: u32) -> bool {
    let ahead = a.wrapping_sub(b) & GENERATION;
    ahead != 0 && ahead <= GENERATION / 2
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn fields_do_not_touch_one_another() {
        let start = Word::new(Kind::Closed, GENERATION, 0);
        assert!(start.admits_all());
        let open = start.next_open(u64::MAX);
        assert_eq!((open.era().kind(), open.era().generation(), open.until_ms()), (Kind::Open, 0, PAYLOAD));
        assert!(!open.admits_all());
        let half = open.next(Kind::HalfOpen).with_probe().with_probe().without_probe(true);
        assert_eq!((half.era().kind(), half.era().generation()), (Kind::HalfOpen, 1));
        assert_eq!((half.probes(), half.successes()), (1, 1));
        for kind in [Kind::Closed, Kind::ForcedClosed, Kind::Open, Kind::ForcedOpen, Kind::HalfOpen] {
            assert_eq!(half.next(kind).era().kind(), kind);
        }
    }

    #[test]
    fn generations_go_round() {
        assert!(is_later(0, GENERATION) && !is_later(GENERATION, 0) && !is_later(7, 7));
    }
}
