//! What a source's new list changes in a pool that it shares with others.
//!
//! A source owns the backends that it brought, and nothing else: what the configuration or another source brought is never changed or
//! removed, and an id that is theirs is reported, not taken over. A backend that stays is changed only where the new list differs from
//! the last: it keeps its counters, health and drain, and what was changed by hand stays until the source says something new of it.
//!
//! **No answer keeps the last good one**: an error does, and so does an empty list (for DNS: NXDOMAIN, or a name without
//! addresses). An empty answer is far more often a mistake somewhere than the wish to have no backends, and active health checks take
//! out what is really gone. Both are reported. Where an empty list can only be meant, [`Source::allow_empty`] takes it.

use crate::error::PoolError;
use crate::pool::{Change, Pool};
use lb_types::{Backend, BackendId, BackendPatch};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

/// One source of backends: remembers which it brought.
#[derive(Clone, Debug, Default)]
pub struct Source {
    /// As it stood in the last good list.
    owned: BTreeMap<BackendId, Backend>,
    allow_empty: bool,
}

/// What a list changes; see [`Source::plan`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// To be applied as one generation.
    pub changes: Vec<Change>,
    /// What is worth a line in the log.
    pub report: Report,
    owned: BTreeMap<BackendId, Backend>,
}

/// What happened, for logs and events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Backends that came.
    pub added: Vec<BackendId>,
    /// Backends that changed.
    pub updated: Vec<BackendId>,
    /// Backends that went.
    pub removed: Vec<BackendId>,
    /// Backends of the list that were left out, with the reason.
    pub rejected: Vec<(BackendId, Rejected)>,
    /// Why the list was not used at all.
    pub notice: Option<Notice>,
}

/// Why one backend of a list was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Rejected {
    /// The configuration or another source has a backend with this id.
    #[error("the id belongs to a backend from elsewhere")]
    Taken,
    /// The list has the id twice; the first one counts.
    #[error("the id is in the list twice")]
    Twice,
    /// The id is empty.
    #[error("the id is empty")]
    EmptyId,
}

/// Why the last good answer was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Notice {
    /// There was no answer, for this reason.
    Failed(String),
    /// The answer had no backends.
    Empty,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(why) => write!(f, "no answer ({why}): the last good one is kept"),
            Self::Empty => f.write_str("the answer is empty: the last good one is kept"),
        }
    }
}

impl Source {
    /// Takes an empty list for an answer like any other: every backend of this source goes.
    #[must_use]
    pub fn allow_empty(mut self) -> Self {
        self.allow_empty = true;
        self
    }

    /// The ids of the backends that this source brought.
    pub fn owned(&self) -> impl Iterator<Item = &BackendId> {
        self.owned.keys()
    }

    /// What has to change so that this source's part of `present` becomes its new list. Changes nothing itself: [`commit`](Self::commit)
    /// the plan once its changes were applied.
    pub fn plan<E: fmt::Display>(&self, present: &[Arc<Backend>], answer: Result<Vec<Backend>, E>) -> Plan {
        let keep = |notice| Plan {
            owned: self.owned.clone(),
            report: Report { notice: Some(notice), ..Report::default() },
            changes: vec![],
        };
        let wanted = match answer {
            Err(e) => return keep(Notice::Failed(e.to_string())),
            Ok(list) if list.is_empty() && !self.allow_empty => return keep(Notice::Empty),
            Ok(list) => list,
        };
        let present: BTreeSet<&BackendId> = present.iter().map(|b| &b.id).collect();
        let mut plan = Plan::default();
        let mut named = BTreeSet::new();
        for b in wanted {
            let id = b.id.clone();
            if let Some(why) = self.rejection(&id, &present, !named.insert(id.clone())) {
                plan.report.rejected.push((id, why));
                continue;
            }
            match self.owned.get(&id).filter(|_| present.contains(&id)) {
                None => {
                    plan.changes.push(Change::Add(b.clone()));
                    plan.report.added.push(id.clone());
                }
                Some(old) => {
                    if let Some(patch) = patch_between(old, &b) {
                        plan.changes.push(Change::Update(id.clone(), patch));
                        plan.report.updated.push(id.clone());
                    }
                }
            }
            plan.owned.insert(id, b);
        }
        let gone = self.owned.keys().filter(|id| !plan.owned.contains_key(*id) && present.contains(id));
        plan.report.removed = gone.cloned().collect();
        plan.changes.extend(plan.report.removed.iter().cloned().map(Change::Remove));
        plan
    }

