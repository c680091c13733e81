//! Waiting in line: bounded, by priority, with deadlines.
//!
//! When all places are taken (every backend at its limit, every slot of a service), requests wait in a [`Queue`]. It does not know the
//! places: whoever gives one back says [`Queue::freed`], and exactly one of those who wait is woken to take it.
//!
//! | file | what it holds |
//! |---|---|
//! | `settings` | [`QueueSettings`]: size, timeout, levels, overload |
//! | `line`, `row`, `turn` | the pure core: order, bound, weights, overload, and the baton |
//! | `shared`, `ticket` | [`Queue`] and [`Ticket`]: the core behind a lock, with wakers |
//! | `stats`, `rate`, `refused` | what is counted, and what the refused are told |
//!
//! - **Bound**: `max_size`; when it is reached, who comes of a higher level displaces one of the lowest below it, but none within its level's
//!   share of the line.
//! - **Order**: places go to the levels by weight, so that a low one gets its share and never starves; within a level first come, first
//!   served, and under sustained overload the newest first, with long waits refused. See `line.rs` and `row.rs` for the bounds.
//!   [`Queue::suspend_overload`] switches that off for a time.
//! - **Deadlines**: each waits for its timeout at most, and leaves at once when its [`Ticket`] is dropped.
//!
//! # The protocol
//!
//! 1. While nobody waits, try to take a place. ([`Queue::is_waiting`]: newcomers do not overtake.)
//! 2. [`Queue::join`], and wait for one's turn. A newcomer has a turn at once, if a place may be free that is promised to nobody:
//!    so one that was freed between its try and its joining is not lost, nor one that only it can use.
//! 3. On each turn, try again. With a place: [`Ticket::served`]. Without: [`Ticket::pass_on`], and wait on. Those who wait may be bound to
//!    different backends, so the turn goes on to the next until one can use the place or all have looked; then it is free for newcomers.
//!    If nobody could use a place now: [`Ticket::none_free`], which ends the turn.
//! 4. Who gives a place back does so first and then calls [`Queue::freed`].
//!
//! A newcomer's own look may, by luck, catch a place that is freed while it looks, before the one whose turn that becomes. It is the only
//! way to overtake. A turn that goes on is one wake after the other, up to all who wait: where none is bound, `none_free` avoids it.
//!
//! ```
//! use lb_admission::queue::{Queue, QueueSettings, Refused, Ticket};
//! use lb_admission::Priority;
//! use lb_types::SystemClock;
//! use std::future::poll_fn;
//! use std::sync::Arc;
//! use std::sync::atomic::{AtomicUsize, Ordering};
//!
//! struct Places { free: AtomicUsize, queue: Queue }
//!
//! impl Places {
//!     fn try_take(&self) -> bool {
//!         self.free.try_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1)).is_ok()
//!     }
//!
//!     async fn take(&self, priority: Priority) -> Result<(), Refused> {
//!         if !self.queue.is_waiting() && self.try_take() {
//!             return Ok(());
//!         }
//!         let mut ticket = self.queue.join(priority, None)?;
//!         loop {
//!             // With tokio (feature `runtime`) `ticket.turn().await`, which minds `wake_at` as well.
//!             poll_fn(|cx| ticket.poll_turn(cx)).await?;
//!             if self.try_take() {
//!                 ticket.served();
//!                 return Ok(());
//!             }
//!             ticket.none_free(); // all places are alike here
//!         }
//!     }
//!
//!     fn give_back(&self) {
//!         self.free.fetch_add(1, Ordering::SeqCst);
//!         self.queue.freed();
//!     }
//! }
//!
//! # use std::{pin::pin, task::{Context, Poll, Waker}};
//! let queue = Queue::new(QueueSettings::new(), Arc::new(SystemClock::new()))?;
//! let places = Places { free: AtomicUsize::new(1), queue };
//! # let cx = &mut Context::from_waker(Waker::noop());
//! let (mut first, mut second) = (pin!(places.take(Priority::LOW)), pin!(places.take(Priority::HIGH)));
//! assert_eq!(first.as_mut().poll(cx), Poll::Ready(Ok(())));
//! assert_eq!(second.as_mut().poll(cx), Poll::Pending);
//! places.give_back();
//! assert_eq!(second.as_mut().poll(cx), Poll::Ready(Ok(())));
//! # Ok::<(), lb_admission::SettingsError>(())
//! ```

mod line;
mod rate;
mod refused;
mod row;
mod settings;
mod shared;
mod stats;
mod ticket;
mod turn;

pub use refused::Refused;
pub use settings::{DURATION_MAX, DURATION_MIN, Level, Overload, QueueSettings, SIZE_MAX, WEIGHT_MAX};
pub use shared::Queue;
pub use stats::{LevelStats, QueueStats, RefusedCounts};
pub use ticket::Ticket;
