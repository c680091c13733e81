//! How an HTTP provider is asked.

use crate::GeoError;
use std::fmt;
use std::time::Duration;

/// The longest time limit.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(30);
/// The most retries.
pub const RETRIES_MAX: u32 = 5;
/// The most requests at once.
pub const CONCURRENT_MAX: usize = 1_024;

/// Settings of an HTTP provider.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HttpSettings {
    /// Where it is: `http://` or `https://`, with a path if it has one. Default: the provider's public address.
    pub base_url: Option<String>,
    /// The token that it gave; printable ASCII. Default: none, which providers allow for a few requests.
    pub token: Option<String>,
    /// How long a look-up may take, retries, waits and name look-up included, default 2 s (10 ms – 30 s).
    pub timeout: Duration,
    /// How often it is asked again when it cannot be reached, answers 5xx or breaks off, default 1 (0–5).
    pub retries: u32,
    /// The wait before the first retry, default 100 ms (1 ms – 30 s); doubled for each one after, and drawn between half of it and all.
    pub backoff: Duration,
    /// The most requests under way at once, default 16 (1–1024); others wait, within their time.
    pub max_concurrent: usize,
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self {
            base_url: None,
            token: None,
            timeout: Duration::from_secs(2),
            retries: 1,
            backoff: Duration::from_millis(100),
            max_concurrent: 16,
        }
    }
}

impl fmt::Debug for HttpSettings {
    /// Without the token: it is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpSettings")
            .field("base_url", &self.base_url)
            .field("token", &self.token.as_ref().map(|_| "…"))
            .field("timeout", &self.timeout)
            .field("retries", &self.retries)
            .field("backoff", &self.backoff)
            .field("max_concurrent", &self.max_concurrent)
            .finish()
    }
}

impl HttpSettings {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Another address.
    #[must_use]
    pub fn base_url(mut self, url: impl Into<String>) -> Self {
        self.base_url = Some(url.into());
        self
    }

    /// With a token.
    #[must_use]
    pub fn token(mut self, token: impl Into<String>) -> Self {
        self.token = Some(token.into());
        self
    }

    /// Another time limit of a look-up.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Another number of retries, and another first wait.
    #[must_use]
    pub fn retries(mut self, retries: u32, backoff: Duration) -> Self {
        (self.retries, self.backoff) = (retries, backoff);
        self
    }

    /// Another limit of requests at once.
    #[must_use]
    pub fn max_concurrent(mut self, requests: usize) -> Self {
        self.max_concurrent = requests;
        self
    }

    /// Are all values within their bounds? (The URL is looked at when a provider is made.)
    ///
    /// # Errors
    /// The first that is not.
    pub fn validate(&self) -> Result<(), GeoError> {
        let bad = |field, value: String, reason| Err(GeoError::bad(field, value, reason));
        if !(Duration::from_millis(10)..=TIMEOUT_MAX).contains(&self.timeout) {
            return bad("timeout", format!("{:?}", self.timeout), "it has to be 10 ms to 30 s");
        }
        if self.retries > RETRIES_MAX {
            return bad("retries", self.retries.to_string(), "it has to be 0 to 5");
        }
        if !(Duration::from_millis(1)..=TIMEOUT_MAX).contains(&self.backoff) {
            return bad("backoff", format!("{:?}", self.backoff), "it has to be 1 ms to 30 s");
        }
        if !(1..=CONCURRENT_MAX).contains(&self.max_concurrent) {
            return bad("max_concurrent", self.max_concurrent.to_string(), "it has to be 1 to 1024");
        }
        let printable = |token: &String| !token.is_empty() && token.bytes().all(|b| b.is_ascii_graphic());
        if !self.token.as_ref().is_none_or(printable) {
            return bad("token", "(hidden)".to_owned(), "it has to be printable ASCII, and not empty");
        }
        Ok(())
    }
}
