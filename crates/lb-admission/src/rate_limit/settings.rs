//! How many requests, for whom, and what when they cannot be counted.

use super::key::LimitKey;
use lb_types::SettingsError;
use lb_types::store::RateQuota;
use std::time::Duration;

/// The highest limit; rates end at 10 000 000 a second, see [`RateQuota`].
pub const LIMIT_MAX: u64 = 1_000_000_000;
/// The shortest window.
pub const WINDOW_MIN: Duration = Duration::from_millis(1);
/// The longest window, 365 days: a day less than a store keeps anything, as intervals are rounded up.
pub const WINDOW_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// The most keys: 10 000 000 take some 400 MB.
pub const KEYS_MAX: usize = 10_000_000;
/// The longest name, in bytes.
pub const NAME_BYTES_MAX: usize = 64;
/// The bounds of a fixed `retry_after`.
const RETRY_AFTER: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=WINDOW_MAX;

/// What a shared limit does while its store is of no use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnStoreFailure {
    /// Counts in this process, with the whole limit (`local`): meanwhile n nodes admit up to n times the limit.
    #[default]
    Local,
    /// Admits everything (`open`).
    Open,
    /// Refuses everything (`closed`).
    Closed,
}

impl OnStoreFailure {
    /// Parses `local`, `open` or `closed`.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Local, Self::Open, Self::Closed].into_iter().find(|choice| choice.as_str() == text)
    }

    /// Its name in the configuration.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// Settings of a limit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct RateLimit {
    /// So many requests per `window`, default 100 (1 – 10⁹).
    pub limit: u64,
    /// The window, default 60 s (1 ms – 365 days).
    pub window: Duration,
    /// How many may come beyond the steady rate of one per `window ÷ limit`. Default: `limit − 1`, so that the whole limit may come at
    /// once; after that it comes back steadily, so the first window admits up to `2 × limit − 1`. 0 spaces requests strictly.
    pub burst: Option<u64>,
    /// Whose requests are counted together, default the client's address.
    pub key: LimitKey,
    /// The part of an IPv4 address that is one client, default all 32 bits (0 – 32).
    pub ipv4_prefix: u8,
    /// The part of an IPv6 address that is one client, default 64 bits (0 – 128): what one household has to choose from.
    pub ipv6_prefix: u8,
    /// How many keys are remembered at most, default 100 000 (1 – 10 000 000). What is forgotten beyond that has its burst anew.
    pub max_keys: usize,
    /// A fixed `Retry-After` (1 s – 365 days); by default the time until the next request is admitted.
    pub retry_after: Option<Duration>,
    /// Counts and says what it would do, but refuses nobody. Default off.
    pub dry_run: bool,
    /// For a shared limit whose store is away, default [`OnStoreFailure::Local`].
    pub on_store_failure: OnStoreFailure,
    /// Its name in headers and in the store, default `default`: 1 – 64 letters, digits, `-`, `_` and `.`. Limits that share a store and a
    /// name share their counts.
    pub name: Box<str>,
}

impl Default for RateLimit {
    fn default() -> Self {
        Self::new(100, Duration::from_secs(60))
    }
}

impl RateLimit {
    /// So many per window, and the defaults.
    pub fn new(limit: u64, window: Duration) -> Self {
        Self {
            limit,
            window,
            burst: None,
            key: LimitKey::ClientIp,
            ipv4_prefix: 32,
            ipv6_prefix: 64,
            max_keys: 100_000,
            retry_after: None,
            dry_run: false,
            on_store_failure: OnStoreFailure::Local,
            name: "default".into(),
        }
    }

    /// Another burst.
    #[must_use]
    pub fn burst(mut self, burst: u64) -> Self {
        self.burst = Some(burst);
        self
    }

    /// Another key.
    #[must_use]
    pub fn key(mut self, key: LimitKey) -> Self {
        self.key = key;
        self
    }

    /// Other parts of addresses that are one client.
    #[must_use]
    pub fn prefixes(mut self, ipv4: u8, ipv6: u8) -> Self {
        self.ipv4_prefix = ipv4;
        self.ipv6_prefix = ipv6;
        self
    }

    /// Another bound on the keys.
    #[must_use]
    pub fn max_keys(mut self, keys: usize) -> Self {
        self.max_keys = keys;
        self
    }

    /// A fixed `Retry-After`.
    #[must_use]
    pub fn retry_after(mut self, time: Duration) -> Self {
        self.retry_after = Some(time);
        self
    }

    /// Only counts, or really refuses.
    #[must_use]
    pub fn dry_run(mut self, dry_run: bool) -> Self {
        self.dry_run = dry_run;
        self
    }

    /// Another answer to a store that is away.
    #[must_use]
    pub fn on_store_failure(mut self, choice: OnStoreFailure) -> Self {
        self.on_store_failure = choice;
        self
    }

    /// Another name.
    #[must_use]
    pub fn name(mut self, name: impl Into<Box<str>>) -> Self {
        self.name = name.into();
        self
    }

    /// Whether every value is within its bounds and they fit together.
    ///
    /// # Errors
    /// The first that is not, by field and value.
    pub fn validate(&self) -> Result<(), SettingsError> {
        self.quota().map(drop)
    }

