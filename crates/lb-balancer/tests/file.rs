//! Discovery from a real file: written in place, replaced by renaming, broken, removed.
//!
//! On the wall clock, since the events are the operating system's. Nothing waits for longer than until it is seen.

use lb_balancer::discover::FileDiscovery;
use lb_balancer::{LoadBalancer, Running};
use lb_types::Backend;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// A line a backend: `id weight`.
fn parse(text: &str, path: &Path) -> Result<Vec<Backend>, String> {
    assert!(path.ends_with("backends.txt"));
    let line = |line: &str| {
        let (id, weight) = line.split_once(' ').ok_or_else(|| format!("\"{line}\" has no weight"))?;
        let weight = weight.parse().map_err(|_| format!("bad weight \"{weight}\""))?;
        Ok(Backend::new(id, format!("http://{id}.internal:80").parse().unwrap()).weight(weight))
    };
    text.lines().filter(|l| *l != "# nobody").map(line).collect()
}

fn start(path: &Path) -> (LoadBalancer, Running) {
    let lb = LoadBalancer::builder().discover(FileDiscovery::new(path, parse)).build().unwrap();
    let running = lb.start().unwrap();
    (lb, running)
}

fn seen(lb: &LoadBalancer) -> Vec<String> {
    let mut all: Vec<_> = lb.all_backends().iter().map(|b| format!("{} {}", b.id, b.weight)).collect();
    all.sort();
    all
}

/// Looks every few milliseconds until `done`; 20 s at most, a third of the time after which the file would be read anyway.
async fn until(what: &str, lb: &LoadBalancer, done: impl Fn() -> bool) {
    let looks = async {
        while !done() {
            // tidy-allow: sleep: the poll of a bounded wait
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let in_time = tokio::time::timeout(Duration::from_secs(20), looks).await;
    assert!(in_time.is_ok(), "{what}: {:?} {:?}", seen(lb), lb.discovery_status());
}

async fn until_seen(lb: &LoadBalancer, wanted: &[&str]) {
    until(&format!("{wanted:?}"), lb, || seen(lb) == wanted).await;
}

async fn until_error(lb: &LoadBalancer, wanted: &str) {
    until(wanted, lb, || lb.discovery_status()[0].last_error.as_ref().is_some_and(|e| e.contains(wanted)))
        .await;
}

#[tokio::test]
async fn a_file_is_followed_however_it_changes() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backends.txt");
    fs::write(&path, "a 1\nb 2\n").unwrap();
    let (lb, running) = start(&path);
    until_seen(&lb, &["a 1", "b 2"]).await;

    // In place.
    fs::write(&path, "b 3\nc 1\n").unwrap();
    until_seen(&lb, &["b 3", "c 1"]).await;

    // By renaming another over it, twice: the watch is not lost with the old file.
    for weight in ["4", "5"] {
        let new = folder.path().join("new");
        fs::write(&new, format!("b {weight}\n")).unwrap();
        fs::rename(&new, &path).unwrap();
        until_seen(&lb, &[&format!("b {weight}")]).await;
    }

    // Broken, emptied, gone: the last good list stays, and the error says which.
    fs::write(&path, "b 6\nnonsense\n").unwrap();
    until_error(&lb, "\"nonsense\" has no weight").await;
    fs::write(&path, "\n").unwrap();
    until_error(&lb, "the file is empty").await;
    fs::remove_file(&path).unwrap();
    until_error(&lb, "No such file").await;
    assert_eq!(seen(&lb), ["b 5"]);
    assert!(lb.discovery_status()[0].failures >= 3);

    // Back again, and an empty list that is said to be one.
    fs::write(&path, "d 1\n").unwrap();
    until_seen(&lb, &["d 1"]).await;
    assert_eq!(lb.discovery_status()[0].last_error, None);
    fs::write(&path, "# nobody\n").unwrap();
    until_seen(&lb, &[]).await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_file_that_is_not_there_yet_is_found_once_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("backends.txt");
    let (lb, running) = start(&path);
    until_error(&lb, "No such file").await;
    fs::write(&path, "a 1\n").unwrap();
    until_seen(&lb, &["a 1"]).await;
    running.shutdown().await;
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_an_error_until_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("later/backends.txt");
    let (lb, running) = start(&path);
    until_error(&lb, "watching ").await;
    fs::create_dir(folder.path().join("later")).unwrap();
    fs::write(&path, "a 1\n").unwrap();
    until_seen(&lb, &["a 1"]).await;
    running.shutdown().await;
}
