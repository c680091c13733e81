//! A limit that several nodes keep together, counted in a [`Store`].
//!
//! Each check is one call of [`Store::rate`], atomic and by the store's clock. Two things are kept here:
//!
//! - **Refusals**, [`REFUSALS_MAX`] at most: a key that the store has refused is refused here until the time it named has passed, without
//!   asking. So a flood costs the store one call per admission. The time is reckoned from before the call, so it ends no later than the
//!   store's; a store that was emptied meanwhile is not noticed before that.
//! - **A limiter of this process**, for when the store fails and the settings say [`OnStoreFailure::Local`]. It has counted nothing
//!   before, so each outage starts with a whole burst, on each node.
//!
//! The store must end its calls in time by itself and fail at once while it is away (lb-store's `Resilient` does).

use super::decision::Decision;
use super::key::{Hashed, Part};
use super::limiter::RateLimiter;
use super::settings::{OnStoreFailure, RateLimit};
use super::table::Table;
use lb_types::{Nanos, RequestInfo, SettingsError, Store};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How many refused keys are remembered at most.
pub const REFUSALS_MAX: usize = 65_536;
/// When to come again if everything is refused because the store is away.
const RETRY_CLOSED: Duration = Duration::from_secs(1);

/// A limit counted in a store. Share it in an [`Arc`].
pub struct SharedLimiter {
    local: RateLimiter,
    store: Arc<dyn Store>,
    refusals: Table,
    prefix: Box<str>,
    allowed: AtomicU64,
    limited: AtomicU64,
    remembered: AtomicU64,
    store_failures: AtomicU64,
}

/// What a shared limiter has done on this node so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct SharedStats {
    /// Requests within the limit, or admitted because the store failed.
    pub allowed: u64,
    /// Requests over it, or refused because the store failed; those of a dry run included.
    pub limited: u64,
    /// Those of the limited that were refused from memory.
    pub remembered: u64,
    /// Calls of the store that failed.
    pub store_failures: u64,
}

impl SharedLimiter {
    /// `seed` as for [`RateLimiter::new`]; nodes need not have the same.
    ///
    /// # Errors
    /// A setting out of its bounds.
    pub fn new(settings: RateLimit, store: Arc<dyn Store>, seed: u64) -> Result<Self, SettingsError> {
        let prefix = format!("rate:{}:", settings.name).into();
        let refusals = Table::new(settings.max_keys.clamp(1, REFUSALS_MAX));
        Ok(Self {
            local: RateLimiter::new(settings, seed)?,
            store,
            refusals,
            prefix,
            allowed: AtomicU64::new(0),
            limited: AtomicU64::new(0),
            remembered: AtomicU64::new(0),
            store_failures: AtomicU64::new(0),
        })
    }

    /// Counts a request in, if it is within the limit. `route` is the name of the route that serves it.
    ///
    /// The request is looked at before this returns; the future holds nothing of it.
    pub fn check<'a>(
        &'a self,
        request: &RequestInfo<'_>,
        route: &str,
        now: Nanos,
    ) -> impl Future<Output = Decision> + Send + use<'a> {
        self.decide(self.question(self.local.part(request, route), now), now)
    }

    /// The same for a key of the caller's own, whatever the settings say of keys.
    pub fn check_key<'a>(
        &'a self,
        key: &[u8],
        now: Nanos,
    ) -> impl Future<Output = Decision> + Send + use<'a> {
        self.decide(self.question(Part::Bytes(key), now), now)
    }

    /// The value of `RateLimit-Policy`; see [`RateLimiter::policy`].
    pub fn policy(&self) -> &str {
        self.local.policy()
    }

    /// Its name, for [`Decision::header`].
    pub fn name(&self) -> &str {
        self.local.name()
    }

    /// The settings.
    pub fn settings(&self) -> &RateLimit {
        self.local.settings()
    }

    /// What it has done on this node so far.
    pub fn stats(&self) -> SharedStats {
        SharedStats {
            allowed: self.allowed.load(Relaxed),
            limited: self.limited.load(Relaxed),
            remembered: self.remembered.load(Relaxed),
            store_failures: self.store_failures.load(Relaxed),
        }
    }

    fn question(&self, part: Part<'_>, now: Nanos) -> Question {
        let key = self.local.hash(part);
        let left = self.refusals.step(key, now, |left| (left, None));
        if left > Nanos::ZERO {
            return Question::Refused { left };
        }
        let mut name = String::with_capacity(self.prefix.len() + 40); // the longest address has 39 bytes
        name.push_str(&self.prefix);
        part.write_name(&mut name);
        Question::Ask { key, name }
    }

    async fn decide(&self, question: Question, now: Nanos) -> Decision {
        let quota = self.local.quota();
        let decision = match question {
            Question::Refused { left } => {
                self.remembered.fetch_add(1, Relaxed);
                // Refused means: one more would have been so much above the most.
                let debt = quota.capacity() + left - quota.debt_of(1);
                self.local.decision(&quota.answer(false, debt, 1))
            }
            Question::Ask { key, name } => match self.store.rate(&name, quota, 1).await {
                Ok(answer) => {
                    if !answer.allowed {
                        self.refusals.step(key, now, |_| ((), Some(answer.retry_after.into())));
                    }
                    self.local.decision(&answer)
                }
                Err(_) => {
                    self.store_failures.fetch_add(1, Relaxed);
                    self.without_store(key, now)
                }
            },
        };
        let counter = if decision.limited { &self.limited } else { &self.allowed };
        counter.fetch_add(1, Relaxed);
        decision
    }

    fn without_store(&self, key: Hashed, now: Nanos) -> Decision {
        let settings = self.local.settings();
        let admit = match settings.on_store_failure {
            OnStoreFailure::Local => return self.local.decide(key, now),
            OnStoreFailure::Open => true,
            OnStoreFailure::Closed => false,
        };
        let retry_after = settings.retry_after.unwrap_or(RETRY_CLOSED);
        Decision::uncounted(admit, settings.limit, retry_after, settings.dry_run)
    }
}

/// A request, reduced to what is asked of the store.
enum Question {
    /// It was refused a moment ago, and would be for so long.
    Refused {
        left: Nanos,
    },
    Ask {
        key: Hashed,
        name: String,
    },
}

impl fmt::Debug for SharedLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SharedLimiter")
            .field("settings", self.settings())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
