//! The live state of one backend *id*: it outlives every snapshot that keeps the id (and its address).

use crate::gate::{Gate, Overlooked, Shut};
use crate::histogram::{Histogram, HistogramSnapshot};
use crate::latency::{PeakEwma, Samples, penalty};
use crate::load::{Load, Reported};
use crate::load_tree;
use crate::shared::{Hooks, Shared};
use arc_swap::{ArcSwap, Guard as Loaded};
use lb_types::{Backend, BackendId, BackendUrl, Exclusion, Guard, LoadReport, Nanos, Outcome, Pass, Stance};
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

/// One backend's counters, gate and latencies. What every request touches stands first, beside the `Arc`'s own counts (16
/// bytes): 64 bytes together, so that taking and ending a lease moves one line, or two where the allocator aligns by less.
#[repr(C)]
pub struct BackendState {
    pub(crate) gate: Gate,
    /// The times to first byte in `histogram`, summed.
    ttfb_sum_us: AtomicU64,
    shared: Arc<Shared>,
    histogram: OnceLock<Box<Histogram>>,
    /// The weight that the load tree divides by, the bits of an `f32`; 0: not a candidate of the tree's level.
    pub(crate) tree_weight: AtomicU32,
    slot: u32,
    guard: Option<Arc<dyn Guard>>,
    /// What the pool was last told of the guard's stance.
    told: AtomicU8,
    /// Successes that are not in `histogram`.
    succeeded: AtomicU64,
    failed: AtomicU64,
    cancelled: AtomicU64,
    ewma: PeakEwma,
    samples: OnceLock<Box<Samples>>,
    load: OnceLock<Box<Load>>,
    uid: u64,
    id: BackendId,
    url: BackendUrl,
    spec: ArcSwap<Backend>,
}

impl std::fmt::Debug for BackendState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BackendState")
            .field("id", &self.id)
            .field("in_flight", &self.in_flight())
            .finish_non_exhaustive()
    }
}

impl BackendState {
    pub(crate) fn new(spec: Arc<Backend>, slot: u32, uid: u64, shared: Arc<Shared>) -> Self {
        let guard = shared.guards.as_ref().and_then(|make| make(&spec.id));
        let gate = Gate::default();
        gate.set_borne(guard.as_ref().and_then(|g| g.limit()));
        Self {
            gate,
            guard,
            told: AtomicU8::new(0),
            ttfb_sum_us: AtomicU64::new(0),
            shared,
            histogram: OnceLock::new(),
            tree_weight: AtomicU32::new(0),
            slot,
            succeeded: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            ewma: PeakEwma::default(),
            samples: OnceLock::new(),
            load: OnceLock::new(),
            uid,
            id: spec.id.clone(),
            url: spec.url.clone(),
            spec: ArcSwap::new(spec),
        }
    }

    /// The backend's id.
    pub fn id(&self) -> &BackendId {
        &self.id
    }

    /// The backend's address: fixed for the life of this state.
    pub fn url(&self) -> &BackendUrl {
        &self.url
    }

    /// A small number, dense over the pool's backends, for tables beside the pool. Used again after a backend is gone: compare
    /// [`uid`](Self::uid).
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// Never used again within the pool.
    pub fn uid(&self) -> u64 {
        self.uid
    }

    /// What was configured, as of the latest change.
    pub fn spec(&self) -> Loaded<Arc<Backend>> {
        self.spec.load()
    }

    pub(crate) fn set_spec(&self, spec: Arc<Backend>) {
        self.spec.store(spec);
    }

    /// Requests in flight.
    pub fn in_flight(&self) -> u32 {
        self.gate.in_flight()
    }

    /// The most requests in flight at this moment: as it is set, on a ramp less, and no more than it was found to bear.
    pub fn limit(&self) -> Option<u32> {
        self.gate.limit()
    }

    /// Why a request would be refused at this moment, whatever the snapshot says.
    pub fn refusal(&self) -> Option<Exclusion> {
        match self.gate.refusal() {
            Some(Exclusion::BreakerOpen) => self.refusal_past(Overlooked::default(), self.shared.clock.now()),
            other => other,
        }
    }

