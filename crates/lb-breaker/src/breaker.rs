//! The breaker: a state machine in one atomic word.
//!
//! ```text
//!              failure_threshold within monitoring_period,
//!              or a rate reached
//!   ┌────────┐ ───────────────────────────────────────────► ┌────────┐
//!   │ closed │                                              │  open  │ ◄─────┐
//!   └────────┘                                              └────────┘       │
//!        ▲                                                       │           │ a probe fails
//!        │             recovery_timeout has passed and a call    ▼           │
//!        │             comes, or early_half_open()          ┌───────────┐    │
//!        └───────────────────────────────────────────────── │ half-open │ ───┘
//!              success_threshold probes succeed             └───────────┘
//! ```
//!
//! While closed, admitting is one relaxed load, and with the default settings a success writes nothing. Each transition
//! is one compare-and-set, so that exactly one thread makes it; that thread tells the observer. A verdict counts only in
//! the state in which its call began (`word.rs` says how they are told apart).
//!
//! Lacks: a limit on how long a probe may take. A probe that never ends holds its permit, so give calls a time-out.
//! Time is kept in whole ms: the breaker half-opens up to 1 ms late.

use crate::permit::{OwnedPermit, Permit, Ticket, Verdict};
use crate::rates::Rates;
use crate::recent::Recent;
use crate::settings::{BreakerSettings, SettingsError};
use crate::state::{Observer, OnTransition, Open, Reason, State, Status, Transition};
use crate::sync::{AtomicU64, Ordering};
use crate::word::{Era, Kind, Word};
use lb_types::{Nanos, Stance};
use std::sync::Arc;

const NS_PER_MS: u64 = 1_000_000;

/// A circuit breaker. Shared by reference or in an [`Arc`]. See the module's documentation.
///
/// ```
/// use lb_breaker::{Breaker, BreakerSettings, State};
/// use lb_types::Nanos;
///
/// let breaker = Breaker::new(BreakerSettings::new().failure_threshold(1))?;
/// breaker.try_acquire(Nanos::ZERO)?.failure(Nanos::ZERO);
/// let refused = breaker.try_acquire(Nanos::from_secs(1)).unwrap_err();
/// assert_eq!(refused.retry_after, Some(Nanos::from_secs(59)));
/// assert_eq!(breaker.state(Nanos::from_secs(60)), State::HalfOpen);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Breaker {
    word: AtomicU64,
    recent: Recent,
    rates: Option<Rates>,
    recovery: Nanos,
    success_threshold: u32,
    probes_max: u32,
    /// `None`: no call is slow.
    slow_call_duration: Option<Nanos>,
    observer: Observer,
}

impl Breaker {
    /// A closed breaker.
    ///
    /// # Errors
    /// The settings are out of bounds.
    pub fn new(settings: BreakerSettings) -> Result<Self, SettingsError> {
        Self::build(&settings, Observer::default())
    }

    /// A closed breaker that tells `observer` of each transition.
    ///
    /// # Errors
    /// The settings are out of bounds.
    pub fn with_observer(
        settings: BreakerSettings,
        observer: impl OnTransition + 'static,
    ) -> Result<Self, SettingsError> {
        Self::build(&settings, Observer(Some(Arc::new(observer))))
    }

    fn build(settings: &BreakerSettings, observer: Observer) -> Result<Self, SettingsError> {
        settings.validate()?;
        Ok(Self {
            word: AtomicU64::new(0),
            recent: Recent::new(settings.failure_threshold, settings.monitoring_period.into()),
            rates: Rates::new(settings),
            recovery: settings.recovery_timeout.into(),
            success_threshold: settings.success_threshold,
            probes_max: settings.probes_max(),
            slow_call_duration: settings.slow_call_duration.map(Nanos::from),
            observer,
        })
    }

