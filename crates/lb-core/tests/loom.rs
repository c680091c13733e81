//! Every interleaving of the gate and of the load tree, in small models:
//! `RUSTFLAGS="--cfg loom" cargo test --release -p lb-core --test loom`.
//!
//! Where a model is too large to explore whole, it is explored up to a number of preemptions (given beside it).

#![cfg(loom)]

use lb_core::gate::{Gate, Overlooked, Shut};
use lb_core::load_tree::{CLOSED, LoadTree, key};
use lb_types::Exclusion;
use loom::sync::Arc;
use loom::sync::atomic::{AtomicU32, AtomicUsize, Ordering::SeqCst, fence};
use loom::thread;

/// Explores up to `preemptions` forced switches; `None`: all.
fn model(preemptions: Option<usize>, f: impl Fn() + Sync + Send + 'static) {
    let mut b = loom::model::Builder::new();
    b.preemption_bound = preemptions;
    b.check(f);
}

#[test]
fn a_limit_is_never_exceeded_and_below_it_nobody_is_refused() {
    model(None, || {
        let gate = Arc::new(Gate::new(Some(2)));
        let inside = Arc::new(AtomicUsize::new(0));
        let visit = {
            let (gate, inside) = (gate.clone(), inside.clone());
            move || {
                // Two threads at a limit of two: there is always room.
                assert!(gate.enter().is_ok(), "refused below the limit");
                assert!(inside.fetch_add(1, SeqCst) < 2);
                inside.fetch_sub(1, SeqCst);
                gate.leave();
            }
        };
        let other = thread::spawn(visit.clone());
        visit();
        other.join().unwrap();
        assert_eq!(gate.in_flight(), 0);
    });
}

#[test]
fn of_two_at_a_limit_of_one_exactly_one_or_one_after_the_other_gets_in() {
    model(None, || {
        let gate = Arc::new(Gate::new(Some(1)));
        let inside = Arc::new(AtomicUsize::new(0));
        let visit = {
            let (gate, inside) = (gate.clone(), inside.clone());
            move || match gate.enter() {
                Ok(before) => {
                    assert_eq!((before, inside.fetch_add(1, SeqCst)), (0, 0), "two are in");
                    inside.fetch_sub(1, SeqCst);
                    gate.leave();
                    true
                }
                Err(why) => {
                    assert_eq!(why, Exclusion::ConnectionLimit);
                    false
                }
            }
        };
        let other = thread::spawn(visit.clone());
        let mine = visit();
        assert!(mine | other.join().unwrap(), "both refused at an empty gate");
    });
}

#[test]
fn once_shut_and_empty_nobody_gets_in_and_the_last_one_out_is_told() {
    model(Some(4), || {
        let gate = Arc::new(Gate::new(None));
        let told = Arc::new(AtomicUsize::new(0));
        let inside = Arc::new(AtomicUsize::new(0));
        let visit = {
            let (gate, told, inside) = (gate.clone(), told.clone(), inside.clone());
            move || {
                if gate.enter().is_ok() {
                    inside.fetch_add(1, SeqCst);
                    inside.fetch_sub(1, SeqCst);
                    if gate.leave() {
                        told.fetch_add(1, SeqCst);
                    }
                }
            }
        };
        let (a, b) = (thread::spawn(visit.clone()), thread::spawn(visit));
        gate.shut(Shut::Draining);
        let busy = gate.in_flight() > 0;
        if !busy {
            assert_eq!(inside.load(SeqCst), 0);
            assert_eq!(gate.enter(), Err(Exclusion::Draining));
        }
        a.join().unwrap();
        b.join().unwrap();
        assert_eq!(gate.in_flight(), 0);
        let told = told.load(SeqCst);
        assert!(
            told == 1 || (told == 0 && !busy),
            "who saw it busy is told once, whatever else knocks: {told}"
        );
    });
}

