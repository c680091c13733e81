//! `cargo xtask deps`: the arrows of docs/architecture.md, asserted.
//!
//! Two rules over the graph of normal and build dependencies (dev-dependencies are free): a crate of the workspace uses only
//! the crates of the workspace that [`ARROWS`] grants it, and the crates in [`PURE`] reach none of [`SHELL`], however
//! indirectly. A crate that the table does not know is an error, so that nobody joins without a place in the architecture.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::workspace::Workspace;

type Graph = BTreeMap<String, BTreeSet<String>>;

/// Who may use which crates of the workspace. The order is the architecture's, lowest first.
const ARROWS: &[(&str, &[&str])] = &[
    ("lb-types", &[]),
    ("lb-core", &["lb-types"]),
    ("lb-health", &["lb-types"]),
    ("lb-breaker", &["lb-types"]),
    ("lb-geo", &["lb-types"]),
    ("lb-store", &["lb-types"]),
    ("lb-session", &["lb-types"]),
    ("lb-admission", &["lb-types"]),
    ("lb-route", &["lb-types"]),
    ("lb-kube", &["lb-types"]),
    ("lb-autoscale", &["lb-types", "lb-kube"]),
    ("lb-split", &["lb-types"]),
    (
        "lb-balancer",
        &[
            "lb-types",
            "lb-core",
            "lb-health",
            "lb-breaker",
            "lb-geo",
            "lb-session",
            "lb-admission",
            "lb-kube",
            "lb-autoscale",
        ],
    ),
    (
        "lb-config",
        &[
            "lb-types",
            "lb-core",
            "lb-health",
            "lb-breaker",
            "lb-geo",
            "lb-store",
            "lb-session",
            "lb-admission",
            "lb-autoscale",
            "lb-route",
            "lb-split",
        ],
    ),
    (
        "lb-proxy",
        &[
            "lb-types",
            "lb-core",
            "lb-health",
            "lb-breaker",
            "lb-geo",
            "lb-admission",
            "lb-route",
            "lb-split",
            "lb-balancer",
        ],
    ),
    // lb-split: splits are shown and changed by its own types; what there is of them comes by a trait.
    (
        "lb-admin",
        &[
            "lb-types",
            "lb-core",
            "lb-health",
            "lb-breaker",
            "lb-admission",
            "lb-autoscale",
            "lb-split",
            "lb-balancer",
        ],
    ),
    (
        "edge-lb",
        &[
            "lb-types",
            "lb-core",
            "lb-health",
            "lb-breaker",
            "lb-geo",
            "lb-store",
            "lb-session",
            "lb-admission",
            "lb-autoscale",
            "lb-route",
            "lb-split",
            "lb-balancer",
            "lb-config",
            "lb-proxy",
            "lb-admin",
        ],
    ),
    ("edge-lb-cli", &["edge-lb"]),
    // Tests and tasks: nothing depends on them, so what they use bends no arrow.
    ("lb-testkit", ANYTHING),
    ("edge-lb-tests", ANYTHING),
    ("xtask", &[]),
];

/// Marks a crate that may use every crate of the workspace.
const ANYTHING: &[&str] = &["*"];

/// Crates that decide without the outside world: no I/O, no clock, no logging.
const PURE: &[&str] = &["lb-types", "lb-core", "lb-breaker"];

/// What the outside world is made of.
const SHELL: &[&str] = &[
    "tokio",
    "mio",
    "socket2",
    "hyper",
    "hyper-util",
    "tracing",
    "tracing-core",
    "log",
    "async-std",
    "smol",
    "getrandom",
];

pub(crate) fn run() -> Result<()> {
    let workspace = Workspace::load()?;
    let members: BTreeSet<&str> = workspace.members.iter().map(|member| member.name.as_str()).collect();
    let broken = broken_rules(&workspace.graph, &members, ARROWS);
    if broken.is_empty() {
        println!("deps: the arrows of {} crates hold", members.len());
        return Ok(());
    }
    for message in &broken {
        println!("{message}");
    }
    Err(Error::new(format!("deps: {} broken; see docs/architecture.md", broken.len())))
}

