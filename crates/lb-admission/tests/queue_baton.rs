//! Clients and places in one thread, in every order that a seed makes of their steps: whenever nothing moves any more, nobody waits
//! beside a free place that it could use.

use lb_admission::Priority;
use lb_admission::queue::{Queue, QueueSettings, Ticket};
use lb_types::ManualClock;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::task::{Context, Poll, Wake, Waker};

const CLIENTS: usize = 9;
const KINDS: usize = 3;

#[derive(Default)]
struct Flag(AtomicBool);

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.0.store(true, SeqCst);
    }
}

enum Is {
    Away,
    /// It has tried in vain and will join.
    Refused,
    /// In the line; asks for its turn when woken.
    Waits(Ticket),
    /// It has a turn and will try.
    Tries(Ticket),
    Has(usize),
    /// The place is free again and the queue does not know.
    GaveBack,
}

struct Client {
    is: Is,
    /// The only place that it can use.
    bound: Option<usize>,
    woken: Arc<Flag>,
}

impl Client {
    fn can_use(&self, free: &[bool; KINDS]) -> Option<usize> {
        (0..KINDS).find(|&kind| free[kind] && self.bound.is_none_or(|bound| bound == kind))
    }

    /// Has it something to do that it does without waiting for anybody?
    fn moves(&self) -> bool {
        match self.is {
            Is::Away | Is::Has(_) => false,
            Is::Waits(_) => self.woken.0.load(SeqCst),
            _ => true,
        }
    }
}

fn step(client: &mut Client, queue: &Queue, free: &mut [bool; KINDS], rng: &mut fastrand::Rng) {
    client.is = match std::mem::replace(&mut client.is, Is::Away) {
        Is::Away => {
            client.bound = rng.bool().then(|| rng.usize(..KINDS));
            let place = if queue.is_waiting() { None } else { client.can_use(free) };
            match place {
                Some(kind) => {
                    free[kind] = false;
                    Is::Has(kind)
                }
                None => Is::Refused,
            }
        }
        Is::Refused => {
            client.woken.0.store(true, SeqCst); // it asks at once, or soon
            Is::Waits(queue.join(Priority::level(rng.u8(..3)), None).unwrap())
        }
        Is::Waits(_) if rng.u8(..20) == 0 => Is::Away,
        Is::Waits(mut ticket) => {
            client.woken.0.store(false, SeqCst);
            let waker = Waker::from(client.woken.clone());
            match ticket.poll_turn(&mut Context::from_waker(&waker)) {
                Poll::Pending => Is::Waits(ticket),
                Poll::Ready(turn) => {
                    turn.expect("nobody is refused");
                    Is::Tries(ticket)
                }
            }
        }
        Is::Tries(_) if rng.u8(..20) == 0 => Is::Away,
        Is::Tries(mut ticket) => match client.can_use(free) {
            Some(kind) => {
                free[kind] = false;
                ticket.served();
                Is::Has(kind)
            }
            None => {
                if client.bound.is_none() || (*free == [false; KINDS] && rng.bool()) {
                    ticket.none_free();
                } else {
                    ticket.pass_on();
                }
                client.woken.0.store(true, SeqCst); // it asks again
                Is::Waits(ticket)
            }
        },
        Is::Has(kind) => {
            free[kind] = true;
            Is::GaveBack
        }
        Is::GaveBack => {
            queue.freed();
            Is::Away
        }
    };
}

#[test]
fn nobody_waits_beside_a_place_that_it_could_use() {
    let seed = fastrand::u64(..);
    println!("seed {seed}");
    let (mut still, mut waited) = (0, 0);
    for episode in 0..1_000 {
        let mut rng = fastrand::Rng::with_seed(seed.wrapping_add(episode));
        let settings = QueueSettings::new().max_size(CLIENTS);
        let queue = Queue::new(settings, Arc::new(ManualClock::default())).unwrap();
        let mut free = [true; KINDS];
        let client = || Client { is: Is::Away, bound: None, woken: Arc::default() };
        let mut clients: [Client; CLIENTS] = std::array::from_fn(|_| client());
        for _ in 0..150 {
            // Some steps in which anybody may do something, then all that goes on by itself.
            for _ in 0..rng.usize(..12) {
                let at = rng.usize(..CLIENTS);
                let may = clients[at].moves() || matches!(clients[at].is, Is::Away | Is::Has(_));
                if may || rng.u8(..30) == 0 {
                    step(&mut clients[at], &queue, &mut free, &mut rng);
                }
                if rng.u8(..100) == 0 {
                    queue.changed();
                }
            }
            loop {
                let moving: Vec<usize> = (0..CLIENTS).filter(|&at| clients[at].moves()).collect();
                let Some(&at) = moving.get(rng.usize(..moving.len().max(1))) else { break };
                step(&mut clients[at], &queue, &mut free, &mut rng);
            }
            still += 1;
            for client in &clients {
                if let Is::Waits(ticket) = &client.is {
                    waited += 1;
                    assert_eq!(client.can_use(&free), None, "{ticket:?} in episode {episode}");
                }
            }
        }
        drop(clients);
        assert!(queue.is_empty());
    }
    assert!(waited > still, "{waited} waiters in {still} moments: it tests too little");
}
