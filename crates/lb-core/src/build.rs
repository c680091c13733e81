//! From what is known of a pool's backends to the snapshot that requests see: eligibility is decided here, in one place.

use crate::levels::{self, Health};
use crate::load_tree::LoadTree;
use crate::policy::{self, Build, HashTable, TREE_FROM, TableKey};
use crate::ramp;
use crate::settings::{Algorithm, PoolSettings};
use crate::shared::{Hooks, Shared};
use crate::snapshot::{Level, Member, Snapshot};
use crate::state::BackendState;
use foldhash::HashMap;
use lb_types::{Address, Backend, BackendId, Exclusion, Nanos};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// A backend as its pool's writer knows it.
#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) state: Arc<BackendState>,
    pub(crate) spec: Arc<Backend>,
    pub(crate) healthy: bool,
    pub(crate) draining: bool,
    /// When its slow start began.
    pub(crate) ramp_from: Option<Nanos>,
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

/// Why this backend gets no traffic, as far as membership and health go.
fn exclusion(e: &Entry, settings: &PoolSettings) -> Option<Exclusion> {
    let subset = || settings.subset.iter().all(|(k, v)| e.spec.metadata.get(k) == Some(v));
    if e.spec.disabled {
        Some(Exclusion::Disabled)
    } else if !subset() {
        Some(Exclusion::NotInSubset)
    } else if e.spec.weight == 0 {
        Some(Exclusion::ZeroWeight)
    } else if e.draining {
        Some(Exclusion::Draining)
    } else if !e.healthy {
        Some(Exclusion::Unhealthy)
    } else {
        None
    }
}

/// A member of a level, healthy or not: what its share and its hash table are counted over.
fn belongs(exclusion: Option<Exclusion>) -> bool {
    !matches!(exclusion, Some(Exclusion::Disabled | Exclusion::NotInSubset | Exclusion::ZeroWeight))
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
    let factors = ramps(entries, settings, now);
    let ramping = factors.iter().any(|&f| f < 1.0);
    // Strict rotation knows no weights (but 0): on a ramp all have the same full one.
    let full =
        |b: &Backend| if settings.algorithm == Algorithm::RoundRobin { b.weight.min(1) } else { b.weight };
    let mut members: Box<[Member]> = entries
        .iter()
        .zip(&factors)
        .map(|(e, &factor)| {
            let limit = e.spec.max_connections.or(settings.max_connections);
            e.state.gate.set_limit(limit.map(|l| ramp::limit(l, factor)));
            Member {
                state: e.state.clone(),
                weight: if ramping { ramp::scaled(full(&e.spec), factor) } else { e.spec.weight },
                exclusion: exclusion(e, settings),
                level: None,
                healthy: e.healthy,
                backup: e.spec.backup,
            }
        })
        .collect();
    let groups = judged(groups(entries, &members, settings), settings);
    for (i, g) in groups.iter().enumerate() {
        for &m in &g.members {
            members[m as usize].level = u16::try_from(i).ok();
        }
    }
    let tree_level = plant_tree(&groups, &members, ramping, settings, shared, kept);
    let tables = tables(&groups, entries, settings, kept);
    let level = |(i, (g, table)): (usize, (Group, Option<Arc<HashTable>>))| Level {
        policy: policy::build(Build {
            algorithm: &settings.algorithm,
            members: &members,
            candidates: &g.candidates,
            ramping: g.candidates.iter().any(|&m| factors[m as usize] < 1.0),
            tree: tree_level == Some(i),
            table,
        }),
        candidates: g.candidates.into(),
        panic: g.panic,
        load: g.load,
    };
    let levels = groups.into_iter().zip(tables).enumerate().map(level).collect();
    Snapshot {
        generation,
        levels,
        ids: ids(entries, kept),
        settings: settings.clone(),
        keyed: is_hash(&settings.algorithm),
        shared: shared.clone(),
        members,
    }
}

