//! What a user says of one backend.

use crate::{AgentOverride, BackendId, BackendUrl, HealthCheckOverride};
use std::collections::BTreeMap;

/// One backend, as it was configured or discovered.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Backend {
    /// Unique within its pool.
    pub id: BackendId,
    /// Where it is.
    pub url: BackendUrl,
    /// Its share of the traffic, relative to the others'; default 1. 0: no new traffic, but valid affinity still routes.
    pub weight: u32,
    /// The most requests in flight; overrides the pool's. `None`: the pool's.
    pub max_connections: Option<u32>,
    /// Anything the user wants to say of it: region, zone, capacity, version.
    pub metadata: BTreeMap<String, String>,
    /// What differs from the pool's health check.
    pub health_check: Option<HealthCheckOverride>,
    /// What differs from the pool's agent check.
    pub agent: Option<AgentOverride>,
    /// Takes no requests at all.
    pub disabled: bool,
    /// Serves only when no primary is usable.
    pub backup: bool,
    /// The spill-over level: 0 first.
    pub priority: u32,
}

impl Backend {
    /// A backend of weight 1 with no options set.
    pub fn new(id: impl Into<BackendId>, url: BackendUrl) -> Self {
        Self {
            id: id.into(),
            url,
            weight: 1,
            max_connections: None,
            metadata: BTreeMap::new(),
            health_check: None,
            agent: None,
            disabled: false,
            backup: false,
            priority: 0,
        }
    }

    /// Sets the weight.
    #[must_use]
    pub fn weight(mut self, weight: u32) -> Self {
        self.weight = weight;
        self
    }

    /// Sets the most requests in flight; overrides the pool's.
    #[must_use]
    pub fn max_connections(mut self, max: u32) -> Self {
        self.max_connections = Some(max);
        self
    }

    /// Adds an entry of metadata.
    #[must_use]
    pub fn metadata(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.metadata.insert(key.into(), value.into());
        self
    }

    /// Sets what differs from the pool's health check.
    #[must_use]
    pub fn health_check(mut self, health_check: HealthCheckOverride) -> Self {
        self.health_check = Some(health_check);
        self
    }

    /// Sets what differs from the pool's agent check.
    #[must_use]
    pub fn agent(mut self, agent: AgentOverride) -> Self {
        self.agent = Some(agent);
        self
    }

    /// Takes no requests at all.
    #[must_use]
    pub fn disabled(mut self, disabled: bool) -> Self {
        self.disabled = disabled;
        self
    }

    /// Serves only when no primary is usable.
    #[must_use]
    pub fn backup(mut self, backup: bool) -> Self {
        self.backup = backup;
        self
    }

    /// Sets the spill-over level: 0 first.
    #[must_use]
    pub fn priority(mut self, priority: u32) -> Self {
        self.priority = priority;
        self
    }
}

/// A change to one backend: `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct BackendPatch {
    /// Another address: the backend's counters, health and latency start anew.
    pub url: Option<BackendUrl>,
    /// Another weight.
    pub weight: Option<u32>,
    /// Another limit; `Some(None)` goes back to the pool's.
    pub max_connections: Option<Option<u32>>,
    /// Replaces all metadata.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Another health check override; `Some(None)` removes it.
    pub health_check: Option<Option<HealthCheckOverride>>,
    /// Another agent check override; `Some(None)` removes it.
    pub agent: Option<Option<AgentOverride>>,
    /// Disables or enables it.
    pub disabled: Option<bool>,
    /// Makes it a backup or a primary.
    pub backup: Option<bool>,
    /// Moves it to another spill-over level.
    pub priority: Option<u32>,
}

impl BackendPatch {
    /// A patch of the weight alone.
    pub fn weight(weight: u32) -> Self {
        Self { weight: Some(weight), ..Self::default() }
    }

    /// Applies the patch.
    pub fn apply_to(self, b: &mut Backend) {
        let Self { url, weight, max_connections, metadata, health_check, agent, disabled, backup, priority } =
            self;
        fn set<T>(field: &mut T, value: Option<T>) {
            if let Some(v) = value {
                *field = v;
            }
        }
        set(&mut b.url, url);
        set(&mut b.weight, weight);
        set(&mut b.max_connections, max_connections);
        set(&mut b.metadata, metadata);
        set(&mut b.health_check, health_check);
        set(&mut b.agent, agent);
        set(&mut b.disabled, disabled);
        set(&mut b.backup, backup);
        set(&mut b.priority, priority);
    }
}
