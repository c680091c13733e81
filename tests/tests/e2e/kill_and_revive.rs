//! A backend dies under load and comes back: no client notices.

use edge_lb_tests::{Setup, unhealthy};
use lb_testkit::{Backend, EdgeLb, Gate, Load, Reply, Step, Stopwatch, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;

const LONG: Duration = Duration::from_secs(15);

/// What a busy machine may add to a time that is promised.
const SLACK: Duration = Duration::from_millis(1_500);

/// A backend that takes 5 ms, and holds its requests while `holds` is set.
fn slow(id: &str, holds: Arc<AtomicBool>) -> Backend {
    let (gate, body) = (Gate::new(), id.to_owned());
    Backend::with(id, move |_| {
        let reply = Reply::ok(body.clone()).after(Step::Pause(Duration::from_millis(5)));
        if holds.load(SeqCst) { reply.after(Step::Wait(gate.clone())) } else { reply }
    })
}

/// The line of the issue: at least ten requests in flight when the sockets are reset, no error at any client, and traffic
/// again within two check intervals of the revival.
fn dies_unnoticed_and_comes_back(
    lb: &EdgeLb,
    backends: &[Backend; 3],
    holds: &AtomicBool,
    interval: Duration,
) {
    let [a, b, c] = backends;
    let load = Load::new(lb.address()).connections(24).requests_each(1_000_000).start();
    eventually(LONG, "all three serve", || backends.iter().all(|b| b.request_count() > 10));

    holds.store(true, SeqCst);
    eventually(LONG, "ten requests are in flight at a", || a.in_flight() >= 10);
    let cut = a.kill();
    assert!(cut >= 10, "{cut} in flight");
    holds.store(false, SeqCst);

    let served = || b.request_count() + c.request_count();
    let (before, done) = (served(), load.completed());
    eventually(LONG, "the others carry on", || load.completed() > done + 200 && served() > before + 200);
    // Long enough for the checks to find out, so that the way back is by checks, too.
    eventually(LONG, "the checks have found out", || unhealthy(lb) == 1);

    let known = a.request_count();
    a.revive();
    let watch = Stopwatch::start();
    eventually(2 * interval + SLACK, "the revived backend gets traffic", || a.request_count() > known);
    println!("back after {:?}", watch.elapsed());
    load.stop();
    let report = load.join();
    let total = report.status(200);
    report.assert_all_ok(total);
}

#[test]
fn with_the_short_form_no_client_sees_an_error() {
    let holds = Arc::new(AtomicBool::new(false));
    let backends = [slow("a", holds.clone()), slow("b", Arc::default()), slow("c", Arc::default())];
    let run = EdgeLb::options().arg("--listen").arg("127.0.0.1:0").arg("--admin").arg("127.0.0.1:0");
    let lb = backends.iter().fold(run, |run, b| run.arg("--to").arg(b.url())).start();
    dies_unnoticed_and_comes_back(&lb, &backends, &holds, Duration::from_secs(2));
}

#[test]
fn with_a_file_no_client_sees_an_error() {
    let holds = Arc::new(AtomicBool::new(false));
    let backends = [slow("a", holds.clone()), slow("b", Arc::default()), slow("c", Arc::default())];
    let check = "health_check = { type = \"tcp\", interval = \"400ms\" }\nalgorithm = \"round-robin\"";
    let lb = Setup::new(&backends).top("workers = 2").pool(check).admin().start();
    dies_unnoticed_and_comes_back(&lb, &backends, &holds, Duration::from_millis(400));
}

#[test]
fn without_health_checks_no_client_sees_an_error_either() {
    let backends = [slow("a", Arc::default()), slow("b", Arc::default()), slow("c", Arc::default())];
    let [a, ..] = &backends;
    let lb = Setup::new(&backends).start();
    let load = Load::new(lb.address()).connections(8).requests_each(1_000_000).start();
    for _ in 0..3 {
        let known = a.request_count();
        eventually(LONG, "a serves", || a.request_count() > known + 10);
        a.kill();
        let done = load.completed();
        eventually(LONG, "the load goes on without it", || load.completed() > done + 100);
        a.revive();
    }
    load.stop();
    let report = load.join();
    let total = report.status(200);
    report.assert_all_ok(total);
}
