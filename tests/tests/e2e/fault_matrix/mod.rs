//! Every fault against what is to deal with it: what clients see, how fast the backend is taken out, how fast it returns.
//!
//! One table drives all: [`ROWS`]. The summary goes to standard output (`cargo test -p edge-lb-tests --test e2e fault_matrix --
//! --nocapture`) and, from a run, stands in `docs/faults.md`. `FAULT_ROWS=half` runs only the rows with that in their name.

mod clients;
mod documented;
mod fault;
mod mechanism;
mod pairs;
mod run;

use fault::Fault::{self, *};
use mechanism::Mechanism::{self, All, Breaker, Checks, Passive, SlowCalls};
use run::{Measured, Row};
use std::fmt::Write as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

/// Rows at once: they wait most of the time.
const AT_ONCE: usize = 4;

/// Fault, mechanism, workers, other backends.
const ROWS: &[(Fault, Mechanism, usize, usize)] = &[
    (Refuses, Checks, 1, 2),
    (Refuses, Passive, 1, 2),
    (Refuses, Breaker, 1, 1),
    (Refuses, All, 2, 2),
    (ResetsOnAccept, Checks, 1, 2),
    (ResetsOnAccept, Passive, 2, 2),
    (ResetsBeforeAnswer, Passive, 1, 2),
    (ResetsBeforeAnswer, Breaker, 2, 2),
    (ResetsAfterHead, Passive, 1, 2),
    (NeverReads, Passive, 1, 2),
    (NeverReads, All, 2, 2),
    (NeverAnswers, Breaker, 1, 2),
    (NeverAnswers, Checks, 1, 2),
    (AnswersLate, Passive, 1, 1),
    (AnswersSlowly, SlowCalls, 1, 2),
    (Fails, Passive, 1, 2),
    (Fails, Breaker, 1, 1),
    (Fails, All, 2, 2),
    (Unavailable, Passive, 1, 2),
    (HalfBody, Passive, 1, 2),
    (HalfChunked, Breaker, 1, 2),
    (ClosesIdle, Checks, 2, 2),
    (ClosesIdle, Breaker, 1, 2),
    (FlapsByRequest, Passive, 1, 2),
    (FlapsByRequest, Breaker, 1, 2),
    (FlapsBySecond, All, 1, 2),
    (Garbage, Passive, 1, 2),
    (Greets, Passive, 1, 2),
    (HugeHead, Breaker, 1, 2),
    (TwoLengths, Passive, 1, 1),
    (NoLength, All, 1, 2),
];

#[test]
fn faults_are_survived() {
    let only = std::env::var("FAULT_ROWS").unwrap_or_default();
    let rows: Vec<_> =
        ROWS.iter().map(|&(fault, by, workers, others)| Row { fault, by, workers, others }).collect();
    let rows: Vec<_> = rows
        .into_iter()
        .filter(|r| format!("{} / {}", r.fault.name(), r.by.name()).contains(&only))
        .collect();
    let next = AtomicUsize::new(0);
    let ended = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(row) = rows.get(next.fetch_add(1, SeqCst)) {
                    // Its panic has been printed by itself; the other rows are of interest all the same.
                    let measured = thread::scope(|s| s.spawn(|| row.run()).join().ok());
                    ended.lock().unwrap().push((format!("{:?} / {:?}", row.fault, row.by), measured));
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap();
    let measured: Vec<_> = ended.iter().filter_map(|(_, measured)| measured.as_ref()).collect();
    println!("{}", summary(&rows, &measured));
    let failed: Vec<_> = ended.iter().filter(|(_, m)| m.is_none()).map(|(name, _)| name.as_str()).collect();
    assert!(failed.is_empty(), "rows that failed: {failed:?}");
}

/// A table in Markdown, in the order of the rows.
fn summary(rows: &[Row], measured: &[&Measured]) -> String {
    let mut text =
        "| fault | dealt with by | GETs lost | POSTs | hit the bad one | out after | back after | reason |\n\
                    |---|---|---|---|---|---|---|---|\n"
            .to_owned();
    let time = |t: Duration| format!("{:.2} s", t.as_secs_f64());
    for row in rows {
        let Some(m) = measured.iter().find(|m| m.row.fault == row.fault && m.row.by == row.by) else {
            continue;
        };
        let o = &m.outcomes;
        let all = o.right + o.lost.len() + o.cut;
        let lost =
            if o.cut > 0 { format!("{} cut of {all}", o.cut) } else { format!("{} of {all}", o.lost.len()) };
        let posts: Vec<_> = o.posts.iter().map(|(outcome, n)| format!("{n} × {outcome}")).collect();
        let (out, reason) =
            m.out.as_ref().map_or(("never".to_owned(), "–"), |(after, why)| (time(*after), why.as_str()));
        let back = m.back.map_or("–".to_owned(), time);
        let _ = writeln!(
            text,
            "| {} | {} | {lost} | {} | {} | {out} | {back} | {reason} |",
            row.fault.name(),
            row.by.name(),
            posts.join(", "),
            m.hits
        );
    }
    text
}
