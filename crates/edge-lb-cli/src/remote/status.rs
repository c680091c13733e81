//! `edge-lb status`: the pools and their backends, and why one gets nothing.

use super::client::{Admin, encode};
use super::{say, text};
use crate::args::StatusArgs;
use crate::failure::Failure;
use crate::style::Style;
use serde_json::Value;

/// Prints each pool's table; exit code 1 if the pool that is asked for, or one that requests come to, has no usable backend.
pub(crate) fn status(args: &StatusArgs) -> Result<(), Failure> {
    let admin = Admin::new(args.admin.admin);
    let (names, entries) = match &args.pool {
        Some(name) => (vec![name.clone()], vec![]),
        None => {
            let answer = admin.ask("GET", "/api/v1/pools", None)?;
            let pools = answer["pools"].as_array().into_iter().flatten();
            let names: Vec<_> = pools.map(|p| text(p, "name").to_owned()).collect();
            let entries = answer["entries"].as_array().into_iter().flatten().filter_map(Value::as_str);
            (names, entries.map(str::to_owned).collect::<Vec<_>>())
        }
    };
    // None from an edge-lb that is older than this.
    let scaling = admin.ask("GET", "/api/v1/autoscale", None).unwrap_or_default();
    let mut pools: Vec<Value> = names
        .iter()
        .map(|name| admin.ask("GET", &format!("/api/v1/pools/{}", encode(name)), None))
        .collect::<Result<_, _>>()?;
    for pool in &mut pools {
        let scaled = scaling["pools"][text(pool, "name")].clone();
        if let (Some(pool), false) = (pool.as_object_mut(), scaled.is_null()) {
            pool.insert("autoscale".to_owned(), scaled);
        }
    }
    if args.json {
        say(&format!("{:#}", Value::from(pools.clone())))?;
    } else {
        let style = Style::for_stream(&std::io::stdout());
        let tables: Vec<String> = pools.iter().map(|p| table(p, style)).collect();
        say(&tables.join("\n\n"))?;
    }
    // Of a region's pool that is down the others take over.
    let counts = |pool: &Value| entries.is_empty() || entries.iter().any(|name| name == text(pool, "name"));
    if pools.iter().all(|p| !counts(p) || p["usable"] == true) { Ok(()) } else { Err(Failure::Said(1)) }
}

fn number(value: &Value, key: &str) -> u64 {
    value[key].as_u64().unwrap_or_default()
}

/// One pool.
fn table(pool: &Value, style: Style) -> String {
    let mut notes = vec![];
    if pool["usable"] != true {
        notes.push(style.red("no backend is usable"));
    }
    if pool["panic"] == true {
        notes.push(style.red("panic: active health is ignored"));
    }
    if pool["ignores_ejections"] == true {
        notes.push(style.yellow("ejections are ignored: nobody else is left"));
    }
    notes.extend(queued(&pool["queue"]).map(|n| style.yellow(&n)));
    notes.extend(shed(&pool["load_shedding"]).map(|n| style.red(&n)));
    notes.extend(scaled(&pool["autoscale"]));
    let title = format!(
        "{}  {}, {} of {} healthy, {} in flight, {} requests",
        style.bold(text(pool, "name")),
        text(pool, "algorithm"),
        number(pool, "healthy_backends"),
        number(pool, "total_backends"),
        number(pool, "in_flight"),
        number(pool, "requests"),
    );
    let mut lines = vec![title];
    lines.extend(notes.into_iter().map(|n| format!("  {n}")));
    if let Some(regions) = pool["regions"].as_object() {
        lines.extend(
            regions.iter().map(|(region, pool)| {
                format!("  region {region}: pool {}", pool.as_str().unwrap_or_default())
            }),
        );
        return lines.join("\n");
    }
    let backends: Vec<&Value> = pool["backends"].as_array().into_iter().flatten().collect();
    let widest = backends.iter().map(|b| text(b, "id").chars().count()).max().unwrap_or_default().max(7);
    lines.push(style.dim(&format!(
        "  {:widest$}  {:>6}  {:>9}  {:>10}  {:>8}  {:>9}  condition",
        "backend", "weight", "in flight", "succeeded", "failed", "p99"
    )));
    for b in backends {
        let p99 = b["p99"].as_f64().map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1} ms"));
        let in_flight = match b["limit"].as_u64() {
            None => number(b, "in_flight").to_string(),
            Some(limit) => format!("{}/{limit}", number(b, "in_flight")),
        };
        let line = format!(
            "  {:widest$}  {:>6}  {:>9}  {:>10}  {:>8}  {:>9}  ",
            text(b, "id"),
            number(b, "weight"),
            in_flight,
            number(b, "succeeded"),
            number(b, "failed"),
            p99,
        );
        let words = condition(b);
        let words = if b["exclusion"].is_null() { style.green(&words) } else { style.red(&words) };
        lines.push(line + &words);
    }
    lines.join("\n")
}

/// How many instances there are and shall be, and why.
fn scaled(scaling: &Value) -> Option<String> {
    scaling.as_object()?;
    let rehearsal = if scaling["dry_run"] == true { ", dry run" } else { "" };
    let starting = match number(scaling, "starting") {
        0 => String::new(),
        n => format!(" ({n} starting)"),
    };
    let why = scaling["decision"]["text"].as_str().unwrap_or("nothing decided yet");
    let (current, desired) = (number(scaling, "current"), number(scaling, "desired"));
    Some(format!(
        "auto-scaling ({}{rehearsal}): {current}{starting} of {desired} instances; {why}",
        text(scaling, "driver")
    ))
}

