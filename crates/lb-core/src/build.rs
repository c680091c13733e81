//! From what is known of a pool's backends to the snapshot that requests see: eligibility is decided here, in one place.

use crate::groups::{Group, groups, health, judged, regions};
use crate::load_tree::LoadTree;
use crate::policy::{self, Build, HashTable, TREE_FROM, TableKey};
use crate::ramp;
use crate::settings::{Algorithm, PoolSettings};
use crate::shared::{Hooks, Shared};
use crate::snapshot::{Level, Member, Snapshot};
use crate::state::BackendState;
use foldhash::HashMap;
use lb_types::{Address, AgentMode, AgentReport, Backend, BackendId, Exclusion, Nanos, Stance};
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// How far a backend is on its way out, by the user's will.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Draining {
    #[default]
    Not,
    /// It gets nobody new; who is bound to it still comes.
    NobodyNew,
    /// Nobody comes.
    Nobody,
}

/// A backend as its pool's writer knows it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) state: Arc<BackendState>,
    pub(crate) spec: Arc<Backend>,
    pub(crate) healthy: bool,
    pub(crate) draining: Draining,
    /// Passive detection took it out.
    pub(crate) ejected: bool,
    /// What its agent has said so far.
    pub(crate) agent: AgentReport,
    /// What its guard said when it was last asked.
    pub(crate) stance: Stance,
    /// When its slow start began.
    pub(crate) ramp_from: Option<Nanos>,
}

impl Entry {
    /// A new backend, of which nothing bad is known.
    pub(crate) fn new(
        state: Arc<BackendState>,
        spec: Arc<Backend>,
        draining: Draining,
        ramp_from: Option<Nanos>,
    ) -> Self {
        let agent = AgentReport::default();
        Self { state, spec, healthy: true, draining, ejected: false, agent, stance: Stance::Clear, ramp_from }
    }

    /// The verdict of active checks and of the agent.
    pub(crate) fn is_healthy(&self) -> bool {
        self.healthy && self.agent.up != Some(false)
    }

    /// By the user's will, or by its agent's: weight 0 there means the same, for its clients stay its own.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining != Draining::Not
            || self.agent.mode == Some(AgentMode::Drain)
            || self.agent.weight_percent == Some(0)
    }

    /// It can be used again: what it took while it was failing says nothing of what it takes now, and it comes back step by step.
    pub(crate) fn recover(&mut self, now: Nanos, slow_start: bool) {
        self.ramp_from = slow_start.then_some(now);
        self.state.forget_latency();
    }

    pub(crate) fn is_in_maintenance(&self) -> bool {
        self.agent.mode == Some(AgentMode::Maintenance)
    }
}

/// What a publisher keeps from one snapshot to the next, so that it is not made anew without need.
#[derive(Default)]
pub(crate) struct Kept {
    /// A level's hash table with what it was built from.
    tables: Vec<(Algorithm, Vec<Rooted>, Arc<HashTable>)>,
    ids: Option<Arc<HashMap<BackendId, u32>>>,
    tree_capacity: usize,
}

/// What a member's places in a hash table follow from: its state's uid (which stands for its id and address), its weight, its index.
type Rooted = (u64, u32, u32);

/// Why this backend gets no traffic, as far as it is known beforehand. The order counts: only a backend of which `Unhealthy` (or
/// `Ejected`) is *all* that is to be said is given the benefit of the doubt when nobody better is left.
fn exclusion(e: &Entry, settings: &PoolSettings) -> Option<Exclusion> {
    let for_new_clients = || {
        if e.spec.weight == 0 {
            Some(Exclusion::ZeroWeight)
        } else {
            e.is_draining().then_some(Exclusion::Draining)
        }
    };
    by_will(e, settings).or_else(for_new_clients).or_else(|| by_fault(e))
}

/// Why this backend gets not even who is bound to it: all reasons but those that keep new clients away.
fn exclusion_of_bound(e: &Entry, settings: &PoolSettings) -> Option<Exclusion> {
    by_will(e, settings).or_else(|| by_fault(e))
}

/// Because somebody wants it so.
fn by_will(e: &Entry, settings: &PoolSettings) -> Option<Exclusion> {
    let subset = || settings.subset.iter().all(|(k, v)| e.spec.metadata.get(k) == Some(v));
    if e.spec.disabled {
        Some(Exclusion::Disabled)
    } else if e.is_in_maintenance() {
        Some(Exclusion::Maintenance)
    } else if !subset() {
        Some(Exclusion::NotInSubset)
    } else if e.draining == Draining::Nobody {
        Some(Exclusion::Drained)
    } else {
        None
    }
}