    /// The same, by the caller's clock.
    #[inline]
    pub(crate) fn refusal_at(&self, now: Nanos) -> Option<Exclusion> {
        match self.gate.refusal() {
            Some(Exclusion::BreakerOpen) => self.refusal_past(Overlooked::default(), now),
            other => other,
        }
    }

    /// Why a request would be refused for which some reasons do not count: by the gate, or by the guard behind it.
    #[cold]
    pub(crate) fn refusal_past(&self, over: Overlooked, now: Nanos) -> Option<Exclusion> {
        match self.gate.refusal_past(over) {
            Some(Exclusion::BreakerOpen) if self.stance(now).lets_pass() => {
                self.gate.refusal_past(over.and(Shut::Guarded))
            }
            other => other,
        }
    }

    /// What stands before this backend, if anything does.
    pub fn guard(&self) -> Option<&Arc<dyn Guard>> {
        self.guard.as_ref()
    }

    /// What the guard would say at `now`.
    pub(crate) fn stance(&self, now: Nanos) -> Stance {
        self.guard.as_ref().map_or(Stance::Clear, |g| g.stance(now))
    }

    /// Asks guard and gate to let a request in; with `seen`, only while exactly so many are in. `None`: not let in.
    #[inline]
    pub(crate) fn enter(&self, seen: Option<u32>, now: Nanos) -> Option<Pass> {
        let pass = match &self.guard {
            None => Pass(0),
            Some(guard) => guard.admit(now)?,
        };
        let entered = match seen {
            None => self.gate.enter().map(|_| true),
            Some(seen) => self.gate.enter_at(seen),
        };
        match entered {
            Ok(true) => Some(pass),
            Err(Exclusion::BreakerOpen) => self.enter_guarded(pass, seen, now),
            _ => {
                self.turned_away(pass, now);
                None
            }
        }
    }

    /// As [`enter`](Self::enter) for a request for which some reasons do not count.
    #[cold]
    pub(crate) fn enter_past(&self, over: Overlooked, now: Nanos) -> Result<Pass, Exclusion> {
        let pass = match &self.guard {
            None => Pass(0),
            Some(guard) => guard.admit(now).ok_or(Exclusion::BreakerOpen)?,
        };
        match self.gate.enter_past(over.and(Shut::Guarded), None) {
            Ok(_) => {
                if self.gate.is_shut(Shut::Guarded) {
                    self.guard_moved(now);
                }
                Ok(pass)
            }
            Err(why) => {
                self.turned_away(pass, now);
                Err(why)
            }
        }
    }

    /// The guard has let this request pass though it does not let pass everybody.
    #[cold]
    fn enter_guarded(&self, pass: Pass, seen: Option<u32>, now: Nanos) -> Option<Pass> {
        if self.gate.enter_past(Overlooked::only(Shut::Guarded), seen) == Ok(true) {
            // A probe took a permit, or began a half-open time.
            self.guard_moved(now);
            return Some(pass);
        }
        self.turned_away(pass, now);
        None
    }

    /// The gate did not let in whom the guard had let pass.
    fn turned_away(&self, pass: Pass, now: Nanos) {
        self.settle(pass, Outcome::Cancelled { after: Nanos::ZERO }, now);
    }

    #[inline]
    fn settle(&self, pass: Pass, outcome: Outcome, now: Nanos) {
        if let Some(guard) = &self.guard
            && guard.settle(pass, outcome, self.gate.in_flight(), now)
        {
            self.guard_moved(now);
        }
    }

    /// The guard's stance or limit may have changed: the gate, the load tree and the pool are told.
    #[cold]
    pub(crate) fn guard_moved(&self, now: Nanos) {
        self.gate.follow(Shut::Guarded, || self.stance(now) != Stance::Clear);
        let before = self.gate.limit();
        self.gate.set_borne(self.guard.as_ref().and_then(|g| g.limit()));
        self.touch_tree();
        if self.gate.limit().unwrap_or(u32::MAX) > before.unwrap_or(u32::MAX)
            && self.shared.hooks().has(Hooks::WAITERS)
        {
            self.shared.changed();
        }
        let class = match self.stance(now) {
            Stance::Clear => 0,
            Stance::Probing { .. } => 1,
            Stance::Refusing { .. } => 2,
        };
        if self.told.swap(class, SeqCst) != class {
            self.shared.changed();
            self.shared.attention();
        }
    }

