//! How many instances a pool has and shall have, and what was decided.

use super::MetricsWriter;
use lb_balancer::LoadBalancer;

pub(super) fn collect(pool: &str, lb: &LoadBalancer, out: &mut MetricsWriter) {
    let Some(status) = lb.autoscale_status() else { return };
    let p = ("pool", pool);
    let gauges = [
        ("edge_lb_autoscale_desired_instances", "How many instances there shall be.", status.desired),
        ("edge_lb_autoscale_current_instances", "How many there are that do not leave.", status.current),
        ("edge_lb_autoscale_starting_instances", "Those of them that take no traffic yet.", status.starting),
    ];
    for (name, help, n) in gauges {
        out.gauge(name, help, &[p], f64::from(n));
    }
    let help = "Decisions for more or fewer instances.";
    for (direction, n) in [("up", status.ups), ("down", status.downs)] {
        out.counter("edge_lb_autoscale_decisions_total", help, &[p, ("direction", direction)], n);
    }
    let help = "Orders that the driver did not carry out.";
    out.counter("edge_lb_autoscale_driver_errors_total", help, &[p], status.driver_errors);
}
