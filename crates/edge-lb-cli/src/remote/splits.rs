//! `edge-lb split` and `edge-lb rollout`: which version gets how much, and guarded rollouts.

use super::client::{Admin, encode};
use super::{say, text};
use crate::args::{Difference, RolloutCommand, RolloutStart, SplitCommand};
use crate::failure::Failure;
use crate::style::Style;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;
use std::time::{SystemTime, UNIX_EPOCH};

/// How many of the last changes `show` shows.
const EVENTS_SHOWN: usize = 10;

/// Who gives the order: the user's name.
fn by() -> String {
    let named = ["USER", "LOGNAME"].iter().filter_map(|name| std::env::var(name).ok());
    named.into_iter().find(|name| !name.is_empty()).unwrap_or_else(|| "cli".to_owned())
}

fn path(name: &str) -> String {
    format!("/api/v1/splits/{}", encode(name))
}

/// `edge-lb split …`.
pub(crate) fn split(command: &SplitCommand) -> Result<(), Failure> {
    let style = Style::for_stream(&std::io::stdout());
    match command {
        SplitCommand::List { json, admin } => {
            let answer = Admin::new(admin.admin).ask("GET", "/api/v1/splits", None)?;
            if *json {
                return say(&format!("{answer:#}"));
            }
            let lines: Vec<_> = array(&answer, "splits").map(|split| line(split, style)).collect();
            say(&if lines.is_empty() { "no splits".to_owned() } else { lines.join("\n") })
        }
        SplitCommand::Show { name, json, admin } => {
            let answer = Admin::new(admin.admin).ask("GET", &path(name), None)?;
            if *json {
                return say(&format!("{answer:#}"));
            }
            say(&table(&answer, now_ms(), style))
        }
        SplitCommand::Set { name, shares, over, admin } => {
            let target = |(pool, percent): &(String, f64)| json!({ "pool": pool, "percent": percent });
            let targets: Vec<_> = shares.iter().map(target).collect();
            let mut order = json!({ "targets": targets, "by": by() });
            if let Some(over) = over {
                order["over"] = over.as_str().into();
            }
            done(admin.admin, "PUT", &path(name), &order)
        }
        SplitCommand::Switch { name, target, admin } => {
            let order = json!({ "target": target, "by": by() });
            done(admin.admin, "POST", &format!("{}/switch", path(name)), &order)
        }
        SplitCommand::Canary { name, percent, admin } => {
            let order = json!({ "percent": percent, "by": by() });
            done(admin.admin, "POST", &format!("{}/canary", path(name)), &order)
        }
        SplitCommand::Pause(t) => {
            done(t.admin.admin, "POST", &format!("{}/pause", path(&t.name)), &json!({ "by": by() }))
        }
        SplitCommand::Resume(t) => {
            done(t.admin.admin, "POST", &format!("{}/resume", path(&t.name)), &json!({ "by": by() }))
        }
        SplitCommand::Abort(t) => {
            done(t.admin.admin, "POST", &format!("{}/abort", path(&t.name)), &json!({ "by": by() }))
        }
    }
}

/// Gives an order, and says how the split stands then.
fn done(admin: SocketAddr, method: &str, path: &str, order: &Value) -> Result<(), Failure> {
    let answer = Admin::new(admin).ask(method, path, Some(order))?;
    say(&line(&answer, Style { color: false }))
}

fn array<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

fn percent(value: &Value) -> String {
    format!("{} %", value.as_f64().unwrap_or_default())
}

/// `blue 90 %, green 10 %`, in the split's order.
fn shares(split: &Value, of: &Value) -> String {
    let pools = array(split, "targets").map(|t| text(t, "pool"));
    pools.map(|pool| format!("{pool} {}", percent(&of[pool]))).collect::<Vec<_>>().join(", ")
}

/// A split in a line.
fn line(split: &Value, style: Style) -> String {
    let targets = array(split, "targets").map(|t| format!("{} {}", text(t, "pool"), percent(&t["percent"])));
    let mut line = format!("{}  {}", style.bold(text(split, "name")), targets.collect::<Vec<_>>().join(", "));
    let shift = &split["shift"];
    if shift.is_object() {
        let left =
            shift["over_s"].as_f64().unwrap_or_default() - shift["elapsed_s"].as_f64().unwrap_or_default();
        let to = shares(split, &shift["to"]);
        let shifts = if shift["paused"] == true {
            format!("paused on its way to {to}, {} left", duration(left))
        } else {
            format!("shifts to {to}, {} left", duration(left))
        };
        line = format!("{line}  {}", style.yellow(&shifts));
    }
    match split["rollout"].as_str() {
        None => line,
        Some(state) => format!("{line}  {}", colored(&format!("rollout {state}"), state, style)),
    }
}

fn colored(text: &str, state: &str, style: Style) -> String {
    match state {
        "running" => style.cyan(text),
        "promoted" => style.green(text),
        "none" => style.dim(text),
        "rolled-back" => style.red(text),
        _ => style.yellow(text),
    }
}

