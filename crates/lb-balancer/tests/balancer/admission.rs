//! The queue, load shedding and adaptive concurrency behind the handle.

use crate::support::{TokioClock, backend, ok, pick};
use lb_balancer::admission::concurrency::AdaptiveConcurrency;
use lb_balancer::admission::queue::{QueueSettings, Refused};
use lb_balancer::admission::shed::{Readings, ShedSettings};
use lb_balancer::{AdmissionError, BuildError, Lease, LoadBalancer, Priority, SelectOptions};
use lb_types::{FailureKind, HealthSink, Nanos, Outcome, RequestInfo};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::Instant;

fn with_queue(limit: u32, settings: QueueSettings) -> LoadBalancer {
    LoadBalancer::builder()
        .backend(backend("a").max_connections(limit))
        .queuing(settings)
        .clock(Arc::new(TokioClock::new()))
        .build()
        .unwrap()
}

fn ask(
    lb: &LoadBalancer,
    priority: Priority,
    timeout: Option<Duration>,
) -> impl Future<Output = Result<Lease, AdmissionError>> + Send + use<> {
    let mut options = SelectOptions::default();
    (options.priority, options.queue_timeout) = (priority, timeout);
    lb.queue_request(&RequestInfo::default(), &options)
}

/// Until everybody waits who will.
async fn settle() {
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn requests_wait_by_priority_and_nobody_overtakes() {
    let lb = with_queue(1, QueueSettings::new());
    let held = ask(&lb, Priority::NORMAL, None).await.unwrap();
    let order = Arc::new(Mutex::new(vec![]));
    let mut tasks = vec![];
    for priority in [Priority::LOW, Priority::NORMAL, Priority::NORMAL, Priority::HIGH] {
        let (asked, order) = (ask(&lb, priority, None), order.clone());
        tasks.push(tokio::spawn(async move {
            let lease = asked.await.unwrap();
            order.lock().unwrap().push(priority);
            tokio::time::sleep(Duration::from_millis(1)).await;
            lease.complete(ok(1));
        }));
        settle().await;
    }
    assert_eq!(lb.queue().unwrap().len(), 4);
    // What is free is not for who comes now.
    held.complete(ok(1));
    assert!(lb.select_backend(&RequestInfo::default(), &SelectOptions::default()).unwrap_err().is_at_limit());
    for task in tasks {
        task.await.unwrap();
    }
    let (high, normal, low) = (Priority::HIGH, Priority::NORMAL, Priority::LOW);
    assert_eq!(*order.lock().unwrap(), [high, normal, normal, low]);
    drop(pick(&lb));
}

#[tokio::test(start_paused = true)]
async fn a_full_queue_a_timeout_and_who_leaves() {
    let lb = with_queue(1, QueueSettings::new().max_size(1));
    let held = pick(&lb);
    let start = Instant::now();
    let short = Some(Duration::from_millis(50));
    assert!(matches!(
        ask(&lb, Priority::NORMAL, short).await,
        Err(AdmissionError::Refused(Refused::Timeout { .. }))
    ));
    assert_eq!(start.elapsed(), Duration::from_millis(50));
    let waiting = tokio::spawn(ask(&lb, Priority::NORMAL, None));
    settle().await;
    assert!(matches!(
        ask(&lb, Priority::NORMAL, None).await,
        Err(AdmissionError::Refused(Refused::Full { .. }))
    ));
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(lb.queue().unwrap().len(), 0);
    let waiting = tokio::spawn(ask(&lb, Priority::NORMAL, None));
    settle().await;
    held.complete(ok(1));
    drop(waiting.await.unwrap().unwrap());
}

/// Two backends, and all are at their limits: one that may go to both is not held up by one that may not.
#[tokio::test(start_paused = true)]
async fn who_can_use_what_became_free_gets_it() {
    let lb = LoadBalancer::builder()
        .backend(backend("a").max_connections(1))
        .backend(backend("b").max_connections(1))
        .queuing(QueueSettings::new())
        .clock(Arc::new(TokioClock::new()))
        .build()
        .unwrap();
    let (one, two) = (pick(&lb), pick(&lb));
    let (a, b) = if one.backend().id() == "a" { (one, two) } else { (two, one) };
    let mut only_a = SelectOptions::default();
    only_a.exclude = vec!["b".into()];
    let first = tokio::spawn(lb.queue_request(&RequestInfo::default(), &only_a));
    settle().await;
    let second = tokio::spawn(ask(&lb, Priority::LOW, None));
    settle().await;
    b.complete(ok(1));
    let second = second.await.unwrap().unwrap();
    assert_eq!(second.backend().id(), "b");
    settle().await;
    assert!(!first.is_finished());
    // While the one that waits cannot use it, who comes may.
    second.complete(ok(1));
    assert_eq!(ask(&lb, Priority::NORMAL, None).await.unwrap().backend().id(), "b");
    a.complete(ok(1));
    assert_eq!(first.await.unwrap().unwrap().backend().id(), "a");
}

#[tokio::test(start_paused = true)]
async fn what_has_no_use_in_waiting_is_told_at_once_and_who_waits_for_it_as_well() {
    let lb = with_queue(1, QueueSettings::new());
    let held = pick(&lb);
    let waiting = tokio::spawn(ask(&lb, Priority::NORMAL, None));
    settle().await;
    let mut disabled = lb_types::BackendPatch::default();
    disabled.disabled = Some(true);
    lb.update_backend(&"a".into(), disabled).unwrap();
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, AdmissionError::Select(e) if !e.is_at_limit()), "{error}");
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_recovery_lets_in_as_many_as_there_is_room_for() {
    let lb = with_queue(2, QueueSettings::new());
    let held = [pick(&lb), pick(&lb)];
    lb.add_backend(backend("b").max_connections(3)).unwrap();
    lb.pool().set_healthy(&"b".into(), false);
    let waiting: Vec<_> = (0..3).map(|_| tokio::spawn(ask(&lb, Priority::NORMAL, None))).collect();
    settle().await;
    assert_eq!(lb.queue().unwrap().len(), 3);
    lb.pool().set_healthy(&"b".into(), true);
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().unwrap().backend().id(), "b");
    }
    drop(held);
}

