//! Follows one source: asks, applies the difference, remembers how it stands.

use super::reconcile::{Owned, reconcile};
use super::{Discover, DiscoverError, DiscoveryStatus};
use crate::balancer::LoadBalancer;
use lb_types::Backend;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The first pause after an error.
pub const RETRY_MIN: Duration = Duration::from_secs(1);
/// The longest pause after errors in a row.
pub const RETRY_MAX: Duration = Duration::from_secs(30);
/// The longest list that is taken from a source.
pub const BACKENDS_MAX: usize = 100_000;

/// A source with what is known of it.
pub(crate) struct Source {
    status: Mutex<DiscoveryStatus>,
    /// Held by the task that follows it.
    at_work: tokio::sync::Mutex<AtWork>,
}

struct AtWork {
    discover: Box<dyn Discover>,
    owned: Owned,
}

impl Source {
    pub(crate) fn new(discover: Box<dyn Discover>) -> Self {
        let status = DiscoveryStatus {
            source: discover.describe(),
            backends: 0,
            successes: 0,
            failures: 0,
            last_success: None,
            last_change: None,
            last_error: None,
        };
        let at_work = tokio::sync::Mutex::new(AtWork { discover, owned: Owned::new() });
        Self { status: Mutex::new(status), at_work }
    }

    fn status(&self) -> MutexGuard<'_, DiscoveryStatus> {
        // Each critical section leaves it whole.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl LoadBalancer {
    /// How each discovery source stands, in the order in which they were given to the builder.
    pub fn discovery_status(&self) -> Vec<DiscoveryStatus> {
        self.inner.sources.iter().map(|s| s.status().clone()).collect()
    }
}

/// Follows `source` until it is dropped.
pub(crate) async fn follow(lb: LoadBalancer, source: Arc<Source>) {
    let mut at_work = source.at_work.lock().await;
    let AtWork { discover, owned } = &mut *at_work;
    let mut pause = RETRY_MIN;
    loop {
        match discover.next().await.and_then(|list| take(&lb, owned, list)) {
            Ok(taken) => {
                pause = RETRY_MIN;
                let mut status = source.status();
                status.successes += 1;
                status.last_success = Some(unix_ms());
                if taken.changed {
                    status.last_change = status.last_success;
                }
                status.backends = owned.len();
                status.last_error = taken.complaint;
            }
            Err(e) => {
                {
                    let mut status = source.status();
                    status.failures += 1;
                    status.last_error = Some(e.to_string());
                }
                let wait = if e.is_content() { RETRY_MIN } else { pause };
                pause = if e.is_content() { RETRY_MIN } else { (pause * 2).min(RETRY_MAX) };
                tokio::time::sleep(jittered(wait, fastrand::f64())).await;
            }
        }
    }
}

/// What a good list did.
struct Taken {
    changed: bool,
    complaint: Option<String>,
}

/// Makes the pool's part that is this source's what `list` says.
fn take(lb: &LoadBalancer, owned: &mut Owned, list: Vec<Backend>) -> Result<Taken, DiscoverError> {
    if list.len() > BACKENDS_MAX {
        return Err(DiscoverError::Content(format!("{} backends are more than {BACKENDS_MAX}", list.len())));
    }
    let mut ids = std::collections::BTreeSet::new();
    if let Some(twice) = list.iter().find(|b| !ids.insert(&b.id)) {
        return Err(DiscoverError::Content(format!("backend id \"{}\" is used twice", twice.id)));
    }
    let snapshot = lb.pool().snapshot_full();
    let step = reconcile(owned, list, |id| snapshot.get(id).is_some());
    let changed = !step.changes.is_empty();
    if changed {
        lb.apply(step.changes).map_err(|e| DiscoverError::Content(e.to_string()))?;
    }
    *owned = step.owned;
    let complaint = step.foreign.first().map(|id| {
        format!(
            "{} of the list's ids are in the pool already and were left alone, such as \"{id}\"",
            step.foreign.len()
        )
    });
    Ok(Taken { changed, complaint })
}

/// 75 to 100 % of `pause`, so that many processes that failed together do not come back together. `random`: 0 to 1.
pub(super) fn jittered(pause: Duration, random: f64) -> Duration {
    pause.mul_f64(0.75 + 0.25 * random)
}

fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
