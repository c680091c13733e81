//! The value that thresholds are compared with: one number for the pool, in the metric's unit.
//!
//! | metric | value |
//! |---|---|
//! | cpu | mean percent of the settled instances |
//! | in-flight | mean percent of `max_connections` of the settled instances |
//! | queue-delay | ms that a request waits |
//! | requests | requests a second ÷ settled instances |
//! | latency | the quantile, in ms |
//!
//! Instances in slow start are left out while there are settled ones: they take little yet, and would make the others look
//! less full than they are, so that the next scale-up came late. In the safe reading an instance that says nothing is full.
//! A pool that is known to be idle has a delay and a latency of 0, though no request is there to show one.

use crate::settings::{Metric, Quantile};
use crate::signals::metrics::{Metrics, Usage, plausible};
use crate::signals::samples::Sample;
use crate::signals::traffic::Quantiles;

/// An instance that is full.
const FULL_PERCENT: f64 = 100.0;

/// The value; `None`: not known.
pub(crate) fn value(metric: Metric, m: &Metrics) -> Option<Sample> {
    if metric != Metric::Cpu && m.is_idle() {
        return Some(Sample::whole(0.0));
    }
    match metric {
        Metric::Cpu => usage(&m.cpu),
        Metric::InFlight => usage(&m.connections),
        Metric::QueueDelay if m.queued == Some(0) => Some(Sample::whole(0.0)),
        Metric::QueueDelay => m.queue_delay_ms.and_then(plausible).map(Sample::whole),
        Metric::Requests => {
            let settled = m.ready().saturating_sub(m.warming);
            let over = if settled > 0 { settled } else { m.ready() };
            let each = m.requests_per_second.and_then(plausible)? / f64::from(over);
            plausible(each).map(Sample::whole) // without instances it is infinite
        }
        Metric::Latency(quantile) => latency(quantile, m).map(Sample::whole),
    }
}

/// The quantile in ms; `None`: not known.
pub(crate) fn latency(quantile: Quantile, m: &Metrics) -> Option<f64> {
    let Quantiles { p50_ms, p95_ms, p99_ms } = m.latency?;
    plausible(match quantile {
        Quantile::P50 => p50_ms,
        Quantile::P95 => p95_ms,
        Quantile::P99 => p99_ms,
    })
}

fn usage(usage: &Usage) -> Option<Sample> {
    let (sum, known) = if usage.settled > 0 {
        (usage.settled_sum_percent, usage.settled)
    } else {
        (usage.sum_percent, usage.known)
    };
    if known == 0 {
        return None;
    }
    let (known, unknown) = (f64::from(known), f64::from(usage.unknown));
    let seen = plausible(sum / known)?;
    // One that is beyond full by what it says is not made to look less so.
    let safe = seen.max((sum + FULL_PERCENT * unknown) / (known + unknown));
    Some(Sample { seen, safe })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::metrics::{Instance, Phase};

    fn cpu(phase: Phase, cpu_percent: Option<f64>) -> Instance {
        Instance { phase, cpu_percent, in_flight: 0, max_connections: None }
    }

    #[test]
    fn those_in_slow_start_do_not_dilute_the_others() {
        let m = Metrics::of([cpu(Phase::Settled, Some(90.0)), cpu(Phase::Warming, Some(10.0))]);
        assert_eq!(value(Metric::Cpu, &m), Some(Sample::whole(90.0)));
        let m = Metrics { requests_per_second: Some(80.0), ..m };
        assert_eq!(value(Metric::Requests, &m), Some(Sample::whole(80.0)));
        let alone = Metrics::of([cpu(Phase::Warming, Some(10.0))]);
        assert_eq!(value(Metric::Cpu, &alone), Some(Sample::whole(10.0)), "better than nothing");
    }

    #[test]
    fn the_silent_count_as_full_on_the_way_down_only() {
        let m = Metrics::of([cpu(Phase::Settled, Some(20.0)), cpu(Phase::Settled, None)]);
        assert_eq!(value(Metric::Cpu, &m), Some(Sample { seen: 20.0, safe: 60.0 }));
        let hot = Metrics::of([cpu(Phase::Settled, Some(150.0)), cpu(Phase::Settled, None)]);
        assert_eq!(value(Metric::Cpu, &hot), Some(Sample::whole(150.0)), "not less than what was seen");
        assert_eq!(value(Metric::Cpu, &Metrics::of([cpu(Phase::Settled, None)])), None);
    }

    #[test]
    fn a_pool_that_rests_is_at_nothing() {
        let idle = Metrics {
            instances: 3,
            in_flight: Some(0),
            requests_per_second: Some(0.0),
            ..Metrics::default()
        };
        for metric in [Metric::InFlight, Metric::QueueDelay, Metric::Requests, Metric::Latency(Quantile::P95)]
        {
            assert_eq!(value(metric, &idle), Some(Sample::whole(0.0)), "{metric:?}");
        }
        assert_eq!(value(Metric::Cpu, &idle), None, "it may be busy with something else");
        let unknown = Metrics { requests_per_second: None, ..idle };
        assert_eq!(value(Metric::Latency(Quantile::P95), &unknown), None);
        let busy = Metrics { queued: Some(0), in_flight: Some(1), ..idle };
        assert_eq!(value(Metric::QueueDelay, &busy), Some(Sample::whole(0.0)), "nobody waits");
    }

    #[test]
    fn each_metric_has_its_own_place() {
        let m = Metrics {
            instances: 4,
            queue_delay_ms: Some(7.0),
            requests_per_second: Some(100.0),
            latency: Some(Quantiles { p50_ms: 1.0, p95_ms: 2.0, p99_ms: 3.0 }),
            ..Metrics::default()
        };
        let seen = |metric| value(metric, &m).map(|sample| sample.seen);
        assert_eq!(seen(Metric::QueueDelay), Some(7.0));
        assert_eq!(seen(Metric::Requests), Some(25.0));
        assert_eq!(seen(Metric::Latency(Quantile::P50)), Some(1.0));
        assert_eq!(seen(Metric::Latency(Quantile::P95)), Some(2.0));
        assert_eq!(seen(Metric::Latency(Quantile::P99)), Some(3.0));
        assert_eq!(seen(Metric::InFlight), None);
        assert_eq!(value(Metric::Requests, &Metrics { instances: 0, ..m }), None);
        assert_eq!(value(Metric::QueueDelay, &Metrics { queue_delay_ms: Some(f64::INFINITY), ..m }), None);
    }
}
