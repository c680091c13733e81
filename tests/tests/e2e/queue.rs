//! The queue: requests wait while every backend is at its limit, in order, by priority, within bounds.

use edge_lb_tests::{SOON, Setup, metric};
use lb_testkit::{Backend, Client, EdgeLb, Gate, Load, Reply, Step, eventually};
use std::thread::JoinHandle;
use std::time::Duration;

const TRUSTED: &str = "trusted_proxies = [\"127.0.0.0/8\"]";

/// Answers when the gate opens, and tells the order in which requests came.
fn gated(id: &str) -> (Backend, Gate) {
    let gate = Gate::new();
    let held = gate.clone();
    (Backend::with(id, move |_| Reply::ok("done").after(Step::Wait(held.clone()))), gate)
}

fn waiting(lb: &EdgeLb) -> f64 {
    ["high", "normal", "low"]
        .iter()
        .map(|level| metric(lb, "edge_lb_queue_waiting", &[&format!("level=\"{level}\"")]))
        .sum()
}

/// A request on a connection of its own.
fn ask(lb: &EdgeLb, target: &str, priority: Option<&str>) -> JoinHandle<u16> {
    let (address, target) = (lb.address().clone(), target.to_owned());
    let priority = priority.map(str::to_owned);
    std::thread::spawn(move || {
        let headers: Vec<_> = priority.iter().map(|p| ("X-Priority", p.as_str())).collect();
        Client::connect(&address).unwrap().request("GET", &target, &headers, b"").unwrap().status()
    })
}

/// The same, and it waits in the queue when this returns.
fn queued(lb: &EdgeLb, target: &str, priority: Option<&str>) -> JoinHandle<u16> {
    let before = waiting(lb);
    let asked = ask(lb, target, priority);
    eventually(SOON, "it waits", || waiting(lb) == before + 1.0);
    asked
}

fn order(backend: &Backend) -> Vec<String> {
    backend.requests().iter().map(|r| r.head.target.clone()).collect()
}

#[test]
fn by_priority_and_first_come_first_served_within_one() {
    let (a, gate) = gated("a");
    let pool = "max_connections = 1\nqueuing = { priority_header = \"X-Priority\" }";
    let lb = Setup::new([&a]).top(TRUSTED).pool(pool).admin().start();
    let mut all = vec![ask(&lb, "/first", None)];
    eventually(SOON, "the backend is busy", || a.in_flight() == 1);
    for (target, priority) in
        [("/low", Some("low")), ("/n1", None), ("/n2", Some("whatever")), ("/high", Some("HIGH"))]
    {
        all.push(queued(&lb, target, priority));
    }
    gate.open();
    assert!(all.into_iter().all(|asked| asked.join().unwrap() == 200));
    assert_eq!(order(&a), ["/first", "/high", "/n1", "/n2", "/low"]);
    assert_eq!((waiting(&lb), a.in_flight_max()), (0.0, 1));
    assert_eq!(metric(&lb, "edge_lb_queue_served_total", &["level=\"normal\""]), 2.0);
}