#[tokio::test]
async fn load_is_shed_by_priority() {
    let shedding = ShedSettings::new().queue_threshold(None);
    let lb = LoadBalancer::builder().backend(backend("a")).load_shedding(shedding).build().unwrap();
    let read = |ms, cpu| {
        let readings = Readings { cpu: Some(cpu), ..Readings::default() };
        lb.shedder().unwrap().observe(Nanos::from_millis(ms), &readings);
    };
    assert!(ask(&lb, Priority::LOW, None).await.is_ok());
    read(0, 95.0);
    assert!(matches!(ask(&lb, Priority::LOW, None).await, Err(AdmissionError::Shed(_))));
    assert!(ask(&lb, Priority::HIGH, None).await.is_ok());
    (1..=30).for_each(|n| read(n * 100, 10.0));
    assert!(ask(&lb, Priority::LOW, None).await.is_ok());
}

#[test]
fn a_backend_that_has_no_time_gets_less_and_never_less_than_the_floor() {
    let mut settings = AdaptiveConcurrency::new().initial(64).min(2);
    settings.min_samples = 10;
    let clock = Arc::new(lb_types::ManualClock::default());
    let lb = LoadBalancer::builder()
        .backend(backend("a"))
        .adaptive_concurrency(settings)
        .clock(clock.clone())
        .build()
        .unwrap();
    let limit = || lb.pool().snapshot().get(&"a".into()).unwrap().state().limit();
    assert_eq!(limit(), Some(64));
    for _ in 0..50 {
        let leases: Vec<_> = (0..20)
            .map_while(|_| lb.select_backend(&RequestInfo::default(), &SelectOptions::default()).ok())
            .collect();
        clock.advance(Duration::from_millis(100));
        for lease in leases {
            let after = Nanos::from_millis(100);
            lease.complete(Outcome::Failure { kind: FailureKind::Timeout, after });
        }
    }
    assert_eq!(limit(), Some(2));
}

#[test]
fn wrong_settings_are_named() {
    let builder = || LoadBalancer::builder().name("p").backend(backend("a"));
    let errors = [
        builder().queuing(QueueSettings::new().max_size(0)).build(),
        builder().load_shedding(ShedSettings::new().cpu_threshold(0.0)).build(),
        builder().adaptive_concurrency(AdaptiveConcurrency::new().min(0)).build(),
    ];
    let errors = errors.map(|e: Result<_, BuildError>| e.unwrap_err().to_string());
    assert!(errors[0].starts_with("pool \"p\": queuing.max_size = 0"), "{errors:?}");
    assert!(errors[1].starts_with("pool \"p\": load_shedding.cpu_threshold = 0"), "{errors:?}");
    assert!(errors[2].starts_with("pool \"p\": adaptive_concurrency.min = 0"), "{errors:?}");
}
