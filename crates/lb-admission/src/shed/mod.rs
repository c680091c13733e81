//! Refusing early while the machine is overloaded.
//!
//! A proxy that takes more than it can carry answers nobody in time. Shedding refuses a part at once, cheaply, so that the
//! rest is served well: the lowest priority first, the highest last and never all of it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`shedder`] | [`Shedder`]: readings in, refusals out |
//! | [`settings`] | [`ShedSettings`] and their bounds |
//! | [`response`] | what a refused client is told |
//! | [`loop_delay`] | [`LoopDelay`]: how late the event loop wakes |
//! | `readings` | CPU, memory and pressure of this machine (feature `readings`) |
//!
//! What is never shed (health checks, the admin API) is the caller's matter: it does not ask.

pub mod loop_delay;
#[cfg(feature = "readings")]
pub mod readings;
pub mod response;
pub mod settings;
pub mod shedder;
#[cfg(test)]
mod shedder_tests;

pub use loop_delay::LoopDelay;
#[cfg(feature = "readings")]
pub use readings::Sampler;
pub use response::shed_response;
pub use settings::ShedSettings;
pub use shedder::{Readings, Reason, Shed, ShedStatus, Shedder};
