//! This test program in another role: started again with `--ignored --exact role` and `ROLE` in its environment.
#![allow(dead_code, reason = "each test program uses its part")]

use lb_autoscale::driver::process::{Hooks, Orphans, ProcessDriver, ProcessSettings};
use lb_autoscale::{Driver, DriverEvent, EventSink, Happening, Order, Stage};
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

pub(crate) fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(crate) fn sec(s: u64) -> Duration {
    Duration::from_secs(s)
}

/// How to start this program in its other role.
pub(crate) fn again() -> Vec<String> {
    let us = std::env::current_exe().unwrap().to_string_lossy().into_owned();
    [&us, "--ignored", "--exact", "role", "--nocapture"].map(str::to_owned).to_vec()
}

/// An instance that behaves like this: "", `slow`, `never`, `taken`, `deaf`, `child`.
pub(crate) fn instance(how: &str) -> ProcessSettings {
    let settings = ProcessSettings::new(again());
    settings.variable("ROLE", format!("instance {how}")).variable("ID", "{id}").variable("PORT", "{port}")
}

/// The instance.
pub(crate) fn play() {
    let role = std::env::var("ROLE").expect("this is started by the other tests");
    if let Some(file) = role.strip_prefix("parent ") {
        return parent(file);
    }
    let how = role.strip_prefix("instance ").expect("a role that there is");
    let variable = |name| std::env::var(name).expect("the driver gives it");
    let (id, port) = (variable("ID"), variable("PORT"));
    if how == "deaf" {
        deaf();
    }
    if how == "child" {
        let mut child = std::process::Command::new("sleep").arg("600").spawn().unwrap();
        std::fs::write(format!("{}.{id}", variable("FILE")), child.id().to_string()).unwrap();
        std::thread::spawn(move || child.wait());
    }
    if how == "slow" {
        // A named pipe: blocks until somebody opens it to write.
        let _ = std::fs::File::open(variable("PIPE")).unwrap();
    }
    let address = format!("127.0.0.1:{port}");
    let _somebody = match how {
        "taken" if std::fs::File::create_new(variable("ONCE")).is_ok() => {
            Some(TcpListener::bind(&address).unwrap())
        }
        _ => None,
    };
    let listener = TcpListener::bind(&address).unwrap_or_else(|e| {
        eprintln!("{e}");
        std::process::exit(1)
    });
    for stream in listener.incoming() {
        let mut stream = stream.unwrap();
        let _ = stream.read(&mut [0; 1024]);
        let status = if how == "never" { "503 Not Yet" } else { "200 OK" };
        let _ = write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n\r\n{id} {port}");
    }
}

/// The settings that a parent has for this state file; `die` or `stay` is in its name.
pub(crate) fn of_parent(file: &str) -> ProcessSettings {
    let orphans = if file.contains("stay") { Orphans::Stay } else { Orphans::Die };
    let how = ["deaf", "child"].into_iter().find(|how| file.contains(how)).unwrap_or_default();
    instance(how)
        .variable("FILE", file)
        .state_file(file)
        .orphans(orphans)
        .probes(sec(2), ms(20))
        .stop_grace(ms(300))
}

/// A parent: has two instances until it is killed, and says so when they are ready.
fn parent(file: &str) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(async {
        let driver = ProcessDriver::new(of_parent(file), Hooks::new()).unwrap();
        driver.scale(Order::new(2, 0)).await.unwrap();
        let is_ready = || driver.instances().unwrap().iter().filter(|one| one.stage == Stage::Ready).count();
        until("two are ready", || is_ready() == 2).await;
        let pids: Vec<String> =
            driver.instances().unwrap().iter().map(|one| one.pid.unwrap().to_string()).collect();
        println!("\nready {}", pids.join(" "));
        std::future::pending::<()>().await;
    });
}

/// Takes note of SIGTERM and does nothing about it.
fn deaf() {
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut term = signal(SignalKind::terminate()).unwrap();
            tell.send(()).unwrap();
            while term.recv().await.is_some() {}
        });
    });
    told.recv().unwrap();
}

pub(crate) async fn get(address: SocketAddr) -> String {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut said = String::new();
    stream.read_to_string(&mut said).await.unwrap();
    said
}

/// Waits until it is so, for 60 seconds at most.
pub(crate) async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let waited = async {
        let mut tick = tokio::time::interval(ms(5));
        while !is() {
            tick.tick().await;
        }
    };
    assert!(tokio::time::timeout(sec(60), waited).await.is_ok(), "not within a minute: {what}");
}

/// Whether a process is there and no zombie.
pub(crate) fn alive(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    !stat[stat.rfind(')').unwrap()..].starts_with(") Z")
}

pub(crate) fn kill(pid: u32) {
    kill_process(Pid::from_raw(pid.cast_signed()).unwrap(), Signal::KILL).unwrap();
}

/// What was told.
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<DriverEvent>>>);

impl Seen {
    pub(crate) fn sink(&self) -> EventSink {
        let seen = self.clone();
        Arc::new(move |event| seen.0.lock().unwrap().push(event.clone()))
    }

    pub(crate) fn count(&self, is: impl Fn(&Happening) -> bool) -> usize {
        self.0.lock().unwrap().iter().filter(|event| is(&event.what)).count()
    }

    pub(crate) fn text(&self) -> String {
        self.0.lock().unwrap().iter().map(|event| format!("{event}\n")).collect()
    }

    /// All processes that were started.
    pub(crate) fn pids(&self) -> Vec<u32> {
        let seen = self.0.lock().unwrap();
        let started = seen.iter().filter_map(|event| match event.what {
            Happening::Starting { pid, .. } => Some(pid),
            _ => None,
        });
        started.collect()
    }
}
