//! What a balancer counts, as the scaler's [`Metrics`].
//!
//! | figure | from |
//! |---|---|
//! | in flight, percent of `max_connections` | the engine's counters of this moment |
//! | arrivals a second | requests that got an instance, and those that joined the queue and have not, over 10 s (or the window, if that is less) |
//! | service time | by Little's law over the same time: mean in flight ÷ requests that ended a second; `None` while none ends |
//! | latency | the engine's histograms of the time to first byte, over the same time; only where the metric is latency |
//! | queue | its length, and how long the one has waited that waits longest |
//! | CPU | what the program says ([`cpu_from`](super::ScaleSettings::cpu_from)), else the instance's load reports of the last minute (only where the metric is CPU), else `/proc/PID/stat` of the driver's processes: percent of one CPU, without their children |

use super::CpuSource;
use crate::LoadBalancer;
use lb_autoscale::{Driven, Instance, Metric, Metrics, Phase, Quantiles};
use lb_core::{BackendState, HistogramSnapshot};
use lb_types::{BackendId, Nanos};
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

/// Long enough for a rate, short enough to be of now.
const WINDOW: Duration = Duration::from_secs(10);
/// Linux counts CPU time in this unit in all that it shows to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// One instance as the loop sees it.
pub(super) struct Looked {
    pub(super) id: BackendId,
    pub(super) state: Option<Arc<BackendState>>,
    pub(super) phase: Phase,
    pub(super) pid: Option<u32>,
}

impl Looked {
    /// One of a driver's, and its backend if it has one that is not in slow start any more (or still is).
    pub(super) fn driven(driven: &Driven, state: Option<Arc<BackendState>>, warming: bool) -> Self {
        Self { pid: driven.pid, ..Self::new(driven.id.clone(), state, warming) }
    }

    /// One that discovery found.
    pub(super) fn found(state: Arc<BackendState>, warming: bool) -> Self {
        Self::new(state.id().clone(), Some(state), warming)
    }

    fn new(id: BackendId, state: Option<Arc<BackendState>>, warming: bool) -> Self {
        let phase = match (&state, warming) {
            (None, _) => Phase::Starting,
            (_, true) => Phase::Warming,
            _ => Phase::Settled,
        };
        Self { id, state, phase, pid: None }
    }
}

#[derive(Default)]
struct Beat {
    from: Nanos,
    to: Nanos,
    arrived: u64,
    ended: u64,
    in_flight: u64,
    latency: HistogramSnapshot,
}

/// What is remembered from beat to beat.
pub(super) struct Sampler {
    window: Nanos,
    quantiles: bool,
    last: Option<Nanos>,
    beats: VecDeque<Beat>,
    /// By backend: requests so far, those that ended, their latencies.
    counts: BTreeMap<u64, (u64, u64, HistogramSnapshot)>,
    /// How many joined the queue and how many of them were served.
    joined: (u64, u64),
    /// What the program knows of CPU.
    source: Option<CpuSource>,
    /// By process.
    cpu: BTreeMap<u32, (Nanos, u64)>,
}

impl Sampler {
    pub(super) fn new(metric: Metric, metrics_window: Duration, source: Option<CpuSource>) -> Self {
        Self {
            window: WINDOW.min(metrics_window).into(),
            quantiles: matches!(metric, Metric::Latency(_)),
            last: None,
            beats: VecDeque::new(),
            counts: BTreeMap::new(),
            joined: (0, 0),
            source,
            cpu: BTreeMap::new(),
        }
    }

    /// One look.
    pub(super) fn metrics(&mut self, lb: &LoadBalancer, now: Nanos, instances: &[Looked]) -> Metrics {
        let pool_max = lb.pool().settings().max_connections;
        let cpu: Vec<_> = instances.iter().map(|i| self.cpu_of(i, now)).collect();
        let pids: Vec<u32> = instances.iter().filter_map(|i| i.pid).collect();
        self.cpu.retain(|pid, _| pids.contains(pid));
        let each = instances.iter().zip(cpu).map(|(i, cpu_percent)| Instance {
            phase: i.phase,
            cpu_percent,
            in_flight: i.state.as_ref().map_or(0, |s| u64::from(s.in_flight())),
            max_connections: i
                .state
                .as_ref()
                .and_then(|s| s.spec().max_connections)
                .or(pool_max)
                .map(u64::from),
        });
        let mut metrics = Metrics::of(each);
        self.beat(lb, now, instances, metrics.in_flight.unwrap_or(0));
        self.traffic(&mut metrics);
        let Some(queue) = lb.queue().map(lb_admission::queue::Queue::stats) else { return metrics };
        let waiting = queue.waiting as u64;
        let oldest = queue.levels.iter().map(|l| l.oldest_wait_ms).max().unwrap_or(0) as f64;
        // Without any instance they wait for the first, not for room.
        if metrics.instances == 0 {
            metrics.queue(0, Some(oldest)).parked(waiting)
        } else {
            metrics.queue(waiting, Some(oldest))
        }
    }

