//! Commands that ask or steer an edge-lb that runs, by its admin API.
//!
//! | command | asks |
//! |---|---|
//! | `status` ([`status`]) | `GET /api/v1/pools`, `GET /api/v1/pools/{pool}` |
//! | `explain` | `POST /api/v1/explain` |
//! | `breaker` | `PUT …/{id}/breaker` |
//! | `sessions list`, `clear` ([`sessions`]) | `GET …/{pool}/sessions`, `DELETE …/sessions/{id}` |
//! | `split`, `rollout` ([`splits`]) | `/api/v1/splits`, `/api/v1/rollouts` |
//! | `backend check`, `drain`, `undrain` | `POST …/{id}/check`, `POST` and `DELETE …/{id}/drain` |

mod client;
mod sessions;
mod splits;
mod status;

use crate::args::{BackendCommand, BreakerArgs, ExplainArgs};
use crate::failure::{Failure, stdout_gone};
use client::{Admin, encode};
use serde_json::{Map, Value, json};
use std::io::Write;
use std::time::Duration;

pub(crate) use sessions::sessions;
pub(crate) use splits::{rollout, split};
pub(crate) use status::status;

/// Longer than the admin API lets a drain take.
const DRAIN_PATIENCE: Duration = Duration::from_secs(60);

fn say(text: &str) -> Result<(), Failure> {
    writeln!(std::io::stdout(), "{text}").map_err(stdout_gone)
}

fn place(pool: &str, backend: &str) -> String {
    format!("/api/v1/pools/{}/backends/{}", encode(pool), encode(backend))
}

/// A text of the answer; empty where it is missing.
fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// `edge-lb breaker`.
pub(crate) fn breaker(args: &BreakerArgs) -> Result<(), Failure> {
    let order = json!({ "state": args.state.as_str() });
    let path = format!("{}/breaker", place(&args.pool, &args.backend));
    let view = Admin::new(args.admin.admin).ask("PUT", &path, Some(&order))?;
    let breaker = &view["breaker"];
    let held = if breaker["forced"] == true { ", held by hand" } else { "" };
    say(&format!("{}: breaker {}{held}", args.backend, text(breaker, "state")))
}

/// `edge-lb backend …`.
pub(crate) fn backend(command: &BackendCommand) -> Result<(), Failure> {
    match command {
        BackendCommand::Check(target) => {
            let path = format!("{}/check", place(&target.pool, &target.backend));
            let status = Admin::new(target.admin.admin).ask("POST", &path, None)?;
            if status["consecutive_failures"].as_u64() == Some(0) {
                return say(&format!("{}: the check passed", target.backend));
            }
            say(&format!("{}: the check failed: {}", target.backend, text(&status, "last_error")))?;
            Err(Failure::Said(1))
        }
        BackendCommand::Drain { target, grace } => {
            let query = grace.as_ref().map(|g| format!("?grace={}", encode(g))).unwrap_or_default();
            let path = format!("{}/drain{query}", place(&target.pool, &target.backend));
            let admin = Admin::new(target.admin.admin).patience(DRAIN_PATIENCE);
            let report = admin.ask("POST", &path, None)?;
            match report["remaining"].as_u64() {
                Some(0) if report["sessions"].as_u64().unwrap_or_default() == 0 => {
                    say(&format!("{}: drained, nothing is in flight", target.backend))
                }
                left => {
                    let (left, sessions) = (left.unwrap_or_default(), &report["sessions"]);
                    let moved = match sessions.as_u64() {
                        None | Some(0) => String::new(),
                        Some(n) => format!("; {n} sessions were still on it and go elsewhere from now on"),
                    };
                    say(&format!(
                        "{}: drains on; {left} requests are still in flight{moved}",
                        target.backend
                    ))?;
                    Err(Failure::Said(1))
                }
            }
        }
        BackendCommand::Undrain(target) => {
            let path = format!("{}/drain", place(&target.pool, &target.backend));
            Admin::new(target.admin.admin).ask("DELETE", &path, None)?;
            say(&format!("{}: takes requests again", target.backend))
        }
    }
}

/// `edge-lb explain`.
pub(crate) fn explain(args: &ExplainArgs) -> Result<(), Failure> {
    let (path, query) = args.path.split_once('?').map_or((&*args.path, None), |(p, q)| (p, Some(q)));
    let mut ask = Map::new();
    ask.insert("path".into(), path.into());
    ask.insert("method".into(), args.method.as_str().into());
    let headers: Map<_, _> = args.header.iter().map(|(n, v)| (n.clone(), v.as_str().into())).collect();
    ask.insert("headers".into(), headers.into());
    ask.insert("exclude".into(), args.exclude.clone().into());
    let optional = [
        ("query", query.map(str::to_owned)),
        ("pool", args.pool.clone()),
        ("host", args.host.clone()),
        ("client_ip", args.client_ip.map(|ip| ip.to_string())),
        ("key", args.key.clone()),
        ("session", args.session.clone()),
    ];
    ask.extend(optional.into_iter().filter_map(|(k, v)| Some((k.to_owned(), v?.into()))));
    if args.country.is_some() || args.region.is_some() || args.city.is_some() {
        let place = json!({ "country": args.country, "region": args.region, "city": args.city });
        ask.insert("location".into(), place);
    }
    let said = Admin::new(args.admin.admin).ask("POST", "/api/v1/explain", Some(&ask.into()))?;
    if args.json {
        return say(&format!("{said:#}"));
    }
    say(&format!("pool {}: {}", text(&said, "pool"), text(&said, "text")))
}
