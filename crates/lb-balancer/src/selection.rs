//! One request's picks, over all its tries: what was found out about the request once, and what it has tried.
//!
//! ```text
//! request ─► selection ─► region (geo-aware: which balancer; geo-based: which backends first)
//!                │      ─► session: who is it, and which backend has it?
//!                │      ─► cache: where did it go last?
//!                ▼
//!            acquire ─► the session's or the cache's backend, if it may be had; else the algorithm's pick
//! ```
//!
//! A selection looks at the request once, and holds nothing of it: it can be kept across awaits and retries.

#[cfg(feature = "cache")]
use crate::cache::Cached;
#[cfg(feature = "geo")]
use crate::geo::regional::Elsewhere;
#[cfg(feature = "sessions")]
use crate::sessions::Bound;
use crate::{LoadBalancer, SelectOptions};
use lb_core::{BackendState, Explanation, Lease, PickContext, SelectError, Step};
use lb_types::{Nanos, RequestInfo};

/// See the module's documentation.
#[derive(Debug)]
pub struct Selection {
    pub(crate) here: Here,
    #[cfg(feature = "admission")]
    pub(crate) priority: lb_admission::Priority,
    /// What is needed to go on to another region's balancer.
    #[cfg(feature = "geo")]
    pub(crate) elsewhere: Option<Box<Elsewhere>>,
}

/// What holds within one balancer.
#[derive(Debug)]
pub(crate) struct Here {
    /// Which of [`LoadBalancer::leaves`] it is.
    pub(crate) leaf: usize,
    pub(crate) cx: PickContext<'static>,
    #[cfg(feature = "sessions")]
    pub(crate) session: Option<Box<Bound>>,
    #[cfg(feature = "cache")]
    pub(crate) cached: Option<Cached>,
    /// It is this request's turn in the queue: what is free is not for others.
    #[cfg(feature = "admission")]
    pub(crate) has_turn: bool,
}

impl Here {
    /// Of a request of which nothing is known but when it comes.
    pub(crate) fn plain(leaf: usize, cx: PickContext<'static>) -> Self {
        Self {
            leaf,
            cx,
            #[cfg(feature = "sessions")]
            session: None,
            #[cfg(feature = "cache")]
            cached: None,
            #[cfg(feature = "admission")]
            has_turn: false,
        }
    }
}

impl Selection {
    pub(crate) fn new(here: Here) -> Self {
        Self {
            here,
            #[cfg(feature = "admission")]
            priority: lb_admission::Priority::default(),
            #[cfg(feature = "geo")]
            elsewhere: None,
        }
    }

    /// Who goes first where not all can; as the options said, or as it is found out now.
    #[cfg(feature = "admission")]
    pub fn set_priority(&mut self, priority: lb_admission::Priority) {
        self.priority = priority;
    }

    /// The time of the next pick, by the balancer's clock.
    #[inline]
    pub fn now(&self) -> Nanos {
        self.here.cx.now
    }

    /// Sets the time of the next pick: before a retry.
    #[inline]
    pub fn set_now(&mut self, now: Nanos) {
        self.here.cx.now = now;
    }

    /// Which of [`LoadBalancer::leaves`] gave the last lease: 0 but for `geo-aware`.
    #[inline]
    pub fn leaf(&self) -> usize {
        self.here.leaf
    }

    /// The request failed on the backend of its last lease: another is taken while one is usable.
    pub fn tried(&mut self, backend: &BackendState) {
        self.here.cx.tried(backend);
    }

    /// The backend of its last lease must not be taken, whatever happens.
    pub fn exclude(&mut self, backend: &BackendState) {
        self.here.cx.exclude(backend);
    }

    /// The same request once more, beside the try on `backend`: never there, and bound to nothing.
    #[must_use]
    pub fn beside(&self, backend: &BackendState) -> Self {
        let mut cx = self.here.cx.clone();
        cx.exclude(backend);
        Self::new(Here::plain(self.here.leaf, cx))
    }
}

impl LoadBalancer {
    /// Looks at a request: all that its picks will need. Synchronous, local state only.
    pub fn selection(&self, request: &RequestInfo<'_>, options: &SelectOptions) -> Selection {
        let selection = self.look_at(request, options);
        #[cfg(feature = "admission")]
        let selection = Selection { priority: options.priority, ..selection };
        selection
    }

    #[inline]
    fn look_at(&self, request: &RequestInfo<'_>, options: &SelectOptions) -> Selection {
        #[cfg(feature = "geo")]
        if let Some(regional) = &self.inner.regional {
            return regional.selection(request, options, self.random());
        }
        Selection::new(self.here(0, request, options, &mut None))
    }