    /// Admits a call. Say how it went on the permit; dropping it counts nothing.
    ///
    /// # Errors
    /// Open, or half-open with all probes under way.
    #[inline]
    pub fn try_acquire(&self, now: Nanos) -> Result<Permit<'_>, Open> {
        Ok(Permit::new(self, self.admit(now)?))
    }

    /// As [`Breaker::try_acquire`], for a permit that travels.
    ///
    /// # Errors
    /// As [`Breaker::try_acquire`].
    pub fn try_acquire_owned(self: &Arc<Self>, now: Nanos) -> Result<OwnedPermit, Open> {
        Ok(OwnedPermit::new(Arc::clone(self), self.admit(now)?))
    }

    /// Admits a call whose accounting the caller already has: every ticket must come back to [`Breaker::settle`], or a
    /// probe is under way for ever. [`Breaker::try_acquire`] sees to that by itself.
    ///
    /// # Errors
    /// As [`Breaker::try_acquire`].
    #[inline]
    pub fn admit(&self, now: Nanos) -> Result<Ticket, Open> {
        let word = Word(self.word.load(Ordering::Relaxed));
        if word.admits_all() { Ok(Ticket(word.era())) } else { self.admit_probe(now) }
    }

    #[cold]
    fn admit_probe(&self, now: Nanos) -> Result<Ticket, Open> {
        loop {
            let word = self.load();
            let next = match word.era().kind() {
                Kind::Closed | Kind::ForcedClosed => return Ok(Ticket(word.era())),
                Kind::ForcedOpen => return Err(refusal(State::Open, true, None)),
                Kind::Open => {
                    let wait = wait(word, now);
                    if wait > Nanos::ZERO {
                        return Err(refusal(State::Open, false, Some(wait)));
                    }
                    word.next(Kind::HalfOpen).with_probe()
                }
                Kind::HalfOpen if word.probes() >= self.probes_max => {
                    return Err(refusal(State::HalfOpen, false, None));
                }
                Kind::HalfOpen => word.with_probe(),
            };
            if self.replace(word, next, Reason::RecoveryTimeout) {
                return Ok(Ticket(next.era()));
            }
        }
    }

    /// Says how an admitted call went: `elapsed` is how long it took, `now` when it ended. A call that began in another
    /// state than the present one counts nothing. `true`: who is admitted may have changed with it.
    #[inline]
    #[allow(clippy::needless_pass_by_value)] // so that no ticket is settled twice
    pub fn settle(&self, ticket: Ticket, verdict: Verdict, elapsed: Nanos, now: Nanos) -> bool {
        let Ticket(era) = ticket;
        match (era.kind(), verdict) {
            (Kind::Closed, Verdict::Cancelled) => false,
            (Kind::Closed, Verdict::Success) if self.rates.is_none() => false,
            (Kind::Closed, _) => self.settle_closed(era, verdict == Verdict::Failure, elapsed, now),
            (Kind::HalfOpen, _) => self.settle_probe(era, verdict, elapsed, now),
            // Forced: what calls do changes nothing. (An open breaker hands out no tickets.)
            (Kind::ForcedClosed | Kind::Open | Kind::ForcedOpen, _) => false,
        }
    }

    fn settle_closed(&self, era: Era, failed: bool, elapsed: Nanos, now: Nanos) -> bool {
        let word = self.load();
        if word.era() != era {
            return false;
        }
        let generation = era.generation();
        let slow = self.is_slow(elapsed);
        let rate = self.rates.as_ref().and_then(|rates| rates.record(now, generation, failed, slow));
        let reached = (failed && self.recent.record(now, generation)).then_some(Reason::FailureThreshold);
        // Replacing fails only when another thread has ended this era: then there is nothing left to open.
        reached.or(rate).is_some_and(|reason| self.replace(word, self.opened(word, now), reason))
    }

    fn settle_probe(&self, era: Era, verdict: Verdict, elapsed: Nanos, now: Nanos) -> bool {
        let (verdict, failure) = match verdict {
            Verdict::Success if self.is_slow(elapsed) => (Verdict::Failure, Reason::ProbeSlow),
            other => (other, Reason::ProbeFailed),
        };
        loop {
            let word = self.load();
            if word.era() != era {
                return false;
            }
            let (next, reason) = match verdict {
                Verdict::Cancelled => (word.without_probe(false), failure),
                Verdict::Failure => (self.opened(word, now), failure),
                Verdict::Success if word.successes() + 1 >= self.success_threshold => {
                    (word.next(Kind::Closed), Reason::ProbesSucceeded)
                }
                Verdict::Success => (word.without_probe(true), Reason::ProbesSucceeded),
            };
            if self.replace(word, next, reason) {
                return true;
            }
        }
    }

    /// Lets probes through at once, before `recovery_timeout` has passed: for example because a health check passed.
    /// `true`: it was open (and not forced), and is half-open now.
    pub fn early_half_open(&self) -> bool {
        loop {
            let word = self.load();
            if word.era().kind() != Kind::Open {
                return false;
            }
            if self.replace(word, word.next(Kind::HalfOpen), Reason::Early) {
                return true;
            }
        }
    }

    /// Opens it and holds it open, until [`Breaker::reset`] or [`Breaker::force_close`].
    pub fn force_open(&self) {
        self.force(Kind::ForcedOpen, Reason::Forced);
    }

    /// Closes it and holds it closed whatever fails, until [`Breaker::reset`] or [`Breaker::force_open`].
    pub fn force_close(&self) {
        self.force(Kind::ForcedClosed, Reason::Forced);
    }

    /// Closes it, forgets every failure and lets go of a force: as new. Calls under way no longer count.
    pub fn reset(&self) {
        self.force(Kind::Closed, Reason::Reset);
    }

    fn force(&self, kind: Kind, reason: Reason) {
        loop {
            let word = self.load();
            if self.replace(word, word.next(kind), reason) {
                return;
            }
        }
    }

    /// The state at `now`. An open breaker whose time has passed is half-open: the next call will be let through.
    pub fn state(&self, now: Nanos) -> State {
        state_at(self.load(), now)
    }

    /// What [`Breaker::admit`] would say at `now`: for those who have the breaker stand [guard](lb_types::Guard) before something.
    pub fn stance(&self, now: Nanos) -> Stance {
        let word = self.load();
        match word.era().kind() {
            Kind::Closed | Kind::ForcedClosed => Stance::Clear,
            Kind::ForcedOpen => Stance::Refusing { until: None },
            Kind::Open if wait(word, now) == Nanos::ZERO => Stance::Probing { free: true },
            Kind::Open => Stance::Refusing { until: Some(Nanos::from_millis(word.until_ms())) },
            Kind::HalfOpen => Stance::Probing { free: word.probes() < self.probes_max },
        }
    }

    /// Whether [`Breaker::force_open`] or [`Breaker::force_close`] holds.
    pub fn is_forced(&self) -> bool {
        matches!(self.load().era().kind(), Kind::ForcedOpen | Kind::ForcedClosed)
    }

    /// Everything to be seen, for reports.
    pub fn status(&self, now: Nanos) -> Status {
        let word = self.load();
        let (kind, generation) = (word.era().kind(), word.era().generation());
        let closed = kind == Kind::Closed;
        let rates =
            self.rates.as_ref().filter(|_| closed).map(|rates| (rates, rates.totals(now, generation)));
        let half = kind == Kind::HalfOpen;
        Status {
            state: state_at(word, now),
            forced: matches!(kind, Kind::ForcedOpen | Kind::ForcedClosed),
            retry_after: (kind == Kind::Open).then(|| wait(word, now)),
            failures: if closed { self.recent.count(now, generation) } else { 0 },
            failure_percent: rates.and_then(|(rates, totals)| rates.failure_percent(&totals)),
            slow_percent: rates.and_then(|(rates, totals)| rates.slow_percent(&totals)),
            probes: if half { word.probes() } else { 0 },
            successes: if half { word.successes() } else { 0 },
        }
    }

    fn load(&self) -> Word {
        Word(self.word.load(Ordering::SeqCst))
    }

    /// The compare-and-set of every change; a change of era is told to the observer.
    fn replace(&self, from: Word, to: Word, reason: Reason) -> bool {
        if self.word.compare_exchange(from.0, to.0, Ordering::SeqCst, Ordering::SeqCst).is_err() {
            return false;
        }
        if let Some(observer) = self.observer.0.as_ref().filter(|_| from.era() != to.era()) {
            observer.on_transition(Transition {
                from: state_of(from),
                to: state_of(to),
                reason,
                generation: to.era().generation(),
            });
        }
        true
    }

    fn opened(&self, word: Word, now: Nanos) -> Word {
        word.next_open((now + self.recovery).0.div_ceil(NS_PER_MS))
    }

    fn is_slow(&self, elapsed: Nanos) -> bool {
        self.slow_call_duration.is_some_and(|limit| elapsed >= limit)
    }
}

/// How long an open breaker refuses from `now` on.
fn wait(word: Word, now: Nanos) -> Nanos {
    Nanos::from_millis(word.until_ms()) - now
}

fn state_of(word: Word) -> State {
    match word.era().kind() {
        Kind::Closed | Kind::ForcedClosed => State::Closed,
        Kind::Open | Kind::ForcedOpen => State::Open,
        Kind::HalfOpen => State::HalfOpen,
    }
}

fn state_at(word: Word, now: Nanos) -> State {
    if word.era().kind() == Kind::Open && wait(word, now) == Nanos::ZERO {
        return State::HalfOpen;
    }
    state_of(word)
}

fn refusal(state: State, forced: bool, retry_after: Option<Nanos>) -> Open {
    Open { retry_after, state, forced }
}
