//! Active checks take a failing backend out and bring it back.

use edge_lb_tests::{SOON, Setup, unhealthy};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Load, Reply, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering::SeqCst};

/// Answers its check with a status that can be changed, and all else with 200.
fn checked(id: &str) -> (Backend, Arc<AtomicU16>) {
    let status = Arc::new(AtomicU16::new(200));
    let (said, body) = (status.clone(), id.to_owned());
    let backend = Backend::with(id, move |request| match request.head.target.as_str() {
        "/up" => Reply::status(said.load(SeqCst)),
        _ => Reply::ok(body.clone()),
    });
    (backend, status)
}

fn checks(backend: &Backend, path: &str) -> usize {
    backend.requests().iter().filter(|r| r.head.target == path).count()
}

fn served(lb: &EdgeLb, count: usize) -> String {
    let mut client = Client::connect(lb.address()).unwrap();
    (0..count).map(|_| client.request("GET", "/", &[], b"").unwrap().text()).collect()
}

#[test]
fn a_backend_whose_check_fails_is_out_until_it_passes_again() {
    let ((a, status), (b, _)) = (checked("a"), checked("b"));
    let check = "health_check = { path = \"/up\", interval = \"100ms\", unhealthy_threshold = 3, healthy_threshold = 2 }";
    let lb = Setup::new([&a, &b]).pool(check).pool("algorithm = \"round-robin\"").admin().start();
    eventually(SOON, "both are checked", || checks(&a, "/up") > 0 && checks(&b, "/up") > 0);
    assert_eq!(served(&lb, 4).matches('a').count(), 2);

    let before = checks(&a, "/up");
    status.store(503, SeqCst);
    eventually(SOON, "a is out", || unhealthy(&lb) == 1);
    assert!(checks(&a, "/up") >= before + 3, "not before three failures");
    assert_eq!(served(&lb, 6), "bbbbbb");

    let before = checks(&a, "/up");
    status.store(201, SeqCst);
    eventually(SOON, "a is in again", || unhealthy(&lb) == 0);
    assert!(checks(&a, "/up") >= before + 2, "not before two successes");
    assert_eq!(served(&lb, 4).matches('a').count(), 2);
}

#[test]
fn a_failure_below_the_threshold_changes_nothing() {
    let ((a, status), (b, _)) = (checked("a"), checked("b"));
    let check = "health_check = { path = \"/up\", interval = \"50ms\", unhealthy_threshold = 1000 }";
    let lb = Setup::new([&a, &b]).pool(check).pool("algorithm = \"round-robin\"").admin().start();
    // The first result decides at once; from then on the threshold does.
    eventually(SOON, "the first check has passed", || checks(&a, "/up") >= 2);
    status.store(500, SeqCst);
    let known = checks(&a, "/up");
    eventually(SOON, "some checks have failed", || checks(&a, "/up") >= known + 5);
    assert_eq!(unhealthy(&lb), 0);
    assert_eq!(served(&lb, 4).matches('a').count(), 2);
}

#[test]
fn a_check_asks_what_it_is_told_to() {
    let a = Backend::with("a", |_| Reply::answer(Answer::new(302).header("Location", "/")));
    let check = "health_check = { path = \"/deep?x=1\", method = \"HEAD\", interval = \"50ms\", \
                 expected_status = [\"300-399\"], headers = { X-Check = \"yes\" } }";
    let lb = Setup::new([&a]).pool(check).admin().start();
    eventually(SOON, "it is checked", || checks(&a, "/deep?x=1") >= 2);
    let request = a.requests().remove(0);
    assert_eq!(request.head.method, "HEAD");
    assert_eq!(request.head.headers.get("x-check"), Some("yes"));
    assert_eq!(request.head.headers.get("user-agent"), Some("LoadBalancer-HealthCheck/1.0"));
    assert!(request.head.headers.has("host"));
    assert_eq!(unhealthy(&lb), 0);
}

#[test]
fn a_backend_may_have_its_own_check() {
    let own = Backend::with("own", |request| match request.head.target.as_str() {
        "/ready" => Reply::status(200),
        "/up" => Reply::status(500),
        _ => Reply::ok("own"),
    });
    let (a, _) = checked("a");
    let (unchecked, status) = checked("unchecked");
    status.store(500, SeqCst);
    let check = "health_check = { path = \"/up\", interval = \"50ms\", unhealthy_threshold = 1 }";
    let setup =
        Setup::default().pool(check).backend(&own, "health_check = { path = \"/ready\" }").backend(&a, "");
    let lb = setup.backend(&unchecked, "health_check = { enabled = false }").admin().start();
    eventually(SOON, "they are checked", || checks(&own, "/ready") >= 3 && checks(&a, "/up") >= 3);
    assert_eq!((unhealthy(&lb), checks(&own, "/up"), checks(&unchecked, "/up")), (0, 0, 0));
    let report = Load::new(lb.address()).requests_each(9).run_to_end();
    assert_eq!((report.from("own"), report.from("a"), report.from("unchecked")), (3, 3, 3));
}

#[test]
fn a_check_may_go_to_another_port() {
    let (a, probe) = (Backend::start("a"), Backend::start("probe"));
    let port = probe.address().port().unwrap();
    let check = "health_check = { path = \"/up\", interval = \"50ms\", unhealthy_threshold = 1, healthy_threshold = 1 }";
    let lb = Setup::default().pool(check).backend(&a, &format!("health_check = {{ port = {port} }}")).start();
    eventually(SOON, "the probe is asked", || checks(&probe, "/up") >= 2);
    assert_eq!(checks(&a, "/up"), 0);
    assert_eq!(served(&lb, 2), "aa");
}

#[test]
fn when_all_are_unhealthy_traffic_still_flows() {
    let ((a, first), (b, second)) = (checked("a"), checked("b"));
    let check = "health_check = { path = \"/up\", interval = \"50ms\", unhealthy_threshold = 1 }";
    let lb = Setup::new([&a, &b]).pool(check).admin().start();
    first.store(500, SeqCst);
    second.store(500, SeqCst);
    eventually(SOON, "both are unhealthy", || unhealthy(&lb) == 2);
    // Panic: a check that is wrong everywhere must not take the site down.
    Load::new(lb.address()).requests_each(10).run_to_end().assert_all_ok(10);
}

#[test]
fn a_backup_serves_while_the_others_are_unhealthy() {
    let ((a, status), (b, _)) = (checked("a"), checked("b"));
    let check = "health_check = { path = \"/up\", interval = \"50ms\", unhealthy_threshold = 1, healthy_threshold = 1 }";
    let lb = Setup::default().pool(check).backend(&a, "").backend(&b, "backup = true").admin().start();
    assert_eq!(served(&lb, 3), "aaa");
    status.store(500, SeqCst);
    eventually(SOON, "a is out", || unhealthy(&lb) == 1);
    assert_eq!(served(&lb, 3), "bbb");
    status.store(200, SeqCst);
    eventually(SOON, "a is in again", || unhealthy(&lb) == 0);
    assert_eq!(served(&lb, 3), "aaa");
}