#[test]
fn a_client_that_leaves_frees_its_place_at_once() {
    let (a, gate) = gated("a");
    let lb = Setup::new([&a]).pool("max_connections = 1\nqueuing = { max_queue_size = 1 }").admin().start();
    let first = ask(&lb, "/first", None);
    eventually(SOON, "the backend is busy", || a.in_flight() == 1);
    let mut leaves = Client::connect(lb.address()).unwrap();
    leaves.send("GET /left HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    eventually(SOON, "it waits", || waiting(&lb) == 1.0);
    let full = Client::get(lb.address(), "/full").unwrap();
    assert_eq!((full.status(), full.text().as_str()), (503, "Service busy, please try again later"));
    assert!(full.header("retry-after").unwrap().parse::<u32>().unwrap() >= 1);
    drop(leaves);
    eventually(SOON, "its place is free", || waiting(&lb) == 0.0);
    let second = queued(&lb, "/second", None);
    gate.open();
    assert_eq!((first.join().unwrap(), second.join().unwrap()), (200, 200));
    assert_eq!(order(&a), ["/first", "/second"]);
    assert_eq!(metric(&lb, "edge_lb_queue_left_total", &["level=\"normal\""]), 1.0);
    assert_eq!(metric(&lb, "edge_lb_queue_refused_total", &["level=\"normal\"", "reason=\"full\""]), 1.0);
}

#[test]
fn who_waits_too_long_gets_the_response_that_is_set() {
    let (a, gate) = gated("a");
    let response =
        "response = { status = 429, body = \"later\", headers = { Retry-After = \"7\", X-Why = \"queue\" } }";
    let pool = format!("max_connections = 1\nqueuing = {{ queue_timeout = \"50ms\", {response} }}");
    let lb = Setup::new([&a]).pool(&pool).admin().start();
    let first = ask(&lb, "/", None);
    eventually(SOON, "the backend is busy", || a.in_flight() == 1);
    let late = Client::get(lb.address(), "/late").unwrap();
    assert_eq!((late.status(), late.text().as_str()), (429, "later"));
    assert_eq!((late.header("retry-after"), late.header("x-why")), (Some("7"), Some("queue")));
    assert_eq!(metric(&lb, "edge_lb_queue_refused_total", &["reason=\"timeout\""]), 1.0);
    gate.open();
    assert_eq!(first.join().unwrap(), 200);
    assert_eq!(order(&a), ["/"], "who was refused never came");
}

#[test]
fn the_word_of_strangers_on_priority_counts_for_nothing_and_goes_no_further() {
    let (a, gate) = gated("a");
    let lb = Setup::new([&a])
        .pool("max_connections = 1\nqueuing = { priority_header = \"X-Priority\" }")
        .admin()
        .start();
    let first = ask(&lb, "/first", None);
    eventually(SOON, "the backend is busy", || a.in_flight() == 1);
    let all = [queued(&lb, "/one", Some("low")), queued(&lb, "/two", Some("high"))];
    gate.open();
    assert!(all.into_iter().chain([first]).all(|asked| asked.join().unwrap() == 200));
    assert_eq!(order(&a), ["/first", "/one", "/two"]);
    assert!(a.requests().iter().all(|r| r.head.headers.get("x-priority").is_none()));
}

#[test]
fn in_a_full_queue_the_higher_takes_the_place_of_the_lowest() {
    let (a, gate) = gated("a");
    let pool = "max_connections = 1\nqueuing = { max_queue_size = 2, priority_header = \"X-Priority\" }";
    let lb = Setup::new([&a]).top(TRUSTED).pool(pool).admin().start();
    let first = ask(&lb, "/first", None);
    eventually(SOON, "the backend is busy", || a.in_flight() == 1);
    let normal = queued(&lb, "/normal", None);
    let low = queued(&lb, "/low", Some("low"));
    let high = ask(&lb, "/high", Some("high"));
    assert_eq!(low.join().unwrap(), 503, "it gave way");
    assert_eq!(ask(&lb, "/low2", Some("low")).join().unwrap(), 503, "nobody gives way to it");
    gate.open();
    assert!([first, normal, high].into_iter().all(|asked| asked.join().unwrap() == 200));
    assert_eq!(order(&a), ["/first", "/high", "/normal"]);
}

#[test]
fn nothing_waits_for_backends_that_are_out() {
    let a = Backend::start("a");
    let lb = Setup::new([]).backend(&a, "disabled = true").pool("queuing = {}").admin().start();
    assert_eq!(Client::get(lb.address(), "/").unwrap().status(), 503);
    assert_eq!(metric(&lb, "edge_lb_queue_joined_total", &["level=\"normal\""]), 0.0);
}

/// Three times what the backends bear, for 20 s: the important half of it is served, nobody starves, the rest is refused politely.
#[test]
fn under_three_times_the_load_the_important_is_served_and_nobody_starves() {
    let slot = || Reply::ok("x").after(Step::Pause(Duration::from_millis(40)));
    let (a, b) = (Backend::with("a", move |_| slot()), Backend::with("b", move |_| slot()));
    let pool = "max_connections = 2\nload_shedding = { queue_threshold = 1000, cpu_threshold = \"none\", \
                memory_threshold = \"none\", loop_delay_threshold = \"none\" }\n\
                [pools.main.queuing]\nmax_queue_size = 40\npriority_header = \"X-Priority\"\n\
                overload = { after = \"200ms\", target = \"10ms\" }";
    let lb = Setup::new([&a, &b]).top(&format!("workers = 2\n{TRUSTED}")).pool(pool).admin().start();
    // Four places for 40 ms each: 100 requests a second at the very most.
    let level = |name: &str, connections| {
        let pace = Duration::from_millis(200);
        let load = Load::new(lb.address()).header("X-Priority", name).every(pace);
        load.connections(connections).requests_each(100).start()
    };
    let (high, normal, low) = (level("high", 10), level("normal", 20), level("low", 30));
    eventually(4 * SOON, "a quarter is over", || low.completed() >= 750);
    let memory = lb.resident_bytes();
    let (high, normal, low) = (high.join(), normal.join(), low.join());
    let grown = lb.resident_bytes().saturating_sub(memory);
    println!(
        "high {:?}\nnormal {:?}\nlow {:?}\nmemory +{grown}",
        high.statuses, normal.statuses, low.statuses
    );
    for (report, all) in [(&high, 1_000), (&normal, 2_000), (&low, 3_000)] {
        assert_eq!(report.errors, Vec::<String>::new());
        assert_eq!(report.status(200) + report.status(503), all);
        assert_eq!(report.retry_afters, report.status(503), "each refusal says when to come again");
    }
    assert!(high.status(200) >= 990, "{:?}", high.statuses);
    let served = high.status(200) + normal.status(200) + low.status(200);
    assert!(low.status(200) * 21 * 2 >= served, "half of its weight's share at least: {}", low.status(200));
    assert!(normal.status(200) > low.status(200));
    assert!(a.in_flight_max() <= 2 && b.in_flight_max() <= 2);
    assert!(grown < 8 << 20, "{grown} bytes");
    Load::new(lb.address()).requests_each(20).run_to_end().assert_all_ok(20);
    assert_eq!(waiting(&lb), 0.0);
}
