//! The same client, the same backend.
//!
//! A client is recognised by its address, by a header it sends, or by a cookie that is sealed so that nobody can forge it; a bounded
//! table says which backend it has. Pure: time and randomness come in, and nothing here does I/O.
//!
//! ```
//! use lb_session::{Affinity, Moment, SessionAffinity, SessionId, SessionManager};
//! use lb_types::{BackendId, Nanos, RequestInfo};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let random = [7; 32]; // from the operating system, in a program
//! let sessions = SessionManager::new(SessionAffinity::cookie(), "shop", random)?;
//! let at = Moment { now: Nanos::from_secs(5), unix_s: 1_800_000_000 };
//!
//! // A client without a cookie: pick a backend, assign it, and send a cookie along.
//! let first = sessions.resolve(&RequestInfo::default(), || SessionId::from_random(42), at);
//! assert_eq!(first.affinity, Affinity::None);
//! let session = first.session.expect("a cookie can always be set");
//! let backend = sessions.assign(session, &BackendId::from("a"), at);
//! let set_cookie = sessions.set_cookie(session, at, true).expect("it was just assigned");
//! assert!(set_cookie.ends_with("; Path=/; Max-Age=3600; SameSite=Strict; Secure; HttpOnly"));
//!
//! // The client comes back with it.
//! let cookie = set_cookie.split(';').next().unwrap_or_default();
//! let headers = [("Cookie", cookie)];
//! let request = RequestInfo { headers: &headers, ..RequestInfo::default() };
//! let again = sessions.resolve(&request, || SessionId::from_random(43), at);
//! assert_eq!(again.affinity, Affinity::Backend(backend));
//!
//! // Cleared: the cookie does not route any more.
//! sessions.clear_session(session, at);
//! assert_eq!(sessions.resolve(&request, || SessionId::from_random(44), at).affinity, Affinity::Cleared);
//! # Ok(())
//! # }
//! ```
//!
//! | module | what it holds |
//! |---|---|
//! | [`key`] | [`AffinityKind`]: address, cookie or header, and the ids that come of them |
//! | [`cookie::seal`] | [`Sealer`]: what a cookie's value is made of |
//! | [`cookie::options`] | [`CookieOptions`] and the `Set-Cookie` header |
//! | [`cookie::header`] | cookies found in a request and taken out of it |
//! | [`ignored`] | [`Ignored`]: why what a client presented does not count |
//! | [`table`] | the bounded table, its order and expiry |
//! | [`manager`] | [`SessionManager`]: resolve, assign, reassign, clear, list |
//! | [`cohort`] | who takes part in a split of traffic |
//! | [`follow()`] | [`Follow`]: what to do when the session's backend is not usable |
//! | [`record`] | what nodes tell each other of a session, and whose word counts |
//! | `sharing` | `SharedSessions`: nodes that agree, and restarts that keep sessions (feature `store`) |

pub mod cohort;
pub mod cookie;
pub mod follow;
mod id;
pub mod ignored;
pub mod key;
pub mod manager;
mod names;
pub mod record;
pub mod settings;
#[cfg(feature = "store")]
pub mod sharing;
pub mod stats;
pub mod table;

pub use cookie::header::{Stripped, strip};
pub use cookie::options::{CookieOptions, SameSite, Secure};
pub use cookie::seal::{Opened, SealError, Sealer, Secret, Ticket};
pub use follow::{Follow, Standing, follow};
pub use id::{Moment, SessionId, SessionIdError};
pub use ignored::Ignored;
pub use key::AffinityKind;
pub use lb_types::SettingsError;
pub use manager::{Affinity, Resolved, SessionManager, SessionView, Source};
pub use settings::SessionAffinity;
#[cfg(feature = "store")]
pub use sharing::{SharedSessions, SharingSettings, SharingStats};
pub use stats::{IgnoredCounts, SessionStats};
