//! Wrong splits: what is said, and where.

mod common;

use common::check;
use lb_config::Format::Toml;
use lb_config::{RouteAction, Sticky, parse};
use std::time::Duration;

const POOLS: &str = "[[listeners]]
address = \"127.0.0.1:8080\"
[pools.blue]
queuing = { priority_levels = [\"high\", \"low\"] }
backends = [{ url = \"http://127.0.0.1:9001\" }]
[pools.green]
queuing = { priority_levels = [\"low\", \"high\"] }
backends = [{ url = \"http://127.0.0.1:9001\" }]
";
const ROUTE: &str = "routes = [{ split = \"a\" }]\n";
const TARGETS: &str =
    "[splits.a]\ntargets = [{ pool = \"blue\", percent = 90 }, { pool = \"green\", percent = 10 }]\n";

fn broken(text: &str, said: &str) {
    check(Toml, &format!("{text}\n{POOLS}"), said);
}

#[test]
fn targets_are_pools_and_have_all_together() {
    let with = |targets: &str| format!("{ROUTE}[splits.a]\ntargets = [{targets}]");
    broken(
        &with("{ pool = \"blue\", percent = 90 }, { pool = \"green\", percent = 9.5 }"),
        "f:3:73: error: `percent`: the targets must have 100 together, not 99.5",
    );
    broken(
        &with(
            "{ pool = \"blu\", percent = 90 }, { pool = \"a\", percent = 10 }, { pool = \"green\", percent = 0 }",
        ),
        "f:3:21: error: `pool`: there is no pool \"blu\"
  help: did you mean \"blue\"?
f:3:53: error: `pool`: \"a\" is a split; the targets of a split are pools
  help: name the pools themselves: a split has up to four",
    );
    broken(
        &with("{ pool = \"blue\", percent = 90.001 }, { pool = \"green\", percent = \"x\" }"),
        "f:3:39: error: `percent` = 90.001: must be from 0 to 100, with two decimals at most
f:3:77: error: `percent` must be a number from 0 to 100, not \"x\"",
    );
    broken(
        &with(
            "{ pool = \"blue\", percent = 90 }, { pool = \"green\", percent = 5 }, { pool = \"blue\", percent = 5 }",
        ),
        "f:3:11: error: `targets` = \"blue\": must be there once",
    );
}

#[test]
fn routes_and_splits_name_each_other() {
    broken(
        &format!(
            "routes = [{{ split = \"b\" }}, {{ pool = \"blue\" }}, {{ pool = \"green\", split = \"a\" }}]\n{TARGETS}"
        ),
        "f:1:21: error: `split`: there is no split \"b\"
  help: did you mean \"a\"?
f:1:47: error: a route must have one of `pool`, `split`, `redirect` and `respond`
  help: add pool = \"NAME\", a pool under `pools`",
    );
    broken(
        &format!("routes = [{{ pool = \"blue\" }}, {{ pool = \"green\" }}]\n{TARGETS}"),
        "f:2:9: error: no request comes to split `a`: no route names it
  help: remove it, or add a route with split = \"a\"",
    );
    broken(
        &format!("routes = [{{ split = \"a\", priority = \"high\" }}]\n{TARGETS}"),
        "f:1:37: error: `priority` must be the same level in each pool of the split, counted from the highest",
    );
}

#[test]
fn cohorts_and_rollouts() {
    broken(
        &format!("{ROUTE}{TARGETS}sticky = {{ type = \"header\", max_age = \"1h\" }}"),
        "f:4:1: error: missing key `header_name`
  help: it takes a header's name
f:4:29: error: `max_age` belongs to `type` cookie, and this is header",
    );
    broken(
        &format!("{ROUTE}{TARGETS}sticky = {{ type = \"cookie\", cookie_name = \"a b\", max_age = \"0s\" }}"),
        "f:4:43: error: `cookie_name` = \"a b\" is no cookie's name
f:4:60: error: `max_age` must be from 1s to 400d",
    );
    broken(
        &format!("{ROUTE}{TARGETS}sticky = {{ type = \"cookie\", cookie_name = \"__Host-a\" }}"),
        "f:4:43: error: `cookie_name`: browsers want `Secure` for such a name, and have it by TLS alone
  help: leave the prefix out",
    );
    let sessions = "\n[pools.blue.session_affinity]\ntype = \"cookie\"\ncookie_name = \"lb_cohort\"";
    check(
        Toml,
        &format!("{ROUTE}{TARGETS}sticky = {{ type = \"cookie\" }}\n{POOLS}{sessions}"),
        "f:4:1: error: `cookie_name` is that of the sessions of pool `blue` as well",
    );
    broken(
        &format!("{ROUTE}{TARGETS}rollout = {{ error_difference_max = \"none\" }}"),
        "f:4:36: error: `error_difference_max` = \"none\" and no `latency`: a rollout without a guard is a shift
  help: keep one of them, or use `edge-lb split set NAME … --over 1h`",
    );
    let steps =
        "rollout = { steps = [{ percent = 50, duration = \"1m\" }, { percent = 5, duration = \"1m\" }] }";
    broken(
        &format!("{ROUTE}{TARGETS}{steps}"),
        "f:4:21: error: `steps.percent` = 5.0: must grow from step to step, above 0 and below 100",
    );
}

#[test]
fn a_good_one_is_all_there() {
    let text = format!(
        "{ROUTE}{TARGETS}sticky = {{ type = \"cookie\" }}\nrollout = {{ error_difference_max = \"none\", latency = {{ ratio_max = 2 }} }}\n{POOLS}"
    );
    let config = parse(&text, Toml, "f").unwrap();
    assert_eq!(config.routes[0].action, RouteAction::Split("a".into()));
    let split = &config.splits["a"];
    let max_age = Duration::from_secs(30 * 86_400);
    assert_eq!(split.sticky, Some(Sticky::Cookie { name: "lb_cohort".into(), max_age }));
    assert_eq!(split.targets.iter().map(|(_, p)| f64::from(*p)).collect::<Vec<_>>(), [90.0, 10.0]);
    assert_eq!(split.rollout.error_difference_max, None);
    assert_eq!(split.rollout.latency.map(|l| (l.quantile, l.ratio_max)), Some((0.95, 2.0)));
}
