//! Backends say how busy they are (ORCA), and whether they want traffic (an agent's header): the proxy heeds it, and clients do not
//! see it.

use edge_lb_tests::{SOON, Setup, admin};
use lb_testkit::{Answer, Backend, BodyKind, Client, EdgeLb, Reply, Step, Stopwatch, eventually};
use std::collections::BTreeMap;
use std::time::Duration;

/// All backends take so long, beside which what a busy machine adds is little.
const SERVICE: Duration = Duration::from_millis(5);

/// Reports count at once, and a slow answer is forgotten soon: such a machine is slow by itself now and then.
const ADAPTIVE: &str = r#"algorithm = { name = "adaptive", blackout_period = "0s", decay = "100ms" }"#;

fn backend(id: &'static str, answer: impl Fn(Answer) -> Answer + Send + Sync + 'static) -> Backend {
    Backend::with(id, move |_| Reply::answer(answer(Answer::ok(id))).after(Step::Pause(SERVICE)))
}

/// Who served how many of `n` requests, one after the other.
fn counts(lb: &EdgeLb, n: usize) -> BTreeMap<String, usize> {
    let mut client = Client::connect(lb.address()).unwrap();
    let mut counts = BTreeMap::new();
    for _ in 0..n {
        let response = client.request("GET", "/", &[], b"").unwrap();
        for name in ["endpoint-load-metrics", "endpoint-load-metrics-bin", "x-agent"] {
            assert!(response.header(name).is_none(), "the client sees {name}: {response:?}");
        }
        *counts.entry(response.text()).or_default() += 1;
    }
    counts
}

/// Requests until the pool has counted who reports, which it does once a second.
fn warm_up(lb: &EdgeLb) {
    let from = Stopwatch::start();
    while from.elapsed() < Duration::from_millis(1_500) {
        counts(lb, 10);
    }
}

fn in_rotation(lb: &EdgeLb, n: usize) -> bool {
    let order: Vec<_> = (0..2 * n).map(|_| Client::get(lb.address(), "/").unwrap().text()).collect();
    let all: std::collections::BTreeSet<_> = order[..n].iter().collect();
    all.len() == n && order[..n] == order[n..]
}

#[test]
fn the_less_utilised_gets_more() {
    // Weights 1 000 : 250 : 250.
    let a =
        backend("a", |r| r.header("endpoint-load-metrics", "TEXT cpu_utilization=0.1, rps_fractional=100"));
    let b = backend("b", |r| {
        r.header(
            "Endpoint-Load-Metrics",
            r#"JSON {"cpu_utilization": 0.9, "applicationUtilization": 0.4, "rpsFractional": 100}"#,
        )
    });
    let c = backend("c", |r| {
        let r = r.kind(BodyKind::Chunked(1_000)).header("Trailer", "endpoint-load-metrics");
        r.trailer("endpoint-load-metrics", "cpu_utilization=0.4,rps_fractional=100")
    });
    let lb = Setup::new([&a, &b, &c]).pool(ADAPTIVE).start();
    warm_up(&lb);
    let got = counts(&lb, 400);
    let of = |id: &str| got.get(id).copied().unwrap_or(0);
    // Two thirds, a sixth and a sixth by the formula.
    assert!((180..=360).contains(&of("a")), "{got:?}");
    assert!(of("a") > 2 * of("b") && of("a") > 2 * of("c"), "{got:?}");
    assert!(of("b") >= 12 && of("c") >= 12, "{got:?}");
}

/// Nobody asked for the end of a body after its trailers: the response counted as cancelled, and its connection was not used again.
#[test]
fn a_response_with_trailers_ends_well() {
    let a = Backend::with("a", |_| {
        let answer = Answer::ok("a").kind(BodyKind::Chunked(1_000)).header("Trailer", "X-Sum");
        Reply::answer(answer.trailer("X-Sum", "1"))
    });
    let lb = Setup::new([&a]).admin().start();
    assert_eq!(counts(&lb, 10)["a"], 10);
    assert_eq!(a.connection_count(), 1);
    let metrics = admin(&lb, "GET", "/metrics").text();
    let outcome = |line: &&str| line.contains("outcome=\"success\"") && line.ends_with(" 10");
    assert!(metrics.lines().any(|l| outcome(&l)), "{metrics}");
}

#[test]
fn the_binary_form_counts_too() {
    // cpu_utilization 0.1 and 0.4, rps_fractional 100; packed by Python.
    let a = backend("a", |r| r.header("endpoint-load-metrics-bin", "CZqZmZmZmbk/MQAAAAAAAFlA"));
    let b = backend("b", |r| r.header("endpoint-load-metrics", "BIN CZqZmZmZmdk/MQAAAAAAAFlA"));
    let lb = Setup::new([&a, &b]).pool(ADAPTIVE).start();
    warm_up(&lb);
    let got = counts(&lb, 300);
    assert!(got["a"] > 2 * got["b"] && got["b"] >= 10, "four to one by the formula: {got:?}");
}

