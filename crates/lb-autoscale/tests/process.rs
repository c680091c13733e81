//! The process driver with real processes: this test program itself, started in the role of an instance.
#![cfg(target_os = "linux")]

mod role;

use lb_autoscale::driver::process::{Hooks, Probe, ProcessDriver, ProcessSettings, Readiness, Ready};
use lb_autoscale::driver::retry::Retry;
use lb_autoscale::{Driver, DriverError, Happening, Order, Stage};
use role::{Seen, instance, kill, ms, sec, until};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

fn quick(settings: ProcessSettings) -> ProcessSettings {
    let retry = Retry::new(3, ms(20), ms(50));
    settings.restart(retry, sec(60)).probes(sec(2), ms(20)).start_timeout(sec(30)).stop_grace(sec(10))
}

fn driver(settings: ProcessSettings) -> (ProcessDriver, Seen) {
    let seen = Seen::default();
    let driver = ProcessDriver::new(settings, Hooks::new().events(seen.sink())).unwrap();
    (driver, seen)
}

fn ready(driver: &ProcessDriver) -> usize {
    driver.instances().unwrap().iter().filter(|one| one.stage == Stage::Ready).count()
}

async fn scale(driver: &ProcessDriver, desired: u32) {
    driver.scale(Order::new(desired, 0)).await.unwrap();
}

#[tokio::test]
async fn grows_and_shrinks_and_leaves_nothing() {
    let (driver, seen) = driver(quick(instance("").ready(Ready::Http("/".to_owned()))));
    scale(&driver, 3).await;
    until("three are ready", || ready(&driver) == 3).await;
    let there = driver.instances().unwrap();
    let ids: Vec<String> = there.iter().map(|one| one.id.to_string()).collect();
    assert_eq!(ids, ["instance-1", "instance-2", "instance-3"]);
    for one in &there {
        let said = role::get(one.address).await;
        assert!(said.ends_with(&format!("{} {}", one.id, one.address.port())), "{said}");
    }
    // The same order again changes nothing; who is named goes, and the rest follows from the number.
    scale(&driver, 3).await;
    driver.scale(Order::new(1, 3).going([there[0].id.clone()])).await.unwrap();
    until("one is left", || driver.instances().unwrap().len() == 1).await;
    assert_eq!(driver.instances().unwrap()[0].id, there[1].id);
    assert_eq!(driver.instances().unwrap()[0].pid, there[1].pid);
    // Named, with the number as before: replaced.
    driver.scale(Order::new(1, 1).going([there[1].id.clone()])).await.unwrap();
    until("the new one is ready", || ready(&driver) == 1).await;
    driver.shutdown().await.unwrap();
    assert_eq!(driver.instances().unwrap(), []);
    assert_eq!(driver.scale(Order::new(1, 0)).await, Err(DriverError::Closed));
    assert_eq!(seen.count(|what| matches!(what, Happening::Gone { .. })), 4);
    for one in there {
        assert!(!role::alive(one.pid.unwrap()), "{one:?}");
    }
}

