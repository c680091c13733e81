//! `cargo xtask bench`: edge-lb and its peers side by side (docs/benchmarks.md says how to read it).
//!
//! CPU microseconds per proxied request, by alternating rounds; memory per idle connection; nanoseconds per pick. Everything
//! runs on loopback, is bounded in time and ends with this process.

mod ab;
mod chart;
mod config;
mod fetch;
mod idle;
mod load;
mod machine;
mod net;
mod overload;
mod pick;
mod process;
mod report;
mod server;
mod stats;
mod wrk;

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use self::fetch::Peer;
use self::load::{Effort, LARGE, MEDIUM, SMALL, Shape, Stage};
use self::machine::Machine;
use self::report::{Report, Section};
use self::server::{Kind, Limits, Origin, Subject};
use crate::error::{Context, Error, Result};
use crate::tools;
use crate::workspace::Workspace;

/// Idle connections, where the limit of open files allows.
const IDLE_CONNECTIONS: u32 = 5_000;
/// Fewer would measure the page size.
const IDLE_CONNECTIONS_MIN: u32 = 500;

#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Under two minutes: small, 16k and 1m with three rounds of two seconds.
    #[arg(long)]
    quick: bool,
    /// The proxies to compare with.
    #[arg(long, value_delimiter = ',', value_name = "PEER,…", default_value = "nginx,haproxy")]
    peers: Vec<Peer>,
    /// What to measure [default: all; with --quick small,16k,1m; with --ab small].
    #[arg(long, value_delimiter = ',', value_name = "SCENARIO,…")]
    scenario: Vec<Scenario>,
    /// Rounds for each proxy [default: 7; with --quick 3].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=200))]
    rounds: Option<u32>,
    /// Seconds of load for each proxy and round [default: 5; with --quick or --ab 2].
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=60))]
    seconds: Option<u32>,
    /// Where the report goes [default: bench/report in the target folder].
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Measure this edge-lb binary instead of building one.
    #[arg(long, value_name = "BINARY", conflicts_with = "no_edge_lb")]
    edge_lb: Option<PathBuf>,
    /// Measure the peers alone.
    #[arg(long)]
    no_edge_lb: bool,
    /// Compare two edge-lb binaries by alternated pairs: CPU per request before and after.
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with_all = ["edge_lb", "no_edge_lb", "rounds"])]
    ab: Option<Vec<PathBuf>>,
    /// The configurations for A and B of --ab (templates as in xtask/src/bench/peers) [default: edge-lb.toml for both].
    #[arg(long, num_args = 2, value_names = ["A", "B"], requires = "ab")]
    ab_config: Option<Vec<PathBuf>>,
    /// Pairs of runs for --ab.
    #[arg(long, default_value_t = 15, requires = "ab", value_parser = clap::value_parser!(u32).range(15..=200))]
    pairs: u32,
}

/// What is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Scenario {
    /// 100 bytes, 64 connections: CPU per request.
    Small,
    /// 16 KiB, 32 connections: CPU per request.
    #[value(name = "16k")]
    Medium,
    /// 1 MiB, 16 connections: CPU per request.
    #[value(name = "1m")]
    Large,
    /// Memory per idle keep-alive connection.
    Idle,
    /// Three times what the origins bear: what becomes of requests, by priority.
    Overload,
    /// Nanoseconds per pick, without a network.
    Pick,
}

impl Scenario {
    fn shape(self) -> Option<&'static Shape> {
        match self {
            Scenario::Small => Some(&SMALL),
            Scenario::Medium => Some(&MEDIUM),
            Scenario::Large => Some(&LARGE),
            Scenario::Idle | Scenario::Overload | Scenario::Pick => None,
        }
    }
}

impl Options {
    fn scenarios(&self) -> Vec<Scenario> {
        if !self.scenario.is_empty() {
            self.scenario.clone()
        } else if self.ab.is_some() {
            vec![Scenario::Small]
        } else if self.quick {
            vec![Scenario::Small, Scenario::Medium, Scenario::Large]
        } else {
            Scenario::value_variants().to_vec()
        }
    }

    fn effort(&self) -> Effort {
        let short = self.quick || self.ab.is_some();
        let rounds = if self.ab.is_some() {
            self.pairs
        } else {
            self.rounds.unwrap_or(if self.quick { 3 } else { 7 })
        };
        Effort { rounds, seconds: self.seconds.unwrap_or(if short { 2 } else { 5 }) }
    }
}

