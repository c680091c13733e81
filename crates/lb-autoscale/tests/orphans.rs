//! What becomes of instances when the one who made them is killed: real parents, ended by SIGKILL.
#![cfg(target_os = "linux")]

mod role;

use lb_autoscale::driver::process::{Hooks, ProcessDriver};
use lb_autoscale::{Driver, DriverError, Happening, Order, Stage};
use role::{Seen, alive, of_parent, until};
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

/// Starts a parent, waits until its two instances are ready, and kills it. Their processes.
fn killed_parent(file: &str) -> Vec<u32> {
    let argv = role::again();
    let mut parent = Command::new(&argv[0])
        .args(&argv[1..])
        .env("ROLE", format!("parent {file}"))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(parent.stdout.take().unwrap()).lines();
    let ready = lines.map_while(Result::ok).find_map(|line| line.strip_prefix("ready ").map(str::to_owned));
    let ready = ready.expect("it ends only when it is killed");
    let pids: Vec<u32> = ready.split(' ').map(|pid| pid.parse().unwrap()).collect();
    assert!(pids.len() == 2 && pids.iter().all(|pid| alive(*pid)), "{pids:?}");
    parent.kill().unwrap();
    parent.wait().unwrap();
    pids
}

fn path(folder: &Path, name: &str) -> String {
    folder.join(name).to_string_lossy().into_owned()
}

fn again(file: &str) -> (ProcessDriver, Seen) {
    let seen = Seen::default();
    (ProcessDriver::new(of_parent(file), Hooks::new().events(seen.sink())).unwrap(), seen)
}

#[tokio::test]
async fn instances_die_with_their_parent() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "die deaf");
    let pids = killed_parent(&file);
    until("both are gone", || pids.iter().all(|pid| !alive(*pid))).await;
    // The file still names them; the next start finds nobody, and gives them no second life.
    let (driver, seen) = again(&file);
    until("they are forgotten", || driver.instances().unwrap().is_empty()).await;
    assert_eq!(seen.text(), "");
    driver.scale(Order::new(1, 0)).await.unwrap();
    let ids: Vec<String> = driver.instances().unwrap().iter().map(|one| one.id.to_string()).collect();
    assert_eq!(ids.len(), 1);
    assert!(!["instance-1", "instance-2"].contains(&ids[0].as_str()), "{ids:?}");
    driver.shutdown().await.unwrap();
}

#[tokio::test]
async fn instances_that_may_stay_are_adopted() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "stay");
    let pids = killed_parent(&file);
    assert!(pids.iter().all(|pid| alive(*pid)));
    let (driver, seen) = again(&file);
    let ready = |driver: &ProcessDriver| {
        driver.instances().unwrap().iter().filter(|one| one.stage == Stage::Ready).count()
    };
    until("both are adopted", || ready(&driver) == 2).await;
    let there = driver.instances().unwrap();
    let found: Vec<u32> = there.iter().map(|one| one.pid.unwrap()).collect();
    assert_eq!(found, pids);
    assert_eq!(seen.count(|what| matches!(what, Happening::Adopted { .. })), 2);
    let said = role::get(there[0].address).await;
    assert!(said.ends_with(&format!("instance-1 {}", there[0].address.port())), "{said}");
    // An adopted one that is killed is replaced as any other.
    role::kill(pids[0]);
    until("it is there again", || seen.count(|what| matches!(what, Happening::Ready { .. })) == 1).await;
    assert_eq!(driver.instances().unwrap()[0].id, there[0].id);
    // Meanwhile nobody else may have the file.
    let second = ProcessDriver::new(of_parent(&file), Hooks::new());
    assert!(matches!(second, Err(DriverError::State { .. })), "{second:?}");
    driver.shutdown().await.unwrap();
    assert!(pids.iter().chain(&seen.pids()).all(|pid| !alive(*pid)));
    let (driver, _) = again(&file);
    assert_eq!(driver.instances().unwrap(), []);
}

