//! What there is, what there should be, and what to do about it. Pure.
//!
//! Three views meet here: the driver's instances, the pool's backends that are instances, and how many there shall be. An instance *leaves*
//! from the moment that it is chosen to go until its driver has it no more: it is drained, taken out of the pool, then named to the driver.
//!
//! Who goes: those that never got ready, then those whose health check fails, then the newest (it has the fewest sessions and the
//! coldest caches). Who was chosen and is not drained yet comes back first when more are wanted again.

use lb_autoscale::{Driven, Stage};
use lb_types::BackendId;
use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;

/// How far an instance has come on its way out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Leaving {
    /// Drained; it may come back.
    Draining,
    /// The same, but it is ill, so it may not.
    Replaced,
    /// Empty, and out of the pool: the driver may stop it.
    Drained,
}

/// One thing to do, in the order given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// It is ready: a backend.
    Add(BackendId),
    /// It came back somewhere else.
    Move(BackendId),
    /// It is no backend any more.
    Remove(BackendId),
    /// It gets nothing new from now on.
    Drain(BackendId),
    /// It gets requests again.
    Return(BackendId),
}

/// What to do now.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Plan {
    pub(crate) steps: Vec<Step>,
    /// How many the driver shall have, those that still drain included.
    pub(crate) order: u32,
    /// Whom it shall stop.
    pub(crate) going: Vec<BackendId>,
    /// The driver has to be told.
    pub(crate) tell: bool,
}

fn lives(driven: &Driven) -> bool {
    driven.stage != Stage::Stopping
}

/// Of the driver's instances, those that count: they live and do not leave.
pub(crate) fn active<'a>(
    instances: &'a [Driven],
    leaving: &'a BTreeMap<BackendId, Leaving>,
) -> impl DoubleEndedIterator<Item = &'a Driven> {
    instances.iter().filter(|i| lives(i) && !leaving.contains_key(&i.id))
}

/// Brings `leaving` up to date and says what to do. `backends`: the pool's backends that are instances, with where they are; `ill`: whose
/// health check fails; `desired`: how many there shall be, `None`: as many as there are (a dry run). `instances` is in the order in which they were made.
pub(crate) fn reconcile(
    instances: &[Driven],
    backends: &BTreeMap<BackendId, SocketAddr>,
    ill: &BTreeSet<BackendId>,
    leaving: &mut BTreeMap<BackendId, Leaving>,
    desired: Option<u32>,
) -> Plan {
    let mut plan = Plan::default();
    let of = |id: &BackendId| instances.iter().find(|i| i.id == *id);
    leaving.retain(|id, _| of(id).is_some_and(lives));
    let mut there = backends.clone();
    for (id, at) in backends {
        match of(id) {
            // A drained one is out of the pool already, or is taken out by who drained it.
            Some(i) if i.stage == Stage::Ready && i.address == *at => {}
            Some(i) if i.stage == Stage::Ready && !leaving.contains_key(id) => {
                plan.steps.push(Step::Move(id.clone()));
            }
            _ => {
                plan.steps.push(Step::Remove(id.clone()));
                there.remove(id);
                // Nothing is left to be drained.
                leaving.entry(id.clone()).and_modify(|how| *how = Leaving::Drained);
            }
        }
    }
    let ready = |i: &&Driven| i.stage == Stage::Ready && !backends.contains_key(&i.id);
    plan.steps.extend(active(instances, leaving).filter(ready).map(|i| Step::Add(i.id.clone())));
    let backends = &there;
    if let Some(desired) = desired {
        let there = active(instances, leaving).count();
        let desired = desired as usize;
        if there < desired {
            // The newest first: it was the last to be sent off.
            let back = instances.iter().rev().filter(|i| leaving.get(&i.id) == Some(&Leaving::Draining));
            let back: Vec<_> = back.take(desired - there).map(|i| i.id.clone()).collect();
            for id in back {
                leaving.remove(&id);
                plan.steps.push(Step::Return(id));
            }
        } else if there > desired {
            let mut chosen: Vec<&Driven> = active(instances, leaving).rev().collect();
            chosen.sort_by_key(|i| (i.stage == Stage::Ready, !ill.contains(&i.id)));
            let chosen: Vec<_> = chosen.into_iter().take(there - desired).map(|i| i.id.clone()).collect();
            for id in chosen {
                send_off(&id, backends, leaving, Leaving::Draining, &mut plan);
            }
        }
    }
    let living = instances.iter().filter(|i| lives(i)).count();
    plan.going =
        leaving.iter().filter(|(_, how)| **how == Leaving::Drained).map(|(id, _)| id.clone()).collect();
    let draining = leaving.len() - plan.going.len();
    let wanted = desired.map_or_else(|| active(instances, leaving).count(), |n| n as usize) + draining;
    plan.order = u32::try_from(wanted).unwrap_or(u32::MAX);
    plan.tell = !plan.going.is_empty() || living < wanted;
    plan
}

