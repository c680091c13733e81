//! The shared queue: wakers, cancelled waiters, many threads.

use lb_admission::Priority;
use lb_admission::queue::{Level, LevelStats, Overload, Queue, QueueSettings, Refused, Ticket};
use lb_types::{ManualClock, SystemClock};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::Duration;

const MS: fn(u64) -> Duration = Duration::from_millis;

/// Counts how often it was woken.
#[derive(Default)]
struct Woken(AtomicUsize);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, SeqCst);
    }
}

/// A waiter with its waker.
struct Waiter {
    ticket: Ticket,
    woken: Arc<Woken>,
}

impl Waiter {
    /// It joins and looks in vain.
    fn join(queue: &Queue, priority: Priority) -> Self {
        let mut waiter = Self::late(queue, priority);
        if waiter.poll() == Poll::Ready(Ok(())) {
            waiter.ticket.pass_on();
            assert_eq!(waiter.poll(), Poll::Pending);
        }
        waiter
    }

    fn late(queue: &Queue, priority: Priority) -> Self {
        Self { ticket: queue.join(priority, None).unwrap(), woken: Arc::default() }
    }

    fn poll(&mut self) -> Poll<Result<(), Refused>> {
        self.ticket.poll_turn(&mut Context::from_waker(&Waker::from(self.woken.clone())))
    }

    /// How often since it was last asked.
    fn woken(&self) -> usize {
        self.woken.0.swap(0, SeqCst)
    }
}

fn queue(settings: QueueSettings) -> (Queue, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (Queue::new(settings, clock.clone()).unwrap(), clock)
}

#[test]
fn a_freed_place_wakes_exactly_one() {
    let (queue, _) = queue(QueueSettings::new());
    queue.freed(); // nobody waits: it is no turn for who comes later
    let mut waiters: Vec<_> = (0..5).map(|_| Waiter::join(&queue, Priority::NORMAL)).collect();
    let woken = |waiters: &[Waiter]| waiters.iter().map(Waiter::woken).collect::<Vec<_>>();
    assert!(queue.is_waiting());
    assert_eq!(woken(&waiters), [0; 5]);
    queue.freed();
    assert_eq!(woken(&waiters), [1, 0, 0, 0, 0]);
    queue.freed();
    assert_eq!(woken(&waiters), [0, 1, 0, 0, 0], "the second place is another one's");
    assert_eq!(waiters[2].poll(), Poll::Pending);
    assert_eq!(waiters[0].poll(), Poll::Ready(Ok(())));
    assert_eq!(waiters[0].poll(), Poll::Ready(Ok(())), "asked again, it says the same");
    waiters.remove(0).ticket.served();
    assert_eq!(woken(&waiters), [0; 4]);
    drop(waiters.remove(0));
    assert_eq!(woken(&waiters), [1, 0, 0], "who left hands its turn on");
    assert_eq!((queue.len(), queue.stats().levels[1].left), (3, 1));
    drop(waiters);
    assert!(!queue.is_waiting());
}

#[test]
fn a_turn_goes_on_to_who_can_use_the_place() {
    let (queue, _) = queue(QueueSettings::new());
    let mut waiters: Vec<_> = (0..3).map(|_| Waiter::join(&queue, Priority::NORMAL)).collect();
    queue.freed();
    for waiter in &mut waiters {
        assert_eq!(waiter.poll(), Poll::Ready(Ok(())));
        waiter.ticket.pass_on();
        assert_eq!(waiter.poll(), Poll::Pending);
    }
    let woken: Vec<_> = waiters.iter().map(Waiter::woken).collect();
    assert_eq!(woken, [1, 1, 1], "each once");
    // All have looked, nothing is promised: a newcomer may look at once.
    let mut late = Waiter::late(&queue, Priority::LOW);
    assert_eq!(late.poll(), Poll::Ready(Ok(())));
    late.ticket.served();
}

#[test]
fn a_turn_ends_with_who_finds_that_no_place_is_free() {
    let (queue, _) = queue(QueueSettings::new());
    let mut waiters: Vec<_> = (0..3).map(|_| Waiter::late(&queue, Priority::NORMAL)).collect();
    for waiter in &mut waiters[..2] {
        assert_eq!(waiter.poll(), Poll::Ready(Ok(())), "before it joined, a place may have been left behind");
    }
    waiters[0].ticket.none_free();
    assert_eq!(waiters[2].poll(), Poll::Pending, "now it is known that none was");
    waiters[1].ticket.pass_on();
    queue.freed();
    assert_eq!(waiters[0].poll(), Poll::Ready(Ok(())));
    waiters[0].ticket.none_free();
    let woken: Vec<_> = waiters.iter().map(Waiter::woken).collect();
    assert_eq!(woken, [0, 0, 0], "0 had not been told to wait, and nobody else was disturbed");
    assert_eq!(Waiter::late(&queue, Priority::HIGH).poll(), Poll::Pending);
}

