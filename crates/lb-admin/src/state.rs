//! What the admin server looks at.

use crate::metrics::{FaultCounts, MetricsSource};
use crate::splits::SplitControl;
use lb_balancer::{GeoDetector, LoadBalancer};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;
use tokio::sync::watch;

/// What the admin server looks at.
pub struct AdminState {
    pub(crate) pools: BTreeMap<String, LoadBalancer>,
    /// By the pools' names.
    pub(crate) faults: BTreeMap<String, FaultCounts>,
    pub(crate) ready: watch::Receiver<bool>,
    pub(crate) sources: Vec<Arc<dyn MetricsSource>>,
    pub(crate) started: SystemTime,
    /// The pools that requests come to; none: all of them.
    pub(crate) entries: Vec<String>,
    pub(crate) splits: Option<Arc<dyn SplitControl>>,
    pub(crate) geo: Option<Arc<dyn Fn() -> Option<GeoDetector> + Send + Sync>>,
}

impl AdminState {
    /// These pools by name. `ready` is `true` while the listeners take requests; once its sender is gone, its last value counts.
    /// The process counts as started now.
    pub fn new(
        pools: impl IntoIterator<Item = (String, LoadBalancer)>,
        ready: watch::Receiver<bool>,
    ) -> Self {
        let pools: BTreeMap<_, _> = pools.into_iter().collect();
        let faults = pools.iter().map(|(name, lb)| (name.clone(), FaultCounts::of(lb))).collect();
        Self {
            pools,
            faults,
            ready,
            sources: vec![],
            started: SystemTime::now(),
            entries: vec![],
            splits: None,
            geo: None,
        }
    }

    /// Adds metrics from elsewhere (the proxy's, say) to every scrape.
    #[must_use]
    pub fn metrics_from(mut self, source: impl MetricsSource) -> Self {
        self.sources.push(Arc::new(source));
        self
    }

    /// The pool that requests come to: what `explain` asks about if it is not told.
    #[must_use]
    pub fn entry(mut self, pool: impl Into<String>) -> Self {
        self.entries = vec![pool.into()];
        self
    }

    /// The pools that requests come to, where routes lead to several; the others are regions of theirs.
    #[must_use]
    pub fn entries(mut self, pools: impl IntoIterator<Item = String>) -> Self {
        self.entries = pools.into_iter().collect();
        self
    }

    /// The pool that all requests come to, if there is one.
    pub(crate) fn only_entry(&self) -> Option<&String> {
        match &self.entries[..] {
            [only] => Some(only),
            _ => None,
        }
    }

    /// What says where clients are, asked for when somebody wants to know.
    #[must_use]
    pub fn geo(mut self, detector: impl Fn() -> Option<GeoDetector> + Send + Sync + 'static) -> Self {
        self.geo = Some(Arc::new(detector));
        self
    }

    /// The splits, and who guides their rollouts.
    #[must_use]
    pub fn splits(mut self, control: impl SplitControl) -> Self {
        self.splits = Some(Arc::new(control));
        self
    }

    /// When the process started, for `process_start_time_seconds`.
    #[must_use]
    pub fn started(mut self, started: SystemTime) -> Self {
        self.started = started;
        self
    }

    /// Why no traffic should be sent here; empty: it may.
    pub(crate) fn not_ready(&self) -> Vec<String> {
        let mut reasons = vec![];
        if !*self.ready.borrow() {
            reasons.push("the listeners take no requests: starting or shutting down".to_owned());
        }
        // Of a region's pool that is down the others take over: what requests come to counts. Where routes lead to several pools, one that
        // serves is enough: a node that is taken out for one pool would be missed by the others.
        let counts = |name: &String| self.entries.is_empty() || self.entries.contains(name);
        let counted = || self.pools.iter().filter(|(name, _)| counts(name));
        if self.entries.len() > 1 && counted().any(|(_, lb)| lb.is_usable()) {
            return reasons;
        }
        for (name, lb) in counted().filter(|(_, lb)| !lb.is_usable()) {
            let n = lb.leaves().iter().map(|leaf| leaf.all_backends().len()).sum::<usize>();
            reasons.push(match n {
                0 => format!("pool \"{name}\" has no backends"),
                n => format!("pool \"{name}\": none of {n} backends is usable"),
            });
        }
        reasons
    }
}

impl std::fmt::Debug for AdminState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AdminState").field("pools", &self.pools.keys()).finish_non_exhaustive()
    }
}
