//! The balancer as a whole, on paused time: nothing here waits for the wall clock.

#[cfg(feature = "admission")]
mod admission;
mod build;
mod discover;
mod drain;
mod faults;
mod health;
mod members;
mod metrics;
#[cfg(feature = "geo")]
mod regions;
mod running;
#[cfg(feature = "sessions")]
mod sessions;
mod support;
mod wait;
