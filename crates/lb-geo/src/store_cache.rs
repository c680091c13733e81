//! Answers in a store that many processes share, with a memory of this process before it.
//!
//! An entry's key is `geo:{sources}:{generation}:{address}`. *Sources* is a fingerprint of the databases and providers that the answers are of,
//! so that processes with other files (or with a file's next edition) do not read each other's. *Generation* is 0 until somebody says
//! [`clear`](LocationCache::clear), then a random number: what is in the store by then is not believed by this process any more, and goes
//! when its time is over.

use crate::cache::{LocationCache, MemoryCache, cache_key};
use crate::encoding::{decode, encode};
use crate::provider::BoxFuture;
use crate::{Answer, Nanos};
use lb_types::store::Store;
use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How long an answer of the store is remembered in this process, which is not told how long it had to live there: by so much may it be
/// given out after its time.
pub const FROM_STORE_TTL: Duration = Duration::from_secs(30);

/// A cache in a [`Store`]. Look-ups that wait for nobody see this process's memory alone; those that wait ask the store as well and write
/// what was found there. A store that fails is nothing remembered, and is not waited for longer than its own time limit.
pub struct StoreCache {
    store: Arc<dyn Store>,
    memory: MemoryCache,
    sources: AtomicU64,
    generation: AtomicU64,
}

impl StoreCache {
    /// In `store`, with a memory of `capacity` answers before it.
    pub fn new(store: Arc<dyn Store>, capacity: usize) -> Self {
        let (sources, generation) = (AtomicU64::new(0), AtomicU64::new(0));
        Self { store, memory: MemoryCache::new(capacity), sources, generation }
    }

    /// At most 90 bytes.
    fn key(&self, ip: IpAddr) -> String {
        let (sources, generation) = (&self.sources, &self.generation);
        let (sources, generation) = (sources.load(Ordering::Acquire), generation.load(Ordering::Acquire));
        format!("geo:{sources:016x}:{generation:x}:{}", cache_key(ip))
    }
}

impl fmt::Debug for StoreCache {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreCache").field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl LocationCache for StoreCache {
    fn get_now(&self, ip: IpAddr, now: Nanos) -> Option<Answer> {
        self.memory.get_now(ip, now)
    }

    fn put_now(&self, ip: IpAddr, answer: &Answer, ttl: Duration, now: Nanos) {
        self.memory.put_now(ip, answer, ttl, now);
    }

    fn get(&self, ip: IpAddr, now: Nanos) -> BoxFuture<'_, Option<Answer>> {
        Box::pin(async move {
            if let Some(answer) = self.memory.get_now(ip, now) {
                return Some(answer);
            }
            let key = self.key(ip);
            let bytes = self.store.get(&key).await.ok()??;
            // What cannot be read is of another version, or somebody else's.
            let answer = decode(&bytes).ok()?;
            // Not what the store said of sources that were replaced meanwhile.
            (self.key(ip) == key).then(|| {
                self.memory.put_now(ip, &answer, FROM_STORE_TTL, now);
                answer
            })
        })
    }

    fn put<'a>(&'a self, ip: IpAddr, answer: &'a Answer, ttl: Duration, now: Nanos) -> BoxFuture<'a, ()> {
        Box::pin(async move {
            let key = self.key(ip);
            self.memory.put_now(ip, answer, ttl, now);
            let _failure_is_nothing_remembered = self.store.set(&key, &encode(answer), ttl).await;
        })
    }

    fn clear(&self) {
        // Random, so that no other process has the same; never 0.
        self.generation.store(RandomState::new().hash_one(0u8) | 1, Ordering::Release);
        self.memory.clear();
    }

    fn sources(&self, fingerprint: u64) {
        self.sources.store(fingerprint, Ordering::Release);
        self.memory.clear();
    }
}

#[cfg(test)]
mod tests;
