//! Where a client is, from all that is known: overrides, what is remembered, databases and HTTP providers.
//!
//! ```text
//! address → overrides → private or reserved? → cache → databases and providers in order → cache
//! ```
//!
//! [`detect_location`](GeoDetector::detect_location) takes microseconds: it asks only who can answer at once.
//! [`detect_location_async`](GeoDetector::detect_location_async) asks everybody, once for all who wait for the same address, and what it
//! finds the other finds in the cache from then on.

mod builder;
mod statistics;

pub use builder::{CAPACITY_MAX, Database, GeoDetectorBuilder, TTL_MAX, TTL_MIN};
pub use statistics::Statistics;

use crate::cache::{LocationCache, cache_key};
use crate::flight::Flights;
use crate::provider::{Chain, Provider as _};
use crate::special::{canonical, special};
use crate::{Answer, GeoError, Nanos, Overrides};
use lb_types::Clock;
use statistics::Counters;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Says where clients are. Cheap to clone: clones share everything.
///
/// ```
/// use lb_geo::{Database, GeoDetector, Location, Overrides};
/// use std::time::Duration;
/// # #[cfg(all(feature = "mmdb", feature = "std-clock"))] fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/GeoIP2-City-Test.mmdb");
/// let mut overrides = Overrides::new();
/// overrides.add("10.0.0.0/8", Location::of_country("DE".parse()?))?;
/// let detector = GeoDetector::builder()
///     .database(Database::maxmind(path))
///     .overrides(overrides)
///     .cache(Duration::from_secs(3600), 10_000)
///     .build()?;
/// let answer = detector.detect_location("81.2.69.142".parse()?);
/// assert_eq!(answer.location().and_then(|l| l.city.as_deref()), Some("London"));
/// # Ok(()) }
/// # #[cfg(not(all(feature = "mmdb", feature = "std-clock")))] fn main() {}
/// ```
#[derive(Clone)]
pub struct GeoDetector {
    shared: Arc<Shared>,
}

struct Shared {
    overrides: Overrides,
    chain: Chain,
    /// Nobody of the chain has to be waited for.
    local: bool,
    cache: Option<Cached>,
    clock: Arc<dyn Clock>,
    flights: Flights,
    counters: Counters,
    #[cfg(feature = "mmdb")]
    databases: Vec<crate::Mmdb>,
}

/// A cache and what is told to it.
struct Cached {
    cache: Arc<dyn LocationCache>,
    ttl: Duration,
    negative_ttl: Duration,
    /// The generation of the chain whose answers are in it.
    generation: AtomicU64,
}

impl fmt::Debug for GeoDetector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = &self.shared;
        f.debug_struct("GeoDetector")
            .field("chain", &shared.chain)
            .field("overrides", &shared.overrides.len())
            .field("flights", &shared.flights)
            .finish_non_exhaustive()
    }
}

impl GeoDetector {
    /// What to make one of.
    pub fn builder() -> GeoDetectorBuilder {
        GeoDetectorBuilder::default()
    }

    /// Where `ip` is, as far as that can be said at once: by overrides, the cache and databases. HTTP providers are not asked, but
    /// what they said before is remembered. It takes microseconds, does no I/O and never fails: a damaged record is unknown, and counted.
    pub fn detect_location(&self, ip: IpAddr) -> Answer {
        let shared = &*self.shared;
        let ip = canonical(ip);
        if let Some(answer) = shared.at_once(ip) {
            return answer;
        }
        let (now, generation) = (shared.clock.now(), shared.chain.generation());
        let cached = shared.cached(generation);
        if let Some(answer) = cached.and_then(|c| c.cache.get_now(ip, now)) {
            Counters::add(&shared.counters.hits);
            return shared.counted(answer);
        }
        Counters::add(&shared.counters.misses);
        let found = shared.chain.now(ip);
        if let Some(cached) = cached.filter(|_| found.settled) {
            cached.cache.put_now(ip, &found.answer, cached.ttl_of(&found.answer), now);
            cached.forget_unless(generation);
        }
        shared.counted(found.answer)
    }

    /// Whether [`detect_location`](Self::detect_location) of `ip` may say less than
    /// [`detect_location_async`](Self::detect_location_async) would: an HTTP provider, or another that has to be waited for, stands before whoever
    /// places the address, and nothing is remembered. False at once where there are databases alone. Nothing is counted.
    pub fn needs_providers(&self, ip: IpAddr) -> bool {
        let shared = &*self.shared;
        if shared.local {
            return false;
        }
        let ip = canonical(ip);
        if shared.overrides.get(ip).is_some() || special(ip).is_some() {
            return false;
        }
        let now = shared.clock.now();
        let remembered = shared.cached(shared.chain.generation()).and_then(|c| c.cache.get_now(ip, now));
        remembered.is_none() && shared.chain.has_to_wait(ip)
    }

