//! What a client is told whose request was shed.

use lb_types::FixedResponse;

/// The usual one: status 503, body "Service overloaded, please try again later", `Retry-After: 30`.
pub fn shed_response() -> FixedResponse {
    FixedResponse::new(503, "Service overloaded, please try again later").header("Retry-After", "30")
}