#[tokio::test]
async fn instances_of_another_command_are_stopped() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "stay");
    let pids = killed_parent(&file);
    let seen = Seen::default();
    let settings = of_parent(&file).variable("VERSION", "2");
    let driver = ProcessDriver::new(settings, Hooks::new().events(seen.sink())).unwrap();
    driver.scale(Order::new(1, 0)).await.unwrap();
    until("the old ones are gone", || seen.count(|what| matches!(what, Happening::Gone { .. })) == 2).await;
    assert!(pids.iter().all(|pid| !alive(*pid)));
    assert!(seen.text().contains("left over (the command is another one now)"), "{}", seen.text());
    until("the new one is ready", || seen.count(|what| matches!(what, Happening::Ready { .. })) == 1).await;
    driver.shutdown().await.unwrap();
}

#[tokio::test]
async fn an_instance_is_found_that_was_started_and_not_yet_written_down() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "stay deaf");
    let pids = killed_parent(&file);
    // As if the parent had been killed between the two times that it writes.
    let mut book: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for record in book["instances"].as_array_mut().unwrap() {
        record["process"] = serde_json::Value::Null;
    }
    std::fs::write(&file, book.to_string()).unwrap();
    let (driver, seen) = again(&file);
    until("both are adopted", || seen.count(|what| matches!(what, Happening::Adopted { .. })) == 2).await;
    driver.shutdown().await.unwrap();
    assert!(pids.iter().all(|pid| !alive(*pid)), "{}", seen.text());
    assert_eq!(seen.count(|what| matches!(what, Happening::Killed { .. })), 2);
}

#[tokio::test]
async fn a_pid_of_somebody_else_is_let_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "stay");
    let pids = killed_parent(&file);
    for pid in &pids {
        role::kill(*pid);
    }
    until("both are gone", || pids.iter().all(|pid| !alive(*pid))).await;
    // The pid was given to another process since: here, to this child, in another of the ticks that the kernel counts starts in.
    let up = || {
        std::fs::read_to_string("/proc/uptime").unwrap().split_once(' ').unwrap().0.parse::<f64>().unwrap()
    };
    let before = up();
    until("two ticks are over", || up() > before + 0.02).await;
    let mut other = Command::new("sleep").arg("600").spawn().unwrap();
    let mut book: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for record in book["instances"].as_array_mut().unwrap() {
        record["process"]["pid"] = other.id().into();
    }
    std::fs::write(&file, book.to_string()).unwrap();
    let (driver, seen) = again(&file);
    until("they are forgotten", || driver.instances().unwrap().is_empty()).await;
    assert_eq!((seen.text().as_str(), other.try_wait().unwrap()), ("", None));
    driver.shutdown().await.unwrap();
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn what_an_instance_had_started_is_found_when_all_others_are_gone() {
    let folder = tempfile::tempdir().unwrap();
    let file = path(folder.path(), "die child");
    let pids = killed_parent(&file);
    until("both are gone", || pids.iter().all(|pid| !alive(*pid))).await;
    // The kernel kills an instance with its parent, and not what the instance had started.
    let children: Vec<u32> = ["instance-1", "instance-2"]
        .map(|id| std::fs::read_to_string(format!("{file}.{id}")).unwrap().parse().unwrap())
        .into();
    assert!(children.iter().all(|pid| alive(*pid)));
    let (driver, seen) = again(&file);
    until("that is told", || seen.count(|what| matches!(what, Happening::Gone { .. })) == 2).await;
    assert!(children.iter().all(|pid| !alive(*pid)));
    assert!(seen.text().contains("what it had started was still there: killed"), "{}", seen.text());
    driver.shutdown().await.unwrap();
}

#[tokio::test]
async fn nobody_is_told_what_those_say_that_may_stay() {
    let folder = tempfile::tempdir().unwrap();
    let hooks = Hooks::new().output(std::sync::Arc::new(|_, _| ()));
    let refused = ProcessDriver::new(of_parent(&path(folder.path(), "stay")), hooks).unwrap_err().to_string();
    assert!(refused.starts_with("orphans = Stay: must be Die if somebody is told"), "{refused}");
}

#[test]
#[ignore = "the parent and the instances that the other tests start"]
fn role() {
    role::play();
}
