//! Open breakers: what clients get when nobody may be asked, and how few probes find out that a backend is well again.

use crate::standing::exclusion;
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

const FALLBACK: &str = r#"
algorithm = "round-robin"
[pools.main.circuit_breaker]
failure_threshold = 3
recovery_timeout = "3s"
success_threshold = 2
[pools.main.circuit_breaker.fallback_response]
status = 503
body = "{\"sorry\": true}"
headers = { Retry-After = "2", Content-Type = "application/json", X-Fallback = "yes" }
"#;

/// One request after the other until the breakers of all backends are open.
fn open_all(lb: &EdgeLb, ids: &[&str]) {
    let mut client = Client::connect(lb.address()).unwrap();
    eventually(SOON, "the breakers are open", || {
        client.request("GET", "/", &[], b"").unwrap();
        ids.iter().all(|id| exclusion(lb, id).as_deref() == Some("breaker-open"))
    });
}

#[test]
fn when_only_open_breakers_are_left_the_fallback_response_is_given() {
    let gate = opened();
    let ((a, a_fails), (b, b_fails)) = (failing("a", &gate), failing("b", &gate));
    let lb = Setup::new([&a, &b]).pool(FALLBACK).admin().start();
    open_all(&lb, &["a", "b"]);
    let asked = a.request_count() + b.request_count();
    assert_eq!(asked, 6, "three failures each");

    let mut client = Client::connect(lb.address()).unwrap();
    let mut given = 0;
    for method in ["GET", "HEAD", "POST", "DELETE"] {
        let response = client.request(method, "/", &[], b"").unwrap();
        // The bodies of HEAD responses are not sent, and their length is.
        let body = if method == "HEAD" { "" } else { "{\"sorry\": true}" };
        assert_eq!((response.status(), response.text().as_str()), (503, body), "{method}");
        for (name, value) in [
            ("retry-after", "2"),
            ("content-type", "application/json"),
            ("x-fallback", "yes"),
            ("content-length", "15"),
        ] {
            assert_eq!(response.header(name), Some(value), "{method} {name}");
        }
        assert!(!response.head.closes(), "the connection is kept");
        given += 1;
    }
    // A busy machine may have come so far that probes are due: their failures count as requests.
    let probes = a.request_count() + b.request_count() - asked;
    assert_eq!(probes, 0, "requests reached backends whose breakers are open");
    assert_eq!(metric(&lb, "edge_lb_http_fallbacks_total", &[]) as u64, given);
    assert_eq!(metric(&lb, "edge_lb_backend_excluded", &["breaker-open"]) as u64, 2);

    a_fails.off();
    b_fails.off();
    eventually(SOON, "probes have closed both", || {
        client.request("GET", "/", &[], b"").unwrap();
        ["a", "b"].iter().all(|id| exclusion(&lb, id).is_none()) && a.in_flight() + b.in_flight() == 0
    });
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
recovery_timeout = "500ms"
success_threshold = 4
half_open_probes = 2
"#;
    let lb = Setup::new([&bad, &good]).pool(pool).top("workers = 2").admin().start();
    let watch = Stopwatch::start();
    let load = Load::new(lb.address()).connections(6).requests_each(1_000_000).start();
    eventually(SOON, "the breaker is open", || exclusion(&lb, "bad").as_deref() == Some("breaker-open"));
    fails.off();
    // From here on its requests are held, so that probes pile up if anything lets them.
    eventually(SOON, "probes are under way", || bad.in_flight() == PROBES);
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
    let spells = usize::try_from(watch.elapsed().as_millis() / 500).unwrap();
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
