//! What one pick is given: time, randomness, a key, and what was tried before.

use crate::explain::Recorder;
use crate::state::BackendState;
use lb_types::Nanos;

/// The inputs of one request's picks: made once a request and kept over its retries.
///
/// The same context over the same pool gives the same pick: nothing else is asked.
#[derive(Debug)]
pub struct PickContext<'r> {
    /// When.
    pub now: Nanos,
    /// The hash of what a hash policy looks at ([`crate::Pool::key`]); `None`: a random one is drawn.
    pub key: Option<u64>,
    rng: u64,
    tried: Slots,
    excluded: Slots,
    pub(crate) recorder: Option<&'r mut Recorder>,
}

impl<'r> PickContext<'r> {
    /// A context without a key.
    pub fn new(now: Nanos, seed: u64) -> Self {
        Self {
            now,
            key: None,
            rng: seed,
            tried: Slots::default(),
            excluded: Slots::default(),
            recorder: None,
        }
    }

    /// The same context without the recorder: the inputs of the pick that an explanation was about.
    pub(crate) fn recording(&self, recorder: &'r mut Recorder) -> Self {
        Self {
            now: self.now,
            key: self.key,
            rng: self.rng,
            tried: self.tried.clone(),
            excluded: self.excluded.clone(),
            recorder: Some(recorder),
        }
    }

    /// This request failed on `backend`: another is taken while one is usable.
    pub fn tried(&mut self, backend: &BackendState) {
        self.tried.insert(backend.slot());
    }

    /// `backend` must not be taken, whatever happens.
    pub fn exclude(&mut self, backend: &BackendState) {
        self.excluded.insert(backend.slot());
    }

    /// Whether anything was tried or excluded: policies keep their fast path while not.
    #[inline]
    pub(crate) fn is_fresh(&self) -> bool {
        self.tried.is_empty() && self.excluded.is_empty()
    }

    #[inline]
    pub(crate) fn was_tried(&self, slot: u32) -> bool {
        self.tried.contains(slot)
    }

    #[inline]
    pub(crate) fn is_excluded(&self, slot: u32) -> bool {
        self.excluded.contains(slot)
    }

    /// Lets tried backends in again, when no other is usable.
    pub(crate) fn forget_tried(&mut self) -> Slots {
        std::mem::take(&mut self.tried)
    }

    pub(crate) fn restore_tried(&mut self, tried: Slots) {
        self.tried = tried;
    }

    pub(crate) fn any_tried(&self) -> bool {
        !self.tried.is_empty()
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

/// A small set of slots: eight without an allocation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Slots {
    inline: [u32; 8],
    len: usize,
    more: Vec<u32>,
}

impl Slots {
    fn insert(&mut self, slot: u32) {
        if self.contains(slot) {
            return;
        }
        if let Some(place) = self.inline.get_mut(self.len) {
            *place = slot;
            self.len += 1;
        } else {
            self.more.push(slot);
        }
    }

    #[inline]
    fn is_empty(&self) -> bool {
        self.len == 0
    }

    #[inline]
    fn contains(&self, slot: u32) -> bool {
        self.inline[..self.len].contains(&slot) || self.more.contains(&slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_hold_more_than_eight() {
        let mut s = Slots::default();
        for i in (0..20).chain(0..20) {
            s.insert(i);
        }
        assert!((0..20).all(|i| s.contains(i)) && !s.contains(20));
        assert_eq!(s.more.len(), 12);
    }
}