#[test]
fn enter_at_lets_in_one_of_two_that_saw_the_same() {
    model(None, || {
        let gate = Arc::new(Gate::new(None));
        let other = {
            let gate = gate.clone();
            thread::spawn(move || gate.enter_at(0) == Ok(true))
        };
        let mine = gate.enter_at(0) == Ok(true);
        assert!(mine ^ other.join().unwrap());
        assert_eq!(gate.in_flight(), 1);
    });
}

/// Two threads change what stands before the gate and carry that into it, in whatever order: the gate ends as the last change has it.
#[test]
fn a_gate_that_follows_its_guard_misses_no_change() {
    model(Some(4), || {
        let gate = Arc::new(Gate::new(None));
        let refusing = Arc::new(AtomicUsize::new(0));
        let change = |to: usize| {
            let (gate, refusing) = (gate.clone(), refusing.clone());
            move || {
                refusing.store(to, SeqCst);
                gate.follow(Shut::Guarded, || refusing.load(SeqCst) != 0);
            }
        };
        let other = thread::spawn(change(1));
        change(0)();
        other.join().unwrap();
        assert_eq!(gate.is_shut(Shut::Guarded), refusing.load(SeqCst) != 0);
    });
}

/// Whom the guard has let pass is counted in past it, and the limit still holds.
#[test]
fn past_the_guard_the_limit_holds() {
    model(None, || {
        let gate = Arc::new(Gate::new(Some(1)));
        let visit = {
            let gate = gate.clone();
            move || {
                let entered = gate.enter_past(Overlooked::only(Shut::Guarded), None) == Ok(true);
                if entered {
                    assert_eq!(gate.in_flight(), 1, "two are in");
                    gate.leave();
                }
                entered
            }
        };
        let other = thread::spawn(visit.clone());
        gate.shut(Shut::Guarded);
        let mine = visit();
        assert!(mine | other.join().unwrap());
        assert_eq!(gate.enter(), Err(Exclusion::BreakerOpen));
    });
}

/// Least connections over two gates: look at both, enter the emptier one only as it was seen.
#[test]
fn two_threads_never_sit_on_one_backend_while_the_other_is_idle() {
    model(None, || {
        let gates = Arc::new([Gate::new(None), Gate::new(None)]);
        let pick = {
            let gates = gates.clone();
            move |first: usize| loop {
                let seen = [gates[0].in_flight(), gates[1].in_flight()];
                let at = if seen[1 - first] < seen[first] { 1 - first } else { first };
                if gates[at].enter_at(seen[at]) == Ok(true) {
                    return;
                }
            }
        };
        let other = thread::spawn({
            let pick = pick.clone();
            move || pick(0)
        });
        pick(0);
        other.join().unwrap();
        assert_eq!([gates[0].in_flight(), gates[1].in_flight()], [1, 1]);
    });
}

/// Loads and the tree over them. Under a fan-out of two, three slots make two levels, five make three.
struct World {
    loads: Vec<AtomicU32>,
    tree: LoadTree,
}

impl World {
    fn new(loads: &[u32]) -> Arc<Self> {
        let tree = LoadTree::new(loads.len());
        let world = Self { loads: loads.iter().map(|&l| AtomicU32::new(l)).collect(), tree };
        (0..loads.len()).for_each(|slot| world.touch(slot));
        Arc::new(world)
    }

    fn key(&self, slot: usize) -> u32 {
        match self.loads[slot].load(SeqCst) {
            u32::MAX => CLOSED,
            n => key(n, 1.0),
        }
    }

    fn touch(&self, slot: usize) {
        self.tree.touch(slot as u32, || self.key(slot));
    }

    /// At quiescence: inner nodes exact, leaves true, and the pick is a least one.
    fn check(&self) {
        assert!(self.tree.is_exact(), "an inner node is not the least of its children");
        let least = (0..self.loads.len()).map(|s| self.key(s)).min().unwrap();
        match self.tree.pick(0) {
            Some((slot, k)) => assert_eq!((k, self.key(slot as usize)), (least, least)),
            None => assert_eq!(least, CLOSED),
        }
    }
}

