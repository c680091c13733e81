//! What waiting costs: `cargo run --release -p lb-admission --example queue_bench`.
//!
//! One thread, nothing contended; the least of many rounds. A step is one who joins, one place that becomes free and one who is told,
//! asks and is served, with so many others in the line all the time.

use lb_admission::Priority;
use lb_admission::queue::{Queue, QueueSettings, Ticket};
use lb_types::{Clock, SystemClock};
use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

const ROUNDS: usize = 20;

fn measure(name: &str, steps: usize, mut step: impl FnMut()) {
    let clock = SystemClock::new();
    let best = (0..ROUNDS)
        .map(|_| {
            let began = clock.now();
            (0..steps).for_each(|_| step());
            (clock.now() - began).0 as f64 / steps as f64
        })
        .fold(f64::INFINITY, f64::min);
    println!("{name:<58} {best:>7.1} ns");
}

fn ask(ticket: &mut Ticket) -> bool {
    ticket.poll_turn(&mut Context::from_waker(Waker::noop())) == Poll::Ready(Ok(()))
}

/// One who has joined, has looked in vain and waits.
fn join(queue: &Queue, priority: Priority) -> Option<Ticket> {
    let mut ticket = queue.join(priority, None).ok()?;
    if ask(&mut ticket) {
        ticket.none_free();
        ask(&mut ticket);
    }
    Some(ticket)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let new = |overload| {
        let settings = QueueSettings::new().max_size(1_000_000).timeout(Duration::from_secs(3_600));
        let settings = if overload { settings } else { settings.overload(None) };
        Queue::new(settings, Arc::new(SystemClock::new()))
    };
    let queue = new(true)?;
    measure("the clock", 100_000, || {
        black_box(SystemClock::process().now());
    });
    measure("is_waiting", 100_000, || {
        black_box(black_box(&queue).is_waiting());
    });
    measure("freed, nobody waits", 100_000, || black_box(&queue).freed());
    for others in [0, 10, 1_000, 100_000] {
        let queue = new(false)?;
        let mut line: VecDeque<Ticket> = (0..others).filter_map(|_| join(&queue, Priority::NORMAL)).collect();
        measure(&format!("join, freed, served; {others} others wait"), 20_000, || {
            line.extend(join(&queue, Priority::NORMAL));
            queue.freed();
            if let Some(mut first) = line.pop_front() {
                assert!(ask(&mut first));
                first.served();
            }
        });
        measure(&format!("join, leave; {others} others wait"), 20_000, || {
            drop(join(&queue, Priority::LOW));
        });
    }
    Ok(())
}
