//! Waiting for something to become true, within a bound.

use lb_types::{Clock, Nanos, SystemClock};
use std::thread;
use std::time::Duration;

/// How often a condition is looked at: far below every interval that tests configure, and cheap.
const POLL: Duration = Duration::from_millis(2);

/// Time since its creation.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(SystemClock);

impl Stopwatch {
    /// Starts now.
    pub fn start() -> Self {
        Self(SystemClock::new())
    }

    /// How long it has run.
    pub fn elapsed(&self) -> Duration {
        Nanos::as_duration(self.0.now())
    }
}

/// Whether `condition` holds before `limit` is over; returns at once when it does.
pub fn holds_within(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let watch = Stopwatch::start();
    loop {
        if condition() {
            return true;
        }
        if watch.elapsed() >= limit {
            return false;
        }
        thread::sleep(POLL);
    }
}

/// Waits until `condition` holds.
///
/// # Panics
/// When it does not within `limit`; `what` says in the message what was waited for.
#[track_caller]
pub fn eventually(limit: Duration, what: &str, condition: impl FnMut() -> bool) {
    assert!(holds_within(limit, condition), "waited {limit:?} in vain: {what}");
}