/// It leaves: by way of a drain if it takes traffic.
pub(crate) fn send_off(
    id: &BackendId,
    backends: &BTreeMap<BackendId, SocketAddr>,
    leaving: &mut BTreeMap<BackendId, Leaving>,
    how: Leaving,
    plan: &mut Plan,
) {
    // One that is about to be added in this very plan is not.
    plan.steps.retain(|step| *step != Step::Add(id.clone()));
    if backends.contains_key(id) {
        leaving.insert(id.clone(), how);
        plan.steps.push(Step::Drain(id.clone()));
    } else {
        leaving.insert(id.clone(), Leaving::Drained);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn driven(n: u16, stage: Stage, port: u16) -> Driven {
        Driven::new(format!("i-{n}").as_str(), stage, SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn id(n: u16) -> BackendId {
        format!("i-{n}").as_str().into()
    }

    fn at(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    #[test]
    fn a_ready_instance_becomes_a_backend_and_a_crashed_one_none() {
        let none = BTreeSet::new();
        let mut leaving = BTreeMap::new();
        let instances =
            [driven(1, Stage::Ready, 1), driven(2, Stage::Waiting, 2), driven(3, Stage::Ready, 33)];
        let backends = [(id(2), at(2)), (id(3), at(3)), (id(4), at(4))].into();
        let plan = reconcile(&instances, &backends, &none, &mut leaving, Some(3));
        let steps = [Step::Remove(id(2)), Step::Move(id(3)), Step::Remove(id(4)), Step::Add(id(1))];
        assert_eq!((plan.steps, plan.order, plan.tell), (steps.to_vec(), 3, false));
    }

    #[test]
    fn who_goes_is_drained_first_and_comes_back_first() {
        let ill = [id(1)].into();
        let mut leaving = BTreeMap::new();
        let instances: Vec<_> =
            (1..=4).map(|n| driven(n, if n == 2 { Stage::Starting } else { Stage::Ready }, n)).collect();
        let backends: BTreeMap<_, _> = [1, 3, 4].map(|n| (id(n), at(n))).into();
        let plan = reconcile(&instances, &backends, &ill, &mut leaving, Some(1));
        // Not ready, ill, newest: the one that never took traffic goes at once.
        assert_eq!(plan.steps, [Step::Drain(id(1)), Step::Drain(id(4))]);
        assert_eq!((plan.order, plan.going.as_slice(), plan.tell), (3, &[id(2)][..], true));
        let plan = reconcile(&instances, &backends, &ill, &mut leaving, Some(2));
        assert_eq!(plan.steps, [Step::Return(id(4))]);
        leaving.insert(id(1), Leaving::Drained);
        let plan = reconcile(&instances, &backends, &ill, &mut leaving, Some(2));
        assert_eq!((plan.order, plan.going), (2, vec![id(1), id(2)]));
    }

    proptest! {
        /// Whatever there is: carried out again and again by a driver and a pool that do as they are told, it comes to rest with as many
        /// backends as are wanted, and nobody takes traffic that is not ready.
        #[test]
        fn it_comes_to_what_is_wanted(
            stages in prop::collection::vec(0u8..4, 0..8),
            known in prop::collection::vec(any::<bool>(), 8),
            desired in 0u32..8,
        ) {
            let stage = |s: u8| [Stage::Starting, Stage::Ready, Stage::Waiting, Stage::Stopping][usize::from(s)];
            let mut instances: Vec<_> =
                stages.iter().zip(0..).map(|(s, n)| driven(n, stage(*s), n)).collect();
            let mut backends: BTreeMap<_, _> =
                (0..8).filter(|n| known[usize::from(*n)]).map(|n| (id(n), at(n))).collect();
            let (mut leaving, mut next) = (BTreeMap::new(), 100u16);
            for _ in 0..6 {
                let plan = reconcile(&instances, &backends, &BTreeSet::new(), &mut leaving, Some(desired));
                for step in plan.steps {
                    match step {
                        Step::Add(id) | Step::Move(id) => {
                            let i = instances.iter().find(|i| i.id == id).unwrap();
                            prop_assert_eq!(i.stage, Stage::Ready);
                            backends.insert(id, i.address);
                        }
                        Step::Remove(id) => drop(backends.remove(&id)),
                        Step::Drain(id) => {
                            prop_assert!(backends.remove(&id).is_some());
                            leaving.insert(id, Leaving::Drained);
                        }
                        Step::Return(_) => {}
                    }
                }
                instances.retain(|i| i.stage != Stage::Stopping && !plan.going.contains(&i.id));
                prop_assert!(instances.len() <= (plan.order as usize).max(stages.len()));
                while plan.tell && instances.len() < plan.order as usize {
                    instances.push(driven(next, Stage::Ready, next));
                    next += 1;
                }
                instances.iter_mut().for_each(|i| i.stage = Stage::Ready);
            }
            prop_assert_eq!((instances.len(), backends.len()), (desired as usize, desired as usize));
        }
    }
}
