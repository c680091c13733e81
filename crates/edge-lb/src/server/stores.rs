//! The stores of a configuration: opened once, shared by all who name them, each failing at once while it is away.

use super::AssembleError;
use lb_admin::MetricsWriter;
use lb_config::Storage;
use lb_store::{MemoryStore, RedisStore, Resilient, StoreStats, log_events};
use lb_types::{Clock, Store, SystemClock};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;

/// How often a store that is away is asked when no request does it.
const PROBE: Duration = Duration::from_secs(1);
/// How long a request waits for a store in this process: never, but the wait has to have a limit.
const AT_ONCE: Duration = Duration::from_millis(20);

/// An open store.
#[derive(Clone)]
pub(super) struct Opened {
    pub(super) store: Arc<dyn Store>,
    /// How long a request may wait for it.
    pub(super) timeout: Duration,
    redis: Option<Arc<Resilient<RedisStore>>>,
}

/// All of them, by name.
#[derive(Clone, Default)]
pub(super) struct Stores(BTreeMap<String, Opened>);

impl std::fmt::Debug for Stores {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

impl Stores {
    /// Opens them. Nothing is connected yet; connections live on the current runtime.
    pub(super) fn open(configured: BTreeMap<String, lb_config::Store>) -> Result<Self, AssembleError> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::process());
        let open = |(name, store): (String, lb_config::Store)| {
            let wrong = |error| AssembleError::Store { store: name.clone(), error };
            let opened = match store {
                lb_config::Store::Memory(settings) => {
                    let store = Arc::new(MemoryStore::new(settings, clock.clone()).map_err(wrong)?);
                    Opened { store, timeout: AT_ONCE, redis: None }
                }
                lb_config::Store::Redis(settings) => {
                    let runtime = Handle::try_current().map_err(|_| AssembleError::NoRuntime)?;
                    let timeout = settings.timeout;
                    // Spreads the probes of several processes.
                    let seed = u64::from(std::process::id());
                    let redis = RedisStore::open(settings, runtime, clock.clone(), seed).map_err(wrong)?;
                    let redis = Arc::new(redis.on_event(log_events(name.as_str())));
                    Opened { store: redis.clone(), timeout, redis: Some(redis) }
                }
                _ => return Err(AssembleError::StoreKind { store: name }),
            };
            Ok((name, opened))
        };
        configured.into_iter().map(open).collect::<Result<_, _>>().map(Self)
    }

    /// The store that is meant; `None`: this process's own memory.
    pub(super) fn of(&self, storage: &Storage) -> Result<Option<&Opened>, AssembleError> {
        match storage {
            Storage::Memory => Ok(None),
            Storage::Store(name) => match self.0.get(name) {
                Some(opened) => Ok(Some(opened)),
                None => Err(AssembleError::UnknownStore { store: name.clone() }),
            },
            _ => Err(AssembleError::UnknownStore { store: "?".to_owned() }),
        }
    }

    fn redis(&self) -> impl Iterator<Item = (&str, &Arc<Resilient<RedisStore>>)> {
        self.0.iter().filter_map(|(name, opened)| Some((&**name, opened.redis.as_ref()?)))
    }

    /// Asks those that are away whether they are back, for ever.
    pub(super) async fn probe(self) {
        loop {
            tokio::time::sleep(PROBE).await;
            for (_, redis) in self.redis().filter(|(_, redis)| redis.stats().away_since.is_some()) {
                // What it says is told and counted by itself.
                let _ = redis.probe().await;
            }
        }
    }

    pub(super) fn metrics(&self, out: &mut MetricsWriter) {
        for (name, redis) in self.redis() {
            let StoreStats { ok, errors, timeouts, failed_fast, outages, away_since, .. } = redis.stats();
            let label = [("store", name)];
            let help = "Whether the store answers.";
            out.gauge("edge_lb_store_up", help, &label, if away_since.is_none() { 1.0 } else { 0.0 });
            let help = "Times the store went away.";
            out.counter("edge_lb_store_outages_total", help, &label, outages);
            let help = "Calls of the store by what became of them.";
            for (outcome, n) in
                [("ok", ok), ("error", errors), ("timeout", timeouts), ("failed-fast", failed_fast)]
            {
                let labels = [("store", name), ("outcome", outcome)];
                out.counter("edge_lb_store_calls_total", help, &labels, n);
            }
        }
    }
}
