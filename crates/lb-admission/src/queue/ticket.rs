//! One who waits in a [`Queue`].

use super::line::{Answer, Key};
use super::refused::Refused;
use super::shared::Queue;
use crate::priority::Priority;
use lb_types::Nanos;
use std::fmt;
use std::task::{Context, Poll};
use std::time::Duration;

/// A place in the line. Dropped, it is given up at once; a turn that it holds goes on to the next.
#[must_use = "dropped at once, it leaves the line"]
pub struct Ticket {
    queue: Queue,
    key: Key,
    joined: Nanos,
    wake_at: Nanos,
    /// It was refused, and knows.
    refused: Option<Refused>,
    /// Nothing of it is in the queue any more.
    gone: bool,
}

impl Ticket {
    pub(super) fn new(queue: Queue, key: Key, joined: Nanos) -> Self {
        Self { queue, key, joined, wake_at: joined, refused: None, gone: false }
    }

    /// Whether it is one's turn. `Ok`: try to take a place, then say [`served`](Self::served), [`pass_on`](Self::pass_on) or
    /// [`none_free`](Self::none_free); asked again before, it says the same. Pending: the waker will be called; poll again at [`wake_at`](Self::wake_at) in any case.
    ///
    /// # Errors
    /// It was refused, as everyone who asks from now on is told.
    pub fn poll_turn(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Refused>> {
        if let Some(refused) = self.refused {
            return Poll::Ready(Err(refused));
        }
        let key = self.key;
        let (answer, spare) = self.queue.with(|state, now| {
            let answer = state.line.ask(now, key);
            let slot = if let Answer::Wait(_) = answer { state.line.value_mut(key) } else { None };
            let spare = slot.and_then(|slot| match slot {
                Some(waker) if waker.will_wake(cx.waker()) => None,
                _ => slot.replace(cx.waker().clone()),
            });
            (answer, spare)
        });
        drop(spare); // a waker's drop is foreign code: not under the lock
        match answer {
            Answer::Look => Poll::Ready(Ok(())),
            Answer::Wait(at) => {
                self.wake_at = at;
                Poll::Pending
            }
            Answer::Gone => {
                self.gone = true;
                let refused = self.queue.with(|state, _| state.refused.remove(&key));
                // The line lets nobody go without saying why.
                let refused = refused.unwrap_or(Refused::Timeout { waited: self.waited() });
                self.refused = Some(refused);
                Poll::Ready(Err(refused))
            }
        }
    }

    /// When to poll again though nobody woke it: at its deadline, or when overload may have begun. An instant of the queue's clock.
    pub fn wake_at(&self) -> Nanos {
        self.wake_at
    }

    /// Waits for one's turn, with tokio's timer. Safe to cancel: the ticket keeps its position.
    ///
    /// # Errors
    /// It was refused.
    ///
    /// # Panics
    /// Outside a tokio runtime with a timer.
    #[cfg(feature = "runtime")]
    pub async fn turn(&mut self) -> Result<(), Refused> {
        use std::pin::pin;
        use tokio::time::{Instant, Sleep, sleep_until};
        let mut timer = pin!(None::<Sleep>);
        std::future::poll_fn(|cx| {
            loop {
                if let Poll::Ready(turn) = self.poll_turn(cx) {
                    return Poll::Ready(turn);
                }
                let at = Instant::now() + (self.wake_at - self.queue.now()).as_duration();
                match timer.as_mut().as_pin_mut() {
                    Some(timer) => timer.reset(at),
                    None => timer.set(Some(sleep_until(at))),
                }
                if timer.as_mut().as_pin_mut().is_none_or(|timer| timer.poll(cx).is_pending()) {
                    return Poll::Pending;
                }
            }
        })
        .await
    }

    /// It found no place that it can use: it waits on where it is, and the turn goes to the next one who has not looked since it was made.
    pub fn pass_on(&mut self) {
        let key = self.key;
        self.queue.with(|state, now| state.line.pass_on(now, key));
    }

    /// It found that no place is free, neither for itself nor for anybody else who waits: it waits on where it is, and the turn is over.
    /// Saves the others from looking in vain. Who is bound to some of the places, or is not sure, says [`pass_on`](Self::pass_on).
    pub fn none_free(&mut self) {
        let key = self.key;
        self.queue.with(|state, now| state.line.none_free(now, key));
    }

    /// It has a place, and leaves the line. Returns how long it waited.
    pub fn served(mut self) -> Duration {
        let (key, joined) = (self.key, self.joined);
        let (waited, waker) = self.queue.with(|state, now| {
            let waker = state.line.served(now, key);
            let waited = now - joined;
            if waker.is_some() {
                state.rate.served(now);
                let counts = &mut state.counts[usize::from(key.level)];
                counts.served += 1;
                counts.wait_us_sum += waited.as_micros();
                counts.wait_us_max = counts.wait_us_max.max(waited.as_micros());
            }
            (waited, waker)
        });
        // Refused since, it has something in the queue still, which the drop takes away.
        self.gone |= waker.is_some();
        waited.as_duration()
    }

    /// How long it has waited, or waited until it was refused.
    pub fn waited(&self) -> Duration {
        self.refused
            .map_or_else(|| (self.queue.now() - self.joined).as_duration(), |refused| refused.waited())
    }

    /// Its level.
    pub fn priority(&self) -> Priority {
        Priority::level(self.key.level)
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.gone {
            return;
        }
        let key = self.key;
        let waker = self.queue.with(|state, now| {
            let waker = state.line.leave(now, key);
            state.counts[usize::from(key.level)].left += u64::from(waker.is_some());
            waker
        });
        if waker.is_none() {
            // It was refused, by then or just now, and did not ask since.
            self.queue.with(|state, _| state.refused.remove(&key));
        }
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("priority", &self.priority()).field("joined", &self.joined).finish()
    }
}
