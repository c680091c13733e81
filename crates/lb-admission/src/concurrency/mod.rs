//! How many requests a backend bears, found out from its latency.
//!
//! A fixed limit is wrong as soon as the backend changes. This one follows it: while more requests in flight make each of
//! them slower, there are too many; while they do not, there may be more. The rule is the gradient of Netflix's
//! concurrency-limits (`Gradient2Limit`) and of Envoy's adaptive concurrency filter, with two differences: the limit is never
//! lowered just to measure the latency without load, and a backend that itself became slower is told from one that is full.
//!
//! | module | what it holds |
//! |---|---|
//! | [`limiter`] | [`Limiter`]: what requests report to, shared and cheap |
//! | [`gradient`] | [`Gradient`]: the rule, from window to window |
//! | [`settings`] | [`AdaptiveConcurrency`] and its bounds |
//!
//! Who refuses or queues at the limit is not decided here.

pub mod gradient;
pub mod limiter;
pub mod settings;

pub use gradient::{Gradient, Window};
pub use limiter::Limiter;
pub use settings::AdaptiveConcurrency;
