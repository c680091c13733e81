//! The queue in a tower stack, over `service_fn`.

use lb_admission::Priority;
use lb_admission::queue::{QueueSettings, Refused};
use lb_admission::tower::queue::{Placed, QueueError, QueueLayer};
use lb_types::SystemClock;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tower::{Layer, ServiceExt, service_fn};

fn layer(limit: usize, settings: QueueSettings) -> QueueLayer<fn(&u8) -> Priority> {
    let by_number: fn(&u8) -> Priority = |request| Priority::level(request / 10);
    QueueLayer::new(limit, settings, Arc::new(SystemClock::new()), by_number).unwrap()
}

#[tokio::test]
async fn calls_wait_by_priority_until_the_response_is_dropped() {
    let log = Arc::new(Mutex::new(Vec::new()));
    let service = layer(1, QueueSettings::new()).layer(service_fn({
        let log = log.clone();
        move |request: u8| {
            log.lock().unwrap().push(request);
            async move { if request == 21 { Err("broken") } else { Ok(request) } }
        }
    }));
    let first = service.clone().oneshot(10).await.unwrap();
    assert_eq!(*first, 10);
    let waiting = [20, 21, 11, 1].map(|request| {
        let call = service.clone().oneshot(request);
        tokio::spawn(async { call.await.map(Placed::into_inner) })
    });
    while service.queue().len() < 4 {
        tokio::task::yield_now().await;
    }
    assert_eq!(*log.lock().unwrap(), [10], "the response is there, but not over");
    let (response, place) = first.into_parts();
    assert_eq!((response, service.queue().len()), (10, 4));
    drop(place);
    let mut results = Vec::new();
    for call in waiting {
        results.push(call.await.unwrap());
    }
    assert_eq!(results, [Ok(20), Err(QueueError::Inner("broken")), Ok(11), Ok(1)]);
    assert_eq!(*log.lock().unwrap(), [10, 1, 11, 20, 21]);
    assert!(!service.queue().is_waiting());
}

#[tokio::test]
async fn who_is_refused_does_not_reach_the_service() {
    let calls = Arc::new(AtomicUsize::new(0));
    let settings = QueueSettings::new().max_size(1).timeout(Duration::from_millis(20));
    let service = layer(1, settings).layer(service_fn({
        let calls = calls.clone();
        move |request: u8| {
            calls.fetch_add(1, SeqCst);
            async move { Ok::<u8, &str>(request) }
        }
    }));
    let held = service.clone().oneshot(10).await.unwrap();
    let waits = tokio::spawn(service.clone().oneshot(11));
    while service.queue().is_empty() {
        tokio::task::yield_now().await;
    }
    let full = service.clone().oneshot(12).await.unwrap_err();
    assert!(matches!(full, QueueError::Refused(Refused::Full { .. })), "{full}");
    let late = waits.await.unwrap().unwrap_err();
    assert!(matches!(late, QueueError::Refused(Refused::Timeout { .. })), "{late}");
    drop(held);
    assert_eq!(*service.clone().oneshot(13).await.unwrap(), 13);
    assert_eq!(calls.load(SeqCst), 2);
}

#[tokio::test]
async fn a_call_nobody_waits_for_any_more_leaves() {
    let service =
        layer(1, QueueSettings::new()).layer(service_fn(async |request: u8| Ok::<u8, &str>(request)));
    let held = service.clone().oneshot(10).await.unwrap();
    let waits = tokio::spawn(service.clone().oneshot(11));
    while service.queue().is_empty() {
        tokio::task::yield_now().await;
    }
    waits.abort();
    assert!(waits.await.unwrap_err().is_cancelled());
    assert!(service.queue().is_empty());
    drop(held);
    assert_eq!(*service.oneshot(12).await.unwrap(), 12);
}

#[test]
fn no_place_at_all_is_an_error() {
    let none = QueueLayer::new(0, QueueSettings::new(), Arc::new(SystemClock::new()), |_: &u8| Priority::LOW);
    assert_eq!(none.unwrap_err().to_string(), "limit = 0: must be 1 or more");
}
