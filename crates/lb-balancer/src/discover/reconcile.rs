//! From a source's list to the changes of the pool: pure.

use lb_core::Change;
use lb_types::{Backend, BackendId, BackendPatch};
use std::collections::BTreeMap;

/// What a source brought, by id, as it stood in its last good list.
pub(super) type Owned = BTreeMap<BackendId, Backend>;

/// What a new list asks for.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Step {
    pub(super) changes: Vec<Change>,
    /// What the source owns once the changes are made.
    pub(super) owned: Owned,
    /// Ids that belong to somebody else: left alone.
    pub(super) foreign: Vec<BackendId>,
}

/// The changes that lead from `owned`, what the source brought before, to `list`. `is_there`: whether the pool has this id now. An id
/// that was brought, but was removed by hand since, comes back; one that somebody else added is left alone.
pub(super) fn reconcile(owned: &Owned, list: Vec<Backend>, is_there: impl Fn(&BackendId) -> bool) -> Step {
    let mut step = Step::default();
    for backend in list {
        let id = backend.id.clone();
        match owned.get(&id) {
            None if is_there(&id) => {
                step.foreign.push(id);
                continue;
            }
            Some(old) if is_there(&id) => {
                if let Some(patch) = difference(old, &backend) {
                    step.changes.push(Change::Update(id.clone(), patch));
                }
            }
            _ => step.changes.push(Change::Add(backend.clone())),
        }
        step.owned.insert(id, backend);
    }
    let gone = owned.keys().filter(|id| !step.owned.contains_key(*id) && is_there(id));
    step.changes.extend(gone.map(|id| Change::Remove(id.clone())));
    step
}

/// The patch that makes `new` of `old`; what is equal in both is left as it is in the pool, where somebody may have changed it.
fn difference(old: &Backend, new: &Backend) -> Option<BackendPatch> {
    fn changed<T: PartialEq + Clone>(old: &T, new: &T) -> Option<T> {
        (old != new).then(|| new.clone())
    }
    let mut patch = BackendPatch::default();
    patch.url = changed(&old.url, &new.url);
    patch.weight = changed(&old.weight, &new.weight);
    patch.max_connections = changed(&old.max_connections, &new.max_connections);
    patch.metadata = changed(&old.metadata, &new.metadata);
    patch.health_check = changed(&old.health_check, &new.health_check);
    patch.disabled = changed(&old.disabled, &new.disabled);
    patch.backup = changed(&old.backup, &new.backup);
    patch.priority = changed(&old.priority, &new.priority);
    (patch != BackendPatch::default()).then_some(patch)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend(id: &str, weight: u32) -> Backend {
        Backend::new(id, "http://10.0.0.1:80".parse().unwrap()).weight(weight)
    }

    fn owned(list: &[Backend]) -> Owned {
        list.iter().map(|b| (b.id.clone(), b.clone())).collect()
    }

    #[test]
    fn only_the_difference_is_changed_and_only_what_is_ones_own() {
        let before = owned(&[
            backend("kept", 1),
            backend("heavier", 1),
            backend("gone", 1),
            backend("removed-by-hand", 1),
        ]);
        let pool = ["kept", "heavier", "gone", "configured"];
        let list = vec![
            backend("kept", 1),
            backend("heavier", 5),
            backend("new", 1),
            backend("removed-by-hand", 1),
            backend("configured", 9),
        ];
        let step = reconcile(&before, list, |id| pool.contains(&id.as_str()));
        assert_eq!(
            step.changes,
            [
                Change::Update("heavier".into(), BackendPatch::weight(5)),
                Change::Add(backend("new", 1)),
                Change::Add(backend("removed-by-hand", 1)),
                Change::Remove("gone".into()),
            ]
        );
        assert_eq!(step.foreign, ["configured"]);
        assert!(!step.owned.contains_key("configured"));
        let again: Vec<_> = step.owned.values().cloned().collect();
        assert_eq!(reconcile(&step.owned, again, |_| true).changes, []);
    }

    #[test]
    fn every_field_is_carried() {
        let old = backend("a", 1);
        let mut new = Backend::new("a", "http://10.0.0.2:80".parse().unwrap())
            .weight(2)
            .max_connections(3)
            .metadata("zone", "z")
            .health_check(lb_types::HealthCheckOverride { port: Some(1), ..Default::default() })
            .disabled(true)
            .backup(true)
            .priority(4);
        let mut made = old.clone();
        difference(&old, &new).unwrap().apply_to(&mut made);
        assert_eq!(made, new);
        std::mem::swap(&mut made, &mut new);
        let mut back = made.clone();
        difference(&made, &old).unwrap().apply_to(&mut back);
        assert_eq!(back, old);
        assert_eq!(difference(&old, &old), None);
    }
}
