//! The scenarios under load: CPU time for each request, by the size of the answer.
//!
//! All proxies run, one is loaded at a time, in turn, for several rounds; the order shifts by one each round, so that none
//! always follows the same neighbour. A figure is the median over the rounds. A round in which any request failed is worth
//! nothing: its proxy is reported as invalid.

use std::path::Path;

use serde_json::{Value, json};

use super::chart::Bar;
use super::fetch::Peer;
use super::process::{self, Cpu};
use super::report::{Section, Table};
use super::server::{Kind, Limits, Origin, Server, Subject};
use super::stats::Range;
use super::wrk::{self, Load};
use crate::error::{Error, Result};

/// A size of answer, and how many connections ask for it.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) name: &'static str,
    pub(super) path: &'static str,
    pub(super) connections: u32,
    goal: Goal,
}

/// What `cpu(edge-lb) / cpu(reference)` is to be at most.
#[derive(Clone, Copy, Debug)]
struct Goal {
    ratio: f64,
    reference: Reference,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reference {
    /// The better of nginx and HAProxy.
    Pair,
    /// The best peer of this run, whichever it is.
    Best,
}

pub(super) const SMALL: Shape = Shape {
    name: "small",
    path: "/small",
    connections: 64,
    goal: Goal { ratio: 1.0, reference: Reference::Pair },
};
pub(super) const MEDIUM: Shape = Shape {
    name: "16k",
    path: "/16k",
    connections: 32,
    goal: Goal { ratio: 1.0, reference: Reference::Best },
};
pub(super) const LARGE: Shape = Shape {
    name: "1m",
    path: "/1m",
    connections: 16,
    goal: Goal { ratio: 0.85, reference: Reference::Best },
};

/// How often and how long.
#[derive(Clone, Copy, Debug)]
pub(super) struct Effort {
    pub(super) rounds: u32,
    pub(super) seconds: u32,
}

/// What a scenario needs from the run.
#[derive(Debug)]
pub(super) struct Stage<'a> {
    pub(super) wrk: &'a Path,
    pub(super) scratch: &'a Path,
    pub(super) origin: &'a mut Origin,
    pub(super) limits: Limits,
}

/// One round of one proxy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    cpu: Cpu,
    load: Load,
}

impl Sample {
    /// CPU µs for each request.
    pub(super) fn cpu_us(&self) -> f64 {
        self.user_us() + self.system_us()
    }

    fn user_us(&self) -> f64 {
        self.each(self.cpu.user.as_secs_f64())
    }

    fn system_us(&self) -> f64 {
        self.each(self.cpu.system.as_secs_f64())
    }

    #[expect(clippy::cast_precision_loss, reason = "a count of requests")]
    fn each(&self, seconds: f64) -> f64 {
        seconds * 1e6 / self.load.requests as f64
    }
}

/// Loads `server` once and says what it used.
///
/// # Errors
/// When a request failed or the server died: the round is not a measurement then.
pub(super) fn measure(wrk: &Path, server: &mut Server, shape: &Shape, seconds: u32) -> Result<Sample> {
    server.check()?;
    let before = process::cpu(server.id())?;
    let load = wrk::run(wrk, server.port, shape.path, shape.connections, seconds)?;
    let cpu = process::cpu(server.id())?.since(before);
    server.check()?;
    if load.errors > 0 {
        return Err(Error::new(format!(
            "{} of {} requests failed",
            load.errors,
            load.requests + load.errors
        )));
    }
    if load.requests == 0 {
        return Err(Error::new("no request was answered"));
    }
    Ok(Sample { cpu, load })
}

/// One proxy's rounds.
#[derive(Debug)]
struct Row {
    name: String,
    kind: Kind,
    samples: Vec<Sample>,
    problem: Option<String>,
}

impl Row {
    fn range(&self, figure: impl Fn(&Sample) -> f64) -> Option<Range> {
        Range::of(self.samples.iter().map(figure))
    }

    fn median(&self, figure: impl Fn(&Sample) -> f64) -> f64 {
        self.range(figure).map_or(f64::NAN, |range| range.median)
    }

    /// The median, if this row may be compared.
    fn cpu_us(&self) -> Option<f64> {
        if self.problem.is_some() { None } else { self.range(Sample::cpu_us).map(|range| range.median) }
    }
}

