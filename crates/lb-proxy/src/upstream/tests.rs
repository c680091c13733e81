//! Pools and what they share, with connections that are nothing but numbers.

use super::pool::{IdlePool, Pooled};
use super::settings::PoolingSettings;
use super::shared::{Shared, UpstreamConnections, Upstreams};
use super::sockets::{CloseReason, Place};
use lb_core::{BackendState, Pool, PoolSettings};
use lb_types::{Backend, BackendId, ManualClock, Nanos};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Duration;

struct Fake {
    number: u32,
    uses: u32,
    ends: Nanos,
    announced: Nanos,
    alive: bool,
    place: Place,
}

impl Pooled for Fake {
    fn uses(&self) -> u32 {
        self.uses
    }
    fn ends(&self) -> Nanos {
        self.ends
    }
    fn announced(&self) -> Nanos {
        self.announced
    }
    fn is_wanted(&self) -> bool {
        self.place.is_wanted()
    }
    fn is_usable(&mut self) -> bool {
        self.alive
    }
    fn close(mut self, why: CloseReason) {
        self.mark(why);
    }
    fn mark(&mut self, why: CloseReason) {
        self.place.closes(why);
    }
}

fn fake(number: u32, mut place: Place) -> Fake {
    place.made();
    Fake { number, uses: 1, ends: Nanos::MAX, announced: Nanos::MAX, alive: true, place }
}

fn backend(id: &str) -> Backend {
    Backend::new(id, "http://127.0.0.1:1".parse().unwrap())
}

struct World {
    clock: Arc<ManualClock>,
    pool: Pool,
    shared: Arc<Shared<Fake>>,
    workers: Vec<Arc<IdlePool<Fake>>>,
}

fn world(settings: &PoolingSettings) -> World {
    let clock = Arc::new(ManualClock::default());
    let pool = Pool::new(PoolSettings::default(), vec![backend("a"), backend("b")], clock.clone()).unwrap();
    let shared = Arc::new(Shared::new("web", settings, 128));
    let workers = vec![shared.join(), shared.join()];
    World { clock, pool, shared, workers }
}

impl World {
    fn state(&self, id: &str) -> Arc<BackendState> {
        self.pool.snapshot().get(&BackendId::new(id)).unwrap().state().clone()
    }

    fn at(&self, seconds: u64) -> Nanos {
        let to = Nanos::from_secs(seconds);
        self.clock.advance(to - self.pool.now());
        to
    }

    fn seen(&self, id: &str) -> UpstreamConnections {
        let mut all = vec![];
        self.shared.see(&mut all);
        all.into_iter().find(|u| u.backend == id).unwrap()
    }

    fn closed(&self, id: &str, why: CloseReason) -> u64 {
        self.seen(id).closed[why as usize]
    }

    fn sweep(&self) {
        self.workers.iter().for_each(|w| self.shared.sweep(w, &self.pool));
    }
}

#[tokio::test]
async fn the_oldest_idle_one_of_any_worker_makes_room() {
    let w = world(&PoolingSettings::new().max_connections(3));
    let a = w.state("a");
    for (number, worker, at) in [(1, 0, 5), (2, 1, 3), (3, 0, 7)] {
        let place = w.shared.place(&a).await;
        w.workers[worker].put(&a, fake(number, place), Nanos::from_secs(at));
    }
    let fourth = w.shared.place(&a).await;
    assert_eq!((w.seen("a").open, w.closed("a", CloseReason::Limit)), (3, 1));
    let now = Nanos::from_secs(8);
    assert!(w.workers[1].take(&a, now).is_none(), "2 was the oldest");
    assert_eq!(w.workers[0].take(&a, now).map(|c| c.number), Some(3), "the last used is the first taken");
    assert_eq!(w.workers[0].take(&a, now).map(|c| c.number), Some(1));
    drop(fourth);
    assert_eq!((w.seen("a").open, w.seen("a").reused, w.seen("a").opened), (0, 2, 3));
}

