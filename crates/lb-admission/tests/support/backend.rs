//! A simulated backend behind a limiter: requests arrive at random, the limit turns the surplus away, and the rest waits for
//! one of the backend's slots. Events in virtual time; everything follows from the seed.

use lb_admission::concurrency::{AdaptiveConcurrency, Limiter};
use lb_types::Nanos;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// What holds from an instant on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Phase {
    pub(crate) from_s: f64,
    /// Requests a second, in multiples of `slots / service`.
    pub(crate) load: f64,
    /// Requests that the backend serves at once.
    pub(crate) slots: usize,
    /// What a request takes in its slot, in seconds: the mean of an exponential distribution.
    pub(crate) service_s: f64,
}

/// What was seen in one second.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Second {
    /// The limit at its end.
    pub(crate) limit: u32,
    pub(crate) answered: u32,
    pub(crate) turned_away: u32,
    /// The mean latency of what was answered, in seconds.
    pub(crate) latency_s: f64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrival,
    /// A request ends in its slot that arrived then.
    End(u64),
}

/// Requests that wait longer count as dropped.
const TIMEOUT_NS: u64 = 30_000_000_000;

pub(crate) fn run(settings: AdaptiveConcurrency, phases: &[Phase], seconds: u64, seed: u64) -> Vec<Second> {
    let limiter = Limiter::new(settings, Nanos::ZERO).expect("valid settings");
    let mut random = fastrand::Rng::with_seed(seed);
    let mut exponential = move |mean_s: f64| (-(1.0 - random.f64()).ln() * mean_s * 1e9) as u64;
    let mut events = BinaryHeap::from([Reverse((0u64, Event::Arrival))]);
    let (mut waiting, mut serving) = (VecDeque::new(), 0);
    let mut seen = vec![Second::default(); seconds as usize];
    while let Some(Reverse((now, event))) = events.pop() {
        let Some(second) = seen.get_mut((now / 1_000_000_000) as usize) else { break };
        let phase = phases.iter().rfind(|phase| phase.from_s <= now as f64 / 1e9).expect("one from 0 on");
        let in_flight = (waiting.len() + serving) as u32;
        match event {
            Event::Arrival => {
                let rate = phase.load * phase.slots as f64 / phase.service_s;
                events.push(Reverse((now + exponential(1.0 / rate), Event::Arrival)));
                if in_flight < limiter.limit() {
                    waiting.push_back(now);
                } else {
                    second.turned_away += 1;
                }
            }
            Event::End(arrived) => {
                serving -= 1;
                let latency = now - arrived;
                limiter.record(Nanos(latency), in_flight, latency > TIMEOUT_NS, Nanos(now));
                second.answered += 1;
                second.latency_s += latency as f64 / 1e9;
            }
        }
        while serving < phase.slots {
            let Some(arrived) = waiting.pop_front() else { break };
            serving += 1;
            events.push(Reverse((now + exponential(phase.service_s), Event::End(arrived))));
        }
        second.limit = limiter.limit();
    }
    // A second without an event has the limit of the one before.
    let mut limit = settings.initial;
    for second in &mut seen {
        if second.limit == 0 {
            second.limit = limit;
        }
        limit = second.limit;
        second.latency_s /= f64::from(second.answered.max(1));
    }
    seen
}
