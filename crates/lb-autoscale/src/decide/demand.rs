//! The demand in target mode: how many instances hold the value, as a number with a fraction.
//!
//! Little's law, `L = λ·W`, says how many requests are at the instances at once: arrivals a second times the mean time of one
//! there. While nobody waits that is what is counted in flight. While some wait the count says only that instances are full: of
//! less than what comes, when they are too few, and of what came before, when a backlog drains. The law says how many there would be
//! if nobody had to wait. With `c` = `max_connections` of an instance, `S` = service time, `Q` = requests in the queue, `T` =
//! `drain_within`, and `L` = in flight, or `λ·S` while some wait:
//!
//! | metric | demand |
//! |---|---|
//! | in-flight | `(L + Q·S/T) / (c · value %)` |
//! | queue-delay | `(L + max(0, Q − λ·value)·S/T) / c`, where `Q` is `λ·delay` if it was not counted |
//! | requests | `(λ + Q/T) / value` |
//! | cpu | all instances' percents together `/ value` |
//! | latency | `instances · quantile / value`, at most doubled: no law, only a proportion |
//!
//! A backlog asks for what drains it within `T`, not for a place for each request at once: that would be many instances that
//! are of no use a moment later. Where `λ` or `S` is not known, a waiting request counts as one in flight. A value of
//! queue-delay runs instances full, as it says that waiting is all right; a value of CPU is blind beyond 100 %, so a large step takes it
//! several rounds.

use super::value::latency;
use crate::settings::{Metric, Target};
use crate::signals::metrics::{Metrics, Usage, plausible};
use crate::signals::samples::Sample;

/// The demand; `None`: not known.
pub(crate) fn demand(metric: Metric, target: &Target, m: &Metrics) -> Option<Sample> {
    if metric != Metric::Cpu && m.is_idle() {
        return Some(Sample::whole(0.0));
    }
    let value = target.value;
    let queued = m.queued.unwrap_or(0).saturating_add(m.parked) as f64;
    let drain_s = target.drain_within.as_secs_f64();
    let rate = m.requests_per_second.and_then(plausible);
    let sample = match metric {
        Metric::Cpu => usage(&m.cpu, value)?,
        Metric::InFlight => {
            let each = concurrency_of_one(m)? * value / 100.0;
            Sample::whole(
                (at_work(m, queued)? + service_s(m).map_or(queued, |s| queued * s / drain_s)) / each,
            )
        }
        Metric::QueueDelay => {
            let (rate, service_s) = (rate?, service_s(m)?);
            let waiting = match (m.queued, m.queue_delay_ms.and_then(plausible)) {
                (Some(_), _) => queued,
                (None, Some(delay_ms)) => rate * delay_ms / 1e3 + m.parked as f64,
                (None, None) => return None,
            };
            let excess = (waiting - rate * value / 1e3).max(0.0);
            Sample::whole((at_work(m, waiting)? + excess * service_s / drain_s) / concurrency_of_one(m)?)
        }
        Metric::Requests => Sample::whole((rate? + queued / drain_s) / value),
        Metric::Latency(quantile) => {
            Sample::whole(f64::from(m.ready()) * (latency(quantile, m)? / value).min(2.0))
        }
    };
    Some(Sample { seen: plausible(sample.seen)?, safe: plausible(sample.safe)? })
}

/// Requests at the instances at once; while some wait, as many as there would be if nobody had to.
fn at_work(m: &Metrics, waiting: f64) -> Option<f64> {
    let little = m.requests_per_second.and_then(plausible).zip(service_s(m)).map(|(rate, s)| rate * s);
    match (m.in_flight.map(|in_flight| in_flight as f64), little) {
        (_, Some(little)) if waiting > 0.0 => Some(little),
        (counted, little) => counted.or(little),
    }
}

fn service_s(m: &Metrics) -> Option<f64> {
    m.service_time_ms.and_then(plausible).map(|ms| ms / 1e3)
}

/// `max_connections` of an instance, in the mean.
fn concurrency_of_one(m: &Metrics) -> Option<f64> {
    (m.connections.known > 0 && m.max_connections > 0)
        .then(|| m.max_connections as f64 / f64::from(m.connections.known))
}

