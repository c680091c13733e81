//! A store that may be away: calls fail at once instead of piling up, and what happens is counted and told once.
//!
//! [`Resilient`] wraps any [`Store`] whose calls end in time (this crate's do). After the first error that means "away" every call fails
//! with that error without being asked, but for a probe now and then: it is the next call, or [`Resilient::probe`] from a timer. The
//! first probe that is answered ends the outage. See [`away`](crate::away) for the rules.
//!
//! Nobody is told of every error: [`StoreEvent`] comes once when an outage begins and once when it ends.

use crate::away::{Admission, AwaySettings, Change, Presence};
use lb_types::SettingsError;
use lb_types::store::{RateAnswer, RateQuota};
use lb_types::{Clock, Nanos, Store, StoreError, StoreFuture};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// An outage began or ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreEvent {
    /// `store-away`: calls fail at once from now on.
    Away {
        /// What the first call said that found it so.
        error: StoreError,
    },
    /// `store-back`: it answered again.
    Back {
        /// How long it was away.
        was_away: Nanos,
        /// How many calls failed without being asked.
        failed_fast: u64,
    },
}

/// Told of each [`StoreEvent`], in the task of the call that noticed it and with no lock held. It must not block.
pub type OnEvent = Arc<dyn Fn(&StoreEvent) + Send + Sync>;

/// What became of the calls so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct StoreStats {
    /// Answered.
    pub ok: u64,
    /// Failed, time-outs and calls that failed at once left out.
    pub errors: u64,
    /// Not answered in time.
    pub timeouts: u64,
    /// Failed at once, because the store was away.
    pub failed_fast: u64,
    /// How often the store went away.
    pub outages: u64,
    /// Since when it is away, by the clock that was given; `None` while it is here.
    pub away_since: Option<Nanos>,
}

/// A [`Store`] that fails at once while the one inside is away.
pub struct Resilient<S> {
    inner: S,
    settings: AwaySettings,
    clock: Arc<dyn Clock>,
    on_event: Option<OnEvent>,
    presence: Mutex<Presence>,
    random: AtomicU64,
    ok: AtomicU64,
    errors: AtomicU64,
    timeouts: AtomicU64,
    failed_fast: AtomicU64,
    outages: AtomicU64,
}

impl<S: Store> Resilient<S> {
    /// Wraps `inner`. `seed` (any number, another in each process) spreads the probes of several processes.
    ///
    /// # Errors
    /// A setting out of its bounds.
    pub fn new(
        inner: S,
        settings: AwaySettings,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Self, SettingsError> {
        settings.validate()?;
        Ok(Self {
            inner,
            settings,
            clock,
            on_event: None,
            presence: Mutex::default(),
            random: AtomicU64::new(seed),
            ok: AtomicU64::new(0),
            errors: AtomicU64::new(0),
            timeouts: AtomicU64::new(0),
            failed_fast: AtomicU64::new(0),
            outages: AtomicU64::new(0),
        })
    }

    /// Tells `on_event` when an outage begins and ends.
    #[must_use]
    pub fn on_event(mut self, on_event: OnEvent) -> Self {
        self.on_event = Some(on_event);
        self
    }

    /// The store inside.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    /// What became of the calls so far.
    pub fn stats(&self) -> StoreStats {
        StoreStats {
            ok: self.ok.load(Relaxed),
            errors: self.errors.load(Relaxed),
            timeouts: self.timeouts.load(Relaxed),
            failed_fast: self.failed_fast.load(Relaxed),
            outages: self.outages.load(Relaxed),
            away_since: self.presence().away_since(),
        }
    }

    /// Asks for a key that is not there: how the store fares, for a timer or a status page. Fails at once like any call.
    ///
    /// # Errors
    /// What the store, or the present outage, says.
    pub async fn probe(&self) -> Result<(), StoreError> {
        self.get("probe").await.map(drop)
    }

    fn presence(&self) -> MutexGuard<'_, Presence> {
        // Each critical section leaves it whole.
        self.presence.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: Change) {
        let event = match change {
            Change::None => return,
            Change::Left(error) => {
                self.outages.fetch_add(1, Relaxed);
                StoreEvent::Away { error }
            }
            Change::Back { was_away, failed_fast } => StoreEvent::Back { was_away, failed_fast },
        };
        if let Some(on_event) = &self.on_event {
            on_event(&event);
        }
    }

