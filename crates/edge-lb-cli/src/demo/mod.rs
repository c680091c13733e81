//! `edge-lb demo`: the whole thing at work, with nothing but this binary.
//!
//! Small HTTP servers of different speeds ([`backend`]) behind the same proxy that `run` starts, clients that check every answer
//! ([`load`], [`tally`]), and a timetable ([`plan`]) by which one server dies in the middle of its requests, one turns slow and one
//! starts to fail; each recovers. The proxy has what a user would give it ([`config`]). The [`director`] keeps the timetable, follows what
//! the balancer says ([`watch`], one [`course`] for each act) and takes stock ([`view`]), which a [`screen`] shows as a [`table`] or as
//! lines; the [`summary`] says whether any request was lost.

mod backend;
mod config;
mod course;
mod director;
pub(crate) mod elastic;
mod load;
pub(crate) mod plan;
mod recent;
mod screen;
mod summary;
mod table;
mod tally;
mod view;
mod watch;

use crate::args::DemoArgs;
use crate::failure::{Failure, stdout_gone};
use crate::limits;
use crate::signals::Signals;
use backend::DemoBackend;
use config::{DELAYS, GRACE, POOL};
use director::Director;
use edge_lb::proxy::ListenAddress as BoundAddress;
use load::Load;
use plan::Plan;
use screen::Screen;
use std::sync::Arc;
use std::time::Duration;
use summary::Summary;
use tally::Tally;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};
use watch::Watch;

/// Threads for clients and servers; the proxy has as many of its own.
const THREADS: usize = 2;
/// How often the timetable is looked at: events are timed this exactly.
const STEP: Duration = Duration::from_millis(10);
/// How long the load lasts if nobody says.
const SECONDS: u64 = 20;
/// Four frames a second suffice for the eye, and cost nothing.
const FRAME: Duration = Duration::from_millis(250);

/// Runs the demo.
pub(crate) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    if args.autoscale {
        return elastic::demo(args);
    }
    // A failure shows itself in the demo's own words: too few descriptors would be lost requests.
    let _ = limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(THREADS).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Runtime(format!("the runtime cannot be started: {e}")))?;
    let mut screen = Screen::stdout(args.plain);
    let summary = runtime.block_on(play(args, &mut screen))?;
    let style = screen.style();
    screen.print(&summary.render(style)).map_err(stdout_gone)?;
    if summary.failure().is_some() { Err(Failure::Said(1)) } else { Ok(()) }
}

async fn play(args: &DemoArgs, screen: &mut Screen<std::io::Stdout>) -> Result<Summary, Failure> {
    let cannot = |what: &str, e: &dyn std::fmt::Display| {
        Failure::Runtime(format!("the demo's {what} cannot be started: {e}"))
    };
    let mut signals = Signals::new().map_err(|e| cannot("signal handling", &e))?;
    let backends = start_backends(args.backends).map_err(|e| cannot("backends", &e))?;
    let config = config::config(args, &backends).map_err(|e| cannot("proxy", &e))?;
    let proxy = edge_lb::assemble(config).and_then(edge_lb::Assembled::start);
    let proxy = proxy.map_err(|e| cannot("proxy", &e))?;
    let Some(BoundAddress::Tcp(address)) = proxy.addresses().first().cloned() else {
        return Err(cannot("proxy", &"it has no address"));
    };
    let Some(balancer) = proxy.balancer(POOL).cloned() else {
        return Err(cannot("proxy", &"it has no pool"));
    };
    let tally = Arc::new(Tally::new(backends.iter().map(DemoBackend::id)));
    let plan = Plan::new(Duration::from_secs(args.seconds.unwrap_or(SECONDS)));
    let algorithm = args.algorithm.name();
    let title = format!("edge-lb demo   http://{address}   {algorithm}   {} clients", args.concurrency);
    let watch = Watch::new(balancer, tally.clone());
    let mut director = Director::new(title, plan, backends, tally.clone(), watch, proxy.stats());

    let (stop, stopped) = tokio::sync::watch::channel(false);
    let load = Load { address, connections: args.concurrency.into(), rate: args.rate, tally };
    let mut clients = load.start(&stopped);
    let interrupted = act(&mut director, screen, &mut signals).await?;
    stop.send_replace(true);
    let ended = timeout(GRACE, async { while clients.join_next().await.is_some() {} });
    tokio::select! {
        _ = ended => {}
        // Asked a second time: no more waiting.
        _ = signals.stop() => {}
    }
    screen.show(&director.view()).map_err(stdout_gone)?;
    let summary = director.summary(interrupted);
    proxy.shutdown().await;
    Ok(summary)
}

/// Goes through the timetable; `true` if the user ended it early.
async fn act(
    director: &mut Director,
    screen: &mut Screen<std::io::Stdout>,
    signals: &mut Signals,
) -> Result<bool, Failure> {
    let mut steps = interval(STEP);
    steps.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut next_frame = Instant::now();
    loop {
        tokio::select! {
            _ = signals.stop() => return Ok(true),
            _ = steps.tick() => {}
        }
        let over = director
            .step()
            .await
            .map_err(|e| Failure::Runtime(format!("the demo's backend cannot be started again: {e}")))?;
        if over {
            return Ok(false);
        }
        if Instant::now() >= next_frame {
            next_frame += FRAME;
            screen.show(&director.view()).map_err(stdout_gone)?;
        }
    }
}

fn start_backends(n: u8) -> std::io::Result<Vec<DemoBackend>> {
    let delays = DELAYS.into_iter().cycle();
    ('a'..='z')
        .zip(delays)
        .take(n.into())
        .map(|(id, delay)| DemoBackend::start(&id.to_string(), delay))
        .collect()
}

/// What the backend `id` answers to a request for `path`.
fn body_of(id: &str, path: &str) -> String {
    format!("{id} {path}\n")
}