    /// Counters and averages of this moment.
    pub fn stats(&self) -> BackendStats {
        BackendStats {
            in_flight: self.in_flight(),
            succeeded: self.succeeded.load(Relaxed) + self.histogram.get().map_or(0, |h| h.count()),
            failed: self.failed.load(Relaxed),
            cancelled: self.cancelled.load(Relaxed),
        }
    }

    /// Times to first byte of the successful requests; empty if the pool keeps no histograms.
    pub fn latency(&self) -> HistogramSnapshot {
        let sum_us = self.ttfb_sum_us.load(Relaxed);
        self.histogram.get().map_or_else(HistogramSnapshot::default, |h| h.snapshot_with(sum_us))
    }

    /// The pool's writer alone calls this, for these reasons.
    pub(crate) fn set_gate(&self, why: Shut, shut: bool) {
        if self.gate.is_shut(why) == shut {
            return;
        }
        if shut {
            self.gate.shut(why);
        } else {
            self.gate.reopen(why);
        }
        self.touch_tree();
    }

    /// The backend is as unmeasured as a new one.
    pub(crate) fn forget_latency(&self) {
        self.ewma.forget();
        if let Some(samples) = self.samples.get() {
            samples.forget();
        }
        if let Some(load) = self.load.get() {
            load.forget();
        }
    }

    pub(crate) fn prepare_samples(&self) {
        self.samples.get_or_init(Box::default);
    }

    pub(crate) fn prepare_load(&self) {
        self.load.get_or_init(Box::default);
    }

    /// Does the pool's algorithm weigh by what backends report, or does somebody else want to know ([`PoolSettings::load_reports`](crate::PoolSettings::load_reports))? Else [`report`](Self::report) is for nothing.
    #[inline]
    pub fn wants_reports(&self) -> bool {
        self.shared.hooks().has(Hooks::REPORTS)
    }

    /// What the backend says of its load. How its requests end it need not be asked: the leases say it.
    pub fn report(&self, report: &LoadReport, now: Nanos) {
        if let Some(load) = self.load.get() {
            self.shared.reports.record(load, report, now);
        }
    }

    /// The weight of its last report, if it counts at this time: see [`crate::load`].
    #[inline]
    pub fn reported_weight(&self, now: Nanos) -> Option<f64> {
        self.reported(now).map(|r| r.weight)
    }

    /// How utilised it said it is in the last report that told it, by its application where that is above 0, else by its CPU: 1.0 is all of what it has.
    /// `None`: it has not said so for a minute, or nobody wanted to know.
    pub fn reported_utilization(&self, now: Nanos) -> Option<f64> {
        self.load.get()?.utilization(now)
    }

    #[inline]
    pub(crate) fn reported(&self, now: Nanos) -> Option<Reported> {
        self.shared.reports.weight_of(self.load.get()?, now)
    }

    /// A report is doubted while the last request failed.
    #[inline]
    fn doubt(&self, outcome: Outcome) {
        if let Some(load) = self.load.get()
            && !matches!(outcome, Outcome::Cancelled { .. })
        {
            load.doubt(matches!(outcome, Outcome::Failure { .. }));
        }
    }

    /// The peak EWMA in µs; `None` before the first sample.
    pub(crate) fn ewma_us(&self, now: Nanos) -> Option<f32> {
        self.ewma.get(now, self.shared.decay_ms.load(Relaxed))
    }

    /// The mean of the last samples in µs; `None` without any in the window.
    pub(crate) fn mean_us(&self, now: Nanos) -> Option<f32> {
        self.samples.get()?.mean(now, self.shared.window_ms.load(Relaxed))
    }

    /// What the load tree sorts by: requests in flight (this one included) per weight; last if it may not be picked.
    pub(crate) fn load_key(&self) -> u32 {
        let weight = f32::from_bits(self.tree_weight.load(SeqCst));
        if weight == 0.0 || self.refusal().is_some() {
            return load_tree::CLOSED;
        }
        load_tree::key(self.gate.in_flight(), weight)
    }

    /// Carries a change of [`load_key`](Self::load_key) into the tree, if there is one.
    #[inline]
    pub(crate) fn touch_tree(&self) {
        if self.shared.hooks().has(Hooks::TREE) {
            self.shared.touch_tree(self);
        }
    }

