//! The exec driver with real commands.
#![cfg(target_os = "linux")]

use lb_autoscale::driver::exec::{ExecDriver, ExecSettings};
use lb_autoscale::driver::retry::Retry;
use lb_autoscale::{Driver, DriverError, EventSink, Order};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const MS: fn(u64) -> Duration = Duration::from_millis;

fn shell(script: &str) -> ExecSettings {
    ExecSettings::new(["sh", "-c", script, "sh", "{desired}", "{current}"])
        .retry(Retry::new(3, MS(10), MS(20)))
        .timeout(MS(30_000))
}

fn driver(settings: ExecSettings) -> (ExecDriver, Arc<Mutex<String>>) {
    let seen = Arc::new(Mutex::new(String::new()));
    let told = seen.clone();
    let sink: EventSink = Arc::new(move |event| *told.lock().unwrap() += &format!("{event}\n"));
    (ExecDriver::new(settings, Some(sink)).unwrap(), seen)
}

#[tokio::test]
async fn the_command_is_told_everything() {
    let folder = tempfile::tempdir().unwrap();
    let script =
        r#"echo "$1 $2 $EDGE_LB_DESIRED $EDGE_LB_CURRENT $EDGE_LB_GOING $EDGE_LB_REASON $MORE" > said"#;
    let (driver, seen) = driver(shell(script).directory(folder.path()).variable("MORE", "{going}!"));
    let order = Order::new(3, 5).going(["a".into(), "b".into()]).reason("less; rm -rf $HOME");
    driver.scale(order).await.unwrap();
    let said = std::fs::read_to_string(folder.path().join("said")).unwrap();
    assert_eq!(said, "3 5 3 5 a,b less; rm -rf $HOME a,b!\n");
    assert_eq!(*seen.lock().unwrap(), "order: 3 instances ordered, at try 1\n");
    assert_eq!(driver.instances(), None);
}

#[tokio::test]
async fn a_failure_is_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let script = "echo no quota >&2; test -e twice || { test -e once && touch twice; touch once; exit 7; }";
    let (driver, seen) = driver(shell(script).directory(folder.path()));
    driver.scale(Order::new(2, 1)).await.unwrap();
    let seen = seen.lock().unwrap();
    let lines: Vec<&str> = seen.lines().collect();
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("order: try 1 failed: exit status: 7; it said \"no quota\"; again in "));
    assert!(lines[1].starts_with("order: try 2 failed: "), "{lines:?}");
    assert_eq!(lines[2], "order: 2 instances ordered, at try 3");
}

#[tokio::test]
async fn tries_are_bounded() {
    let (failing, _) = driver(shell("exit 7"));
    let reason = "exit status: 7".to_owned();
    assert_eq!(failing.scale(Order::new(2, 1)).await, Err(DriverError::Failed { tries: 3, reason }));
    let settings = ExecSettings::new(["/no/such/program"]).retry(Retry::new(2, MS(10), MS(20)));
    let (missing, _) = driver(settings);
    match missing.scale(Order::new(2, 1)).await {
        Err(DriverError::Failed { tries: 2, reason }) => {
            assert!(reason.starts_with("/no/such/program: cannot be started: No such file"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_command_that_takes_too_long_is_stopped_with_all_that_it_started() {
    let folder = tempfile::tempdir().unwrap();
    let script = "sleep 600 & echo $! > pid; wait";
    let settings =
        shell(script).directory(folder.path()).timeout(MS(500)).retry(Retry::new(1, MS(10), MS(10)));
    let (driver, _) = driver(settings);
    let reason = "not done within 500ms: signal: 15 (SIGTERM)".to_owned();
    assert_eq!(driver.scale(Order::new(2, 1)).await, Err(DriverError::Failed { tries: 1, reason }));
    let pid = std::fs::read_to_string(folder.path().join("pid")).unwrap();
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
    assert!(stat.is_empty() || stat.contains(") Z "), "{stat}");
}

#[tokio::test]
async fn a_newer_order_replaces_one_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    // Only the order for 5 succeeds; the other would wait for an hour.
    let script = r#"touch begun; test "$1" = 5"#;
    let hour = Duration::from_secs(3600);
    let (driver, seen) = driver(shell(script).directory(folder.path()).retry(Retry::new(3, hour, hour)));
    let newer = async {
        let mut tick = tokio::time::interval(MS(5));
        while !seen.lock().unwrap().contains("try 1 failed") {
            tick.tick().await;
        }
        driver.scale(Order::new(5, 1)).await
    };
    let both = async { tokio::join!(driver.scale(Order::new(4, 1)), newer) };
    let both = tokio::time::timeout(Duration::from_secs(60), both).await.unwrap();
    assert_eq!(both, (Err(DriverError::Superseded), Ok(())));
    driver.shutdown().await.unwrap();
    assert_eq!(driver.scale(Order::new(1, 1)).await, Err(DriverError::Closed));
}

#[test]
fn errors_name_field_and_value() {
    for (settings, message) in [
        (ExecSettings::new([""]), "command = [\"\"]: must name a program"),
        (
            ExecSettings::new(["a", "{port}"]),
            "command = \"{port}\": {port} is none of {desired} {current} {going} {reason}; for that text write {{port}}",
        ),
        (ExecSettings::new(["a"]).timeout(MS(1)), "timeout = 1ms: must be from 10ms to 3600s"),
        (ExecSettings::new(["a"]).variable("", ""), "environment = \"\": must be a name without = and NUL"),
    ] {
        assert_eq!(settings.validate().unwrap_err().to_string(), message);
    }
}
