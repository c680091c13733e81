//! A check of one's own: a queue worker is healthy while few jobs wait for it.
//!
//! ```text
//! cargo run -p lb-health --example custom
//! ```
//!
//! Two workers answer `LEN` on their sockets with how many jobs wait. One falls behind, and is unhealthy two checks later.

use lb_health::{HealthCheck, HealthChecker, HealthReport, NoSink};
use lb_types::{Address, Backend};
use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// As many jobs may wait.
const WAITING_MAX: u32 = 100;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let waiting = Arc::new(AtomicU32::new(7));
    let backends = vec![
        Backend::new("steady", worker(Arc::new(AtomicU32::new(3))).await?.parse()?),
        Backend::new("busy", worker(waiting.clone()).await?.parse()?).metadata("queue", "mail"),
    ];

    let settings = HealthCheck::default().interval(Duration::from_millis(50)).thresholds(2, 1);
    let checker = HealthChecker::builder(settings, Arc::new(NoSink))
        .custom(|backend| async move {
            match queue_length(&backend).await {
                Ok(n) if n <= WAITING_MAX => {
                    // A mean over the jobs that wait is of more use here than the time of a check.
                    let latency = Duration::from_millis(n.into());
                    HealthReport::healthy().details(format!("{n} jobs wait")).latency(latency)
                }
                Ok(n) => HealthReport::unhealthy(format!("{n} jobs wait")),
                Err(e) => HealthReport::unhealthy(format!("no answer: {e}")),
            }
        })
        .build()?;
    checker.set_backends(backends)?;
    let mut events = checker.events();
    let running = checker.start()?;
    for _ in 0..2 {
        println!("{:?}", events.recv().await?);
    }
    waiting.store(250, Ordering::Relaxed);
    println!("{:?}", events.recv().await?);
    running.shutdown().await;
    for (id, status) in checker.status() {
        println!("{id}: {status:?}");
    }
    Ok(())
}

/// Asks a worker how many jobs wait.
async fn queue_length(backend: &Backend) -> Result<u32, Box<dyn Error + Send + Sync>> {
    let Address::Tcp { host, port } = backend.url.address() else { return Err("not on TCP".into()) };
    let mut stream = BufReader::new(TcpStream::connect(format!("{host}:{port}")).await?);
    stream.write_all(b"LEN\n").await?;
    let mut line = String::new();
    stream.read_line(&mut line).await?;
    Ok(line.trim().parse()?)
}

/// A worker that says how many jobs wait; its URL.
async fn worker(waiting: Arc<AtomicU32>) -> Result<String, std::io::Error> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let url = format!("http://{}", listener.local_addr()?);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let mut stream = BufReader::new(stream);
            let mut command = String::new();
            if stream.read_line(&mut command).await.is_ok() && command == "LEN\n" {
                let answer = format!("{}\n", waiting.load(Ordering::Relaxed));
                let _ = stream.write_all(answer.as_bytes()).await; // who asked may have gone
            }
        }
    });
    Ok(url)
}
