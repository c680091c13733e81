//! A pool that grows and shrinks with real processes, over a made-up load:
//! `cargo run -p lb-autoscale --features process --example elastic`
//!
//! The load rises and falls within 16 seconds; an instance is this program itself, started with `serve HOST PORT`. Each second the
//! scaler decides and the process driver carries it out; in the middle one instance is killed, and is there again. At the end nothing
//! is left.

#[cfg(target_os = "linux")]
mod linux {
    use lb_autoscale::driver::process::{Hooks, ProcessDriver, ProcessSettings, Ready};
    use lb_autoscale::driver::retry::Retry;
    use lb_autoscale::{
        AutoScale, AutoScaler, Driver, Instance, Metric, Metrics, Nanos, Order, Phase, Stage, Target,
    };
    use std::error::Error;
    use std::io::{Read as _, Write as _};
    use std::sync::Arc;
    use std::time::Duration;

    /// What one instance carries at once.
    const PLACES: u64 = 10;

    #[tokio::main(flavor = "current_thread")]
    pub(super) async fn main() -> Result<(), Box<dyn Error>> {
        let arguments: Vec<String> = std::env::args().collect();
        if let [_, role, host, port] = arguments.as_slice()
            && role == "serve"
        {
            return serve(host, port.parse()?);
        }
        let us = std::env::current_exe()?.to_string_lossy().into_owned();
        let settings = ProcessSettings::new([us.as_str(), "serve", "{host}", "{port}"])
            .name("web")
            .ready(Ready::Http("/".to_owned()))
            .restart(
                Retry::new(5, Duration::from_millis(100), Duration::from_secs(1)),
                Duration::from_secs(60),
            )
            .stop_grace(Duration::from_secs(2));
        let hooks = Hooks::new()
            .events(Arc::new(|event| println!("         {event}")))
            .output(Arc::new(|id, line| println!("         {id} says: {}", line.text)));
        let driver = ProcessDriver::new(settings, hooks)?;
        let target = Target::new(60.0).rise_window(Duration::from_secs(1));
        let settings = AutoScale::new()
            .instances(1, 6)
            .metric(Metric::InFlight)
            .metrics_window(Duration::from_secs(3))
            .known_percent(50)
            .cooldowns(Duration::ZERO, Duration::from_secs(1))
            .target(target);
        let mut scaler = AutoScaler::new(settings)?;
        let mut beat = tokio::time::interval(Duration::from_secs(1));
        for (second, load) in LOAD.into_iter().enumerate() {
            beat.tick().await;
            let decision = scaler.evaluate(Nanos::from_secs(second as u64 + 1), &metrics(&driver, load));
            println!("{second:>2} s {load:>2} in flight: {decision}");
            if let Some(_to_do) = decision.to_do()
                && let Err(e) = driver.scale(Order::from(&decision)).await
            {
                println!("         {e}");
            }
            if second == 8 {
                kill_one(&driver);
            }
        }
        driver.shutdown().await?;
        println!("left: {}", driver.instances().map_or(0, |left| left.len()));
        Ok(())
    }

    /// Requests in flight, each second.
    const LOAD: [u64; 16] = [3, 3, 12, 24, 30, 30, 30, 30, 30, 18, 12, 6, 3, 3, 3, 3];

    /// As a pool would see it: the load spread evenly over what is ready.
    fn metrics(driver: &ProcessDriver, load: u64) -> Metrics {
        let there = driver.instances().unwrap_or_default();
        let there: Vec<_> = there.iter().filter(|one| one.stage != Stage::Stopping).collect();
        let ready = there.iter().filter(|one| one.stage == Stage::Ready).count() as u64;
        let parked = if there.is_empty() { load } else { 0 };
        Metrics::of(there.iter().map(|one| Instance {
            phase: if one.stage == Stage::Ready { Phase::Settled } else { Phase::Starting },
            cpu_percent: None,
            in_flight: if one.stage == Stage::Ready { (load / ready.max(1)).min(PLACES) } else { 0 },
            max_connections: Some(PLACES),
        }))
        .parked(parked)
    }

    fn kill_one(driver: &ProcessDriver) {
        let pid = driver.instances().unwrap_or_default().first().and_then(|one| one.pid);
        let pid = pid.and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        if let Some(pid) = pid {
            println!("         somebody kills process {}", pid.as_raw_nonzero());
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }

    /// The instance: answers every request.
    fn serve(host: &str, port: u16) -> Result<(), Box<dyn Error>> {
        let listener = std::net::TcpListener::bind((host, port))?;
        println!("listening at {}", listener.local_addr()?);
        for stream in listener.incoming() {
            let mut stream = stream?;
            let _ = stream.read(&mut [0; 1024]);
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
        Ok(())
    }
}

#[cfg(target_os = "linux")]
fn main() -> Result<(), Box<dyn std::error::Error>> {
    linux::main()
}

#[cfg(not(target_os = "linux"))]
fn main() {
    println!("the process driver is for Linux");
}