#[test]
fn fewer_than_two_reports_are_round_robin() {
    let silent = ["a", "b", "c"].map(|id| backend(id, |r| r));
    let lb = Setup::new(&silent).pool(ADAPTIVE).start();
    assert!(in_rotation(&lb, 3));
    let one = backend("one", |r| r.header("endpoint-load-metrics", "cpu_utilization=0.1,rps_fractional=100"));
    let lb = Setup::new([&silent[0], &silent[1], &one]).pool(ADAPTIVE).start();
    warm_up(&lb);
    assert!(in_rotation(&lb, 3));
}

#[test]
fn malformed_reports_are_counted_and_ignored() {
    let a = backend("a", |r| r.header("endpoint-load-metrics", "cpu_utilization=-1,rps_fractional=100"));
    let b = backend("b", |r| {
        r.header("endpoint-load-metrics", "eps=1")
            .header("endpoint-load-metrics", "eps=2")
            .header("X-Agent", "hello")
    });
    let pool = format!("{ADAPTIVE}\nagent_header = \"X-Agent\"");
    let lb = Setup::new([&a, &b]).pool(&pool).admin().start();
    let got = counts(&lb, 10);
    assert_eq!((got["a"], got["b"]), (5, 5), "round robin: nobody reports");
    let metrics = admin(&lb, "GET", "/metrics").text();
    for line in ["edge_lb_load_reports_malformed_total 10", "edge_lb_agent_reports_malformed_total 5"] {
        assert!(metrics.lines().any(|l| l == line), "{line}: {metrics}");
    }
}

#[test]
fn reports_pass_where_nobody_heeds_them() {
    let a = backend("a", |r| r.header("endpoint-load-metrics", "eps=1").header("X-Agent", "drain"));
    let lb = Setup::new([&a]).pool("algorithm = \"p2c\"").start();
    let response = Client::get(lb.address(), "/").unwrap();
    assert_eq!(
        (response.header("endpoint-load-metrics"), response.header("x-agent")),
        (Some("eps=1"), Some("drain"))
    );
}

#[test]
fn an_agents_header_drains_its_backend() {
    let a = backend("a", |r| r.header("X-Agent", "drain"));
    let b = backend("b", |r| r.header("X-Agent", "ready"));
    let lb = Setup::new([&a, &b]).pool("agent_header = \"X-Agent\"").start();
    let first = counts(&lb, 2);
    assert_eq!(first.len(), 2, "{first:?}");
    assert_eq!(counts(&lb, 20), BTreeMap::from([("b".to_owned(), 20)]));
}

#[test]
fn an_agents_header_weighs_its_backend() {
    let a = backend("a", |r| r.header("X-Agent", "up 25%"));
    let b = backend("b", |r| r);
    let lb = Setup::new([&a, &b]).pool("agent_header = \"X-Agent\"").start();
    counts(&lb, 2);
    let got = counts(&lb, 50);
    assert_eq!((got["a"], got["b"]), (10, 40), "one to four");
}

/// What a backend says later holds: here its requests in flight let it speak after it has drained itself.
#[test]
fn a_drained_backend_may_come_back_with_an_answer_that_was_under_way() {
    let gate = lb_testkit::Gate::new();
    let wait = gate.clone();
    let a = Backend::with("a", move |r| match &*r.head.target {
        "/slow" => Reply::answer(Answer::ok("a").header("X-Agent", "ready")).after(Step::Wait(wait.clone())),
        _ => Reply::answer(Answer::ok("a").header("X-Agent", "drain")),
    });
    let b = backend("b", |r| r);
    let lb = Setup::new([&a, &b]).pool("agent_header = \"X-Agent\"\nalgorithm = \"round-robin\"").start();
    let mut slow = Client::connect(lb.address()).unwrap();
    slow.send("GET /slow HTTP/1.1\r\nHost: test\r\n\r\n").unwrap();
    eventually(SOON, "a has the slow one", || a.in_flight() == 1);
    eventually(SOON, "a drains", || !counts(&lb, 2).contains_key("a"));
    gate.open();
    assert_eq!(slow.read("GET").unwrap().text(), "a");
    let got = counts(&lb, 2);
    assert_eq!(got.get("a"), Some(&1), "ready again, until its next answer: {got:?}");
}

/// A backend that is going down says so with the answers that are tried again elsewhere.
#[test]
fn a_response_that_is_not_handed_on_is_heard_too() {
    let a = Backend::with("a", |_| Reply::answer(Answer::new(503).header("X-Agent", "drain")));
    let b = backend("b", |r| r);
    let pool = "agent_header = \"X-Agent\"\nretry_policy = { retry_on = [503] }";
    let lb = Setup::new([&a, &b]).pool(pool).start();
    assert_eq!(counts(&lb, 10)["b"], 10);
    assert_eq!(a.request_count(), 1, "it was drained by its first answer");
}
