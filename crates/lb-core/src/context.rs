//! What one pick is given: time, randomness, a key, and what was tried before.

use crate::explain::Recorder;
use crate::state::BackendState;
use lb_types::{Exclusion, Nanos};

/// The inputs of one request's picks: made once a request and kept over its retries.
///
/// The same context over the same pool gives the same pick: nothing else is asked.
#[derive(Debug)]
pub struct PickContext<'r> {
    /// When.
    pub now: Nanos,
    /// The hash of what a hash policy looks at ([`crate::Pool::key`]); `None`: a random one is drawn.
    pub key: Option<u64>,
    /// The client's region, by its place in [`crate::Regions`]; without regions it means nothing.
    pub region: Option<u16>,
    /// Pick by highest random weight for this hash, whatever the algorithm: on every node whose pool has the same backends, weights and
    /// eligibility the same one is picked. For who is to be bound to a backend.
    pub alike: Option<u64>,
    /// When nobody else is left, backends that were tried are asked again. Default `true`.
    pub repeats: bool,
    rng: u64,
    marks: Marks,
    /// No other backend is usable: tried ones are, too.
    pub(crate) again: bool,
    pub(crate) recorder: Option<&'r mut Recorder>,
}

impl<'r> PickContext<'r> {
    /// A context without a key.
    pub fn new(now: Nanos, seed: u64) -> Self {
        Self {
            now,
            key: None,
            region: None,
            alike: None,
            repeats: true,
            rng: seed,
            marks: Marks::default(),
            again: false,
            recorder: None,
        }
    }

    /// The same inputs, to be written down what comes of them.
    pub(crate) fn recording(&self, recorder: &'r mut Recorder) -> Self {
        Self { recorder: Some(recorder), ..self.clone() }
    }

    /// This request failed on `backend`: another is taken while one is usable.
    pub fn tried(&mut self, backend: &BackendState) {
        self.marks.insert(Marks::tried(backend.slot()));
    }

    /// `backend` must not be taken, whatever happens.
    pub fn exclude(&mut self, backend: &BackendState) {
        self.marks.insert(Marks::excluded(backend.slot()));
    }

    /// Was this backend neither tried nor excluded?
    pub fn is_new(&self, backend: &BackendState) -> bool {
        self.refusal(backend.slot()).is_none()
    }

    /// A random number of this request's own.
    pub fn draw(&mut self) -> u64 {
        self.random()
    }

    /// Whether anything was tried or excluded: policies keep their fast path while not.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.marks.len == 0
    }

    /// Why this request may not go to the backend in this slot.
    #[inline]
    pub(crate) fn refusal(&self, slot: u32) -> Option<Exclusion> {
        if self.is_fresh() {
            None
        } else if self.marks.contains(Marks::excluded(slot)) {
            Some(Exclusion::Excluded)
        } else if !self.again && self.marks.contains(Marks::tried(slot)) {
            Some(Exclusion::AlreadyTried)
        } else {
            None
        }
    }

    /// The next random number (wyrand: Wang Yi, public domain).
    #[inline]
    pub(crate) fn random(&mut self) -> u64 {
        self.rng = self.rng.wrapping_add(0xa076_1d64_78bd_642f);
        let t = u128::from(self.rng) * u128::from(self.rng ^ 0xe703_7ed1_a0b4_28db);
        (t >> 64) as u64 ^ t as u64
    }

    /// The key, or a random one that stays for this request.
    #[inline]
    pub(crate) fn key_or_random(&mut self) -> u64 {
        match self.key {
            Some(k) => k,
            None => {
                let k = self.random();
                self.key = Some(k);
                k
            }
        }
    }
}

/// Scales a random number to `0..n` without a division (Lemire); `n` > 0.
#[inline]
pub(crate) fn below(random: u64, n: usize) -> usize {
    ((u128::from(random) * n as u128) >> 64) as usize
}

impl Clone for PickContext<'_> {
    /// The same inputs: what [`crate::Pool::explain`] was asked about can be picked afterwards.
    fn clone(&self) -> Self {
        Self { marks: self.marks.clone(), recorder: None, ..*self }
    }
}

/// A small set of slots with what was said of each: six without an allocation. Slots are below 2³¹.
#[derive(Clone, Debug, Default)]
struct Marks {
    inline: [u32; 6],
    len: u32,
    more: Vec<u32>,
}

impl Marks {
    fn tried(slot: u32) -> u32 {
        slot << 1
    }

    fn excluded(slot: u32) -> u32 {
        slot << 1 | 1
    }

    fn insert(&mut self, mark: u32) {
        if self.contains(mark) {
            return;
        }
        if let Some(place) = self.inline.get_mut(self.len as usize) {
            *place = mark;
            self.len += 1;
        } else {
            self.more.push(mark);
        }
    }

    fn contains(&self, mark: u32) -> bool {
        self.inline[..self.len as usize].contains(&mark) || self.more.contains(&mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_hold_more_than_six() {
        let mut m = Marks::default();
        for i in (0..20).chain(0..20) {
            m.insert(Marks::tried(i));
        }
        assert!((0..20).all(|i| m.contains(Marks::tried(i)) && !m.contains(Marks::excluded(i))));
        assert_eq!((m.contains(Marks::tried(20)), m.more.len()), (false, 14));
    }
}