/// Every way in which `graph` departs from `arrows`, [`PURE`] and [`SHELL`], as sentences.
fn broken_rules(graph: &Graph, members: &BTreeSet<&str>, arrows: &[(&str, &[&str])]) -> Vec<String> {
    let mut broken = Vec::new();
    for &member in members {
        let Some((_, allowed)) = arrows.iter().find(|(name, _)| *name == member) else {
            broken.push(format!(
                "{member}: not in the table of xtask/src/deps.rs; add it with what it may use"
            ));
            continue;
        };
        for used in graph.get(member).into_iter().flatten().filter(|used| members.contains(used.as_str())) {
            if *allowed != ANYTHING && !allowed.contains(&used.as_str()) {
                broken.push(format!("{member}: may not depend on {used} (allowed: {})", list(allowed)));
            }
        }
    }
    for (name, _) in arrows.iter().filter(|(name, _)| !members.contains(name)) {
        broken.push(format!("{name}: in the table of xtask/src/deps.rs and not in the workspace; remove it"));
    }
    for pure in PURE.iter().filter(|pure| members.contains(**pure)) {
        for shell in SHELL {
            if let Some(path) = path_between(graph, pure, shell) {
                broken.push(format!("{pure}: must not reach {shell}: {}", path.join(" -> ")));
            }
        }
    }
    broken
}

fn list(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

/// The shortest chain of dependencies from `from` to `to`.
fn path_between(graph: &Graph, from: &str, to: &str) -> Option<Vec<String>> {
    let mut came_from: BTreeMap<&str, &str> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([graph.get_key_value(from)?.0.as_str()]);
    while let Some(at) = queue.pop_front() {
        if at == to {
            let back = std::iter::successors(Some(at), |at| came_from.get(at).copied());
            let mut path: Vec<String> = back.map(str::to_owned).collect();
            path.reverse();
            return Some(path);
        }
        for next in graph.get(at).into_iter().flatten() {
            if next != from && !came_from.contains_key(next.as_str()) {
                came_from.insert(next, at);
                queue.push_back(next);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{ANYTHING, ARROWS, Graph, broken_rules, path_between};
    use std::collections::BTreeSet;

    const TABLE: &[(&str, &[&str])] =
        &[("lb-types", &[]), ("lb-core", &["lb-types"]), ("lb-health", &["lb-types"]), ("tests", ANYTHING)];

    fn graph(edges: &[(&str, &[&str])]) -> Graph {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        edges.iter().map(|(from, to)| ((*from).to_owned(), owned(to))).collect()
    }

    /// The crates of `TABLE`, related as they may be, with `more` edges on top.
    fn broken(more: &[(&str, &[&str])]) -> Vec<String> {
        let mut graph = graph(&[
            ("lb-types", &["thiserror"]),
            ("lb-core", &["lb-types", "arc-swap"]),
            ("lb-health", &["lb-types", "tokio"]),
            ("tests", &["lb-core", "lb-health", "tokio"]),
            ("tokio", &["mio"]),
        ]);
        for (from, to) in more {
            graph.entry((*from).to_owned()).or_default().extend(to.iter().map(|name| (*name).to_owned()));
        }
        let members: BTreeSet<&str> = TABLE.iter().map(|(name, _)| *name).collect();
        broken_rules(&graph, &members, TABLE)
    }

    #[test]
    fn the_allowed_graph_passes() {
        assert_eq!(broken(&[]), Vec::<String>::new());
    }

    #[test]
    fn siblings_stay_apart() {
        assert_eq!(
            broken(&[("lb-health", &["lb-core"])]),
            ["lb-health: may not depend on lb-core (allowed: lb-types)"]
        );
    }

    #[test]
    fn an_arrow_does_not_turn_round() {
        assert_eq!(
            broken(&[("lb-types", &["tests"])]).first().map(String::as_str),
            Some("lb-types: may not depend on tests (allowed: none)")
        );
    }

    #[test]
    fn the_core_reaches_no_runtime_through_a_friend() {
        assert_eq!(
            broken(&[("arc-swap", &["helper"]), ("helper", &["tokio"])]),
            [
                "lb-core: must not reach tokio: lb-core -> arc-swap -> helper -> tokio",
                "lb-core: must not reach mio: lb-core -> arc-swap -> helper -> tokio -> mio",
            ]
        );
    }

    #[test]
    fn unknown_and_vanished_crates_are_errors() {
        let members = BTreeSet::from(["lb-types", "lb-health", "tests", "lb-new"]);
        assert_eq!(
            broken_rules(&graph(&[("lb-new", &[])]), &members, TABLE),
            [
                "lb-new: not in the table of xtask/src/deps.rs; add it with what it may use",
                "lb-core: in the table of xtask/src/deps.rs and not in the workspace; remove it",
            ]
        );
    }

    #[test]
    fn a_cycle_ends_the_search() {
        let graph = graph(&[("a", &["b"]), ("b", &["a"])]);
        assert_eq!(path_between(&graph, "a", "c"), None);
    }

    #[test]
    fn the_table_points_downwards() {
        for (at, (name, allowed)) in ARROWS.iter().enumerate() {
            for used in allowed.iter().filter(|used| **used != "*") {
                let place = ARROWS.iter().position(|(other, _)| other == used);
                assert!(
                    place.is_some_and(|place| place < at),
                    "{name} may use {used}, which stands above it"
                );
            }
        }
    }
}
