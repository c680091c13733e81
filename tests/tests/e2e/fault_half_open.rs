//! Open breakers: how few probes find out that a backend is well again, and that traffic returns.

use crate::standing::{exclusion, standing};
use edge_lb_tests::{SOON, Setup, metric};
use lb_testkit::{Answer, Backend, Client, EdgeLb, Gate, Load, Reply, Step, Stopwatch, Switch, eventually};
use std::time::Duration;

/// Answers 500 while the switch is on, and holds its requests at the gate afterwards.
fn failing(id: &'static str, gate: &Gate) -> (Backend, Switch) {
    let (fails, gate) = (Switch::new(), gate.clone());
    fails.on();
    let is_on = fails.clone();
    let backend = Backend::with(id, move |_| match is_on.is_on() {
        true => Reply::answer(Answer::new(500).body("no")),
        false => Reply::ok(id).after(Step::Wait(gate.clone())),
    });
    (backend, fails)
}

fn opened() -> Gate {
    let gate = Gate::new();
    gate.open();
    gate
}

/// One request after the other until the breakers of all backends are open.
fn open_all(lb: &EdgeLb, ids: &[&str]) {
    let mut client = Client::connect(lb.address()).unwrap();
    eventually(SOON, "the breakers are open", || {
        client.request("GET", "/", &[], b"").unwrap();
        ids.iter().all(|id| exclusion(lb, id).as_deref() == Some("breaker-open"))
    });
}

/// (That a HEAD gets it, too, and what its headers are, `fallback` shows.)
#[test]
fn after_the_fallback_response_probes_bring_traffic_back() {
    let gate = opened();
    let ((a, a_fails), (b, b_fails)) = (failing("a", &gate), failing("b", &gate));
    let pool = r#"
algorithm = "round-robin"
[pools.main.circuit_breaker]
failure_threshold = 3
recovery_timeout = "3s"
success_threshold = 2
fallback_response = { status = 503, body = "sorry" }
"#;
    let lb = Setup::new([&a, &b]).pool(pool).admin().start();
    open_all(&lb, &["a", "b"]);
    let asked = a.request_count() + b.request_count();
    let mut client = Client::connect(lb.address()).unwrap();
    for method in ["GET", "POST", "DELETE"] {
        let response = client.request(method, "/", &[], b"").unwrap();
        assert_eq!((response.status(), response.text().as_str()), (503, "sorry"), "{method}");
        assert!(!response.head.closes(), "the connection is kept");
    }
    assert_eq!(a.request_count() + b.request_count(), asked, "nobody was asked");
    assert_eq!(metric(&lb, "edge_lb_http_fallbacks_total", &[]) as u64, 3);
    assert_eq!(metric(&lb, "edge_lb_backend_excluded", &["breaker-open"]) as u64, 2);

    a_fails.off();
    b_fails.off();
    let mut given = 0;
    eventually(SOON, "probes have closed both", || {
        given += usize::from(client.request("GET", "/", &[], b"").unwrap().status() == 503);
        ["a", "b"].iter().all(|id| exclusion(&lb, id).is_none()) && a.in_flight() + b.in_flight() == 0
    });
    assert!(given > 0, "until then it was given");
    // Both are closed now, or the next requests are the last probes.
    Load::new(lb.address()).requests_each(8).run_to_end().assert_all_ok(8);
    let report = Load::new(lb.address()).requests_each(20).run_to_end();
    report.assert_all_ok(20);
    assert_eq!((report.from("a"), report.from("b")), (10, 10));
}

/// Without breakers there is no fallback: what is said is the proxy's own.
#[test]
fn without_breakers_nobody_usable_is_a_plain_503() {
    let a = Backend::start("a");
    let lb = Setup::default().backend(&a, "disabled = true").start();
    let response = Client::get(lb.address(), "/").unwrap();
    assert_eq!((response.status(), response.header("retry-after")), (503, None));
    assert_eq!(a.request_count(), 0);
}

#[test]
fn half_open_a_bounded_number_of_probes_is_under_way() {
    const PROBES: usize = 2;
    let gate = Gate::new();
    let ((bad, fails), good) = (failing("bad", &gate), Backend::start("good"));
    let pool = r#"
algorithm = "round-robin"
[pools.main.circuit_breaker]
failure_threshold = 3
recovery_timeout = "1500ms"
success_threshold = 4
half_open_probes = 2
"#;
    let lb = Setup::new([&bad, &good]).pool(pool).top("workers = 2").admin().start();
    let watch = Stopwatch::start();
    let load = Load::new(lb.address()).connections(6).requests_each(1_000_000).start();
    eventually(SOON, "the breaker is open, and what was under way has ended", || {
        let now = standing(&lb, "bad");
        now.exclusion.as_deref() == Some("breaker-open") && now.in_flight == 0
    });
    fails.off();
    // From here on its requests are held, so that probes pile up if anything lets them.
    eventually(SOON, "probes are under way", || bad.in_flight() >= PROBES);
    let known = bad.request_count();
    let done = load.completed();
    eventually(SOON, "the load goes on elsewhere", || load.completed() >= done + 300);
    assert_eq!((bad.in_flight(), bad.request_count()), (PROBES, known));
    gate.open();
    eventually(SOON, "it has its share again", || bad.request_count() >= known + 50);
    assert_eq!(exclusion(&lb, "bad"), None);
    load.stop();
    let report = load.join();
    assert!(report.errors.is_empty(), "{report:?}");
    // Three in a row open it, five more may have been under way; and probes, where a busy machine was late to end the fault.
    let spells = usize::try_from(watch.elapsed().as_millis() / 1_500).unwrap();
    assert!((3..=3 + 5 + PROBES * spells).contains(&report.status(500)), "{report:?}");
}

/// A probe whose client leaves gives its permit back: the breaker would be half-open for ever otherwise.
#[test]
fn a_probe_whose_client_leaves_is_made_again() {
    let gate = Gate::new();
    let (bad, fails) = failing("bad", &gate);
    let pool = r#"
[pools.main.circuit_breaker]
failure_threshold = 3
recovery_timeout = "300ms"
success_threshold = 1
"#;
    let lb = Setup::new([&bad]).pool(pool).admin().start();
    open_all(&lb, &["bad"]);
    fails.off();
    let known = bad.request_count();
    let mut leaves = None;
    eventually(SOON, "a probe is under way", || {
        if bad.request_count() > known {
            return true;
        }
        let mut client = Client::connect(lb.address()).unwrap();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
        client.set_limit(Duration::from_millis(50));
        // The fallback comes at once; a probe's answer does not come.
        let _ = client.read("GET");
        leaves = Some(client);
        bad.request_count() > known
    });
    drop(leaves);
    gate.open();
    eventually(SOON, "another probe has closed it", || {
        Client::get(lb.address(), "/").unwrap().status() == 200
    });
    assert_eq!(exclusion(&lb, "bad"), None);
}