    /// The same within this balancer. Each step is written down where somebody asks.
    pub(crate) fn here(
        &self,
        leaf: usize,
        request: &RequestInfo<'_>,
        options: &SelectOptions,
        steps: &mut Option<Vec<Step>>,
    ) -> Here {
        let mut here = Here::plain(leaf, self.context(request, options));
        #[cfg(feature = "geo")]
        if let Some(geo) = &self.inner.geo {
            here.cx.region = geo.region(request, options, steps);
        }
        #[cfg(feature = "sessions")]
        if let Some(sessions) = &self.inner.sessions {
            here.session = sessions.resolve(request, options, here.cx.now, steps);
        }
        #[cfg(feature = "cache")]
        if let Some(cache) = &self.inner.cache {
            here.cached = cache.look_up(request, here.cx.now);
        }
        let _ = (&mut here, steps);
        here
    }

    /// Time, randomness, key and exclusions.
    fn context(&self, request: &RequestInfo<'_>, options: &SelectOptions) -> PickContext<'static> {
        let mut cx = PickContext::new(self.pool().now(), self.random());
        cx.key = match &options.key {
            Some(key) => self.pool().key_of(key),
            None => self.pool().key(request),
        };
        if !options.exclude.is_empty() {
            let snapshot = self.pool().snapshot();
            for id in &options.exclude {
                if let Some(m) = snapshot.get(id) {
                    cx.exclude(m.state());
                }
            }
        }
        cx
    }

    /// Picks a backend and counts the request in: as [`select_backend`](Self::select_backend), for a request that has been looked at.
    ///
    /// # Errors
    /// When no backend is usable, with the reasons; or when the session's is not and it may go to no other (`strict`).
    #[inline]
    pub fn acquire(&self, selection: &mut Selection) -> Result<Lease, SelectError> {
        #[cfg(feature = "geo")]
        if let Some(regional) = &self.inner.regional {
            return regional.acquire(selection);
        }
        self.acquire_here(&mut selection.here)
    }

    #[inline]
    pub(crate) fn acquire_here(&self, here: &mut Here) -> Result<Lease, SelectError> {
        #[cfg(feature = "admission")]
        if let Some(queue) = &self.inner.admission.queue
            && queue.is_waiting()
            && !here.has_turn
        {
            return Err(SelectError::reserved());
        }
        #[cfg(feature = "sessions")]
        if self.inner.sessions.is_some() && here.session.is_some() {
            return self.acquire_in_session(here);
        }
        self.pick_here(here)
    }

    #[cfg(feature = "sessions")]
    #[inline(never)]
    fn acquire_in_session(&self, here: &mut Here) -> Result<Lease, SelectError> {
        let Some(sessions) = &self.inner.sessions else { return self.pick_here(here) };
        // Apart for a moment, so that the session can be changed while its backend is picked.
        let Some(mut bound) = here.session.take() else { return self.pick_here(here) };
        let lease = sessions.acquire(self, &mut bound, here);
        here.session = Some(bound);
        lease
    }

    /// The cache's backend, or the algorithm's.
    #[inline]
    pub(crate) fn pick_here(&self, here: &mut Here) -> Result<Lease, SelectError> {
        #[cfg(feature = "cache")]
        if let (Some(cache), Some(cached)) = (&self.inner.cache, &mut here.cached) {
            return cache.acquire(self.pool(), cached, &mut here.cx);
        }
        self.pool().acquire(&mut here.cx)
    }

    /// Is there a usable backend, as far as a look can tell, that this request has not tried and may go to?
    pub fn has_another(&self, selection: &Selection) -> bool {
        #[cfg(feature = "geo")]
        if let Some(regional) = &self.inner.regional {
            return regional.has_another(selection);
        }
        self.has_another_here(&selection.here)
    }

    pub(crate) fn has_another_here(&self, here: &Here) -> bool {
        #[cfg(feature = "sessions")]
        if let (Some(sessions), Some(bound)) = (&self.inner.sessions, &here.session)
            && sessions.is_tied(bound)
        {
            return false;
        }
        self.pool().snapshot().usable().any(|m| here.cx.is_new(m.state()))
    }

    /// May this request be served by another balancer than this one? Not if its session is tied to a backend here.
    #[cfg(feature = "geo")]
    pub(crate) fn may_leave(&self, here: &Here) -> bool {
        #[cfg(feature = "sessions")]
        if let (Some(sessions), Some(bound)) = (&self.inner.sessions, &here.session) {
            return !sessions.is_tied(bound);
        }
        let _ = here;
        true
    }

    /// Has this request a session here whose backend may be had, or that may go nowhere else?
    #[cfg(feature = "geo")]
    pub(crate) fn is_at_home(&self, here: &Here) -> bool {
        #[cfg(feature = "sessions")]
        if let (Some(sessions), Some(bound)) = (&self.inner.sessions, &here.session) {
            return sessions.is_at_home(self.pool(), bound, &here.cx);
        }
        let _ = here;
        false
    }

    /// The balancers that give leases: this one, or with `geo-aware` each region's, in the regions' order.
    pub fn leaves(&self) -> &[LoadBalancer] {
        #[cfg(feature = "geo")]
        if let Some(regional) = &self.inner.regional {
            return regional.leaves();
        }
        std::slice::from_ref(self)
    }

    /// Must the store be asked about this request's session or place in the cache before its first pick?
    #[inline]
    pub fn must_look_up(&self, selection: &Selection) -> bool {
        let (_leaf, _here) = (&self.leaves()[selection.here.leaf], &selection.here);
        #[cfg(feature = "sessions")]
        if let (Some(sessions), Some(bound)) = (&_leaf.inner.sessions, &_here.session)
            && sessions.must_look_up(bound)
        {
            return true;
        }
        #[cfg(feature = "cache")]
        if let (Some(cache), Some(cached)) = (&_leaf.inner.cache, &_here.cached)
            && cache.must_look_up(cached)
        {
            return true;
        }
        false
    }

    /// Asks the store, within its time limit. When it is away, the request goes on with what is known here.
    #[cfg(feature = "runtime")]
    pub async fn look_up(&self, selection: &mut Selection) {
        let (_leaf, _here) = (&self.leaves()[selection.here.leaf], &mut selection.here);
        #[cfg(feature = "sessions")]
        if let (Some(sessions), Some(bound)) = (&_leaf.inner.sessions, &mut _here.session) {
            sessions.look_up(bound).await;
        }
        #[cfg(feature = "cache")]
        if let (Some(cache), Some(cached)) = (&_leaf.inner.cache, &mut _here.cached) {
            cache.look_up_shared(cached).await;
        }
    }

    /// Was a session bound just now that other nodes might bind, too? Then [`agree`](Self::agree).
    #[inline]
    pub fn must_agree(&self, selection: &Selection) -> bool {
        #[cfg(feature = "sessions")]
        if let Some(bound) = &selection.here.session {
            return bound.must_agree();
        }
        let _ = selection;
        false
    }

    /// Asks the store which backend counts for the session that was bound with this lease, within its time limit; gives the lease on
    /// that one.
    #[cfg(feature = "runtime")]
    pub async fn agree(&self, selection: &mut Selection, lease: Lease) -> Lease {
        #[cfg(feature = "sessions")]
        {
            let leaf = &self.leaves()[selection.here.leaf];
            let Here { session, cx, .. } = &mut selection.here;
            if let (Some(sessions), Some(bound)) = (&leaf.inner.sessions, session) {
                return sessions.agree(leaf.pool(), bound, cx, lease).await;
            }
        }
        let _ = selection;
        lease
    }

    /// Why a request would go where it would go. Counts nothing in.
    pub fn explain(&self, request: &RequestInfo<'_>, options: &SelectOptions) -> Explanation {
        #[cfg(feature = "geo")]
        if let Some(regional) = &self.inner.regional {
            return regional.explain(request, options, self.random());
        }
        let mut steps = Some(vec![]);
        let here = self.here(0, request, options, &mut steps);
        self.explain_here(&here, steps)
    }

    pub(crate) fn explain_here(&self, here: &Here, mut steps: Option<Vec<Step>>) -> Explanation {
        let mut said = self.explained(here, &mut steps);
        said.steps = steps.unwrap_or_default();
        said
    }

    fn explained(&self, here: &Here, steps: &mut Option<Vec<Step>>) -> Explanation {
        #[cfg(feature = "sessions")]
        if let (Some(sessions), Some(bound)) = (&self.inner.sessions, &here.session) {
            return sessions.explain(self, bound, here, steps);
        }
        self.explain_pick(here, &here.cx, steps)
    }

    /// What [`pick_here`](Self::pick_here) would do with this context.
    pub(crate) fn explain_pick(
        &self,
        here: &Here,
        cx: &PickContext<'static>,
        steps: &mut Option<Vec<Step>>,
    ) -> Explanation {
        #[cfg(feature = "cache")]
        if let (Some(cache), Some(cached)) = (&self.inner.cache, &here.cached)
            && let Some(said) = cache.explain(self.pool(), cached, cx, steps)
        {
            return said;
        }
        let _ = (here, steps);
        self.pool().explain(cx)
    }
}

/// Writes a step down where somebody asks.
#[cfg(any(feature = "sessions", feature = "geo", feature = "cache"))]
pub(crate) fn note(steps: &mut Option<Vec<Step>>, about: &'static str, what: impl FnOnce() -> String) {
    if let Some(steps) = steps {
        steps.push(Step { about, what: what() });
    }
}
