//! What is to be seen of a backend's faults: its breaker, its ejection, its agent. Times are seconds from now.

use lb_balancer::LoadBalancer;
use lb_balancer::breaker::{State, Status};
use lb_balancer::outlier::{Cause, OutlierStatus};
use lb_core::Member;
use lb_types::agent::AgentStatus;
use lb_types::{AgentReport, BackendId, Nanos};
use serde::Serialize;
use std::collections::BTreeMap;

/// A circuit breaker.
#[derive(Serialize)]
pub(crate) struct BreakerView {
    state: State,
    /// Held in its state by hand.
    forced: bool,
    /// Seconds until probes may begin, while open and not forced.
    retry_after: Option<f64>,
    /// Failures within `monitoring_period`, while closed.
    failures: u32,
    failure_percent: Option<f64>,
    slow_percent: Option<f64>,
    /// Probes under way, while half-open.
    probes: u32,
    /// Successful probes so far, while half-open.
    successes: u32,
}

impl From<Status> for BreakerView {
    fn from(s: Status) -> Self {
        Self {
            state: s.state,
            forced: s.forced,
            retry_after: s.retry_after.map(Nanos::as_secs_f64),
            failures: s.failures,
            failure_percent: s.failure_percent,
            slow_percent: s.slow_percent,
            probes: s.probes,
            successes: s.successes,
        }
    }
}

/// How it stands with passive detection.
#[derive(Serialize)]
pub(crate) struct EjectionView {
    ejected: bool,
    /// Seconds until it ends.
    ends_in: Option<f64>,
    /// The multiplier of its length.
    times: u32,
    /// Ejections in all.
    ejections: u64,
    /// Of the last ejection: its stable name, and in words.
    cause: Option<&'static str>,
    reason: Option<String>,
    /// In the last whole interval, percent.
    success_rate: Option<f64>,
}

impl EjectionView {
    fn of(s: &OutlierStatus, now: Nanos) -> Self {
        Self {
            ejected: s.ejected_until.is_some(),
            ends_in: s.ejected_until.map(|until| (until - now).as_secs_f64()),
            times: s.times,
            ejections: s.ejections,
            cause: s.cause.map(Cause::as_str),
            reason: s.cause.map(|c| c.to_string()),
            success_rate: s.success_rate,
        }
    }
}

/// What its agent says.
#[derive(Serialize)]
pub(crate) struct AgentView {
    /// All that it has said so far, and that is in force.
    in_force: AgentReport,
    /// The agent that is asked, if one is.
    #[serde(flatten)]
    asked: Option<AgentStatus>,
}

/// All of one backend.
#[derive(Default, Serialize)]
pub(crate) struct FaultsView {
    breaker: Option<BreakerView>,
    ejection: Option<EjectionView>,
    agent: Option<AgentView>,
}

impl FaultsView {
    pub(crate) fn of(lb: &LoadBalancer, member: &Member, agents: &mut Agents) -> Self {
        let id = member.state().id();
        let asked = agents.0.remove(id);
        let in_force = member.agent();
        let has_agent = asked.is_some() || in_force != AgentReport::default();
        Self {
            breaker: lb.circuit_breaker_for(id).map(|b| b.status().into()),
            ejection: lb.outlier_status(id).map(|s| EjectionView::of(&s, lb.pool().now())),
            agent: has_agent.then_some(AgentView { in_force, asked }),
        }
    }
}

/// What is known of the agents that are asked.
#[derive(Default)]
pub(crate) struct Agents(BTreeMap<BackendId, AgentStatus>);

impl Agents {
    pub(crate) fn of(lb: &LoadBalancer) -> Self {
        #[cfg(feature = "health")]
        return Self(lb.agent_status().unwrap_or_default());
        #[cfg(not(feature = "health"))]
        {
            let _ = lb;
            Self::default()
        }
    }
}
