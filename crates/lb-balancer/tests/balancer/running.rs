//! The background work.

use crate::support::{TokioClock, backend, builder, until};
use lb_balancer::core::SlowStart;
use lb_balancer::{Algorithm, LoadBalancer, PoolSettings, StartError};
use lb_types::HealthSink;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

fn ramping() -> LoadBalancer {
    let mut settings = PoolSettings::new(Algorithm::WeightedRoundRobin);
    settings.slow_start = Some(SlowStart { window: Duration::from_secs(10), ..SlowStart::default() });
    builder(&["a", "b"]).settings(settings).clock(Arc::new(TokioClock::new())).build().unwrap()
}

fn share(lb: &LoadBalancer, id: &str) -> f64 {
    let snapshot = lb.pool().snapshot();
    let all: u32 = snapshot.members().iter().map(lb_balancer::core::Member::weight).sum();
    f64::from(snapshot.get(&id.into()).unwrap().weight()) / f64::from(all)
}

#[tokio::test(start_paused = true)]
async fn ramps_move_and_end_by_themselves() {
    let lb = ramping();
    let running = lb.start().unwrap();
    tokio::task::yield_now().await;
    assert_eq!(share(&lb, "b"), 0.5, "nobody ramps at process start");
    lb.pool().set_healthy(&"b".into(), false);
    lb.pool().set_healthy(&"b".into(), true);
    let recovered = Instant::now();
    assert!(share(&lb, "b") < 0.1);
    until("half way", || share(&lb, "b") > 0.33).await;
    let half = recovered.elapsed().as_secs_f64();
    assert!((4.5..5.5).contains(&half), "{half}");
    // One that comes while the other ramps has its own ramp.
    lb.add_backend(backend("c")).unwrap();
    until("b is done", || share(&lb, "b") == share(&lb, "a")).await;
    until("c is done", || (share(&lb, "c") - 1.0 / 3.0).abs() < 1e-9).await;
    let ended = recovered.elapsed().as_secs_f64();
    assert!((14.5..16.5).contains(&ended), "{ended}");

    // At rest nothing is published any more.
    let generation = lb.pool().snapshot().generation();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(lb.pool().snapshot().generation() <= generation + 1);
    running.shutdown().await;
}

#[tokio::test(start_paused = true)]
async fn started_once_at_a_time() {
    let lb = ramping();
    let running = lb.start().unwrap();
    assert_eq!(lb.clone().start().map(|_| ()).unwrap_err(), StartError::AlreadyRunning);
    running.shutdown().await;
    let again = lb.start().unwrap();
    drop(again);
    lb.pool().set_healthy(&"b".into(), false);
    lb.pool().set_healthy(&"b".into(), true);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert!(share(&lb, "b") < 0.1, "nobody moves ramps after the guard is gone");
}
