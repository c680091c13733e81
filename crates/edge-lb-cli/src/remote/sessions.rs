//! `edge-lb sessions`: which clients have which backends, and forgetting one.

use super::client::{Admin, encode};
use super::{say, text};
use crate::args::{SessionsCommand, SessionsListArgs};
use crate::failure::Failure;
use crate::style::Style;
use serde_json::Value;

/// `edge-lb sessions …`.
pub(crate) fn sessions(command: &SessionsCommand) -> Result<(), Failure> {
    match command {
        SessionsCommand::List(args) => list(args),
        SessionsCommand::Clear { pool, id, admin } => {
            let path = format!("/api/v1/pools/{}/sessions/{}", encode(pool), encode(id));
            let cleared = Admin::new(admin.admin).ask("DELETE", &path, None)?;
            if let Some(why) = cleared["pending"].as_str() {
                return say(&format!("{id}: cleared here; {why}"));
            }
            if cleared["known"] == true {
                return say(&format!("{id}: cleared"));
            }
            say(&format!("{id}: not known here; its cookie, should there be one, does not count any more"))?;
            Err(Failure::Said(1))
        }
    }
}

fn list(args: &SessionsListArgs) -> Result<(), Failure> {
    let backend = args.backend.as_ref().map(|id| format!("&backend={}", encode(id))).unwrap_or_default();
    let path = format!("/api/v1/pools/{}/sessions?limit={}{backend}", encode(&args.pool), args.limit);
    let answer = Admin::new(args.admin.admin).ask("GET", &path, None)?;
    if args.json {
        return say(&format!("{answer:#}"));
    }
    say(&table(&answer, Style::for_stream(&std::io::stdout())))
}

fn table(answer: &Value, style: Style) -> String {
    let stats = &answer["stats"];
    let number = |key: &str| stats[key].as_u64().unwrap_or_default();
    let mut lines = vec![format!(
        "{}  {} sessions, {} begun, {} moved, {} cleared, {} evicted",
        style.bold(text(answer, "pool")),
        number("active"),
        number("total"),
        number("moved"),
        number("cleared"),
        number("evicted"),
    )];
    if let Some(queued) = answer["store"]["queued"].as_u64().filter(|&n| n > 0) {
        lines.push(format!("  {}", style.yellow(&format!("{queued} wait for the store"))));
    }
    let sessions: Vec<&Value> = answer["sessions"].as_array().into_iter().flatten().collect();
    if sessions.is_empty() {
        return lines.join("\n");
    }
    let widest = sessions.iter().map(|s| text(s, "backend").chars().count()).max().unwrap_or_default().max(7);
    lines.push(style.dim(&format!("  {:32}  {:widest$}  {:>9}", "session", "backend", "idle")));
    for s in sessions {
        let idle = s["idle_s"].as_u64().unwrap_or_default();
        let (id, backend) = (text(s, "id"), text(s, "backend"));
        lines.push(format!("  {id:32}  {backend:widest$}  {:>9}", format!("{idle} s")));
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sessions_are_a_table() {
        let answer = json!({
            "pool": "web", "store": { "queued": 2 },
            "stats": { "active": 1, "total": 3, "moved": 1, "cleared": 1, "evicted": 0 },
            "sessions": [{ "id": "00000000000000000000000000000007", "backend": "a", "created": 5, "idle_s": 12 }],
        });
        let expected = "web  1 sessions, 3 begun, 1 moved, 1 cleared, 0 evicted\
            \n  2 wait for the store\
            \n  session                           backend       idle\
            \n  00000000000000000000000000000007  a             12 s";
        assert_eq!(table(&answer, Style { color: false }), expected);
    }
}
