//! `edge-lb demo`: the whole thing at work, with nothing but this binary.
//!
//! Small HTTP servers of different speeds ([`backend`]) behind the same proxy that `run` starts, clients that check every answer
//! ([`load`], [`tally`]), and a timetable ([`plan`]) by which one server dies in the middle of its requests and comes back. The
//! [`director`] keeps the timetable and takes stock ([`view`]), which a [`screen`] shows as a [`table`] or as lines; the
//! [`summary`] says whether any request was lost.

mod backend;
mod director;
mod load;
pub(crate) mod plan;
mod screen;
mod summary;
mod table;
mod tally;
mod view;

use crate::args::DemoArgs;
use crate::failure::{Failure, stdout_gone};
use crate::limits;
use crate::signals::Signals;
use backend::DemoBackend;
use director::Director;
use edge_lb::config::{Config, ListenAddress, Listener, Pool};
use edge_lb::core::PoolSettings;
use edge_lb::health::HealthCheck;
use edge_lb::proxy::ListenAddress as BoundAddress;
use edge_lb::{AssembleError, Running};
use load::Load;
use plan::Plan;
use screen::Screen;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use summary::Summary;
use tally::Tally;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// How long the backends take, in ms: the first fast, the second middling, the third slow, and so on.
const DELAYS_MS: [u64; 3] = [4, 10, 25];
/// Two proxy workers and two threads for clients and servers: the demo shows how it works, not how fast.
const WORKERS: usize = 2;
/// The name of its one pool.
const POOL: &str = "demo";
/// How often a backend is checked.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);
/// How long the last requests and the proxy may take to end: longer than a client waits for its answer.
const GRACE: Duration = Duration::from_secs(12);
/// How often the timetable is looked at: events are timed this exactly.
const STEP: Duration = Duration::from_millis(10);
/// Four frames a second suffice for the eye, and cost nothing.
const FRAME: Duration = Duration::from_millis(250);

/// Runs the demo.
pub(crate) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    // A failure shows itself in the demo's own words: too few descriptors would be lost requests.
    let _ = limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build();
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
    let proxy = start_proxy(args, &backends).map_err(|e| cannot("proxy", &e))?;
    let Some(BoundAddress::Tcp(address)) = proxy.addresses().first().cloned() else {
        return Err(cannot("proxy", &"it has no address"));
    };
    let Some(balancer) = proxy.balancer(POOL).cloned() else {
        return Err(cannot("proxy", &"it has no pool"));
    };
    let tally = Arc::new(Tally::new(backends.iter().map(DemoBackend::id)));
    let plan = Plan::new(Duration::from_secs(args.seconds));
    let algorithm = args.algorithm.name();
    let title = format!("edge-lb demo   http://{address}   {algorithm}   {} clients", args.concurrency);
    let mut director = Director::new(title, plan, backends, tally.clone(), balancer, proxy.stats());

    let (stop, stopped) = watch::channel(false);
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
    let delays = DELAYS_MS.into_iter().map(Duration::from_millis).cycle();
    ('a'..='z')
        .zip(delays)
        .take(n.into())
        .map(|(id, delay)| DemoBackend::start(&id.to_string(), delay))
        .collect()
}

fn start_proxy(args: &DemoArgs, backends: &[DemoBackend]) -> Result<Running, AssembleError> {
    edge_lb::assemble(config(args, backends))?.start()
}

/// What a user would write in a file to have the demo's proxy.
fn config(args: &DemoArgs, backends: &[DemoBackend]) -> Config {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, args.port));
    let mut pool = Pool::default();
    pool.settings = PoolSettings::new(args.algorithm.clone());
    pool.health_check = Some(
        HealthCheck::http("/health").interval(CHECK_INTERVAL).timeout(2 * CHECK_INTERVAL).thresholds(2, 2),
    );
    pool.backends = backends.iter().map(DemoBackend::spec).collect();
    let mut config = Config::default();
    config.workers = Some(WORKERS);
    config.listeners = vec![Listener::new(ListenAddress::Tcp(address))];
    config.pools.insert(POOL.to_owned(), pool);
    config.shutdown_grace = GRACE;
    config
}

/// What the backend `id` answers to a request for `path`.
fn body_of(id: &str, path: &str) -> String {
    format!("{id} {path}\n")
}
