//! The door of a pool: whether a request may come in now, and what it is told if not.
//!
//! Rate limits and load shedding are asked before a backend is chosen, so that a refusal costs next to nothing. The queue comes after: a
//! request waits in it while every backend that could serve it is at its limit.

use crate::body::ProxyBody;
use crate::engine::RequestBody;
use crate::error::ProxyError;
use crate::fallback::Fallback;
use crate::limit::RateLimiting;
use crate::proxy::Client;
use crate::service::Service;
use crate::settings::ProxySettings;
use crate::stats::Counters;
use crate::timer::{Phase, Watch};
use http::Response;
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use lb_admission::Priority;
use lb_admission::queue::{Queue, Refused};
use lb_admission::rate_limit::Decision;
use lb_balancer::{AdmissionError, LoadBalancer, Selection};
use lb_core::{Lease, SelectError};
use lb_types::FixedResponse;
use std::sync::Arc;
use std::time::Duration;

/// What a client is told whose request cannot wait, or waited too long; an estimated `Retry-After` is added.
pub(crate) fn queue_response() -> FixedResponse {
    FixedResponse::new(503, "Service busy, please try again later")
}

/// What stands before the backends of one pool.
pub(crate) struct Door {
    usual: Priority,
    /// Where trusted proxies name the priority, and what its levels are called.
    header: Option<(HeaderName, Queue)>,
    pub(crate) limit: Option<Arc<RateLimiting>>,
    shed: Option<Fallback>,
    queue: Option<Fallback>,
}

impl Door {
    /// `None` where nothing stands there.
    pub(crate) fn new(s: &ProxySettings, lb: &LoadBalancer) -> Option<Self> {
        if lb.queue().is_none() && lb.shedder().is_none() && s.rate_limit.is_none() {
            return None;
        }
        let queue = |_: &Queue| Fallback::new(&s.queue_response.clone().unwrap_or_else(queue_response));
        Some(Self {
            usual: lb.queue().map_or(Priority::default(), |q| q.settings().default_level()),
            header: s.priority_header.clone().zip(lb.queue().cloned()),
            limit: s.rate_limit.clone(),
            shed: lb.shedder().map(|s| Fallback::new(&s.settings().shed_response)),
            queue: lb.queue().map(queue),
        })
    }

    /// The request's priority, `usual` being its route's. What strangers say of it is taken out: who comes after us may trust us.
    #[inline]
    pub(crate) fn priority(
        &self,
        headers: &mut HeaderMap,
        usual: Option<Priority>,
        client: &Client,
    ) -> Priority {
        let usual = usual.unwrap_or(self.usual);
        let Some((name, queue)) = &self.header else { return usual };
        if client.trust.is_none() {
            headers.remove(name);
            return usual;
        }
        let named = headers.get(name).and_then(|v| queue.settings().level_named(v.to_str().ok()?.trim()));
        named.unwrap_or(usual)
    }
}

/// Why a request that waited for a backend got none.
pub(crate) enum NotServed {
    /// By the queue.
    Refused(Refused),
    /// By the balancer: waiting would not have helped.
    Select(SelectError),
}

impl<B: RequestBody> Service<B> {
    /// A request that found no backend waits for one, where that may help.
    #[cold]
    pub(crate) async fn wait_for_backend(
        &self,
        selection: &mut Selection,
        error: SelectError,
        watch: &Arc<Watch>,
    ) -> Result<Lease, NotServed> {
        let lb = &self.balancer;
        let now = watch.now();
        // It is the queue that says when waiting is over, and the exchange as a whole.
        let left = watch.cap() - now;
        if lb.may_wait(selection, &error) {
            watch.arm(Phase::Backoff, now, Duration::MAX);
            let timeout =
                lb.leaves()[selection.leaf()].queue().map_or(Duration::ZERO, |q| q.settings().timeout);
            let served = lb.wait_in_line(selection, Some(timeout.min(left.as_duration()))).await;
            return served.map_err(|e| match e {
                AdmissionError::Refused(refused) => NotServed::Refused(refused),
                AdmissionError::Select(e) => NotServed::Select(e),
                _ => NotServed::Select(error),
            });
        }
        if !self.upstream(selection.leaf()).settings.waits_for_usable {
            return Err(NotServed::Select(error));
        }
        watch.arm(Phase::Backoff, now, Duration::MAX);
        let waited = tokio::time::timeout(left.as_duration(), lb.acquire_async(selection)).await;
        waited.unwrap_or(Err(error)).map_err(NotServed::Select)
    }

    /// What a client is told whose request could not wait for a backend.
    pub(crate) fn refused_by_queue(
        &self,
        leaf: usize,
        refused: Refused,
        is_head: bool,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Response<ProxyBody<B>> {
        tracing::debug!(reason = refused.as_str(), "refused by the queue");
        let queue = self.balancer.leaves()[leaf].queue();
        let after = queue.map_or(Duration::from_secs(1), Queue::retry_after);
        let response = self.upstream(leaf).door.as_ref().and_then(|d| d.queue.as_ref());
        self.turned_away(response, Some(after), is_head, client, watch)
    }

    /// What a client is told whose request is shed.
    pub(crate) fn shed(
        &self,
        leaf: usize,
        is_head: bool,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Response<ProxyBody<B>> {
        let response = self.upstream(leaf).door.as_ref().and_then(|d| d.shed.as_ref());
        self.turned_away(response, None, is_head, client, watch)
    }

    fn turned_away(
        &self,
        response: Option<&Fallback>,
        retry_after: Option<Duration>,
        is_head: bool,
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Response<ProxyBody<B>> {
        watch.rest(watch.now(), client.limits.idle_timeout);
        Counters::count(&self.counters.turned_away);
        let (mut parts, body) = match response {
            Some(response) => response.response(is_head),
            None => ProxyError::Overloaded.response(false),
        };
        if let Some(after) = retry_after {
            let seconds = HeaderValue::from(after.as_secs().max(1));
            parts.headers.entry(header::RETRY_AFTER).or_insert(seconds);
        }
        Response::from_parts(parts, ProxyBody::own(body))
    }

    /// What a client is told that makes too many requests.
    pub(crate) fn limited(
        &self,
        decision: &Decision,
        (limit, json): (&RateLimiting, bool),
        client: &Client,
        watch: &Arc<Watch>,
    ) -> Response<ProxyBody<B>> {
        watch.rest(watch.now(), client.limits.idle_timeout);
        Counters::count(&self.counters.rate_limited);
        let (mut parts, body) = ProxyError::RateLimited.response(json);
        limit.tell(decision, &mut parts.headers);
        Response::from_parts(parts, ProxyBody::error(body))
    }
}
