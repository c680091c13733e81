//! Shared state: a small key-value store with expiry, as the crates that share things see it.
//!
//! Sessions, rate limits and caches are written against [`Store`]; lb-store implements it in memory and over Redis or Valkey. Futures
//! are boxed so that the trait can be a `dyn`: a look-up that leaves the process costs far more than the box.
//!
//! All implementations promise the same:
//!
//! - an entry is there until its time to live has passed, or until it is deleted or evicted: a store is never the only copy of what
//!   must not be lost;
//! - [`set_if_absent`](Store::set_if_absent) and [`compare_and_set`](Store::compare_and_set) are atomic among all who share the store:
//!   of several that expect the same, one succeeds;
//! - [`rate`](Store::rate) is atomic too, and goes by the store's clock: those who share the store need not agree on the time;
//! - keys, values and times are within the bounds below, or a call fails before anything is asked;
//! - each call ends within the implementation's time limit. One that failed with [`StoreError::Timeout`] may have been carried out.

mod rate;

pub use rate::{RATE_INTERVAL_MIN, RateAnswer, RateQuota};

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

/// The longest key, in bytes, without a prefix that an implementation adds.
pub const STORE_KEY_BYTES_MAX: usize = 512;
/// The longest value, in bytes: state of sessions and limits is small, and a larger answer would hold up all behind it.
pub const STORE_VALUE_BYTES_MAX: usize = 64 * 1024;
/// The shortest time to live: stores count in milliseconds.
pub const STORE_TTL_MIN: Duration = Duration::from_millis(1);
/// The longest time to live, 366 days: nothing here is for ever.
pub const STORE_TTL_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// What a call of a [`Store`] returns.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// A key-value store with expiry. Every call may be dropped halfway; it may then have been carried out or not.
///
/// Each call fails with [`StoreError`]: for its arguments (see the bounds of this module), or for what became of it.
pub trait Store: Send + Sync + 'static {
    /// The value of `key`; `None` if there is none, or none any more.
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Vec<u8>>>;

    /// Sets `key`, whatever it was, for `ttl` from now.
    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, ()>;

    /// Sets `key` if it is not there; whether it was set.
    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, bool>;

    /// Sets `key` to `new` if its value is `expected` (`None`: if it is not there); whether it was set.
    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
        ttl: Duration,
    ) -> StoreFuture<'a, bool>;

    /// Removes `key`; whether it was there.
    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool>;

    /// Lets `key` live for `ttl` from now, longer or shorter than before; whether it is there.
    fn touch<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, bool>;

    /// One step of the rate algorithm for `key`; see [`RateQuota::step`]. What is kept under the key is the implementation's own affair and
    /// goes when the debt does; a refusal changes nothing. A key must not be used for anything else.
    fn rate<'a>(&'a self, key: &'a str, quota: RateQuota, cost: u32) -> StoreFuture<'a, RateAnswer>;
}

/// Why a call of a [`Store`] did nothing, or is not known to have done anything.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The store cannot be reached, went away during the call, or is not ready (loading, failing over).
    #[error("the store is away: {reason}")]
    Unavailable {
        /// What was tried and how it failed.
        reason: String,
    },
    /// No answer in time. The call may have been carried out.
    #[error("the store did not answer within {limit:?}")]
    Timeout {
        /// The time limit.
        limit: Duration,
    },
    /// The store does not let us in: user or password is wrong or missing.
    #[error("the store does not let us in: {reason}")]
    Unauthorized {
        /// What the store said.
        reason: String,
    },
    /// The store refuses this call: a command that the user may not use, no memory left.
    #[error("the store refuses: {reason}")]
    Refused {
        /// What the store said.
        reason: String,
    },
    /// The answer makes no sense: another program uses this key, or it is no such store.
    #[error("unexpected answer of the store: {reason}")]
    Unexpected {
        /// What is wrong with it.
        reason: String,
    },
    /// A key or value has more bytes than it may.
    #[error("{what} has {bytes} bytes: {max} at most")]
    TooLarge {
        /// `key`, `value`, or `entry` (both, in a store that is too small for it).
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The most it may have.
        max: usize,
    },
    /// A key is empty.
    #[error("key is empty: 1 byte at least")]
    EmptyKey,
    /// A cost that no amount of waiting would admit.
    #[error("cost = {cost}: a burst of {burst} never admits so much at once")]
    BadCost {
        /// What was asked for.
        cost: u32,
        /// The quota's burst.
        burst: u32,
    },
    /// A time to live is out of bounds.
    #[error("ttl = {ttl:?}: from 1 ms to 366 days")]
    BadTtl {
        /// The value.
        ttl: Duration,
    },
}