/// Who waits, if anybody does.
fn queued(queue: &Value) -> Option<String> {
    let levels = || queue["levels"].as_array().into_iter().flatten();
    let waiting = number(queue, "waiting");
    if waiting == 0 {
        return None;
    }
    let each = levels().filter(|l| number(l, "waiting") > 0).map(|l| {
        let overloaded = if l["overloaded"] == true { ", overloaded" } else { "" };
        format!("{} {}{overloaded}", number(l, "waiting"), text(l, "name"))
    });
    let each = each.collect::<Vec<_>>().join("; ");
    Some(format!("{waiting} of {} places in the queue are taken: {each}", number(queue, "max_size")))
}

/// How much is refused, if anything is.
fn shed(shedding: &Value) -> Option<String> {
    let pressure = shedding["pressure"].as_f64().filter(|p| *p > 0.0)?;
    Some(format!("load is shed for {}: {pressure:.1} levels", text(shedding, "reason")))
}

/// `ok`, or why not, with what more is known of it.
fn condition(b: &Value) -> String {
    let (breaker, ejection) = (&b["breaker"], &b["ejection"]);
    let seconds = |value: &Value| value.as_f64().map(|s| format!("{:.0} s more", s.ceil()));
    let more = match text(b, "exclusion") {
        "" if text(breaker, "state") == "half-open" => Some("breaker half-open".to_owned()),
        "" if breaker["forced"] == true => Some("breaker held closed".to_owned()),
        "breaker-open" if breaker["forced"] == true => Some("held by hand".to_owned()),
        "breaker-open" => seconds(&breaker["retry_after"]),
        "ejected" => {
            let reason = text(ejection, "reason").to_owned();
            Some(
                [Some(reason), seconds(&ejection["ends_in"])]
                    .into_iter()
                    .flatten()
                    .collect::<Vec<_>>()
                    .join(", "),
            )
        }
        "unhealthy" => b["health"]["last_error"].as_str().map(str::to_owned),
        _ => None,
    };
    let what = b["exclusion"].as_str().unwrap_or("ok");
    more.filter(|m| !m.is_empty()).map_or_else(|| what.to_owned(), |more| format!("{what}: {more}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_queue_and_what_is_shed_are_told_when_there_is_something_to_tell() {
        let level = |name: &str, waiting: u64, overloaded: bool| json!({ "name": name, "waiting": waiting, "overloaded": overloaded });
        let levels = [level("high", 0, false), level("normal", 2, false), level("low", 1, true)];
        let queue = json!({ "waiting": 3, "max_size": 9, "levels": levels });
        let words = "3 of 9 places in the queue are taken: 2 normal; 1 low, overloaded";
        assert_eq!(queued(&queue).as_deref(), Some(words));
        assert_eq!((queued(&json!({ "waiting": 0 })), queued(&Value::Null)), (None, None));
        let shedding = json!({ "pressure": 1.25, "reason": "cpu" });
        assert_eq!(shed(&shedding).as_deref(), Some("load is shed for cpu: 1.2 levels"));
        assert_eq!((shed(&json!({ "pressure": 0.0 })), shed(&Value::Null)), (None, None));
    }

    #[test]
    fn every_condition_has_its_words() {
        for (backend, words) in [
            (json!({ "exclusion": null, "breaker": null }), "ok"),
            (json!({ "exclusion": null, "breaker": { "state": "half-open" } }), "ok: breaker half-open"),
            (
                json!({ "exclusion": "breaker-open", "breaker": { "state": "open", "retry_after": 3.2 } }),
                "breaker-open: 4 s more",
            ),
            (
                json!({ "exclusion": "breaker-open", "breaker": { "state": "open", "forced": true } }),
                "breaker-open: held by hand",
            ),
            (
                json!({ "exclusion": "ejected", "ejection": { "reason": "5 failures in a row", "ends_in": 9.9 } }),
                "ejected: 5 failures in a row, 10 s more",
            ),
            (
                json!({ "exclusion": "unhealthy", "health": { "last_error": "status 500" } }),
                "unhealthy: status 500",
            ),
            (json!({ "exclusion": "draining" }), "draining"),
        ] {
            assert_eq!(condition(&backend), words, "{backend}");
        }
    }

    #[test]
    fn a_pool_is_a_table() {
        let pool = json!({
            "name": "web", "algorithm": "p2c", "usable": true, "panic": false, "ignores_ejections": true,
            "healthy_backends": 1, "total_backends": 1, "in_flight": 2, "requests": 9,
            "backends": [{ "id": "a", "weight": 1, "in_flight": 2, "succeeded": 7, "failed": 0, "p99": 1.25, "exclusion": null }],
        });
        let text = "web  p2c, 1 of 1 healthy, 2 in flight, 9 requests\
            \n  ejections are ignored: nobody else is left\
            \n  backend  weight  in flight   succeeded    failed        p99  condition\
            \n  a             1          2           7         0     1.2 ms  ok";
        assert_eq!(table(&pool, Style { color: false }), text);
    }
}