/// `90 s`, `12 min`, `3 h`.
fn duration(seconds: f64) -> String {
    // No −0.
    let (n, unit) = match seconds.max(0.0) + 0.0 {
        s if s < 120.0 => (s, "s"),
        s if s < 7_200.0 => (s / 60.0, "min"),
        s if s < 172_800.0 => (s / 3_600.0, "h"),
        s => (s / 86_400.0, "d"),
    };
    format!("{n:.0} {unit}")
}

fn now_ms() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis() as f64
}

/// One split in full.
fn table(split: &Value, now_ms: f64, style: Style) -> String {
    let mut lines = vec![line(split, style), format!("  sticky: {}", text(split, "sticky"))];
    let widest = array(split, "targets").map(|t| text(t, "pool").chars().count()).max().unwrap_or(0).max(6);
    lines.push(
        style.dim(&format!("  {:widest$}  {:>8}  {:>12}  {:>10}", "target", "percent", "requests", "errors")),
    );
    for t in array(split, "targets") {
        let (pool, share) = (text(t, "pool"), percent(&t["percent"]));
        lines.push(format!(
            "  {pool:widest$}  {share:>8}  {:>12}  {:>10}",
            number(t, "requests"),
            number(t, "errors")
        ));
    }
    let events: Vec<_> = array(split, "events").collect();
    if !events.is_empty() {
        lines.push(style.dim("  changes, the latest first"));
    }
    for e in events.iter().rev().take(EVENTS_SHOWN) {
        let ago = duration((now_ms - e["at_ms"].as_f64().unwrap_or_default()) / 1e3);
        let what = e["decision"].as_str().map_or_else(
            || text(e, "change").to_owned(),
            |decision| format!("{}: {decision}", text(e, "change")),
        );
        let to = shares(split, &e["to"]);
        lines.push(format!("  {:>4}  {ago:>7} ago  {}  {what}  → {to}", number(e, "number"), text(e, "by")));
    }
    lines.join("\n")
}

/// `edge-lb rollout …`.
pub(crate) fn rollout(command: &RolloutCommand) -> Result<(), Failure> {
    let style = Style::for_stream(&std::io::stdout());
    let place = |name: &str| format!("/api/v1/rollouts/{}", encode(name));
    let order = |target: &crate::args::SplitTarget, action: &str| {
        let order = json!({ "action": action, "by": by() });
        let answer = Admin::new(target.admin.admin).ask("POST", &place(&target.name), Some(&order))?;
        say(&headline(&answer, now_ms(), style))
    };
    match command {
        RolloutCommand::Start(start) => {
            let answer =
                Admin::new(start.admin.admin).ask("POST", &place(&start.name), Some(&start_order(start)))?;
            say(&headline(&answer, now_ms(), style))
        }
        RolloutCommand::Status { name, json, admin } => {
            let answer = Admin::new(admin.admin).ask("GET", &place(name), None)?;
            let shown = if *json { format!("{answer:#}") } else { status(&answer, now_ms(), style) };
            say(&shown)?;
            match text(&answer, "state") {
                "none" | "running" | "promoted" => Ok(()),
                _ => Err(Failure::Said(1)),
            }
        }
        RolloutCommand::Extend(target) => order(target, "extend"),
        RolloutCommand::Abort(target) => order(target, "abort"),
    }
}

fn start_order(start: &RolloutStart) -> Value {
    let mut order = Map::new();
    order.insert("action".into(), "start".into());
    order.insert("by".into(), by().into());
    if !start.step.is_empty() {
        let step = |(percent, duration): &(f64, String)| json!({ "percent": percent, "duration": duration });
        order.insert("steps".into(), start.step.iter().map(step).collect());
    }
    if let Some(Difference(difference)) = start.error_difference_max {
        let value = difference.map_or_else(|| Value::from("none"), Value::from);
        order.insert("error_difference_max".into(), value);
    }
    if let Some(ratio) = start.latency_ratio_max {
        let quantile = start.latency_quantile.unwrap_or(0.95);
        order.insert("latency".into(), json!({ "quantile": quantile, "ratio_max": ratio }));
    }
    if let Some(requests) = start.requests_min {
        order.insert("requests_min".into(), requests.into());
    }
    if let Some(patience) = &start.patience {
        order.insert("patience".into(), patience.as_str().into());
    }
    order.into()
}

/// How a rollout stands, in a line.
fn headline(r: &Value, now_ms: f64, style: Style) -> String {
    let (name, state) = (style.bold(text(r, "split")), text(r, "state"));
    let since = |key: &str| (r[key].as_f64().unwrap_or_default() - now_ms) / 1e3;
    let says = match state {
        "none" => "no rollout yet".to_owned(),
        "running" | "inconclusive" => {
            let step = format!(
                "step {} of {}, {} to {}",
                r["step"],
                r["steps"],
                percent(&r["percent"]),
                text(&r["new"], "pool")
            );
            let left = match state {
                "running" => format!("inconclusive in {}", duration(since("until_ms"))),
                _ => "inconclusive: extend or abort it".to_owned(),
            };
            format!("{step} for {}, {left}", duration(-since("step_began_ms")))
        }
        "rolled-back" => {
            format!("rolled back in step {} of {}: {}", r["step"], r["steps"], text(r, "reason"))
        }
        "overtaken" => format!("overtaken by a change by hand in step {} of {}", r["step"], r["steps"]),
        other => other.to_owned(),
    };
    format!("{name}  {}", colored(&says, state, style))
}

