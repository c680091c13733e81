//! Were there `n` failures within a period? Exactly, in `n` words, without a lock.
//!
//! Each word holds one failure: its generation and its ms. A failure takes the place of one that no longer counts, or else
//! of the oldest; then it looks whether all `n` count. A word of another generation does not count, so that a new
//! generation begins empty without a word being written. Of racing failures the last to have written sees the
//! others (all accesses are sequentially consistent), so that none is lost at the threshold. Both steps scan `n` words;
//! only failures pay.
//!
//! Time is in whole ms: a failure counts while it is less than the period old by that measure.

use crate::sync::{AtomicU64, Ordering::SeqCst};
use crate::word::is_later;
use lb_types::Nanos;

const MS: u64 = (1 << 40) - 1;
/// Tells a failure in ms 0 of generation 0 from an empty word.
const TAKEN: u64 = 1 << 63;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Recent {
    words: Box<[AtomicU64]>,
    period_ms: u64,
}

impl Recent {
    pub(crate) fn new(n: u32, period: Nanos) -> Self {
        let words = (0..n).map(|_| AtomicU64::new(0)).collect();
        Self { words, period_ms: period.as_millis() }
    }

    /// Remembers a failure; gives whether there are now `n` within the period.
    pub(crate) fn record(&self, now: Nanos, generation: u32) -> bool {
        let mine = pack(now, generation);
        while let Some((at, old)) = self.place(now, generation) {
            if self.words[at].compare_exchange(old, mine, SeqCst, SeqCst).is_ok() {
                break;
            }
        }
        !self.words.is_empty() && self.count(now, generation) == self.words.len() as u32
    }

    /// How many failures of this generation lie within the period, at most `n`.
    pub(crate) fn count(&self, now: Nanos, generation: u32) -> u32 {
        let counts = |word: &&AtomicU64| self.counts(word.load(SeqCst), now, generation);
        self.words.iter().filter(counts).count() as u32
    }

    fn counts(&self, word: u64, now: Nanos, generation: u32) -> bool {
        // A racer may carry a slightly later time than this one's: the subtraction saturates.
        word & TAKEN != 0
            && of(word) == generation
            && now.as_millis().saturating_sub(word & MS) < self.period_ms
    }

    /// Where this failure goes, and what is there. `None`: nowhere, as all others are later, or of a later generation.
    fn place(&self, now: Nanos, generation: u32) -> Option<(usize, u64)> {
        let mut oldest: Option<(usize, u64)> = None;
        for (at, word) in self.words.iter().enumerate() {
            let word = word.load(SeqCst);
            if !self.counts(word, now, generation) {
                let superseded = word & TAKEN != 0
                    && is_later(of(word), generation)
                    // An older time: not a later generation, but one that the numbers have come round to.
                    && word & MS >= now.as_millis() & MS;
                if superseded {
                    return None;
                }
                return Some((at, word));
            }
            if oldest.is_none_or(|(_, old)| word & MS < old & MS) {
                oldest = Some((at, word));
            }
        }
        oldest.filter(|&(_, word)| word & MS <= now.as_millis())
    }
}

fn pack(now: Nanos, generation: u32) -> u64 {
    TAKEN | u64::from(generation) << 40 | now.as_millis().min(MS)
}

fn of(word: u64) -> u32 {
    ((word & !TAKEN) >> 40) as u32
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_failure_leaves_when_it_is_a_period_old() {
        let r = Recent::new(2, Nanos::from_millis(10_000));
        let at = Nanos::from_millis;
        assert!(!r.record(at(0), 0));
        assert!(!r.record(at(10_000), 0), "the first is exactly a period old");
        assert!(r.record(at(19_999), 0));
        assert!(!r.record(at(20_000), 1), "a new generation begins empty");
        assert!(!r.record(at(20_000), 0), "a late one of the old generation is ignored");
        assert_eq!(r.count(at(20_000), 1), 1);
    }

    #[test]
    fn no_words_never_say_yes() {
        assert!(!Recent::new(0, Nanos::from_secs(1)).record(Nanos::ZERO, 0));
    }

    proptest! {
        #[test]
        fn as_a_list_of_times(n in 1usize..6, steps in prop::collection::vec((0u64..400, 0u8..10), 1..80)) {
            let recent = Recent::new(n as u32, Nanos::from_millis(1_000));
            let (mut now, mut generation, mut times) = (0, 0, Vec::new());
            for (step, kind) in steps {
                now += step;
                if kind == 0 {
                    generation += 1;
                    times.clear();
                }
                times.push(now);
                times.retain(|t| now - t < 1_000);
                let reached = recent.record(Nanos::from_millis(now), generation);
                prop_assert_eq!(reached, times.len() >= n);
                prop_assert_eq!(recent.count(Nanos::from_millis(now), generation) as usize, times.len().min(n));
            }
        }
    }
}
