//! Passive detection: whom it never ejects, and when a check may end an ejection.

use crate::standing::{exclusion, pool, standing};
use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Backend, EdgeLb, Load, Reply, Switch, eventually};

/// Answers 500 while the switch is on, but for its health check.
fn failing(id: &'static str) -> (Backend, Switch) {
    let fails = Switch::new();
    let is_on = fails.clone();
    let backend = Backend::with(id, move |request| match request.head.target.as_str() {
        "/health" => Reply::status(200),
        _ if is_on.is_on() => Reply::status(500),
        _ => Reply::ok(id),
    });
    (backend, fails)
}

fn ejected(lb: &EdgeLb) -> usize {
    pool(lb).to_string().matches("\"exclusion\":\"ejected\"").count()
}

/// All fail, and keep failing: as many are out as may be, and never more.
fn at_most(backends: usize, percent: usize, out: usize) {
    let ids = &["a", "b", "c", "d", "e"][..backends];
    let all: Vec<_> = ids.iter().map(|id| failing(id)).collect();
    all.iter().for_each(|(_, fails)| fails.on());
    let detection = format!(
        "outlier_detection = {{ consecutive_failures = 2, base_ejection_time = \"1h\", max_ejection_time = \"1h\", \
         interval = \"100ms\", max_ejection_percent = {percent} }}"
    );
    let setup = Setup::new(all.iter().map(|(b, _)| b)).pool("algorithm = \"round-robin\"").pool(&detection);
    let lb = setup.top("workers = 2").admin().start();
    let load = Load::new(lb.address()).connections(4).requests_each(1_000_000).start();
    eventually(SOON, &format!("{out} of {backends} are ejected"), || ejected(&lb) == out);
    // Each of the others has had far more than two failures in a row after that.
    let done = load.completed();
    eventually(SOON, "the load goes on", || {
        assert!(ejected(&lb) <= out, "{percent} % of {backends}");
        load.completed() >= done + 40 * backends
    });
    load.stop();
    let report = load.join();
    assert!(report.errors.is_empty(), "{:?}", report.errors);
    // Somebody was always asked: a failing backend's own answer is more than "nobody is usable".
    assert_eq!(report.statuses.keys().collect::<Vec<_>>(), [&500], "{:?}", report.statuses);
    assert_eq!(ejected(&lb), out);
}

#[test]
fn an_ejection_never_takes_the_last_usable_backend() {
    at_most(1, 100, 0);
    at_most(3, 100, 2);
}

#[test]
fn no_more_than_the_maximum_percent_is_ejected() {
    at_most(5, 50, 2);
    // One may always be.
    at_most(3, 10, 1);
}

/// The last usable one is not counted once for all: when the others become unhealthy, those that were ejected come back.
#[test]
fn the_ejected_are_given_back_when_nobody_else_is_usable() {
    let ((a, a_fails), b) = (failing("a"), Backend::start("b"));
    a_fails.on();
    let pool = "algorithm = \"round-robin\"\n\
                health_check = { type = \"tcp\", interval = \"50ms\", unhealthy_threshold = 1 }\n\
                outlier_detection = { base_ejection_time = \"1h\", max_ejection_time = \"1h\" }";
    let lb = Setup::new([&a, &b]).pool(pool).admin().start();
    let load = Load::new(lb.address()).requests_each(1_000_000).start();
    eventually(SOON, "a is ejected", || exclusion(&lb, "a").as_deref() == Some("ejected"));
    a_fails.off();
    let known = a.request_count();
    b.kill();
    eventually(SOON, "a serves again", || a.request_count() > known && exclusion(&lb, "a").is_none());
    load.stop();
    let report = load.join();
    // 502: between b's death and the check that found it out nobody was usable.
    assert!(report.errors.is_empty(), "{report:?}");
    assert!(report.statuses.keys().all(|s| [200, 500, 502].contains(s)), "{report:?}");
}

/// Connections failed, and a check could make one: that is news. Requests failed while checks passed all the time: that is none.
#[test]
fn a_passing_check_ends_an_ejection_early_only_where_it_proves_something() {
    let ((dead, _), (bad, fails), good) = (failing("dead"), failing("bad"), Backend::start("good"));
    let pool = "algorithm = \"round-robin\"\nretry_policy = { retry_on = [\"connect-failure\", \"reset\", \"5xx\"] }\n\
                health_check = { interval = \"300ms\", unhealthy_threshold = 100, expected_status = [\"200-499\"] }\n\
                outlier_detection = { consecutive_failures = 0, consecutive_connect_failures = 3, \
                consecutive_gateway_failures = 0, base_ejection_time = \"1h\", max_ejection_time = \"1h\", \
                max_ejection_percent = 70, comparison = { enabled = false }, \
                failure_percentage = { minimum_hosts = 1, request_volume = 5, threshold = 90 }, interval = \"200ms\" }";
    let lb = Setup::new([&dead, &bad, &good]).pool(pool).admin().start();
    eventually(SOON, "they are checked", || ["dead", "bad"].iter().all(|id| standing(&lb, id).passes));
    let load = Load::new(lb.address()).connections(2).requests_each(1_000_000).start();
    fails.on();
    eventually(SOON, "bad is ejected", || exclusion(&lb, "bad").as_deref() == Some("ejected"));
    dead.kill();
    eventually(SOON, "dead is ejected", || exclusion(&lb, "dead").as_deref() == Some("ejected"));
    dead.revive();
    // An hour early: the first check that can connect.
    eventually(SOON, "dead is back", || exclusion(&lb, "dead").is_none());
    let checks = |b: &Backend| b.requests().iter().filter(|r| r.head.target == "/health").count();
    let known = checks(&bad);
    eventually(SOON, "checks of bad go on passing", || checks(&bad) >= known + 4);
    assert_eq!(exclusion(&lb, "bad").as_deref(), Some("ejected"));
    load.stop();
    let report = load.join();
    report.assert_all_ok(report.status(200));
}