    fn rejection(&self, id: &BackendId, present: &BTreeSet<&BackendId>, twice: bool) -> Option<Rejected> {
        if id.as_str().is_empty() {
            Some(Rejected::EmptyId)
        } else if twice {
            Some(Rejected::Twice)
        } else if present.contains(id) && !self.owned.contains_key(id) {
            Some(Rejected::Taken)
        } else {
            None
        }
    }

    /// The plan's changes were applied.
    pub fn commit(&mut self, plan: &Plan) {
        self.owned.clone_from(&plan.owned);
    }

    /// Plans, applies as one generation (none if nothing differs) and commits.
    ///
    /// # Errors
    /// The pool's refusal, when somebody else changed it meanwhile or the list leaves no weight above 0: nothing has changed then, and
    /// the next answer is planned anew.
    pub fn apply_to<E: fmt::Display>(
        &mut self,
        pool: &Pool,
        answer: Result<Vec<Backend>, E>,
    ) -> Result<Report, PoolError> {
        let mut plan = self.plan(&pool.all_backends(), answer);
        let changes = std::mem::take(&mut plan.changes);
        if !changes.is_empty() {
            pool.apply(changes)?;
        }
        self.commit(&plan);
        Ok(plan.report)
    }
}

/// The patch that makes `old` into `new`, id aside; `None` where nothing differs.
pub fn patch_between(old: &Backend, new: &Backend) -> Option<BackendPatch> {
    fn changed<T: PartialEq + Clone>(old: &T, new: &T) -> Option<T> {
        (old != new).then(|| new.clone())
    }
    let mut patch = BackendPatch::default();
    patch.url = changed(&old.url, &new.url);
    patch.weight = changed(&old.weight, &new.weight);
    patch.max_connections = changed(&old.max_connections, &new.max_connections);
    patch.metadata = changed(&old.metadata, &new.metadata);
    patch.health_check = changed(&old.health_check, &new.health_check);
    patch.agent = changed(&old.agent, &new.agent);
    patch.disabled = changed(&old.disabled, &new.disabled);
    patch.backup = changed(&old.backup, &new.backup);
    patch.priority = changed(&old.priority, &new.priority);
    (patch != BackendPatch::default()).then_some(patch)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::PoolSettings;
    use lb_types::{AgentOverride, HealthCheckOverride, ManualClock};
    use proptest::prelude::*;

    type Answer = Result<Vec<Backend>, String>;

    fn backend(i: u8, weight: u32) -> Backend {
        Backend::new(format!("b{i}"), format!("http://10.0.0.{i}:80").parse().unwrap()).weight(weight)
    }

    fn pool(all: Vec<Backend>) -> Pool {
        Pool::new(PoolSettings::default(), all, Arc::new(ManualClock::default())).unwrap()
    }

    fn specs(pool: &Pool) -> Vec<Backend> {
        let mut all: Vec<_> = pool.all_backends().iter().map(|b| (**b).clone()).collect();
        all.sort_by(|a, b| a.id.cmp(&b.id));
        all
    }

    #[test]
    fn a_source_leaves_others_alone_and_reports_a_collision() {
        let pool = pool(vec![backend(1, 5)]);
        let (mut one, mut two) = (Source::default(), Source::default());
        let report = one
            .apply_to(&pool, Answer::Ok([(1, 9), (2, 1), (2, 3), (1, 9)].map(|(i, w)| backend(i, w)).into()))
            .unwrap();
        let why = [("b1", Rejected::Taken), ("b2", Rejected::Twice), ("b1", Rejected::Twice)];
        assert_eq!(report.rejected, why.map(|(id, why)| (id.into(), why)));
        two.apply_to(&pool, Answer::Ok(vec![backend(3, 1), backend(2, 7)])).unwrap();
        assert_eq!(specs(&pool), [backend(1, 5), backend(2, 1), backend(3, 1)]);
        let report = one.apply_to(&pool, Answer::Ok(vec![backend(4, 1)])).unwrap();
        assert_eq!((report.added, report.removed), (vec!["b4".into()], vec!["b2".into()]));
        assert_eq!(specs(&pool), [backend(1, 5), backend(3, 1), backend(4, 1)]);
    }

    #[test]
    fn no_answer_and_an_empty_answer_keep_the_last_good_one() {
        let pool = pool(vec![]);
        let mut source = Source::default();
        source.apply_to(&pool, Answer::Ok(vec![backend(1, 1)])).unwrap();
        let generation = pool.snapshot().generation();
        let report = source.apply_to(&pool, Answer::Err("timed out".to_owned())).unwrap();
        assert_eq!(report.notice, Some(Notice::Failed("timed out".to_owned())));
        let report = source.apply_to(&pool, Answer::Ok(vec![])).unwrap();
        assert_eq!(report.notice, Some(Notice::Empty));
        source.apply_to(&pool, Answer::Ok(vec![backend(1, 1)])).unwrap();
        assert_eq!((pool.snapshot().generation(), specs(&pool).len()), (generation, 1), "nothing differed");
    }

    #[test]
    fn a_backend_that_stays_keeps_its_drain_and_a_removed_one_comes_back() {
        let pool = pool(vec![]);
        let mut source = Source::default();
        source.apply_to(&pool, Answer::Ok(vec![backend(1, 1), backend(2, 1)])).unwrap();
        pool.set_draining(&"b1".into(), true).unwrap();
        pool.remove_backend(&"b2".into()).unwrap();
        pool.update_backend(&"b1".into(), BackendPatch::weight(7)).unwrap();
        source.apply_to(&pool, Answer::Ok(vec![backend(1, 1), backend(2, 1)])).unwrap();
        assert_eq!(specs(&pool), [backend(1, 7), backend(2, 1)], "changed by hand: it stays");
        source.apply_to(&pool, Answer::Ok(vec![backend(1, 2), backend(2, 1)])).unwrap();
        assert_eq!(specs(&pool), [backend(1, 2), backend(2, 1)], "until the source says something new");
        let snapshot = pool.snapshot();
        let drains = snapshot.get(&"b1".into()).unwrap().exclusion();
        assert_eq!(drains, Some(lb_types::Exclusion::Draining));
    }

    #[test]
    fn a_refused_list_changes_nothing_not_even_what_is_owned() {
        let pool = pool(vec![]);
        let mut source = Source::default();
        source.apply_to(&pool, Answer::Ok(vec![backend(1, 1)])).unwrap();
        let refused = source.apply_to(&pool, Answer::Ok(vec![backend(2, 0)]));
        assert_eq!(refused, Err(PoolError::AllZeroWeights(1)));
        assert_eq!((specs(&pool), source.owned().count()), (vec![backend(1, 1)], 1));
    }

    /// A backend with any of its fields changed.
    fn any_backend() -> impl Strategy<Value = Backend> {
        let check = prop::option::of(any::<Option<bool>>());
        let flags = (any::<bool>(), any::<bool>(), 0u32..3);
        (1u8..9, 80u16..83, 1u32..4, prop::option::of(1u32..3), prop::option::of("[ab]"), check, flags)
            .prop_map(|(i, port, weight, max, zone, check, (disabled, backup, priority))| {
                let mut b = backend(i, weight).disabled(disabled).backup(backup).priority(priority);
                b.url = format!("http://10.0.0.{i}:{port}").parse().unwrap();
                b.max_connections = max;
                b.metadata.extend(zone.map(|z| ("zone".to_owned(), z)));
                b.health_check =
                    check.map(|enabled| HealthCheckOverride { enabled, ..HealthCheckOverride::default() });
                b.agent = check.map(|enabled| AgentOverride { enabled, ..AgentOverride::default() });
                b
            })
    }

    proptest! {
        #[test]
        fn applying_the_changes_yields_the_wanted_list(
            lists in prop::collection::vec(prop::collection::vec(any_backend(), 0..8), 1..6),
            allow_empty: bool,
        ) {
            let fixed = vec![backend(8, 3), backend(200, 1)];
            let pool = pool(fixed.clone());
            let mut source = Source::default();
            if allow_empty {
                source = source.allow_empty();
            }
            let mut last = vec![];
            for list in lists {
                // What must come out: the first of each id that is not the configuration's.
                let mut wanted = BTreeMap::new();
                for b in list.iter().filter(|b| b.id != "b8") {
                    wanted.entry(b.id.clone()).or_insert_with(|| b.clone());
                }
                if allow_empty || !list.is_empty() {
                    last = wanted.into_values().collect();
                }
                source.apply_to(&pool, Answer::Ok(list)).unwrap();
                let mut all: Vec<_> = last.iter().chain(&fixed).cloned().collect();
                all.sort_by(|a, b| a.id.cmp(&b.id));
                prop_assert_eq!(specs(&pool), all);
            }
        }

        #[test]
        fn a_patch_holds_only_what_differs(old in any_backend(), new in any_backend()) {
            let mut patched = old.clone();
            patched.id = new.id.clone();
            let patch = patch_between(&old, &new);
            prop_assert_eq!(patch.is_none(), patched == new);
            if let Some(p) = patch {
                prop_assert!((p.weight.is_none() || old.weight != new.weight) && (p.url.is_none() || old.url != new.url));
                p.apply_to(&mut patched);
            }
            prop_assert_eq!(patched, new);
        }
    }
}
