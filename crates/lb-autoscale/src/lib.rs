//! How many backends?
//!
//! From what is known of a pool to how many instances it should have, as a pure function of its history: no I/O, no runtime, no
//! clock of its own. Time comes in as [`Nanos`], so what was decided is replayed from what was written down. What carries a
//! decision out (starting a process, running a command, calling a webhook) is a [`Driver`], each behind a feature of its own.
//!
//! ```
//! use lb_autoscale::{Action, AutoScale, AutoScaler, Metrics, Nanos};
//!
//! let mut scaler = AutoScaler::new(AutoScale::new())?; // 2 to 10 instances, CPU between 30 % and 70 %
//! let decision = scaler.evaluate(Nanos::from_secs(10), &Metrics::with_cpu(3, 85.0));
//! assert_eq!(decision.action, Action::Up(1));
//! assert_eq!(decision.to_string(), "up 1 of 3: mean 85.0 is above 70");
//!
//! // Ten seconds later there are four; the next step may come after the cooldown.
//! let decision = scaler.evaluate(Nanos::from_secs(20), &Metrics::with_cpu(4, 80.0));
//! assert_eq!(decision.to_string(), "hold of 4: mean 82.5 is above 70; cooling down for another 290s");
//! # Ok::<(), lb_types::SettingsError>(())
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`decide`] | [`AutoScaler`]: thresholds, or a target by Little's law |
//! | [`settings`] | [`AutoScale`] and its bounds |
//! | [`decision`] | [`Decision`]: [`Action`], [`Reason`]s, [`Inputs`] |
//! | [`cooldown`] | how long after an action there is none |
//! | [`signals`] | [`Metrics`] of one instant, [`Traffic`] of the last seconds |
//! | [`template`] | [`InstanceTemplate`]: what a ready instance becomes |
//! | [`driver`] | [`Driver`], who carries it out; `process`, `exec`, `webhook` and `kubernetes` |
//!
//! The simulation that it is measured with is in `sim/`: `cargo run --release -p lb-autoscale --example scaling_sim`.

pub mod cooldown;
pub mod decide;
pub mod decision;
pub mod driver;
pub mod settings;
pub mod signals;
pub mod template;

pub use decide::AutoScaler;
pub use decision::{Action, Decision, Inputs, Reason};
pub use driver::{
    Driven, Driver, DriverError, DriverEvent, DriverFuture, EventSink, Happening, Order, Stage,
};
pub use lb_types::{Nanos, SettingsError};
pub use settings::{AutoScale, Metric, Mode, Quantile, Target};
pub use signals::metrics::{Instance, Metrics, Phase, Usage};
pub use signals::traffic::{Quantiles, Traffic, TrafficReading};
pub use template::InstanceTemplate;
