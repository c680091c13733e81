//! The engine by its public API alone: what each algorithm promises, and what the pool promises whatever the algorithm.
//!
//! A failing property prints its smallest input and its seed; nothing here sleeps or reads the clock.

mod adaptive;
mod agents;
mod bound;
mod common;
mod eligibility;
mod explain;
mod fast_failure;
mod guards;
mod hashing;
mod latency;
mod least_connections;
mod levels;
mod lifecycle;
mod proportions;
mod regions;
mod slow_start;
mod threads;