#[test]
fn a_newcomer_waits_while_the_place_is_promised() {
    let (queue, _) = queue(QueueSettings::new());
    let mut first = Waiter::join(&queue, Priority::LOW);
    queue.freed();
    let mut late = Waiter::late(&queue, Priority::HIGH);
    assert_eq!(late.poll(), Poll::Pending);
    assert_eq!((first.poll(), late.woken()), (Poll::Ready(Ok(())), 0));
    first.ticket.served();
    assert_eq!((late.woken(), late.poll()), (1, Poll::Ready(Ok(()))), "there may be more");
}

#[test]
fn a_change_makes_all_look() {
    let (queue, _) = queue(QueueSettings::new());
    let waiters: Vec<_> = (0..4).map(|_| Waiter::join(&queue, Priority::NORMAL)).collect();
    queue.changed();
    for mut waiter in waiters {
        assert_eq!(waiter.woken(), 1);
        assert_eq!(waiter.poll(), Poll::Ready(Ok(())));
        waiter.ticket.served();
    }
    assert_eq!(queue.stats().levels[1].served, 4);
}

#[test]
fn the_displaced_and_the_late_are_told_at_once() {
    let (queue, clock) = queue(QueueSettings::new().max_size(2).overload(None));
    let mut waiters: Vec<_> = (0..2).map(|_| Waiter::join(&queue, Priority::LOW)).collect();
    clock.advance(MS(7));
    let full = queue.join(Priority::LOW, None).unwrap_err();
    assert_eq!(full, Refused::Full { retry_after: Duration::from_secs(60) }, "nobody was ever served");
    let mut high = Waiter::join(&queue, Priority::HIGH);
    assert_eq!(waiters[1].woken(), 1);
    let displaced = Refused::Displaced { waited: MS(7) };
    assert_eq!(waiters[1].poll(), Poll::Ready(Err(displaced)));
    clock.advance(MS(1));
    assert_eq!(waiters[1].poll(), Poll::Ready(Err(displaced)), "asked again, it says the same");
    assert_eq!((waiters[1].ticket.waited(), displaced.as_str()), (MS(7), "displaced"));
    assert_eq!(waiters[0].ticket.wake_at().as_millis(), 30_000);
    clock.advance(MS(29_992));
    assert_eq!(waiters[0].poll(), Poll::Ready(Err(Refused::Timeout { waited: MS(30_000) })));
    assert_eq!(high.poll(), Poll::Pending);
    let low = &queue.stats().levels[2];
    assert_eq!((low.refused.full, low.refused.displaced, low.refused.timeout), (1, 1, 1));
    assert_eq!((low.joined, low.waiting), (2, 0));
    drop(waiters);
    assert_eq!((queue.stats().levels[2].left, queue.len()), (0, 1), "the refused did not leave");
}

#[test]
fn overload_is_noticed_by_those_who_wait() {
    let overload = Overload { after: MS(100), target: MS(10) };
    let (queue, clock) = queue(QueueSettings::new().overload(Some(overload)));
    let mut first = Waiter::join(&queue, Priority::NORMAL);
    assert_eq!(first.ticket.wake_at().as_millis(), 10);
    clock.advance(MS(10));
    assert_eq!(first.poll(), Poll::Pending);
    assert_eq!(first.ticket.wake_at().as_millis(), 110);
    clock.advance(MS(95));
    let mut second = Waiter::join(&queue, Priority::NORMAL);
    assert_eq!(second.ticket.wake_at().as_millis(), 115);
    clock.advance(MS(5));
    assert_eq!(first.poll(), Poll::Ready(Err(Refused::Overloaded { waited: MS(110) })));
    assert!(queue.stats().levels[1].overloaded);
    clock.advance(MS(5));
    assert_eq!(second.poll(), Poll::Ready(Err(Refused::Overloaded { waited: MS(10) })));
    clock.advance(MS(100));
    assert!(!queue.stats().levels[1].overloaded);
}

/// Statistics may be the first to notice that somebody has to go.
#[test]
fn whoever_notices_wakes_the_refused() {
    let (queue, clock) = queue(QueueSettings::new());
    let mut waiter = Waiter::join(&queue, Priority::NORMAL);
    clock.advance(MS(30_000));
    assert_eq!(queue.stats().waiting, 0);
    assert_eq!(waiter.woken(), 1);
    assert!(matches!(waiter.poll(), Poll::Ready(Err(Refused::Timeout { .. }))));
}

