//! What a breaker tells: its state, why it changed, and why it refused.

use lb_types::Nanos;
use std::fmt;
use std::sync::Arc;

/// *Closed*: traffic flows. *Open*: refused. *Half-open*: a bounded number of probes is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum State {
    /// Traffic flows, failures are counted.
    Closed,
    /// Calls are refused.
    Open,
    /// Probes decide.
    HalfOpen,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
        })
    }
}

/// Why a breaker changed its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "kebab-case"))]
#[non_exhaustive]
pub enum Reason {
    /// `failure_threshold` failures within `monitoring_period`.
    FailureThreshold,
    /// The share of failures reached `failure_rate`.
    FailureRate,
    /// The share of slow calls reached `slow_call_rate`.
    SlowCallRate,
    /// `recovery_timeout` has passed.
    RecoveryTimeout,
    /// Half-opened before its time ([`Breaker::early_half_open`](crate::Breaker::early_half_open)).
    Early,
    /// `success_threshold` probes succeeded.
    ProbesSucceeded,
    /// A probe failed.
    ProbeFailed,
    /// A probe took `slow_call_duration` or longer.
    ProbeSlow,
    /// `force_open` or `force_close`.
    Forced,
    /// `reset`.
    Reset,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::FailureThreshold => "failure-threshold",
            Self::FailureRate => "failure-rate",
            Self::SlowCallRate => "slow-call-rate",
            Self::RecoveryTimeout => "recovery-timeout",
            Self::Early => "early",
            Self::ProbesSucceeded => "probes-succeeded",
            Self::ProbeFailed => "probe-failed",
            Self::ProbeSlow => "probe-slow",
            Self::Forced => "forced",
            Self::Reset => "reset",
        })
    }
}

/// One change of a breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state now. Equal to `from` when only the force was put on or taken off.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// Which change this is: counts up by one for each, and comes round to 0 after 2 097 152. Observers on several
    /// threads can be called out of order; this is the order.
    pub generation: u32,
}

/// Is told of every transition, once, by the thread that made it, after it is done and under no lock.
///
/// Called in the midst of a request: hand the value on (a channel, a counter) and return. It may call the breaker.
/// Every `Fn(Transition)` is one.
pub trait OnTransition: Send + Sync {
    /// A breaker has changed.
    fn on_transition(&self, transition: Transition);
}

impl<F: Fn(Transition) + Send + Sync> OnTransition for F {
    fn on_transition(&self, transition: Transition) {
        self(transition);
    }
}

/// An observer that may be absent.
#[derive(Clone, Default)]
pub(crate) struct Observer(pub(crate) Option<Arc<dyn OnTransition>>);

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "Observer" } else { "no observer" })
    }
}

/// The call was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Open {
    /// How long until probes may begin; `None` where no time is known: forced open, or half-open with all probes under way.
    pub retry_after: Option<Nanos>,
    /// [`State::Open`], or [`State::HalfOpen`] with all probes under way.
    pub state: State,
    /// Held open by hand.
    pub forced: bool,
}

impl fmt::Display for Open {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.retry_after, self.state) {
            (Some(after), _) => write!(f, "circuit breaker is open for another {:?}", after.as_duration()),
            (None, State::HalfOpen) => {
                f.write_str("circuit breaker is half-open and all its probes are under way")
            }
            (None, _) => f.write_str("circuit breaker is held open"),
        }
    }
}

/// What a breaker looks like at one instant ([`Breaker::status`](crate::Breaker::status)).
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct Status {
    /// As [`Breaker::state`](crate::Breaker::state) gives it.
    pub state: State,
    /// Held in its state by hand.
    pub forced: bool,
    /// How long until probes may begin, while open and not forced.
    pub retry_after: Option<Nanos>,
    /// Failures within `monitoring_period`, while closed. Stops at `failure_threshold`.
    pub failures: u32,
    /// Percent of failed calls; `None` while not closed, without rate settings, or below `minimum_calls`.
    pub failure_percent: Option<f64>,
    /// Percent of slow calls; `None` as above.
    pub slow_percent: Option<f64>,
    /// Probes under way, while half-open.
    pub probes: u32,
    /// Successful probes so far, while half-open.
    pub successes: u32,
}
