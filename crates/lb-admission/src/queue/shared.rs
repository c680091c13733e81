//! The queue that all threads share: the line behind one lock, and wakers.
//!
//! One lock, not one for each level: a decision is about all levels, and it takes well under a microsecond. Who finds nobody
//! waiting takes no lock. Wakers are called after the lock is let go.

use super::line::{Key, Line, Told, Why};
use super::rate::Rate;
use super::refused::Refused;
use super::settings::QueueSettings;
use super::stats::{Counts, LevelStats, QueueStats};
use super::ticket::Ticket;
use crate::priority::Priority;
use foldhash::fast::FixedState;
use lb_types::{Clock, Nanos, SettingsError};
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Waker;
use std::time::Duration;

/// Who waits for a place; cheap to clone. See the module's documentation.
#[derive(Clone)]
pub struct Queue(Arc<Shared>);

struct Shared {
    settings: QueueSettings,
    clock: Arc<dyn Clock>,
    /// How many wait, for looking without the lock.
    len: AtomicUsize,
    state: Mutex<State>,
}

/// What the lock guards.
pub(super) struct State {
    /// With whom to wake, once it has asked and was told to wait.
    pub(super) line: Line<Option<Waker>>,
    /// What those who were refused will be told when they ask; one entry at most for each living ticket.
    pub(super) refused: HashMap<Key, Refused, FixedState>,
    pub(super) counts: Vec<Counts>,
    pub(super) rate: Rate,
}

impl Queue {
    /// A queue in which nobody waits.
    ///
    /// # Errors
    /// The settings are out of bounds.
    pub fn new(settings: QueueSettings, clock: Arc<dyn Clock>) -> Result<Self, SettingsError> {
        settings.validate()?;
        let state = State {
            line: Line::new(&settings),
            refused: HashMap::default(),
            counts: vec![Counts::default(); settings.levels.len()],
            rate: Rate::new(clock.now()),
        };
        Ok(Self(Arc::new(Shared { settings, clock, len: AtomicUsize::new(0), state: Mutex::new(state) })))
    }

    /// Its settings.
    pub fn settings(&self) -> &QueueSettings {
        &self.0.settings
    }

    /// Does anybody wait? Then a newcomer joins without trying first. One load.
    #[inline]
    pub fn is_waiting(&self) -> bool {
        !self.is_empty()
    }

    /// How many wait. One load.
    #[inline]
    pub fn len(&self) -> usize {
        self.0.len.load(Ordering::Acquire)
    }

    /// Whether nobody waits. One load.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Joins the line, for `timeout` or else as long as the settings say; never longer than an hour. Somebody of a lower level may be
    /// displaced. Ask the ticket for one's turn at once: a newcomer tries once more.
    ///
    /// # Errors
    /// [`Refused::Full`].
    pub fn join(&self, priority: Priority, timeout: Option<Duration>) -> Result<Ticket, Refused> {
        let timeout = timeout.unwrap_or(self.0.settings.timeout).min(super::DURATION_MAX);
        let level = priority.index(self.0.settings.levels.len());
        let joined = self.with(|state, now| {
            let joined = state.line.join(now, priority, now + timeout.into(), None);
            let counts = &mut state.counts[level];
            match joined {
                Ok(key) => {
                    counts.joined += 1;
                    Ok((key, now))
                }
                Err(_) => {
                    counts.refused.full += 1;
                    let retry_after = state.rate.retry_after(state.line.len(), now);
                    Err(Refused::Full { retry_after })
                }
            }
        });
        // That it waits is known before it looks for a place: see `freed`.
        fence(Ordering::SeqCst);
        joined.map(|(key, now)| Ticket::new(self.clone(), key, now))
    }

    /// One place became free: wakes the one whose turn it is; does nothing if nobody waits. To be called after the place was given back.
    pub fn freed(&self) {
        // Either the newcomer's look sees the place, or this sees the newcomer.
        fence(Ordering::SeqCst);
        if self.is_waiting() {
            self.with(|state, now| state.line.freed(now));
        }
    }

