//! A pool's rate limit, as requests meet it: asked before a backend is chosen, and told to the client with the response.

use crate::request::Headers;
use http::header::{HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use lb_admission::rate_limit::{Decision, RateLimit, RateLimiter, SharedLimiter};
use lb_types::{Nanos, RequestInfo, SettingsError, Store};
use std::fmt::Write as _;
use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

const POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
const STANDING: HeaderName = HeaderName::from_static("ratelimit");

/// How many requests may come in, and whether clients are told where they stand.
#[derive(Debug)]
pub struct RateLimiting {
    limiter: Limiter,
    policy: HeaderValue,
    tells: bool,
}

#[derive(Debug)]
enum Limiter {
    Local(RateLimiter),
    Shared(SharedLimiter),
}

/// What a limit has done on this node so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimitStats {
    /// Requests within the limit.
    pub allowed: u64,
    /// Requests over it, those of a dry run included.
    pub limited: u64,
    /// Keys that are remembered here.
    pub keys: usize,
    /// Keys that made room for others before their time.
    pub evicted: u64,
    /// Calls of the store that failed.
    pub store_failures: u64,
}

/// The answer of a store that is asked.
type Asking<'a> = Pin<Box<dyn Future<Output = Decision> + Send + 'a>>;

impl RateLimiting {
    /// A limit that is counted here, or in `store`. `tells`: responses say where their client stands.
    ///
    /// # Errors
    /// A setting out of its bounds.
    pub fn new(
        settings: RateLimit,
        store: Option<Arc<dyn Store>>,
        tells: bool,
    ) -> Result<Self, SettingsError> {
        // Nobody can guess which keys meet.
        let seed = fastrand::u64(..);
        let limiter = match store {
            None => Limiter::Local(RateLimiter::new(settings, seed)?),
            Some(store) => Limiter::Shared(SharedLimiter::new(settings, store, seed)?),
        };
        let policy = match &limiter {
            Limiter::Local(l) => l.policy(),
            Limiter::Shared(l) => l.policy(),
        };
        let wrong = |_| SettingsError::new("name", policy, "must be what a header can hold");
        let policy = HeaderValue::from_str(policy).map_err(wrong)?;
        Ok(Self { limiter, policy, tells })
    }

    /// What it has done so far.
    pub fn stats(&self) -> RateLimitStats {
        match &self.limiter {
            Limiter::Local(l) => {
                let s = l.stats();
                let (allowed, limited, keys, evicted) = (s.allowed, s.limited, s.keys, s.evicted);
                RateLimitStats { allowed, limited, keys, evicted, store_failures: 0 }
            }
            Limiter::Shared(l) => {
                let s = l.stats();
                let (allowed, limited, store_failures) = (s.allowed, s.limited, s.store_failures);
                RateLimitStats { allowed, limited, store_failures, ..RateLimitStats::default() }
            }
        }
    }

    /// Are clients told where they stand?
    pub(crate) fn tells(&self) -> bool {
        self.tells
    }

    /// Counts a request in; `Err`: the store is to be asked.
    #[inline]
    pub(crate) fn check(
        &self,
        client_ip: Option<IpAddr>,
        headers: &HeaderMap,
        now: Nanos,
    ) -> Result<Decision, Asking<'_>> {
        // All that a key can be of: to find out the host as well would cost as much as the limit itself.
        let headers = Headers(headers);
        let request = RequestInfo { client_ip, headers: &headers, ..RequestInfo::default() };
        match &self.limiter {
            Limiter::Local(limiter) => Ok(limiter.check(&request, "", now)),
            Limiter::Shared(limiter) => Err(Box::pin(limiter.check(&request, "", now))),
        }
    }

    /// Tells a client where it stands.
    pub(crate) fn tell(&self, decision: &Decision, headers: &mut HeaderMap) {
        if self.tells {
            let name = match &self.limiter {
                Limiter::Local(l) => l.name(),
                Limiter::Shared(l) => l.name(),
            };
            let mut text = bytes::BytesMut::with_capacity(name.len() + 24);
            // Writing to a buffer cannot fail, and these are letters and digits.
            let _ = write!(text, "{}", decision.header(name));
            if let Ok(value) = HeaderValue::from_maybe_shared(text.freeze()) {
                headers.insert(STANDING, value);
                headers.insert(POLICY, self.policy.clone());
            }
        }
        if !decision.allowed
            && let Some(seconds) = decision.retry_after_s()
        {
            headers.insert(RETRY_AFTER, seconds.into());
        }
    }
}
