//! Circuit breakers and passive detection in a balancer: who is taken out when, who comes back, and what is told of it.

use crate::support::{TokioClock, backend, builder, ok, pick, until};
use lb_balancer::breaker::State;
use lb_balancer::{BreakerSettings, FaultEvent, LoadBalancer, OutlierDetection, SelectOptions};
use lb_types::{Exclusion, FailureKind, HealthSink, ManualClock, Nanos, Outcome, RequestInfo};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

const SEC: fn(u64) -> Duration = Duration::from_secs;

fn failure(kind: FailureKind) -> Outcome {
    Outcome::Failure { kind, after: Nanos::ZERO }
}

/// One request: `bad` ones answer 500.
fn request(lb: &LoadBalancer, bad: &[&str]) -> String {
    let lease = pick(lb);
    let id = lease.backend().id().to_string();
    let fails = bad.contains(&id.as_str());
    lease.complete(if fails { failure(FailureKind::Status(500)) } else { ok(5) });
    id
}

fn requests(lb: &LoadBalancer, n: usize, bad: &[&str]) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    (0..n).for_each(|_| *counts.entry(request(lb, bad)).or_default() += 1);
    counts
}

fn exclusion(lb: &LoadBalancer, id: &str) -> Option<Exclusion> {
    lb.pool().snapshot().get(&id.into()).unwrap().exclusion()
}

/// What was told, a line each.
fn log(lb: &LoadBalancer) -> Arc<Mutex<Vec<String>>> {
    let log: Arc<Mutex<Vec<String>>> = Arc::default();
    let lines = log.clone();
    lb.on_fault(move |event| {
        let id = event.id();
        lines.lock().unwrap().push(match event {
            FaultEvent::BreakerChanged { transition: t, .. } => format!("{id} {}: {}", t.to, t.reason),
            FaultEvent::BackendEjected(e) => format!("{id} ejected: {}", e.cause),
            FaultEvent::BackendReturned { why, .. } => format!("{id} returned: {why}"),
            _ => format!("{id} ?"),
        });
    });
    log
}

fn breaker() -> BreakerSettings {
    BreakerSettings::new().failure_threshold(3).recovery_timeout(SEC(60)).success_threshold(2)
}

fn detection() -> OutlierDetection {
    OutlierDetection::new().jitter_percent(0).max_ejection_percent(50).statistics(None, None, None)
}

/// A program without a runtime: it calls `maintain` itself.
#[test]
fn a_breaker_opens_probes_and_closes_without_a_runtime() {
    let clock = Arc::new(ManualClock::new(Nanos::from_secs(9)));
    let lb = builder(&["a", "b"]).clock(clock.clone()).circuit_breaker(breaker()).build().unwrap();
    let log = log(&lb);
    let of_b = lb.circuit_breaker_for(&"b".into()).unwrap();
    assert_eq!(requests(&lb, 6, &["b"])["b"], 3);
    assert_eq!((of_b.state(), lb.circuit_breaker().unwrap().state()), (State::Open, State::Open));
    assert_eq!(requests(&lb, 10, &["b"])["a"], 10);
    assert_eq!(lb.maintain(), Some(Nanos::from_secs(69)), "due when probes may begin");
    clock.advance(SEC(60));
    lb.maintain();
    assert_eq!(of_b.state(), State::HalfOpen);
    assert!(requests(&lb, 8, &[])["b"] >= 2);
    assert_eq!(of_b.state(), State::Closed);
    lb.maintain();
    let told = log.lock().unwrap().join("; ");
    assert_eq!(told, "b open: failure-threshold; b half-open: recovery-timeout; b closed: probes-succeeded");
}

#[test]
fn a_breaker_is_forced_by_hand_and_the_reason_is_seen_everywhere() {
    let lb = builder(&["a", "b"]).circuit_breaker(breaker()).build().unwrap();
    let of_a = lb.circuit_breaker_for(&"a".into()).unwrap();
    of_a.open();
    assert_eq!(exclusion(&lb, "a"), Some(Exclusion::BreakerOpen));
    assert_eq!(lb.metrics().backends[0].exclusion, Some(Exclusion::BreakerOpen));
    let said = lb.explain(&RequestInfo::default(), &SelectOptions::default());
    assert_eq!(said.candidates[0].excluded, Some(Exclusion::BreakerOpen));
    assert_eq!(requests(&lb, 9, &[])["b"], 9);
    assert!(of_a.status().forced);
    lb.circuit_breaker().unwrap().open();
    let error = lb.select_backend(&RequestInfo::default(), &SelectOptions::default()).unwrap_err();
    assert!(error.is_breaker_open(), "{error}");
    of_a.close();
    assert_eq!(requests(&lb, 50, &["a"])["a"], 50, "held closed whatever fails");
    lb.circuit_breaker().unwrap().reset();
    assert_eq!(lb.circuit_breaker().unwrap().state(), State::Closed);
    assert_eq!(requests(&lb, 10, &[]).len(), 2);
    assert!(lb.circuit_breaker_for(&"nobody".into()).is_none());
}