/// Some are bound to one of the places, some leave while they wait; whoever waits is served in the end, though at the end of each
/// episode nobody comes any more.
#[test]
fn many_threads_lose_no_turn() {
    const EPISODES: u64 = 300;
    const THREADS: u64 = 8;
    const ROUNDS: u64 = 12;
    const KINDS: usize = 3;

    struct Unpark(thread::Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }

    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let settings = QueueSettings::new().overload(None).timeout(Duration::from_secs(10));
    let queue = Queue::new(settings.max_size(THREADS as usize), Arc::new(SystemClock::new())).unwrap();
    let places = [const { AtomicUsize::new(1) }; KINDS];
    let (taken, left) = (AtomicU64::new(0), AtomicU64::new(0));
    let take = |kind: &usize| places[*kind].try_update(SeqCst, SeqCst, |free| free.checked_sub(1)).is_ok();
    let wait = |rng: &mut fastrand::Rng, bound: bool, try_take: &dyn Fn() -> Option<usize>| {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut ticket = queue.join(Priority::level(rng.u8(..3)), None).unwrap();
        let patience = if rng.u8(..4) == 0 { rng.usize(1..4) } else { usize::MAX };
        for _ in 0..patience {
            match ticket.poll_turn(&mut Context::from_waker(&waker)) {
                // A turn that was lost shows as a timeout.
                Poll::Pending => thread::park_timeout(Duration::from_secs(11)),
                Poll::Ready(turn) => {
                    turn.expect("a turn was lost");
                    if let Some(place) = try_take() {
                        ticket.served();
                        return Some(place);
                    }
                    if bound { ticket.pass_on() } else { ticket.none_free() }
                }
            }
        }
        None // perhaps it has been given a turn meanwhile
    };
    let client = |n: u64| {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(n));
        for _ in 0..ROUNDS {
            let bound = rng.bool().then(|| rng.usize(..KINDS));
            let try_take = || (0..KINDS).filter(|k| bound.is_none_or(|b| b == *k)).find(take);
            let at_once = if queue.is_waiting() { None } else { try_take() };
            if let Some(kind) = at_once.or_else(|| wait(&mut rng, bound.is_some(), &try_take)) {
                if rng.u8(..4) == 0 {
                    thread::yield_now();
                }
                assert_eq!(places[kind].fetch_add(1, SeqCst), 0, "two in one place");
                queue.freed();
                taken.fetch_add(1, SeqCst);
            } else {
                left.fetch_add(1, SeqCst);
            }
            if rng.u8(..64) == 0 {
                queue.changed();
            }
        }
    };
    for episode in 0..EPISODES {
        thread::scope(|scope| {
            (0..THREADS).for_each(|n| drop(scope.spawn(move || client(episode * THREADS + n))));
        });
        assert!(!queue.is_waiting());
    }
    let stats = queue.stats();
    let sum = |f: fn(&LevelStats) -> u64| stats.levels.iter().map(f).sum::<u64>();
    let left = left.load(SeqCst);
    println!("{taken:?} were served, {left} left; {} had joined", sum(|l| l.joined));
    assert_eq!(taken.load(SeqCst) + left, EPISODES * THREADS * ROUNDS);
    assert_eq!(sum(|l| l.joined), sum(|l| l.served) + sum(|l| l.left));
    assert_eq!(sum(|l| l.left), left);
}

#[test]
fn one_level_is_a_plain_queue() {
    let (queue, _) = queue(QueueSettings::new().levels([Level::new("all", 1)]));
    let mut first = Waiter::join(&queue, Priority::LOW);
    let second = Waiter::join(&queue, Priority::HIGH);
    queue.freed();
    assert_eq!((first.woken(), second.woken()), (1, 0));
    assert_eq!(first.poll(), Poll::Ready(Ok(())));
    assert_eq!(first.ticket.priority(), Priority::level(0));
}

#[cfg(feature = "runtime")]
mod runtime {
    use super::*;
    use lb_types::{Clock, Nanos};

    /// Tokio's clock, which tests may pause.
    struct Paused(tokio::time::Instant);
    impl Clock for Paused {
        fn now(&self) -> Nanos {
            self.0.elapsed().into()
        }
    }

    fn queue() -> Queue {
        Queue::new(QueueSettings::new(), Arc::new(Paused(tokio::time::Instant::now()))).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn turn_waits_for_its_turn_or_its_deadline() {
        let queue = queue();
        let mut tickets = [30, 400].map(|ms| queue.join(Priority::NORMAL, Some(MS(ms))).unwrap());
        for ticket in &mut tickets {
            ticket.turn().await.unwrap();
            ticket.pass_on();
        }
        let [mut first, mut second] = tickets;
        assert_eq!(first.turn().await, Err(Refused::Timeout { waited: MS(30) }));
        let task = tokio::spawn(async move {
            second.turn().await?;
            Ok::<_, Refused>(second.served())
        });
        tokio::time::sleep(MS(70)).await;
        assert!(!task.is_finished());
        queue.freed();
        assert_eq!(task.await.unwrap(), Ok(MS(100)));
    }

    #[tokio::test(start_paused = true)]
    async fn overload_refuses_without_anybody_coming() {
        let queue = queue();
        let mut ticket = queue.join(Priority::NORMAL, None).unwrap();
        ticket.turn().await.unwrap();
        ticket.pass_on();
        assert_eq!(ticket.turn().await, Err(Refused::Overloaded { waited: MS(1_010) }));
    }
}
