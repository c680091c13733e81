//! Who may come in: load shedding, and the queue before backends that are all at their limits.
//!
//! ```text
//! request ─► shedder: is the machine overloaded? ─► acquire ─► a lease
//!                                                     │ all that could serve it are at their limits
//!                                                     ▼
//!                                                   queue ─► its turn ─► acquire ─► a lease
//! ```
//!
//! While anybody waits, nobody else is let in: what becomes free goes to the line. A request that finds a free place taken away from it
//! like this waits in the line, too, unless those in the line cannot use that place.

mod watch;

use crate::wait::Waiter;
use crate::{BuildError, LoadBalancer, SelectOptions, Selection};
use lb_admission::SettingsError;
use lb_admission::concurrency::AdaptiveConcurrency;
use lb_admission::queue::{Queue, QueueSettings, Refused};
use lb_admission::shed::{LoopDelay, Shed, ShedSettings, Shedder};
use lb_core::{Lease, SelectError};
use lb_types::{Clock, RequestInfo};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use watch::watch;

/// What a builder was told.
#[derive(Default)]
pub(crate) struct Settings {
    pub(crate) queuing: Option<QueueSettings>,
    pub(crate) load_shedding: Option<ShedSettings>,
    pub(crate) adaptive_concurrency: Option<AdaptiveConcurrency>,
}

impl Settings {
    pub(crate) fn build(self, pool: &str, clock: &Arc<dyn Clock>) -> Result<Admission, BuildError> {
        let wrong = |section| {
            move |error: SettingsError| BuildError::Admission { pool: pool.to_owned(), section, error }
        };
        let queue = self.queuing.map(|s| Queue::new(s, clock.clone())).transpose();
        let delays = self.load_shedding.as_ref().and_then(|s| s.loop_delay_threshold);
        let shedder = self.load_shedding.map(Shedder::new).transpose();
        Ok(Admission {
            loop_delay: delays.map(|_| Arc::default()),
            queue: queue.map_err(wrong("queuing"))?,
            shedder: shedder.map_err(wrong("load_shedding"))?,
        })
    }
}

/// What stands at a balancer's door.
#[derive(Default)]
pub(crate) struct Admission {
    pub(crate) queue: Option<Queue>,
    pub(crate) shedder: Option<Shedder>,
    /// How late the workers' loops are, where the shedder wants to know: they tell it themselves.
    pub(crate) loop_delay: Option<Arc<LoopDelay>>,
}

/// Why a request was not let in.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum AdmissionError {
    /// The machine or the pool is overloaded.
    #[error("overloaded: {0}")]
    Shed(Shed),
    /// It could not wait, or waited too long.
    #[error("{0}")]
    Refused(Refused),
    /// No backend could serve it, and waiting would not help.
    #[error(transparent)]
    Select(#[from] SelectError),
}

impl LoadBalancer {
    /// The queue, where there is one.
    pub fn queue(&self) -> Option<&Queue> {
        self.inner.admission.queue.as_ref()
    }

    /// What refuses requests while the machine is overloaded, where there is such a thing.
    pub fn shedder(&self) -> Option<&Shedder> {
        self.inner.admission.shedder.as_ref()
    }

    /// Where event loops that serve this balancer's requests tell how late they are, if the shedder wants to know: see
    /// [`LoopDelay::measure`].
    pub fn loop_delay(&self) -> Option<&Arc<LoopDelay>> {
        self.inner.admission.loop_delay.as_ref()
    }

    /// Whether a request may come in as far as load is concerned, by its priority. One atomic read while nothing is shed.
    ///
    /// # Errors
    /// It is refused, for this reason.
    #[inline]
    pub fn admit(&self, selection: &Selection) -> Result<(), Shed> {
        match &self.leaves()[selection.leaf()].inner.admission.shedder {
            None => Ok(()),
            Some(shedder) => shedder.admit(selection.priority),
        }
    }