pub(crate) fn run(options: &Options) -> Result<()> {
    let workspace = Workspace::load()?;
    let scratch = workspace.target.join("bench");
    let scenarios = options.scenarios();
    if options.ab.is_some() && scenarios.iter().any(|scenario| scenario.shape().is_none()) {
        return Err(Error::new("--ab compares CPU under load: small, 16k or 1m"));
    }
    let (subjects, missing) = subjects(options, &workspace, &scratch)?;
    let files = machine::raise_file_limit();
    let machine = Machine::look(&workspace.root); // after the builds: their load is not this run's
    let mut report = Report {
        versions: versions(&subjects),
        method: method(options.effort()),
        sections: Vec::new(),
        machine,
    };
    for (name, value) in report.machine.facts() {
        println!("{name:22} {value}");
    }
    for (name, version) in &report.versions {
        println!("{name:22} {version}");
    }
    measure_all(options, &workspace, &scratch, files, &subjects, &mut report)?;
    let out = options.out.clone().unwrap_or_else(|| scratch.join("report"));
    report.write(&out)?;
    println!("\nreport: {}", out.join("bench.md").display());
    if let Some(warning) = report.machine.warning() {
        println!("note: {warning}");
    }
    let problems: Vec<String> = missing.into_iter().chain(report.problems().cloned()).collect();
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Error::new(format!("not all was measured:\n{}", problems.join("\n"))))
    }
}

/// Runs every scenario; a failing one becomes a section that says so, and the others still run.
fn measure_all(
    options: &Options,
    workspace: &Workspace,
    scratch: &Path,
    files: u64,
    subjects: &[Subject],
    report: &mut Report,
) -> Result<()> {
    let scenarios = options.scenarios();
    let place = scratch.join("run");
    let clients = idle_connections(files);
    let limits = Limits { clients: clients + 1_000, files };
    let needs_load = scenarios.iter().any(|scenario| scenario.shape().is_some());
    let wrk = if needs_load { tools::find_or_install(tools::WRK)? } else { PathBuf::new() };
    let needs_origin = |scenario: &Scenario| !matches!(scenario, Scenario::Pick | Scenario::Overload);
    let mut origin = if scenarios.iter().any(needs_origin) {
        Some(Origin::start(&tools::find_or_install(tools::NGINX)?, &place, limits)?)
    } else {
        None
    };
    for scenario in scenarios {
        let section = match (&mut origin, scenario) {
            (_, Scenario::Pick) => pick::run(workspace),
            (_, Scenario::Overload) => overload::run(subjects, &place, limits),
            (Some(origin), _) => {
                let mut stage = Stage { wrk: &wrk, scratch: &place, origin, limits };
                match (scenario.shape(), options.ab.is_some()) {
                    (Some(shape), true) => {
                        let pair = subjects.first_chunk::<2>().context("--ab takes two binaries")?;
                        ab::run(&mut stage, shape, options.effort(), pair)
                    }
                    (Some(shape), false) => load::run(&mut stage, shape, options.effort(), subjects),
                    (None, _) => idle::run(&mut stage, clients, subjects),
                }
            }
            (None, _) => continue, // unreachable: only those two need no origin
        };
        let section = section.unwrap_or_else(|error| failed(scenario, &error));
        section.print();
        report.sections.push(section);
    }
    Ok(())
}

/// Each idle client may take a file here, one in the proxy and one more for its origin.
fn idle_connections(files: u64) -> u32 {
    let room = u32::try_from(files.saturating_sub(1_024) / 2).unwrap_or(u32::MAX);
    room.clamp(IDLE_CONNECTIONS_MIN, IDLE_CONNECTIONS)
}

fn failed(scenario: Scenario, error: &Error) -> Section {
    Section {
        name: match scenario {
            Scenario::Idle => "idle",
            Scenario::Overload => "overload",
            Scenario::Pick => "pick",
            Scenario::Small | Scenario::Medium | Scenario::Large => {
                scenario.shape().map_or("load", |shape| shape.name)
            }
        },
        what: "not measured".to_owned(),
        table: report::Table::default(),
        notes: Vec::new(),
        problems: vec![error.to_string()],
        bars: Vec::new(),
        unit: "",
        json: serde_json::json!({}),
    }
}