/// A rollout in full.
fn status(r: &Value, now_ms: f64, style: Style) -> String {
    let mut lines = vec![headline(r, now_ms, style)];
    if text(r, "state") == "none" {
        return lines.remove(0);
    }
    lines[0] += &format!("  (by {})", text(r, "by"));
    let sides = ["old", "new"].map(|side| &r[side]);
    let widest = sides.iter().map(|s| text(s, "pool").chars().count()).max().unwrap_or(0).max(6);
    let head = format!("  {:widest$}  {:>12}  {:>10}  {:>10}", "target", "requests", "errors", "slow");
    lines.push(style.dim(&head));
    for side in sides {
        let slow = side["slow_above_ms"].as_f64().map_or_else(
            || "–".to_owned(),
            |ms| format!("{} of {} above {ms:.1} ms", side["slow"], side["timed"]),
        );
        let pool = text(side, "pool");
        lines.push(format!(
            "  {pool:widest$}  {:>12}  {:>10}  {slow:>10}",
            number(side, "requests"),
            number(side, "errors")
        ));
    }
    lines.push(style.dim("  evidence, in powers of ten"));
    for g in array(r, "guards") {
        let (guard, power) = (text(g, "guard"), |key: &str| g[key].as_f64().unwrap_or_default());
        let against = format!("against {:.2} (rolled back at {:.2})", power("worse"), power("needed_worse"));
        let for_it = format!("for {:.2} (promoted from {:.2})", power("fine"), power("needed_fine"));
        lines.push(format!("  {guard:8} {against}, {for_it}"));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style { color: false };

    #[test]
    fn a_split_is_a_table() {
        let split = json!({
            "name": "checkout", "sticky": "cookie", "rollout": "running",
            "targets": [
                { "pool": "blue", "percent": 90.0, "requests": 900, "errors": 1 },
                { "pool": "green", "percent": 10.5, "requests": 100, "errors": 0 },
            ],
            "shift": { "to": { "blue": 0.0, "green": 100.0 }, "over_s": 600.0, "elapsed_s": 60.0, "paused": false },
            "events": [
                { "number": 1, "at_ms": 1_000, "by": "ann", "change": "shift", "to": { "blue": 0.0, "green": 100.0 } },
                { "number": 2, "at_ms": 5_000, "by": "rollout", "change": "rollout", "decision": "roll back: errors", "to": { "blue": 100.0, "green": 0.0 } },
            ],
        });
        let expected = "checkout  blue 90 %, green 10.5 %  shifts to blue 0 %, green 100 %, 9 min left  rollout running\
            \n  sticky: cookie\
            \n  target   percent      requests      errors\
            \n  blue        90 %           900           1\
            \n  green     10.5 %           100           0\
            \n  changes, the latest first\
            \n     2      5 s ago  rollout  rollout: roll back: errors  → blue 100 %, green 0 %\
            \n     1      9 s ago  ann  shift  → blue 0 %, green 100 %";
        assert_eq!(table(&split, 10_000.0, PLAIN), expected);
    }

    #[test]
    fn a_rollout_is_a_table() {
        let mut r = json!({
            "split": "checkout", "state": "running", "by": "ann", "step": 1, "steps": 3, "percent": 5.0,
            "step_began_ms": 0, "until_ms": 1_810_000,
            "old": { "pool": "blue", "requests": 950, "errors": 9, "timed": 900, "slow": 45, "slow_above_ms": 12.0 },
            "new": { "pool": "green", "requests": 50, "errors": 1, "timed": 40, "slow": 0, "slow_above_ms": null },
            "guards": [{ "guard": "errors", "worse": 0.1, "needed_worse": 2.48, "fine": -0.5, "needed_fine": 1.3 }],
        });
        let expected = "checkout  step 1 of 3, 5 % to green for 10 s, inconclusive in 30 min  (by ann)\
            \n  target      requests      errors        slow\
            \n  blue             950           9  45 of 900 above 12.0 ms\
            \n  green             50           1           –\
            \n  evidence, in powers of ten\
            \n  errors   against 0.10 (rolled back at 2.48), for -0.50 (promoted from 1.30)";
        assert_eq!(status(&r, 10_000.0, PLAIN), expected);
        r["state"] = "rolled-back".into();
        r["reason"] = "errors".into();
        assert_eq!(headline(&r, 0.0, PLAIN), "checkout  rolled back in step 1 of 3: errors");
        assert_eq!(status(&json!({ "split": "a", "state": "none" }), 0.0, PLAIN), "a  no rollout yet");
    }
}
