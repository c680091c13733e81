//! What to answer when no backend may be tried because breakers are open.

use lb_types::FixedResponse;

/// The usual one: status 503, body "Service temporarily unavailable", `Retry-After: 60`.
pub fn fallback_response() -> FixedResponse {
    FixedResponse::new(503, "Service temporarily unavailable").header("Retry-After", "60")
}
