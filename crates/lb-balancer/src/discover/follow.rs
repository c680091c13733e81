//! Follows one source: asks, applies the difference, remembers how it stands.

use super::{Discover, DiscoverError, DiscoveryStatus};
use crate::balancer::LoadBalancer;
use lb_core::PoolError;
use lb_core::discover::{self, Rejected};
use lb_types::Backend;
use std::convert::Infallible;
use std::fmt::Display;
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
    brought: discover::Source,
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
        // A source that does not mean an empty list gives an error in its place.
        let brought = discover::Source::default().allow_empty();
        let at_work = tokio::sync::Mutex::new(AtWork { discover, brought });
        Self { status: Mutex::new(status), at_work }
    }

    fn status(&self) -> MutexGuard<'_, DiscoveryStatus> {
        // Each critical section leaves it whole.
        self.status.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has it given a good list yet?
    #[cfg(feature = "autoscale")]
    pub(crate) fn has_answered(&self) -> bool {
        self.status().successes > 0
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
    let AtWork { discover, brought } = &mut *at_work;
    let mut pause = RETRY_MIN;
    loop {
        match discover.next().await.and_then(|list| take(&lb, brought, list)) {
            Ok(taken) => {
                pause = RETRY_MIN;
                let mut status = source.status();
                status.successes += 1;
                status.last_success = Some(unix_ms());
                if taken.changed {
                    status.last_change = status.last_success;
                }
                status.backends = brought.owned().count();
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
fn take(
    lb: &LoadBalancer,
    brought: &mut discover::Source,
    list: Vec<Backend>,
) -> Result<Taken, DiscoverError> {
    let refuse = |e: &dyn Display| DiscoverError::Content(e.to_string());
    if list.len() > BACKENDS_MAX {
        return Err(refuse(&format!("{} backends are more than {BACKENDS_MAX}", list.len())));
    }
    let mut plan = brought.plan(&lb.all_backends(), Ok::<_, Infallible>(list));
    // What is another's is left alone; a list with any other fault is refused whole.
    for (id, why) in &plan.report.rejected {
        match why {
            Rejected::Taken => {}
            Rejected::Twice => return Err(refuse(&PoolError::DuplicateId(id.clone()))),
            Rejected::EmptyId => return Err(refuse(&PoolError::EmptyId)),
            why => return Err(refuse(why)),
        }
    }
    let changes = std::mem::take(&mut plan.changes);
    let changed = !changes.is_empty();
    if changed {
        lb.apply(changes).map_err(|e| refuse(&e))?;
    }
    brought.commit(&plan);
    let taken = &plan.report.rejected;
    let complaint = taken.first().map(|(id, _)| {
        format!(
            "{} of the list's ids are in the pool already and were left alone, such as \"{id}\"",
            taken.len()
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
