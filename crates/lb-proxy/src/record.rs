//! What was sent of a body, to be sent again: bounded, in order, and read from the start as often as need be.
//!
//! Long parts are kept as they came, without a copy. Short ones are copied together: each would keep the whole read buffer alive
//! that it was cut from, so that a client which sends byte by byte could make a small record cost thousands of buffers.

use bytes::Bytes;

/// From this length on a part is kept as it came. It is the least that a connection reads into (8 KiB), halved: what is kept alive
/// beside the record is then of the record's own order.
const WHOLE: usize = 4 * 1024;

#[derive(Debug)]
pub(crate) struct Record {
    parts: Vec<Bytes>,
    /// Short parts that came last.
    tail: Vec<u8>,
    /// Bytes in all.
    length: usize,
    max: usize,
    /// The part to be read next.
    next: usize,
}

impl Record {
    /// An empty record of at most `max` bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self { parts: Vec::new(), tail: Vec::new(), length: 0, max, next: 0 }
    }

    /// Adds what was sent now; `false`: it is too much, and all was dropped.
    pub(crate) fn put(&mut self, data: &Bytes) -> bool {
        self.length += data.len();
        if self.length > self.max {
            self.clear();
            return false;
        }
        if data.len() < WHOLE {
            self.tail.extend_from_slice(data);
        } else {
            self.close_tail();
            self.parts.push(data.clone());
        }
        self.next = self.parts.len();
        true
    }

    fn close_tail(&mut self) {
        if !self.tail.is_empty() {
            self.parts.push(std::mem::take(&mut self.tail).into());
        }
    }

    /// Drops all of it.
    #[inline]
    pub(crate) fn clear(&mut self) {
        if self.length > 0 {
            (self.parts, self.tail, self.next, self.length) = (Vec::new(), Vec::new(), 0, 0);
        }
    }

    /// From the start again.
    pub(crate) fn rewind(&mut self) {
        self.close_tail();
        self.next = 0;
    }

    /// The next part, after a [`rewind`](Self::rewind).
    pub(crate) fn next(&mut self) -> Option<Bytes> {
        let part = self.parts.get(self.next)?.clone();
        self.next += 1;
        Some(part)
    }

    pub(crate) fn has_more(&self) -> bool {
        self.next < self.parts.len()
    }

    /// How many bytes there are to read.
    pub(crate) fn left(&self) -> usize {
        self.parts[self.next..].iter().map(Bytes::len).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(r: &mut Record) -> Vec<u8> {
        let left = r.left();
        let all: Vec<u8> = std::iter::from_fn(|| r.next()).flatten().collect();
        assert!(all.len() == left && !r.has_more() && r.left() == 0);
        all
    }

    #[test]
    fn too_much_drops_all() {
        let mut r = Record::new(10);
        assert!(r.put(&Bytes::from_static(b"01234")) && r.put(&Bytes::from_static(b"56789")));
        assert!(!r.put(&Bytes::from_static(b"x")));
        r.rewind();
        assert_eq!((read(&mut r).len(), r.parts.capacity(), r.tail.capacity()), (0, 0, 0));
    }

    #[test]
    fn single_bytes_keep_no_buffers() {
        let buffer = Bytes::from(vec![7; 8 * 1024]);
        let mut r = Record::new(100);
        (0..100).for_each(|i| assert!(r.put(&buffer.slice(i..i + 1))));
        assert!(r.put(&Bytes::new()));
        assert!(buffer.is_unique(), "it was copied from");
        r.rewind();
        assert_eq!((read(&mut r), r.parts.len()), (vec![7; 100], 1));
    }

    proptest! {
        /// However often it is rewound, and whatever is added after a part of it was read again.
        #[test]
        fn what_was_put_is_what_is_read(
            tries in prop::collection::vec(prop::collection::vec(0usize..10_000, 0..6), 1..4),
        ) {
            let mut r = Record::new(usize::MAX);
            let mut all = Vec::new();
            for lengths in tries {
                r.rewind();
                prop_assert_eq!(read(&mut r), all.clone());
                for length in lengths {
                    let data: Vec<u8> = (0..length).map(|i| (i + all.len()) as u8).collect();
                    prop_assert!(r.put(&Bytes::from(data.clone())));
                    prop_assert!(!r.has_more());
                    all.extend(data);
                }
            }
            r.rewind();
            prop_assert_eq!(read(&mut r), all);
        }
    }
}
