//! What was found out, remembered for a while.

use crate::provider::BoxFuture;
use crate::{Answer, Nanos};
use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::time::Duration;

/// A place where answers are kept. The one in this process is [`MemoryCache`]; one that many processes share keeps
/// [`encode`](crate::encoding::encode)d answers in a key-value store.
///
/// It is given the time and keeps it: an answer is not given out once `ttl` has passed since it was put in. It may forget sooner.
pub trait LocationCache: Send + Sync + fmt::Debug + 'static {
    /// What is remembered of `ip`, if that can be said at once.
    fn get_now(&self, ip: IpAddr, now: Nanos) -> Option<Answer>;

    /// Remembers at once, or not at all.
    fn put_now(&self, ip: IpAddr, answer: &Answer, ttl: Duration, now: Nanos);

    /// What is remembered of `ip`, if somebody has to be waited for. A failure is nothing remembered.
    fn get(&self, ip: IpAddr, now: Nanos) -> BoxFuture<'_, Option<Answer>> {
        Box::pin(std::future::ready(self.get_now(ip, now)))
    }

    /// Remembers, if somebody has to be waited for. A failure is nothing remembered.
    fn put<'a>(&'a self, ip: IpAddr, answer: &'a Answer, ttl: Duration, now: Nanos) -> BoxFuture<'a, ()> {
        self.put_now(ip, answer, ttl, now);
        Box::pin(std::future::ready(()))
    }

    /// Forgets everything.
    fn clear(&self);

    /// The answers are those of other sources from now on, whose fingerprint this is ([`Provider::fingerprint`](crate::Provider::fingerprint)):
    /// when a detector is built, and when a database is replaced. What was remembered of others is to be forgotten.
    fn sources(&self, fingerprint: u64) {
        let _ = fingerprint;
        self.clear();
    }
}

/// The address under which an answer is kept: an IPv4 address is its own, of an IPv6 address it is the first 64 bits. They are one
/// customer's network at least (RFC 6177), no database is finer, and a client that changes the other half at will must not fill a cache or
/// have a provider asked each time.
pub fn cache_key(ip: IpAddr) -> IpAddr {
    match crate::special::canonical(ip) {
        IpAddr::V6(v6) => Ipv6Addr::from_bits(v6.to_bits() & !u128::from(u64::MAX)).into(),
        v4 => v4,
    }
}

/// Answers in this process: bounded, the least used go first (quick_cache's CLOCK-Pro). A hit takes a shard's read lock, and is
/// well under a microsecond.
pub struct MemoryCache {
    kept: quick_cache::sync::Cache<IpAddr, Kept, quick_cache::UnitWeighter, foldhash::fast::RandomState>,
}

#[derive(Clone)]
struct Kept {
    answer: Answer,
    until: Nanos,
}

impl MemoryCache {
    /// For at most `capacity` answers (about 200 bytes each with a city).
    pub fn new(capacity: usize) -> Self {
        let (weighter, hasher) = (quick_cache::UnitWeighter, foldhash::fast::RandomState::default());
        let lifecycle = quick_cache::sync::DefaultLifecycle::default();
        let kept = quick_cache::sync::Cache::with(capacity, capacity as u64, weighter, hasher, lifecycle);
        Self { kept }
    }

    /// How many answers it holds, stale ones among them.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// It holds none.
    pub fn is_empty(&self) -> bool {
        self.kept.is_empty()
    }
}

impl fmt::Debug for MemoryCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryCache").field("len", &self.len()).finish_non_exhaustive()
    }
}

impl LocationCache for MemoryCache {
    fn get_now(&self, ip: IpAddr, now: Nanos) -> Option<Answer> {
        self.kept.get(&cache_key(ip)).filter(|kept| now < kept.until).map(|kept| kept.answer)
    }

    fn put_now(&self, ip: IpAddr, answer: &Answer, ttl: Duration, now: Nanos) {
        self.kept.insert(cache_key(ip), Kept { answer: answer.clone(), until: now + ttl.into() });
    }

    fn clear(&self) {
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Location, Why};

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_answer_is_given_out_until_its_time_has_passed() {
        let cache = MemoryCache::new(10);
        let answer = Answer::from(Location::of_country("NO".parse().unwrap()));
        cache.put_now(ip("1.1.1.1"), &answer, Duration::from_secs(10), Nanos::from_secs(5));
        assert_eq!(cache.get_now(ip("1.1.1.1"), Nanos::from_millis(14_999)), Some(answer.clone()));
        assert_eq!(cache.get_now(ip("::ffff:1.1.1.1"), Nanos::from_secs(5)), Some(answer));
        assert_eq!(cache.get_now(ip("1.1.1.1"), Nanos::from_secs(15)), None);
        assert_eq!(cache.get_now(ip("1.1.1.2"), Nanos::ZERO), None);
        cache.clear();
        assert!(cache.is_empty());
    }

    #[test]
    fn a_client_with_many_addresses_has_one_entry() {
        let cache = MemoryCache::new(10);
        let answer = Answer::Unknown(Why::NotInDatabase);
        cache.put_now(ip("2001:218::1"), &answer, Duration::from_secs(1), Nanos::ZERO);
        assert_eq!(cache.get_now(ip("2001:218::ffff:1:2:3"), Nanos::ZERO), Some(answer));
        assert_eq!(cache.get_now(ip("2001:218:0:1::1"), Nanos::ZERO), None);
    }

    #[test]
    fn it_is_bounded() {
        let cache = MemoryCache::new(100);
        for n in 0..10_000u32 {
            let answer = Answer::Unknown(Why::NotInDatabase);
            cache.put_now(IpAddr::V4(n.into()), &answer, Duration::from_secs(1), Nanos::ZERO);
        }
        assert!(cache.len() <= 100, "{}", cache.len());
    }
}
