//! What the balancer says of its backends: what changes, as it happens, and how each one stands.
//!
//! Nothing here is the demo's own opinion: changes come from [`LoadBalancer::on_fault`] and [`LoadBalancer::on_event`], the rest from the
//! pool's snapshot.

use super::tally::Tally;
use super::view::{Condition, seconds};
use edge_lb::breaker::{Reason, State};
use edge_lb::core::Snapshot;
use edge_lb::health::outlier::Why;
use edge_lb::types::{Exclusion, HealthEvent};
use edge_lb::{BackendId, FaultEvent, LoadBalancer, Nanos};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// More than a hundred times what the demo sees between two looks, 10 ms apart; older ones give way.
const WAITING_MAX: usize = 1_024;

/// One change, with its time from the start.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct News {
    pub(crate) at: Duration,
    pub(crate) id: BackendId,
    pub(crate) heard: Heard,
}

/// What changed.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Heard {
    /// Passive detection took it out.
    Ejected { cause: String, lasts: Duration },
    /// Its ejection ended.
    Returned(Why),
    /// Its breaker changed.
    Breaker(State, Reason),
    /// Active checks took it out.
    Unhealthy(String),
    /// Active checks took it back.
    Healthy,
}

impl Heard {
    /// Why the backend is out now, if this took it out.
    pub(crate) fn out(&self) -> Option<String> {
        match self {
            Self::Ejected { cause, .. } => Some(format!("ejected: {cause}")),
            Self::Breaker(State::Open, reason) => Some(format!("breaker open: {reason}")),
            Self::Unhealthy(error) => Some(format!("unhealthy: {error}")),
            _ => None,
        }
    }

    /// Why the backend is back, if this took it back.
    pub(crate) fn back(&self) -> Option<String> {
        match self {
            Self::Returned(Why::Expired) => Some("its ejection is over".to_owned()),
            Self::Returned(why) => Some(format!("its ejection is over: {why}")),
            Self::Breaker(State::Closed, reason) => Some(reason.to_string()),
            Self::Healthy => Some("health checks pass".to_owned()),
            _ => None,
        }
    }

    /// In short, for a backend that was out already.
    pub(crate) fn again(&self) -> Option<String> {
        match self {
            Self::Ejected { lasts, .. } => Some(format!("out again: ejected for {}", seconds(*lasts))),
            Self::Breaker(State::Open, reason) => Some(format!("out again: breaker open: {reason}")),
            Self::Breaker(State::HalfOpen, _) => Some("half-open: a few requests may try it".to_owned()),
            Self::Unhealthy(error) => Some(format!("unhealthy, too: {error}")),
            _ => None,
        }
    }
}

/// A change as it was told.
enum Told {
    Fault(FaultEvent),
    Health(HealthEvent),
}

/// See the module's documentation.
pub(crate) struct Watch {
    balancer: LoadBalancer,
    tally: Arc<Tally>,
    waiting: Arc<Mutex<VecDeque<(Duration, Told)>>>,
    /// Why each breaker changed last.
    reasons: HashMap<BackendId, Reason>,
}

impl Watch {
    /// Listens from now on; times are the tally's.
    pub(crate) fn new(balancer: LoadBalancer, tally: Arc<Tally>) -> Self {
        let waiting = Arc::<Mutex<VecDeque<_>>>::default();
        let (queue, clock) = (waiting.clone(), tally.clone());
        let told = move |told: Told| {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.len() == WAITING_MAX {
                queue.pop_front();
            }
            queue.push_back((clock.elapsed(), told));
        };
        let health = told.clone();
        balancer.on_fault(move |event| told(Told::Fault(event.clone())));
        // `false`: there are no checks, and so nothing to be told.
        let _ = balancer.on_event(move |event| health(Told::Health(event.clone())));
        Self { balancer, tally, waiting, reasons: HashMap::new() }
    }

    /// What happened since the last call, in order for each backend.
    pub(crate) fn news(&mut self) -> Vec<News> {
        let told = std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let (elapsed, clock) = (self.tally.elapsed(), self.balancer.pool().now());
        let news = |(at, told)| {
            let then = clock - Nanos::from(elapsed.saturating_sub(at));
            let (id, heard) = heard(told, then)?;
            Some(News { at, id, heard })
        };
        let news: Vec<_> = told.into_iter().filter_map(news).collect();
        for n in &news {
            if let Heard::Breaker(_, reason) = n.heard {
                self.reasons.insert(n.id.clone(), reason);
            }
        }
        news
    }

    /// How a backend stands now.
    pub(crate) fn condition(&self, id: &BackendId) -> Condition {
        let snapshot = self.balancer.pool().snapshot();
        let Some(member) = snapshot.get(id) else { return Condition::Out("not in the pool".to_owned()) };
        let half_open =
            || self.balancer.circuit_breaker_for(id).is_some_and(|b| b.state() == State::HalfOpen);
        match member.exclusion() {
            // As long as all probes are under way it is refused, too.
            None | Some(Exclusion::BreakerOpen) if half_open() => Condition::HalfOpen,
            None => ramp(&snapshot, id).map_or(Condition::Healthy, Condition::Ramping),
            Some(Exclusion::BreakerOpen) => {
                Condition::Out(because("breaker open", self.reasons.get(id).map(Reason::to_string)))
            }
            Some(Exclusion::Ejected) => {
                let cause = self.balancer.outlier_status(id).and_then(|s| s.cause);
                Condition::Out(because("ejected", cause.map(|c| c.to_string())))
            }
            Some(Exclusion::Unhealthy) => Condition::Out("unhealthy: its checks fail".to_owned()),
            Some(other) => Condition::Out(other.as_str().to_owned()),
        }
    }

