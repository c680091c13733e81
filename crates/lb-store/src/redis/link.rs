//! The connection that all calls share: made when it is wanted, made anew when it broke, with a wait between tries that fail.
//!
//! A connection is made in a task of its own, so that a call waits for it no longer than its own time limit, and a call that is dropped
//! halfway takes nothing with it. After a failed try, or a connection that broke before it
//! answered a call, calls fail with the error until the next is due: 20 ms, doubling up to 1 s. (The
//! waits are short: [`Resilient`](crate::Resilient) keeps calls away during an outage; this keeps single stores decent without it.)
//!
//! A connection on which [`STRIKES`] calls in a row were not answered in time is given up: its other end may be gone without a word.

use super::connect::{Connection, Connector};
use lb_types::StoreError;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::time::Instant;

/// So many calls in a row that were not answered in time end a connection.
pub const STRIKES: u32 = 3;
const WAIT_MIN: Duration = Duration::from_millis(20);
const WAIT_MAX: Duration = Duration::from_secs(1);

type Outcome = Option<Result<(), StoreError>>;

pub(super) struct Link {
    connector: Connector,
    runtime: Handle,
    connect_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    connection: Option<(u64, Connection)>,
    /// Numbers connections, so that a late error does not end the next one.
    number: u64,
    strikes: u32,
    /// It has answered a call.
    answered: bool,
    failed_tries: u32,
    /// Why the last try failed, and when there may be another.
    failure: Option<(StoreError, Instant)>,
    /// Somebody is at it: the outcome comes here.
    under_way: Option<watch::Receiver<Outcome>>,
}

impl State {
    /// The connection is of no use any more. One that never was is like a try that failed: else a server that takes connections and
    /// drops them would be called as fast as it answers.
    fn lost(&mut self) {
        if self.connection.take().is_some() && !self.answered {
            self.back_off(StoreError::Unavailable {
                reason: "the connection broke before it answered".into(),
            });
        }
    }

    fn back_off(&mut self, error: StoreError) {
        let factor = 1u32.checked_shl(self.failed_tries).unwrap_or(u32::MAX);
        let wait = WAIT_MIN.saturating_mul(factor).min(WAIT_MAX);
        self.failed_tries = self.failed_tries.saturating_add(1);
        self.failure = Some((error, Instant::now() + wait));
    }
}

impl Link {
    pub(super) fn new(connector: Connector, runtime: Handle, connect_timeout: Duration) -> Arc<Self> {
        Arc::new(Self { connector, runtime, connect_timeout, state: Mutex::default() })
    }

    /// The connection and its number; makes one if there is none.
    pub(super) async fn connection(self: &Arc<Self>) -> Result<(u64, Connection), StoreError> {
        loop {
            let mut outcome = {
                let mut state = self.state();
                if let Some((number, connection)) = &state.connection {
                    if !connection.is_closed() {
                        return Ok((*number, connection.clone()));
                    }
                    state.lost();
                }
                match (&state.under_way, &state.failure) {
                    (Some(under_way), _) => under_way.clone(),
                    (None, Some((error, until))) if Instant::now() < *until => return Err(error.clone()),
                    (None, _) => {
                        let (tell, outcome) = watch::channel(None);
                        state.under_way = Some(outcome.clone());
                        let link = self.clone();
                        self.runtime.spawn(async move { link.connect(&tell).await });
                        outcome
                    }
                }
            };
            let told = match outcome.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone(),
                // The runtime is shutting down, and the task went with it.
                Err(_) => {
                    self.state().under_way = None;
                    return Err(StoreError::Unavailable {
                        reason: "the runtime of the connection ended".into(),
                    });
                }
            };
            if let Some(Err(error)) = told {
                return Err(error);
            }
        }
    }

    async fn connect(&self, tell: &watch::Sender<Outcome>) {
        let limit = self.connect_timeout;
        let made = match tokio::time::timeout(limit, self.connector.connect(&self.runtime)).await {
            Ok(made) => made,
            Err(_) => Err(StoreError::Timeout { limit }),
        };
        let mut state = self.state();
        state.under_way = None;
        let outcome = match made {
            Ok(connection) => {
                state.number += 1;
                (state.strikes, state.answered, state.failure) = (0, false, None);
                state.connection = Some((state.number, connection));
                Ok(())
            }
            Err(error) => {
                state.back_off(error.clone());
                Err(error)
            }
        };
        drop(state);
        let _ = tell.send(Some(outcome)); // nobody may be waiting any more
    }

    /// A call on connection `number` was answered.
    pub(super) fn answered(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            (state.strikes, state.failed_tries, state.answered) = (0, 0, true);
        }
    }

    /// A call on connection `number` was not answered in time.
    pub(super) fn strike(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.strikes += 1;
            if state.strikes >= STRIKES {
                state.lost();
            }
        }
    }

    /// Connection `number` is of no use any more.
    pub(super) fn give_up(&self, number: u64) {
        let mut state = self.state();
        if state.number == number {
            state.lost();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Each critical section leaves it whole.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
