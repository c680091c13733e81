//! Who waits, and who is refused: a pool's queue and its load shedding.

use super::MetricsWriter;
use lb_balancer::LoadBalancer;
use lb_balancer::admission::queue::{LevelStats, Queue};

pub(super) fn collect(pool: &str, lb: &LoadBalancer, out: &mut MetricsWriter) {
    let p = ("pool", pool);
    let queue = lb.queue().map(Queue::stats);
    if let Some(stats) = &queue {
        out.gauge("edge_lb_queue_size_max", "How many requests may wait.", &[p], stats.max_size as f64);
        stats.levels.iter().for_each(|s| level(pool, s, out));
    }
    let Some(shedder) = lb.shedder() else { return };
    let status = shedder.status();
    let help = "How much is refused: whole numbers count the levels from the lowest, the rest is the share of the next one.";
    out.gauge("edge_lb_shed_pressure", help, &[p], status.pressure);
    // The levels have names where there is a queue.
    let names = queue.iter().flat_map(|q| &q.levels).map(|l| l.name.clone());
    let names = names.chain(
        ["high", "normal", "low"].into_iter().skip(if queue.is_some() { 3 } else { 0 }).map(str::to_owned),
    );
    for (name, n) in names.zip(&status.shed) {
        let help = "Requests refused because the machine or the pool was overloaded.";
        out.counter("edge_lb_shed_total", help, &[p, ("level", &name)], *n);
    }
    let readings = [
        ("edge_lb_load_cpu_ratio", "CPU time in use, of what the process may use.", status.readings.cpu),
        ("edge_lb_load_memory_ratio", "Memory in use, of what the process may use.", status.readings.memory),
        (
            "edge_lb_load_cpu_pressure_ratio",
            "Time in which somebody waited for a CPU.",
            status.readings.pressure,
        ),
    ];
    for (name, help, percent) in readings {
        if let Some(percent) = percent {
            out.gauge(name, help, &[p], percent / 100.0);
        }
    }
    if let Some(delay) = status.readings.loop_delay {
        let help = "How late the workers came to what was due, at the worst of the last second.";
        out.gauge("edge_lb_load_loop_delay_seconds", help, &[p], delay.as_secs_f64());
    }
}

fn level(pool: &str, s: &LevelStats, out: &mut MetricsWriter) {
    let labels = [("pool", pool), ("level", s.name.as_str())];
    out.gauge("edge_lb_queue_waiting", "Requests that wait.", &labels, s.waiting as f64);
    let help = "How long the one has waited that waits longest.";
    out.gauge("edge_lb_queue_oldest_wait_seconds", help, &labels, s.oldest_wait_ms as f64 / 1e3);
    let help =
        "1 while the level is overloaded: the newest are served first, and who waited too long is refused.";
    out.gauge("edge_lb_queue_overloaded", help, &labels, f64::from(u8::from(s.overloaded)));
    let counters = [
        ("edge_lb_queue_joined_total", "Requests that began to wait.", s.joined),
        ("edge_lb_queue_served_total", "Requests that waited and got a backend.", s.served),
        ("edge_lb_queue_left_total", "Requests that waited and whose client left.", s.left),
    ];
    out.counters(&labels, counters);
    let refused = [
        ("full", s.refused.full),
        ("displaced", s.refused.displaced),
        ("timeout", s.refused.timeout),
        ("overload", s.refused.overload),
    ];
    for (reason, n) in refused {
        let help = "Requests that could not wait, or waited too long, by reason.";
        out.counter("edge_lb_queue_refused_total", help, &[labels[0], labels[1], ("reason", reason)], n);
    }
}
