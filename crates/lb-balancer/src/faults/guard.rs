//! What stands before one backend: its circuit breaker, and the count of its failures in a row.

use super::Faults;
use lb_breaker::{Breaker, BreakerSettings, Ticket, Transition, Verdict};
use lb_health::outlier::Streaks;
use lb_types::{BackendId, Guard, Nanos, Outcome, Pass, Stance};
use std::sync::{Arc, Weak};

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct BackendGuard {
    pub(crate) breaker: Option<Breaker>,
    pub(crate) streaks: Option<Streaks>,
    /// How many requests it bears.
    #[cfg(feature = "admission")]
    pub(crate) limiter: Option<lb_admission::concurrency::Limiter>,
    /// The last verdict of its active checks, if there was one, was against it.
    #[cfg(feature = "health")]
    pub(super) is_unhealthy: std::sync::atomic::AtomicBool,
    id: BackendId,
    /// Not an `Arc`: whoever keeps a lease for long keeps no balancer with it.
    faults: Weak<Faults>,
}

impl BackendGuard {
    pub(super) fn new(
        id: BackendId,
        breaker: Option<BreakerSettings>,
        streaks: Option<Streaks>,
        #[cfg(feature = "admission")] limiter: Option<lb_admission::concurrency::Limiter>,
        faults: &Arc<Faults>,
    ) -> Self {
        let weak = Arc::downgrade(faults);
        let (observed, whose) = (weak.clone(), id.clone());
        let tell = move |transition: Transition| {
            if let Some(faults) = observed.upgrade() {
                faults.changed(&whose, transition);
            }
        };
        // The settings were looked at when the balancer was built.
        let breaker = breaker.and_then(|settings| Breaker::with_observer(settings, tell).ok());
        Self {
            breaker,
            streaks,
            #[cfg(feature = "admission")]
            limiter,
            #[cfg(feature = "health")]
            is_unhealthy: false.into(),
            id,
            faults: weak,
        }
    }
}

fn verdict(outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Success { .. } => Verdict::Success,
        Outcome::Failure { .. } => Verdict::Failure,
        Outcome::Cancelled { .. } => Verdict::Cancelled,
    }
}

impl Guard for BackendGuard {
    #[inline]
    fn admit(&self, now: Nanos) -> Option<Pass> {
        match &self.breaker {
            None => Some(Pass(0)),
            Some(breaker) => Some(Pass(breaker.admit(now).ok()?.into_number())),
        }
    }

    fn stance(&self, now: Nanos) -> Stance {
        self.breaker.as_ref().map_or(Stance::Clear, |b| b.stance(now))
    }

    #[inline]
    fn settle(&self, pass: Pass, outcome: Outcome, in_flight: u32, now: Nanos) -> bool {
        if let Some(cause) = self.streaks.as_ref().and_then(|s| s.record(outcome))
            && let Some(faults) = self.faults.upgrade()
        {
            faults.suspect(&self.id, cause);
        }
        let ticket = Ticket::from_number(pass.0);
        let moved =
            self.breaker.as_ref().is_some_and(|b| b.settle(ticket, verdict(outcome), outcome.elapsed(), now));
        #[cfg(feature = "admission")]
        if let Some(limiter) = &self.limiter
            && bears(limiter, outcome, in_flight, now)
        {
            return true;
        }
        let _ = in_flight;
        moved
    }

    #[cfg(feature = "admission")]
    fn limit(&self) -> Option<u32> {
        self.limiter.as_ref().map(lb_admission::concurrency::Limiter::limit)
    }
}

/// Tells the limiter how a request fared; whether the limit has changed. Who left early says nothing of the backend, nor does an error
/// that it answered in its own time.
#[cfg(feature = "admission")]
fn bears(limiter: &lb_admission::concurrency::Limiter, outcome: Outcome, in_flight: u32, now: Nanos) -> bool {
    use lb_types::FailureKind;
    let dropped = match outcome {
        Outcome::Success { .. } => false,
        Outcome::Failure { kind: FailureKind::Connect | FailureKind::Timeout, .. } => true,
        Outcome::Failure { kind: FailureKind::Status(429 | 503 | 504), .. } => true,
        Outcome::Failure { .. } | Outcome::Cancelled { .. } => return false,
    };
    limiter.record(outcome.elapsed(), in_flight, dropped, now).is_some()
}
