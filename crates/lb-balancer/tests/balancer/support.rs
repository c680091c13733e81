//! What the tests share.

use lb_balancer::{LoadBalancer, LoadBalancerBuilder, SelectOptions};
use lb_types::{Backend, Clock, Nanos, Outcome, RequestInfo};
use std::time::Duration;
use tokio::time::Instant;

/// A clock that goes with tokio's, paused or not.
pub(crate) struct TokioClock(Instant);

impl TokioClock {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Nanos {
        self.0.elapsed().into()
    }
}

pub(crate) fn backend(id: &str) -> Backend {
    // Nothing ever connects there but where a test says so.
    Backend::new(id, format!("http://{id}.invalid:80").parse().unwrap())
}

pub(crate) fn builder(ids: &[&str]) -> LoadBalancerBuilder {
    LoadBalancer::builder().seed(1).backends(ids.iter().map(|id| backend(id)))
}

pub(crate) fn pick(lb: &LoadBalancer) -> lb_balancer::Lease {
    lb.select_backend(&RequestInfo::default(), &SelectOptions::default()).unwrap()
}

pub(crate) fn ok(ms: u64) -> Outcome {
    Outcome::Success { ttfb: Nanos::from_millis(ms) }
}

pub(crate) fn ids(lb: &LoadBalancer) -> Vec<String> {
    let mut ids: Vec<_> = lb.all_backends().iter().map(|b| b.id.to_string()).collect();
    ids.sort();
    ids
}

/// Lets the tasks run, on paused time, until `done`; gives up after 200 virtual seconds.
pub(crate) async fn until(what: &str, done: impl Fn() -> bool) {
    for _ in 0..200_000 {
        if done() {
            return;
        }
        // tidy-allow: sleep: virtual time, in the paused tests that call this
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    panic!("{what}: not within 200 virtual seconds");
}