    /// Something else changed (a backend recovered, a limit grew): all who wait look, one after the other in their order.
    pub fn changed(&self) {
        fence(Ordering::SeqCst);
        if self.is_waiting() {
            self.with(|state, now| state.line.changed(now));
        }
    }

    /// Overload control is off for now (`true`), or on again: while more places are on their way (instances start), long waits do not mean that
    /// waiting is of no use. Size and deadlines hold on. Once it is on again waits count from then. At first it is on; nothing without
    /// [`overload`](QueueSettings::overload).
    pub fn suspend_overload(&self, suspended: bool) {
        self.with(|state, now| state.line.suspend_overload(now, suspended));
    }

    /// When to come again, for who is refused: when as many as wait now will have been served, at the recent rate. Whole seconds, 1 to 60.
    pub fn retry_after(&self) -> Duration {
        self.with(|state, now| state.rate.retry_after(state.line.len(), now))
    }

    /// What was counted so far.
    pub fn stats(&self) -> QueueStats {
        let settings = &self.0.settings;
        self.with(|state, now| state.line.expire(now));
        self.with(|state, now| {
            let level =
                |((row, counts), level): ((&super::row::Row<_>, &Counts), &super::Level)| LevelStats {
                    name: level.name.clone(),
                    waiting: row.waiting.len(),
                    oldest_wait_ms: row.oldest_wait(now).unwrap_or_default().as_millis(),
                    overloaded: row.is_overloaded(),
                    joined: counts.joined,
                    served: counts.served,
                    left: counts.left,
                    refused: counts.refused,
                    wait_mean_ms: counts.wait_us_sum as f64 / counts.served.max(1) as f64 / 1e3,
                    wait_max_ms: counts.wait_us_max / 1_000,
                };
            let rows = state.line.rows().iter().zip(&state.counts).zip(&settings.levels);
            QueueStats {
                waiting: state.line.len(),
                max_size: settings.max_size,
                levels: rows.map(level).collect(),
            }
        })
    }

    pub(super) fn now(&self) -> Nanos {
        self.0.clock.now()
    }

    /// Does something to the line, and then wakes whom that concerns.
    pub(super) fn with<R>(&self, f: impl FnOnce(&mut State, Nanos) -> R) -> R {
        // No foreign code that may panic runs under the lock but a waker's `clone`, and that leaves the line whole.
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Read under the lock, so that the order of the line is that of time.
        let result = f(&mut state, self.0.clock.now());
        let wake = state.note_refused();
        self.0.len.store(state.line.len(), Ordering::Release);
        drop(state);
        wake.into_iter().for_each(Waker::wake);
        result
    }
}

impl State {
    /// Takes down what the line has to tell; returns who is to be woken.
    fn note_refused(&mut self) -> Vec<Waker> {
        let mut wake = Vec::new();
        let mut told = std::mem::take(&mut self.line.told);
        for told in told.drain(..) {
            match told {
                Told::Look(key) => wake.extend(self.line.value_mut(key).and_then(Option::take)),
                Told::Refused(key, waker, why, waited) => {
                    let waited = waited.as_duration();
                    let counts = &mut self.counts[usize::from(key.level)].refused;
                    let (count, refused) = match why {
                        Why::Displaced => (&mut counts.displaced, Refused::Displaced { waited }),
                        Why::Timeout => (&mut counts.timeout, Refused::Timeout { waited }),
                        Why::Overloaded => (&mut counts.overload, Refused::Overloaded { waited }),
                    };
                    *count += 1;
                    self.refused.insert(key, refused);
                    wake.extend(waker);
                }
            }
        }
        self.line.told = told; // its memory
        wake
    }
}

impl fmt::Debug for Queue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Queue").field("settings", self.settings()).field("len", &self.len()).finish()
    }
}
