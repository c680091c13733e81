//! Watches URLs and prints what happens to them:
//!
//! ```text
//! cargo run -p lb-health --example watch -- [--seconds N] http://127.0.0.1:9001/ unix:/run/app.sock …
//! ```
//!
//! Each is asked for `/health` (below the URL's own path) every 2 s. Ends after N seconds, else on Ctrl-C.

use lb_health::{HealthCheck, HealthChecker, NoSink};
use lb_types::{Backend, BackendUrl};
use std::error::Error;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::broadcast::error::RecvError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match watch(std::env::args().skip(1).collect()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("watch: {e}");
            ExitCode::from(2)
        }
    }
}

async fn watch(mut args: Vec<String>) -> Result<(), Box<dyn Error>> {
    let mut limit = Duration::MAX;
    if args.first().is_some_and(|a| a == "--seconds") {
        let seconds = args.get(1).ok_or("--seconds needs a number")?;
        limit =
            Duration::from_secs(seconds.parse().map_err(|_| format!("--seconds {seconds}: not a number"))?);
        args.drain(..2);
    }
    if args.is_empty() {
        return Err("give the URLs to watch, such as http://127.0.0.1:9001".into());
    }
    let backends = args
        .iter()
        .map(|arg| Ok(Backend::new(arg.as_str(), arg.parse::<BackendUrl>()?)))
        .collect::<Result<Vec<_>, lb_types::UrlError>>()?;

    let settings = HealthCheck::default().interval(Duration::from_secs(2)).timeout(Duration::from_secs(1));
    let checker = HealthChecker::new(settings, Arc::new(NoSink))?;
    checker.set_backends(backends)?;
    let mut events = checker.events();
    let running = checker.start()?;
    let print = async {
        loop {
            match events.recv().await {
                Ok(event) => println!("{event:?}"),
                Err(RecvError::Lagged(lost)) => println!("… {lost} events lost"),
                Err(RecvError::Closed) => return,
            }
        }
    };
    // An error is the end of the time that was asked for.
    let _ = tokio::time::timeout(limit, print).await;
    running.shutdown().await;
    for (id, status) in checker.status() {
        println!("{id}: {status:?}");
    }
    Ok(())
}