pub(super) fn run(
    stage: &mut Stage<'_>,
    shape: &Shape,
    effort: Effort,
    subjects: &[Subject],
) -> Result<Section> {
    let mut rows = Vec::new();
    let mut servers = Vec::new();
    for subject in subjects {
        // One second of load first: connections are made, caches filled, code paged in.
        let started =
            subject.start(stage.origin.ports, stage.scratch, stage.limits).and_then(|mut server| {
                measure(stage.wrk, &mut server, shape, 1)?;
                Ok(server)
            });
        let (server, problem) = match started {
            Ok(server) => (Some(server), None),
            Err(error) => (None, Some(error.to_string())),
        };
        rows.push(Row { name: subject.name.clone(), kind: subject.kind, samples: Vec::new(), problem });
        servers.push(server);
    }
    for round in 0..effort.rounds as usize {
        eprintln!("{}: round {} of {}", shape.name, round + 1, effort.rounds);
        for turn in 0..rows.len() {
            let at = (turn + round) % rows.len();
            let (row, Some(server)) = (&mut rows[at], &mut servers[at]) else { continue };
            if row.problem.is_none() {
                match measure(stage.wrk, server, shape, effort.seconds) {
                    Ok(sample) => row.samples.push(sample),
                    Err(error) => row.problem = Some(error.to_string()),
                }
            }
        }
    }
    stage.origin.check()?;
    Ok(section(shape, &rows))
}

/// The better of nginx and HAProxy, or the best of all peers.
fn reference(rows: &[Row], reference: Reference) -> Option<(&str, f64)> {
    rows.iter()
        .filter(|row| match reference {
            Reference::Pair => matches!(row.kind, Kind::Peer(Peer::Nginx | Peer::Haproxy)),
            Reference::Best => row.kind != Kind::EdgeLb,
        })
        .filter_map(|row| Some((row.name.as_str(), row.cpu_us()?)))
        .min_by(|a, b| a.1.total_cmp(&b.1))
}

fn section(shape: &Shape, rows: &[Row]) -> Section {
    let pair = reference(rows, Reference::Pair);
    let ratio = |row: &Row| Some(row.cpu_us()? / pair?.1);
    let mut table = Table {
        header: vec![
            "proxy",
            "CPU µs/req",
            "min – max",
            "user",
            "system",
            "ratio",
            "req/s",
            "p50 µs",
            "p99 µs",
        ],
        rows: Vec::new(),
    };
    for row in rows {
        let cells = match row.range(Sample::cpu_us).filter(|_| row.problem.is_none()) {
            Some(cpu) => vec![
                format!("{:.2}", cpu.median),
                format!("{:.2} – {:.2}", cpu.min, cpu.max),
                format!("{:.2}", row.median(Sample::user_us)),
                format!("{:.2}", row.median(Sample::system_us)),
                ratio(row).map_or_else(|| "–".to_owned(), |ratio| format!("{ratio:.2}")),
                format!("{:.0}", row.median(|sample| sample.load.per_second)),
                format!("{:.0}", row.median(|sample| sample.load.p50_us)),
                format!("{:.0}", row.median(|sample| sample.load.p99_us)),
            ],
            None => vec!["invalid".to_owned(); 1].into_iter().chain(vec!["–".to_owned(); 7]).collect(),
        };
        table.rows.push(std::iter::once(row.name.clone()).chain(cells).collect());
    }
    let bars = rows.iter().filter_map(|row| {
        row.cpu_us()?;
        let range = row.range(Sample::cpu_us)?;
        let ours = row.kind == Kind::EdgeLb;
        Some(Bar { label: row.name.clone(), value: range.median, range: Some((range.min, range.max)), ours })
    });
    let baseline =
        pair.map(|(name, us)| format!("ratios are to {name}, the better of nginx and HAProxy ({us:.2} µs)"));
    Section {
        name: shape.name,
        what: format!("GET {}, {} keep-alive connections", shape.path, shape.connections),
        notes: baseline.into_iter().chain(verdict(shape.goal, rows)).collect(),
        problems: rows
            .iter()
            .filter_map(|row| Some(format!("{}: {}", row.name, row.problem.as_ref()?)))
            .collect(),
        bars: bars.collect(),
        unit: "CPU µs per request (median; line: least to greatest round)",
        json: rows_json(shape, rows, pair),
        table,
    }
}

