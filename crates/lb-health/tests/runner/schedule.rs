//! The running checker under paused time: when checks happen and what comes of them.

use crate::support::{Step, backend, down, next, scene, up};
use lb_health::{HealthCheck, HealthCheckError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

const SECOND: Duration = Duration::from_secs(1);

fn settings(interval: Duration) -> HealthCheck {
    HealthCheck::default().interval(interval).jitter_percent(0).timeout(5 * SECOND)
}

fn gaps(starts: &[Duration]) -> Vec<Duration> {
    starts.windows(2).map(|w| w[1] - w[0]).collect()
}

#[tokio::test(start_paused = true)]
async fn first_check_decides_within_a_second() {
    let s = scene(settings(30 * SECOND), 1);
    s.world.script("dead", &[Step::Fail]);
    let mut events = s.checker.events();
    s.checker.set_backends(vec![backend("dead")]).unwrap();
    assert!(s.checker.status_of("dead").unwrap().healthy, "healthy until checked");
    let origin = Instant::now();
    let _running = s.checker.start().unwrap();
    assert_eq!(next(&mut events).await, down("dead"));
    assert!(origin.elapsed() <= SECOND + SECOND / 100);
    assert_eq!(s.told.take(), [("dead".to_owned(), false)]);
    let status = s.checker.status_of("dead").unwrap();
    assert!(!status.healthy);
    assert_eq!(status.last_check, Some(1_000_000));
    assert_eq!(status.last_error.as_deref(), Some("scripted"));
}

#[tokio::test(start_paused = true)]
async fn thresholds_decide_and_a_changing_backend_is_checked_faster() {
    use Step::{Fail, Pass};
    let s = scene(settings(8 * SECOND), 1);
    s.world.script("a", &[Pass, Fail, Pass, Fail, Fail, Fail, Fail, Pass, Pass]);
    let mut events = s.checker.events();
    s.checker.set_backends(vec![backend("a")]).unwrap();
    let origin = Instant::now();
    let _running = s.checker.start().unwrap();
    assert_eq!(next(&mut events).await, up("a"));
    assert_eq!(next(&mut events).await, down("a"));
    assert_eq!(s.world.starts("a", origin).len(), 6);
    assert_eq!(next(&mut events).await, up("a"));
    assert_eq!(s.told.take().iter().map(|(_, healthy)| *healthy).collect::<Vec<_>>(), [true, false, true]);
    // Steady 8 s, changing 2 s.
    let whole: Vec<u64> =
        gaps(&s.world.starts("a", origin)).iter().map(|g| (*g).as_millis() as u64).collect();
    let near = |ms: u64, wanted: u64| ms.abs_diff(wanted) <= 2; // tokio's timer counts in milliseconds
    for (ms, wanted) in whole.iter().zip([8000, 2000, 8000, 2000, 2000, 8000, 8000, 2000]) {
        assert!(near(*ms, wanted), "{whole:?}");
    }
    assert_eq!(whole.len(), 8);
}

#[tokio::test(start_paused = true)]
async fn check_that_hangs_fails_at_its_timeout_and_never_overlaps_itself() {
    let s = scene(settings(2 * SECOND).thresholds(1, 1), 1);
    s.world.script("hangs", &[Step::Slow(3600 * SECOND)]);
    s.checker.set_backends(vec![backend("hangs")]).unwrap();
    let origin = Instant::now();
    let _running = s.checker.start().unwrap();
    sleep_until(origin + 60 * SECOND).await;
    assert_eq!(s.world.peak(), 1);
    let starts = s.world.starts("hangs", origin);
    assert!((11..=12).contains(&starts.len()), "one each 5 s (the timeout), not each 2 s: {starts:?}");
    let status = s.checker.status_of("hangs").unwrap();
    assert_eq!(status.last_error.as_deref(), Some("no result within 5s"));
    assert_eq!(status.average_latency, None);
}

#[tokio::test(start_paused = true)]
async fn checks_under_way_stay_within_the_bound_and_all_get_their_turn() {
    let s = scene(settings(10 * SECOND).max_concurrent(3), 1);
    let ids: Vec<String> = (0..30).map(|n| format!("b{n}")).collect();
    for id in &ids {
        s.world.script(id, &[Step::Slow(SECOND)]);
    }
    s.checker.set_backends(ids.iter().map(|id| backend(id)).collect()).unwrap();
    let origin = Instant::now();
    let _running = s.checker.start().unwrap();
    sleep_until(origin + 35 * SECOND).await;
    assert_eq!(s.world.peak(), 3);
    for id in &ids {
        let starts = s.world.starts(id, origin).len();
        assert!((3..=4).contains(&starts), "{id}: {starts} of 3 rounds of 10 s in 35 s");
    }
}

#[tokio::test(start_paused = true)]
async fn checks_by_hand_share_the_bound_and_hand_the_permit_on() {
    let s = scene(settings(3600 * SECOND).timeout(60 * SECOND).max_concurrent(1), 1);
    s.world.script("a", &[Step::Slow(30 * SECOND)]);
    let origin = Instant::now();
    s.checker.set_backends(vec![backend("a")]).unwrap();
    let checker = s.checker.clone();
    let by_hand = tokio::spawn(async move { checker.check_backend("a").await });
    sleep_until(origin + SECOND).await;
    s.checker.set_backends(vec![backend("a").disabled(true), backend("b")]).unwrap();
    let _running = s.checker.start().unwrap();
    sleep_until(origin + 29 * SECOND).await;
    assert!(s.world.starts("b", origin).is_empty(), "the only permit is taken");
    sleep_until(origin + 31 * SECOND).await;
    assert_eq!(s.world.starts("b", origin).len(), 1);
    let changed = by_hand.await.unwrap().unwrap_err();
    assert_eq!(changed, HealthCheckError::Changed { id: "a".into() });
}

#[tokio::test(start_paused = true)]
async fn jitter_spreads_checks_and_a_seed_replays_it() {
    async fn starts(seed: u64) -> Vec<Vec<Duration>> {
        let s = scene(settings(10 * SECOND).jitter_percent(20), seed);
        let ids = ["a", "b", "c", "d"];
        s.checker.set_backends(ids.map(backend).to_vec()).unwrap();
        let origin = Instant::now();
        let running = s.checker.start().unwrap();
        sleep_until(origin + 200 * SECOND).await;
        running.shutdown().await;
        ids.map(|id| s.world.starts(id, origin)).to_vec()
    }
    let first = starts(7).await;
    assert_eq!(first, starts(7).await);
    assert_ne!(first, starts(8).await);
    for starts in &first {
        let gaps = gaps(starts);
        let (least, most) = (gaps.iter().min().unwrap(), gaps.iter().max().unwrap());
        assert!(*least >= 8 * SECOND && *most <= 12 * SECOND + SECOND / 100, "{gaps:?}");
        assert!(*most - *least > SECOND, "no jitter: {gaps:?}");
    }
    assert_ne!(first[0][0], first[1][0], "first checks do not march in step");
}

#[tokio::test(start_paused = true)]
async fn panicking_check_fails_and_the_rest_goes_on() {
    let s = scene(settings(SECOND).thresholds(1, 1), 1);
    s.world.script("bad", &[Step::Panic, Step::Pass]);
    let mut events = s.checker.events();
    s.checker.set_backends(vec![backend("bad")]).unwrap();
    let _running = s.checker.start().unwrap();
    let error = "the check panicked".to_owned();
    let wanted = lb_types::HealthEvent::BackendUnhealthy { id: "bad".into(), error };
    assert_eq!(next(&mut events).await, wanted);
    assert_eq!(next(&mut events).await, up("bad"));
}

#[tokio::test(start_paused = true)]
async fn backend_that_comes_while_running_is_checked_and_one_that_goes_is_not() {
    let s = scene(settings(10 * SECOND), 1);
    let _running = s.checker.start().unwrap();
    sleep_until(Instant::now() + SECOND).await; // the scheduler runs, and has nothing to wait for
    let mut events = s.checker.events();
    s.checker.set_backends(vec![backend("a"), backend("b")]).unwrap();
    let mut seen = [next(&mut events).await, next(&mut events).await];
    seen.sort_by_key(|e| format!("{e:?}"));
    assert_eq!(seen, [up("a"), up("b")]);
    s.checker.set_backends(vec![backend("b")]).unwrap();
    let origin = Instant::now();
    let before = s.world.starts("a", origin - 100 * SECOND).len();
    sleep_until(origin + 60 * SECOND).await;
    assert_eq!(s.world.starts("a", origin - 100 * SECOND).len(), before);
    assert!(s.world.starts("b", origin - 100 * SECOND).len() >= 6);
    assert_eq!(s.checker.status_of("a"), None);
}

#[tokio::test(start_paused = true)]
async fn runs_once_stops_when_told_and_starts_again() {
    let s = scene(settings(SECOND), 1);
    s.checker.set_backends(vec![backend("a")]).unwrap();
    let origin = Instant::now();
    let running = s.checker.start().unwrap();
    assert_eq!(s.checker.start().unwrap_err(), HealthCheckError::AlreadyRunning);
    assert_eq!(s.checker.run().await.unwrap_err(), HealthCheckError::AlreadyRunning);
    sleep_until(origin + 10 * SECOND).await;
    running.shutdown().await;
    let checks = s.world.starts("a", origin).len();
    assert!(checks >= 9);
    sleep_until(origin + 20 * SECOND).await;
    assert_eq!(s.world.starts("a", origin).len(), checks, "nothing while stopped");

    let run = tokio::time::timeout(10 * SECOND, s.checker.run()).await;
    assert!(run.is_err(), "runs until dropped");
    assert!(s.world.starts("a", origin).len() >= checks + 9);
    drop(s.checker.start().unwrap());
}

#[test]
fn starting_outside_a_runtime_is_an_error() {
    let s = scene(settings(SECOND), 1);
    assert_eq!(s.checker.start().unwrap_err(), HealthCheckError::NoRuntime);
}