#[tokio::test]
async fn who_waits_gets_the_place_of_the_next_that_is_done() {
    let w = world(&PoolingSettings::new().max_connections(1));
    let (a, shared) = (w.state("a"), w.shared.clone());
    let busy = fake(1, shared.place(&a).await);
    let b = w.state("b");
    drop(shared.place(&b).await); // another backend has its own
    let mut waits = std::pin::pin!(shared.place(&a));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waits.as_mut().poll(&mut cx).is_pending());
    w.workers[1].put(&a, busy, Nanos::ZERO);
    assert_eq!(w.seen("a").idle, 0, "it was not kept");
    let std::task::Poll::Ready(place) = waits.as_mut().poll(&mut cx) else { panic!("it has a place") };
    drop(place);
    let kept = fake(2, shared.place(&a).await);
    w.workers[1].put(&a, kept, Nanos::ZERO);
    assert_eq!(w.seen("a").idle, 1, "nobody waits any more");
}

#[tokio::test]
async fn one_that_gives_up_waiting_is_forgotten() {
    let w = world(&PoolingSettings::new().max_connections(1));
    let a = w.state("a");
    let busy = fake(1, w.shared.place(&a).await);
    {
        let mut waits = std::pin::pin!(w.shared.place(&a));
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        assert!(waits.as_mut().poll(&mut cx).is_pending());
    }
    w.workers[0].put(&a, busy, Nanos::ZERO);
    assert_eq!(w.seen("a").idle, 1);
}

#[tokio::test]
async fn each_limit_closes_for_its_reason() {
    use CloseReason as C;
    let secs = Nanos::from_secs;
    let settings = PoolingSettings::new().max_requests(3).max_idle_time(Duration::from_secs(30));
    for (change, at, why) in [
        ((|c: &mut Fake| c.uses = 3) as fn(&mut Fake), 0, Some(C::Requests)),
        (|c| c.ends = Nanos::ZERO, 0, Some(C::Lifetime)),
        (|c| c.ends = Nanos::from_secs(9), 10, Some(C::Lifetime)),
        (|c| c.announced = Nanos::from_secs(4), 5, Some(C::Idle)),
        (|_| {}, 30, None),
        (|_| {}, 31, Some(C::Idle)),
        (|c| c.alive = false, 1, Some(C::Broken)),
    ] {
        let w = world(&settings);
        let a = w.state("a");
        let mut c = fake(1, w.shared.place(&a).await);
        change(&mut c);
        w.workers[0].put(&a, c, Nanos::ZERO);
        w.at(at);
        w.sweep();
        for reason in C::ALL {
            assert_eq!(w.closed("a", reason), u64::from(why == Some(reason)), "{reason:?} at {at} s");
        }
        assert_eq!(w.workers[0].take(&a, secs(at)).is_some(), why.is_none());
    }
    let w = world(&PoolingSettings::new().enabled(false));
    let a = w.state("a");
    let place = w.shared.place(&a).await;
    w.workers[0].put(&a, fake(1, place), Nanos::ZERO);
    assert_eq!(w.closed("a", C::Close), 1);
}

#[tokio::test]
async fn those_opened_ahead_outlive_idle_time_alone() {
    let w = world(&PoolingSettings::new().preconnect(2));
    let a = w.state("a");
    for number in 1..=5 {
        let place = w.shared.place(&a).await;
        w.workers[0].put(&a, fake(number, place), Nanos::ZERO);
    }
    assert!(w.shared.place_ahead(&a).is_none());
    w.at(31);
    w.sweep();
    assert_eq!((w.seen("a").open, w.closed("a", CloseReason::Idle)), (2, 3));
    assert!(w.workers[0].take(&a, Nanos::from_secs(31)).is_some(), "it may be used");
    w.at(61);
    w.sweep();
    assert_eq!(w.seen("a").open, 0, "its backend is not trusted to keep it for longer");
    assert!(w.shared.place_ahead(&a).is_some());
}

