//! Everything fails at once, with passive detection or breakers: backends get no more than they are promised. (Without both:
//! `retry_limits`.)

use edge_lb_tests::Setup;
use lb_testkit::{Answer, Backend, Load, Reply, Stopwatch};

const REQUESTS: usize = 800;
const CLIENTS: usize = 8;

/// What the backends get of so many requests, and what the clients do.
fn storm(status: u16, mechanisms: &str) {
    let backends =
        ["a", "b", "c"].map(|id| Backend::with(id, move |_| Reply::answer(Answer::new(status).body("no"))));
    let retries = "retry_policy = { retry_on = [\"connect-failure\", \"reset\", \"timeout\", \"5xx\"], base_delay = \"1ms\" }";
    let lb = Setup::new(&backends).pool(retries).pool(mechanisms).top("workers = 2").admin().start();
    let watch = Stopwatch::start();
    let report = Load::new(lb.address()).connections(CLIENTS).requests_each(REQUESTS / CLIENTS).run_to_end();
    // The budget's windows of 10 s that the load can have touched.
    let windows = 2 + watch.elapsed().as_secs() as usize / 10;
    let sent: usize = backends.iter().map(Backend::request_count).sum();
    println!("{status} everywhere, {mechanisms:?}: {sent} requests for {REQUESTS}: {:?}", report.statuses);
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    assert!(report.statuses.keys().all(|s| [status, 503].contains(s)), "{report:?}");
    assert!(sent <= REQUESTS + REQUESTS / 5 + 100 * windows, "{sent} requests for {REQUESTS}");
    if mechanisms.contains("breaker") {
        // For each backend five failures and what was under way there meanwhile; then nothing more for an hour.
        assert!(sent <= 3 * (5 + CLIENTS), "{sent} requests");
        assert!(report.status(503) >= REQUESTS - sent, "{report:?}");
    } else {
        assert!(sent >= REQUESTS, "nobody is refused: {sent}");
    }
}

#[test]
fn passive_detection_leaves_the_budget_in_force() {
    storm(500, "outlier_detection = { max_ejection_percent = 50 }");
}

#[test]
fn a_storm_ends_at_the_breakers() {
    let breakers = "circuit_breaker = { recovery_timeout = \"1h\" }";
    storm(503, breakers);
    storm(500, breakers);
}
