//! What becomes of statuses when the set of backends changes, and checks by hand.

use crate::support::{Scene, Step, backend, down, next, scene, up};
use lb_health::{HealthCheck, HealthCheckError};
use lb_types::{Backend, HealthCheckOverride, HealthStatus};
use std::time::Duration;

const SECOND: Duration = Duration::from_secs(1);

fn with_a_down() -> Scene {
    let s = scene(HealthCheck::default(), 1);
    s.world.script("a", &[Step::Fail]);
    s.checker.set_backends(vec![backend("a"), backend("b")]).unwrap();
    s
}

fn overridden(id: &str, change: impl FnOnce(&mut HealthCheckOverride)) -> Backend {
    let mut o = HealthCheckOverride::default();
    change(&mut o);
    backend(id).health_check(o)
}

#[tokio::test(start_paused = true)]
async fn checks_by_hand_count_without_a_running_scheduler() {
    let s = with_a_down();
    let statuses = s.checker.check_all_backends().await;
    assert!(!statuses["a"].healthy && statuses["b"].healthy);
    let mut told = s.told.take();
    told.sort();
    assert_eq!(told, [("a".to_owned(), false), ("b".to_owned(), true)]);
    let status = s.checker.check_backend("a").await.unwrap();
    assert_eq!(status.consecutive_failures, 2);
    assert_eq!(s.checker.status()["a"], status);
    assert_eq!(s.checker.status_of("b").unwrap().consecutive_successes, 1);
    let unknown = s.checker.check_backend("zz").await.unwrap_err();
    assert_eq!(unknown, HealthCheckError::UnknownBackend { id: "zz".into() });
    assert_eq!(unknown.to_string(), "no backend has the id \"zz\"");
}

#[tokio::test(start_paused = true)]
async fn sink_hears_of_every_result_that_counts_before_its_verdict() {
    use Step::{Fail, Pass};
    let s = scene(HealthCheck::default().thresholds(2, 2), 1);
    s.world.script("a", &[Pass, Fail, Fail, Pass, Pass]);
    s.checker.set_backends(vec![backend("a")]).unwrap();
    for _ in 0..5 {
        s.checker.check_backend("a").await.unwrap();
    }
    let wanted = ["a passed", "a+", "a failed", "a failed", "a-", "a passed", "a passed", "a+"];
    assert_eq!(s.told.take_all(), wanted);

    s.world.script("a", &[Step::Slow(2 * SECOND)]);
    let checker = s.checker.clone();
    let by_hand = tokio::spawn(async move { checker.check_backend("a").await });
    tokio::time::sleep(SECOND).await;
    s.checker.set_backends(vec![]).unwrap();
    assert!(by_hand.await.unwrap().is_err());
    assert_eq!(s.told.take_all(), Vec::<String>::new(), "a result that does not count is not told");
}

#[tokio::test(start_paused = true)]
async fn kept_id_keeps_its_state_and_a_new_address_starts_anew() {
    let s = with_a_down();
    let before = s.checker.check_all_backends().await;
    s.told.take();
    let mut events = s.checker.events();

    s.checker.set_backends(vec![backend("a").weight(9), backend("b")]).unwrap();
    assert_eq!(s.checker.status(), before);
    let faster = overridden("a", |o| o.interval = Some(SECOND));
    s.checker.set_backends(vec![faster, backend("b")]).unwrap();
    assert_eq!(s.checker.status(), before);
    assert_eq!(s.told.take(), []);

    let moved = Backend::new("a", "http://127.0.0.1:2".parse().unwrap());
    s.checker.set_backends(vec![moved, backend("b")]).unwrap();
    let fresh = HealthStatus { healthy: true, ..HealthStatus::default() };
    assert_eq!(s.checker.status_of("a"), Some(fresh));
    assert_eq!(s.told.take(), [("a".to_owned(), true)]);
    assert_eq!(next(&mut events).await, up("a"));
    s.checker.check_backend("a").await.unwrap();
    assert_eq!(next(&mut events).await, down("a"));
}

#[tokio::test(start_paused = true)]
async fn disabled_backend_keeps_its_status_and_its_next_check_decides_alone() {
    let s = with_a_down();
    s.checker.check_all_backends().await;
    s.told.take();
    s.checker.set_backends(vec![backend("a").disabled(true)]).unwrap();
    assert!(!s.checker.status_of("a").unwrap().healthy);
    let error = s.checker.check_backend("a").await.unwrap_err();
    assert_eq!(error, HealthCheckError::NotChecked { id: "a".into() });
    assert_eq!(s.checker.check_all_backends().await.len(), 1);

    s.world.script("a", &[Step::Pass]);
    s.checker.set_backends(vec![backend("a")]).unwrap();
    assert!(!s.checker.status_of("a").unwrap().healthy);
    assert!(s.checker.check_backend("a").await.unwrap().healthy);
    assert_eq!(s.told.take(), [("a".to_owned(), true)]);
}

