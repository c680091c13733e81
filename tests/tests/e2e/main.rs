//! End-to-end tests: the real binary, real sockets. One module for each behaviour.
//!
//! One program rather than one for each file: it links once, and tests of all behaviours run side by side.

mod admin;
mod bandwidth;
mod bodies;
mod check_cli;
mod demo;
mod discovery_file;
mod documented;
mod fallback;
mod fault_agents;
mod fault_ejection;
mod fault_half_open;
mod fault_idle;
mod fault_matrix;
mod fault_panic;
mod fault_slow_start;
mod fault_storm;
mod geo_cli;
mod headers;
mod health;
mod hedge;
mod kill_and_revive;
mod limits;
mod load_reports;
mod malformed;
mod pooling;
mod queue;
mod rate_limit;
mod regions;
mod retry;
mod retry_bodies;
mod retry_limits;
mod retry_status;
mod routes;
mod run_cli;
mod sessions;
mod sessions_shared;
mod shedding;
mod shutdown;
mod spread;
mod standing;
mod steer_cli;
mod streaming;
mod timeouts;
mod unix_and_ipv6;