/// What takes part, edge-lb first, and what could not be had.
fn subjects(options: &Options, workspace: &Workspace, scratch: &Path) -> Result<(Vec<Subject>, Vec<String>)> {
    let ours = |name: &str, program: PathBuf| -> Result<Subject> {
        let program = program.canonicalize().context(program.display())?;
        if !tools::is_executable(&program) {
            return Err(Error::new(format!("{} is not a program", program.display())));
        }
        let version = tools::version(&program, "--version");
        Ok(Subject { name: name.to_owned(), version, program, kind: Kind::EdgeLb, config: None })
    };
    if let Some([a, b]) = options.ab.as_deref() {
        let mut pair = vec![ours("A", a.clone())?, ours("B", b.clone())?];
        for (subject, path) in pair.iter_mut().zip(options.ab_config.iter().flatten()) {
            subject.config = Some(std::fs::read_to_string(path).context(path.display())?);
        }
        return Ok((pair, Vec::new()));
    }
    let (mut found, mut missing) = (Vec::new(), Vec::new());
    // `pick` needs none of them.
    if options.scenarios() == [Scenario::Pick] {
        return Ok((found, missing));
    }
    if let Some(program) = &options.edge_lb {
        found.push(ours("edge-lb", program.clone())?);
    } else if !options.no_edge_lb {
        match fetch::edge_lb(workspace).and_then(|program| ours("edge-lb", program)) {
            Ok(subject) => found.push(subject),
            Err(error) => missing.push(format!("edge-lb: {error}")),
        }
    }
    let mut peers = options.peers.clone();
    let mut seen = Vec::new();
    peers.retain(|peer| {
        !seen.contains(peer) && {
            seen.push(*peer);
            true
        }
    });
    for peer in peers {
        match peer.obtain(workspace, &scratch.join("peers")) {
            Ok(program) => {
                let version = peer.version(&program);
                found.push(Subject {
                    name: peer.name().to_owned(),
                    version,
                    program,
                    kind: Kind::Peer(peer),
                    config: None,
                });
            }
            Err(error) => missing.push(format!("{}: {error}", peer.name())),
        }
    }
    Ok((found, missing))
}

fn versions(subjects: &[Subject]) -> Vec<(String, String)> {
    let load = tools::find(tools::WRK.program).map(|wrk| ("wrk".to_owned(), tools::version(&wrk, "-v")));
    subjects.iter().map(|subject| (subject.name.clone(), subject.version.clone())).chain(load).collect()
}

fn method(effort: Effort) -> String {
    format!(
        "Each proxy runs with one worker in front of three origins on loopback and is loaded in turn by one thread of wrk: \
         {} rounds of {} s. CPU is user + system time of the proxy's processes over a round, divided by the requests that \
         wrk counted; figures are medians over the rounds.",
        effort.rounds, effort.seconds
    )
}

#[cfg(test)]
mod tests {
    use super::{Options, Scenario, idle_connections};
    use clap::Parser;

    #[derive(Debug, Parser)]
    struct Cli {
        #[command(flatten)]
        options: Options,
    }

    fn options(arguments: &[&str]) -> Result<Options, clap::Error> {
        Cli::try_parse_from([&["bench"], arguments].concat()).map(|cli| cli.options)
    }

    #[test]
    fn quick_fits_two_minutes() {
        let quick = options(&["--quick"]).expect("valid");
        let (effort, proxies, warm_up) = (quick.effort(), 3, 1);
        let load = quick.scenarios().len() as u32 * proxies * (warm_up + effort.rounds * effort.seconds);
        assert!(load <= 90, "{load} s of load leave too little for starting");
        assert!(!quick.scenarios().contains(&Scenario::Idle));
    }

    #[test]
    fn a_comparison_has_at_least_fifteen_pairs() {
        let ab = options(&["--ab", "a", "b"]).expect("valid");
        assert_eq!((ab.effort().rounds, ab.scenarios()), (15, vec![Scenario::Small]));
        assert!(options(&["--ab", "a", "b", "--pairs", "14"]).is_err());
        assert!(options(&["--ab", "a"]).is_err());
        assert!(options(&["--ab", "a", "b", "--rounds", "3"]).is_err());
    }

    #[test]
    fn names_are_those_of_the_documentation() {
        let options = options(&[
            "--scenario",
            "small,16k,1m,idle,overload,pick",
            "--peers",
            "nginx,haproxy,envoy,caddy,pingora",
        ]);
        let options = options.expect("valid");
        assert_eq!((options.scenario.len(), options.peers.len()), (6, 5));
    }

    #[test]
    fn idle_connections_follow_the_limit_of_open_files() {
        assert_eq!(idle_connections(65_536), 5_000);
        assert_eq!(idle_connections(4_096), 1_536);
        assert_eq!(idle_connections(256), 500);
    }
}
