//! Faults of a pool's backends: breakers, ejections, agents. What happened is counted from the balancer's events, since the admin
//! server exists.

use super::MetricsWriter;
use lb_balancer::breaker::State;
use lb_balancer::{FaultEvent, LoadBalancer};
use lb_core::Member;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How often what happened to which backend: of transitions to (state, reason), of ejections (cause).
#[derive(Default)]
struct Counts {
    transitions: BTreeMap<(String, String, String), u64>,
    ejections: BTreeMap<(String, &'static str), u64>,
}

/// Counts a balancer's fault events. Clones share the counts.
#[derive(Clone, Default)]
pub(crate) struct FaultCounts(Arc<Mutex<Counts>>);

impl FaultCounts {
    pub(crate) fn of(lb: &LoadBalancer) -> Self {
        let counts = Self::default();
        let counting = counts.clone();
        lb.on_fault(move |event| counting.count(event));
        counts
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, event: &FaultEvent) {
        let mut counts = self.lock();
        match event {
            FaultEvent::BreakerChanged { id, transition: t } => {
                let key = (id.to_string(), t.to.to_string(), t.reason.to_string());
                *counts.transitions.entry(key).or_default() += 1;
            }
            FaultEvent::BackendEjected(e) => {
                *counts.ejections.entry((e.id.to_string(), e.cause.as_str())).or_default() += 1;
            }
            _ => {}
        }
    }

    /// Those of backends that are there; the others' are forgotten.
    pub(super) fn write(&self, pool: &str, lb: &LoadBalancer, out: &mut MetricsWriter) {
        let snapshot = lb.pool().snapshot_full();
        let is_there = |id: &str| snapshot.get(&id.into()).is_some();
        let mut counts = self.lock();
        counts.transitions.retain(|(id, ..), _| is_there(id));
        counts.ejections.retain(|(id, _), _| is_there(id));
        for ((id, to, reason), n) in &counts.transitions {
            let help = "Changes of the backend's circuit breaker, by what it changed to and why.";
            let labels = [("pool", pool), ("backend", id), ("to", to), ("reason", reason)];
            out.counter("edge_lb_backend_breaker_transitions_total", help, &labels, *n);
        }
        for ((id, cause), n) in &counts.ejections {
            let help = "Ejections by passive detection, by cause.";
            let labels = [("pool", pool), ("backend", id.as_str()), ("cause", *cause)];
            out.counter("edge_lb_backend_ejections_total", help, &labels, *n);
        }
    }
}

/// How a backend stands now.
pub(super) fn backend(pool: &str, lb: &LoadBalancer, member: &Member, out: &mut MetricsWriter) {
    let id = member.state().id();
    let labels = [("pool", pool), ("backend", id.as_str())];
    if let Some(breaker) = lb.circuit_breaker_for(id) {
        let now = breaker.state();
        for (state, name) in
            [(State::Closed, "closed"), (State::HalfOpen, "half-open"), (State::Open, "open")]
        {
            let help = "1 for the state that the backend's circuit breaker is in.";
            let labels = [labels[0], labels[1], ("state", name)];
            let is = f64::from(u8::from(now == state));
            out.gauge("edge_lb_backend_breaker_state", help, &labels, is);
        }
    }
    if lb.outlier_status(id).is_some() {
        let help = "1 while passive detection has taken the backend out.";
        out.gauge("edge_lb_backend_ejected", help, &labels, f64::from(u8::from(member.is_ejected())));
    }
    if let Some(percent) = member.agent().weight_percent {
        let help = "The weight that the backend's agent asks for; 1: the configured one.";
        out.gauge("edge_lb_backend_agent_weight_ratio", help, &labels, f64::from(percent) / 100.0);
    }
}
