//! Connections to backends: making them, and keeping the idle ones.

pub(crate) mod connect;
pub(crate) mod pool;
