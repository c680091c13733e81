//! Requests are spread over the backends as the algorithm says.

use edge_lb_tests::{SOON, Setup};
use lb_testkit::{Backend, Client, EdgeLb, Gate, Load, Reply, Step, eventually};
use std::process::Command;

fn three() -> [Backend; 3] {
    ["a", "b", "c"].map(Backend::start)
}

fn order(lb: &EdgeLb, count: usize) -> String {
    let mut client = Client::connect(lb.address()).unwrap();
    (0..count).map(|_| client.request("GET", "/", &[], b"").unwrap().text()).collect()
}

#[test]
fn weights_5_1_1_give_a_a_b_a_c_a_a() {
    let [a, b, c] = three();
    let pool = Setup::new([]).pool("algorithm = \"weighted-round-robin\"");
    let lb = pool.backend(&a, "weight = 5").backend(&b, "").backend(&c, "").start();
    assert_eq!(order(&lb, 14), "aabacaaaabacaa");
}

#[test]
fn round_robin_goes_round() {
    let backends = three();
    let lb = Setup::new(&backends).pool("algorithm = \"round-robin\"").start();
    assert_eq!(order(&lb, 9), "abcabcabc");
}

#[test]
fn weights_hold_over_many_connections_and_workers() {
    let [a, b, c] = three();
    let pool = Setup::new([]).top("workers = 2");
    let lb = pool.backend(&a, "weight = 5").backend(&b, "weight = 3").backend(&c, "weight = 2").start();
    let report = Load::new(lb.address()).connections(8).requests_each(100).run_to_end();
    report.assert_all_ok(800);
    // The order is one for the whole process: it is exact however the requests come.
    assert_eq!((report.from("a"), report.from("b"), report.from("c")), (400, 240, 160));
}

#[test]
fn weight_0_and_disabled_get_nothing_and_a_backup_waits() {
    let [a, b, c] = three();
    let d = Backend::start("d");
    let pool = Setup::new([&a]).backend(&b, "weight = 0").backend(&c, "disabled = true");
    let lb = pool.backend(&d, "backup = true").start();
    assert_eq!(order(&lb, 6), "aaaaaa");
    assert_eq!([&b, &c, &d].map(Backend::connection_count), [0, 0, 0]);
}

#[test]
fn least_connections_avoids_the_busier() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |_| Reply::ok("a").after(Step::Wait(held.clone())));
    let b = Backend::start("b");
    let lb = Setup::new([&a, &b]).pool("algorithm = \"least-connections\"").start();
    let slow = Load::new(lb.address()).connections(1).requests_each(2).start();
    eventually(SOON, "a request hangs at a", || a.in_flight() == 1);
    assert_eq!(order(&lb, 20), "b".repeat(20));
    gate.open();
    slow.join().assert_all_ok(2);
}

#[test]
fn a_header_key_keeps_its_backend() {
    for algorithm in ["maglev", "ring-hash", "rendezvous"] {
        let backends = three();
        let pool = format!("algorithm = {{ name = \"{algorithm}\", key = \"header:X-User\" }}");
        let lb = Setup::new(&backends).pool(&pool).start();
        let mut client = Client::connect(lb.address()).unwrap();
        let mut seen = std::collections::BTreeSet::new();
        for user in 0..30 {
            let user = user.to_string();
            let mut ask = || client.request("GET", "/", &[("X-User", &user)], b"").unwrap().text();
            let first = ask();
            assert_eq!(first, ask(), "{algorithm}");
            seen.insert(first);
        }
        assert_eq!(seen.len(), 3, "{algorithm}: 30 users on 3 backends");
    }
}

#[test]
fn every_algorithm_serves_from_the_command_line() {
    let backends = three();
    for algorithm in [
        "round-robin",
        "weighted-round-robin",
        "least-connections",
        "random",
        "p2c",
        "ip-hash",
        "least-response-time",
        "peak-ewma",
        "maglev",
        "ring-hash",
        "rendezvous",
        "adaptive",
    ] {
        let run = EdgeLb::options().arg("--algorithm").arg(algorithm).arg("--listen").arg("127.0.0.1:0");
        let lb = backends.iter().fold(run, |run, b| run.arg("--to").arg(b.url())).start();
        Load::new(lb.address()).connections(2).requests_each(10).run_to_end().assert_all_ok(20);
    }
}

#[test]
fn curl_is_served() {
    let backends = three();
    let run = EdgeLb::options().arg("--listen").arg("127.0.0.1:0").arg("--workers").arg("1");
    let lb = backends.iter().fold(run, |run, b| run.arg("--to").arg(b.url())).start();
    let url = lb.address().url();
    let mut curl = Command::new("curl");
    let said = curl.args(["--silent", "--show-error", "--fail", "--max-time", "8"]).args([&url; 6]).output();
    let said = said.expect("curl is installed: `cargo xtask test` sees to it");
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(String::from_utf8_lossy(&said.stdout), "abcabc");
}
