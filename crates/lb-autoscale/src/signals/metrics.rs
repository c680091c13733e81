//! What is known of a pool at one instant: the whole input of a decision.
//!
//! [`Metrics::of`] sums up instances, and the setters add what only the balancer knows. All numbers are plain, so a decision
//! is replayed from what was written down. What is not known is `None` (or `unknown`), never 0; a number that cannot be
//! (negative, not finite) counts as not known.

use super::traffic::{Quantiles, TrafficReading};
use lb_types::LoadReport;

/// One instance, as the one who counts them sees it. An instance that drains is none: it takes nothing new.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Instance {
    /// How far it has come.
    pub phase: Phase,
    /// CPU in percent of what it may have, if it is known: from a load report, from a process, supplied.
    pub cpu_percent: Option<f64>,
    /// Requests in flight on it.
    pub in_flight: u64,
    /// The most it takes at once; `None`: no limit, and in-flight is no percent of anything.
    pub max_connections: Option<u64>,
}

impl Instance {
    /// Takes CPU from what the instance itself reported (ORCA): what its application calls its utilization where it says so,
    /// else its CPU. What was not reported is 0 there, so 0 is not known.
    #[must_use]
    pub fn load_report(mut self, report: &LoadReport) -> Self {
        let said = [report.application_utilization, report.cpu_utilization];
        self.cpu_percent = said.into_iter().find(|part| *part > 0.0).map(|part| 100.0 * part);
        self
    }
}

/// How far an instance has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Phase {
    /// Exists, takes no traffic yet.
    Starting,
    /// In slow start: takes less than its share, so what it shows says nothing of how full the others are.
    Warming,
    /// Takes its share.
    Settled,
}

/// How much of a resource the instances use, each in percent of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Usage {
    /// All percents together, of those that take traffic and are known: 150 is one and a half instances' worth.
    pub sum_percent: f64,
    /// How many that are.
    pub known: u32,
    /// The settled ones' percents together.
    pub settled_sum_percent: f64,
    /// How many that are.
    pub settled: u32,
    /// Instances that take traffic and of which it is not known.
    pub unknown: u32,
}

impl Usage {
    fn add(&mut self, phase: Phase, percent: Option<f64>) {
        if phase == Phase::Starting {
            return;
        }
        let Some(percent) = percent.and_then(plausible) else {
            self.unknown = self.unknown.saturating_add(1);
            return;
        };
        self.known = self.known.saturating_add(1);
        self.sum_percent += percent;
        if phase == Phase::Settled {
            self.settled = self.settled.saturating_add(1);
            self.settled_sum_percent += percent;
        }
    }
}

/// A pool at one instant.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize), serde(default))]
pub struct Metrics {
    /// Instances that exist, starting ones included, draining ones not.
    pub instances: u32,
    /// Those of them that take no traffic yet.
    pub starting: u32,
    /// Those of them in slow start.
    pub warming: u32,
    /// CPU.
    pub cpu: Usage,
    /// In-flight requests in percent of `max_connections`.
    pub connections: Usage,
    /// `max_connections` of all that take traffic and have one, together.
    pub max_connections: u64,
    /// Requests in flight at instances.
    pub in_flight: Option<u64>,
    /// Requests that wait for an instance to have room.
    pub queued: Option<u64>,
    /// Requests that wait because there is no instance at all.
    pub parked: u64,
    /// How long a request waits in the queue, in ms.
    pub queue_delay_ms: Option<f64>,
    /// Arrivals a second.
    pub requests_per_second: Option<f64>,
    /// The mean time of a request at an instance, its wait not included, in ms.
    pub service_time_ms: Option<f64>,
    /// Quantiles of the latency.
    pub latency: Option<Quantiles>,
}

impl Metrics {
    /// Sums up instances. Keeps a few sums, whatever their number.
    pub fn of(instances: impl IntoIterator<Item = Instance>) -> Self {
        let mut metrics = Self { in_flight: Some(0), ..Self::default() };
        for instance in instances {
            let Instance { phase, cpu_percent, in_flight, max_connections } = instance;
            metrics.instances = metrics.instances.saturating_add(1);
            metrics.starting = metrics.starting.saturating_add(u32::from(phase == Phase::Starting));
            metrics.warming = metrics.warming.saturating_add(u32::from(phase == Phase::Warming));
            metrics.cpu.add(phase, cpu_percent);
            let percent =
                max_connections.filter(|&max| max > 0).map(|max| 100.0 * in_flight as f64 / max as f64);
            metrics.connections.add(phase, percent);
            if phase != Phase::Starting {
                metrics.max_connections =
                    metrics.max_connections.saturating_add(max_connections.unwrap_or(0));
            }
            metrics.in_flight = metrics.in_flight.map(|sum| sum.saturating_add(in_flight));
        }
        metrics
    }

