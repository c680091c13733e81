//! Why an admin server cannot be had.

use std::net::SocketAddr;

/// An admin server is refused or failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AdminError {
    /// Anybody could look, and there is no token yet to tell who may.
    #[error(
        "admin.address = {address}: only loopback addresses, such as 127.0.0.1 or [::1], until there is a token"
    )]
    NotLoopback {
        /// The address that was asked for.
        address: SocketAddr,
    },
    /// The address cannot be listened on: in use, most likely.
    #[error("admin.address = {address}: {error}")]
    Bind {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the operating system said.
        #[source]
        error: std::io::Error,
    },
    /// The listener cannot be given to the runtime.
    #[error("the admin server cannot start: {0}")]
    Runtime(#[source] std::io::Error),
}
