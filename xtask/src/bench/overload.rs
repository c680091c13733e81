//! More than the origins bear: what becomes of requests by their priority, and of those that are refused.
//!
//! Three origins of this process take [`SERVICE`] for each request; edge-lb lets four in at once to each, so they bear [`CAPACITY`] a
//! second. Every client begins a request at a fixed pace, however long the one before took (unless that is not over): first a few of
//! high priority alone, then three times the capacity in three priorities, then the few again.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::json;

use super::net::{Client, loopback, status};
use super::process::resident;
use super::report::{Section, Table};
use super::server::{Kind, Limits, Subject};
use super::{config, machine};
use crate::clock;
use crate::error::{Context, Error, Result};

/// How long an origin takes for a request.
const SERVICE: Duration = Duration::from_millis(20);
/// Three origins, four places each (peers/edge-lb-overload.toml).
const CAPACITY: u32 = 12 * 1_000 / 20;
/// Each client begins a request this often.
const PACE: Duration = Duration::from_millis(100);
/// How long the overload lasts.
const OVERLOAD: Duration = Duration::from_secs(20);
/// How long before and after it a few requests are made.
const CALM: Duration = Duration::from_secs(5);
/// When the overload is over all is to be as before within this time.
const RECOVERY: Duration = Duration::from_secs(1);
/// Levels, with clients in tenths of the capacity each: half of it, all of it, one and a half.
const LEVELS: [(&str, u32); 3] =
    [("high", CAPACITY / 20), ("normal", CAPACITY / 10), ("low", CAPACITY * 3 / 20)];
const CALM_CLIENTS: u32 = CAPACITY / 100;

/// One request, as its client saw it.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// When it ended, from the start of its stretch.
    at: Duration,
    took: Duration,
    served: bool,
    says_when: bool,
}

/// An origin: answers every request after [`SERVICE`].
struct SlowOrigin {
    port: u16,
    stop: Arc<AtomicBool>,
    accepting: Option<JoinHandle<()>>,
}

impl SlowOrigin {
    fn start() -> Result<SlowOrigin> {
        let listener = TcpListener::bind(loopback(0)).context("an origin's port")?;
        let port = listener.local_addr().context("an origin's port")?.port();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let accepting = thread::spawn(move || {
            for stream in listener.incoming().map_while(std::result::Result::ok) {
                if stopped.load(Relaxed) {
                    return;
                }
                // It ends when edge-lb closes the connection.
                thread::spawn(move || answer_all(stream));
            }
        });
        Ok(SlowOrigin { port, stop, accepting: Some(accepting) })
    }
}

impl Drop for SlowOrigin {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
        drop(TcpStream::connect(loopback(self.port))); // wakes it
        if let Some(thread) = self.accepting.take() {
            let _ = thread.join();
        }
    }
}

fn answer_all(mut stream: TcpStream) {
    let _ = stream.set_nodelay(true);
    let (mut head, mut chunk) = (Vec::new(), [0; 4 << 10]);
    loop {
        match stream.read(&mut chunk) {
            Ok(0) | Err(_) => return,
            Ok(n) => head.extend_from_slice(&chunk[..n]),
        }
        if head.ends_with(b"\r\n\r\n") {
            head.clear();
            thread::sleep(SERVICE);
            if stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n").is_err() {
                return;
            }
        }
    }
}

/// What `clients` of one level see within `time`.
fn load(
    port: u16,
    level: &'static str,
    clients: u32,
    start: Instant,
    time: Duration,
) -> Vec<JoinHandle<Result<Vec<Seen>>>> {
    let client = move |nth: u32| {
        let mut connection = Client::connect(port)?;
        let line = format!("X-Priority: {level}\r\n");
        let mut seen = Vec::new();
        // Spread over the pace.
        let mut due = PACE * nth / clients;
        while due < time {
            thread::sleep(due.saturating_sub(start.elapsed()));
            let began = clock::now();
            connection.send_with("/", &line)?;
            let (head, _) = connection.receive_any()?;
            let says_when = head.to_ascii_lowercase().contains("\r\nretry-after:");
            let served = match status(&head) {
                Some(200) => true,
                Some(503) => false,
                _ => return Err(Error::new(format!("answered {}", head.lines().next().unwrap_or_default()))),
            };
            seen.push(Seen { at: start.elapsed(), took: began.elapsed(), served, says_when });
            due += PACE;
        }
        Ok(seen)
    };
    (0..clients).map(|nth| thread::spawn(move || client(nth))).collect()
}

