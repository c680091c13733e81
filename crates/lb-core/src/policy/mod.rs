//! The algorithms: one file each, over a small trait.
//!
//! A policy is built with its snapshot over the eligible members of one level and is asked for a choice; the engine counts
//! the request in and asks again if the choice was refused. State that must survive a rebuild (the cursor, the load tree, the
//! backends' latencies) lives in the pool, not here.

mod adaptive;
mod hash;
mod least_connections;
mod least_response_time;
mod p2c;
mod random;
mod round_robin;
mod smooth;

pub use hash::hash_source;
pub(crate) use hash::{HashTable, TableKey, alike, hash_bytes, hash_key, mix};
pub(crate) use least_connections::TREE_FROM;

use hash::HashPolicy;
use smooth::Schedule;

use crate::context::PickContext;
use crate::settings::Algorithm;
use crate::snapshot::{Member, View};
use lb_types::Exclusion;

/// A policy's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Choice {
    /// The member's index in the snapshot.
    pub(crate) member: u32,
    /// Take it only while exactly this many requests are in flight there.
    pub(crate) seen: Option<u32>,
}

impl Choice {
    #[inline]
    fn of(member: u32) -> Option<Self> {
        Some(Self { member, seen: None })
    }
}

/// How a backend is chosen among a level's candidates.
pub(crate) trait Policy: Send + Sync {
    /// A candidate. The view has at least one. `None`: no candidate is usable, as far as this policy sees.
    fn pick(&self, view: &View<'_>, cx: &mut PickContext<'_>) -> Option<Choice>;

    /// Why this policy would rather not take a usable candidate; for explanations.
    fn exclusion(&self, _view: &View<'_>, _member: u32) -> Option<Exclusion> {
        None
    }

    /// What this policy compares candidates by, lower is better; for explanations.
    fn score(&self, _view: &View<'_>, _member: u32, _cx: &PickContext<'_>) -> Option<f64> {
        None
    }
}

/// What a level's policy is built from.
pub(crate) struct Build<'a> {
    pub(crate) algorithm: &'a Algorithm,
    pub(crate) members: &'a [Member],
    pub(crate) candidates: &'a [u32],
    /// Some candidate's weight is not its configured one now.
    pub(crate) scaled: bool,
    /// The pool keeps its load tree for this level.
    pub(crate) tree: bool,
    /// The level's table, where the algorithm has one.
    pub(crate) table: Option<std::sync::Arc<HashTable>>,
}

/// Builds a level's policy.
pub(crate) fn build(b: Build<'_>) -> Box<dyn Policy> {
    let weights = || b.candidates.iter().map(|&m| b.members[m as usize].weight).collect::<Vec<_>>();
    match b.algorithm {
        Algorithm::RoundRobin if !b.scaled => Box::new(round_robin::RoundRobin),
        // Rotation with a ramp, or with an agent's weight, is a weighted rotation.
        Algorithm::RoundRobin | Algorithm::WeightedRoundRobin => round_robin::weighted(&weights()),
        Algorithm::LeastConnections if b.tree => {
            Box::new(least_connections::Tree::new(b.members, b.candidates))
        }
        Algorithm::LeastConnections => Box::new(least_connections::Scan),
        Algorithm::Random => Box::new(random::Random::new(&weights())),
        Algorithm::P2c => Box::new(p2c::P2c(p2c::InFlight)),
        Algorithm::PeakEwma(o) => Box::new(p2c::P2c(p2c::Ewma::new(o.default_rtt))),
        Algorithm::Adaptive(o) => Box::new(adaptive::Adaptive::new(o, &weights())),
        Algorithm::LeastResponseTime(_) => Box::new(least_response_time::LeastResponseTime),
        Algorithm::IpHash(_) | Algorithm::Maglev(_) | Algorithm::RingHash(_) | Algorithm::Rendezvous(_) => {
            let sum = weights().iter().map(|&w| u64::from(w)).sum();
            let table = b.table.expect("a hash algorithm's levels are built with their table");
            Box::new(HashPolicy::new(table, hash::balance_factor(b.algorithm), sum))
        }
    }
}