#[tokio::test(start_paused = true)]
async fn backend_that_shall_not_be_checked_counts_as_healthy() {
    let s = with_a_down();
    s.checker.check_all_backends().await;
    s.told.take();
    s.checker.set_backends(vec![overridden("a", |o| o.enabled = Some(false))]).unwrap();
    assert!(s.checker.status_of("a").unwrap().healthy);
    assert_eq!(s.told.take(), [("a".to_owned(), true)]);
    let running = s.checker.start().unwrap();
    let checked = s.world.starts("a", tokio::time::Instant::now() - 100 * SECOND).len();
    tokio::time::sleep(100 * SECOND).await;
    running.shutdown().await;
    assert_eq!(s.world.starts("a", tokio::time::Instant::now() - 300 * SECOND).len(), checked);
}

#[tokio::test(start_paused = true)]
async fn result_for_a_backend_that_changed_meanwhile_is_dropped() {
    type Change = fn() -> Vec<Backend>;
    let changes: [Change; 3] = [
        Vec::new,
        || vec![Backend::new("a", "http://127.0.0.1:2".parse().unwrap())],
        || vec![overridden("a", |o| o.path = Some("/other".into()))],
    ];
    for change in changes {
        let s = scene(HealthCheck::default(), 1);
        s.world.script("a", &[Step::SlowFail(2 * SECOND)]);
        s.checker.set_backends(vec![backend("a")]).unwrap();
        let checker = s.checker.clone();
        let by_hand = tokio::spawn(async move { checker.check_backend("a").await });
        tokio::time::sleep(SECOND).await;
        s.checker.set_backends(change()).unwrap();
        let error = by_hand.await.unwrap().unwrap_err();
        assert_eq!(error, HealthCheckError::Changed { id: "a".into() });
        assert_eq!(s.told.take(), []);
        assert!(s.checker.status_of("a").is_none_or(|status| status.last_check.is_none()));
    }
}

#[tokio::test(start_paused = true)]
async fn set_that_cannot_be_checked_is_refused_whole() {
    let s = with_a_down();
    let before = s.checker.check_all_backends().await;
    let twice = s.checker.set_backends(vec![backend("c"), backend("c")]).unwrap_err();
    assert_eq!(twice, HealthCheckError::DuplicateBackend { id: "c".into() });
    let socket = Backend::new("c", lb_types::BackendUrl::unix("/a"));
    let half = socket.health_check(HealthCheckOverride { port: Some(80), ..Default::default() });
    let refused = s.checker.set_backends(vec![backend("d"), half]).unwrap_err();
    assert!(refused.to_string().contains("a backend on a unix socket has no host"), "{refused}");
    let zero = overridden("c", |o| o.unhealthy_threshold = Some(0));
    let refused = s.checker.set_backends(vec![zero]).unwrap_err().to_string();
    assert!(refused.contains("backend \"c\": health_check.unhealthy_threshold = 0"), "{refused}");
    assert_eq!(s.checker.status(), before);
}

#[tokio::test(start_paused = true)]
async fn callback_may_change_the_set_that_it_hears_of() {
    let s = with_a_down();
    let checker = s.checker.clone();
    s.checker.on_event(move |event| {
        if *event == down("a") {
            let moved = Backend::new("a", "http://127.0.0.1:2".parse().unwrap());
            checker.set_backends(vec![moved]).unwrap();
        }
    });
    let mut events = s.checker.events();
    assert!(!s.checker.check_backend("a").await.unwrap().healthy);
    assert_eq!(next(&mut events).await, down("a"));
    assert_eq!(next(&mut events).await, up("a"));
    assert_eq!(s.told.take(), [("a".to_owned(), false), ("a".to_owned(), true)]);
    assert_eq!(s.checker.status().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn reader_that_lags_is_told_how_much_it_lost() {
    let s = scene(HealthCheck::default().thresholds(1, 1), 1);
    s.checker.set_backends(vec![backend("a")]).unwrap();
    let mut events = s.checker.events();
    for n in 0..lb_health::EVENTS_CAPACITY + 3 {
        s.world.script("a", &[if n % 2 == 0 { Step::Pass } else { Step::Fail }]);
        s.checker.check_backend("a").await.unwrap();
    }
    assert!(matches!(events.recv().await, Err(tokio::sync::broadcast::error::RecvError::Lagged(3))));
    assert_eq!(events.recv().await, Ok(down("a")));
}