impl StoreError {
    /// Does it say that the store as a whole is of no use now (and not that this call was wrong)?
    pub const fn is_away(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Timeout { .. } | Self::Unauthorized { .. })
    }

    /// A short stable name for labels and logs.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Timeout { .. } => "timeout",
            Self::Unauthorized { .. } => "unauthorized",
            Self::Refused { .. } => "refused",
            Self::Unexpected { .. } => "unexpected",
            Self::TooLarge { .. } => "too-large",
            Self::EmptyKey => "empty-key",
            Self::BadCost { .. } => "bad-cost",
            Self::BadTtl { .. } => "bad-ttl",
        }
    }
}

/// Whether a key is within its bounds; for those who implement [`Store`].
///
/// # Errors
/// [`StoreError::EmptyKey`], [`StoreError::TooLarge`].
pub const fn check_key(key: &str) -> Result<(), StoreError> {
    match key.len() {
        0 => Err(StoreError::EmptyKey),
        1..=STORE_KEY_BYTES_MAX => Ok(()),
        bytes => Err(StoreError::TooLarge { what: "key", bytes, max: STORE_KEY_BYTES_MAX }),
    }
}

/// Whether a value is within its bounds.
///
/// # Errors
/// [`StoreError::TooLarge`].
pub const fn check_value(value: &[u8]) -> Result<(), StoreError> {
    match value.len() {
        0..=STORE_VALUE_BYTES_MAX => Ok(()),
        bytes => Err(StoreError::TooLarge { what: "value", bytes, max: STORE_VALUE_BYTES_MAX }),
    }
}

/// Whether a time to live is within its bounds.
///
/// # Errors
/// [`StoreError::BadTtl`].
pub fn check_ttl(ttl: Duration) -> Result<(), StoreError> {
    if (STORE_TTL_MIN..=STORE_TTL_MAX).contains(&ttl) { Ok(()) } else { Err(StoreError::BadTtl { ttl }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_named() {
        let text = |r: Result<(), StoreError>| r.unwrap_err().to_string();
        assert_eq!(text(check_key("")), "key is empty: 1 byte at least");
        assert_eq!(text(check_key(&"k".repeat(513))), "key has 513 bytes: 512 at most");
        assert_eq!(text(check_value(&[0; 65_537])), "value has 65537 bytes: 65536 at most");
        assert_eq!(text(check_ttl(Duration::ZERO)), "ttl = 0ns: from 1 ms to 366 days");
        assert_eq!(
            text(check_ttl(Duration::MAX)),
            format!("ttl = {:?}: from 1 ms to 366 days", Duration::MAX)
        );
        assert_eq!(check_key(&"k".repeat(512)).and(check_value(&[0; 65_536])), Ok(()));
        assert_eq!(check_ttl(STORE_TTL_MIN).and(check_ttl(STORE_TTL_MAX)), Ok(()));
    }

    #[test]
    fn only_what_concerns_the_whole_store_means_away() {
        let reason = String::new;
        assert!(StoreError::Timeout { limit: Duration::ZERO }.is_away());
        assert!(StoreError::Unavailable { reason: reason() }.is_away());
        assert!(StoreError::Unauthorized { reason: reason() }.is_away());
        assert!(!StoreError::Refused { reason: reason() }.is_away());
        assert!(!StoreError::Unexpected { reason: reason() }.is_away());
        assert!(!StoreError::EmptyKey.is_away());
    }
}
