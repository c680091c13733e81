//! Which version gets this request?
//!
//! Blue and green, canaries, gradual shifts, and rollouts that guard themselves; without I/O, a runtime or a clock of its own. A split is
//! asked before a backend is chosen, and knows none: its targets are names and indexes, of pools or of whatever else stands behind it.
//!
//! ```
//! use lb_split::{Percent, Split};
//! use lb_types::Nanos;
//! use std::time::Duration;
//!
//! let percent = |p: f64| Percent::try_from(p);
//! let now = Nanos::ZERO;
//! let split = Split::new("checkout", &[("blue", percent(90.0)?), ("green", percent(10.0)?)], true)?;
//!
//! // Requests without a client: exact, not by chance.
//! let green: usize = (0..1_000).map(|_| split.choose(None, now)).sum();
//! assert_eq!(green, 100);
//!
//! // A client has a point (`lb_session::cohort`); while green grows, nobody moves back.
//! assert_eq!(split.choose(Some(999), now), 1);
//! let event = split.shift(&[percent(50.0)?, percent(50.0)?], Duration::from_secs(600), "ann", now)?;
//! assert_eq!(event.by, "ann");
//! let half_way = Nanos::from_secs(300);
//! assert_eq!(split.percents(half_way)[1], percent(30.0)?);
//! assert_eq!((split.choose(Some(999), half_way), split.choose(Some(2_999), half_way)), (1, 1));
//!
//! split.abort("ann", half_way)?;
//! split.switch_to("green", "ann", half_way)?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`split`] | [`Split`]: targets, percentages, what changes them; its status |
//! | [`percent`] | [`Percent`], in hundredths |
//! | `spread` | requests without a point: exact error diffusion in one atomic word |
//! | `cohorts` | whose point belongs to which target, and who moves when |
//! | `plan` | the one value that a reader sees |
//! | [`event`] | [`Event`], [`Change`]: what was changed, by whom |
//! | [`error`] | [`ChangeError`], [`RolloutError`]: why a change was refused |
//! | [`rollout`] | [`Rollout`]: steps, guards, decisions |
//! | [`settings`] | [`RolloutSettings`] and their bounds |
//! | `evidence` | the sequential test of a guard: an e-process that may be looked at any time |
//!
//! Deliberately not here: who a client is (`lb-session`), counters of what the sides did, weights of backends (a split never scales them), agreement between nodes:
//! each node splits its own requests exactly.

mod cohorts;
pub mod error;
pub mod event;
mod evidence;
pub mod percent;
mod plan;
pub mod rollout;
pub mod settings;
pub mod split;
mod spread;

pub use error::{ChangeError, RolloutError};
pub use event::{BY_BYTES_MAX, Change, EVENTS_MAX, Event};
pub use lb_types::{Nanos, SettingsError};
pub use percent::{POINTS, Percent};
pub use rollout::{GuardStatus, Reason, Rollout, RolloutDecision, RolloutStatus, Window};
pub use settings::{LatencyGuard, RolloutSettings, Step};
pub use split::{ShiftStatus, Split, SplitStatus};
pub use spread::TARGETS_MAX;