    fn call<'a, T: Send + 'a>(
        &'a self,
        ask: impl FnOnce() -> StoreFuture<'a, T> + Send + 'a,
    ) -> StoreFuture<'a, T> {
        Box::pin(async move {
            let began = self.clock.now();
            let admission = self.presence().admit(&self.settings, began);
            let was_probe = match admission {
                Admission::Call => false,
                Admission::Probe => true,
                Admission::Fail(error) => {
                    self.failed_fast.fetch_add(1, Relaxed);
                    return Err(error);
                }
            };
            let answer = ask().await;
            let now = self.clock.now();
            let change = match &answer {
                Err(error) if error.is_away() => {
                    let counter = match error {
                        StoreError::Timeout { .. } => &self.timeouts,
                        _ => &self.errors,
                    };
                    counter.fetch_add(1, Relaxed);
                    let random = self.next_random();
                    self.presence().failed(&self.settings, error.clone(), was_probe, began, now, random)
                }
                // It answered, if only to say that the call was wrong. Arguments out of bounds are not sent at all, and so no news.
                Err(
                    StoreError::EmptyKey
                    | StoreError::TooLarge { .. }
                    | StoreError::BadTtl { .. }
                    | StoreError::BadCost { .. },
                ) => {
                    self.errors.fetch_add(1, Relaxed);
                    Change::None
                }
                Err(_) => {
                    self.errors.fetch_add(1, Relaxed);
                    self.presence().answered(was_probe, began, now)
                }
                Ok(_) => {
                    self.ok.fetch_add(1, Relaxed);
                    // Most calls end here: no second lock when there is nothing to end.
                    if was_probe { self.presence().answered(true, began, now) } else { Change::None }
                }
            };
            self.tell(change);
            answer
        })
    }

    /// SplitMix64 (Steele, Lea, Flood 2014): more than enough to spread probes.
    fn next_random(&self) -> u64 {
        const GOLDEN: u64 = 0x9E37_79B9_7F4A_7C15;
        let mut z = self.random.fetch_add(GOLDEN, Relaxed).wrapping_add(GOLDEN);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl<S: Store> std::fmt::Debug for Resilient<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Resilient").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl<S: Store> Store for Resilient<S> {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        self.call(move || self.inner.get(key))
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, ()> {
        self.call(move || self.inner.set(key, value, ttl))
    }

    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, bool> {
        self.call(move || self.inner.set_if_absent(key, value, ttl))
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        self.call(move || self.inner.compare_and_set(key, expected, new, ttl))
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        self.call(move || self.inner.delete(key))
    }

    fn touch<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, bool> {
        self.call(move || self.inner.touch(key, ttl))
    }

    fn rate<'a>(&'a self, key: &'a str, quota: RateQuota, cost: u32) -> StoreFuture<'a, RateAnswer> {
        self.call(move || self.inner.rate(key, quota, cost))
    }
}

/// Logs each event with `tracing`: a warning when the store goes away, a note when it is back.
#[cfg(feature = "tracing")]
pub fn log_events(store: impl Into<String>) -> OnEvent {
    let store = store.into();
    Arc::new(move |event| match event {
        StoreEvent::Away { error } => {
            tracing::warn!(store, %error, "store-away: everything goes on with local state");
        }
        StoreEvent::Back { was_away, failed_fast } => {
            tracing::info!(store, was_away_s = was_away.as_secs_f64(), failed_fast, "store-back");
        }
    })
}