#[test]
fn without_breakers_and_detection_nothing_stands_before_a_backend() {
    let lb = builder(&["a"]).build().unwrap();
    assert!(lb.circuit_breaker().is_none() && lb.circuit_breaker_for(&"a".into()).is_none());
    assert!(lb.outlier_status(&"a".into()).is_none());
    assert!(lb.pool().snapshot().get(&"a".into()).unwrap().state().guard().is_none());
    assert_eq!(requests(&lb, 100, &["a"])["a"], 100);
}

#[test]
fn a_bad_setting_is_named() {
    let error = builder(&["a"]).circuit_breaker(breaker().success_threshold(0)).build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "pool \"default\": circuit_breaker.success_threshold = 0: must be from 1 to 1000"
    );
    let error = builder(&["a"]).outlier_detection(detection().max_ejection_percent(0)).build().unwrap_err();
    assert!(
        error.to_string().starts_with("pool \"default\": outlier_detection.max_ejection_percent = 0"),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn failures_in_a_row_eject_and_the_ejection_ends_by_itself() {
    let clock = Arc::new(TokioClock::new());
    let lb = builder(&["a", "b"]).clock(clock).outlier_detection(detection()).build().unwrap();
    let log = log(&lb);
    let mut stream = lb.faults();
    let running = lb.start().unwrap();
    requests(&lb, 10, &["b"]);
    until("b is ejected", || exclusion(&lb, "b") == Some(Exclusion::Ejected)).await;
    assert_eq!(requests(&lb, 10, &["b"])["a"], 10);
    let status = lb.outlier_status(&"b".into()).unwrap();
    assert_eq!((status.times, status.ejections), (1, 1));
    let ejected_at = tokio::time::Instant::now();
    until("b is back", || exclusion(&lb, "b").is_none()).await;
    let lasted = ejected_at.elapsed();
    assert!((SEC(29)..SEC(31)).contains(&lasted), "{lasted:?}");
    // Again: twice as long.
    requests(&lb, 10, &["b"]);
    until("b is ejected again", || exclusion(&lb, "b").is_some()).await;
    let ejected_at = tokio::time::Instant::now();
    until("b is back again", || exclusion(&lb, "b").is_none()).await;
    assert!(ejected_at.elapsed() > SEC(58), "{:?}", ejected_at.elapsed());
    running.shutdown().await;
    let told = log.lock().unwrap().join("; ");
    let once = "b ejected: 5 failures in a row; b returned: expired";
    assert_eq!(told, format!("{once}; {once}"));
    assert!(matches!(stream.try_recv(), Ok(FaultEvent::BackendEjected(e)) if e.id == "b"));
}

#[tokio::test(start_paused = true)]
async fn the_last_usable_backend_is_never_ejected() {
    let clock = Arc::new(TokioClock::new());
    let lb = builder(&["a", "b", "c"])
        .clock(clock)
        .outlier_detection(detection().max_ejection_percent(100))
        .build()
        .unwrap();
    let _running = lb.start().unwrap();
    for _ in 0..20 {
        requests(&lb, 30, &["a", "b", "c"]);
        tokio::time::sleep(Duration::from_millis(10)).await; // tidy-allow: sleep: virtual time
    }
    let out = ["a", "b", "c"].iter().filter(|id| exclusion(&lb, id) == Some(Exclusion::Ejected)).count();
    assert_eq!(out, 2);
    // The one that is left dies: those that were ejected come back, through no panic.
    let left = ["a", "b", "c"].into_iter().find(|id| exclusion(&lb, id).is_none()).unwrap();
    lb.pool().set_healthy(&left.into(), false);
    assert_eq!(requests(&lb, 10, &[]).get(left), None, "at once, before anybody was told");
    until("the others are back", || {
        ["a", "b", "c"].iter().filter(|id| exclusion(&lb, id).is_none()).count() == 2
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_small_pool_is_compared_backend_with_backend() {
    let clock = Arc::new(TokioClock::new());
    let settings = OutlierDetection::new().consecutive(0, 0, 0).max_ejection_percent(50);
    let lb = builder(&["a", "b"]).clock(clock).outlier_detection(settings).build().unwrap();
    let log = log(&lb);
    let _running = lb.start().unwrap();
    // Every third request to b fails: never five in a row.
    let mut n = 0;
    for _ in 0..40 {
        for _ in 0..10 {
            let lease = pick(&lb);
            let fails = *lease.backend().id() == *"b" && {
                n += 1;
                n % 3 == 0
            };
            lease.complete(if fails { failure(FailureKind::Status(503)) } else { ok(5) });
        }
        tokio::time::sleep(SEC(1)).await; // tidy-allow: sleep: virtual time
        if exclusion(&lb, "b").is_some() {
            break;
        }
    }
    assert_eq!(exclusion(&lb, "b"), Some(Exclusion::Ejected));
    let told = log.lock().unwrap().join("; ");
    assert!(told.starts_with("b ejected: 3") && told.contains("0.0 % of the other backends'"), "{told}");
}

/// The statistics ejected a backend that had recovered, for the failures that its breaker had opened for.
#[test]
fn what_a_breaker_opened_for_is_not_held_against_a_backend_that_has_recovered() {
    let clock = Arc::new(ManualClock::new(Nanos::from_secs(9)));
    let settings = OutlierDetection::new().consecutive(0, 0, 0).max_ejection_percent(50);
    let lb = builder(&["a", "b"])
        .clock(clock.clone())
        .circuit_breaker(breaker().failure_threshold(25).recovery_timeout(SEC(1)))
        .outlier_detection(settings)
        .build()
        .unwrap();
    lb.maintain();
    assert_eq!(requests(&lb, 100, &["b"])["b"], 25);
    assert_eq!(exclusion(&lb, "b"), Some(Exclusion::BreakerOpen));
    clock.advance(SEC(1));
    lb.maintain();
    requests(&lb, 20, &[]);
    assert_eq!(lb.circuit_breaker_for(&"b".into()).unwrap().state(), State::Closed);
    lb.maintain();
    for _ in 0..7 {
        requests(&lb, 20, &[]);
        clock.advance(SEC(10));
        lb.maintain();
        assert_eq!(exclusion(&lb, "b"), None);
    }
}

#[test]
fn whoever_gets_no_traffic_anyway_is_not_ejected_as_well() {
    let lb = builder(&["a", "b"])
        .circuit_breaker(breaker().failure_threshold(5))
        .outlier_detection(detection())
        .build()
        .unwrap();
    requests(&lb, 10, &["b"]);
    lb.maintain();
    assert_eq!(exclusion(&lb, "b"), Some(Exclusion::BreakerOpen));
    assert_eq!(lb.outlier_status(&"b".into()).unwrap().ejections, 0);
}

/// Another address is another backend: nothing is held against it.
#[test]
fn a_moved_backend_starts_anew() {
    let lb = builder(&["a", "b"]).circuit_breaker(breaker()).outlier_detection(detection()).build().unwrap();
    lb.circuit_breaker_for(&"b".into()).unwrap().open();
    let mut patch = lb_types::BackendPatch::default();
    patch.url = Some(backend("elsewhere").url);
    lb.update_backend(&"b".into(), patch).unwrap();
    assert_eq!(lb.circuit_breaker_for(&"b".into()).unwrap().state(), State::Closed);
    assert_eq!(exclusion(&lb, "b"), None);
    // Another weight is not.
    lb.circuit_breaker_for(&"b".into()).unwrap().open();
    lb.update_backend(&"b".into(), lb_types::BackendPatch::weight(7)).unwrap();
    assert_eq!(exclusion(&lb, "b"), Some(Exclusion::BreakerOpen));
}

#[test]
fn an_ejected_backend_that_moves_is_ejected_no_more() {
    let lb = builder(&["a", "b"]).outlier_detection(detection()).build().unwrap();
    let log = log(&lb);
    requests(&lb, 10, &["b"]);
    lb.maintain();
    assert_eq!(exclusion(&lb, "b"), Some(Exclusion::Ejected));
    let mut patch = lb_types::BackendPatch::default();
    patch.url = Some(backend("elsewhere").url);
    lb.update_backend(&"b".into(), patch).unwrap();
    lb.maintain();
    assert_eq!((exclusion(&lb, "b"), lb.outlier_status(&"b".into()).unwrap().ejected_until), (None, None));
    requests(&lb, 10, &["b"]);
    lb.maintain();
    assert_eq!(exclusion(&lb, "b"), Some(Exclusion::Ejected));
    let told = log.lock().unwrap().join("; ");
    let ejected = "b ejected: 5 failures in a row";
    assert_eq!(told, format!("{ejected}; b returned: removed; {ejected}"));
}

/// Five refused connections eject; the first check that can connect proves them wrong. A check that never failed proves nothing
/// against failed requests.
#[tokio::test]
async fn a_check_ends_an_ejection_early_where_it_proves_something() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
    let lb = LoadBalancer::builder()
        .backend(lb_types::Backend::new("b", url))
        .backend(backend("a"))
        .health_check(lb_balancer::HealthCheck::tcp())
        .outlier_detection(detection())
        .build()
        .unwrap();
    for (kind, stays) in [(FailureKind::Connect, false), (FailureKind::Status(500), true)] {
        while exclusion(&lb, "b").is_none() {
            let lease = pick(&lb);
            let fails = *lease.backend().id() == *"b";
            lease.complete(if fails { failure(kind) } else { ok(1) });
            lb.maintain();
        }
        assert!(lb.check_backend(&"b".into()).await.unwrap().healthy);
        assert_eq!(exclusion(&lb, "b").is_some(), stays, "{kind:?}");
    }
}

#[test]
fn a_program_that_never_maintains_keeps_no_pile_of_suspects() {
    let lb = builder(&["a", "b"]).outlier_detection(detection()).build().unwrap();
    let log = log(&lb);
    requests(&lb, 100, &["b"]);
    lb.maintain();
    lb.maintain();
    assert_eq!(log.lock().unwrap().join("; "), "b ejected: 5 failures in a row");
}
