//! The engine alone: nanoseconds for one `acquire` and `complete`, by algorithm, pool size and threads.
//!
//! `lb-core`'s example `pick_bench` measures and prints one JSON object a line, `{"policy":"round-robin","backends":3,
//! "threads":1,"ns":18.2}`; here the lines are put against the goals.

use std::time::Duration;

use serde_json::{Value, json};

use super::report::{Section, Table};
use crate::error::{Error, Result};
use crate::stream;
use crate::workspace::{Workspace, cargo};

/// A release build of the engine and a minute or two of measuring.
const LIMIT: Duration = Duration::from_secs(15 * 60);

/// Nanoseconds on one thread, at every pool size measured.
const GOALS_NS: [(&str, f64); 5] = [
    ("round-robin", 40.0),
    ("weighted-round-robin", 40.0),
    ("p2c", 40.0),
    ("maglev", 40.0),
    ("least-connections", 200.0),
];

#[derive(Clone, Debug, PartialEq)]
struct Pick {
    policy: String,
    backends: u64,
    threads: u64,
    ns: f64,
}

impl Pick {
    fn parse(line: &str) -> Option<Pick> {
        let value: Value = serde_json::from_str(line.trim()).ok()?;
        Some(Pick {
            policy: value["policy"].as_str()?.to_owned(),
            backends: value["backends"].as_u64()?,
            threads: value["threads"].as_u64()?,
            ns: value["ns"].as_f64()?,
        })
    }

    /// The goal that holds for this line. With several threads the figure is reported, not judged.
    fn goal(&self) -> Option<f64> {
        let (_, ns) = GOALS_NS.iter().find(|(policy, _)| *policy == self.policy)?;
        (self.threads == 1).then_some(*ns)
    }
}

pub(super) fn run(workspace: &Workspace) -> Result<Section> {
    eprintln!("pick: building and running lb-core's pick_bench");
    let mut command = cargo(&workspace.root);
    command.args(["run", "--release", "--quiet", "--package", "lb-core", "--example", "pick_bench"]);
    let text = stream::output(&mut command, LIMIT)?;
    let picks: Vec<Pick> = text.lines().filter_map(Pick::parse).collect();
    if picks.is_empty() {
        return Err(Error::new("pick_bench printed no figures"));
    }
    Ok(section(&picks))
}

fn section(picks: &[Pick]) -> Section {
    let mut table =
        Table { header: vec!["policy", "backends", "threads", "ns", "goal ns", ""], rows: Vec::new() };
    let (mut met, mut judged) = (0, 0);
    for pick in picks {
        let verdict = pick.goal().map(|goal| pick.ns <= goal);
        judged += usize::from(verdict.is_some());
        met += usize::from(verdict == Some(true));
        table.rows.push(vec![
            pick.policy.clone(),
            pick.backends.to_string(),
            pick.threads.to_string(),
            format!("{:.1}", pick.ns),
            pick.goal().map_or_else(|| "–".to_owned(), |goal| format!("≤ {goal:.0}")),
            verdict.map_or("", |met| if met { "met" } else { "missed" }).to_owned(),
        ]);
    }
    let rows = picks.iter().map(|pick| {
        json!({
            "policy": pick.policy, "backends": pick.backends, "threads": pick.threads, "ns": pick.ns, "goal_ns": pick.goal(),
        })
    });
    Section {
        name: "pick",
        what: "acquire and complete, without I/O".to_owned(),
        table,
        notes: vec![format!("{met} of {judged} goals met")],
        problems: Vec::new(),
        bars: Vec::new(),
        unit: "ns",
        json: json!({ "picks": rows.collect::<Vec<_>>() }),
    }
}

#[cfg(test)]
mod tests {
    use super::{Pick, section};

    fn pick(policy: &str, threads: u64, ns: f64) -> Pick {
        Pick { policy: policy.into(), backends: 3, threads, ns }
    }

    #[test]
    fn lines_are_read_and_others_passed_over() {
        let line = r#"{"policy":"round-robin","backends":3,"threads":1,"ns":18.2}"#;
        assert_eq!(Pick::parse(line), Some(pick("round-robin", 1, 18.2)));
        for other in ["", "measuring maglev", "{}", r#"{"policy":"p2c","backends":3,"threads":1}"#] {
            assert_eq!(Pick::parse(other), None, "{other}");
        }
    }

    #[test]
    fn goals_hold_for_one_thread_and_known_policies() {
        let picks =
            [pick("p2c", 1, 40.0), pick("p2c", 2, 90.0), pick("maglev", 1, 41.0), pick("tower-p2c", 1, 99.0)];
        let section = section(&picks);
        let verdicts: Vec<&str> = section.table.rows.iter().map(|row| row[5].as_str()).collect();
        assert_eq!(verdicts, ["met", "", "missed", ""]);
        assert_eq!(section.notes, ["1 of 2 goals met"]);
    }
}
