//! A limit that is counted in this process: the decisions are the `governor` crate's, the table is ours.
//!
//! governor asks a clock, but time is an argument here. So its clock stands still at zero, and what it is shown of a key is not the instant
//! at which its debt ends but the debt itself, as of `now`: in the GCRA only their difference counts. Its answer is the new debt, which
//! [`table`](super::table) puts back on the time line. How much is left and when to come again follow from the debt alone, by the same
//! arithmetic as for shared limits ([`RateQuota::answer`]).

use super::decision::Decision;
use super::key::{Hashed, KeyHasher, Part};
use super::settings::RateLimit;
use super::table::Table;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos as Gnanos;
use governor::state::StateStore;
use lb_types::store::{RateAnswer, RateQuota};
use lb_types::{Nanos, RequestInfo, SettingsError};
use std::cell::Cell;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::num::NonZeroU32;
use std::sync::Arc;

/// A limit counted in this process. Share it in an [`Arc`].
pub struct RateLimiter {
    settings: RateLimit,
    policy: Box<str>,
    quota: RateQuota,
    hasher: KeyHasher,
    governor: governor::RateLimiter<Step, Debts, Still, NoOpMiddleware<Gnanos>>,
    table: Arc<Table>,
}

/// What a limiter has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RateStats {
    /// Requests within the limit.
    pub allowed: u64,
    /// Requests over it, those of a dry run included.
    pub limited: u64,
    /// Keys in the table.
    pub keys: usize,
    /// Keys that were forgotten while they still had debt, because the table was full: they have their burst anew.
    pub evicted: u64,
    /// The bytes of the table.
    pub bytes: usize,
}

impl RateLimiter {
    /// `seed` is a number that clients do not know, another in each process: with it they could make their keys meet others'.
    ///
    /// # Errors
    /// A setting out of its bounds.
    pub fn new(settings: RateLimit, seed: u64) -> Result<Self, SettingsError> {
        let quota = settings.quota()?;
        let table = Arc::new(Table::new(settings.max_keys));
        Ok(Self {
            governor: governor::RateLimiter::new(of_governor(quota)?, Debts(Arc::clone(&table)), Still),
            hasher: KeyHasher::new(seed),
            policy: policy(&settings),
            settings,
            quota,
            table,
        })
    }

    /// Counts a request in, if it is within the limit. `route` is the name of the route that serves it.
    pub fn check(&self, request: &RequestInfo<'_>, route: &str, now: Nanos) -> Decision {
        self.decide(self.hash(self.part(request, route)), now)
    }

    /// The same for a key of the caller's own, whatever the settings say of keys.
    pub fn check_key(&self, key: &[u8], now: Nanos) -> Decision {
        self.decide(self.hash(Part::Bytes(key)), now)
    }

    /// What it has done so far.
    pub fn stats(&self) -> RateStats {
        let counts = self.table.counts();
        RateStats {
            allowed: counts.changed,
            limited: counts.left,
            keys: counts.keys,
            evicted: counts.evicted,
            bytes: self.table.bytes(),
        }
    }

    /// The value of `RateLimit-Policy` (draft-ietf-httpapi-ratelimit-headers): `"default";q=100;w=60`. The window is left out if it is no
    /// whole number of seconds.
    pub fn policy(&self) -> &str {
        &self.policy
    }

    /// Its name, for [`Decision::header`].
    pub fn name(&self) -> &str {
        &self.settings.name
    }

    /// The settings.
    pub fn settings(&self) -> &RateLimit {
        &self.settings
    }

    pub(super) fn quota(&self) -> RateQuota {
        self.quota
    }

    pub(super) fn part<'a>(&self, request: &RequestInfo<'a>, route: &'a str) -> Part<'a> {
        let prefixes = (self.settings.ipv4_prefix, self.settings.ipv6_prefix);
        self.settings.key.of(request, route, prefixes)
    }

    pub(super) fn hash(&self, part: Part<'_>) -> Hashed {
        self.hasher.hash(part)
    }

    pub(super) fn decide(&self, key: Hashed, now: Nanos) -> Decision {
        let step = Step { key, now, debt: Cell::default() };
        let allowed = self.governor.check_key(&step).is_ok();
        self.decision(&self.quota.answer(allowed, step.debt.get(), 1))
    }

    pub(super) fn decision(&self, answer: &RateAnswer) -> Decision {
        Decision::new(answer, self.settings.limit, self.settings.retry_after, self.settings.dry_run)
    }
}

impl fmt::Debug for RateLimiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiter")
            .field("settings", &self.settings)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

fn policy(settings: &RateLimit) -> Box<str> {
    let window = settings.window;
    let whole = window.subsec_nanos() == 0;
    let window = if whole { format!(";w={}", window.as_secs()) } else { String::new() };
    format!("\"{}\";q={}{window}", settings.name, settings.limit).into()
}

/// Its burst counts what comes at once, ours what comes beyond the one.
fn of_governor(quota: RateQuota) -> Result<governor::Quota, SettingsError> {
    let at_once = quota.burst().checked_add(1).and_then(NonZeroU32::new);
    let quota = governor::Quota::with_period(quota.interval()).zip(at_once);
    // Settings that were validated never come here.
    let (quota, at_once) =
        quota.ok_or_else(|| SettingsError::new("burst", u32::MAX, "must be less than that"))?;
    Ok(quota.allow_burst(at_once))
}

/// One question: whose debt, and when. The answer, the debt after the step, is left in it.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Step {
    key: Hashed,
    now: Nanos,
    debt: Cell<Nanos>,
}

/// governor wants its keys to be hashable; nobody hashes this one.
impl Hash for Step {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// The clock that stands still.
#[derive(Debug)]
struct Still;

impl Clock for Still {
    type Instant = Gnanos;

    fn now(&self) -> Gnanos {
        Gnanos::new(0)
    }
}

/// The table, as governor sees it.
#[derive(Debug)]
struct Debts(Arc<Table>);

impl StateStore for Debts {
    type Key = Step;

    fn measure_and_replace<T, F, E>(&self, step: &Step, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Gnanos>) -> Result<(T, Gnanos), E>,
    {
        self.0.step(step.key, step.now, |debt| match decide(Some(Gnanos::new(debt.0))) {
            Ok((outcome, debt)) => {
                step.debt.set(Nanos(debt.as_u64()));
                (Ok(outcome), Some(Nanos(debt.as_u64())))
            }
            Err(refusal) => {
                step.debt.set(debt);
                (Err(refusal), None)
            }
        })
    }
}
