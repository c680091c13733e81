//! Which failures are worth another try.

use crate::error::ProxyError;
use http::StatusCode;
use std::fmt;
use std::ops::RangeInclusive;

/// The lowest status that can be retried on: what is below is no failure.
const STATUS_MIN: u16 = 400;
/// The highest.
const STATUS_MAX: u16 = 599;

/// A set of conditions. By default connect failures, resets, time-outs, and the statuses 502, 503 and 504: what a gateway or an
/// overloaded server says. 500 is not among them, for it is mostly said of the request, and would be said again.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RetryOn {
    connect_failure: bool,
    reset: bool,
    timeout: bool,
    /// A bit for each status from [`STATUS_MIN`] on.
    statuses: [u64; 4],
}

/// What a failed try was, as far as retries are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// No connection: nothing was sent.
    Connect,
    /// The connection broke before the response's head, or what came was no HTTP.
    Reset,
    /// The head did not come in time.
    Timeout,
    /// A response.
    Status(StatusCode),
}

impl Failure {
    /// `None`: no backend has failed.
    pub(crate) fn of(error: ProxyError) -> Option<Self> {
        match error {
            ProxyError::Connect | ProxyError::ConnectTimeout => Some(Self::Connect),
            ProxyError::Reset | ProxyError::BadResponse => Some(Self::Reset),
            ProxyError::Timeout => Some(Self::Timeout),
            ProxyError::BadRequest(_)
            | ProxyError::Path(_)
            | ProxyError::NoRoute
            | ProxyError::Forbidden
            | ProxyError::Unauthorized
            | ProxyError::AuthUnavailable
            | ProxyError::Method
            | ProxyError::ClientTimeout
            | ProxyError::BodyTooLarge
            | ProxyError::ClientBody
            | ProxyError::RateLimited
            | ProxyError::Overloaded
            | ProxyError::NoBackend(_) => None,
        }
    }
}

impl RetryOn {
    /// On nothing.
    pub const fn nothing() -> Self {
        Self { connect_failure: false, reset: false, timeout: false, statuses: [0; 4] }
    }

    /// Also when no connection could be made (refused, unreachable, not in time): nothing was sent.
    #[must_use]
    pub const fn connect_failure(mut self) -> Self {
        self.connect_failure = true;
        self
    }

    /// Also when the connection broke before the first byte of a response, or what came was no HTTP.
    #[must_use]
    pub const fn reset(mut self) -> Self {
        self.reset = true;
        self
    }

    /// Also when the head of the response did not come in time.
    #[must_use]
    pub const fn timeout(mut self) -> Self {
        self.timeout = true;
        self
    }

    /// Also on these statuses; of the range, only 400 to 599 count.
    #[must_use]
    pub fn statuses(mut self, range: RangeInclusive<u16>) -> Self {
        for status in *range.start().max(&STATUS_MIN)..=*range.end().min(&STATUS_MAX) {
            let bit = status - STATUS_MIN;
            self.statuses[usize::from(bit / 64)] |= 1 << (bit % 64);
        }
        self
    }

    /// Is a response with this status worth another try?
    #[inline]
    pub fn has_status(&self, status: StatusCode) -> bool {
        let Some(bit) = status.as_u16().checked_sub(STATUS_MIN) else { return false };
        self.statuses.get(usize::from(bit / 64)).is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Is this failure worth another try?
    pub(crate) fn has(&self, failure: Failure) -> bool {
        match failure {
            Failure::Connect => self.connect_failure,
            Failure::Reset => self.reset,
            Failure::Timeout => self.timeout,
            Failure::Status(status) => self.has_status(status),
        }
    }
}

impl Default for RetryOn {
    fn default() -> Self {
        Self::nothing().connect_failure().reset().timeout().statuses(502..=504)
    }
}

impl fmt::Debug for RetryOn {
    /// As the configuration would say it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut list = f.debug_list();
        let words =
            [(self.connect_failure, "connect-failure"), (self.reset, "reset"), (self.timeout, "timeout")];
        list.entries(words.iter().filter(|(on, _)| *on).map(|(_, word)| word));
        let on = |s: &u16| StatusCode::from_u16(*s).is_ok_and(|s| self.has_status(s));
        list.entries((STATUS_MIN..=STATUS_MAX).filter(on)).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statuses(on: RetryOn) -> Vec<u16> {
        (100..=999).filter(|&s| on.has_status(StatusCode::from_u16(s).unwrap())).collect()
    }

    #[test]
    fn the_default_lets_500_pass() {
        let on = RetryOn::default();
        assert_eq!(statuses(on), [502, 503, 504]);
        assert!(on.has(Failure::Connect) && on.has(Failure::Reset) && on.has(Failure::Timeout));
        assert_eq!(format!("{on:?}"), r#"["connect-failure", "reset", "timeout", 502, 503, 504]"#);
    }

    #[test]
    fn statuses_are_those_of_the_ranges_within_the_bounds() {
        let all = RetryOn::nothing().statuses(0..=u16::MAX);
        assert_eq!(statuses(all), (400..=599).collect::<Vec<_>>());
        let some = RetryOn::nothing().statuses(429..=429).statuses(500..=501).statuses(599..=700);
        assert_eq!(statuses(some), [429, 500, 501, 599]);
        assert!(!some.has(Failure::Connect) && !some.has(Failure::Reset) && !some.has(Failure::Timeout));
    }

    #[test]
    fn a_client_s_own_mistakes_are_no_failures_of_a_backend() {
        assert_eq!(Failure::of(ProxyError::ClientBody), None);
        assert_eq!(Failure::of(ProxyError::ConnectTimeout), Some(Failure::Connect));
        assert_eq!(Failure::of(ProxyError::BadResponse), Some(Failure::Reset));
    }
}
