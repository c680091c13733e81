//! The admin server over real sockets on loopback.

mod access;
mod answers;
mod documented;
mod exposition;
mod metrics;
mod sessions;
mod splits;
mod steer;
mod support;
