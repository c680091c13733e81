//! `LoadBalancer`: the engine, health checks and discovery composed behind one handle.

pub mod balancer;
pub mod options;

pub use balancer::LoadBalancer;
pub use lb_core::{self as core, Lease, PickContext, SelectError};
pub use options::SelectOptions;
