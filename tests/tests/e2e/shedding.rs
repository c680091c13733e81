//! Load shedding: requests are refused early while the machine or the pool is overloaded.

use edge_lb_tests::{SOON, Setup, admin, metric};
use lb_testkit::{Backend, Client, EdgeLb, Gate, Load, Reply, Step, eventually};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

const NONE: &str = "memory_threshold = \"none\", loop_delay_threshold = \"none\"";

/// Keeps all CPUs busy until it is dropped.
struct Hog(Arc<AtomicBool>, Vec<std::thread::JoinHandle<u64>>);

impl Hog {
    fn start() -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let threads = std::thread::available_parallelism().map_or(2, Into::into);
        let spin = |stop: Arc<AtomicBool>| {
            move || {
                let mut n = 0u64;
                while !stop.load(Relaxed) {
                    n = std::hint::black_box(n.wrapping_mul(31).wrapping_add(7));
                }
                n
            }
        };
        let threads = (0..threads).map(|_| std::thread::spawn(spin(stop.clone()))).collect();
        Self(stop, threads)
    }
}

impl Drop for Hog {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
        for thread in self.1.drain(..) {
            let _ = thread.join();
        }
    }
}

fn is_shed(lb: &EdgeLb) -> bool {
    let response = Client::get(lb.address(), "/").unwrap();
    if response.status() == 200 {
        return false;
    }
    assert_eq!(response.status(), 503);
    assert_eq!(response.text(), "Service overloaded, please try again later");
    assert_eq!(response.header("retry-after"), Some("30"));
    true
}

#[test]
fn a_hog_that_takes_the_cpu_makes_requests_be_refused_and_the_admin_never() {
    let a = Backend::start("a");
    let pool = format!("load_shedding = {{ cpu_threshold = 60, {NONE} }}");
    let lb = Setup::new([&a]).pool(&pool).admin().start();
    let hog = Hog::start();
    eventually(3 * SOON, "load is shed", || is_shed(&lb));
    assert_eq!(admin(&lb, "GET", "/healthz").status(), 200);
    assert_eq!(admin(&lb, "GET", "/api/v1/pools/main").status(), 200);
    assert!(metric(&lb, "edge_lb_shed_pressure", &[]) > 0.0);
    assert!(metric(&lb, "edge_lb_shed_total", &["level=\"normal\""]) >= 1.0);
    drop(hog);
}

#[test]
fn a_long_queue_makes_requests_be_refused_until_it_is_short_again() {
    let gate = Gate::new();
    let held = gate.clone();
    let a = Backend::with("a", move |_| Reply::ok("a").after(Step::Wait(held.clone())));
    let pool = format!(
        "max_connections = 1\nqueuing = {{ overload = {{ enabled = false }} }}\n\
         load_shedding = {{ queue_threshold = 4, cpu_threshold = \"none\", {NONE}, \
         shed_response = {{ status = 529, body = \"full\", headers = {{ X-Why = \"shed\" }} }} }}"
    );
    let lb = Setup::new([&a]).pool(&pool).admin().start();
    let load = Load::new(lb.address()).connections(8).start();
    // One is served and seven wait.
    eventually(SOON, "requests are refused", || {
        let mut client = Client::connect(lb.address()).unwrap();
        client.set_limit(std::time::Duration::from_millis(300));
        client
            .request("GET", "/", &[], b"")
            .is_ok_and(|r| (r.status(), r.text().as_str(), r.header("x-why")) == (529, "full", Some("shed")))
    });
    gate.open();
    load.join().assert_all_ok(8);
    eventually(SOON, "all come in again", || metric(&lb, "edge_lb_shed_pressure", &[]) == 0.0);
    Load::new(lb.address()).requests_each(20).run_to_end().assert_all_ok(20);
}
