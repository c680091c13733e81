//! What a backend's requests report to.
//!
//! A report is two additions to shared words (three while the window's highest number in flight rises) and two loads. Whoever
//! crosses the window's end takes its sums and lets the rule make the new limit, under a lock that nobody waits for: if it is
//! taken, somebody else is closing the window. A report that falls between the taking of two sums counts its request in one
//! window and its latency in the next, which is nothing beside the noise.

use super::gradient::{Gradient, Window};
use super::settings::AdaptiveConcurrency;
use lb_types::{Nanos, SettingsError};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// Requests answered count in the lower half of a word, requests dropped in the upper.
const DROPPED: u64 = 1 << 32;
const ANSWERED_MASK: u64 = DROPPED - 1;
/// A latency counts as no more: beyond it is a time-out's matter, and five million of them fit a window's sum.
const LATENCY_MAX: Nanos = Nanos::from_secs(3_600);

/// See the module's documentation.
///
/// ```
/// use lb_admission::concurrency::{AdaptiveConcurrency, Limiter};
/// use lb_types::Nanos;
///
/// let limiter = Limiter::new(AdaptiveConcurrency::new(), Nanos::ZERO)?;
/// assert_eq!(limiter.limit(), 4);
/// for ms in 1..=1_600 {
///     let now = Nanos::from_millis(ms);
///     if let Some(limit) = limiter.record(Nanos::from_millis(7), 4, false, now) {
///         println!("at {now:?} the limit became {limit}");
///     }
/// }
/// assert!(limiter.limit() > 4, "four at once are no slower: it may be more");
/// # Ok::<(), lb_types::SettingsError>(())
/// ```
#[derive(Debug)]
#[repr(align(64))] // what each report writes stands on one line
pub struct Limiter {
    counts: AtomicU64,
    latencies_ns: AtomicU64,
    in_flight: AtomicU32,
    limit: AtomicU32,
    /// When the window ends.
    until: AtomicU64,
    min_samples: u64,
    window: Nanos,
    rule: Mutex<Gradient>,
}

impl Limiter {
    /// At the initial limit, with a window that begins at `now`.
    ///
    /// # Errors
    /// The settings are out of bounds.
    pub fn new(settings: AdaptiveConcurrency, now: Nanos) -> Result<Self, SettingsError> {
        let rule = Gradient::new(settings)?;
        let window = Nanos::from(settings.window);
        Ok(Self {
            counts: AtomicU64::new(0),
            latencies_ns: AtomicU64::new(0),
            in_flight: AtomicU32::new(0),
            limit: AtomicU32::new(rule.limit()),
            until: AtomicU64::new((now + window).0),
            min_samples: settings.min_samples.into(),
            window,
            rule: Mutex::new(rule),
        })
    }

    /// How many requests may be in flight.
    #[inline]
    pub fn limit(&self) -> u32 {
        self.limit.load(Ordering::Relaxed)
    }

    /// The backend's latency without a queue, as far as it is known.
    pub fn baseline(&self) -> Option<Duration> {
        let rule = self.rule.lock().unwrap_or_else(PoisonError::into_inner);
        rule.baseline().and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
    }

    /// A request ended at `now`, after `latency`; `in_flight` were there with it, itself included. `dropped`: it timed out,
    /// or the backend refused it; what it failed of otherwise says nothing of the load. The new limit, if a window ended and
    /// changed it.
    #[inline]
    pub fn record(&self, latency: Nanos, in_flight: u32, dropped: bool, now: Nanos) -> Option<u32> {
        let counts = if dropped {
            self.counts.fetch_add(DROPPED, Ordering::Relaxed) + DROPPED
        } else {
            self.latencies_ns.fetch_add(latency.min(LATENCY_MAX).0, Ordering::Relaxed);
            self.counts.fetch_add(1, Ordering::Relaxed) + 1
        };
        if in_flight > self.in_flight.load(Ordering::Relaxed) {
            self.in_flight.fetch_max(in_flight, Ordering::Relaxed);
        }
        let ended = now.0 >= self.until.load(Ordering::Relaxed);
        let enough = (counts & ANSWERED_MASK) + (counts >> 32) >= self.min_samples;
        if ended && enough { self.close(now) } else { None }
    }

    #[cold]
    fn close(&self, now: Nanos) -> Option<u32> {
        let mut rule = self.rule.try_lock().ok()?;
        if now.0 < self.until.load(Ordering::Relaxed) {
            return None; // closed by another before this one had the lock
        }
        let counts = self.counts.swap(0, Ordering::Relaxed);
        let latencies = self.latencies_ns.swap(0, Ordering::Relaxed);
        let (answered, dropped) = (counts & ANSWERED_MASK, counts >> 32);
        let mean = latencies.checked_div(answered).unwrap_or(0);
        let in_flight = self.in_flight.swap(0, Ordering::Relaxed);
        let window = Window { answered, latency: Nanos(mean).as_secs_f64(), dropped, in_flight };
        let (before, limit) = (rule.limit(), rule.step(&window));
        self.limit.store(limit, Ordering::Relaxed);
        self.until.store((now + self.window.max(Nanos(mean))).0, Ordering::Relaxed);
        (limit != before).then_some(limit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    const MS: fn(u64) -> Nanos = Nanos::from_millis;

    fn limiter() -> Limiter {
        let settings = AdaptiveConcurrency::new().initial(20).min_samples(20);
        Limiter::new(settings, Nanos::ZERO).unwrap()
    }

    #[test]
    fn a_window_has_its_time_and_its_requests() {
        let l = limiter();
        let record = |n: usize, ms: u64| (0..n).find_map(|_| l.record(MS(5), 20, false, MS(ms)));
        assert_eq!(record(21, 500), None, "the first is not judged");
        assert_eq!(record(100, 999), None, "too early");
        assert_eq!(record(1, 1_000), Some(40));
        assert_eq!(record(19, 9_000), None, "too few");
        assert_eq!(record(1, 9_000), None, "twenty are not half of forty, and a window without change");
        assert_eq!((l.limit(), l.baseline()), (40, Some(Duration::from_millis(5))));
    }

    #[test]
    fn a_window_lasts_for_a_latency() {
        let l = limiter();
        let at = |ms: u64| (0..20).find_map(|_| l.record(MS(2_000), 20, false, MS(ms)));
        assert_eq!(at(3_000), None, "the first");
        assert_eq!(at(4_999), None);
        assert_eq!(at(5_000), Some(40));
    }

    #[test]
    fn drops_count_and_their_latency_does_not() {
        let l = limiter();
        (0..50).for_each(|_| _ = l.record(MS(60_000), 20, true, MS(10)));
        (0..49).for_each(|_| _ = l.record(MS(5), 20, false, MS(10)));
        assert_eq!(l.record(MS(5), 20, false, MS(500)), Some(10));
        (1..=2).for_each(|n| (0..20).for_each(|_| _ = l.record(MS(5), 1, false, MS(500 + n * 500))));
        assert_eq!(l.baseline(), Some(Duration::from_millis(5)));
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let l = limiter();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| _ = l.record(MS(5), 20, false, Nanos::ZERO)));
            }
        });
        assert_eq!(l.counts.load(Ordering::Relaxed), 40_000);
        assert_eq!(l.latencies_ns.load(Ordering::Relaxed), MS(5).0 * 40_000);
    }
}