/// Because it fails.
fn by_fault(e: &Entry) -> Option<Exclusion> {
    if matches!(e.stance, Stance::Refusing { .. }) {
        Some(Exclusion::BreakerOpen)
    } else if !e.is_healthy() {
        Some(Exclusion::Unhealthy)
    } else if e.ejected {
        Some(Exclusion::Ejected)
    } else {
        None
    }
}

/// Builds the snapshot and puts what hangs on it (limits, load tree, hooks) in place. O(backends) but for new hash tables and
/// schedules.
pub(crate) fn snapshot(
    entries: &[Entry],
    settings: &Arc<PoolSettings>,
    shared: &Arc<Shared>,
    kept: &mut Kept,
    generation: u64,
    now: Nanos,
) -> Snapshot {
    let factors = factors(entries, settings, now);
    // Somebody's weight is not its configured one: then all are scaled.
    let scaled = factors.iter().any(|f| f.weight() != 1.0);
    // Strict rotation knows no weights (but 0): on a ramp all have the same full one.
    let full =
        |b: &Backend| if settings.algorithm == Algorithm::RoundRobin { b.weight.min(1) } else { b.weight };
    let mut members: Box<[Member]> = entries
        .iter()
        .zip(&factors)
        .map(|(e, factor)| {
            let limit = e.agent.max_connections.or(e.spec.max_connections).or(settings.max_connections);
            e.state.gate.set_limit(limit.map(|l| ramp::limit(l, factor.ramp)));
            Member {
                state: e.state.clone(),
                weight: if scaled { ramp::scaled(full(&e.spec), factor.weight()) } else { e.spec.weight },
                exclusion: exclusion(e, settings),
                exclusion_of_bound: exclusion_of_bound(e, settings),
                level: None,
                healthy: e.is_healthy(),
                ejected: e.ejected,
                agent: e.agent,
                backup: e.spec.backup,
            }
        })
        .collect();
    let groups = judged(groups(entries, &members, settings), settings);
    let health = health(&groups);
    let regions = regions(&groups, settings);
    for (i, g) in groups.iter().enumerate() {
        for &m in &g.members {
            members[m as usize].level = u16::try_from(i).ok();
        }
    }
    let tree_level = plant_tree(&groups, &members, scaled, settings, shared, kept);
    let tables = tables(&groups, entries, settings, kept);
    let level = |(i, (g, table)): (usize, (Group, Option<Arc<HashTable>>))| Level {
        policy: policy::build(Build {
            algorithm: &settings.algorithm,
            members: &members,
            candidates: &g.candidates,
            scaled: g.candidates.iter().any(|&m| factors[m as usize].weight() != 1.0),
            tree: tree_level == Some(i),
            table,
        }),
        candidates: g.candidates.into(),
        overlooks: g.overlooks,
        load: g.load,
    };
    let levels = groups.into_iter().zip(tables).enumerate().map(level).collect();
    Snapshot {
        generation,
        levels,
        regions,
        health,
        ids: ids(entries, kept),
        settings: settings.clone(),
        keyed: is_hash(&settings.algorithm),
        due: due(entries),
        shared: shared.clone(),
        members,
    }
}

/// When the first of the open breakers lets probes through.
fn due(entries: &[Entry]) -> Nanos {
    let until = |e: &Entry| match e.stance {
        Stance::Refusing { until } => until,
        _ => None,
    };
    entries.iter().filter_map(until).min().unwrap_or(Nanos::MAX)
}

/// What a backend's configured weight is multiplied by.
struct Factor {
    /// Slow start, (0–1]; the connection limit follows it, too.
    ramp: f64,
    /// What its agent asks for, > 0.
    agent: f64,
}

impl Factor {
    fn weight(&self) -> f64 {
        self.ramp * self.agent
    }
}

/// Each entry's factors. A hash algorithm knows neither: there a key belongs to its backend.
fn factors(entries: &[Entry], settings: &PoolSettings, now: Nanos) -> Vec<Factor> {
    let hash = is_hash(&settings.algorithm);
    let slow_start = settings.slow_start.as_ref().filter(|_| !hash);
    let ramp = |e: &Entry| slow_start.zip(e.ramp_from).and_then(|(s, from)| ramp::factor(s, from, now));
    // At 0 % it drains: its weight stays what it is.
    let agent =
        |e: &Entry| e.agent.weight_percent.filter(|&p| p > 0 && !hash).map_or(1.0, |p| f64::from(p) / 100.0);
    entries.iter().map(|e| Factor { ramp: ramp(e).unwrap_or(1.0), agent: agent(e) }).collect()
}

/// Does the algorithm hash a key, so that a key keeps its backend?
pub fn is_hash(a: &Algorithm) -> bool {
    matches!(
        a,
        Algorithm::IpHash(_) | Algorithm::Maglev(_) | Algorithm::RingHash(_) | Algorithm::Rendezvous(_)
    )
}

