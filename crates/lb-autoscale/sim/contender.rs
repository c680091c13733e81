//! Those who decide: ours, Kubernetes' and fixed sizes.
//!
//! Ours looks every second at what a balancer counts itself at that moment: requests in flight and waiting, arrivals and CPU of the
//! last 10 s, the service time. Nothing of it is scraped, so nothing is old; how much of the difference to the HPA that is, the
//! HPA with fresh numbers shows. When the metrics are lost, they are lost for all.

use super::hpa::{Hpa, Source};
use super::shape::Shape;
use super::world::{INSTANCES, RATE, SERVICE_S, SLOTS, Second, TARGET, needed};
use lb_autoscale::{AutoScale, AutoScaler, Instance, Metric, Metrics, Nanos, Phase, Target, TrafficReading};
use std::collections::VecDeque;

/// Someone who decides how many instances there shall be.
pub(crate) trait Contender {
    /// With how many it begins: what the first second needs.
    fn first(&mut self, shape: &Shape) -> u32 {
        needed(shape.rps[0])
    }
    /// Sees one second; `None`: no metrics.
    fn watch(&mut self, now: usize, second: Option<&Second>);
    /// How many there shall be, given how many exist.
    fn decide(&mut self, now: usize, exist: u32) -> u32;
}

/// The names of all, in the table's order.
pub(crate) const NAMES: [&str; 9] = [
    "target in-flight",
    "target queue-delay",
    "target cpu",
    "threshold cpu",
    "hpa cpu",
    "hpa requests",
    "hpa fresh",
    "fixed at peak",
    "fixed at mean",
];

/// One of [`NAMES`].
pub(crate) fn by_name(name: &str, seed: u64) -> Box<dyn Contender> {
    let base = AutoScale::new().instances(INSTANCES.0, INSTANCES.1);
    match name {
        "target in-flight" => ours(base.metric(Metric::InFlight).target(Target::new(TARGET * 100.0))),
        "target queue-delay" => ours(base.metric(Metric::QueueDelay).target(Target::new(50.0))),
        "target cpu" => ours(base.metric(Metric::Cpu).target(Target::new(TARGET * 100.0))),
        "threshold cpu" => ours(base),
        "hpa cpu" => Box::new(Hpa::new(Source::Cpu, seed)),
        "hpa requests" => Box::new(Hpa::new(Source::Requests, seed)),
        "hpa fresh" => Box::new(Hpa::new(Source::Fresh, seed)),
        "fixed at peak" => Box::new(Fixed { size: |rps| rps.iter().copied().fold(0.0, f64::max), n: 0 }),
        "fixed at mean" => Box::new(Fixed { size: |rps| rps.iter().sum::<f64>() / rps.len() as f64, n: 0 }),
        other => unreachable!("{other} is none of NAMES"),
    }
}

fn ours(settings: AutoScale) -> Box<dyn Contender> {
    let scaler = AutoScaler::new(settings).expect("the settings above are within their bounds");
    Box::new(Ours { scaler, recent: VecDeque::new(), now: None })
}

/// Rates are of so many seconds.
const RATE_S: usize = 10;

struct Ours {
    scaler: AutoScaler,
    recent: VecDeque<Second>,
    now: Option<Second>,
}

impl Ours {
    fn metrics(&self, exist: u32) -> Metrics {
        let Some(now) = self.now else { return Metrics { instances: exist, ..Metrics::default() } };
        let mean =
            |of: fn(&Second) -> f64| self.recent.iter().map(of).sum::<f64>() / self.recent.len() as f64;
        let cpu = mean(|s| if s.ready == 0 { 0.0 } else { s.served / (f64::from(s.ready) * RATE) });
        let in_flight = (now.served * SERVICE_S).round() as u64;
        let instance = |phase, at: u32| Instance {
            phase,
            cpu_percent: Some(100.0 * cpu),
            // Shared out evenly, the remainder to the first ones.
            in_flight: in_flight / u64::from(now.ready.max(1))
                + u64::from(u64::from(at) < in_flight % u64::from(now.ready.max(1))),
            max_connections: Some(SLOTS as u64),
        };
        let ready = (0..now.ready).map(|at| instance(Phase::Settled, at));
        let starting = (0..now.starting).map(|_| Instance { in_flight: 0, ..instance(Phase::Starting, 0) });
        let reading = TrafficReading {
            requests_per_second: mean(|s| s.arrived),
            mean_ms: Some(SERVICE_S * 1e3),
            latency: None,
        };
        let delay_ms = (now.served > 0.0).then(|| 1e3 * now.queued / now.served);
        Metrics::of(ready.chain(starting)).traffic(&reading).queue(now.queued.round() as u64, delay_ms)
    }
}

impl Contender for Ours {
    fn watch(&mut self, _now: usize, second: Option<&Second>) {
        self.now = second.copied();
        if let Some(second) = second {
            self.recent.push_back(*second);
            if self.recent.len() > RATE_S {
                self.recent.pop_front();
            }
        }
    }

    fn decide(&mut self, now: usize, exist: u32) -> u32 {
        let metrics = self.metrics(exist);
        self.scaler.evaluate(Nanos::from_secs(now as u64), &metrics).desired
    }
}

struct Fixed {
    size: fn(&[f64]) -> f64,
    n: u32,
}

impl Contender for Fixed {
    fn first(&mut self, shape: &Shape) -> u32 {
        self.n = needed((self.size)(&shape.rps));
        self.n
    }

    fn watch(&mut self, _now: usize, _second: Option<&Second>) {}

    fn decide(&mut self, _now: usize, _exist: u32) -> u32 {
        self.n
    }
}
