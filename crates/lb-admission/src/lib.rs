//! May it come in now? What stands between a request that has arrived and the backend that will serve it.
//!
//! | module | what it holds |
//! |---|---|
//! | [`priority`] | [`Priority`]: who goes first, and who is refused first |
//! | [`queue`] | waiting in line: bounded, by priority, with deadlines |
//! | [`shed`] | refusing early while the machine is overloaded |
//! | [`concurrency`] | how many requests a backend bears, found out from its latency |
//! | `rate_limit` | how many requests a client may make (feature `rate-limit`) |
//! | `password` | whose password is it? (feature `password`) |
//! | `tower` | layers and services for tower's stacks (feature `tower`) |

pub mod concurrency;
#[cfg(feature = "password")]
pub mod password;
pub mod priority;
pub mod queue;
#[cfg(feature = "rate-limit")]
pub mod rate_limit;
pub mod shed;
#[cfg(feature = "tower")]
pub mod tower;

pub use lb_types::SettingsError;
pub use priority::Priority;
