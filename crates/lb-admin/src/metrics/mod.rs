//! `/metrics`: the Prometheus text format, made anew for each scrape.
//!
//! The engine counts in its own atomics; nothing is written to a metrics library while requests flow. A scrape fills a recorder of
//! its own from them, so a backend that is gone is gone from the next scrape, and prints it. Latencies come from the engine's
//! log-linear histograms, printed beside it as histograms with fixed bounds.

mod admission;
mod affinity;
mod autoscale;
mod faults;
mod pools;
mod writer;

pub(crate) use faults::FaultCounts;
pub use writer::{BOUNDS_SECONDS, MetricsWriter};

use crate::state::AdminState;
use crate::views::Version;
use std::time::UNIX_EPOCH;

/// Something that has metrics to tell. Implemented by closures: `|out: &mut MetricsWriter| out.counter(…)`.
pub trait MetricsSource: Send + Sync + 'static {
    /// Writes the metrics of this moment.
    fn collect(&self, out: &mut MetricsWriter);
}

impl<F: Fn(&mut MetricsWriter) + Send + Sync + 'static> MetricsSource for F {
    fn collect(&self, out: &mut MetricsWriter) {
        self(out);
    }
}

/// All metrics of this moment.
pub(crate) fn render(state: &AdminState) -> String {
    let mut out = MetricsWriter::new();
    out.gauge("edge_lb_build_info", "What runs: always 1.", &[("version", Version::THIS.number())], 1.0);
    let started = state.started.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
    let help = "When the process started, in seconds since the Unix epoch.";
    out.gauge("process_start_time_seconds", help, &[], started);
    let ready = f64::from(u8::from(state.not_ready().is_empty()));
    out.gauge("edge_lb_ready", "Whether /readyz says ready.", &[], ready);
    for (name, lb) in &state.pools {
        pools::collect(name, lb, &mut out);
        affinity::collect(name, lb, &mut out);
        admission::collect(name, lb, &mut out);
        autoscale::collect(name, lb, &mut out);
        if let Some(counts) = state.faults.get(name) {
            counts.write(name, lb, &mut out);
        }
    }
    for source in &state.sources {
        source.collect(&mut out);
    }
    out.finish()
}