    /// The quota that these settings make.
    pub(super) fn quota(&self) -> Result<RateQuota, SettingsError> {
        if !(1..=LIMIT_MAX).contains(&self.limit) {
            return Err(SettingsError::new("limit", self.limit, "must be from 1 to 1000000000"));
        }
        if !(WINDOW_MIN..=WINDOW_MAX).contains(&self.window) {
            return Err(SettingsError::new("window", self.window, "must be from 1 ms to 365 days"));
        }
        let burst = self.burst.unwrap_or(self.limit - 1);
        if burst > LIMIT_MAX {
            return Err(SettingsError::new("burst", burst, "must be from 0 to 1000000000"));
        }
        for (field, bits, max) in
            [("ipv4_prefix", self.ipv4_prefix, 32), ("ipv6_prefix", self.ipv6_prefix, 128)]
        {
            if bits > max {
                return Err(SettingsError::new(field, bits, format!("must be from 0 to {max}")));
            }
        }
        if !(1..=KEYS_MAX).contains(&self.max_keys) {
            return Err(SettingsError::new("max_keys", self.max_keys, "must be from 1 to 10000000"));
        }
        if let Some(time) = self.retry_after.filter(|time| !RETRY_AFTER.contains(time)) {
            return Err(SettingsError::new("retry_after", time, "must be from 1 s to 365 days"));
        }
        if let LimitKey::Header(name) = &self.key
            && (name.is_empty() || name.len() > NAME_BYTES_MAX || !name.bytes().all(is_lower_token))
        {
            return Err(SettingsError::new(
                "key",
                self.key.to_string(),
                "must name a header in lower case, 64 bytes at most",
            ));
        }
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
        if !(1..=NAME_BYTES_MAX).contains(&self.name.len()) || !self.name.bytes().all(plain) {
            return Err(SettingsError::new("name", &self.name, "must be 1 to 64 letters, digits, - _ or ."));
        }
        // Fits: LIMIT_MAX is far below.
        let burst = u32::try_from(burst).unwrap_or(u32::MAX);
        // The two ways in which values that are each in bounds do not fit together.
        RateQuota::per(self.limit, self.window, burst).map_err(|e| match e.field {
            "interval" => SettingsError::new("limit", self.limit, "must be 10000000 a second at most"),
            _ => SettingsError::new(
                "burst",
                burst,
                format!("must be admitted again within 366 days, at {} per {:?}", self.limit, self.window),
            ),
        })
    }
}

/// What a header's name is made of (RFC 9110 §5.6.2), less the upper case.
fn is_lower_token(b: u8) -> bool {
    b.is_ascii_lowercase() || b.is_ascii_digit() || b"!#$%&'*+-.^_`|~".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_defaults_admit_the_limit_at_once() {
        let settings = RateLimit::default();
        let quota = settings.quota().unwrap();
        assert_eq!((quota.burst(), quota.interval()), (99, Duration::from_millis(600)));
        assert_eq!((settings.key, settings.on_store_failure), (LimitKey::ClientIp, OnStoreFailure::Local));
        assert_eq!(RateLimit::new(1, SECOND).quota().unwrap().burst(), 0);
        assert_eq!(RateLimit::new(LIMIT_MAX, WINDOW_MAX).burst(9).validate(), Ok(()));
        for limit in [1, 7, LIMIT_MAX - 1] {
            assert_eq!(RateLimit::new(limit, WINDOW_MAX).validate(), Ok(()), "{limit}");
        }
    }

    #[test]
    fn errors_name_field_and_value() {
        let error = |s: RateLimit| s.validate().unwrap_err().to_string();
        let d = RateLimit::default;
        assert_eq!(error(RateLimit::new(0, SECOND)), "limit = 0: must be from 1 to 1000000000");
        assert_eq!(
            error(RateLimit::new(LIMIT_MAX, SECOND)),
            "limit = 1000000000: must be 10000000 a second at most"
        );
        assert_eq!(error(RateLimit::new(1, Duration::ZERO)), "window = 0ns: must be from 1 ms to 365 days");
        assert_eq!(error(d().burst(LIMIT_MAX + 1)), "burst = 1000000001: must be from 0 to 1000000000");
        assert_eq!(
            error(d().burst(LIMIT_MAX)),
            "burst = 1000000000: must be admitted again within 366 days, at 100 per 60s"
        );
        assert_eq!(error(d().prefixes(33, 0)), "ipv4_prefix = 33: must be from 0 to 32");
        assert_eq!(error(d().prefixes(0, 129)), "ipv6_prefix = 129: must be from 0 to 128");
        assert_eq!(error(d().max_keys(0)), "max_keys = 0: must be from 1 to 10000000");
        assert_eq!(error(d().max_keys(KEYS_MAX + 1)), "max_keys = 10000001: must be from 1 to 10000000");
        assert_eq!(error(d().retry_after(Duration::ZERO)), "retry_after = 0ns: must be from 1 s to 365 days");
        assert_eq!(
            error(d().key(LimitKey::Header("X Key".into()))),
            "key = \"header:X Key\": must name a header in lower case, 64 bytes at most"
        );
        assert_eq!(error(d().name("a\"b")), "name = \"a\\\"b\": must be 1 to 64 letters, digits, - _ or .");
    }

    #[test]
    fn choices_round_trip() {
        for text in ["local", "open", "closed"] {
            assert_eq!(OnStoreFailure::parse(text).map(OnStoreFailure::as_str), Some(text));
        }
        assert_eq!(OnStoreFailure::parse("Open"), None);
    }
}
