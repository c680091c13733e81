//! Stop hammering it.
//!
//! A circuit breaker that stands alone: no I/O, no runtime, no clock of its own. Time comes in as [`Nanos`], so the same
//! code runs in a server, in a simulation and in a test that takes no time.
//!
//! ```
//! use lb_breaker::{Breaker, BreakerSettings, State};
//! use lb_types::{Clock, ManualClock, Nanos};
//! use std::time::Duration;
//!
//! let settings = BreakerSettings::new().failure_threshold(2).success_threshold(1);
//! let breaker = Breaker::with_observer(settings, |t: lb_breaker::Transition| {
//!     println!("{} -> {}: {}", t.from, t.to, t.reason);
//! })?;
//! let clock = ManualClock::default();
//!
//! // Two failures within ten seconds open it.
//! for _ in 0..2 {
//!     breaker.try_acquire(clock.now())?.failure(clock.now());
//! }
//! assert!(breaker.try_acquire(clock.now()).is_err());
//!
//! // After a minute a probe is let through; it succeeds, and traffic flows again.
//! clock.advance(Duration::from_secs(60));
//! let probe = breaker.try_acquire(clock.now())?;
//! assert_eq!(breaker.state(clock.now()), State::HalfOpen);
//! probe.success(clock.now(), Nanos::from_millis(3));
//! assert_eq!(breaker.state(clock.now()), State::Closed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`breaker`] | [`Breaker`]: the state machine |
//! | [`settings`] | [`BreakerSettings`], their bounds and [`SettingsError`] |
//! | [`state`] | [`State`], [`Transition`] and its [`Reason`], [`Open`] (a refusal), [`Status`] |
//! | [`permit`] | [`Permit`] and [`OwnedPermit`], [`Verdict`]; the bare [`Ticket`] |
//! | [`window`] | calls, failures and slow calls over a time or over the last N |
//! | [`call()`] | guard a future in one line |
//! | [`fallback`] | what to answer meanwhile |
//! | [`backoff`] | [`Backoff`]: how long to wait before a retry |
//! | [`budget`] | [`RetryBudget`]: whether there may be a retry at all |
//! | `tower` | a layer and a service (feature `tower`) |
//!
//! Modelled with loom in `tests/loom.rs`.

pub mod backoff;
pub mod breaker;
pub mod budget;
pub mod call;
pub mod fallback;
pub mod permit;
mod rates;
mod recent;
pub mod settings;
pub mod state;
mod sync;
#[cfg(feature = "tower")]
pub mod tower;
pub mod window;
mod word;

pub use backoff::{Backoff, BackoffKind};
pub use breaker::Breaker;
pub use budget::{BudgetSettings, Retry, RetryBudget};
pub use call::{CallError, Classify, ErrorsFail, call, call_classified};
pub use fallback::fallback_response;
pub use lb_types::{FixedResponse, Nanos};
pub use permit::{OwnedPermit, Permit, Ticket, Verdict};
pub use settings::{BreakerSettings, RateWindow, SettingsError};
pub use state::{OnTransition, Open, Reason, State, Status, Transition};