    /// Picks a backend and counts the request in; while every backend that could serve it is at its limit, it waits in the
    /// queue, by its [`priority`](SelectOptions::priority) and up to its [`queue_timeout`](SelectOptions::queue_timeout). Without a queue
    /// this is [`select_backend_async`](Self::select_backend_async) after load shedding. The future borrows nothing of the request; dropping it leaves the
    /// queue at once.
    ///
    /// # Errors
    /// Load is shed, the queue is full, it waited too long, or no backend could serve it whenever.
    pub fn queue_request(
        &self,
        request: &RequestInfo<'_>,
        options: &SelectOptions,
    ) -> impl Future<Output = Result<Lease, AdmissionError>> + Send + use<> {
        let mut selection = self.selection(request, options);
        let (lb, timeout) = (self.clone(), options.queue_timeout);
        async move {
            lb.admit(&selection).map_err(AdmissionError::Shed)?;
            if lb.must_look_up(&selection) {
                lb.look_up(&mut selection).await;
            }
            let lease = match lb.acquire(&mut selection) {
                Ok(lease) => lease,
                Err(e) if lb.may_wait(&selection, &e) => lb.wait_in_line(&mut selection, timeout).await?,
                Err(e) if lb.inner.wait.timeout.is_zero() => return Err(e.into()),
                Err(_) => lb.acquire_async(&mut selection).await?,
            };
            Ok(if lb.must_agree(&selection) { lb.agree(&mut selection, lease).await } else { lease })
        }
    }

    /// Would waiting in the queue help this request, which got no lease?
    #[inline]
    pub fn may_wait(&self, selection: &Selection, error: &SelectError) -> bool {
        let leaf = &self.leaves()[selection.leaf()];
        leaf.inner.admission.queue.is_some() && (error.is_at_limit() || leaf.parks(error))
    }

    /// Is the first instance waited for, which whoever waits brings about?
    #[cfg(feature = "autoscale")]
    fn parks(&self, error: &SelectError) -> bool {
        self.awaits_instance(error)
    }

    #[cfg(not(feature = "autoscale"))]
    #[inline]
    fn parks(&self, _: &SelectError) -> bool {
        false
    }

    /// Waits in the queue for a lease; with `geo-aware` in the one of the region that the request came to. Where there is no queue it
    /// tries once more.
    ///
    /// # Errors
    /// See [`queue_request`](Self::queue_request).
    pub async fn wait_in_line(
        &self,
        selection: &mut Selection,
        timeout: Option<Duration>,
    ) -> Result<Lease, AdmissionError> {
        let leaf = &self.leaves()[selection.leaf()];
        let Some(queue) = &leaf.inner.admission.queue else { return Ok(self.acquire(selection)?) };
        // Before it joins: from now on the pool tells of each place that becomes free.
        let _counted = Waiter::new(leaf);
        let mut ticket = queue.join(selection.priority, timeout).map_err(AdmissionError::Refused)?;
        #[cfg(feature = "autoscale")]
        if let Some(scaling) = leaf.scaling().filter(|_| !leaf.is_usable() || leaf.is_at_zero()) {
            // Not only from the next look on.
            queue.suspend_overload(true);
            scaling.wake();
        }
        loop {
            // The first turn comes at once: what became free before it joined was told to nobody.
            ticket.turn().await.map_err(AdmissionError::Refused)?;
            selection.set_now(leaf.pool().now());
            selection.here.has_turn = true;
            let got = leaf.acquire_here(&mut selection.here);
            selection.here.has_turn = false;
            match got {
                Ok(lease) => {
                    ticket.served();
                    return Ok(lease);
                }
                Err(e) if e.is_at_limit() && is_for_all(&e) => ticket.none_free(),
                Err(e) if e.is_at_limit() => ticket.pass_on(),
                Err(e) if leaf.parks(&e) => ticket.none_free(),
                Err(e) => return Err(e.into()),
            }
        }
    }
}

/// Would any other request have got the same answer? Not if a reason is this one's own.
fn is_for_all(error: &SelectError) -> bool {
    use lb_types::Exclusion as E;
    match error {
        SelectError::NoneUsable(counts) => [E::AlreadyTried, E::Excluded, E::OtherRegion, E::OtherPriority]
            .iter()
            .all(|&e| counts.of(e) == 0),
        _ => false,
    }
}
