//! A worker: one thread, one `current_thread` runtime, its own listeners, timer and upstream connections. A request never
//! leaves the worker that accepted its connection.

use super::Stage;
use super::awake::Awake;
use super::connection::{self, Context};
use super::listener::{Listener, WorkerSocket};
use crate::proxy::{Client, ClientLimits, PoolClock, Proxy};
use crate::service::Leaf;
use crate::stats::Counters;
use crate::upstream::preconnect::{self, Part};
use hyper::body::Incoming;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::time::Duration;
use tokio::sync::{Notify, mpsc, watch};

/// How long accepting pauses when the system has no more file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How often a worker looks how late it is, where somebody wants to know.
const LOOP_LOOK: Duration = Duration::from_millis(50);
/// How often connections to backends that idle for too long, or have died, are looked for.
const SWEEP: Duration = Duration::from_secs(1);

pub(super) struct Worker {
    pub(super) sockets: Vec<WorkerSocket>,
    pub(super) proxy: Proxy<Incoming>,
    pub(super) stage: watch::Receiver<Stage>,
    /// Which of the workers it is.
    pub(super) part: Part,
}

/// The worker's open connections.
#[derive(Default)]
struct Open {
    count: AtomicUsize,
    none: Notify,
}

struct OpenGuard(Arc<Open>);

impl Drop for OpenGuard {
    fn drop(&mut self) {
        if self.0.count.fetch_sub(1, Relaxed) == 1 {
            self.0.none.notify_one();
        }
    }
}

impl Worker {
    /// Runs the worker on a thread of its own. It says on `ended` how many connections it had to cut.
    pub(super) fn start(
        self,
        index: usize,
        ended: mpsc::Sender<usize>,
    ) -> io::Result<std::thread::JoinHandle<()>> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listeners = {
            let _context = runtime.enter();
            self.sockets.iter().map(Listener::new).collect::<io::Result<Vec<_>>>()?
        };
        std::thread::Builder::new().name(format!("worker-{index}")).spawn(move || {
            let cut = runtime.block_on(self.serve(listeners));
            // The receiver is gone when nobody waits for an orderly end.
            let _ = ended.blocking_send(cut);
        })
    }

    async fn serve(self, listeners: Vec<Listener>) -> usize {
        let Self { sockets, proxy, mut stage, part } = self;
        let open = Arc::new(Open::default());
        let (awake, closing) = (Arc::new(Awake::default()), Arc::new(AtomicBool::new(false)));
        let mut tasks: Vec<_> = listeners
            .into_iter()
            .zip(sockets)
            .map(|(listener, socket)| {
                let context = Context::new(&socket.settings, proxy.clone(), closing.clone(), awake.clone());
                tokio::spawn(accept(listener, socket, Arc::new(context), open.clone()))
            })
            .collect();
        tasks.push(tokio::spawn(sweep(proxy.clone())));
        tasks.extend(proxy.worker().leaves.iter().filter_map(|leaf| {
            let lb = &leaf.balancer;
            let (delay, pool) = (lb.loop_delay()?.clone(), lb.pool().clone());
            Some(tokio::spawn(async move {
                delay.measure(&PoolClock(pool), LOOP_LOOK).await;
            }))
        }));
        if proxy.worker().preconnects() {
            tasks.push(tokio::spawn(preconnect::keep(proxy.clone(), part)));
        }
        wait_for(&mut stage, Stage::Draining).await;
        for t in tasks {
            t.abort();
            let _ = t.await; // the listeners are closed now
        }
        // Connections look at this when they are polled.
        closing.store(true, Relaxed);
        proxy.worker().timer.wake_all();
        let drained = async {
            while open.count.load(Relaxed) > 0 {
                open.none.notified().await;
            }
        };
        tokio::select! {
            () = drained => {}
            () = wait_for(&mut stage, Stage::Stopped) => {}
        }
        open.count.load(Relaxed)
    }
}

async fn wait_for(stage: &mut watch::Receiver<Stage>, at_least: Stage) {
    // A sender that is gone means the same as its last word.
    let _ = stage.wait_for(|s| *s == at_least || *s == Stage::Stopped).await;
}

async fn sweep(proxy: Proxy<Incoming>) {
    loop {
        tokio::time::sleep(SWEEP).await;
        proxy.worker().leaves.iter().for_each(Leaf::sweep);
    }
}

async fn accept(listener: Listener, socket: WorkerSocket, context: Arc<Context>, open: Arc<Open>) {
    let limits = Arc::new(ClientLimits::of(&socket.settings));
    let worker = context.proxy.worker();
    let trusted = worker.trusted.as_ref();
    loop {
        let (stream, ip) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                // The client left already, or the system has no room: both pass.
                if !is_of_one_client(&error) {
                    tracing::warn!(%error, address = %socket.settings.address, "cannot accept; pausing");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
                continue;
            }
        };
        let entered = match (&socket.per_ip, ip) {
            (Some(per_ip), Some(ip)) if !trusted.is_some_and(|t| t.proxies.contains(ip)) => {
                let Some(entered) = per_ip.enter(ip) else {
                    Counters::count(&worker.counters.connections_refused);
                    continue;
                };
                Some(Box::new(entered))
            }
            _ => None,
        };
        // At the limit nothing more is accepted: this client waits here, further ones in the kernel. A permit is asked for only when
        // somebody is there to use it, else idle workers would keep the last ones.
        let Ok(permit) = socket.permits.clone().acquire_owned().await else { return };
        Counters::count(&worker.counters.connections_accepted);
        open.count.fetch_add(1, Relaxed);
        let guard = OpenGuard(open.clone());
        let client = Client::new(ip, trusted, limits.clone());
        let connection = connection::serve(stream, client, context.clone());
        tokio::spawn(async move {
            connection.await;
            drop((permit, guard, entered));
        });
    }
}

fn is_of_one_client(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset | io::ErrorKind::ConnectionRefused
    )
}
