//! The library in a program of one's own: three backends, one of them at its limit, picks, retries, metrics.
//!
//! ```text
//! cargo run -p lb-balancer --example balance
//! ```

use lb_balancer::{Algorithm, HealthCheck, LoadBalancer, SelectOptions};
use lb_types::{Backend, FailureKind, HealthEvent, Nanos, Outcome, RequestInfo};
use std::error::Error;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    // Two that are up, and one that nobody listens for.
    let up = [std::net::TcpListener::bind("127.0.0.1:0")?, std::net::TcpListener::bind("127.0.0.1:0")?];
    let lb = LoadBalancer::builder()
        .name("demo")
        .backend(Backend::new("a", format!("http://{}", up[0].local_addr()?).parse()?).weight(2))
        .backend(Backend::new("b", format!("http://{}", up[1].local_addr()?).parse()?))
        .backend(Backend::new("down", "http://127.0.0.1:9".parse()?))
        .algorithm(Algorithm::WeightedRoundRobin)
        .health_check(HealthCheck::tcp().interval(Duration::from_millis(200)))
        .build()?;
    lb.on_event(|event| println!("{event:?}"));
    let mut events = lb.events();
    let running = lb.start()?;
    while !matches!(events.recv().await?, HealthEvent::BackendUnhealthy { id, .. } if id == "down") {}

    for n in 0..6 {
        let request = RequestInfo { path: "/hello", ..RequestInfo::default() };
        let mut selection = lb.selection(&request, &SelectOptions::default());
        let lease = lb.acquire(&mut selection)?;
        println!("request {n} → {}", lease.backend().id());
        if n == 3 {
            // This one failed: the retry goes to another backend.
            selection.tried(lease.backend());
            lease.complete(Outcome::Failure { kind: FailureKind::Reset, after: Nanos::from_millis(1) });
            let lease = lb.acquire(&mut selection)?;
            println!("   again → {}", lease.backend().id());
            lease.complete(Outcome::Success { ttfb: Nanos::from_millis(2) });
        } else {
            lease.complete(Outcome::Success { ttfb: Nanos::from_millis(2) });
        }
    }
    println!("{}", lb.explain(&RequestInfo::default(), &SelectOptions::default()));
    let m = lb.metrics();
    println!("{} requests, {} of {} backends healthy", m.requests, m.healthy_backends, m.total_backends);
    running.shutdown().await;
    Ok(())
}
