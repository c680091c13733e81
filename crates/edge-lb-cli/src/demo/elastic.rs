//! `edge-lb demo --autoscale`: a pool that grows and shrinks with its load.
//!
//! Instances are real processes: this binary again, as [`instance`]. Clients come in the first quarter and most of them leave in the second
//! half; on the way one instance is killed. Each second is a line of a chart, between them what auto-scaling says; at the end whether any request was lost.

use super::backend;
use super::load::Load;
use super::tally::Tally;
use crate::args::DemoArgs;
use crate::failure::{Failure, stdout_gone};
use crate::limits;
use crate::signals::Signals;
use crate::style::Style;
use edge_lb::config::{Config, Format};
use edge_lb::proxy::ListenAddress as BoundAddress;
use edge_lb::{LoadBalancer, ScaleStatus, autoscale::Stage};
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

const POOL: &str = "elastic";
/// The one id that all instances answer with: they come and go.
const ID: &str = "instance";
/// How long an instance takes over a request, on average.
const DELAY: Duration = Duration::from_millis(40);
/// Clients all the time, and those that come in the wave: four in flight are as many as an instance takes.
const BASE: usize = 4;
const WAVE: usize = 10;
const MAX: u32 = 6;
/// How long the last requests and the proxy may take to end.
const GRACE: Duration = Duration::from_secs(12);

/// One instance: serves at this address until it is killed.
pub(crate) fn instance(address: SocketAddr) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Runtime(format!("the runtime cannot be started: {e}")))?;
    let served = runtime.block_on(backend::serve_at(address, ID, DELAY));
    served.map_err(|e| Failure::Runtime(format!("{address} cannot be listened at: {e}")))
}

/// Runs the demo of auto-scaling.
pub(crate) fn demo(args: &DemoArgs) -> Result<(), Failure> {
    let _ = limits::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|e| Failure::Runtime(format!("the runtime cannot be started: {e}")))?;
    runtime.block_on(play(args))
}

fn config(port: u16) -> Result<Config, String> {
    let program = std::env::current_exe().map_err(|e| e.to_string())?;
    let file = format!(
        r#"
workers = 2
shutdown_grace = "10s"
[[listeners]]
address = "127.0.0.1:{port}"
[pools.elastic]
algorithm = "least-connections"
max_connections = {BASE}
queuing = {{}}
health_check = {{ path = "/health", interval = "500ms", timeout = "1s" }}
[pools.elastic.autoscale]
min_instances = 2
max_instances = {MAX}
metric = "in-flight"
target = {{ value = 60, rise_window = "1s" }}
metrics_window = "4s"
cooldown_period = "2s"
known_percent = 50
drain_grace = "5s"
driver = {{ type = "process", command = [{program:?}, "demo-instance", "{{host}}:{{port}}"], probe_interval = "50ms", stop_grace = "2s" }}
"#
    );
    edge_lb::config::parse(&file, Format::Toml, "demo.toml").map_err(|e| e.to_string())
}

async fn play(args: &DemoArgs) -> Result<(), Failure> {
    let cannot = |what: &str, e: &dyn std::fmt::Display| {
        Failure::Runtime(format!("the demo's {what} cannot be started: {e}"))
    };
    let mut signals = Signals::new().map_err(|e| cannot("signal handling", &e))?;
    let config = config(args.port).map_err(|e| cannot("proxy", &e))?;
    let proxy = edge_lb::assemble(config).and_then(edge_lb::Assembled::start);
    let proxy = proxy.map_err(|e| cannot("proxy", &e))?;
    let (Some(BoundAddress::Tcp(address)), Some(lb)) =
        (proxy.addresses().first().cloned(), proxy.balancer(POOL).cloned())
    else {
        return Err(cannot("proxy", &"it has neither address nor pool"));
    };
    let (told, mut hears) = tokio::sync::mpsc::unbounded_channel();
    lb.on_scale(move |event| {
        // Nobody listens any more once the demo is over.
        let _ = told.send((event.kind(), event.to_string()));
    });
    let total = Duration::from_secs(args.seconds.unwrap_or(36));
    let mut show = Show {
        style: Style::for_stream(&std::io::stdout()),
        start: Instant::now(),
        peak: 0,
        least: u32::MAX,
    };
    show.say(&format!(
        "edge-lb demo --autoscale   http://{address}   2 to {MAX} processes, {BASE} requests each at once\n"
    ))?;
    let ready = async {
        while lb.autoscale_status().is_none_or(|s| ready(&s) < 2) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(GRACE, ready).await.map_err(|_| cannot("instances", &"they are not ready in time"))?;
    show.start = Instant::now();

    let tally = Arc::new(Tally::new([ID].into_iter()));
    let load = |connections| Load { address, connections, rate: args.rate, tally: tally.clone() };
    let (stop, stopped) = tokio::sync::watch::channel(false);
    let (ebb, ebbed) = tokio::sync::watch::channel(false);
    let mut clients = load(BASE).start(&stopped);
    let mut wave = None;
    let (mut killed, mut clients_now, mut interrupted) = (None, BASE, false);
    let mut ticks = interval(Duration::from_secs(1));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while show.start.elapsed() < total {
        tokio::select! {
            _ = signals.stop() => { interrupted = true; break; }
            Some((kind, text)) = hears.recv() => { show.event(kind, &text)?; continue; }
            _ = ticks.tick() => {}
        }
        let part = show.start.elapsed().as_secs_f64() / total.as_secs_f64();
        if part >= 0.1 && wave.is_none() {
            wave = Some(load(WAVE).start(&ebbed));
            clients_now = BASE + WAVE;
            show.note(&format!("{WAVE} more clients come"))?;
        }
        if part >= 0.4 && killed.is_none() {
            let victim = lb.autoscale_status().and_then(|s| s.instances).unwrap_or_default();
            let victim =
                victim.iter().find(|i| i.stage == Stage::Ready).and_then(|i| Some((i.id.clone(), i.pid?)));
            if let Some((id, pid)) = victim {
                show.note(&format!("somebody kills {id} (process {pid})"))?;
                let pid = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw);
                // It may have ended by itself.
                let _ = pid.map(|pid| rustix::process::kill_process(pid, rustix::process::Signal::KILL));
                killed = Some(id);
            }
        }
        if part >= 0.55 && clients_now > BASE {
            ebb.send_replace(true);
            clients_now = BASE;
            show.note("most of the clients leave")?;
        }
        show.chart(&lb, clients_now)?;
    }
    ebb.send_replace(true);
    stop.send_replace(true);
    let ended = timeout(GRACE, async {
        while clients.join_next().await.is_some() {}
        if let Some(mut wave) = wave {
            while wave.join_next().await.is_some() {}
        }
    });
    let _ = ended.await;
    proxy.shutdown().await;
    let status = lb.autoscale_status();
    show.summary(&tally, status, interrupted)?;
    if tally.lost_count() > 0 { Err(Failure::Said(1)) } else { Ok(()) }
}

