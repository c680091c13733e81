//! A connection that can be made, and is closed at once. Nothing is sent or read: it shows that somebody listens, not that he
//! is well.

use super::connect::connect;
use super::{Check, CheckFuture, Report};
use crate::Target;
use lb_types::Address;

/// Connects to a TCP port or a unix socket.
#[derive(Clone, Debug)]
pub struct TcpProbe {
    address: Address,
}

impl TcpProbe {
    /// A probe of `target`'s address.
    pub fn new(target: &Target) -> Self {
        Self { address: target.address().clone() }
    }
}

impl Check for TcpProbe {
    fn check(&self) -> CheckFuture<'_> {
        Box::pin(async {
            match connect(&self.address).await {
                Ok(_closed_by_drop) => Report::passed(),
                Err(error) => Report::failed(error),
            }
        })
    }
}
