//! Redis and Valkey, over one multiplexed connection that heals itself.
//!
//! Works with any server that has `GET`, `SET … PX … NX`, `DEL`, `PEXPIRE`, `TIME` and Lua scripts: Redis 6 and later, Valkey. Not with a cluster,
//! whose redirections it takes for errors.
//!
//! Compare-and-set and a rate's step are scripts (`EVALSHA`; a server that does not know one is given it and asked again), atomic by the server's nature.
//! Every call ends within `timeout`, waiting for the connection included. Wrap it in [`Resilient`], or
//! [`open`](RedisStore::open) it so: alone, each call of an outage would wait that long.

mod connect;
mod error;
mod link;
mod rate;
mod settings;
#[cfg(feature = "tls")]
mod tls;

pub use link::STRIKES;
pub use settings::{PREFIX_BYTES_MAX, RedisSettings, RedisUrl, TIMEOUT_MAX, TIMEOUT_MIN, URL_BYTES_MAX};

use crate::{AwaySettings, Resilient};
use ::redis::aio::MultiplexedConnection;
use ::redis::{Cmd, RedisResult, Script};
use connect::Connector;
use lb_types::SettingsError;
use lb_types::store::{RateAnswer, RateQuota, STORE_VALUE_BYTES_MAX, check_key, check_ttl, check_value};
use lb_types::{Clock, Nanos, Store, StoreError, StoreFuture};
use link::Link;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// `KEYS[1]`, expected or not ("1" or "0"), expected, new, milliseconds to live.
const COMPARE_AND_SET: &str = "\
local present = redis.call('GET', KEYS[1])
if ARGV[1] == '1' then
  if present ~= ARGV[2] then return 0 end
elseif present then
  return 0
end
redis.call('SET', KEYS[1], ARGV[3], 'PX', ARGV[4])
return 1";

/// A store in a Redis or Valkey server.
pub struct RedisStore {
    link: Arc<Link>,
    compare_and_set: Script,
    rate: Script,
    prefix: String,
    timeout: Duration,
    url: RedisUrl,
}

impl RedisStore {
    /// Nothing is connected until the first call; connections then live on `runtime`.
    ///
    /// # Errors
    /// A setting out of its bounds, or a `ca` that cannot be used.
    pub fn new(settings: RedisSettings, runtime: Handle) -> Result<Self, SettingsError> {
        let connector = Connector::new(&settings)?;
        Ok(Self {
            link: Link::new(connector, runtime, settings.connect_timeout),
            compare_and_set: Script::new(COMPARE_AND_SET),
            rate: Script::new(rate::STEP),
            prefix: settings.key_prefix,
            timeout: settings.timeout,
            url: settings.url,
        })
    }

    /// One that fails at once while the server is away: see [`Resilient::new`].
    ///
    /// # Errors
    /// As [`RedisStore::new`].
    pub fn open(
        settings: RedisSettings,
        runtime: Handle,
        clock: Arc<dyn Clock>,
        seed: u64,
    ) -> Result<Resilient<Self>, SettingsError> {
        Resilient::new(Self::new(settings, runtime)?, AwaySettings::default(), clock, seed)
    }

    /// The server's address, without user and password.
    pub fn url(&self) -> &RedisUrl {
        &self.url
    }

    fn key(&self, key: &str) -> Result<String, StoreError> {
        check_key(key)?;
        Ok(format!("{}{key}", self.prefix))
    }

    /// Runs `ask` on the connection, all of it within the time limit.
    async fn call<T>(
        &self,
        ask: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> Result<T, StoreError> {
        let limit = self.timeout;
        let mut number = None;
        let answer = tokio::time::timeout(limit, async {
            let (n, mut connection) = self.link.connection().await?;
            number = Some(n);
            let answer = ask(&mut connection.redis).await;
            match &answer {
                Err(e) if error::breaks_connection(e) => self.link.give_up(n),
                _ => self.link.answered(n),
            }
            answer.map_err(|e| error::store_error(&e))
        });
        match answer.await {
            Ok(answer) => answer,
            Err(_) => {
                if let Some(number) = number {
                    self.link.strike(number);
                }
                Err(StoreError::Timeout { limit })
            }
        }
    }
}

fn command(name: &str, key: &str) -> Cmd {
    let mut command = ::redis::cmd(name);
    command.arg(key);
    command
}

/// Bounds of [`check_ttl`] fit by far.
fn milliseconds(ttl: Duration) -> Result<u64, StoreError> {
    check_ttl(ttl)?;
    Ok(u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX))
}

impl std::fmt::Debug for RedisStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisStore")
            .field("url", &self.url)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Store for RedisStore {
    fn get<'a>(&'a self, key: &'a str) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move {
            let key = self.key(key)?;
            let value: Option<Vec<u8>> =
                self.call(async |c| command("GET", &key).query_async(c).await).await?;
            match value {
                Some(value) if value.len() > STORE_VALUE_BYTES_MAX => {
                    let reason = format!("{key} has {} bytes: it is not ours", value.len());
                    Err(StoreError::Unexpected { reason })
                }
                value => Ok(value),
            }
        })
    }

    fn set<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, ()> {
        Box::pin(async move {
            let (key, ttl_ms) = (self.key(key)?, milliseconds(ttl)?);
            check_value(value)?;
            self.call(async |c| command("SET", &key).arg(value).arg("PX").arg(ttl_ms).query_async(c).await)
                .await
        })
    }

    fn set_if_absent<'a>(&'a self, key: &'a str, value: &'a [u8], ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let (key, ttl_ms) = (self.key(key)?, milliseconds(ttl)?);
            check_value(value)?;
            let mut set = command("SET", &key);
            set.arg(value).arg("PX").arg(ttl_ms).arg("NX");
            // `OK`, or nothing at all.
            let done: Option<String> = self.call(async |c| set.query_async(c).await).await?;
            Ok(done.is_some())
        })
    }

    fn compare_and_set<'a>(
        &'a self,
        key: &'a str,
        expected: Option<&'a [u8]>,
        new: &'a [u8],
        ttl: Duration,
    ) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let (key, ttl_ms) = (self.key(key)?, milliseconds(ttl)?);
            check_value(new)?;
            check_value(expected.unwrap_or_default())?;
            let mut script = self.compare_and_set.key(key);
            script.arg(u8::from(expected.is_some())).arg(expected.unwrap_or_default()).arg(new).arg(ttl_ms);
            self.call(async |c| script.invoke_async(c).await).await
        })
    }

    fn delete<'a>(&'a self, key: &'a str) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let key = self.key(key)?;
            self.call(async |c| command("DEL", &key).query_async(c).await).await
        })
    }

    fn touch<'a>(&'a self, key: &'a str, ttl: Duration) -> StoreFuture<'a, bool> {
        Box::pin(async move {
            let (key, ttl_ms) = (self.key(key)?, milliseconds(ttl)?);
            self.call(async |c| command("PEXPIRE", &key).arg(ttl_ms).query_async(c).await).await
        })
    }

    fn rate<'a>(&'a self, key: &'a str, quota: RateQuota, cost: u32) -> StoreFuture<'a, RateAnswer> {
        Box::pin(async move {
            let key = self.key(key)?;
            quota.check_cost(cost)?;
            let mut script = self.rate.key(key);
            script.arg(quota.debt_of(cost).0).arg(quota.capacity().0);
            let (allowed, debt): (bool, u64) = self.call(async |c| script.invoke_async(c).await).await?;
            Ok(quota.answer(allowed, Nanos(debt), cost))
        })
    }
}