#[tokio::test]
async fn one_that_is_killed_is_replaced() {
    let (driver, seen) = driver(quick(instance("")));
    scale(&driver, 1).await;
    until("it is ready", || ready(&driver) == 1).await;
    let before = driver.instances().unwrap().remove(0);
    kill(before.pid.unwrap());
    until("it is ready again", || seen.count(|what| matches!(what, Happening::Ready { .. })) == 2).await;
    let after = driver.instances().unwrap().remove(0);
    assert_eq!((after.id, after.restarts, after.stage), (before.id, 1, Stage::Ready));
    assert_ne!(after.pid, before.pid);
    assert!(seen.text().contains("instance-1: crashed: signal: 9 (SIGKILL); it said"), "{}", seen.text());
    driver.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_given_up_and_rested_from() {
    let (driver, seen) = driver(quick(ProcessSettings::new(["/no/such/program", "{port}"]).rest(sec(60))));
    scale(&driver, 1).await;
    until("it is given up", || driver.instances().unwrap().is_empty()).await;
    until("that is told", || seen.text().contains("given up after 3 tries")).await;
    let text = seen.text();
    assert!(text.contains("/no/such/program: cannot be started: No such file or directory"), "{text}");
    assert_eq!(seen.count(|what| matches!(what, Happening::Crashed { .. })), 2);
    match driver.scale(Order::new(1, 0)).await {
        Err(DriverError::Resting { left, reason }) => {
            assert!(left <= sec(60), "{left:?}");
            assert!(reason.contains("/no/such/program"), "{reason}");
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(driver.scale(Order::new(0, 0)).await, Ok(()));
}

#[tokio::test]
async fn one_that_fails_tells_its_last_words() {
    let command = ["sh", "-c", "echo no licence >&2; exit 3"];
    let (driver, seen) = driver(quick(ProcessSettings::new(command)));
    scale(&driver, 1).await;
    until("it is given up", || seen.count(|what| matches!(what, Happening::Failed { .. })) == 1).await;
    let text = seen.text();
    assert!(text.contains("given up after 3 tries: exit status: 3; it said \"no licence\""), "{text}");
    driver.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_slow_start_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let pipe = folder.path().join("pipe").to_string_lossy().into_owned();
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let asked = Arc::new(AtomicU32::new(0));
    let settings = quick(instance("slow").variable("PIPE", &pipe));
    let hooks = Hooks::new().readiness(Arc::new(Counting(asked.clone(), Ready::Tcp)));
    let driver = ProcessDriver::new(settings, hooks).unwrap();
    scale(&driver, 1).await;
    // It is asked again and again, and is not ready before it listens.
    until("it was asked", || asked.load(Ordering::SeqCst) >= 3).await;
    assert_eq!(driver.instances().unwrap()[0].stage, Stage::Starting);
    tokio::task::spawn_blocking(|| std::fs::File::options().write(true).open(pipe)).await.unwrap().unwrap();
    until("it is ready", || ready(&driver) == 1).await;
    assert_eq!(driver.instances().unwrap()[0].restarts, 0);
    driver.shutdown().await.unwrap();
}

/// Counts how often it is asked.
struct Counting(Arc<AtomicU32>, Ready);

impl Readiness for Counting {
    fn probe(&self, address: SocketAddr) -> Probe<'_> {
        self.0.fetch_add(1, Ordering::SeqCst);
        self.1.probe(address)
    }
}

#[tokio::test]
async fn one_that_never_gets_ready_is_given_up() {
    let settings = quick(instance("never")).ready(Ready::Http("/".to_owned())).start_timeout(ms(300));
    let (driver, seen) = driver(settings);
    scale(&driver, 1).await;
    until("it is given up", || seen.count(|what| matches!(what, Happening::Failed { .. })) == 1).await;
    let text = seen.text();
    assert!(text.contains("not ready within 300ms"), "{text}");
    assert!(seen.pids().iter().all(|pid| !role::alive(*pid)), "{text}");
    driver.shutdown().await.unwrap();
}

#[tokio::test]
async fn a_port_that_is_taken_is_not_given_out() {
    // Two neighbouring ports, one of them taken: the other is given out, and there is none for a second instance.
    let (taken, first) = loop {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        if port < u16::MAX && TcpListener::bind(("127.0.0.1", port + 1)).is_ok() {
            break (taken, port);
        }
    };
    let (driver, seen) = driver(quick(instance("").ports(first, first + 1)));
    scale(&driver, 1).await;
    until("it is ready", || ready(&driver) == 1).await;
    assert_eq!(driver.instances().unwrap()[0].address.port(), first + 1);
    scale(&driver, 2).await;
    until("the second is given up", || seen.count(|what| matches!(what, Happening::Failed { .. })) == 1)
        .await;
    assert!(seen.text().contains(&format!("no port from {first} to {} is free", first + 1)));
    assert_eq!(ready(&driver), 1);
    drop(taken);
    driver.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_that_finds_its_port_taken_gets_another() {
    // The instance takes its port for another's, the first time: as if somebody had been quicker.
    let folder = tempfile::tempdir().unwrap();
    let once = folder.path().join("once").to_string_lossy().into_owned();
    let (driver, seen) = driver(quick(instance("taken").variable("ONCE", once)));
    scale(&driver, 1).await;
    until("it is ready", || ready(&driver) == 1).await;
    assert!(seen.text().contains("Address already in use"), "{}", seen.text());
    assert_eq!(driver.instances().unwrap()[0].restarts, 1);
    driver.shutdown().await.unwrap();
}

#[tokio::test]
async fn one_that_ignores_sigterm_is_killed() {
    let (driver, seen) = driver(quick(instance("deaf")).stop_grace(ms(300)));
    scale(&driver, 1).await;
    until("it is ready", || ready(&driver) == 1).await;
    driver.shutdown().await.unwrap();
    let text = seen.text();
    assert!(text.contains("did not end within 300ms: killed"), "{text}");
    assert!(text.contains("gone: signal: 9 (SIGKILL)"), "{text}");
    assert!(seen.pids().iter().all(|pid| !role::alive(*pid)));
}

#[tokio::test]
async fn what_it_started_goes_with_it() {
    // The grandchild leaves the group and ignores SIGTERM; its pid is what the instance says.
    let script = "setsid sh -c 'trap \"\" TERM; echo $$; sleep 600' & wait";
    let settings = quick(ProcessSettings::new(["sh", "-c", script]));
    let (driver, _seen) = driver(settings.stop_grace(ms(200)));
    scale(&driver, 1).await;
    let id = driver.instances().unwrap()[0].id.clone();
    let said = || Some(driver.output(&id)?.first()?.text.clone());
    until("it said a pid", || said().is_some()).await;
    let grandchild = said().unwrap().parse().unwrap();
    assert!(role::alive(grandchild));
    driver.shutdown().await.unwrap();
    assert!(!role::alive(grandchild));
}

#[tokio::test]
async fn a_driver_that_is_dropped_kills_at_once() {
    let (driver, seen) = driver(quick(instance("deaf")));
    scale(&driver, 2).await;
    until("both are ready", || ready(&driver) == 2).await;
    drop(driver);
    until("both are gone", || seen.pids().iter().all(|pid| !role::alive(*pid))).await;
    assert_eq!(seen.pids().len(), 2);
}

#[tokio::test]
async fn too_many_are_refused() {
    let (driver, _seen) = driver(quick(instance("").instances_max(2)));
    let refused = driver.scale(Order::new(3, 0)).await;
    assert_eq!(refused, Err(DriverError::TooMany { desired: 3, most: 2 }));
    assert_eq!(driver.instances().unwrap(), []);
}

#[test]
#[ignore = "the instance that the other tests start"]
fn role() {
    role::play();
}
