//! The latest order counts: one is carried out at a time, and an older one gives up instead of waiting for its next try.

use super::event::{DriverEvent, EventSink, Happening};
use super::retry::Retry;
use super::{DriverError, Order};
use std::future::Future;
use std::time::Duration;
use tokio::sync::{Mutex, MutexGuard, watch};

/// The number of the order that closes.
const CLOSED: u64 = u64::MAX;

/// Whose turn it is.
#[derive(Debug)]
pub(crate) struct Latest {
    newest: watch::Sender<u64>,
    turn: Mutex<()>,
}

/// The turn of one order.
struct Turn<'a> {
    newest: watch::Receiver<u64>,
    /// Counts up with the orders.
    number: u64,
    _guard: MutexGuard<'a, ()>,
}

/// Why a try failed.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) reason: String,
    /// Another may do better.
    pub(crate) again: bool,
}

impl Latest {
    pub(crate) fn new() -> Self {
        Self { newest: watch::Sender::new(0), turn: Mutex::new(()) }
    }

    /// Passes an order on, with as many tries as `retry` has, and tells of them. `once` is one try, of the order with this number.
    pub(crate) async fn pass_on<F>(
        &self,
        order: &Order,
        retry: &Retry,
        events: Option<&EventSink>,
        once: impl Fn(u64) -> F,
    ) -> Result<(), DriverError>
    where
        F: Future<Output = Result<(), Refused>>,
    {
        let tell = |what| {
            if let Some(events) = events {
                events(&DriverEvent { id: None, what });
            }
        };
        let mut turn = self.turn().await?;
        let mut tries = 0;
        loop {
            let result = once(turn.number).await;
            tries += 1;
            let Err(Refused { reason, again }) = result else {
                tell(Happening::Ordered { desired: order.desired, tries });
                return Ok(());
            };
            if !again || tries >= retry.tries {
                return Err(DriverError::Failed { tries, reason });
            }
            let retry_in = retry.wait(tries - 1, fastrand::f64());
            tell(Happening::Retrying { tries, reason, retry_in });
            turn.wait(retry_in).await?;
        }
    }

    /// Waits until the try of the order before is over.
    async fn turn(&self) -> Result<Turn<'_>, DriverError> {
        let mut number = CLOSED;
        self.newest.send_if_modified(|newest| {
            let open = *newest != CLOSED;
            if open {
                *newest += 1;
                number = *newest;
            }
            open
        });
        if number == CLOSED {
            return Err(DriverError::Closed);
        }
        let guard = self.turn.lock().await;
        let turn = Turn { newest: self.newest.subscribe(), number, _guard: guard };
        turn.still()?;
        Ok(turn)
    }

    /// Takes no more orders, and waits until the last try is over.
    pub(crate) async fn close(&self) {
        self.newest.send_replace(CLOSED);
        let _turn = self.turn.lock().await;
    }
}

impl Turn<'_> {
    fn still(&self) -> Result<(), DriverError> {
        match *self.newest.borrow() {
            CLOSED => Err(DriverError::Closed),
            newest if newest != self.number => Err(DriverError::Superseded),
            _ => Ok(()),
        }
    }

    /// Waits, as long as there is no newer order.
    async fn wait(&mut self, time: Duration) -> Result<(), DriverError> {
        let number = self.number;
        let newer = self.newest.wait_for(|newest| *newest != number);
        let _over = tokio::time::timeout(time, newer).await.is_err();
        self.still()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_newer_order_ends_the_wait_of_an_older_one() {
        let latest = Latest::new();
        let mut first = latest.turn().await.unwrap();
        let older = async {
            let waited = first.wait(Duration::from_secs(60)).await;
            drop(first);
            waited
        };
        let begun = tokio::time::Instant::now();
        let (older, newer) = tokio::join!(older, latest.turn());
        assert_eq!(older, Err(DriverError::Superseded));
        assert_eq!(newer.unwrap().number, 2);
        assert_eq!(begun.elapsed(), Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn a_closed_one_takes_no_order() {
        let latest = Latest::new();
        let mut first = latest.turn().await.unwrap();
        assert_eq!(first.wait(Duration::from_secs(1)).await, Ok(()));
        let closing = async {
            let waited = first.wait(Duration::from_secs(60)).await;
            drop(first);
            waited
        };
        let (waited, ()) = tokio::join!(closing, latest.close());
        assert_eq!(waited, Err(DriverError::Closed));
        assert_eq!(latest.turn().await.err(), Some(DriverError::Closed));
    }
}