    fn beat(&mut self, lb: &LoadBalancer, now: Nanos, instances: &[Looked], in_flight: u64) {
        let mut beat = Beat { from: self.last.unwrap_or(now), to: now, in_flight, ..Beat::default() };
        let mut counts = BTreeMap::new();
        for state in instances.iter().filter_map(|i| i.state.as_ref()) {
            let stats = state.stats();
            let ended = stats.requests();
            let begun =
                ended.max(stats.succeeded + stats.failed + stats.cancelled + u64::from(stats.in_flight));
            let ended = stats.succeeded + stats.failed + stats.cancelled;
            let latency = if self.quantiles { state.latency() } else { HistogramSnapshot::default() };
            let (begun_before, ended_before, before) = self.counts.remove(&state.uid()).unwrap_or_default();
            beat.arrived += begun.saturating_sub(begun_before);
            beat.ended += ended.saturating_sub(ended_before);
            beat.latency.merge(&latency.since(&before));
            counts.insert(state.uid(), (begun, ended, latency));
        }
        self.counts = counts;
        if let Some(queue) = lb.queue() {
            let levels = queue.stats().levels;
            let sums = levels.iter().fold((0, 0), |(j, s), l| (j + l.joined, s + l.served));
            // Who was served counts where it was let in.
            let (joined, served) =
                (sums.0.saturating_sub(self.joined.0), sums.1.saturating_sub(self.joined.1));
            beat.arrived = (beat.arrived + joined).saturating_sub(served);
            self.joined = sums;
        }
        self.last = Some(now);
        if beat.to > beat.from {
            self.beats.push_back(beat);
        }
        while self.beats.front().is_some_and(|b| b.from + self.window < now) && self.beats.len() > 1 {
            self.beats.pop_front();
        }
    }

    fn traffic(&self, metrics: &mut Metrics) {
        let (Some(first), Some(last)) = (self.beats.front(), self.beats.back()) else { return };
        let seconds = (last.to - first.from).as_secs_f64();
        let sum = |of: fn(&Beat) -> u64| self.beats.iter().map(of).sum::<u64>() as f64;
        metrics.requests_per_second = Some(sum(|b| b.arrived) / seconds);
        let ended = sum(|b| b.ended);
        if ended > 0.0 {
            let weighed = self.beats.iter().map(|b| b.in_flight as f64 * (b.to - b.from).as_secs_f64());
            metrics.service_time_ms = Some(weighed.sum::<f64>() / ended * 1e3);
        }
        if self.quantiles {
            let mut all = HistogramSnapshot::default();
            self.beats.iter().for_each(|b| all.merge(&b.latency));
            let ms = |q| all.quantile(q).map(|n: Nanos| n.as_secs_f64() * 1e3);
            metrics.latency = ms(0.5)
                .zip(ms(0.95))
                .zip(ms(0.99))
                .map(|((p50_ms, p95_ms), p99_ms)| Quantiles { p50_ms, p95_ms, p99_ms });
        }
    }

    fn cpu_of(&mut self, i: &Looked, now: Nanos) -> Option<f64> {
        // Always looked at, as it takes two looks for a figure.
        let of_process = i.pid.and_then(|pid| self.cpu_percent(pid, now));
        let supplied = self.source.as_ref().and_then(|source| source.percent(&i.id));
        let reported = || Some(100.0 * i.state.as_ref()?.reported_utilization(now)?);
        supplied.or_else(reported).or(of_process)
    }

    /// How much of one CPU the process used since the last look; `None`: that is not known.
    fn cpu_percent(&mut self, pid: u32, now: Nanos) -> Option<f64> {
        let ticks = cpu_ticks(pid)?;
        let (before, had) = self.cpu.insert(pid, (now, ticks))?;
        let seconds = (now - before).as_secs_f64();
        // A look right after another says little: ticks are long.
        (seconds > 0.1).then(|| ticks.saturating_sub(had) as f64 / TICKS_PER_SECOND / seconds * 100.0)
    }
}

fn cpu_ticks(pid: u32) -> Option<u64> {
    parse_ticks(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
}

/// User and system time of a `/proc/PID/stat`. The name may hold anything but is in the last parentheses.
fn parse_ticks(stat: &str) -> Option<u64> {
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    user.checked_add(system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_any_name() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 12 30 5 5 20 0 1 0 100 0 0";
        assert_eq!(parse_ticks(stat), Some(42));
        assert_eq!(parse_ticks("7 (a"), None);
        assert_eq!(parse_ticks("7 (a) S 1"), None);
    }
}