    /// The bookkeeping of a request that was let in by the gate. `true`: it was counted into the pool's total.
    #[inline]
    pub(crate) fn entered(&self) -> bool {
        let hooks = self.shared.hooks();
        if hooks.has(Hooks::TREE) {
            self.shared.touch_tree(self);
        }
        let counted = hooks.has(Hooks::TOTAL);
        if counted {
            self.shared.total.fetch_add(1, Relaxed);
        }
        counted
    }

    /// Ends a request. `counted`: it had been counted into the pool's total.
    #[inline]
    pub(crate) fn left(&self, outcome: Outcome, started: Nanos, counted: bool, pass: Pass) {
        let hooks = self.shared.hooks();
        self.settle(pass, outcome, started + outcome.elapsed());
        if hooks.has(Hooks::REPORTS) {
            self.doubt(outcome);
        }
        match outcome {
            Outcome::Success { ttfb } => {
                // The histogram's own count is the count of successes: one write less a request.
                if hooks.has(Hooks::HISTOGRAM) {
                    let us = ttfb.as_micros();
                    self.ttfb_sum_us.fetch_add(us, Relaxed);
                    self.histogram.get_or_init(Box::default).count_in(us);
                } else {
                    self.succeeded.fetch_add(1, Relaxed);
                }
                if hooks.has(Hooks::LATENCY) {
                    self.observe(ttfb, started + ttfb);
                }
            }
            Outcome::Failure { after, .. } => {
                self.failed.fetch_add(1, Relaxed);
                if hooks.has(Hooks::LATENCY) {
                    let now = started + after;
                    let mean = self.mean_us(now).or_else(|| self.ewma_us(now));
                    self.observe(penalty(after, mean), now);
                }
            }
            Outcome::Cancelled { after } => {
                self.cancelled.fetch_add(1, Relaxed);
                if hooks.has(Hooks::LATENCY) {
                    self.observe_at_least(after, started + after);
                }
            }
        }
        let last_of_shut = self.gate.leave();
        // Read again, after the count went down: who plants a tree, or waits for a place, sees either that count or is seen here.
        let hooks = self.shared.hooks();
        if hooks.has(Hooks::TREE) {
            self.shared.touch_tree(self);
        }
        if counted {
            self.shared.total.fetch_sub(1, Relaxed);
        }
        if last_of_shut {
            self.shared.changed();
        } else if hooks.has(Hooks::WAITERS) {
            self.shared.freed();
        }
    }

    /// Ends a request whose lease was dropped.
    #[cold]
    pub(crate) fn abandoned(&self, started: Nanos, counted: bool, pass: Pass) {
        let after = self.shared.clock.now() - started;
        self.left(Outcome::Cancelled { after }, started, counted, pass);
    }

    fn observe(&self, sample: Nanos, now: Nanos) {
        self.ewma.record(sample, now, self.shared.decay_ms.load(Relaxed));
        self.observe_mean(sample, now);
    }

    fn observe_mean(&self, sample: Nanos, now: Nanos) {
        if let Some(samples) = self.samples.get() {
            let (window, n) = (self.shared.window_ms.load(Relaxed), self.shared.samples.load(Relaxed));
            samples.record(sample, now, window, n);
        }
    }

    /// A client that left after `after` says "at least that long": it can raise what is known or assumed, never lower it. A
    /// backend of which nothing is known but that is no longer unmeasured: a hung one must not stay first in line.
    fn observe_at_least(&self, after: Nanos, now: Nanos) {
        let us = after.as_micros() as f32;
        if us > self.ewma_us(now).unwrap_or(self.shared.default_rtt_us.load(Relaxed) as f32) {
            self.ewma.record(after, now, self.shared.decay_ms.load(Relaxed));
        }
        if self.mean_us(now).is_none_or(|known| us > known) {
            self.observe_mean(after, now);
        }
    }
}

/// Counters of one backend since it was added (or its address changed).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct BackendStats {
    /// Requests in flight.
    pub in_flight: u32,
    /// Requests that ended well.
    pub succeeded: u64,
    /// Requests that failed.
    pub failed: u64,
    /// Requests whose client left.
    pub cancelled: u64,
}

impl BackendStats {
    /// All requests that have ended.
    pub fn requests(&self) -> u64 {
        self.succeeded + self.failed + self.cancelled
    }
}