#[tokio::test]
async fn what_is_kept_survives_its_backend_s_changes_and_not_its_backend() {
    let w = world(&PoolingSettings::new());
    let (a, b) = (w.state("a"), w.state("b"));
    for (number, of) in [(1, &a), (2, &b)] {
        let place = w.shared.place(of).await;
        w.workers[0].put(of, fake(number, place), Nanos::ZERO);
    }
    let id = |id: &str| BackendId::new(id);
    let mut heavier = lb_types::BackendPatch::default();
    heavier.weight = Some(7);
    w.pool.update_backend(&id("a"), heavier).unwrap();
    w.pool.set_draining(&id("a"), true).unwrap();
    w.pool.add_backend(backend("c")).unwrap();
    w.pool.remove_backend(&id("b")).unwrap();
    w.sweep();
    assert_eq!((w.seen("a").idle, w.closed("a", CloseReason::Gone)), (1, 0));
    assert!(w.workers[0].take(&b, Nanos::ZERO).is_none());
    assert_eq!(w.workers[0].take(&w.state("a"), Nanos::ZERO).map(|c| c.number), Some(1));
    // Its place in the tables may go to another now, whose connections are not taken for its own.
    let uid = b.uid();
    drop(b);
    w.pool.add_backend(backend("d")).unwrap();
    let d = w.state("d");
    assert_ne!(d.uid(), uid);
    assert!(w.workers[0].take(&d, Nanos::ZERO).is_none());
    let place = w.shared.place(&d).await;
    w.workers[0].put(&d, fake(3, place), Nanos::ZERO);
    assert_eq!(w.seen("d").open, 1);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open { worker: usize, lasts: u64, announced: u64 },
    Take { worker: usize },
    Wait(u64),
    Sweep,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..2usize, 1..60u64, 1..60u64)
            .prop_map(|(worker, lasts, announced)| Step::Open { worker, lasts, announced }),
        3 => (0..2usize).prop_map(|worker| Step::Take { worker }),
        2 => (0..20u64).prop_map(Step::Wait),
        1 => Just(Step::Sweep),
    ]
}

proptest! {
    /// Against lists: who may be taken, in which order, and how many sockets are open; never more than the bound.
    #[test]
    fn as_lists_would_do_it(steps in prop::collection::vec(step(), 1..120)) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let w = world(&PoolingSettings::new().max_connections(4));
        let a = w.state("a");
        // By worker: number, since, until.
        let mut model: [Vec<(u32, u64, u64)>; 2] = Default::default();
        let (mut now, mut next) = (0, 0);
        for step in steps {
            match step {
                Step::Wait(seconds) => now += seconds,
                Step::Sweep => {
                    w.at(now);
                    w.sweep();
                    model.iter_mut().for_each(|m| m.retain(|c| c.2 >= now));
                }
                Step::Take { worker } => {
                    let taken = w.workers[worker].take(&a, Nanos::from_secs(now)).map(|c| c.number);
                    let own = &mut model[worker];
                    let mut wanted = None;
                    while let Some(c) = own.pop() {
                        if c.2 >= now {
                            wanted = Some(c.0);
                            break;
                        }
                    }
                    prop_assert_eq!(taken, wanted);
                }
                Step::Open { worker, lasts, announced } => {
                    next += 1;
                    let place = runtime.block_on(w.shared.place(&a));
                    if model[0].len() + model[1].len() >= 4 {
                        let first = |m: &[(u32, u64, u64)]| m.first().map_or(u64::MAX, |c| c.1);
                        let oldest = usize::from(first(&model[1]) < first(&model[0]));
                        model[oldest].remove(0);
                    }
                    let mut c = fake(next, place);
                    c.ends = Nanos::from_secs(now + lasts);
                    c.announced = Nanos::from_secs(announced);
                    // Those who put look for what is too old once a second; here only the sweep does.
                    w.workers[worker].sweep(Nanos::from_secs(now), &|_, _| Some(u32::MAX));
                    model[worker].retain(|c| c.2 >= now);
                    w.workers[worker].put(&a, c, Nanos::from_secs(now));
                    model[worker].push((next, now, (now + announced.min(30)).min(now + lasts)));
                }
            }
            let open = model.iter().map(Vec::len).sum::<usize>();
            if next > 0 {
                let seen = w.seen("a");
                prop_assert_eq!((seen.open as usize, seen.idle), (open, open));
                prop_assert!(open <= 4);
            }
        }
    }
}