/// Puts the load tree in place for the largest level, if the algorithm wants one; gives that level. Other levels are scanned.
fn plant_tree(
    groups: &[Group],
    members: &[Member],
    scaled: bool,
    settings: &PoolSettings,
    shared: &Shared,
    kept: &mut Kept,
) -> Option<usize> {
    let largest = groups.iter().enumerate().max_by_key(|(_, g)| g.candidates.len());
    let level = largest
        .filter(|(_, g)| g.candidates.len() >= TREE_FROM && settings.algorithm == Algorithm::LeastConnections)
        .map(|(i, _)| i);
    let Some(level) = level else {
        shared.set_hook(Hooks::TREE, false);
        kept.tree_capacity = 0;
        shared.set_tree(None);
        return None;
    };
    let slots = members.iter().map(|m| m.state.slot() as usize + 1).max().unwrap_or(0);
    shared.set_hook(Hooks::TREE, true);
    let fresh = kept.tree_capacity < slots;
    if fresh {
        // Room to grow, so that a growing pool does not plant a new tree at each addition.
        kept.tree_capacity = slots + slots / 2;
        shared.set_tree(Some(Arc::new(LoadTree::new(kept.tree_capacity))));
    }
    // Not the scaled weights: while this loop runs, the tree holds old weights beside new ones.
    let unit = if scaled { ramp::SCALE as f32 } else { 1.0 };
    let mut weights = vec![0.0; members.len()];
    for &m in &groups[level].candidates {
        weights[m as usize] = members[m as usize].weight as f32 / unit;
    }
    for (m, weight) in members.iter().zip(weights) {
        let bits = f32::to_bits(weight);
        // What else a key follows from is carried into the tree by whoever changes it.
        if m.state.tree_weight.swap(bits, SeqCst) != bits || fresh {
            shared.touch_tree(&m.state);
        }
    }
    Some(level)
}

/// Each level's hash table: the one it had, if its members and their weights are the same.
fn tables(
    groups: &[Group],
    entries: &[Entry],
    settings: &PoolSettings,
    kept: &mut Kept,
) -> Vec<Option<Arc<HashTable>>> {
    if !is_hash(&settings.algorithm) {
        kept.tables.clear();
        return groups.iter().map(|_| None).collect();
    }
    let ring = matches!(settings.algorithm, Algorithm::RingHash(_) | Algorithm::IpHash(_));
    let old = std::mem::take(&mut kept.tables);
    for g in groups {
        let rooted = |&m: &u32| {
            let e = &entries[m as usize];
            (e.state.uid(), e.spec.weight, m)
        };
        let roots: Vec<_> = g.members.iter().map(rooted).collect();
        let known = old.iter().find(|(a, r, _)| *a == settings.algorithm && *r == roots);
        let table = known.map(|(_, _, t)| t.clone()).or_else(|| {
            HashTable::build(&settings.algorithm, &table_keys(&g.members, entries, ring)).map(Arc::new)
        });
        kept.tables.extend(table.map(|t| (settings.algorithm.clone(), roots, t)));
    }
    kept.tables.iter().map(|(_, _, t)| Some(t.clone())).collect()
}

/// A member's name is its id; on a ring its `host:port`, as in nginx, unless another member has the same.
fn table_keys(members: &[u32], entries: &[Entry], ring: bool) -> Vec<TableKey> {
    let mut seen = foldhash::HashSet::default();
    let name = |e: &Entry| match e.spec.url.address() {
        Address::Tcp { host, port } if ring => format!("{host}:{port}"),
        Address::Unix(path) if ring => format!("unix:{}", path.display()),
        _ => e.spec.id.to_string(),
    };
    let key = |&m: &u32| {
        let e = &entries[m as usize];
        let mut n = name(e);
        if !seen.insert(n.clone()) {
            n = e.spec.id.to_string();
        }
        TableKey { name: n.into(), weight: e.spec.weight, member: m }
    };
    members.iter().map(key).collect()
}

/// The index by id: the one there was, if nobody came or went.
fn ids(entries: &[Entry], kept: &mut Kept) -> Arc<HashMap<BackendId, u32>> {
    let same = |ids: &HashMap<BackendId, u32>| {
        ids.len() == entries.len()
            && entries.iter().enumerate().all(|(i, e)| ids.get(&e.spec.id) == Some(&(i as u32)))
    };
    match kept.ids.as_ref().filter(|ids| same(ids)) {
        Some(ids) => ids.clone(),
        None => {
            let ids = entries.iter().enumerate().map(|(i, e)| (e.spec.id.clone(), i as u32)).collect();
            kept.ids.insert(Arc::new(ids)).clone()
        }
    }
}
