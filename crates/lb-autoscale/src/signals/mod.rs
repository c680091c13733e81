//! What is known of a pool: one observation ([`metrics`]), requests over a window ([`traffic`]), samples over a window.

pub mod metrics;
pub(crate) mod ring;
pub(crate) mod samples;
pub mod traffic;
