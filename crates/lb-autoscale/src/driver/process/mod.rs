//! Instances as processes of this machine: `ProcessDriver`. Linux only; its settings are there everywhere, so that a configuration is read alike.
//!
//! Each instance is a command with a number and a free port filled in, and has a task of its own:
//!
//! ```text
//! Starting ──ready──▶ Ready ──ordered──▶ Stopping ──▶ gone
//!    ▲  └──ended, too slow──┐  │ ended
//!    └──backoff── Waiting ◀─┴──┘ ──too often──▶ given up
//! ```
//!
//! ```no_run
//! use lb_autoscale::driver::process::{Hooks, ProcessDriver, ProcessSettings, Ready};
//! use lb_autoscale::{Driver, Order};
//! use std::sync::Arc;
//!
//! # async fn example() -> Result<(), lb_autoscale::DriverError> {
//! let settings = ProcessSettings::new(["python3", "-m", "http.server", "--bind", "{host}", "{port}"])
//!     .ready(Ready::Http("/".to_owned()))
//!     .state_file("/run/edge-lb/web.json");
//! let hooks = Hooks::new().events(Arc::new(|event| println!("{event}")));
//! let driver = ProcessDriver::new(settings, hooks)?; // in a tokio runtime
//! driver.scale(Order::new(3, 0)).await?;
//! driver.shutdown().await?;
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`settings`] | [`ProcessSettings`] |
//! | [`ready`] | when an instance is ready |
//! | `driver` | `ProcessDriver` |
//! | `restart` | when a crashed one is started again, and when given up (pure) |
//! | `life` | the task of one instance |
//! | `ledger` | which there are, written down for the next start |
//!
//! **Nothing is left behind.** A shutdown stops all. A driver that is dropped kills all at once. When the whole process ends, however it
//! does, the kernel kills them ([`Orphans::Die`]), or they stay and the next start takes them over ([`Orphans::Stay`]). What they started in
//! turn carries the same mark in its environment and is stopped with them, or found at the next start by the state file. What is not
//! found: a process that both left its group and overwrote its environment, one of another user (set-user-id), and, without a
//! state file, what instances had started when we were killed.
//!
//! Not here: limits of memory and CPU, other users, health after the first readiness. A program that goes on when its port is
//! taken makes somebody else's answer look like its own.

#[cfg(target_os = "linux")]
mod driver;
#[cfg(target_os = "linux")]
mod ledger;
#[cfg(target_os = "linux")]
mod life;
pub mod ready;
#[cfg(target_os = "linux")]
mod restart;
pub mod settings;
#[cfg(target_os = "linux")]
mod shared;

#[cfg(target_os = "linux")]
pub use driver::{Hooks, OutputSink, ProcessDriver};
pub use ready::{Probe, Readiness, Ready};
pub use settings::{Orphans, ProcessSettings};
