//! What is known of one session, and which of two nodes' knowledge counts.
//!
//! A record has an **epoch**: 0 when the session is first bound, one more each time it moves or is cleared. The higher epoch counts. Of
//! two records with the same epoch a cleared one counts, then the one that stood in the store first: [`merge`] never replaces a binding
//! by another of the same epoch. So the first assignment wins, a move is not undone by a node that has not heard of it, and all nodes
//! come to the same record in whichever order they learn of it; no clocks are compared.
//!
//! In the store: `version 1 │ kind 1 (b: bound, c: cleared) │ created 4 │ epoch 2 │ backend id`, numbers big-endian, under the key
//! `session:POOL:ID`.

use crate::SessionId;
use lb_types::BackendId;

const VERSION: u8 = 1;
/// The longest backend id that is kept in a store, in bytes.
const BACKEND_BYTES_MAX: usize = 4096;

/// One session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its backend; `None` once it was cleared.
    pub backend: Option<BackendId>,
    /// When it began, Unix s.
    pub created: u32,
    /// How often it moved or was cleared.
    pub epoch: u16,
}

impl Record {
    /// As it stands in a store.
    pub fn encode(&self) -> Vec<u8> {
        let backend = self.backend.as_ref().map_or("", BackendId::as_str);
        let mut value = Vec::with_capacity(8 + backend.len());
        value.extend([VERSION, if self.backend.is_some() { b'b' } else { b'c' }]);
        value.extend(self.created.to_be_bytes());
        value.extend(self.epoch.to_be_bytes());
        value.extend(backend.as_bytes());
        value
    }

    /// From a store; `None` when it is nothing of ours.
    pub fn decode(value: &[u8]) -> Option<Self> {
        let (head, backend) = value.split_at_checked(8)?;
        let &[VERSION, kind, c0, c1, c2, c3, e0, e1] = head else { return None };
        let backend = match (kind, backend) {
            (b'c', []) => None,
            (b'b', [_, ..]) if backend.len() <= BACKEND_BYTES_MAX => {
                Some(std::str::from_utf8(backend).ok()?.into())
            }
            _ => return None,
        };
        Some(Self {
            backend,
            created: u32::from_be_bytes([c0, c1, c2, c3]),
            epoch: u16::from_be_bytes([e0, e1]),
        })
    }
}

/// The key of a session in a store.
pub fn store_key(pool: &str, id: SessionId) -> String {
    format!("session:{pool}:{id}")
}

/// What a node does about a session that it knows one way and the store another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// They say the same: keep the store's alive.
    Same,
    /// The store's counts.
    TakeStored,
    /// Ours counts.
    Write,
}

/// Whose record counts. `stored` is `None` when there is none, or nothing of ours.
pub fn merge(local: &Record, stored: Option<&Record>) -> Merge {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let Some(stored) = stored else { return Merge::Write };
    match (stored.epoch.cmp(&local.epoch), &stored.backend, &local.backend) {
        (Greater, ..) => Merge::TakeStored,
        (Less, ..) => Merge::Write,
        (Equal, stored, local) if stored == local => Merge::Same,
        (Equal, Some(_), None) => Merge::Write,
        (Equal, ..) => Merge::TakeStored,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(backend: Option<&str>, epoch: u16) -> Record {
        Record { backend: backend.map(BackendId::from), created: 7, epoch }
    }

    #[test]
    fn the_first_assignment_the_later_move_and_the_clearing_count() {
        let (a, b, cleared) = (record(Some("a"), 0), record(Some("b"), 0), record(None, 1));
        assert_eq!(merge(&a, None), Merge::Write);
        assert_eq!(merge(&a, Some(&a)), Merge::Same);
        assert_eq!(merge(&a, Some(&b)), Merge::TakeStored);
        assert_eq!(merge(&record(Some("a"), 1), Some(&b)), Merge::Write);
        assert_eq!(merge(&a, Some(&record(Some("b"), 1))), Merge::TakeStored);
        assert_eq!(merge(&a, Some(&cleared)), Merge::TakeStored);
        assert_eq!(merge(&record(Some("b"), 1), Some(&cleared)), Merge::TakeStored);
        assert_eq!(merge(&cleared, Some(&record(Some("b"), 1))), Merge::Write);
        assert_eq!(merge(&record(Some("a"), 2), Some(&cleared)), Merge::Write);
    }

    #[test]
    fn what_is_nothing_of_ours_is_not_read() {
        let good = record(Some("a"), 3).encode();
        assert_eq!(good, b"\x01b\0\0\0\x07\0\x03a");
        assert_eq!(record(None, 1).encode(), b"\x01c\0\0\0\x07\0\x01");
        for bad in [
            &b""[..],
            b"\x01b\0\0\0\x07\0\x03",
            b"\x01c\0\0\0\x07\0\x03a",
            b"\x02b\0\0\0\x07\0\x03a",
            b"\x01x\0\0\0\x07\0\x03a",
            b"\x01b\0\0\0\x07\0\x03\xff",
            &good[..7],
        ] {
            assert_eq!(Record::decode(bad), None, "{bad:?}");
        }
    }

    fn records() -> impl Strategy<Value = Record> {
        (prop::option::of("[ab]"), 0..3u16).prop_map(|(b, e)| record(b.as_deref(), e))
    }

    proptest! {
        #[test]
        fn records_round_trip_and_noise_is_no_panic(r in records(), noise in any::<Vec<u8>>()) {
            prop_assert_eq!(Record::decode(&r.encode()), Some(r));
            let _ = Record::decode(&noise);
        }

        /// Nodes that sync in any order and more than once end with one record.
        #[test]
        fn nodes_converge(mut nodes in prop::collection::vec(records(), 1..5), order in prop::collection::vec(0..5usize, 0..20)) {
            let mut stored: Option<Record> = None;
            let everyone: Vec<usize> = (0..nodes.len()).collect();
            for at in order.into_iter().chain(everyone.iter().copied()).chain(everyone.iter().copied()) {
                let Some(local) = nodes.get_mut(at) else { continue };
                match merge(local, stored.as_ref()) {
                    Merge::Same => {}
                    Merge::Write => stored = Some(local.clone()),
                    Merge::TakeStored => *local = stored.clone().unwrap(),
                }
            }
            for node in &nodes {
                prop_assert_eq!(Some(node), stored.as_ref());
            }
        }
    }
}
