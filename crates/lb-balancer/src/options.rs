//! What a caller may say about one selection.

use lb_types::BackendId;

/// Options of one selection. `Default` asks for nothing special.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct SelectOptions {
    /// Never these backends.
    pub exclude: Vec<BackendId>,
    /// The key of a hash algorithm, instead of what the algorithm would take from the request.
    pub key: Option<Box<[u8]>>,
    /// Where the client is, instead of what its address says.
    #[cfg(feature = "geo")]
    pub location: Option<lb_geo::Answer>,
    /// Who goes first where not all can: in the queue, and when load is shed.
    #[cfg(feature = "admission")]
    pub priority: lb_admission::Priority,
    /// The longest that the request waits in the queue, instead of the queue's setting.
    #[cfg(feature = "admission")]
    pub queue_timeout: Option<std::time::Duration>,
    /// The request's session, instead of what it is recognised by.
    #[cfg(feature = "sessions")]
    pub session: Option<lb_session::SessionId>,
}