    /// So many settled instances whose CPU is at this percent in the mean; nothing else is known.
    pub fn with_cpu(instances: u32, percent: f64) -> Self {
        let mut metrics = Self { instances, ..Self::default() };
        match plausible(percent) {
            Some(percent) => {
                let sum = percent * f64::from(instances);
                metrics.cpu = Usage {
                    sum_percent: sum,
                    known: instances,
                    settled_sum_percent: sum,
                    settled: instances,
                    unknown: 0,
                };
            }
            None => metrics.cpu.unknown = instances,
        }
        metrics
    }

    /// So many wait in the queue, each for so long (ms), as far as that is known.
    #[must_use]
    pub fn queue(mut self, queued: u64, delay_ms: Option<f64>) -> Self {
        self.queued = Some(queued);
        self.queue_delay_ms = delay_ms;
        self
    }

    /// So many wait because there is no instance.
    #[must_use]
    pub fn parked(mut self, requests: u64) -> Self {
        self.parked = requests;
        self
    }

    /// What requests of late were like.
    #[must_use]
    pub fn traffic(mut self, reading: &TrafficReading) -> Self {
        self.requests_per_second = Some(reading.requests_per_second);
        self.service_time_ms = reading.mean_ms;
        self.latency = reading.latency;
        self
    }

    /// Instances that take traffic.
    pub fn ready(&self) -> u32 {
        self.instances.saturating_sub(self.starting)
    }

    /// There is no time to lose: as many wait as are in flight, so that the wait is as long as the work, or some wait for the
    /// first instance. A few that wait for a moment are none of this.
    pub fn is_pressed(&self) -> bool {
        let waiting = self.queued.unwrap_or(0);
        self.parked > 0 || (waiting > 0 && self.in_flight.is_some_and(|in_flight| waiting >= in_flight))
    }

    /// Nothing is under way, waits or comes, and that is known.
    pub fn is_idle(&self) -> bool {
        self.in_flight == Some(0)
            && self.queued.unwrap_or(0) == 0
            && self.parked == 0
            && self.requests_per_second == Some(0.0)
    }
}

/// The number, if it can be one.
pub(crate) fn plausible(value: f64) -> Option<f64> {
    (0.0..=1e15).contains(&value).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn instance(phase: Phase, cpu_percent: Option<f64>) -> Instance {
        Instance { phase, cpu_percent, in_flight: 5, max_connections: Some(10) }
    }

    #[test]
    fn instances_are_summed_up_by_phase() {
        let m = Metrics::of([
            instance(Phase::Settled, Some(80.0)),
            instance(Phase::Settled, None),
            instance(Phase::Settled, Some(f64::NAN)),
            instance(Phase::Warming, Some(20.0)),
            Instance { in_flight: 0, ..instance(Phase::Starting, Some(99.0)) },
        ]);
        assert_eq!((m.instances, m.starting, m.warming, m.ready()), (5, 1, 1, 4));
        let cpu = Usage { sum_percent: 100.0, known: 2, settled_sum_percent: 80.0, settled: 1, unknown: 2 };
        assert_eq!(m.cpu, cpu);
        assert_eq!((m.connections.sum_percent, m.connections.settled_sum_percent), (200.0, 150.0));
        assert_eq!((m.in_flight, m.max_connections), (Some(20), 40));
    }

    #[test]
    fn an_instance_without_a_limit_is_unknown_in_connections() {
        let m = Metrics::of([Instance { max_connections: None, ..instance(Phase::Settled, None) }]);
        assert_eq!((m.connections.known, m.connections.unknown), (0, 1));
    }

    #[test]
    fn a_load_report_says_the_cpu_unless_it_says_nothing() {
        let of = |application_utilization, cpu_utilization| {
            let report = LoadReport { application_utilization, cpu_utilization, ..LoadReport::default() };
            instance(Phase::Settled, Some(1.0)).load_report(&report).cpu_percent
        };
        assert_eq!((of(0.5, 0.25), of(0.0, 0.25), of(0.0, 0.0)), (Some(50.0), Some(25.0), None));
    }

    #[test]
    fn a_few_that_wait_do_not_press() {
        let m = Metrics { in_flight: Some(20), ..Metrics::default() };
        assert!(!m.is_pressed() && !m.queue(19, None).is_pressed() && m.queue(20, None).is_pressed());
        assert!(m.parked(1).is_pressed());
        assert!(!Metrics { in_flight: None, ..m }.queue(20, None).is_pressed(), "nobody knows");
        assert!(!Metrics { in_flight: Some(0), ..m }.queue(0, None).is_pressed());
    }

    #[test]
    fn idle_is_known_to_be_idle() {
        let m = Metrics::of([]).traffic(&TrafficReading::default());
        assert!(m.is_idle());
        assert!(!m.parked(1).is_idle());
        assert!(!Metrics { requests_per_second: None, ..m }.is_idle(), "nobody knows what comes");
        assert!(!Metrics { in_flight: None, ..m }.is_idle());
        assert!(!m.queue(1, None).is_idle());
    }
}