fn ready(status: &ScaleStatus) -> u32 {
    let instances = status.instances.as_deref().unwrap_or_default();
    u32::try_from(instances.iter().filter(|i| i.stage == Stage::Ready).count()).unwrap_or(u32::MAX)
}

struct Show {
    style: Style,
    start: Instant,
    peak: u32,
    /// After the peak.
    least: u32,
}

impl Show {
    fn say(&self, line: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        writeln!(out, "{line}").and_then(|()| out.flush()).map_err(stdout_gone)
    }

    fn at(&self) -> f64 {
        self.start.elapsed().as_secs_f64()
    }

    fn note(&self, text: &str) -> Result<(), Failure> {
        self.say(&self.style.bold(&format!("{:5.1} s  {text}", self.at())))
    }

    /// What a reader wants to know of; the steps between are left out.
    fn event(&self, kind: &str, text: &str) -> Result<(), Failure> {
        if !matches!(
            kind,
            "scale-up"
                | "scale-down"
                | "crashed"
                | "joined"
                | "left"
                | "gave-up"
                | "driver-error"
                | "replaced"
        ) {
            return Ok(());
        }
        self.say(&format!("{:5.1} s  {text}", self.at()))
    }

    fn chart(&mut self, lb: &LoadBalancer, clients: usize) -> Result<(), Failure> {
        let Some(status) = lb.autoscale_status() else { return Ok(()) };
        let (there, metrics) = (ready(&status), status.decision.as_ref().map(|d| d.inputs.metrics));
        self.peak = self.peak.max(there);
        self.least = if there == self.peak { there } else { self.least.min(there) };
        let marks = "●".repeat(there as usize)
            + &"○".repeat(status.instances.as_ref().map_or(0, Vec::len).saturating_sub(there as usize));
        let metrics = metrics.unwrap_or_default();
        let rate = metrics.requests_per_second.unwrap_or(0.0);
        let line = format!(
            "{:5.1} s  {:<16} {marks:<8} {} in flight, {} wait, {rate:.0} requests/s",
            self.at(),
            "█".repeat(clients),
            metrics.in_flight.unwrap_or(0),
            metrics.queued.unwrap_or(0),
        );
        self.say(&self.style.dim(&line))
    }

    fn summary(&self, tally: &Tally, status: Option<ScaleStatus>, interrupted: bool) -> Result<(), Failure> {
        let (answered, lost) = (tally.responses(0), tally.lost_count());
        let left = status.as_ref().and_then(|s| s.instances.as_ref()).map_or(0, Vec::len);
        let (ups, downs) = status.map_or((0, 0), |s| (s.ups, s.downs));
        let ms = tally.latency(0).quantile(0.99).map_or(0.0, |p99| p99.as_secs_f64() * 1e3);
        let until = if interrupted { ", ended early" } else { "" };
        self.say(&format!(
            "\n2 → {} → {} instances in {:.0} s{until}: {ups} decisions up, {downs} down; {left} left behind",
            self.peak,
            self.least,
            self.at()
        ))?;
        let line =
            format!("{} requests sent, {answered} answered, {lost} lost; p99 {ms:.0} ms", answered + lost);
        self.say(&if lost == 0 { self.style.green(&line) } else { self.style.red(&line) })?;
        tally.reasons().iter().try_for_each(|reason| self.say(&format!("  {reason}")))
    }
}