fn usage(usage: &Usage, value: f64) -> Option<Sample> {
    if usage.known == 0 {
        return None;
    }
    let (known, unknown) = (f64::from(usage.known), f64::from(usage.unknown));
    let seen = usage.sum_percent * (known + unknown) / known;
    let safe = seen.max(usage.sum_percent + 100.0 * unknown);
    Some(Sample { seen: seen / value, safe: safe / value })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Quantile;
    use crate::signals::metrics::{Instance, Phase};
    use crate::signals::traffic::Quantiles;

    /// Two instances of ten places, full; 100 ms a request; 300 requests a second come, 200 can be served.
    fn overloaded() -> Metrics {
        let full = Instance {
            phase: Phase::Settled,
            cpu_percent: Some(100.0),
            in_flight: 10,
            max_connections: Some(10),
        };
        Metrics {
            queued: Some(600),
            queue_delay_ms: Some(3_000.0),
            requests_per_second: Some(300.0),
            service_time_ms: Some(100.0),
            ..Metrics::of([full, full])
        }
    }

    fn seen(metric: Metric, value: f64, m: &Metrics) -> Option<f64> {
        demand(metric, &Target::new(value), m).map(|sample| sample.seen)
    }

    #[test]
    fn little_sees_what_full_instances_hide() {
        let m = overloaded();
        // 300/s · 0.1 s = 30 at once, and 600 · 0.1 s / 120 s = 0.5 for the backlog; 5 places of 10 are the target.
        assert_eq!(seen(Metric::InFlight, 50.0, &m), Some(30.5 / 5.0));
        // 300/s may wait 1 s: 300 of the 600 do. The other 300 are the backlog.
        assert_eq!(seen(Metric::QueueDelay, 1_000.0, &m), Some(30.25 / 10.0));
        assert_eq!(seen(Metric::Requests, 50.0, &m), Some(305.0 / 50.0));
        assert_eq!(seen(Metric::Cpu, 50.0, &m), Some(4.0), "CPU is full and knows no more");
        let parked = Metrics { parked: 600, ..m };
        assert_eq!(seen(Metric::Requests, 50.0, &parked), Some(310.0 / 50.0));
    }

    #[test]
    fn a_queue_that_was_not_counted_follows_from_its_delay() {
        let m = Metrics { queued: None, queue_delay_ms: Some(2_000.0), ..overloaded() };
        assert_eq!(seen(Metric::QueueDelay, 1_000.0, &m), Some(30.25 / 10.0));
        assert_eq!(seen(Metric::QueueDelay, 1_000.0, &Metrics { queue_delay_ms: None, ..m }), None);
    }

    #[test]
    fn without_a_service_time_who_waits_counts_as_in_flight() {
        let m = Metrics { service_time_ms: None, queued: Some(4), ..overloaded() };
        assert_eq!(seen(Metric::InFlight, 50.0, &m), Some(24.0 / 5.0));
    }

    #[test]
    fn a_silent_instance_is_like_the_others_upwards_and_full_downwards() {
        let one = |cpu_percent| Instance {
            phase: Phase::Settled,
            cpu_percent,
            in_flight: 0,
            max_connections: None,
        };
        let m = Metrics::of([one(Some(30.0)), one(Some(30.0)), one(None)]);
        let d = demand(Metric::Cpu, &Target::new(50.0), &m);
        assert_eq!(d, Some(Sample { seen: 1.8, safe: 3.2 }));
        assert_eq!(seen(Metric::InFlight, 50.0, &m), None, "no limit, no percent");
    }

    #[test]
    fn a_pool_that_rests_needs_nothing() {
        let idle = Metrics {
            instances: 3,
            in_flight: Some(0),
            requests_per_second: Some(0.0),
            ..Metrics::default()
        };
        for metric in [Metric::InFlight, Metric::QueueDelay, Metric::Requests, Metric::Latency(Quantile::P95)]
        {
            assert_eq!(seen(metric, 10.0, &idle), Some(0.0), "{metric:?}");
        }
        assert_eq!(seen(Metric::Cpu, 10.0, &idle), None);
    }

    #[test]
    fn latency_is_a_proportion_and_bounded() {
        let m = Metrics {
            latency: Some(Quantiles { p50_ms: 1.0, p95_ms: 150.0, p99_ms: 9_000.0 }),
            ..overloaded()
        };
        assert_eq!(seen(Metric::Latency(Quantile::P95), 100.0, &m), Some(3.0));
        assert_eq!(seen(Metric::Latency(Quantile::P99), 100.0, &m), Some(4.0));
    }
}