    /// What the balancer counted on a backend: requests in flight, and requests that failed so far.
    pub(crate) fn counts(&self, id: &BackendId) -> (u32, u64) {
        let snapshot = self.balancer.pool().snapshot();
        snapshot.get(id).map(|m| m.state().stats()).map_or((0, 0), |s| (s.in_flight, s.failed))
    }
}

fn because(what: &str, why: Option<String>) -> String {
    why.map_or_else(|| what.to_owned(), |why| format!("{what}: {why}"))
}

/// The share of its weight that a backend has on its ramp, percent; `None`: it has all. The demo's backends all weigh the same.
fn ramp(snapshot: &Snapshot, id: &BackendId) -> Option<u32> {
    let full = snapshot.members().iter().map(edge_lb::core::Member::weight).max()?;
    let weight = snapshot.get(id)?.weight();
    (weight < full).then(|| weight * 100 / full)
}

/// Whom it is about, and what it means; `then` is when it was told, by the pool's clock.
fn heard(told: Told, then: Nanos) -> Option<(BackendId, Heard)> {
    Some(match told {
        Told::Fault(FaultEvent::BackendEjected(e)) => {
            let lasts = (e.until - then).as_duration();
            (e.id, Heard::Ejected { cause: e.cause.to_string(), lasts })
        }
        Told::Fault(FaultEvent::BackendReturned { id, why }) => (id, Heard::Returned(why)),
        Told::Fault(FaultEvent::BreakerChanged { id, transition: t }) => (id, Heard::Breaker(t.to, t.reason)),
        Told::Health(HealthEvent::BackendUnhealthy { id, error }) => (id, Heard::Unhealthy(cause(&error))),
        Told::Health(HealthEvent::BackendHealthy { id }) => (id, Heard::Healthy),
        _ => return None,
    })
}

/// The innermost cause of an error, which says it best in one line: addresses come before it.
fn cause(error: &str) -> String {
    error.rsplit(": ").next().unwrap_or(error).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use edge_lb::types::FailureKind;
    use edge_lb::{Backend, BreakerSettings, Outcome, OutlierDetection, RequestInfo, SelectOptions};

    fn balancer() -> LoadBalancer {
        let backend = |id: &str| Backend::new(id, "http://127.0.0.1:1".parse().unwrap());
        LoadBalancer::builder()
            .backends(["a", "b"].map(backend))
            .circuit_breaker(BreakerSettings::new().failure_threshold(0).failure_rate(100).minimum_calls(10))
            .outlier_detection(
                OutlierDetection::new().ejection_time(Duration::from_secs(60), Duration::from_secs(60)),
            )
            .build()
            .unwrap()
    }

    /// Fails the next `n` requests to `id`, answers all others.
    fn fail(lb: &LoadBalancer, id: &str, mut n: u32) {
        while n > 0 {
            let lease = lb.select_backend(&RequestInfo::default(), &SelectOptions::default()).unwrap();
            let outcome = match lease.backend().id().as_str() == id {
                true => Outcome::Failure { kind: FailureKind::Status(500), after: Nanos::from_millis(1) },
                false => Outcome::Success { ttfb: Nanos::from_millis(1) },
            };
            n -= u32::from(lease.backend().id().as_str() == id);
            lease.complete(outcome);
        }
    }

    #[tokio::test]
    async fn an_ejection_is_heard_with_its_cause_and_seen() {
        let lb = balancer();
        let mut watch = Watch::new(lb.clone(), Arc::new(Tally::new(["a", "b"].into_iter())));
        let id = BackendId::from("b");
        assert_eq!(watch.condition(&id), Condition::Healthy);
        fail(&lb, "b", 5);
        lb.maintain();
        let news = watch.news();
        assert_eq!((news.len(), &news[0].id), (1, &id));
        assert_eq!(news[0].heard.out().as_deref(), Some("ejected: 5 failures in a row"));
        let Heard::Ejected { lasts, .. } = news[0].heard else { panic!("{news:?}") };
        assert!(lasts > Duration::from_secs(59) && lasts < Duration::from_secs(67), "{lasts:?}");
        assert_eq!(watch.condition(&id), Condition::Out("ejected: 5 failures in a row".to_owned()));
        assert_eq!(watch.counts(&id), (0, 5));
        assert_eq!(watch.news(), []);
    }

    #[test]
    fn errors_are_told_by_their_cause() {
        assert_eq!(cause("cannot connect to 127.0.0.1:1: Connection refused"), "Connection refused");
        assert_eq!(cause("status 500"), "status 500");
    }

    #[tokio::test]
    async fn an_open_breaker_is_heard_with_its_reason_and_seen() {
        let lb = balancer();
        let mut watch = Watch::new(lb.clone(), Arc::new(Tally::new(["a", "b"].into_iter())));
        // Nobody has made ejections known yet: `maintain` comes after.
        fail(&lb, "b", 10);
        lb.maintain();
        let open = "breaker open: failure-rate";
        assert!(watch.news().iter().any(|n| n.heard.out().as_deref() == Some(open)));
        assert_eq!(watch.condition(&"b".into()), Condition::Out(open.to_owned()));
        assert_eq!(watch.condition(&"x".into()), Condition::Out("not in the pool".to_owned()));
    }
}