/// Is the goal met? `None` when edge-lb or the peers were not measured.
fn verdict(goal: Goal, rows: &[Row]) -> Option<String> {
    let ours = rows.iter().find(|row| row.kind == Kind::EdgeLb)?.cpu_us()?;
    let (name, theirs) = reference(rows, goal.reference)?;
    let ratio = ours / theirs;
    let word = if ratio <= goal.ratio { "met" } else { "missed" };
    let whose = match goal.reference {
        Reference::Pair => "the better of nginx and HAProxy",
        Reference::Best => "the best peer of this run",
    };
    Some(format!("goal {word}: {ratio:.3} × {name} ({whose}), at most {:.2} wanted", goal.ratio))
}

fn rows_json(shape: &Shape, rows: &[Row], pair: Option<(&str, f64)>) -> Value {
    let rows = rows.iter().map(|row| {
        let samples = row.samples.iter().map(|sample| {
            json!({
                "cpu_us": sample.cpu_us(), "user_us": sample.user_us(), "system_us": sample.system_us(),
                "requests": sample.load.requests, "requests_per_second": sample.load.per_second,
                "p50_us": sample.load.p50_us, "p99_us": sample.load.p99_us,
            })
        });
        json!({
            "proxy": row.name, "valid": row.problem.is_none(), "cpu_us": row.cpu_us(),
            "ratio": row.cpu_us().and_then(|us| Some(us / pair?.1)), "rounds": samples.collect::<Vec<_>>(),
        })
    });
    json!({
        "path": shape.path, "connections": shape.connections, "baseline": pair.map(|(name, _)| name),
        "goal_ratio": shape.goal.ratio, "proxies": rows.collect::<Vec<_>>(),
    })
}

#[cfg(test)]
mod tests {
    use super::{LARGE, Row, SMALL, Sample, section, verdict};
    use crate::bench::fetch::Peer;
    use crate::bench::process::Cpu;
    use crate::bench::server::Kind;
    use crate::bench::wrk::Load;
    use std::time::Duration;

    fn row(kind: Kind, name: &str, cpu_us: &[u64]) -> Row {
        let load = Load { requests: 1_000_000, per_second: 1e5, p50_us: 100.0, p99_us: 900.0, errors: 0 };
        // A million requests: seconds of CPU are µs for each.
        let samples = cpu_us.iter().map(|&us| Sample {
            cpu: Cpu { user: Duration::from_secs(1), system: Duration::from_secs(us - 1) },
            load,
        });
        Row { name: name.into(), kind, samples: samples.collect(), problem: None }
    }

    fn rows(ours: &[u64]) -> Vec<Row> {
        vec![
            row(Kind::EdgeLb, "edge-lb", ours),
            row(Kind::Peer(Peer::Nginx), "nginx", &[20, 22, 21]),
            row(Kind::Peer(Peer::Haproxy), "haproxy", &[30, 31, 29]),
            row(Kind::Peer(Peer::Envoy), "envoy", &[10, 10, 10]),
        ]
    }

    #[test]
    fn figures_are_medians_and_ratios_to_the_better_of_the_pair() {
        let section = section(&SMALL, &rows(&[40, 42, 44]));
        assert_eq!(
            section.table.rows[0][..6],
            ["edge-lb", "42.00", "40.00 – 44.00", "1.00", "41.00", "2.00"]
        );
        assert_eq!(section.json["baseline"], "nginx");
        assert_eq!(section.json["proxies"][0]["ratio"], 2.0);
        assert!(section.problems.is_empty());
    }

    #[test]
    fn goals_are_judged_against_their_reference() {
        let met = verdict(SMALL.goal, &rows(&[21])).expect("all were measured");
        assert!(met.starts_with("goal met: 1.000 × nginx"), "{met}");
        let missed = verdict(LARGE.goal, &rows(&[21])).expect("all were measured");
        assert!(missed.starts_with("goal missed: 2.100 × envoy"), "{missed}");
    }

    #[test]
    fn an_invalid_row_is_neither_a_figure_nor_a_reference() {
        let mut rows = rows(&[30]);
        rows[1].problem = Some("3 of 10 requests failed".into());
        let section = section(&SMALL, &rows);
        assert_eq!(section.table.rows[1][1], "invalid");
        assert_eq!(section.json["baseline"], "haproxy");
        assert_eq!(section.problems, ["nginx: 3 of 10 requests failed"]);
        assert_eq!(section.bars.len(), 3);
    }

    #[test]
    fn without_edge_lb_there_is_no_verdict() {
        assert_eq!(verdict(SMALL.goal, &rows(&[21])[1..]), None);
    }
}
