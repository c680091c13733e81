//! For tower's stacks: the proxy as a service, and a layer that only chooses.
//!
//! [`Proxy`](crate::Proxy) answers requests by way of a backend. [`LoadBalanceLayer`](layer::LoadBalanceLayer) chooses one for each request, and leaves to the
//! service inside what is done with it.

pub(crate) mod balance;
pub(crate) mod body;
pub(crate) mod chosen;
pub(crate) mod layer;
mod proxy;
mod ticket;