    /// Where `ip` is, whoever has to be asked. Within the time limits of the providers; those who ask for one address (of IPv6: one /64) at
    /// the same time share one look-up, the shared cache's included. Errors are not remembered.
    ///
    /// The future is `Send` and may be dropped at any time: the look-up goes on as long as somebody else waits for it, and ends with
    /// the last. HTTP providers need tokio's runtime.
    ///
    /// # Errors
    /// When a provider fails and no other places the address: the first one's error.
    pub async fn detect_location_async(&self, ip: IpAddr) -> Result<Answer, GeoError> {
        let shared = &self.shared;
        let ip = canonical(ip);
        if let Some(answer) = shared.at_once(ip) {
            return Ok(answer);
        }
        let (now, cached) = (shared.clock.now(), shared.cached(shared.chain.generation()));
        if let Some(answer) = cached.and_then(|c| c.cache.get_now(ip, now)) {
            Counters::add(&shared.counters.hits);
            return Ok(shared.counted(answer));
        }
        let (lookup, joined) = shared.flights.join(cache_key(ip), || {
            let shared = shared.clone();
            Box::pin(async move { shared.look_up(ip).await })
        });
        if joined {
            Counters::add(&shared.counters.joined);
        }
        lookup.await.map(|answer| shared.counted(answer))
    }

    /// [`detect_location_async`](Self::detect_location_async) as a future of its own, to spawn or to keep.
    ///
    /// # Errors
    /// The same.
    pub fn detect_owned(
        &self,
        ip: IpAddr,
    ) -> impl Future<Output = Result<Answer, GeoError>> + Send + 'static + use<> {
        let detector = self.clone();
        async move { detector.detect_location_async(ip).await }
    }

    /// Counts since it was built.
    pub fn statistics(&self) -> Statistics {
        self.shared.counters.read()
    }

    /// Forgets all that is remembered.
    pub fn clear_cache(&self) {
        if let Some(cached) = &self.shared.cache {
            cached.cache.clear();
        }
    }

    /// What the databases are, in the order in which they are asked. HTTP providers are not among them.
    #[cfg(feature = "mmdb")]
    pub fn about(&self) -> Vec<crate::About> {
        self.shared.databases.iter().map(crate::Mmdb::about).collect()
    }

    /// Reads the files of all databases again; each answers from its new file from then on, and what is remembered is forgotten. A
    /// bad file leaves the old one. It blocks; the built-in database has no file and is passed over.
    #[cfg(feature = "mmdb")]
    pub fn reload(&self) -> Vec<Result<crate::About, GeoError>> {
        let reloads = self.shared.databases.iter().map(crate::Mmdb::reload);
        reloads.filter(|result| !matches!(result, Err(GeoError::NoFile { .. }))).collect()
    }
}

impl Shared {
    /// What needs no database.
    fn at_once(&self, ip: IpAddr) -> Option<Answer> {
        Counters::add(&self.counters.lookups);
        let answer = self.overrides.get(ip).cloned().or_else(|| special(ip).map(Answer::Unknown))?;
        Some(self.counted(answer))
    }

    fn counted(&self, answer: Answer) -> Answer {
        if answer.location().is_none() {
            Counters::add(&self.counters.unknown);
        }
        answer
    }

    /// The cache, emptied first if a database has been replaced since it was filled.
    fn cached(&self, generation: u64) -> Option<&Cached> {
        let cached = self.cache.as_ref()?;
        if cached.generation.load(Ordering::Acquire) < generation
            && cached.generation.fetch_max(generation, Ordering::AcqRel) < generation
        {
            cached.cache.sources(self.chain.fingerprint());
        }
        Some(cached)
    }

    /// Asks the shared cache, then everybody, and remembers.
    async fn look_up(&self, ip: IpAddr) -> Result<Answer, GeoError> {
        let generation = self.chain.generation();
        let cached = self.cached(generation);
        if let Some(cached) = cached
            && let Some(answer) = cached.cache.get(ip, self.clock.now()).await
        {
            Counters::add(&self.counters.hits);
            return Ok(answer);
        }
        Counters::add(&self.counters.misses);
        let (result, errors) = self.chain.ask(ip).await;
        self.counters.errors.fetch_add(errors, Ordering::Relaxed);
        let answer = result?;
        // What an old file said is not kept beside what the new one says.
        if let Some(cached) = cached.filter(|_| generation == self.chain.generation()) {
            let now: Nanos = self.clock.now();
            cached.cache.put(ip, &answer, cached.ttl_of(&answer), now).await;
            cached.forget_unless(generation);
        }
        Ok(answer)
    }
}

impl Cached {
    /// Forgets what has just been put in, with the rest, if the cache went over to newer sources meanwhile. Whoever takes it over notes
    /// the generation before forgetting: either the answer was in by then, or this finds the note.
    fn forget_unless(&self, generation: u64) {
        if self.generation.load(Ordering::Acquire) != generation {
            self.cache.clear();
        }
    }

    fn ttl_of(&self, answer: &Answer) -> Duration {
        if answer.location().is_some() { self.ttl } else { self.negative_ttl }
    }
}
