//! Memory: what an idle keep-alive connection costs, and what remains after all of them were busy at once.
//!
//! Resident memory of the proxy's process tree, at four moments: before, with N connections that each had one answer, after
//! all N asked at the same time, and after they were closed. Each is the least seen within [`SETTLE`]: a proxy may give
//! memory back a little later. What it gives back only after longer idling is not seen.

use serde_json::json;
use std::time::Duration;

use super::chart::Bar;
use super::load::Stage;
use super::net::Client;
use super::process::resident;
use super::report::{Section, Table};
use super::server::{Kind, Server, Subject};
use crate::clock;
use crate::error::{Context, Result};

/// How long memory may take to settle.
const SETTLE: Duration = Duration::from_secs(4);
const POLL: Duration = Duration::from_millis(100);
/// What edge-lb may take for each connection that had one answer and is idle now.
const GOAL_KIB: f64 = 2.5;

/// Bytes resident at the four moments.
#[derive(Clone, Copy, Debug)]
struct Memory {
    before: u64,
    idle: u64,
    burst: u64,
    closed: u64,
    connections: u32,
}

impl Memory {
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory")]
    fn kib_each(&self, now: u64) -> f64 {
        (now as f64 - self.before as f64) / f64::from(self.connections) / 1024.0
    }
}

pub(super) fn run(stage: &mut Stage<'_>, connections: u32, subjects: &[Subject]) -> Result<Section> {
    let mut rows = Vec::new();
    for subject in subjects {
        eprintln!("idle: {}", subject.name);
        let memory = subject.start(stage.origin.ports, stage.scratch, stage.limits).and_then(|mut server| {
            let memory = observe(&server, connections)?;
            server.check()?;
            Ok(memory)
        });
        rows.push((subject.name.clone(), subject.kind, memory.map_err(|error| error.to_string())));
    }
    stage.origin.check()?;
    Ok(section(connections, &rows))
}

fn observe(server: &Server, connections: u32) -> Result<Memory> {
    let mut first = Client::connect(server.port)?;
    for _ in 0..100 {
        first.get("/small")?; // the code paths and first buffers are there before the count begins
    }
    let before = settled(server)?;
    let mut clients = Vec::with_capacity(connections as usize);
    for nth in 0..connections {
        let mut client = Client::connect(server.port).context(format_args!("connection {nth}"))?;
        client.get("/small").context(format_args!("first request on connection {nth}"))?;
        clients.push(client);
    }
    let idle = settled(server)?;
    for client in &mut clients {
        client.send("/small")?;
    }
    for (nth, client) in clients.iter_mut().enumerate() {
        client.receive().context(format_args!("burst on connection {nth}"))?;
    }
    let burst = settled(server)?;
    drop(clients);
    let closed = settled(server)?;
    Ok(Memory { before, idle, burst, closed, connections })
}

/// The least resident memory within [`SETTLE`].
fn settled(server: &Server) -> Result<u64> {
    let deadline = clock::now() + SETTLE;
    let mut least = resident(server.id())?;
    while clock::now() < deadline {
        std::thread::sleep(POLL);
        least = least.min(resident(server.id())?);
    }
    Ok(least)
}

fn section(connections: u32, rows: &[(String, Kind, std::result::Result<Memory, String>)]) -> Section {
    let mut table = Table {
        header: vec![
            "proxy",
            "KiB/conn idle",
            "KiB/conn after burst",
            "before MiB",
            "idle MiB",
            "burst MiB",
            "closed MiB",
        ],
        rows: Vec::new(),
    };
    let mut section = Section {
        name: "idle",
        what: format!(
            "{connections} keep-alive connections after one request each, then all at once, then closed"
        ),
        table: Table::default(),
        notes: Vec::new(),
        problems: Vec::new(),
        bars: Vec::new(),
        unit: "KiB resident per idle connection",
        json: json!({ "connections": connections, "proxies": [] }),
    };
    let mut proxies = Vec::new();
    for (name, kind, memory) in rows {
        let memory = match memory {
            Ok(memory) => memory,
            Err(problem) => {
                section.problems.push(format!("{name}: {problem}"));
                continue;
            }
        };
        let (idle, burst) = (memory.kib_each(memory.idle), memory.kib_each(memory.burst));
        let mib = |bytes: u64| format!("{}.{}", bytes >> 20, ((bytes & 0xf_ffff) * 10) >> 20);
        let mut cells = vec![name.clone(), format!("{idle:.2}"), format!("{burst:.2}")];
        cells.extend([memory.before, memory.idle, memory.burst, memory.closed].map(mib));
        table.rows.push(cells);
        let ours = *kind == Kind::EdgeLb;
        section.bars.push(Bar { label: name.clone(), value: idle.max(0.0), range: None, ours });
        if ours {
            let word = if idle <= GOAL_KIB { "met" } else { "missed" };
            section
                .notes
                .push(format!("goal {word}: {idle:.2} KiB per idle connection, at most {GOAL_KIB} wanted"));
        }
        proxies.push(json!({
            "proxy": name, "kib_per_idle_connection": idle, "kib_per_connection_after_burst": burst,
            "before": memory.before, "idle": memory.idle, "after_burst": memory.burst, "closed": memory.closed,
        }));
    }
    section.table = table;
    section.json["proxies"] = proxies.into();
    section
}

#[cfg(test)]
mod tests {
    use super::{Memory, section};
    use crate::bench::server::Kind;

    #[test]
    fn memory_is_counted_for_each_connection() {
        let memory = Memory {
            before: 10 << 20,
            idle: 20 << 20,
            burst: 30 << 20,
            closed: (15 << 20) + (1 << 19),
            connections: 5120,
        };
        let rows = [
            ("edge-lb".to_owned(), Kind::EdgeLb, Ok(memory)),
            ("x".to_owned(), Kind::EdgeLb, Err("died".into())),
        ];
        let section = section(5120, &rows);
        assert_eq!(section.table.rows, [["edge-lb", "2.00", "4.00", "10.0", "20.0", "30.0", "15.5"]]);
        assert_eq!(section.notes, ["goal met: 2.00 KiB per idle connection, at most 2.5 wanted"]);
        assert_eq!(section.problems, ["x: died"]);
    }
}