#[test]
fn the_tree_is_exact_after_two_requests_on_one_slot() {
    model(None, || {
        let world = World::new(&[0, 9, 1]);
        let request = {
            let world = world.clone();
            move || {
                world.loads[0].fetch_add(1, SeqCst);
                world.touch(0);
            }
        };
        let other = thread::spawn(request.clone());
        request();
        other.join().unwrap();
        world.check();
    });
}

#[test]
fn the_tree_is_exact_after_requests_on_siblings_come_and_go() {
    model(None, || {
        let world = World::new(&[0, 0, 9, 9]);
        let request = |slot: usize| {
            let world = world.clone();
            move || {
                world.loads[slot].fetch_add(1, SeqCst);
                world.touch(slot);
                world.loads[slot].fetch_sub(1, SeqCst);
                world.touch(slot);
            }
        };
        let other = thread::spawn(request(1));
        request(0)();
        other.join().unwrap();
        world.check();
    });
}

#[test]
fn the_tree_is_exact_after_slots_in_two_subtrees_close_and_open() {
    model(None, || {
        let world = World::new(&[0, 0, 0, 9]);
        let set = |slot: usize, to: u32| {
            let world = world.clone();
            move || {
                world.loads[slot].store(to, SeqCst);
                world.touch(slot);
            }
        };
        let (a, b) = (thread::spawn(set(0, u32::MAX)), thread::spawn(set(2, 1)));
        set(1, 2)();
        a.join().unwrap();
        b.join().unwrap();
        world.check();
    });
}

#[test]
fn the_tree_is_exact_over_three_levels() {
    model(None, || {
        let world = World::new(&[0, 9, 9, 9, 0]);
        let set = |slot: usize, to: u32| {
            let world = world.clone();
            move || {
                world.loads[slot].store(to, SeqCst);
                world.touch(slot);
            }
        };
        let other = thread::spawn(set(4, u32::MAX));
        set(0, 1)();
        other.join().unwrap();
        world.check();
    });
}

/// A reader that helps (as the policy does, when a leaf is not what its backend says) breaks nothing.
#[test]
fn a_helping_reader_breaks_nothing() {
    model(None, || {
        let world = World::new(&[0, 9, 1]);
        let other = {
            let world = world.clone();
            thread::spawn(move || {
                world.loads[0].fetch_add(1, SeqCst);
                world.touch(0);
            })
        };
        if let Some((slot, k)) = world.tree.pick(0)
            && world.key(slot as usize) != k
        {
            world.touch(slot as usize);
        }
        other.join().unwrap();
        world.check();
    });
}

/// Growth: the publisher puts a larger tree in place and touches all; a request that ends meanwhile changes its count first and
/// looks for the tree afterwards, as `Shared::touch_tree` does. Which tree is in place is an index here.
#[test]
fn replacing_the_tree_loses_no_change() {
    model(None, || {
        let trees = Arc::new([LoadTree::new(2), LoadTree::new(3)]);
        let current = Arc::new(AtomicUsize::new(0));
        let load = Arc::new(AtomicU32::new(1));
        trees[0].touch(0, || key(load.load(SeqCst), 1.0));
        // The fences stand in `Shared::set_tree` and `Shared::touch_tree`.
        let request = {
            let (trees, current, load) = (trees.clone(), current.clone(), load.clone());
            thread::spawn(move || {
                load.fetch_sub(1, SeqCst);
                fence(SeqCst);
                trees[current.load(SeqCst)].touch(0, || key(load.load(SeqCst), 1.0));
            })
        };
        current.store(1, SeqCst);
        fence(SeqCst);
        trees[1].touch(0, || key(load.load(SeqCst), 1.0));
        request.join().unwrap();
        assert!(trees[1].is_exact());
        assert_eq!(trees[1].pick(0), Some((0, key(0, 1.0))));
    });
}
