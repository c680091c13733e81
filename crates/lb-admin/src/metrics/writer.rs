//! One scrape: counters and gauges by the `metrics` crate's Prometheus recorder, histograms beside it.
//!
//! The recorder prints in the order of its hash maps; families and series are sorted afterwards, so that two scrapes can be compared.

use lb_core::HistogramSnapshot;
use lb_types::Nanos;
use metrics::{Key, Label, Level, Metadata, Recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::collections::BTreeMap;
use std::fmt::Write;

/// Upper bounds of a histogram's buckets, in seconds: three a decade, from what a backend on the same machine needs to
/// a minute.
pub const BOUNDS_SECONDS: [f64; 16] =
    [0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0];

const METADATA: Metadata<'static> = Metadata::new(module_path!(), Level::INFO, None);

/// Takes the metrics of one scrape. Names follow Prometheus' conventions: a unit at the end, counters in `_total`. A name and its labels
/// are to be written once; of two values the later counts.
pub struct MetricsWriter {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    histograms: BTreeMap<&'static str, Histogram>,
}

struct Histogram {
    help: &'static str,
    /// By the labels' text.
    series: BTreeMap<String, HistogramSnapshot>,
}

impl MetricsWriter {
    pub(crate) fn new() -> Self {
        let recorder = PrometheusBuilder::new().build_recorder();
        let handle = recorder.handle();
        Self { recorder, handle, histograms: BTreeMap::new() }
    }

    /// Something that only grows.
    pub fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: u64,
    ) {
        self.recorder.describe_counter(name.into(), None, help.into());
        self.recorder.register_counter(&key(name, labels), &METADATA).absolute(value);
    }

    /// Several of one thing, each with its name, help and value.
    pub fn counters<const N: usize>(
        &mut self,
        labels: &[(&'static str, &str)],
        counters: [(&'static str, &'static str, u64); N],
    ) {
        for (name, help, value) in counters {
            self.counter(name, help, labels, value);
        }
    }

    /// Something that goes up and down.
    pub fn gauge(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: f64,
    ) {
        self.recorder.describe_gauge(name.into(), None, help.into());
        self.recorder.register_gauge(&key(name, labels), &METADATA).set(value);
    }

    /// A distribution of times, in seconds, counted up to [`BOUNDS_SECONDS`].
    pub fn histogram(
        &mut self,
        name: &'static str,
        help: &'static str,
        labels: &[(&'static str, &str)],
        value: &HistogramSnapshot,
    ) {
        let family =
            self.histograms.entry(name).or_insert_with(|| Histogram { help, series: BTreeMap::new() });
        family.series.insert(label_text(labels), value.clone());
    }

    /// The text.
    pub(crate) fn finish(self) -> String {
        let rendered = self.handle.render();
        let mut families = BTreeMap::<String, String>::new();
        for block in rendered.split("\n\n").filter(|b| !b.trim().is_empty()) {
            let (head, mut series): (Vec<_>, Vec<_>) = block.lines().partition(|l| l.starts_with('#'));
            let name = head.last().and_then(|h| h.split(' ').nth(2)).unwrap_or_default();
            series.sort_unstable();
            let lines: Vec<_> = head.into_iter().chain(series).collect();
            families.insert(name.to_owned(), lines.join("\n") + "\n");
        }
        for (name, family) in self.histograms {
            families.insert(name.to_owned(), family.text(name));
        }
        families.into_values().collect()
    }
}

impl std::fmt::Debug for MetricsWriter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MetricsWriter").finish_non_exhaustive()
    }
}

fn key(name: &'static str, labels: &[(&'static str, &str)]) -> Key {
    let labels: Vec<_> = labels.iter().map(|&(k, v)| Label::new(k, v.to_owned())).collect();
    Key::from_parts(name, labels)
}

/// `a="1",b="2"`, escaped as the format asks.
fn label_text(labels: &[(&'static str, &str)]) -> String {
    let mut text = String::new();
    for (i, (name, value)) in labels.iter().enumerate() {
        let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
        // Writing to a String cannot fail.
        let _ = write!(text, "{}{name}=\"{value}\"", if i == 0 { "" } else { "," });
    }
    text
}

impl Histogram {
    fn text(&self, name: &str) -> String {
        let mut out = format!("# HELP {name} {}\n# TYPE {name} histogram\n", self.help);
        for (labels, values) in &self.series {
            let (comma, braced) =
                if labels.is_empty() { ("", String::new()) } else { (",", format!("{{{labels}}}")) };
            let count = values.count();
            for bound in BOUNDS_SECONDS {
                let n = values.count_up_to(Nanos((bound * 1e9) as u64));
                let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"{bound}\"}} {n}");
            }
            let _ = writeln!(out, "{name}_bucket{{{labels}{comma}le=\"+Inf\"}} {count}");
            let _ = writeln!(out, "{name}_sum{braced} {}", values.sum().as_secs_f64());
            let _ = writeln!(out, "{name}_count{braced} {count}");
        }
        out
    }
}
