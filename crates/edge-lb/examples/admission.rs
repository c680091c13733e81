//! One backend with room for two requests, and twenty that want to come in: a rate limit, a queue by priority, and refusals that say when
//! to come again.
//!
//! `cargo run -p edge-lb --features admission --example admission`

use edge_lb::admission::queue::QueueSettings;
use edge_lb::admission::rate_limit::{RateLimit, RateLimiter};
use edge_lb::prelude::*;
use edge_lb::types::{Clock, SystemClock};
use edge_lb::{AdmissionError, Priority};
use std::sync::Arc;
use std::time::Duration;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let lb = LoadBalancer::builder()
        .backend(Backend::new("a", "http://127.0.0.1:9001".parse()?).max_connections(2))
        .queuing(QueueSettings::new().max_size(8).timeout(Duration::from_secs(1)))
        .build()?;
    // 15 requests at once from one client, and one a second thereafter.
    let limiter = RateLimiter::new(RateLimit::new(1, Duration::from_secs(1)).burst(14), 42)?;
    let (clock, client) = (Arc::new(SystemClock::process()), "192.0.2.7".parse()?);
    let mut running = vec![];
    for n in 0..20 {
        let request = RequestInfo::from_ip(client);
        let decision = limiter.check(&request, "", clock.now());
        if !decision.allowed {
            println!("{n:2}: 429, come again in {} s", decision.retry_after_s().unwrap_or(1));
            continue;
        }
        let mut options = SelectOptions::default();
        options.priority = [Priority::LOW, Priority::NORMAL, Priority::HIGH][n % 3];
        let lease = lb.queue_request(&request, &options);
        let (clock, came) = (clock.clone(), clock.now());
        running.push(tokio::spawn(async move {
            match lease.await {
                Ok(lease) => {
                    println!(
                        "{n:2}: {:?} served after {} ms",
                        options.priority,
                        (clock.now() - came).as_millis()
                    );
                    tokio::time::sleep(Duration::from_millis(20)).await; // tidy-allow: sleep: the exchange
                    lease.complete(Outcome::Success { ttfb: Nanos::from_millis(20) });
                }
                Err(AdmissionError::Refused(why)) => println!("{n:2}: 503, {why}"),
                Err(other) => println!("{n:2}: 503, {other}"),
            }
        }));
        tokio::task::yield_now().await;
    }
    for task in running {
        task.await?;
    }
    println!("{:#?}", lb.queue().map(|queue| queue.stats().levels));
    Ok(())
}
