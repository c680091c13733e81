//! The commands that ask and steer a running edge-lb, by its admin API.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Backend, Client, EdgeLb, Finished, Gate, Reply, Step, eventually};
use std::thread;

fn ask(lb: &EdgeLb, line: &[&str]) -> Finished {
    let admin = lb.admin().to_string();
    EdgeLb::command(&[line, &["--admin", &admin]].concat(), SOON)
}

fn said(lb: &EdgeLb, line: &[&str], code: i32) -> String {
    let done = ask(lb, line);
    assert_eq!(done.code, Some(code), "{line:?}: {}{}", done.stdout, done.stderr);
    done.stdout + &done.stderr
}

fn get(lb: &EdgeLb) -> (u16, String) {
    let response = Client::get(lb.address(), "/").unwrap();
    (response.status(), response.text())
}

#[test]
fn a_breaker_is_forced_seen_and_let_go() {
    let backends = ["a", "b"].map(Backend::start);
    let fallback = "fallback_response = { body = \"closed for today\", headers = { Retry-After = \"9\" } }";
    let lb = Setup::new(&backends).pool(&format!("circuit_breaker = {{ {fallback} }}")).admin().start();
    assert_eq!(said(&lb, &["breaker", "main", "a", "open"], 0), "a: breaker open, held by hand\n");
    for _ in 0..10 {
        assert_eq!(get(&lb), (200, "b".to_owned()));
    }
    let status = said(&lb, &["status"], 0);
    let of =
        |id: &str| status.lines().find(|l| l.trim_start().starts_with(id)).unwrap_or_default().to_owned();
    assert!(of("a ").ends_with("breaker-open: held by hand"), "{status}");
    assert!(of("b ").ends_with("ok"), "{status}");
    let explained = said(&lb, &["explain", "/x?y=1", "--header", "A: b"], 0);
    assert!(explained.contains("excluded: breaker-open") && explained.contains("→ b"), "{explained}");

    said(&lb, &["breaker", "main", "b", "open"], 0);
    let response = Client::get(lb.address(), "/").unwrap();
    assert_eq!((response.status(), response.text().as_str()), (503, "closed for today"));
    assert_eq!(response.header("retry-after"), Some("9"));
    assert!(said(&lb, &["status"], 1).contains("no backend is usable"));
    assert!(said(&lb, &["explain", "/"], 0).contains("2 breaker-open"));

    for id in ["a", "b"] {
        assert_eq!(said(&lb, &["breaker", "main", id, "auto"], 0), format!("{id}: breaker closed\n"));
    }
    assert_eq!(get(&lb).0, 200);
    let json: serde_json::Value = serde_json::from_str(&said(&lb, &["status", "main", "--json"], 0)).unwrap();
    assert_eq!(json[0]["backends"][0]["breaker"]["state"], "closed");
}

#[test]
fn a_drain_waits_for_a_request_in_flight() {
    let gate = Gate::new();
    let held = gate.clone();
    let slow = Backend::with("slow", move |_| Reply::ok("slow").after(Step::Wait(held.clone())));
    let other = Backend::start("other");
    let lb = Setup::new([&slow, &other]).pool("algorithm = \"round-robin\"").admin().start();
    thread::scope(|scope| {
        let (first, second) = (scope.spawn(|| get(&lb)), scope.spawn(|| get(&lb)));
        eventually(SOON, "a request is in flight", || slow.in_flight() == 1);
        let waits = said(&lb, &["backend", "drain", "main", "slow", "--grace", "50ms"], 1);
        assert_eq!(waits, "slow: drains on; 1 requests are still in flight\n");
        for _ in 0..5 {
            assert_eq!(get(&lb), (200, "other".to_owned()));
        }
        gate.open();
        let mut answers = [first.join().unwrap().1, second.join().unwrap().1];
        answers.sort();
        assert_eq!(answers, ["other", "slow"], "what was in flight has ended well");
    });
    assert!(said(&lb, &["backend", "drain", "main", "slow"], 0).contains("drained"));
    assert_eq!(said(&lb, &["backend", "undrain", "main", "slow"], 0), "slow: takes requests again\n");
    let before = slow.request_count();
    (0..2).for_each(|_| assert_eq!(get(&lb).0, 200));
    assert_eq!(slow.request_count(), before + 1);
}

#[test]
fn a_check_is_made_on_demand() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).pool("health_check = { type = \"tcp\", interval = \"1h\" }").admin().start();
    assert_eq!(said(&lb, &["backend", "check", "main", "a"], 0), "a: the check passed\n");
    a.kill();
    let failed = said(&lb, &["backend", "check", "main", "a"], 1);
    assert!(failed.starts_with("a: the check failed: cannot connect"), "{failed}");
}

#[test]
fn mistakes_say_what_is_wrong() {
    let a = Backend::start("a");
    let lb = Setup::new([&a]).admin().start();
    for (line, says) in [
        (&["breaker", "main", "a", "open"][..], "has no circuit breakers"),
        (&["breaker", "web", "a", "open"], "there is no pool \"web\""),
        (&["backend", "check", "main", "b"], "pool \"main\" has no backend \"b\""),
        (&["backend", "drain", "main", "a", "--grace", "soon"], "grace = \"soon\""),
        (&["explain", "/", "--pool", "web"], "there is no pool \"web\""),
    ] {
        let answer = said(&lb, line, 1);
        assert!(answer.starts_with("error: ") && answer.contains(says), "{line:?}: {answer}");
    }
    let nobody = EdgeLb::command(&["status", "--admin", "127.0.0.1:1"], SOON);
    assert_eq!(nobody.code, Some(1));
    assert!(nobody.stderr.contains("no answer from the admin API at 127.0.0.1:1"), "{}", nobody.stderr);
}
