//! One look-up for all who ask for the same at the same time.
//!
//! No task is spawned: whoever waits drives the look-up (futures' `Shared`), and when the last one leaves it is dropped. So it needs no
//! runtime, and no look-up outlives its askers.

use crate::provider::BoxFuture;
use crate::{Answer, GeoError};
use futures_util::FutureExt as _;
use futures_util::future::{Shared, WeakShared};
use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

type Outcome = Result<Answer, GeoError>;
type Lookup = BoxFuture<'static, Outcome>;

/// Look-ups under way, by what they are for. There are no more than there are askers.
#[derive(Default)]
pub(crate) struct Flights {
    table: Arc<Mutex<Table>>,
}

#[derive(Default)]
struct Table {
    under_way: HashMap<IpAddr, (u64, WeakShared<Lookup>)>,
    next: u64,
}

impl fmt::Debug for Flights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").field("under_way", &self.len()).finish()
    }
}

impl Flights {
    /// The look-up under way for `key`, or else the one that `start` makes; and whether it was under way.
    pub(crate) fn join(&self, key: IpAddr, start: impl FnOnce() -> Lookup) -> (Shared<Lookup>, bool) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(shared) = table.under_way.get(&key).and_then(|(_, flight)| flight.upgrade()) {
            return (shared, true);
        }
        let number = table.next;
        table.next += 1;
        let (lookup, landing) = (start(), Landing { table: self.table.clone(), key, number });
        let shared = async move {
            let _landing = landing; // also when the look-up is dropped half-way
            lookup.await
        }
        .boxed()
        .shared();
        if let Some(flight) = shared.downgrade() {
            table.under_way.insert(key, (number, flight));
        }
        (shared, false)
    }

    /// How many look-ups are under way.
    pub(crate) fn len(&self) -> usize {
        self.table.lock().unwrap_or_else(PoisonError::into_inner).under_way.len()
    }
}

/// Takes a look-up off the table when it ends or is dropped, unless another one has taken its place.
struct Landing {
    table: Arc<Mutex<Table>>,
    key: IpAddr,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut table = self.table.lock().unwrap_or_else(PoisonError::into_inner);
        if table.under_way.get(&self.key).is_some_and(|(number, _)| *number == self.number) {
            table.under_way.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Why;
    use std::future::pending;

    const KEY: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[test]
    fn a_look_up_that_is_left_is_forgotten() {
        let flights = Flights::default();
        let (first, joined) = flights.join(KEY, || Box::pin(pending()));
        assert!(!joined);
        let (second, joined) = flights.join(KEY, || panic!("one is under way"));
        assert!(joined);
        drop(first);
        assert_eq!(flights.len(), 1, "somebody still waits");
        drop(second);
        assert_eq!(flights.len(), 0);
    }

    #[test]
    fn a_look_up_that_has_ended_is_not_joined() {
        let flights = Flights::default();
        let answer = Answer::Unknown(Why::NotInDatabase);
        for _ in 0..2 {
            let ready = Ok(answer.clone());
            let (lookup, joined) = flights.join(KEY, || Box::pin(std::future::ready(ready)));
            assert!(!joined);
            assert_eq!(lookup.clone().now_or_never(), Some(Ok(answer.clone())));
            assert_eq!(flights.len(), 0);
        }
    }
}
