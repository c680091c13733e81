//! Passive detection: eject for a while the backends that fail the requests they get.
//!
//! The semantics are Envoy's outlier detection (arch overview, "Outlier detection") and gRFC A50's, and beyond them a
//! [statistic](statistics) that works for 2–4 backends and raises no alarm by chance. Pure: no clock, no randomness, no runtime.
//!
//! ```text
//!  request path, every outcome            off it, under a lock                          the engine
//!  ┌─────────────────────────┐  Cause   ┌────────────────────────────────┐  Change   ┌──────────────┐
//!  │ Streaks  (one a backend)│ ───────► │ Detector (one a pool)          │ ────────► │ ejected flag │
//!  └─────────────────────────┘          │   consider · sweep · rescue    │           │ of a backend │
//!          counters       ── Tally ───► │   check_passed · remove        │           └──────────────┘
//!                                       └────────────────────────────────┘
//! ```
//!
//! ```
//! use lb_health::outlier::{Census, Change, Detector, OutlierDetection, Streaks, Tally, Why};
//! use lb_types::{BackendId, FailureKind, Nanos, Outcome};
//!
//! let settings = OutlierDetection::new().jitter_percent(0);
//! let mut detector = Detector::new(settings.clone(), Nanos::ZERO)?;
//! let (a, streaks) = (BackendId::from("a"), Streaks::new(&settings));
//!
//! // Five failures in a row, on the request path …
//! let failure = Outcome::Failure { kind: FailureKind::Status(500), after: Nanos::from_millis(3) };
//! let cause = (0..5).find_map(|_| streaks.record(failure)).expect("five failures are enough");
//! assert_eq!(cause.to_string(), "5 failures in a row");
//!
//! // … eject it for 30 s, as two others are usable.
//! let now = Nanos::from_secs(1);
//! let ejection = detector.consider(&a, cause, now, 0, Census { total: 3, usable: 3 }).expect("it may be");
//! streaks.clear();
//! assert_eq!(ejection.until, Nanos::from_secs(31));
//!
//! // Whoever owns the timer asks when to look again.
//! let mut random = || 0;
//! assert_eq!(detector.next(now), Nanos::from_secs(10), "the end of the interval");
//! let tally = Tally { id: a.clone(), succeeded: 90, failed: 5, usable: false };
//! let changes = detector.sweep(Nanos::from_secs(31), &mut random, &[tally]);
//! assert_eq!(changes, [Change::Returned { id: a, why: Why::Expired }]);
//! # Ok::<(), lb_health::outlier::SettingsError>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`settings`] | [`OutlierDetection`], its bounds and [`SettingsError`] |
//! | [`streak`] | [`Streaks`]: failures in a row, lock-free |
//! | [`detector`] | [`Detector`]: who is ejected until when |
//! | [`statistics`] | the formulas, and why they are these |
//! | [`cause`], [`change`] | what is told: [`Cause`], [`Change`], [`Ejection`], [`OutlierStatus`] |
//!
//! Lacks: Envoy's `enforcing_…` percentages (an ejection that is only logged), its split of local and external errors, and
//! latency as a sign.

pub mod cause;
pub mod change;
pub mod detector;
mod judge;
pub mod settings;
pub mod statistics;
pub mod streak;

pub use cause::Cause;
pub use change::{Change, Ejection, OutlierStatus, Why};
pub use detector::{Census, Detector, Tally};
pub use settings::{
    COUNT_MAX, Comparison, FailurePercentage, HOSTS_MAX, INTERVALS_MAX, OutlierDetection, SettingsError,
    SuccessRate, VOLUME_MAX,
};
pub use streak::Streaks;
