//! How many requests one client may make.
//!
//! A [`RateLimit`] says so many per window, for each key: the client's address, a header, the route, or one key for all. Behind it is the
//! generic cell rate algorithm (GCRA): a key has a debt that shrinks steadily, each admission adds `window ÷ limit` to it, and there is a
//! most. So `burst + 1` requests come through at once, then one per `window ÷ limit`: in the first window at most `burst + limit`, in any
//! later one `limit`. There is no window that starts over, so nobody gets twice the limit at its edge, and nothing has to be swept.
//!
//! - [`RateLimiter`] counts in this process: 128-bit hashes of keys in a bounded table, 24 bytes a place.
//! - [`SharedLimiter`] counts in a [`Store`](lb_types::Store), so that all nodes together keep the limit, by the store's clock.
//!
//! ```
//! use lb_admission::rate_limit::{RateLimit, RateLimiter};
//! use lb_types::{Nanos, RequestInfo};
//! use std::time::Duration;
//!
//! # fn main() -> Result<(), lb_types::SettingsError> {
//! let limiter = RateLimiter::new(RateLimit::new(2, Duration::from_secs(60)), 42)?;
//! let request = RequestInfo::from_ip([203, 0, 113, 7].into());
//! let now = Nanos::ZERO;
//! assert!(limiter.check(&request, "api", now).allowed);
//! assert!(limiter.check(&request, "api", now).allowed);
//! let third = limiter.check(&request, "api", now);
//! assert_eq!((third.allowed, third.retry_after_s()), (false, Some(30)));
//! assert_eq!(limiter.policy(), r#""default";q=2;w=60"#);
//! assert_eq!(third.header(limiter.name()).to_string(), r#""default";r=0;t=60"#);
//! # Ok(())
//! # }
//! ```
//!
//! What it lacks: several limits on one request (ask several limiters; one that refuses has not undone what another counted), limits on
//! bytes or on requests under way, and waiting instead of refusing (that is [`queue`](crate::queue)).

mod decision;
mod key;
mod limiter;
mod settings;
mod shared;
mod table;

pub use decision::{Decision, Header};
pub use key::LimitKey;
pub use limiter::{RateLimiter, RateStats};
pub use settings::{KEYS_MAX, LIMIT_MAX, NAME_BYTES_MAX, OnStoreFailure, RateLimit, WINDOW_MAX, WINDOW_MIN};
pub use shared::{REFUSALS_MAX, SharedLimiter, SharedStats};
