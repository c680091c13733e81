//! Things to be told to others' code: one at a time and in order, with no lock held while that code runs.
//!
//! Put a thing in under the lock that orders it, and flush after that lock is released: whoever finds the outbox unattended empties it.
//! So those who are told may themselves put things in.

use std::collections::VecDeque;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) struct Outbox<T>(Mutex<State<T>>);

struct State<T> {
    waiting: VecDeque<T>,
    attended: bool,
}

impl<T> Default for Outbox<T> {
    fn default() -> Self {
        Self(Mutex::new(State { waiting: VecDeque::new(), attended: false }))
    }
}

impl<T> Outbox<T> {
    /// Changes what waits. Whoever adds to it keeps it bounded.
    pub(crate) fn edit<R>(&self, change: impl FnOnce(&mut VecDeque<T>) -> R) -> R {
        change(&mut self.state().waiting)
    }

    /// Delivers what waits, unless somebody is at it: then he delivers this, too. A delivery that panics costs itself alone: the panic
    /// hook has reported it, and the outbox must not stay attended for ever.
    pub(crate) fn flush(&self, deliver: impl Fn(T)) {
        loop {
            let next = {
                let mut state = self.state();
                if state.attended {
                    return;
                }
                let Some(next) = state.waiting.pop_front() else { return };
                state.attended = true;
                next
            };
            let _ = catch_unwind(AssertUnwindSafe(|| deliver(next)));
            self.state().attended = false;
        }
    }

    fn state(&self) -> MutexGuard<'_, State<T>> {
        // Each critical section leaves the outbox whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
