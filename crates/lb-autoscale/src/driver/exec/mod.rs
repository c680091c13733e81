//! A command of the user's is run for each order: `ExecDriver`. Linux only; its settings are there everywhere, so that a configuration is read alike.
//!
//! `scale.sh {desired}`, `kubectl scale deployment web --replicas={desired}`: who it talks to keeps the instances, and they come
//! to the pool by discovery. Exit status 0 is agreement; all else is tried again. A command that takes too long is stopped
//! with all that it started, and never outlives us.
//!
//! ```
//! use lb_autoscale::driver::exec::{ExecDriver, ExecSettings};
//! use lb_autoscale::{Driver, Order};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), lb_autoscale::DriverError> {
//! let settings = ExecSettings::new(["test", "{desired}", "-gt", "{current}"]);
//! let driver = ExecDriver::new(settings, None)?;
//! driver.scale(Order::new(3, 2)).await?; // `test 3 -gt 2` agrees
//! # Ok(())
//! # }
//! ```
//!
//! Not here: what instances there are (`Driver::instances` is `None`), and whether the order came true.

#[cfg(target_os = "linux")]
mod driver;
pub mod settings;

#[cfg(target_os = "linux")]
pub use driver::ExecDriver;
pub use settings::ExecSettings;