fn join(threads: Vec<JoinHandle<Result<Vec<Seen>>>>) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for thread in threads {
        all.extend(thread.join().map_err(|_| Error::new("a client panicked"))??);
    }
    Ok(all)
}

/// The value that `percent` of them do not exceed, in ms.
fn percentile(mut times: Vec<Duration>, percent: usize) -> Option<f64> {
    times.sort_unstable();
    let at = (times.len() * percent).div_ceil(100).checked_sub(1)?;
    times.get(at).map(|time| time.as_secs_f64() * 1e3)
}

fn times(seen: &[Seen], served: bool) -> Vec<Duration> {
    seen.iter().filter(|s| s.served == served).map(|s| s.took).collect()
}

/// What one binary did.
struct Outcome {
    calm: Vec<Seen>,
    levels: Vec<(&'static str, Vec<Seen>)>,
    after: Vec<Seen>,
    /// Resident bytes some seconds into the overload, and at its end.
    memory: (u64, u64),
}

fn observe(subject: &Subject, scratch: &std::path::Path, limits: Limits) -> Result<Outcome> {
    let origins = [SlowOrigin::start()?, SlowOrigin::start()?, SlowOrigin::start()?];
    let ports = [origins[0].port, origins[1].port, origins[2].port];
    let subject = Subject { config: Some(config::EDGE_LB_OVERLOAD.to_owned()), ..subject.clone() };
    let mut server = subject.start(ports, scratch, limits)?;
    let port = server.port;
    let calm = join(load(port, "high", CALM_CLIENTS, clock::now(), CALM))?;
    let start = clock::now();
    let running: Vec<_> =
        LEVELS.map(|(level, clients)| (level, load(port, level, clients, start, OVERLOAD))).into();
    thread::sleep((OVERLOAD / 4).saturating_sub(start.elapsed()));
    let early = resident(server.id())?;
    let mut levels = Vec::new();
    for (level, threads) in running {
        levels.push((level, join(threads)?));
    }
    let memory = (early, resident(server.id())?);
    let after = join(load(port, "high", CALM_CLIENTS, clock::now(), CALM))?;
    server.check()?;
    Ok(Outcome { calm, levels, after, memory })
}

pub(super) fn run(subjects: &[Subject], scratch: &std::path::Path, limits: Limits) -> Result<Section> {
    machine::raise_file_limit();
    let mut section = Section {
        name: "overload",
        what: format!(
            "{CAPACITY} requests a second are borne; {} are offered for {} s in three priorities",
            LEVELS.iter().map(|(_, clients)| clients * 10).sum::<u32>(),
            OVERLOAD.as_secs()
        ),
        table: Table {
            header: vec![
                "who",
                "offered/s",
                "served %",
                "p50 ms",
                "p99 ms",
                "refused",
                "p99 ms of refusals",
                "without Retry-After",
            ],
            rows: Vec::new(),
        },
        notes: Vec::new(),
        problems: Vec::new(),
        bars: Vec::new(),
        unit: "",
        json: json!({}),
    };
    for subject in subjects.iter().filter(|s| s.kind == Kind::EdgeLb) {
        eprintln!("overload: {}", subject.name);
        match observe(subject, scratch, limits) {
            Ok(outcome) => judge(&subject.name, &outcome, &mut section),
            Err(error) => section.problems.push(format!("{}: {error}", subject.name)),
        }
    }
    Ok(section)
}

fn judge(name: &str, o: &Outcome, section: &mut Section) {
    let shown = |ms: Option<f64>| ms.map_or_else(|| "–".to_owned(), |ms| format!("{ms:.1}"));
    let share = |seen: &[Seen]| 100.0 * times(seen, true).len() as f64 / seen.len().max(1) as f64;
    let mut row = |who: String, seen: &[Seen], time: Duration| {
        let (served, refused) = (times(seen, true), times(seen, false));
        let silent = seen.iter().filter(|s| !s.served && !s.says_when).count();
        section.table.rows.push(vec![
            who,
            format!("{:.0}", seen.len() as f64 / time.as_secs_f64()),
            format!("{:.1}", share(seen)),
            shown(percentile(served.clone(), 50)),
            shown(percentile(served, 99)),
            refused.len().to_string(),
            shown(percentile(refused, 99)),
            silent.to_string(),
        ]);
    };
    row(format!("{name}: high, before"), &o.calm, CALM);
    for (level, seen) in &o.levels {
        row(format!("{name}: {level}"), seen, OVERLOAD);
    }
    row(format!("{name}: high, after"), &o.after, CALM);

    let p99 = |seen: &[Seen]| percentile(times(seen, true), 99).unwrap_or(f64::INFINITY);
    let level =
        |name: &str| o.levels.iter().find(|(level, _)| *level == name).map_or(&[][..], |(_, seen)| seen);
    let all: Vec<Seen> = o.levels.iter().flat_map(|(_, seen)| seen.iter().copied()).collect();
    let refusals = percentile(times(&all, false), 99).unwrap_or(0.0);
    let low_share = 100.0 * times(level("low"), true).len() as f64 / times(&all, true).len().max(1) as f64;
    // The first second may have what waited still.
    let late: Vec<Seen> = o.after.iter().copied().filter(|s| s.at > RECOVERY).collect();
    let grown = o.memory.1 as f64 - o.memory.0 as f64;
    let calm = p99(&o.calm);
    let goals = [
        (
            share(level("high")) >= 99.0,
            format!("high: {:.2} % served, at least 99 wanted", share(level("high"))),
        ),
        (
            p99(level("high")) <= 2.0 * calm,
            format!(
                "high: p99 {:.1} ms, at most twice the {calm:.1} ms without overload wanted",
                p99(level("high"))
            ),
        ),
        (
            low_share >= 100.0 / 21.0 / 2.0,
            format!("low: {low_share:.1} % of what was served; its weight is 1 of 21"),
        ),
        (refusals <= 10.0, format!("refusals: p99 {refusals:.1} ms, at most 10 wanted")),
        (grown < 4e6, format!("memory: {:+.1} MB in the last three quarters", grown / 1e6)),
        (
            late.iter().all(|s| s.served) && p99(&late) <= 2.0 * calm,
            format!("from {} s after the overload: p99 {:.1} ms, all served", RECOVERY.as_secs(), p99(&late)),
        ),
    ];
    for (met, goal) in goals {
        section.notes.push(format!("goal {}: {goal}", if met { "met" } else { "missed" }));
    }
    let levels = o.levels.iter().map(|(level, seen)| {
        json!({ "level": level, "offered": seen.len(), "served": times(seen, true).len(), "p99_ms": p99(seen) })
    });
    section.json[name] = json!({
        "p99_ms_before": calm, "levels": levels.collect::<Vec<_>>(), "p99_ms_of_refusals": refusals,
        "p99_ms_after": p99(&late), "memory_grown": grown,
    });
}

#[cfg(test)]
mod tests {
    use super::percentile;
    use std::time::Duration;

    #[test]
    fn percentiles_are_values_that_were_seen() {
        let times: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(percentile(times.clone(), 50), Some(50.0));
        assert_eq!(percentile(times, 99), Some(99.0));
        assert_eq!(percentile(vec![Duration::from_millis(7)], 99), Some(7.0));
        assert_eq!(percentile(vec![], 99), None);
    }
}
