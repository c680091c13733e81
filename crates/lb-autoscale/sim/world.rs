//! The world: instances that take time to start, a queue before them, and the ledger of what it cost.
//!
//! An instance serves 100 requests a second: 10 at once, 100 ms each. It is ready 10–60 s after it was asked for, which the
//! seed says for each. What finds no room waits, 5 s at most, then it has failed. An instance that is taken away is gone at once; those
//! that are not ready yet go first. All instances that exist are paid for.

use super::contender::Contender;
use super::shape::{RUN_S, Shape};
use fastrand::Rng;

/// Requests at once on an instance.
pub(crate) const SLOTS: f64 = 10.0;
/// Seconds for a request.
pub(crate) const SERVICE_S: f64 = 0.1;
/// Requests a second of an instance.
pub(crate) const RATE: f64 = SLOTS / SERVICE_S;
/// What everybody aims at: the part of an instance that is in use.
pub(crate) const TARGET: f64 = 0.6;
/// Bounds of everybody.
pub(crate) const INSTANCES: (u32, u32) = (2, 30);
/// A request waits no longer.
const PATIENCE_S: f64 = 5.0;

/// What was the case in one second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Second {
    pub(crate) ready: u32,
    pub(crate) starting: u32,
    pub(crate) arrived: f64,
    pub(crate) served: f64,
    pub(crate) queued: f64,
}

/// What a run cost.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cost {
    /// Seconds in which the ready instances could not serve what came: the time to adequate capacity, all rises together.
    pub(crate) short_s: f64,
    /// Instance-seconds above what the target asks for.
    pub(crate) over_s: f64,
    /// Instance-seconds.
    pub(crate) paid_s: f64,
    /// Changes of the number that was asked for.
    pub(crate) actions: f64,
    /// Requests that failed.
    pub(crate) failed: f64,
}

/// How many instances a load is for.
pub(crate) fn needed(rps: f64) -> u32 {
    ((rps / (RATE * TARGET)) - 1e-9).ceil().clamp(f64::from(INSTANCES.0), f64::from(INSTANCES.1)) as u32
}

/// Runs a shape with someone who decides.
pub(crate) fn run(shape: &Shape, contender: &mut dyn Contender, seed: u64) -> Cost {
    let mut start_up = Rng::with_seed(seed);
    let mut wanted = contender.first(shape);
    let mut ready = wanted;
    let mut starting: Vec<usize> = Vec::new(); // when each will be ready
    let mut queued = 0.0;
    let mut cost = Cost::default();
    for now in 0..RUN_S {
        let before = starting.len();
        starting.retain(|&at| at > now);
        ready += (before - starting.len()) as u32;
        if shape.outage_s == Some(now) {
            ready -= ready / 2;
        }

        let arrived = shape.rps[now];
        let capacity = f64::from(ready) * RATE;
        let served = capacity.min(queued + arrived);
        let waiting = queued + arrived - served;
        queued = waiting.min(capacity * PATIENCE_S);
        let second = Second { ready, starting: starting.len() as u32, arrived, served, queued };

        let exist = ready + starting.len() as u32;
        cost.failed += waiting - queued;
        cost.short_s += f64::from(u8::from(capacity < arrived));
        cost.paid_s += f64::from(exist);
        cost.over_s += f64::from(exist.saturating_sub(needed(arrived)));

        let blind = shape.blind_s.is_some_and(|(from, to)| (from..to).contains(&now));
        contender.watch(now, (!blind).then_some(&second));
        let asked = contender.decide(now, exist);
        cost.actions += f64::from(u8::from(asked != wanted));
        wanted = asked;
        while ready + (starting.len() as u32) < wanted {
            starting.push(now + 1 + start_up.usize(10..=60));
        }
        while ready + starting.len() as u32 > wanted {
            if starting.pop().is_none() {
                ready -= 1;
            }
        }
    }
    cost
}