/// Each entry's slow-start factor (1: none).
fn ramps(entries: &[Entry], settings: &PoolSettings, now: Nanos) -> Vec<f64> {
    let Some(s) = settings.slow_start.as_ref().filter(|_| !is_hash(&settings.algorithm)) else {
        return vec![1.0; entries.len()];
    };
    let factor = |e: &Entry| e.ramp_from.and_then(|from| ramp::factor(s, from, now)).unwrap_or(1.0);
    entries.iter().map(factor).collect()
}

/// Does the algorithm hash a key?
pub(crate) fn is_hash(a: &Algorithm) -> bool {
    matches!(
        a,
        Algorithm::IpHash(_) | Algorithm::Maglev(_) | Algorithm::RingHash(_) | Algorithm::Rendezvous(_)
    )
}

/// The backends of one level before its policy is built.
struct Group {
    /// All that belong, by member index: what shares and hash tables are made over.
    members: Vec<u32>,
    /// Who may be picked.
    candidates: Vec<u32>,
    /// Who may be picked when active health is ignored.
    in_panic: Vec<u32>,
    panic: bool,
    backup: bool,
    load: u32,
}

impl Group {
    fn health(&self) -> Health {
        Health { eligible: self.candidates.len() as u32, all: self.members.len() as u32 }
    }

    fn enter_panic(&mut self) {
        self.panic = true;
        self.candidates = std::mem::take(&mut self.in_panic);
    }
}

/// Primaries by priority, the preferred zone first in each; the backups last.
fn groups(entries: &[Entry], members: &[Member], settings: &PoolSettings) -> Vec<Group> {
    let mut by_rank = BTreeMap::<(bool, u32, bool), Vec<u32>>::new();
    for (i, e) in entries.iter().enumerate().filter(|&(i, _)| belongs(members[i].exclusion)) {
        let away = settings.locality.as_ref().is_some_and(|l| e.spec.metadata.get("zone") != Some(&l.zone));
        let rank = if e.spec.backup { (true, 0, false) } else { (false, e.spec.priority, away) };
        by_rank.entry(rank).or_default().push(i as u32);
    }
    let group = |((backup, ..), all): ((bool, u32, bool), Vec<u32>)| {
        let those = |ok: fn(Option<Exclusion>) -> bool| {
            all.iter().copied().filter(|&m| ok(members[m as usize].exclusion)).collect::<Vec<_>>()
        };
        Group {
            candidates: those(|e| e.is_none()),
            in_panic: those(|e| matches!(e, None | Some(Exclusion::Unhealthy))),
            members: all,
            panic: false,
            backup,
            load: 0,
        }
    };
    by_rank.into_iter().map(group).collect()
}

/// Decides on panic and on each level's share of the traffic.
fn judged(mut groups: Vec<Group>, settings: &PoolSettings) -> Vec<Group> {
    let over = settings.overprovisioning_percent;
    let primaries = groups.iter().take_while(|g| !g.backup).count();
    let (primary, backup) = groups.split_at_mut(primaries);
    let healths = |groups: &[Group]| groups.iter().map(Group::health).collect::<Vec<_>>();
    // Envoy's panic, per level, and only when all levels together cannot carry the traffic.
    if levels::capacity(&healths(primary), over) < 100 {
        for g in primary.iter_mut() {
            if g.health().percent() < u32::from(settings.panic_threshold) {
                g.enter_panic();
            }
        }
    }
    let nobody = |groups: &[Group]| groups.iter().all(|g| g.candidates.is_empty());
    if nobody(primary) && nobody(backup) {
        primary.iter_mut().chain(backup.iter_mut()).for_each(Group::enter_panic);
    }
    // A level without a single percent still has its candidates: they are asked when no other level could serve.
    let serving = if nobody(primary) { backup } else { primary };
    let loads = levels::loads(&healths(serving), over);
    for (g, load) in serving.iter_mut().zip(loads) {
        g.load = load;
    }
    groups
}

/// Puts the load tree in place for the largest level, if the algorithm wants one; gives that level. Other levels are scanned.
fn plant_tree(
    groups: &[Group],
    members: &[Member],
    ramping: bool,
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
    // Not the scaled weights of a ramp: while this loop runs, the tree holds old weights beside new ones.
    let unit = if ramping { ramp::SCALE as f32 } else { 1.0 };
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
