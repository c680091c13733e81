//! What the client library and the server say, as [`StoreError`].

use lb_types::StoreError;
use redis::{ErrorKind, RedisError, ServerErrorKind};

pub(super) fn store_error(error: &RedisError) -> StoreError {
    let reason = error.to_string();
    match error.kind() {
        ErrorKind::AuthenticationFailed => StoreError::Unauthorized { reason },
        ErrorKind::Io | ErrorKind::ClusterConnectionNotFound => StoreError::Unavailable { reason },
        ErrorKind::Server(
            ServerErrorKind::BusyLoading
            | ServerErrorKind::MasterDown
            | ServerErrorKind::ReadOnly
            | ServerErrorKind::ClusterDown
            | ServerErrorKind::TryAgain,
        ) => StoreError::Unavailable { reason },
        ErrorKind::Server(ServerErrorKind::NoPerm) => StoreError::Refused { reason },
        _ => match error.code() {
            Some("NOAUTH" | "WRONGPASS") => StoreError::Unauthorized { reason },
            // No memory left; too few replicas; a write that could not be saved.
            Some("OOM" | "NOREPLICAS" | "MISCONF") => StoreError::Refused { reason },
            _ => StoreError::Unexpected { reason },
        },
    }
}

/// Does it say that the connection is of no use any more?
pub(super) fn breaks_connection(error: &RedisError) -> bool {
    error.is_connection_dropped()
        || error.is_io_error()
        || matches!(error.kind(), ErrorKind::Parse | ErrorKind::AuthenticationFailed)
        // A server that was made a replica is not the one to write to: the name may lead to another now.
        || matches!(error.kind(), ErrorKind::Server(ServerErrorKind::ReadOnly))
}
